/*
 * What S3 says and wants to be told in XML. Pure. Views are copies in the arena; an answer without what it
 * must have, or with more than S3_MAX_ITEMS rows, is ERROR_INVALID.
 */
#ifndef COMMON_AWS_S3_XML_H
#define COMMON_AWS_S3_XML_H

#include "common/aws/s3.h"
#include "common/base/arena.h"

#define S3_MAX_ITEMS 1000

struct s3_failure {
    struct view code, message, request_id;
    struct view region; /* where the bucket is */
};
/* False: the document's root is no Error. */
bool s3_read_failure(struct view text, struct arena *arena, struct s3_failure *failure);

/* An answer to CreateMultipartUpload. */
enum error s3_read_upload_id(struct view text, struct arena *arena,
                             struct view *upload_id) MUST_CHECK;

/* An answer to CompleteMultipartUpload: the object's ETag. */
enum error s3_read_completed(struct view text, struct arena *arena,
                             struct s3_object *object) MUST_CHECK;

struct s3_list {
    struct s3_item *items;
    size_t count;
    struct view next, next_upload; /* `next` empty: that was all */
    bool checksums;                /* parts have SHA-256 checksums */
};
/* An answer to LIST_OBJECTS, LIST_PARTS or LIST_UPLOADS. */
enum error s3_read_list(enum s3_operation operation, struct view text, struct arena *arena,
                        struct s3_list *list) MUST_CHECK;

/* The body of CompleteMultipartUpload. */
void s3_write_parts(struct buffer *out, const struct s3_item *parts, size_t count);

#endif
