/*
 * S3 as the programs use it: objects put, read, looked at, listed and deleted, uploads in parts, and
 * URLs that are signed for others. Source: aws-contract 5.3; botocore's model of s3.
 *
 * One client per loop. A call is sent as the SDKs do it: signed with x-amz-content-sha256, tried three
 * times at most where that may help (retry.h), signed once more after a refusal that corrects our clock
 * or our keys, sent once more to the region that AWS names for the bucket, which is remembered. What
 * broke in the middle of being read goes on where it broke, of the same object or not at all. A status
 * of 200 with an <Error> in it is an error. on_done comes from the loop, once, unless the call was
 * cancelled.
 *
 * Files are read as they go out and hashed in slices before that: a call holds about 64 KiB. Endpoint and
 * region come from the SDKs' variables and files (endpoint.h). A bucket is addressed by host name where
 * its name allows that and no endpoint_url is configured, else by path; the profile's
 * "s3 = addressing_style" decides otherwise.
 *
 * Every operation but one may be done again: CompleteMultipartUpload, whose answer was lost, is then told
 * that there is no such upload (S3_NOT_FOUND, "NoSuchUpload"): look at the object (s3_upload.h does). A
 * PutObject with `if_none_match` whose answer was lost may find its own object: S3_CONFLICT.
 */
#ifndef COMMON_AWS_S3_H
#define COMMON_AWS_S3_H

#include "common/aws/sigv4.h" /* struct sigv4_header */
#include "common/base/bytes.h"

struct event_base;
struct credentials_provider;
struct s3;
struct s3_call;

#define S3_MAX_KEY      1024                        /* bytes */
#define S3_MAX_PARTS    10000                       /* of one upload */
#define S3_MIN_PART     (UINT64_C(5) << 20)         /* but for the last one */
#define S3_MAX_PUT      (UINT64_C(5) << 30)         /* in one PutObject, or in one part */
#define S3_MAX_METADATA 16                          /* names; AWS allows 2 KiB in all */
#define S3_MAX_EXPIRY_S (INT64_C(7) * 24 * 60 * 60) /* of a presigned URL */

enum s3_operation {
    S3_PUT_OBJECT,
    S3_GET_OBJECT,
    S3_HEAD_OBJECT,
    S3_DELETE_OBJECT, /* what is not there is deleted, too */
    S3_LIST_OBJECTS,  /* ListObjectsV2 */
    S3_HEAD_BUCKET,   /* whether it is there and ours to use */
    S3_BEGIN_UPLOAD,  /* CreateMultipartUpload */
    S3_UPLOAD_PART,
    S3_LIST_PARTS,
    S3_COMPLETE_UPLOAD, /* CompleteMultipartUpload */
    S3_ABORT_UPLOAD,    /* AbortMultipartUpload */
    S3_LIST_UPLOADS,    /* ListMultipartUploads */
    S3_OPERATION_COUNT,
};
const char *s3_operation_name(enum s3_operation operation);

enum s3_outcome {
    S3_OK,
    S3_NOT_FOUND, /* 404: no such object, upload, version or bucket (`code` says which; HEADs do not) */
    S3_CONFLICT, /* 409, 412: there already, or changed meanwhile */
    S3_REFUSED,  /* another 4xx, or a wish that cannot be sent (`status` 0, `error` INVALID) */
    S3_DENIED,   /* 401, 403, or there are no credentials. AWS says so, too, of objects that are not
                       there when we may not list the bucket */
    S3_UNAVAILABLE, /* no whole answer, throttled or 5xx, after every retry; a change may be made */
    S3_STOPPED,     /* on_bytes had enough; or the file to send could not be read (`error`) */
};

/* The bytes to send: a piece of a file, or what lies in memory. Borrowed until the call is over. */
struct s3_content {
    bool in_file;
    int fd;             /* in_file: read with pread; must not change meanwhile */
    uint64_t offset;    /* in_file */
    uint64_t length;    /* at most S3_MAX_PUT */
    const char *bytes;  /* not in_file */
    struct view sha256; /* hex, of these bytes, when it is known; empty: found out first */
};

/* What an object is put with (PutObject, CreateMultipartUpload). All may be empty. */
struct s3_properties {
    struct view content_type;
    const struct sigv4_header *metadata; /* names without "x-amz-meta-", in lower case */
    size_t metadata_count;
    bool kms;               /* x-amz-server-side-encryption: aws:kms */
    struct view kms_key_id; /* with `kms`; empty: the account's own key */
    bool if_none_match;     /* PutObject: only when there is no object of that key (S3_CONFLICT) */
};

/* One part of an upload, for CompleteMultipartUpload; one row of an answer for lists. */
struct s3_item {
    struct view key;       /* LIST_OBJECTS, LIST_UPLOADS */
    struct view upload_id; /* LIST_UPLOADS */
    unsigned part;         /* LIST_PARTS; from 1 */
    uint64_t size;         /* LIST_OBJECTS, LIST_PARTS */
    struct view etag;      /* without quotes */
    struct view sha256;    /* base64, where the service knows it; LIST_PARTS */
    int64_t at_ms;         /* last changed, or begun (LIST_UPLOADS); 0: unknown */
};

/* What the answer's headers say of an object. */
struct s3_object {
    uint64_t size;       /* of the whole object (GET, HEAD) */
    struct view etag;    /* without quotes; its MD5 only where it was put whole and not by KMS */
    struct view version; /* empty: the bucket keeps none */
    struct view
        sha256; /* x-amz-checksum-sha256, base64; "…-N" where it was put in parts; or empty */
    uint64_t offset; /* during on_bytes: where in the object these bytes are */
};

