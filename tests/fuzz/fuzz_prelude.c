/* Fuzzes the beginning of streamed replies: in every mode and in pieces the same head, fit to be sent, and no byte lost. */
#include "common/contract/prelude.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
    struct arena arena;
    struct buffer problem;
    struct prelude prelude;
    enum error error;
    size_t body_start; /* where in the stream the body begins that was not held */
};

static void decode(struct outcome *outcome, enum prelude_mode mode, struct view stream,
                   size_t piece)
{
    size_t at = 0;

    *outcome = (struct outcome){.error = ERROR_NONE};
    arena_init(&outcome->arena, REPLY_ARENA_BYTES(PRELUDE_MAX_BYTES));
    buffer_init(&outcome->problem, 1000);
    prelude_init(&outcome->prelude, mode);
    while (at < stream.length && outcome->prelude.outcome == PRELUDE_PENDING) {
        struct view given = view_slice(stream, at, piece), rest = given;

        outcome->error = prelude_feed(&outcome->prelude, &rest, &outcome->arena, &outcome->problem);
        REQUIRE(rest.length == 0 || outcome->prelude.outcome != PRELUDE_PENDING);
        at += given.length - rest.length;
    }
    if (outcome->prelude.outcome == PRELUDE_PENDING)
        outcome->error = prelude_end(&outcome->prelude, &outcome->arena, &outcome->problem);
    REQUIRE(outcome->prelude.outcome != PRELUDE_PENDING);
    REQUIRE((outcome->error == ERROR_NONE) == (outcome->problem.length == 0));
    REQUIRE((outcome->error == ERROR_NONE) == (outcome->prelude.outcome != PRELUDE_REFUSED));
    outcome->body_start = at;
}

static void release(struct outcome *outcome)
{
    prelude_release(&outcome->prelude);
    arena_release(&outcome->arena);
    buffer_release(&outcome->problem);
}

static void check_headers(const struct reply *reply)
{
    REQUIRE(reply->header_count <= REPLY_MAX_HEADERS);
    for (size_t i = 0; i < reply->header_count; i++) {
        struct view name = reply->headers[i].name, value = reply->headers[i].value;

        REQUIRE(name.length > 0);
        for (size_t j = 0; j < name.length; j++)
            REQUIRE(name.data[j] > ' ' && name.data[j] != ':' && name.data[j] != 0x7F);
        for (size_t j = 0; j < value.length; j++)
            REQUIRE((unsigned char)value.data[j] >= ' ' || value.data[j] == '\t');
        REQUIRE(event_header_passes(name, VIEW("")));
        REQUIRE(!view_equal_nocase(name, VIEW("Content-Length")));
    }
}

/* What was held is all body, or it is a prelude. */
static void check_outcome(const struct outcome *outcome, struct view stream)
{
    static const char nuls[PRELUDE_NULS];
    struct view held = outcome->prelude.reply.body;
    struct view before = view_slice(stream, 0, outcome->body_start);

    if (outcome->error != ERROR_NONE)
        return;
    REQUIRE(outcome->prelude.reply.status >= 200 && outcome->prelude.reply.status <= 599);
    check_headers(&outcome->prelude.reply);
    if (outcome->prelude.outcome == PRELUDE_BUFFERED)
        REQUIRE(outcome->prelude.mode == PRELUDE_AUTO && held.length > 0 && held.data[0] == '{');
    if (held.length > 0 || outcome->body_start == 0)
        REQUIRE(view_equal(held, before));
    else
        REQUIRE(view_ends_with(before, view_from(nuls, PRELUDE_NULS)) &&
                before.length <= PRELUDE_MAX_BYTES);
}

static void check_same(const struct outcome *a, const struct outcome *b)
{
    const struct reply *one = &a->prelude.reply, *other = &b->prelude.reply;

    REQUIRE(a->error == b->error && a->prelude.outcome == b->prelude.outcome);
    if (a->error != ERROR_NONE)
        return;
    REQUIRE(one->body.length + (one->body.length ? 0 : a->body_start) ==
            other->body.length + (other->body.length ? 0 : b->body_start));
    REQUIRE(one->status == other->status && one->header_count == other->header_count);
    for (size_t i = 0; i < one->header_count; i++)
        REQUIRE(view_equal(one->headers[i].name, other->headers[i].name) &&
                view_equal(one->headers[i].value, other->headers[i].value));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum prelude_mode modes[] = {PRELUDE_REQUIRED, PRELUDE_OPTIONAL, PRELUDE_AUTO,
                                              PRELUDE_RAW};
    struct view stream = view_from(data, size);
    size_t piece = size ? data[size - 1] % 13 + 1 : 1;

    for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
        struct outcome whole, pieces;

        decode(&whole, modes[i], stream, size + 1);
        decode(&pieces, modes[i], stream, piece);
        check_outcome(&whole, stream);
        check_outcome(&pieces, stream);
        check_same(&whole, &pieces);
        release(&whole);
        release(&pieces);
    }
    return 0;
}
