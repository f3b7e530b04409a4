/*
 * The rules of docs/http-contract.md that a reply can break, one by one. Pure.
 *
 * Whether a part of a reply is good is asked of common/contract itself, which decodes it alone
 * beside good other parts: so the rules cannot differ from what proxyd does. docs/http-contract.md
 * has the list; a test keeps both the same.
 */
#ifndef MANAGERD_RULES_H
#define MANAGERD_RULES_H

#include "common/base/arena.h"
#include "common/contract/prelude.h"
#include "common/contract/reply.h"

/* X(enumerator, name, what the rule asks for) */
#define RULE_LIST(X)                                                                               \
    X(INVOKED, "invoked", "Lambda takes the call and answers it.")                                 \
    X(FUNCTION_ERROR, "function-error", "The function does not fail.")                             \
    X(IN_TIME, "in-time", "The function answers within its deadline.")                             \
    X(SIZE, "size", "The reply has at most 6 MB (6291456 bytes).")                                 \
    X(FRAMES, "frames", "A streamed answer is whole: its messages and their sums are right.")      \
    X(PRELUDE, "prelude",                                                                          \
      "A stream begins with a prelude of at most 16 KB, or with its body; a buffered reply is "    \
      "not "                                                                                       \
      "sent as a stream.")                                                                         \
    X(JSON, "json", "The reply is JSON in UTF-8.")                                                 \
    X(ENVELOPE, "envelope",                                                                        \
      "The reply is a response object, or (2.0) a value without statusCode, which is the answer.") \
    X(MEMBERS, "members", "The response object has no members that its format does not know.")     \
    X(STATUS_CODE, "status-code", "statusCode is a whole number from 200 to 599.")                 \
    X(HEADERS, "headers", "headers is an object of strings, numbers, booleans and nulls.")         \
    X(MULTI_VALUE_HEADERS, "multi-value-headers",                                                  \
      "multiValueHeaders is an object of lists; with alb's multi-value headers it is there.")      \
    X(HEADER_NAMES, "header-names", "Names of headers are tokens.")                                \
    X(HEADER_VALUES, "header-values", "Values of headers have no control characters.")             \
    X(HEADER_LIMITS, "header-limits", "There are at most 200 headers, of at most 64 KB together.") \
    X(CONNECTION_HEADERS, "connection-headers",                                                    \
      "No header concerns the connection: such headers are dropped.")                              \
    X(RESERVED_HEADERS, "reserved-headers", "No header begins with X-Orchestrator-.")              \
    X(CONTENT_LENGTH, "content-length", "Content-Length, where it is given, is the body's.")       \
    X(COOKIES, "cookies", "cookies (2.0) is a list of strings of the form name=value.")            \
    X(BODY, "body", "body is a string, null or absent.")                                           \
    X(BASE64_FLAG, "base64-flag", "isBase64Encoded is true or false.")                             \
    X(BASE64_BODY, "base64-body", "With isBase64Encoded, body is base64.")                         \
    X(NO_BODY, "no-body", "Replies of status 204 and 304 have no body.")                           \
    X(STATUS_BELOW_500, "status-below-500", "No request is answered with a status from 500 up.")   \
    X(HEAD, "head", "HEAD is answered with the same status as GET.")                               \
    X(DECODED, "decoded", "The reply as a whole becomes a response.")

enum rule {
#define RULE_ENUM(code, name, text) RULE_##code,
    RULE_LIST(RULE_ENUM)
#undef RULE_ENUM
        RULE_COUNT
};

enum rule_result { RULE_SKIPPED, RULE_PASSED, RULE_FAILED };

/* Of one reply. */
struct rules {
    struct arena *arena;
    enum rule_result results[RULE_COUNT];
    const char *why[RULE_COUNT]; /* of a failed one, in the arena; else NULL */
    int status;                  /* of the response; 0: there is none */
    bool head; /* set by the caller: a reply to HEAD may tell the length that GET would bring */
};

const char *rule_name(enum rule rule);
const char *rule_text(enum rule rule);
const char *rule_result_name(enum rule_result result);

/* The arena needs room for a reply (REPLY_ARENA_BYTES), twice. */
void rules_begin(struct rules *rules, struct arena *arena);
void rules_pass(struct rules *rules, enum rule rule);
/* Only the first failure of a rule is kept. */
void rules_fail(struct rules *rules, enum rule rule, const char *format, ...) PRINTF_LIKE(3, 4);
bool rules_broken(const struct rules *rules);

/* A buffered reply. */
void rules_judge_reply(struct rules *rules, enum event_format format, bool multi_value,
                       struct view payload);
/* The output of a streamed one, as far as it was read. */
void rules_judge_stream(struct rules *rules, enum prelude_mode mode, enum event_format format,
                        bool multi_value, struct view output);

#endif
