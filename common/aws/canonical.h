/*
 * The canonical request of Signature Version 4, the same for signing and verifying. For sigv4.c and
 * sigv4_verify.c only; pure. Follows botocore's auth.py byte by byte.
 */
#ifndef COMMON_AWS_CANONICAL_H
#define COMMON_AWS_CANONICAL_H

#include "common/aws/sigv4.h"

#define SIGV4_ALGORITHM     "AWS4-HMAC-SHA256"
#define CANONICAL_MAX_BYTES ((size_t)8 << 20) /* ceiling of a canonical request */

/* The headers to sign, sorted by lower-case name; repeats stay in order of arrival. */
struct canonical_headers {
    struct sigv4_header rows[SIGV4_MAX_HEADERS + 4];
    size_t count;
};

/* There must be room. */
void canonical_insert(struct canonical_headers *list, struct view name, struct view value);
/* Whether a hop may change this header, so that no client signs it (the SDKs' list). */
bool canonical_never_signed(struct view name);

/* The whole; `payload` is its last line. */
void canonical_request(struct buffer *out, const struct sigv4_request *request,
                       const struct canonical_headers *list, struct view payload);
/* "host;x-amz-date" */
void canonical_names(struct buffer *out, const struct canonical_headers *list);
/* The path as on the wire: dot segments removed, slashes collapsed, encoded once more. */
void canonical_path(struct buffer *out, struct view path);
/* The pairs as on the wire, sorted by name, then value; "name=" when there is no value. */
void canonical_query(struct buffer *out, struct view query);
/* Lower-case ASCII. */
void canonical_name(struct buffer *out, struct view name);
/* Trimmed, runs of white space made one space. */
void canonical_value(struct buffer *out, struct view value);

#endif
