/* Runs the guard over the raw messages of tests/vectors/guard, cut in every way. */
#include "common/net/guard.h"
#include "tests/unit/common/net/messages.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What came of it; compared between the ways of cutting. */
struct outcome {
    enum guard_event event;
    enum guard_reason reason;
    size_t used;
    struct buffer body;
};

/* Feeds bytes until they are used up or something final came; true when final. */
static bool feed(struct guard *guard, struct view bytes, struct outcome *outcome)
{
    struct guard_step step = {.event = GUARD_EVENT_HEAD};
    size_t used = 0;

    while (step.event != GUARD_EVENT_MORE) {
        used += guard_feed(guard, view_slice(bytes, used, SIZE_MAX), &step);
        outcome->event = step.event;
        if (step.event == GUARD_EVENT_BODY)
            buffer_append_view(&outcome->body, step.piece);
        assert_true(guard_committed(guard) <= guard->scanned);
        if (step.event == GUARD_EVENT_END || step.event == GUARD_EVENT_REFUSED) {
            outcome->used += used;
            outcome->reason = guard->reason;
            return true;
        }
    }
    assert_int_equal(used, bytes.length);
    outcome->used += used;
    return false;
}

static void check_accepted(const struct message *message, const struct guard *guard,
                           const struct outcome *outcome)
{
    struct buffer line;
    struct view value;

    assert_int_equal(outcome->event, GUARD_EVENT_END);
    buffer_init(&line, MESSAGE_MAX);
    buffer_append_view(&line, guard_method(guard));
    buffer_append_byte(&line, ' ');
    buffer_append_view(&line, guard_target(guard));
    assert_true(view_equal(buffer_view(&line), buffer_view(&message->accepted)));
    buffer_release(&line);
    assert_true(view_equal(buffer_view(&outcome->body), buffer_view(&message->body)));
    assert_int_equal(guard->body_bytes, message->body.length);
    assert_int_equal(outcome->used, message->raw.length - message->rest.length);
    assert_int_equal(guard->scanned, outcome->used);
    assert_int_equal(guard_committed(guard), outcome->used);
    if (message->host[0])
        assert_true(view_equal_string(guard_host(guard), message->host));
    if (message->keeps_alive[0])
        assert_int_equal(guard_keeps_alive(guard), strcmp(message->keeps_alive, "yes") == 0);
    if (message->trailer[0]) {
        char name[64], *equals;

        snprintf(name, sizeof(name), "%s", message->trailer);
        equals = strchr(name, '=');
        *equals = '\0';
        assert_true(guard_trailer(guard, name, &value));
        assert_true(view_equal_string(value, equals + 1));
    }
}

static void check(const struct message *message, const struct guard *guard,
                  const struct outcome *outcome)
{
    char refused[64];

    if (message->refused[0]) {
        assert_int_equal(outcome->event, GUARD_EVENT_REFUSED);
        snprintf(refused, sizeof(refused), "%s %d", guard_reason_name(outcome->reason),
                 guard_reason_status(outcome->reason));
        assert_string_equal(refused, message->refused);
    } else if (message->incomplete) {
        assert_int_equal(outcome->event, GUARD_EVENT_MORE);
    } else {
        check_accepted(message, guard, outcome);
    }
}

/* Cuts the bytes at `first`, then every `step` bytes. */
static void run(const struct message *message, size_t first, size_t step)
{
    struct view raw = buffer_view(&message->raw);
    struct outcome outcome = {0};
    struct guard guard;
    size_t at = 0;
    bool final = false;

    guard_init(&guard, &message->limits);
    buffer_init(&outcome.body, MESSAGE_MAX);
    while (!final && at < raw.length) {
        struct view piece = view_slice(raw, at, at == 0 ? first : step);
        /* A copy of its own, so that a look beyond the piece is seen. */
        char *bytes = malloc(piece.length);

        memcpy(bytes, piece.data, piece.length);
        final = feed(&guard, view_from(bytes, piece.length), &outcome);
        free(bytes);
        at += piece.length;
    }
    check(message, &guard, &outcome);
    guard_release(&guard);
    buffer_release(&outcome.body);
}

static void run_all_ways(const struct message *message, void *context)
{
    size_t length = message->raw.length;
    size_t stride = length > 600 ? 97 : 1;

    (void)context;
    print_message("  %.*s\n", VIEW_FORMAT(buffer_view(&message->name)));
    run(message, length, length);
    run(message, 1, 1);
    run(message, 3, 2);
    for (size_t cut = 1; cut < length; cut += stride)
        run(message, cut, length);
}

