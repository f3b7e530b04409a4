/*
 * HTTP request -> Lambda event, in the payload formats of AWS: 2.0 as a Function URL delivers
 * it, 1.0 as REST API proxy integrations, alb as an ALB target. Pure; streams into the buffer.
 * Sources: aws-contract sections 1.1–1.4 (AWS Lambda and API Gateway developer guides, captured
 * events).
 */
#ifndef COMMON_CONTRACT_EVENT_H
#define COMMON_CONTRACT_EVENT_H

#include "common/base/bytes.h"

enum event_format { EVENT_1_0 = 1, EVENT_2_0 = 2, EVENT_ALB = 3 };

struct event_header {
    struct view name, value; /* as sent, in the order sent */
};

struct event_request {
    struct view method;
    struct view raw_path;               /* as forwarded, percent-encoded */
    struct view raw_query;              /* without "?" */
    struct view protocol;               /* "HTTP/1.1" */
    const struct event_header *headers; /* what the client sent, minus what must not pass;
                                           X-Forwarded-* and trace id added by the caller */
    size_t header_count;
    struct view body;
    struct view source_ip;
    struct view domain_name; /* host without port */
    struct view request_id;
    int64_t time_ms;
    struct view app;              /* stands for apiId / url id */
    struct view account_id;       /* "anonymous" for 2.0 when unknown */
    struct view api_key_id;       /* 1.0 has a place for it; empty: none */
    struct view claims;           /* of a verified token, a JSON object; empty: no token */
    bool scopes_asked;            /* the token had to have scopes: they are shown */
    bool multi_value;             /* alb only */
    struct view target_group_arn; /* alb only */
};

/* Appends the event. The buffer's ceiling is the limit (Lambda: 6 MB): ERROR_TOO_BIG. */
enum error event_encode(enum event_format format, const struct event_request *request,
                        struct buffer *out) MUST_CHECK;
/* Whether the body goes as base64: by Content-Encoding, Content-Type and UTF-8 validity
 * (aws-contract 1.4). */
bool event_body_is_binary(struct view content_type, struct view content_encoding, struct view body);
/* Header names that never reach a function (hop-by-hop, RFC 9110 section 7.6.1, and those named in
 * `connection`). */
bool event_header_passes(struct view name, struct view connection);

#endif
