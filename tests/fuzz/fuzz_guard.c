/* Fuzzes the guard: any bytes, cut in any way, give the same verdict, and never a bad look. */
#include "common/net/guard.h"

#include <stdlib.h>
#include <string.h>

struct verdict {
    enum guard_reason reason;
    uint64_t body_bytes, scanned, committed;
    unsigned messages, headers;
    uint32_t body_sum; /* of the decoded bytes, in order */
};

static void note_body(struct verdict *verdict, struct view piece)
{
    for (size_t i = 0; i < piece.length; i++)
        verdict->body_sum = verdict->body_sum * 31 + (unsigned char)piece.data[i];
}

static void check_head(const struct guard *guard)
{
    struct view method = guard_method(guard), target = guard_target(guard), name, value;

    REQUIRE(method.length > 0 && memchr(method.data, ' ', method.length) == NULL);
    REQUIRE(target.length > 0 && (target.data[0] == '/' || view_equal(target, VIEW("*"))));
    REQUIRE(guard->http_1_0 || guard_host(guard).length > 0);
    for (size_t i = 0; guard_header_at(guard, i, &name, &value); i++) {
        REQUIRE(name.length > 0 && memchr(name.data, ':', name.length) == NULL);
        REQUIRE(memchr(value.data, '\n', value.length) == NULL);
        REQUIRE(memchr(value.data, '\r', value.length) == NULL);
        REQUIRE(memchr(value.data, '\0', value.length) == NULL);
    }
}

/* Pipelined messages, one behind the other, until one is refused or not whole. */
static struct verdict judge(const struct guard_limits *limits, struct view bytes, size_t piece)
{
    struct verdict verdict = {0};
    struct guard guard;
    size_t at = 0;
    bool more = true;

    guard_init(&guard, limits);
    while (more && guard.state != GUARD_STATE_REFUSED) {
        struct view part = view_slice(bytes, at, piece);
        struct guard_step step;

        at += guard_feed(&guard, part, &step);
        REQUIRE(guard_committed(&guard) <= guard.scanned);
        REQUIRE(guard.body_bytes <= limits->max_body_bytes);
        if (step.event == GUARD_EVENT_HEAD)
            check_head(&guard);
        if (step.event == GUARD_EVENT_BODY)
            note_body(&verdict, step.piece);
        if (step.event == GUARD_EVENT_END) {
            verdict.messages++;
            verdict.headers += guard.head.count + guard.trailer.count;
            REQUIRE(guard_committed(&guard) == guard.scanned);
            guard_next(&guard);
        }
        more = step.event != GUARD_EVENT_MORE || at < bytes.length;
    }
    verdict.reason = guard.reason;
    verdict.body_bytes = guard.body_bytes;
    verdict.scanned = guard.state == GUARD_STATE_REFUSED ? 0 : guard.scanned;
    verdict.committed = guard.committed;
    guard_release(&guard);
    return verdict;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct guard_limits limits = guard_default_limits;
    struct verdict whole, cut;

    if (size < 2)
        return 0;
    limits.allow_trailers = data[0] & 1;
    limits.allow_unknown_methods = data[0] & 2;
    if (data[0] & 4)
        limits = (struct guard_limits){20, 40, 100, 3, 10, data[0] & 1, data[0] & 2};
    whole = judge(&limits, view_from(data + 2, size - 2), size);
    cut = judge(&limits, view_from(data + 2, size - 2), 1 + data[1] % 16);
    REQUIRE(whole.reason == cut.reason && whole.messages == cut.messages);
    REQUIRE(whole.body_sum == cut.body_sum && whole.body_bytes == cut.body_bytes);
    REQUIRE(whole.headers == cut.headers && whole.scanned == cut.scanned);
    REQUIRE(whole.committed == cut.committed);
    return 0;
}
