/*
 * What /invoke answers: what a version gave, taken apart as proxyd does, as JSON. Pure. Docs:
 * docs/invoke.md.
 */
#ifndef MANAGERD_INVOKE_ANSWER_H
#define MANAGERD_INVOKE_ANSWER_H

#include "managerd/ask.h"

struct invoke_outcome {
    const struct json *version; /* its record */
    bool is_request;            /* the output is a response to be taken apart */
    struct view output;         /* what the function gave, or the error object it failed with */
    bool failed;                /* the function, or Lambda, said so: */
    struct view type, message;
    bool timed_out;
    const char *problem;    /* the stream was not as it must be: why; NULL: it was */
    const char *cut;        /* "size", "deadline": there was more; NULL: that is all */
    struct view log;        /* base64; empty: none */
    struct view request_id; /* Lambda's; empty: not known */
    int64_t duration_ms;
};

#define INVOKE_ANSWER_BYTES ((size_t)24 * 1024 * 1024) /* more than any answer has */

/* Appends the JSON object. Texts that JSON would make much longer go as base64. */
void invoke_answer(const struct invoke_outcome *outcome, struct buffer *out);

#endif