struct s3_request {
    enum s3_operation operation;
    struct view bucket;        /* all views are copied unless said otherwise */
    struct view key;           /* not of lists and HEAD_BUCKET; any bytes of UTF-8, encoded here */
    struct view version;       /* GET, HEAD, DELETE: of the object; empty: the newest */
    struct s3_content content; /* PUT_OBJECT, UPLOAD_PART */
    const struct s3_properties *properties; /* PUT_OBJECT, BEGIN_UPLOAD; NULL: none. Copied */
    struct view upload_id;                  /* of what deals with parts */
    /* UPLOAD_PART: what a list says is there: the same bytes are not sent again (`status` 0). NULL:
     * nothing. Copied */
    const struct s3_item *present;
    unsigned part;               /* UPLOAD_PART: 1 to S3_MAX_PARTS */
    const struct s3_item *parts; /* COMPLETE_UPLOAD: rising; copied */
    size_t part_count;
    struct view prefix;       /* LIST_OBJECTS, LIST_UPLOADS */
    struct view after;        /* lists: `next` of the answer before; empty: from the beginning */
    struct view after_upload; /* LIST_UPLOADS: `next_upload` of the answer before */
    unsigned max_items;       /* lists: of one answer; 0: 1,000, which is the most */
    /* GET_OBJECT: from `offset`, `length` bytes (0: to the end), only while the ETag is `if_match`
     * (empty: whichever). */
    uint64_t offset, length;
    struct view if_match;
    /* GET_OBJECT: the bytes as they come, in order, each once. False: it has enough, the call ends as
     * S3_STOPPED. May cancel the call. */
    bool (*on_bytes)(struct view bytes, const struct s3_object *object, void *context);
    struct view expected_owner; /* x-amz-expected-bucket-owner; empty: the client's own */
    int64_t deadline_ms;        /* of one attempt; 0: a minute and what the bytes may take */
    bool once;                  /* no further attempts */
};

struct s3_answer {
    enum s3_outcome outcome;
    int status;       /* 0: none */
    enum error error; /* without a whole answer: TIMEOUT, TOO_BIG (over 8 MiB), BROKEN, … */
    bool sent;        /* without a whole answer: perhaps S3 has read the call */
    /* Empty or filled, never NULL data: what S3 said when the outcome is not OK. */
    struct view code, message, request_id;
    struct s3_object
        object; /* PUT, GET, HEAD, COMPLETE (etag, version), UPLOAD_PART (etag, sha256) */
    struct view upload_id; /* BEGIN_UPLOAD */
    bool checksums; /* BEGIN_UPLOAD, LIST_PARTS: the service keeps SHA-256 checksums of parts */
    const struct s3_item *items; /* lists; borrowed during on_done, like all of it */
    size_t item_count;
    struct view next, next_upload; /* where the list goes on; `next` empty: that was all */
    const struct s3_call *call;    /* for s3_header */
};

struct s3_options {
    const char *(*variable)(const char *name); /* getenv, or stands for it */
    struct credentials_provider *credentials;  /* of the same loop; borrowed, must live longer */
    struct view region;                        /* of the buckets; empty: AWS_REGION and so on */
    struct view expected_owner; /* an account's 12 digits, for every call; empty: any */
    unsigned max_connections;   /* 0: 16 */
};

/* ERROR_*: the SDKs' variables or files say something that cannot be; one sentence in `problem`. */
enum error s3_new(struct event_base *base, const struct s3_options *options, struct s3 **s3,
                  struct buffer *problem) MUST_CHECK;
/* Ends what is under way, without on_done. Not from inside on_bytes. NULL is fine. */
void s3_free(struct s3 *s3);

/* Never fails at once: what cannot be sent ends through on_done. */
struct s3_call *s3_send(struct s3 *s3, const struct s3_request *request,
                        void (*on_done)(const struct s3_answer *answer, void *context),
                        void *context);
/* Ends the call without on_done; what was sent may still happen. NULL is fine. */
void s3_cancel(struct s3_call *call);
/* A header of the answer, during on_done ("x-amz-meta-…"). */
bool s3_header(const struct s3_answer *answer, const char *name, struct view *value);

/* A URL that lets whoever has it do one thing until it expires; a secret. */
struct s3_presign {
    const char *method; /* "GET", "PUT" */
    struct view bucket, key, version;
    struct view upload_id; /* PUT of a part */
    unsigned part;
    int64_t expires_s; /* 1 to S3_MAX_EXPIRY_S; also ends with the credentials that sign it */
    /* What the one who uses it must send as it is here: Content-Length, x-amz-checksum-sha256, … */
    const struct sigv4_header *headers;
    size_t header_count;
};
/* Appends the URL. ERROR_NOT_FOUND: there are no credentials yet; ERROR_INVALID: a wish that cannot be. */
enum error s3_presign(struct s3 *s3, const struct s3_presign *wish, struct buffer *url) MUST_CHECK;

/* Whether AWS takes it for a bucket's name; access points and their ARNs are none. */
bool s3_bucket_lawful(struct view bucket);

const char *s3_endpoint(const struct s3 *s3);
const char *s3_region(const struct s3 *s3);
/* Attempts so far, and those that brought no good answer; for metrics. */
uint64_t s3_attempts(const struct s3 *s3, enum s3_operation operation);
uint64_t s3_failures(const struct s3 *s3, enum s3_operation operation);

#endif
