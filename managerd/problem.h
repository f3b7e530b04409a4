/*
 * Problem documents (RFC 9457): one list of what can go wrong, with status, title and page.
 *
 * A problem says what happened and what to do about it; it never holds a secret, a path of this
 * machine or a stack.
 */
#ifndef MANAGERD_PROBLEM_H
#define MANAGERD_PROBLEM_H

#include "managerd/shape.h"

/* X(enumerator, slug, status, title, page) */
#define PROBLEM_LIST(X)                                                                            \
    X(NONE, "none", 200, "No problem", "Nothing is wrong.")                                        \
    X(UNREADABLE, "unreadable", 400, "The request cannot be read",                                 \
      "The request is not HTTP or JSON as it should be. The detail says where it stops making "    \
      "sense.")                                                                                    \
    X(UNAUTHENTICATED, "unauthenticated", 401, "A token is needed",                                \
      "Send the header Authorization: Bearer TOKEN with a token that this installation knows.")    \
    X(FORBIDDEN, "forbidden", 403, "This is not allowed",                                          \
      "The token is known but its role may not do this, or the app is not among those it is "      \
      "limited to; or no token is configured, and the request did "                                \
      "not come from this machine itself (its Host is not a loopback name, or its Origin is a "    \
      "foreign web page).")                                                                        \
    X(NOT_FOUND, "not-found", 404, "There is nothing at this address",                             \
      "No resource of the API has this path. /openapi.json lists them all.")                       \
    X(APP_NOT_FOUND, "app-not-found", 404, "There is no such app",                                 \
      "Create the app with PUT, or deploy to it.")                                                 \
    X(DOMAIN_NOT_FOUND, "domain-not-found", 404, "There is no such domain",                        \
      "GET /v1/domains lists the domains; create one with PUT.")                                   \
    X(KEY_NOT_FOUND, "key-not-found", 404, "There is no such API key",                             \
      "GET /v1/apps/NAME/keys lists the API keys of an app.")                                      \
    X(TOKEN_NOT_FOUND, "token-not-found", 404, "There is no such token",                           \
      "GET /v1/tokens lists the tokens of this API.")                                              \
    X(CHANGE_NOT_FOUND, "change-not-found", 404, "There is no such change",                        \
      "The history of an app or a domain holds its last 100 changes of 90 days.")                  \
    X(VERSION_NOT_FOUND, "version-not-found", 404, "There is no such version",                     \
      "GET /v1/apps/NAME/versions lists the versions of an app.")                                  \
    X(OPERATION_NOT_FOUND, "operation-not-found", 404, "There is no such operation",               \
      "GET /v1/operations lists the operations.")                                                  \
    X(METHOD_NOT_ALLOWED, "method-not-allowed", 405, "The resource has no such method",            \
      "The header Allow of the answer lists the methods of the resource.")                         \
    X(CONFLICT, "conflict", 409, "The present state does not allow this",                          \
      "What was asked for contradicts the present state of the resource; the detail says how.")    \
    X(APP_HAS_DOMAINS, "app-has-domains", 409, "A domain leads to the app",                        \
      "Change or remove the domains that the detail names, then end the app.")                     \
    X(DOMAIN_RESERVED, "domain-reserved", 409, "The host belongs to the base domain",              \
      "Below the base domain every app has its own host, and needs no domain. Choose a host that " \
      "is neither at nor under the base domain, nor a wildcard that covers it.")                   \
    X(FUNCTION_EXISTS, "function-exists", 409, "A function of that name exists already",           \
      "The Lambda function was not made by this installation for this app. Choose another "        \
      "function name when creating the app, or deploy with adopt set to true to take it over.")    \
    X(DEPLOYMENT_RUNNING, "deployment-running", 409, "Another deployment is running",              \
      "Wait until it has ended, then try again.")                                                  \
    X(IDEMPOTENCY_RUNNING, "idempotency-key-running", 409, "The first request still runs",         \
      "A request with the same Idempotency-Key has not been answered yet. Try again later.")       \
    X(TOO_MANY_ATTEMPTS, "too-many-attempts", 429, "Too many wrong tokens",                        \
      "Too many tokens that nobody knows came from this address. Try again later, with the right " \
      "one.")                                                                                      \
    X(ANSWER_LOST, "idempotency-answer-lost", 409, "The first answer is not there any more",       \
      "A request with this Idempotency-Key was made before, and is not made again; but its "       \
      "answer "                                                                                    \
      "was never known, or too large to be kept. Use a new key to make it anew.")                  \
    X(INVOCATIONS_RUNNING, "invocations-running", 429, "Too many invocations are running",         \
      "Events and replies are large, so only some invocations run at a time. Try again later.")    \
    X(CHECKS_RUNNING, "checks-running", 429, "Too many checks are running",                        \
      "Checks ask functions many requests, so only a few run at the same time. Try again later.")  \
    X(LOG_READERS_BUSY, "log-readers-busy", 429, "Too many readers of logs",                       \
      "CloudWatch Logs answers few calls a second, so only some readers are served at a time. "    \
      "Try again later.")                                                                          \
    X(PRECONDITION_FAILED, "precondition-failed", 412, "It has been changed meanwhile",            \
      "The If-Match or If-None-Match condition does not hold. Read the resource again, redo the "  \
      "change, and send it with the new ETag.")                                                    \
    X(TOO_LARGE, "too-large", 413, "The body is too large",                                        \
      "Packages may have MANAGERD_MAX_PACKAGE_BYTES, events 6 MiB, other bodies 1 MiB.")           \
    X(MEDIA_TYPE, "media-type", 415, "The body is of the wrong type",                              \
      "The detail lists what the resource takes.")                                                 \
    X(INVALID, "invalid", 422, "The request is readable but wrong",                                \
      "Every fault is listed in errors: pointer names the member of the body (RFC 6901), "         \
      "parameter the part of the path or query or the header.")                                    \
    X(PACKAGE_INVALID, "package-invalid", 422, "The package cannot be deployed",                   \
      "The archive is empty, unreadable, or holds something that Lambda would refuse.")            \
    X(DIGEST_MISMATCH, "digest-mismatch", 400, "The body is not the one that was sent",            \
      "The SHA-256 in Content-Digest or Repr-Digest (RFC 9530) is another one than that of the "   \
      "body as it came. Send it again.")                                                           \
    X(IDEMPOTENCY_REUSED, "idempotency-key-reused", 422,                                           \
      "The Idempotency-Key belongs to another request",                                            \
      "Use a new key for each new request; a key is remembered for 24 hours.")                     \
    X(CANCELLED, "cancelled", 409, "The operation was cancelled", "Somebody cancelled it.")        \
    X(PROBE_FAILED, "probe-failed", 422, "The new version does not answer as it must",             \
      "Before traffic moves, the new version gets a GET for the app's probe path. It must give a " \
      "well-formed answer with a status below 500. The old version keeps serving. Set probe to "   \
      "null to deploy without a probe.")                                                           \
    X(CANARY_FAILED, "canary-failed", 422, "The new version did worse than it may",                \
      "What the proxies measured of the new version crossed a limit of its canary, so the "        \
      "traffic before it is served again. The operation's steps hold the figures.")                \
    X(VERSION_LOST, "version-lost", 409, "The version's Lambda version is lost",                   \
      "Its Lambda version was deleted, or is no longer what was deployed. It takes no traffic. "   \
      "Deploy its package once more, as {\"package\": {\"version\": N}}.")                         \
    X(AWS_REFUSED, "aws-refused", 422, "AWS refused the call",                                     \
      "AWS Lambda refused what was asked of it; the member aws holds its reason.")                 \
    X(AWS_DENIED, "aws-denied", 502, "AWS does not allow managerd to do this",                     \
      "The credentials of managerd are wrong or lack a permission; the member aws says which.")    \
    X(AWS_UNAVAILABLE, "aws-unavailable", 502, "AWS cannot be used now",                           \
      "AWS Lambda could not be reached or kept failing. Try again later.")                         \
    X(AWS_FAILED, "aws-failed", 502, "AWS could not do it",                                        \
      "AWS accepted the call, but the function did not become ready; the detail holds the "        \
      "reason.")                                                                                   \
    X(TIMEOUT, "timeout", 504, "It took too long",                                                 \
      "The function did not become ready in time. Deploying again continues where this stopped.")  \
    X(TOO_MANY_UPLOADS, "too-many-uploads", 503, "Too many packages are being uploaded",           \
      "As many packages are on their way as MANAGERD_MAX_UPLOADS and MANAGERD_MAX_UPLOAD_BYTES "   \
      "allow. Retry-After says when to try again.")                                                \
    X(INVOCATION_DEADLINE, "invocation-deadline", 504, "The function did not answer in time",      \
      "There was no whole reply within the deadline. The function may have done its work, or be "  \
      "at it still.")                                                                              \
    X(STORAGE_FULL, "storage-full", 507, "No space is left",                                       \
      "The disk or the database is full. Free space, then try again.")                             \
    X(STORAGE_FAILED, "storage-failed", 500, "Stored data cannot be read or written",              \
      "The log of managerd says what failed.")                                                     \
    X(UNPUBLISHED, "unpublished", 503, "Saved, but not yet in force",                              \
      "The change is saved, but the routes could not be written. It is tried again each second.")  \
    X(INTERNAL, "internal", 500, "Something is wrong inside managerd",                             \
      "This is a fault of managerd; its log says more.")

enum problem_type {
#define PROBLEM_ENUM(code, slug, status, title, page) PROBLEM_##code,
    PROBLEM_LIST(PROBLEM_ENUM)
#undef PROBLEM_ENUM
        PROBLEM_COUNT,
};

struct problem {
    enum problem_type type;
    const char *detail; /* in an arena; never NULL once set */
    int status;         /* 0: the type's own */
    /* What AWS said; empty when it is not about AWS. */
    struct view aws_code, aws_message, aws_request_id;
};

const char *problem_slug(enum problem_type type);
int problem_status(enum problem_type type);
const char *problem_title(enum problem_type type);
/* By slug; PROBLEM_COUNT when there is none. */
enum problem_type problem_find(struct view slug);
/* A small page for people. */
void problem_page(enum problem_type type, struct buffer *out);

/* The document as a tree; `faults` may be NULL, `instance` a request id or NULL. */
struct json *problem_document(const struct problem *problem, const struct faults *faults,
                              const char *instance);

#endif
