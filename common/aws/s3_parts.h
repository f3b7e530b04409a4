/* The S3 client and its calls from the inside: for s3.c, s3_call.c and s3_request.c alone. */
#ifndef COMMON_AWS_S3_PARTS_H
#define COMMON_AWS_S3_PARTS_H

#include "common/aws/credentials.h"
#include "common/aws/endpoint.h"
#include "common/aws/retry.h"
#include "common/aws/s3.h"
#include "common/aws/s3_address.h"
#include "common/aws/s3_digest.h"
#include "common/base/arena.h"
#include "common/net/outgoing.h"

#include <sys/queue.h>

#define S3_MAX_HOMES    64 /* buckets whose regions are remembered */
#define S3_MAX_QUERY    16384
#define S3_MAX_HEADERS  (S3_MAX_METADATA + 12)
#define S3_CONTENT_HASH "x-amz-content-sha256"

/* Where a bucket is. */
struct s3_home {
    TAILQ_ENTRY(s3_home) all;
    struct view bucket, region; /* own */
    struct sigv4_signer *signer;
};

struct s3 {
    struct event_base *base;
    struct arena arena; /* of the endpoint */
    struct endpoint endpoint;
    struct view region; /* where buckets are as long as nothing else is known */
    struct credentials_provider *credentials;
    struct outgoing *outgoing;
    struct retry_budget budget;
    struct view expected_owner;
    bool checksums; /* are sent; AWS_REQUEST_CHECKSUM_CALCULATION says otherwise */
    TAILQ_HEAD(, s3_home) homes;
    unsigned home_count;
    TAILQ_HEAD(, s3_call) calls;
    uint64_t attempts[S3_OPERATION_COUNT], failures[S3_OPERATION_COUNT];
};

struct s3_call {
    TAILQ_ENTRY(s3_call) all;
    struct s3 *s3;
    struct arena arena;        /* of all that is copied */
    struct s3_request request; /* its views are copies */
    struct s3_properties properties;
    const char *fault;        /* why it cannot be sent; NULL: it can */
    struct arena sending;     /* of the attempt: libcurl borrows its URL */
    struct buffer body;       /* of COMPLETE_UPLOAD */
    struct s3_digest *digest; /* while the content is hashed */
    uint64_t hashed;
    struct s3_proof proof;
    struct event *timer; /* the next slice to hash, or the wait before a retry */
    struct outgoing_call *outgoing;
    const struct outgoing_call *answered; /* during on_done */
    bool waiting_for_credentials;
    struct credentials *credentials; /* that signed the last attempt */
    unsigned attempt;
    int retry_cost; /* of the last retry; 0: there was none */
    bool signed_again, moved;
    bool unreadable; /* the content's file */
    bool over;       /* inside on_done */
    /* GET_OBJECT: what on_bytes got so far, and where the present answer is in the object. */
    bool got_head, got_head_now;
    struct s3_object object;
    uint64_t received, at;
    void (*on_done)(const struct s3_answer *answer, void *context);
    void *context;
};

/* Where the bucket is, as far as it is known. */
struct s3_home *s3_home_of(struct s3 *s3, struct view bucket);
/* AWS said where it is. */
void s3_home_move(struct s3 *s3, struct view bucket, struct view region);

struct s3_row {
    const char *name, *method;
    bool of_object; /* its path has a key */
    bool has_body;
};
const struct s3_row *s3_row(enum s3_operation operation);

/* Copies the request into the call; what is wrong with it becomes its fault. */
void s3_request_take(struct s3_call *call, const struct s3_request *request);
/* The pairs of its query. */
void s3_request_query(const struct s3_call *call, struct buffer *query);
/* The headers to sign and send, without those of the signature; how many. */
size_t s3_request_headers(const struct s3_call *call, struct arena *arena,
                          struct sigv4_header headers[S3_MAX_HEADERS]);
int64_t s3_request_deadline_ms(const struct s3_call *call);

void s3_call_free(struct s3_call *call);

#endif
