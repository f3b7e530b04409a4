/* Makes credentials, and the hashes that are kept of them. */
#include "managerd/credential.h"

#include "common/base/crypto.h"
#include "common/base/escape.h"

#include <string.h>

#define RANDOM_BYTES 20
#define CHECK_BYTES  4

void credential_make(const char *prefix, char out[CREDENTIAL_SIZE])
{
    uint8_t random[RANDOM_BYTES], digest[SHA256_BYTES];
    size_t check_at = CREDENTIAL_PREFIX_BYTES + 2 * (size_t)RANDOM_BYTES;
    REQUIRE(strlen(prefix) == CREDENTIAL_PREFIX_BYTES);
    random_bytes(random, sizeof random);
    memcpy(out, prefix, CREDENTIAL_PREFIX_BYTES);
    hex_write(out + CREDENTIAL_PREFIX_BYTES, random, sizeof random);
    sha256(view_from(out, check_at), digest);
    hex_write(out + check_at, digest, CHECK_BYTES);
    out[CREDENTIAL_SIZE - 1] = 0;
    wipe(random, sizeof random);
}

void credential_hash(struct view text, char out[65])
{
    uint8_t digest[SHA256_BYTES];
    sha256(text, digest);
    hex_write(out, digest, sizeof digest);
    out[64] = 0;
}
