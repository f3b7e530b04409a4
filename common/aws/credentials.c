/* Holds credentials as snapshots that are shared, and wiped by whoever lets go last. */
#include "common/aws/credentials.h"

#include "common/base/crypto.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* A snapshot with its count; the strings follow the struct in the same allocation. */
struct held {
    struct credentials credentials;
    atomic_uint references;
    size_t text_bytes;
    char text[];
};

static struct view place(char **at, struct view text);
static bool well_formed(struct view text, const char *forbidden);

struct credentials *credentials_new(struct view access_key_id, struct view secret_access_key,
                                    struct view session_token, int64_t expires_at_ms)
{
    static atomic_uint_fast64_t last_serial;
    size_t bytes = access_key_id.length + secret_access_key.length + session_token.length + 3;
    struct held *held = calloc(1, sizeof(*held) + bytes);
    char *at;

    REQUIRE(held != NULL);
    at = held->text;
    held->text_bytes = bytes;
    atomic_init(&held->references, 1);
    held->credentials.access_key_id = place(&at, access_key_id);
    held->credentials.secret_access_key = place(&at, secret_access_key);
    held->credentials.session_token = place(&at, session_token);
    held->credentials.expires_at_ms = expires_at_ms;
    held->credentials.serial = atomic_fetch_add(&last_serial, 1) + 1;
    return &held->credentials;
}

struct credentials *credentials_hold(struct credentials *credentials)
{
    struct held *held = (struct held *)credentials;

    REQUIRE(atomic_fetch_add_explicit(&held->references, 1, memory_order_relaxed) > 0);
    return credentials;
}

void credentials_release(struct credentials *credentials)
{
    struct held *held = (struct held *)credentials;

    if (!held || atomic_fetch_sub_explicit(&held->references, 1, memory_order_acq_rel) != 1)
        return;
    wipe(held->text, held->text_bytes);
    free(held);
}

bool credentials_well_formed(struct view access_key_id, struct view secret_access_key,
                             struct view session_token)
{
    return well_formed(access_key_id, ",") && well_formed(secret_access_key, "") &&
           well_formed(session_token, "");
}

static struct view place(char **at, struct view text)
{
    struct view placed = {*at, text.length};

    if (text.length)
        memcpy(*at, text.data, text.length);
    *at += text.length + 1;
    return placed;
}

/* They go into header lines: a line end would begin another one. */
static bool well_formed(struct view text, const char *forbidden)
{
    for (size_t i = 0; i < text.length; i++)
        if (text.data[i] <= ' ' || text.data[i] > '~' || strchr(forbidden, text.data[i]))
            return false;
    return true;
}
