/* Hashes what goes to S3 in the two ways by which S3 tells what it got. */
#include "common/aws/s3_digest.h"

#include "common/base/crypto.h"
#include "common/base/escape.h"

#include <openssl/evp.h>

#include <stdlib.h>

#define MD5_BYTES 16

struct s3_digest {
    struct sha256_stream *sha256;
    EVP_MD *method; /* NULL: there is no MD5 */
    EVP_MD_CTX *md5;
};

struct s3_digest *s3_digest_new(void)
{
    struct s3_digest *digest = calloc(1, sizeof *digest);

    REQUIRE(digest != NULL);
    digest->sha256 = sha256_new();
    digest->method = EVP_MD_fetch(NULL, "MD5", NULL);
    if (!digest->method)
        return digest;
    digest->md5 = EVP_MD_CTX_new();
    REQUIRE(digest->md5 && EVP_DigestInit_ex2(digest->md5, digest->method, NULL) == 1);
    return digest;
}

void s3_digest_free(struct s3_digest *digest)
{
    struct s3_proof proof;

    if (digest)
        s3_digest_finish(digest, &proof);
}

void s3_digest_update(struct s3_digest *digest, const void *data, size_t length)
{
    sha256_update(digest->sha256, data, length);
    if (digest->md5)
        REQUIRE(EVP_DigestUpdate(digest->md5, data, length) == 1);
}

static void write_sha256(const uint8_t bytes[SHA256_BYTES], struct s3_proof *proof)
{
    struct buffer text;

    hex_write(proof->sha256, bytes, SHA256_BYTES);
    buffer_init(&text, sizeof proof->sha256_base64);
    base64_encode(&text, bytes, SHA256_BYTES);
    REQUIRE(text.error == ERROR_NONE && text.length + 1 == sizeof proof->sha256_base64);
    memcpy(proof->sha256_base64, text.data, text.length);
    buffer_release(&text);
}

void s3_digest_finish(struct s3_digest *digest, struct s3_proof *proof)
{
    uint8_t bytes[SHA256_BYTES];

    *proof = (struct s3_proof){0};
    sha256_finish(digest->sha256, bytes);
    write_sha256(bytes, proof);
    if (digest->md5) {
        REQUIRE(EVP_DigestFinal_ex(digest->md5, bytes, NULL) == 1);
        hex_write(proof->md5, bytes, MD5_BYTES);
    }
    EVP_MD_CTX_free(digest->md5);
    EVP_MD_free(digest->method);
    free(digest);
}

enum error s3_proof_from_sha256(struct view hex, struct s3_proof *proof)
{
    struct buffer bytes;

    *proof = (struct s3_proof){0};
    buffer_init(&bytes, SHA256_BYTES);
    enum error error = hex_decode(&bytes, hex);
    if (error == ERROR_NONE && (bytes.error || bytes.length != SHA256_BYTES))
        error = ERROR_INVALID;
    if (error == ERROR_NONE)
        write_sha256((const uint8_t *)bytes.data, proof);
    buffer_release(&bytes);
    return error;
}
