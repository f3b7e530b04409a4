/* Where buckets and objects are: URLs, hosts, paths and queries of S3. Pure. */
#ifndef COMMON_AWS_S3_ADDRESS_H
#define COMMON_AWS_S3_ADDRESS_H

#include "common/aws/endpoint.h"

struct s3_place {
    struct view url;  /* "https://bucket.s3.us-east-1.amazonaws.com", without path; NUL behind */
    struct view host; /* for Host and the signature */
    struct view path; /* "/dir/a%20b.zip", or "/bucket/dir/…"; encoded once; never empty */
};

/* Of the bucket (`key` empty) or of an object in it. `region`: the bucket's. A custom endpoint stays where
 * it is, whatever the region. All of it is in `arena`, whose error tells when there was no room. */
void s3_place(const struct endpoint *endpoint, struct view region, struct view bucket,
              struct view key, struct arena *arena, struct s3_place *place);

/* Appends "&name=value" ("name=value" to an empty query), the value encoded. */
void s3_query(struct buffer *query, const char *name, struct view value);

/* Whether a region named by an answer may become part of a host's name. */
bool s3_region_lawful(struct view region);

#endif
