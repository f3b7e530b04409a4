/* Feeds any reply, and any stream's output, to the rules of a check: they agree with the decoder. */
#include "managerd/rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void judge(struct view payload, enum event_format format)
{
    struct arena arena, decoded;
    struct buffer problem;
    struct rules rules;
    struct reply reply;

    arena_init(&arena, (size_t)64 * 1024 * 1024);
    arena_init(&decoded, REPLY_ARENA_BYTES(payload.length));
    buffer_init(&problem, 1024);
    rules_begin(&rules, &arena);
    rules_judge_reply(&rules, format, format == EVENT_ALB && payload.length % 2, payload);
    bool is_good = reply_decode(format, payload, &decoded, &reply, &problem) == ERROR_NONE;
    REQUIRE(is_good == (rules.results[RULE_DECODED] == RULE_PASSED));
    REQUIRE(is_good || rules_broken(&rules));
    buffer_release(&problem);
    arena_release(&decoded);
    arena_release(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum prelude_mode modes[] = {PRELUDE_OPTIONAL, PRELUDE_AUTO};
    struct view payload = view_from(data, size);
    struct arena arena;
    struct rules rules;

    judge(payload, EVENT_2_0);
    judge(payload, EVENT_1_0);
    judge(payload, EVENT_ALB);
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        arena_init(&arena, (size_t)64 * 1024 * 1024);
        rules_begin(&rules, &arena);
        rules_judge_stream(&rules, modes[i], EVENT_2_0, false, payload);
        arena_release(&arena);
    }
    return 0;
}
