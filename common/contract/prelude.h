/*
 * How a streamed reply begins: JSON prelude, 8 NUL bytes, body (the HTTP integration that
 * HttpResponseStream.from() writes), or no prelude at all. Finds out which, from bytes that are
 * split anywhere, and gives the head of the response. Pure; holds 16 KB per stream at most.
 * Sources: aws-contract section 3.6 (Lambda and API Gateway developer guides on response streaming).
 *
 *     prelude_init(&prelude, PRELUDE_AUTO);
 *     while (prelude.outcome == PRELUDE_PENDING && more bytes of output came)
 *         error = prelude_feed(&prelude, &bytes, &arena, &problem);
 *     the body is prelude.reply.body, then what is left of `bytes`, then all that follows
 */
#ifndef COMMON_CONTRACT_PRELUDE_H
#define COMMON_CONTRACT_PRELUDE_H

#include "common/contract/reply.h"

#define PRELUDE_NULS      8
#define PRELUDE_MAX_BYTES ((size_t)16 * 1024) /* the NULs are among them */

/* A prelude begins with `{`, so other streams are told from it by their first byte. */
enum prelude_mode {
    PRELUDE_REQUIRED, /* no prelude is a fault, as API Gateway has it */
    PRELUDE_OPTIONAL, /* a stream without one is a body, as a Function URL has it */
    PRELUDE_AUTO,     /* as OPTIONAL, but what begins with `{` and has none is a buffered reply */
    PRELUDE_RAW       /* all is body; nothing is looked for */
};

enum prelude_outcome {
    PRELUDE_PENDING,  /* more bytes are needed */
    PRELUDE_STREAM,   /* `reply` is the head of the response; its body streams */
    PRELUDE_BUFFERED, /* collect all of the body, then reply_decode() it; `reply` has no more */
    PRELUDE_REFUSED
};

/* Read `outcome` and `reply`, leave the rest alone. */
struct prelude {
    enum prelude_mode mode;
    enum prelude_outcome outcome;
    /* As reply_decode's, in the arena or in what is held here. `body` is only what was held back
     * and turned out to be body. Without a prelude: 200 and application/octet-stream, which the
     * caller may replace when Lambda named a better type. */
    struct reply reply;
    size_t nul_count; /* at the end of what is held */
    struct buffer held;
};

void prelude_init(struct prelude *prelude, enum prelude_mode mode);
/* What `reply` borrowed ends here. */
void prelude_release(struct prelude *prelude);
/* Takes bytes off the front of `bytes` while the outcome is pending; never a byte of the body. The
 * arena should allow REPLY_ARENA_BYTES(PRELUDE_MAX_BYTES). ERROR_INVALID (a prelude that breaks a
 * rule, or the lack of one), ERROR_TOO_BIG or ERROR_NO_MEMORY: the outcome is refused, and one
 * sentence for the log is appended to `problem`. */
enum error prelude_feed(struct prelude *prelude, struct view *bytes, struct arena *arena,
                        struct buffer *problem) MUST_CHECK;
/* The output ended while the outcome was pending: decides by what there was. As prelude_feed, and
 * ERROR_TRUNCATED when a prelude was required. */
enum error prelude_end(struct prelude *prelude, struct arena *arena,
                       struct buffer *problem) MUST_CHECK;

#endif
