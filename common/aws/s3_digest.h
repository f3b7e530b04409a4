/* What proves that bytes arrived in S3 as they left: their hashes, taken together in one pass. */
#ifndef COMMON_AWS_S3_DIGEST_H
#define COMMON_AWS_S3_DIGEST_H

#include "common/base/bytes.h"

struct s3_digest;

struct s3_proof {
    char sha256[65];        /* hex: x-amz-content-sha256 */
    char sha256_base64[45]; /* x-amz-checksum-sha256 */
    char md5[33]; /* hex: the ETag of what was put whole; "": OpenSSL may not do it (FIPS) */
};

struct s3_digest *s3_digest_new(void);
void s3_digest_free(struct s3_digest *digest); /* NULL is fine */
void s3_digest_update(struct s3_digest *digest, const void *data, size_t length);
/* Finishes and frees. */
void s3_digest_finish(struct s3_digest *digest, struct s3_proof *proof);
/* From a SHA-256 in hex that is known already, which must be one; the MD5 stays unknown. */
enum error s3_proof_from_sha256(struct view hex, struct s3_proof *proof) MUST_CHECK;

#endif