static void request_lines_are_judged_the_same_for_every_cut(void **state)
{
    (void)state;
    assert_true(messages_visit("request_line.txt", run_all_ways, NULL) >= 40);
}

static void headers_are_judged_the_same_for_every_cut(void **state)
{
    (void)state;
    assert_true(messages_visit("headers.txt", run_all_ways, NULL) >= 35);
}

static void bodies_are_judged_the_same_for_every_cut(void **state)
{
    (void)state;
    assert_true(messages_visit("bodies.txt", run_all_ways, NULL) >= 40);
}

static size_t feed_text(struct guard *guard, const char *text, enum guard_event *event)
{
    struct guard_step step;
    size_t used = guard_feed(guard, view_of(text), &step);

    *event = step.event;
    return used;
}

static void a_head_is_committed_only_when_it_is_whole(void **state)
{
    struct guard guard;
    enum guard_event event;

    (void)state;
    guard_init(&guard, &guard_default_limits);
    feed_text(&guard, "GET / HTTP/1.1\r\nHost: a\r\n\r", &event);
    assert_int_equal(event, GUARD_EVENT_MORE);
    assert_int_equal(guard_committed(&guard), 0);
    feed_text(&guard, "\n", &event);
    assert_int_equal(event, GUARD_EVENT_HEAD);
    assert_int_equal(guard_committed(&guard), strlen("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    guard_release(&guard);
}

static void a_chunk_is_committed_by_size_line_data_and_line_end(void **state)
{
    static const struct {
        const char *text;
        size_t committed; /* behind the head */
    } steps[] = {{"", 0},   {"5", 0},  {"\r", 0},  {"\n", 3},     {"hel", 6},
                 {"lo", 8}, {"\r", 8}, {"\n", 10}, {"0\r\n", 10}, {"\r", 10}};
    const char *head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    struct guard guard;
    enum guard_event event;

    (void)state;
    guard_init(&guard, &guard_default_limits);
    assert_int_equal(feed_text(&guard, head, &event), strlen(head));
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        feed_text(&guard, steps[i].text, &event);
        assert_int_equal(guard_committed(&guard), strlen(head) + steps[i].committed);
    }
    feed_text(&guard, "\n", &event);
    assert_int_equal(event, GUARD_EVENT_END);
    assert_int_equal(guard_committed(&guard), guard.scanned);
    guard_release(&guard);
}

static void body_bytes_need_no_look(void **state)
{
    struct guard guard;
    struct guard_step step;
    enum guard_event event;

    (void)state;
    guard_init(&guard, &guard_default_limits);
    feed_text(&guard, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n", &event);
    assert_int_equal(event, GUARD_EVENT_HEAD);
    assert_int_equal(guard_opaque(&guard), 0);
    guard_feed(&guard, (struct view){0}, &step);
    assert_int_equal(guard_opaque(&guard), 1000);
    assert_int_equal(guard_feed(&guard, view_from(NULL, 900), &step), 900);
    assert_int_equal(guard_opaque(&guard), 100);
    assert_int_equal(guard_feed(&guard, view_from(NULL, 100), &step), 100);
    guard_feed(&guard, (struct view){0}, &step);
    assert_int_equal(step.event, GUARD_EVENT_END);
    guard_release(&guard);
}

static void a_policy_can_restrict_the_body_at_the_head(void **state)
{
    struct guard guard;
    enum guard_event event;

    (void)state;
    guard_init(&guard, &guard_default_limits);
    feed_text(&guard, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n", &event);
    assert_false(guard_restrict_body(&guard, 10));
    assert_int_equal(guard.reason, GUARD_BODY_TOO_LARGE);
    assert_int_equal(guard_committed(&guard), 0);
    guard_release(&guard);

    feed_text(&guard, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", &event);
    assert_true(guard_restrict_body(&guard, 10));
    feed_text(&guard, "b\r\n", &event);
    assert_int_equal(event, GUARD_EVENT_REFUSED);
    assert_int_equal(guard.reason, GUARD_BODY_TOO_LARGE);
    guard_release(&guard);

    feed_text(&guard, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", &event);
    assert_false(guard_restrict_body(&guard, 0));
    guard_release(&guard);
}

static void headers_are_read_in_order_and_in_any_case(void **state)
{
    struct guard guard;
    enum guard_event event;
    struct view name, value;

    (void)state;
    guard_init(&guard, &guard_default_limits);
    feed_text(&guard, "GET / HTTP/1.1\r\nHost: a\r\nX-One: 1\r\nx-one: 2\r\n\r\n", &event);
    assert_true(guard_header(&guard, "x-ONE", &value));
    assert_true(view_equal_string(value, "1"));
    assert_true(guard_header_at(&guard, 2, &name, &value));
    assert_true(view_equal_string(name, "x-one") && view_equal_string(value, "2"));
    assert_false(guard_header_at(&guard, 3, &name, &value));
    assert_false(guard_header(&guard, "X-Two", &value));
    guard_release(&guard);
}

static void the_next_message_begins_afresh(void **state)
{
    const char *both = "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"
                       "GET /2 HTTP/1.1\r\nHost: b\r\n\r\n";
    struct guard guard;
    struct outcome outcome = {0};

    (void)state;
    guard_init(&guard, &guard_default_limits);
    buffer_init(&outcome.body, 100);
    assert_true(feed(&guard, view_of(both), &outcome));
    guard_next(&guard);
    assert_true(feed(&guard, view_of(both + outcome.used), &outcome));
    assert_true(view_equal_string(guard_target(&guard), "/2"));
    assert_true(view_equal_string(guard_host(&guard), "b"));
    assert_int_equal(guard.body_bytes, 0);
    assert_int_equal(outcome.used, strlen(both));
    guard_release(&guard);
    buffer_release(&outcome.body);
}

/* What comes of the bytes, whole and byte by byte; both must be the same. */
static enum guard_reason judge(struct view raw, enum guard_event *event)
{
    enum guard_reason reason = GUARD_NONE;

    for (int way = 0; way < 2; way++) {
        struct outcome outcome = {0};
        struct guard guard;
        size_t step = way == 0 ? raw.length : 1;
        bool final = false;

        guard_init(&guard, &guard_default_limits);
        buffer_init(&outcome.body, MESSAGE_MAX);
        for (size_t at = 0; !final && at < raw.length; at += step)
            final = feed(&guard, view_slice(raw, at, step), &outcome);
        if (way == 1) {
            assert_int_equal(outcome.event, *event);
            assert_int_equal(outcome.reason, reason);
        }
        *event = outcome.event;
        reason = outcome.reason;
        guard_release(&guard);
        buffer_release(&outcome.body);
    }
    return reason;
}

/* `insert` goes in front of text[at]. */
static enum guard_event judge_inserted(const char *text, size_t at, struct view insert,
                                       enum guard_reason *reason)
{
    struct buffer raw;
    enum guard_event event;

    buffer_init(&raw, MESSAGE_MAX);
    buffer_append(&raw, text, at);
    buffer_append_view(&raw, insert);
    buffer_append(&raw, text + at, strlen(text) - at);
    *reason = judge(buffer_view(&raw), &event);
    buffer_release(&raw);
    return event;
}

static const char *const lawful_head = "POST /p?q=1 HTTP/1.1\r\nHost: a\r\nX-One: v w\r\n"
                                       "X-Two:\r\nContent-Length: 3\r\n\r\n";

/* In the value of a header, and around it: from behind the colon to the line's end. */
static bool in_value(const char *text, size_t at)
{
    size_t start = at;

    while (start > 0 && text[start - 1] != '\n')
        start--;
    return start > 0 && memchr(text + start, ':', at - start) != NULL && text[at] != '\n';
}

static void a_control_byte_is_refused_at_every_place_of_a_head(void **state)
{
    (void)state;
    for (size_t at = 0; at < strlen(lawful_head); at++) {
        for (int c = 0; c <= 127; c = c == 31 ? 127 : c + 1) {
            enum guard_reason reason;
            char byte = (char)c;
            enum guard_event event = judge_inserted(lawful_head, at, view_from(&byte, 1), &reason);

            bool behind_it = c == '\n' && at + 1 == strlen(lawful_head); /* then it is the body's */
            if (behind_it || (c == '\t' && in_value(lawful_head, at)))
                assert_int_not_equal(event, GUARD_EVENT_REFUSED);
            else if (event != GUARD_EVENT_REFUSED)
                fail_msg("byte %d before place %zu is let through", c, at);
        }
    }
}

static void a_bad_line_is_refused_wherever_it_stands(void **state)
{
    static const struct {
        const char *line;
        enum guard_reason reason;
    } lines[] = {
        {"Host: b\r\n", GUARD_HOST_REPEATED},
        {"host: a\r\n", GUARD_HOST_REPEATED},
        {"Content-Length: 3\r\n", GUARD_CONTENT_LENGTH},
        {"content-LENGTH: +3\r\n", GUARD_CONTENT_LENGTH},
        {"Transfer-Encoding: chunked\r\n", GUARD_LENGTH_AND_CODING},
        {"No-Colon\r\n", GUARD_HEADER_NAME},
        {"Space : x\r\n", GUARD_HEADER_NAME},
        {": x\r\n", GUARD_HEADER_NAME},
        {"X\xc3\xa9: x\r\n", GUARD_HEADER_NAME},
        {"Content_Length: 3\r\n", GUARD_HEADER_NAME},
        {" folded\r\n", GUARD_HEADER_FOLDED},
        {"\tfolded\r\n", GUARD_HEADER_FOLDED},
        {"X: a\x0b\r\n", GUARD_HEADER_VALUE},
        {"X: a\x7f\r\n", GUARD_HEADER_VALUE},
        {"X: a\n", GUARD_LINE_END},
        {"X: a\r\r\n", GUARD_LINE_END},
        {"Expect: more\r\n", GUARD_EXPECTATION},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        size_t places = 0;

        for (const char *at = lawful_head; (at = strstr(at, "\r\n")) && at[2]; at += 2, places++) {
            enum guard_reason reason;
            enum guard_event event = judge_inserted(lawful_head, (size_t)(at + 2 - lawful_head),
                                                    view_of(lines[i].line), &reason);

            assert_int_equal(event, GUARD_EVENT_REFUSED);
            if (reason != lines[i].reason)
                fail_msg("%s at place %zu is refused for %s", lines[i].line, places,
                         guard_reason_name(reason));
        }
        assert_int_equal(places, 5);
    }
}

static void a_bad_chunk_is_refused_wherever_it_stands(void **state)
{
    static const char *const chunks[] = {
        "\r\n",        " 1\r\nx\r\n",       "1 \r\nx\r\n",   "1;a=b\r\nx\r\n", "0x1\r\nx\r\n",
        "+1\r\nx\r\n", "-1\r\nx\r\n",       "g\r\nx\r\n",    "1\nx\r\n",       "1\rx\r\n",
        "1\r\nx\n",    "1\r\nxy\r\n",       "1\r\nx\ry\r\n", "2\r\nx\r\n0",    "100000001\r\nx\r\n",
        "1\r\nx1\r\n", "0\r\nX: y\r\n\r\n", "0\r\nx",
    };
    const char *head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    static const char *const good[] = {"5\r\nhello\r\n", "A\r\n0123456789\r\n", "0\r\n\r\n"};

    (void)state;
    for (size_t i = 0; i < sizeof(chunks) / sizeof(chunks[0]); i++) {
        for (size_t place = 0; place < 3; place++) {
            struct buffer raw;
            enum guard_event event;

            buffer_init(&raw, MESSAGE_MAX);
            buffer_append_view(&raw, view_of(head));
            for (size_t k = 0; k < 3; k++) {
                if (k == place)
                    buffer_append_view(&raw, view_of(chunks[i]));
                buffer_append_view(&raw, view_of(good[k]));
            }
            judge(buffer_view(&raw), &event);
            if (event != GUARD_EVENT_REFUSED)
                fail_msg("chunk %zu at place %zu is let through", i, place);
            buffer_release(&raw);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_lines_are_judged_the_same_for_every_cut),
        cmocka_unit_test(headers_are_judged_the_same_for_every_cut),
        cmocka_unit_test(bodies_are_judged_the_same_for_every_cut),
        cmocka_unit_test(a_head_is_committed_only_when_it_is_whole),
        cmocka_unit_test(a_chunk_is_committed_by_size_line_data_and_line_end),
        cmocka_unit_test(body_bytes_need_no_look),
        cmocka_unit_test(a_policy_can_restrict_the_body_at_the_head),
        cmocka_unit_test(headers_are_read_in_order_and_in_any_case),
        cmocka_unit_test(the_next_message_begins_afresh),
        cmocka_unit_test(a_control_byte_is_refused_at_every_place_of_a_head),
        cmocka_unit_test(a_bad_line_is_refused_wherever_it_stands),
        cmocka_unit_test(a_bad_chunk_is_refused_wherever_it_stands),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
