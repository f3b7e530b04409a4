/*
 * A file put into S3 so that a process may die on the way: whole when it is small, else in parts, of which
 * what arrived is not sent again.
 *
 * An upload that was begun has an id, which its owner must keep before the first part goes out: on_begun
 * tells it, s3_upload_go_on lets it go on. With that id a later upload of the same file looks at the parts
 * that are there (size, and SHA-256 or MD5), sends what is missing or differs, S3_UPLOAD_AT_ONCE at a
 * time, and completes. When the upload is gone, it looks whether the object is there already, with
 * this file's size and SHA-256, and is done; else it begins anew (on_begun again).
 *
 * The object gets x-amz-meta-sha256: hex, of the whole file. Parts are S3_UPLOAD_PART bytes, more where
 * the file would be more than S3_MAX_PARTS of them.
 */
#ifndef COMMON_AWS_S3_UPLOAD_H
#define COMMON_AWS_S3_UPLOAD_H

#include "common/aws/s3.h"

#define S3_UPLOAD_PART    (UINT64_C(8) << 20)
#define S3_UPLOAD_WHOLE   (UINT64_C(16) << 20) /* up to here one PutObject does */
#define S3_UPLOAD_AT_ONCE 3

struct s3_upload;

struct s3_upload_wish {
    struct view bucket, key; /* all views are copied */
    int fd;                  /* the file; borrowed until it is over; must not change */
    uint64_t size;
    struct view sha256; /* of all of it, hex */
    const struct s3_properties
        *properties; /* NULL: none; at most S3_MAX_METADATA - 1 names. Copied */
    struct view expected_owner;
    struct view upload_id; /* of one that was begun; empty: none */
    /* Never for a file that is put whole. Called for each upload that is begun: keep the id (and forget
     * the one before), then s3_upload_go_on, at once or later. NULL: nobody keeps it, it goes on. */
    void (*on_begun)(struct view upload_id, void *context);
    /* Bytes that S3 has of it, never fewer than before; NULL: nobody asks. */
    void (*on_progress)(uint64_t sent, uint64_t size, void *context);
    /* Once. `outcome` S3_OK: the object is there, with `object` as S3 told. On failure the upload is
     * left as it is, to be gone on with or aborted (S3_ABORT_UPLOAD). The upload is over: do not cancel it. */
    void (*on_done)(const struct s3_answer *answer, void *context);
    void *context;
};

struct s3_upload *s3_upload_start(struct s3 *s3, const struct s3_upload_wish *wish);
void s3_upload_go_on(struct s3_upload *upload);
/* Ends it without on_done; what was begun stays in S3. NULL is fine. */
void s3_upload_cancel(struct s3_upload *upload);

/* Bytes of each part but the last. */
uint64_t s3_upload_part_bytes(uint64_t size);

#endif
