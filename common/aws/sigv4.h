/*
 * AWS Signature Version 4: signing with a cached day key, and verifying (for servers that play
 * AWS). Pure but for the cache. Source: AWS "Create a signed AWS API request"; botocore/auth.py is
 * the oracle in the tests.
 */
#ifndef COMMON_AWS_SIGV4_H
#define COMMON_AWS_SIGV4_H

#include "common/aws/credentials.h"
#include "common/base/arena.h"
#include "common/base/bytes.h"

#define SIGV4_MAX_HEADERS 128

struct sigv4_header {
    struct view name, value;
};

struct sigv4_request {
    struct view method;
    struct view path;  /* as on the wire, without query: "/2015-03-31/functions/arn%3Aaws…" */
    struct view query; /* as on the wire, without "?"; encoded pairs, any order */
    struct view host;  /* as sent in Host: no port when it is the scheme's default */
    const struct sigv4_header *headers; /* further headers to sign (x-amz-*, content-type), without
                                           host, x-amz-date, token. Those that hops may change
                                           (user-agent, x-amzn-trace-id, connection …) are skipped,
                                           so all headers of a request may be given. One named
                                           x-amz-content-sha256 is used instead of the body's hash
                                           */
    size_t header_count;
    struct view body;
    struct view region, service; /* "us-east-1", "lambda" */
    bool
        s3; /* path is not normalised nor encoded again; x-amz-content-sha256 is added and signed */
};

/* A cache of the derived key and its HMAC pads: one per thread and (region, service). */
struct sigv4_signer;
struct sigv4_signer *sigv4_signer_new(struct view region, struct view service);
void sigv4_signer_free(struct sigv4_signer *signer);

struct sigv4_signature {
    char amz_date[17];         /* X-Amz-Date */
    struct view authorization; /* in the arena */
    struct view session_token; /* X-Amz-Security-Token; empty: none to send. Borrowed from the
                                  credentials */
    char content_sha256[65];   /* X-Amz-Content-Sha256 (s3 only sends it) */
};
/* Signs at wall time `now_ms`. The request's region and service must be the signer's. ERROR_TOO_BIG
 * when the arena is full or there are more than SIGV4_MAX_HEADERS headers. */
enum error sigv4_sign(struct sigv4_signer *signer, const struct sigv4_request *request,
                      const struct credentials *credentials, int64_t now_ms, struct arena *arena,
                      struct sigv4_signature *signature) MUST_CHECK;

#define SIGV4_MAX_EXPIRY_S (INT64_C(7) * 24 * 60 * 60)
/* Signs in the query, for whoever gets the URL: appends the request's query and X-Amz-Algorithm,
 * -Credential, -Date, -Expires (1 to SIGV4_MAX_EXPIRY_S from now), -Security-Token, -SignedHeaders and
 * -Signature. The request's headers must then be sent as they are here. S3 signs no payload, others that
 * of the body. ERROR_TOO_BIG as above, or beyond the ceiling of `query`. */
enum error sigv4_presign(struct sigv4_signer *signer, const struct sigv4_request *request,
                         const struct credentials *credentials, int64_t now_ms, int64_t expires_s,
                         struct buffer *query) MUST_CHECK;

/* The canonical request and string to sign, for tests. */
void sigv4_canonical_request(struct buffer *out, const struct sigv4_request *request,
                             struct view amz_date, struct view session_token);

/* The derived signing key ("AWS4" + secret, day, region, service, "aws4_request"). */
void sigv4_day_key(struct view secret, struct view day, struct view region, struct view service,
                   uint8_t key[32]);

/* What a server finds when it checks a request. */
enum sigv4_verdict {
    SIGV4_VALID,
    SIGV4_MISSING,     /* no Authorization header and no X-Amz-Signature:
                          MissingAuthenticationTokenException */
    SIGV4_INCOMPLETE,  /* malformed: IncompleteSignatureException */
    SIGV4_UNKNOWN_KEY, /* UnrecognizedClientException */
    SIGV4_WRONG,       /* InvalidSignatureException */
    SIGV4_EXPIRED, /* X-Amz-Date more than 15 min (900 s) off: InvalidSignatureException "Signature
                      expired" */
};
/* `headers` are all headers as received (host, authorization, x-amz-date among them);
 * `request->headers` is not looked at. `lookup` gives the secret of a key id (false: unknown). The
 * scope's region and service must be the request's; the names of SignedHeaders rise, name the host
 * and every x-amz-* header that was sent, and each was sent. A stated x-amz-content-sha256 must be
 * the body's or UNSIGNED-PAYLOAD. A session token that is signed is accepted whatever it says.
 * Signatures in the query (presigned) are not read: SIGV4_INCOMPLETE. */
enum sigv4_verdict sigv4_verify(
    const struct sigv4_request *request, const struct sigv4_header *headers, size_t header_count,
    int64_t now_ms, bool (*lookup)(struct view access_key_id, struct view *secret, void *context),
    void *context);

#endif
