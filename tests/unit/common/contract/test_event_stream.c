/* Tests of streamed replies on the wire: the cases of tests/vectors/event_stream in every split, what no mutation may
 * pass for, and the way back. */
#include "tests/unit/common/contract/vectors.h"

#include "common/base/escape.h"
#include "common/contract/event_stream.h"

/* All that came out of a stream. */
struct outcome {
    struct buffer output;
    struct event_stream_item end; /* its views are copies in the arena */
    unsigned ends;
    enum error error;
    bool ended;
    size_t most_held;
};

static struct arena arena;
static struct outcome outcome;

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, (size_t)256 * 1024 * 1024);
    buffer_init(&outcome.output, (size_t)32 * 1024 * 1024);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    buffer_release(&outcome.output);
    arena_release(&arena);
    return 0;
}

static void note(const struct event_stream_item *item)
{
    if (item->kind == EVENT_STREAM_OUTPUT) {
        assert_true(item->output.length > 0);
        buffer_append_view(&outcome.output, item->output);
        return;
    }
    outcome.ends++;
    outcome.end = *item;
    outcome.end.code = arena_copy(&arena, item->code);
    outcome.end.details = arena_copy(&arena, item->details);
    outcome.end.log = arena_copy(&arena, item->log);
}

/* Feeds some bytes, from memory of their own so that a sanitizer sees a look beyond them. */
static void feed(struct event_stream_decoder *decoder, struct view bytes)
{
    char *own = view_duplicate(bytes);
    struct view rest = view_from(own, bytes.length);
    struct event_stream_item item;

    do {
        outcome.error = event_stream_next(decoder, &rest, &item);
        if (outcome.error != ERROR_NONE) {
            assert_int_equal(item.kind, EVENT_STREAM_NONE);
            break;
        }
        if (item.kind != EVENT_STREAM_NONE)
            note(&item);
    } while (item.kind != EVENT_STREAM_NONE);
    if (outcome.error == ERROR_NONE)
        assert_int_equal(rest.length, 0);
    if (decoder->held.capacity > outcome.most_held)
        outcome.most_held = decoder->held.capacity;
    free(own);
}

static void begin(struct event_stream_decoder *decoder)
{
    struct buffer output = outcome.output;

    buffer_clear(&output);
    outcome = (struct outcome){.output = output};
    event_stream_init(decoder);
}

static void finish(struct event_stream_decoder *decoder)
{
    outcome.ended = event_stream_ended(decoder);
    assert_int_equal(outcome.error == ERROR_NONE, decoder->problem == NULL);
    event_stream_release(decoder);
}

/* Feeds the stream: `first` bytes, and then pieces of `piece` bytes. */
static void decode(struct view stream, size_t first, size_t piece)
{
    struct event_stream_decoder decoder;

    begin(&decoder);
    feed(&decoder, view_slice(stream, 0, first));
    for (size_t at = first; at < stream.length && outcome.error == ERROR_NONE; at += piece)
        feed(&decoder, view_slice(stream, at, piece));
    finish(&decoder);
}

static struct view read_stream(const char *path)
{
    struct view digits = vectors_read(&arena, path, "stream.hex"), copy;
    struct buffer text, bytes;

    buffer_init(&text, digits.length);
    buffer_init(&bytes, digits.length);
    for (size_t i = 0; i < digits.length; i++)
        if (digits.data[i] != '\n')
            buffer_append_byte(&text, digits.data[i]);
    assert_int_equal(hex_decode(&bytes, buffer_view(&text)), ERROR_NONE);
    copy = arena_copy(&arena, buffer_view(&bytes));
    buffer_release(&text);
    buffer_release(&bytes);
    return copy;
}

static struct view read_named(const char *name)
{
    char path[512];

    snprintf(path, sizeof(path), "%s/event_stream/%s", TEST_VECTORS_DIR, name);
    return read_stream(path);
}

static const char *kind_name(enum event_stream_kind kind)
{
    switch (kind) {
    case EVENT_STREAM_NONE:
        return "none";
    case EVENT_STREAM_OUTPUT:
        return "output";
    case EVENT_STREAM_COMPLETE:
        return "complete";
    case EVENT_STREAM_EXCEPTION:
        return "exception";
    case EVENT_STREAM_ERROR:
        return "error";
    }
    return "";
}

static void check_member(const char *where, const struct json *expected, const char *name,
                         struct view actual)
{
    struct view text = VIEW("");

    json_get_string(expected, name, &text);
    if (!view_equal(text, actual))
        fail_msg("%s: %s is \"%.*s\"", where, name, VIEW_FORMAT(actual));
}

static void check_outcome(const char *where, const struct json *expected)
{
    struct view error = VIEW("none"),
                output = vectors_bytes(&arena, json_get(expected, "output"), "");
    const struct json *end = json_get(expected, "end");
    bool ended = false;

    json_get_string(expected, "error", &error);
    assert_true(json_get_bool(expected, "ended", &ended));
    if (!view_equal_string(error, error_name(outcome.error)))
        fail_msg("%s: %s", where, error_name(outcome.error));
    if (ended != outcome.ended)
        fail_msg("%s: %s", where, ended ? "not ended" : "ended");
    if (!view_equal(buffer_view(&outcome.output), output))
        fail_msg("%s: output \"%.*s\"", where, VIEW_FORMAT(buffer_view(&outcome.output)));
    if (outcome.ends != (end ? 1 : 0))
        fail_msg("%s: %u ends", where, outcome.ends);
    check_member(where, end, "kind", view_of(end ? kind_name(outcome.end.kind) : ""));
    check_member(where, end, "code", outcome.end.code);
    check_member(where, end, "details", outcome.end.details);
    check_member(where, end, "log", outcome.end.log);
}

static void check_case(const char *name, const char *path)
{
    struct json *expected;
    struct view stream;
    char where[200];

    if (view_ends_with(view_of(name), VIEW(".py")))
        return;
    stream = read_stream(path);
    expected = vectors_read_json(&arena, path, "expected.json");
    decode(stream, 0, 1);
    snprintf(where, sizeof(where), "%s byte by byte", name);
    check_outcome(where, expected);
    for (size_t first = 0; first <= stream.length; first++) {
        decode(stream, first, SIZE_MAX / 2);
        snprintf(where, sizeof(where), "%s split at %zu", name, first);
        check_outcome(where, expected);
    }
    json_free(expected);
}

static void every_case_comes_out_the_same_in_every_split(void **state)
{
    (void)state;
    assert_true(vectors_each("event_stream", check_case) >= 65);
}

/* A change within one byte of a message always shows in its CRCs. */
static void check_mutations(const char *name, const char *path)
{
    struct view stream;
    char *mutated;

    if (view_ends_with(view_of(name), VIEW(".py")))
        return;
    stream = read_stream(path);
    decode(stream, 0, stream.length + 1);
    if (!outcome.ended)
        return;
    mutated = view_duplicate(stream);
    for (size_t i = 0; i < stream.length; i++)
        for (unsigned change = 1; change < 256; change = change < 128 ? change * 2 : change + 127) {
            mutated[i] = (char)((unsigned char)stream.data[i] ^ change);
            decode(view_from(mutated, stream.length), 0, stream.length);
            mutated[i] = stream.data[i];
            if (outcome.error == ERROR_NONE || outcome.ended)
                fail_msg("%s: byte %zu with %02x changed is taken", name, i, change);
        }
    free(mutated);
}

static void no_stream_with_a_byte_changed_is_taken(void **state)
{
    (void)state;
    assert_true(vectors_each("event_stream", check_mutations) >= 65);
}

static void check_cuts(const char *name, const char *path)
{
    struct view stream;
    size_t ended_at = 0;

    if (view_ends_with(view_of(name), VIEW(".py")))
        return;
    stream = read_stream(path);
    decode(stream, 0, stream.length + 1);
    if (!outcome.ended)
        return;
    for (size_t length = 0; length < stream.length; length++) {
        decode(view_slice(stream, 0, length), 0, stream.length);
        assert_int_equal(outcome.error, ERROR_NONE);
        if (!outcome.ended)
            continue;
        assert_int_equal(outcome.ends, 1);
        ended_at = length;
    }
    /* only what has a message behind its end may be cut there */
    if ((ended_at != 0) != view_equal_string(VIEW("unknown-event-after-the-end"), name))
        fail_msg("%s: ends after %zu bytes of %zu", name, ended_at, stream.length);
}

static void a_stream_cut_anywhere_has_not_ended(void **state)
{
    (void)state;
    assert_true(vectors_each("event_stream", check_cuts) >= 65);
}

/* Messages of any shape: the lengths with their CRC, and what follows. */
static void append_number(struct buffer *out, uint32_t number)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        buffer_append_byte(out, (char)(number >> shift & 0xFF));
}

/* CRC-32 (IEEE 802.3) from its definition, bit by bit: not the product's. */
static uint32_t crc_of(struct view bytes)
{
    uint32_t crc = 0xFFFFFFFF;

    for (size_t i = 0; i < bytes.length; i++) {
        crc ^= (unsigned char)bytes.data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320 : 0);
    }
    return ~crc;
}

static void append_message(struct buffer *out, struct view headers, struct view payload)
{
    size_t start = out->length;

    append_number(out, (uint32_t)(16 + headers.length + payload.length));
    append_number(out, (uint32_t)headers.length);
    append_number(out, crc_of(view_slice(buffer_view(out), start, 8)));
    buffer_append_view(out, headers);
    buffer_append_view(out, payload);
    append_number(out, crc_of(view_slice(buffer_view(out), start, SIZE_MAX)));
}

#define OUTPUT_HEADERS "\x0d:message-type\7\0\5event\x0b:event-type\7\0\x0cPayloadChunk"

static void the_longest_payload_passes_by_and_is_not_held(void **state)
{
    struct view payload = {arena_alloc(&arena, EVENT_STREAM_MAX_PAYLOAD_BYTES),
                           EVENT_STREAM_MAX_PAYLOAD_BYTES};
    struct buffer stream;

    (void)state;
    assert_non_null(payload.data);
    buffer_init(&stream, (size_t)32 * 1024 * 1024);
    append_message(&stream, VIEW(OUTPUT_HEADERS), payload);
    event_stream_append_complete(&stream, VIEW(""), VIEW(""), VIEW(""));
    decode(buffer_view(&stream), 0, 16384);
    assert_true(outcome.ended);
    assert_int_equal(outcome.output.length, EVENT_STREAM_MAX_PAYLOAD_BYTES);
    assert_true(outcome.most_held <= 256);
    buffer_release(&stream);
}

static void the_longest_headers_are_taken(void **state)
{
    struct buffer headers, stream;

    (void)state;
    buffer_init(&headers, EVENT_STREAM_MAX_HEADER_BYTES);
    buffer_init(&stream, (size_t)1024 * 1024);
    buffer_append_view(&headers, VIEW(OUTPUT_HEADERS));
    for (char name = 'a'; headers.length < EVENT_STREAM_MAX_HEADER_BYTES; name++) {
        size_t left = EVENT_STREAM_MAX_HEADER_BYTES - headers.length - 5;
        size_t length = left > 65000 ? 60000 : left;

        buffer_append_byte(&headers, 1);
        buffer_append_byte(&headers, name);
        buffer_append_byte(&headers, 6);
        buffer_append_byte(&headers, (char)(length >> 8));
        buffer_append_byte(&headers, (char)(length & 0xFF));
        memset(buffer_reserve(&headers, length), 0xFF, length);
        buffer_commit(&headers, length);
    }
    assert_int_equal(headers.length, EVENT_STREAM_MAX_HEADER_BYTES);
    append_message(&stream, buffer_view(&headers), VIEW("x"));
    decode(buffer_view(&stream), 0, 1000);
    assert_int_equal(outcome.error, ERROR_NONE);
    check_buffer(&outcome.output, "x");
    buffer_release(&headers);
    buffer_release(&stream);
}

static void output_is_handed_out_before_its_message_is_whole(void **state)
{
    struct event_stream_decoder decoder;
    struct view hello = read_named("hello"); /* the output is bytes 102 to 106 */

    (void)state;
    begin(&decoder);
    feed(&decoder, view_slice(hello, 0, 102));
    check_buffer(&outcome.output, "");
    feed(&decoder, view_slice(hello, 102, 1));
    check_buffer(&outcome.output, "h");
    feed(&decoder, view_slice(hello, 103, 3));
    check_buffer(&outcome.output, "hell");
    assert_false(event_stream_ended(&decoder));
    finish(&decoder);
}

static void an_error_sticks(void **state)
{
    struct event_stream_decoder decoder;
    struct view hello = read_named("hello");

    (void)state;
    begin(&decoder);
    feed(&decoder, VIEW("HTTP/1.1 200"));
    assert_int_equal(outcome.error, ERROR_INVALID);
    feed(&decoder, hello);
    assert_int_equal(outcome.error, ERROR_INVALID);
    check_buffer(&outcome.output, "");
    assert_int_equal(outcome.ends, 0);
    finish(&decoder);
    assert_false(outcome.ended);
}

static void what_is_written_are_the_bytes_that_botocore_reads(void **state)
{
    struct buffer out;

    (void)state;
    buffer_init(&out, 10000);
    event_stream_append_output(&out, VIEW("hello"));
    event_stream_append_complete(&out, VIEW(""), VIEW(""), VIEW(""));
    assert_true(view_equal(buffer_view(&out), read_named("hello")));

    buffer_clear(&out);
    event_stream_append_output(&out, VIEW("half"));
    event_stream_append_complete(&out, VIEW("Unhandled"),
                                 VIEW("{\"errorMessage\":\"b\xc3\xb6\xc3\xb6m\\n\"}"),
                                 VIEW("TE9H"));
    assert_true(view_equal(buffer_view(&out), read_named("failed-in-utf-8")));

    buffer_clear(&out);
    event_stream_append_output(&out, VIEW("x"));
    event_stream_append_exception(&out, VIEW("ServiceException"), VIEW("try again"));
    assert_true(view_equal(buffer_view(&out), read_named("exception")));
    buffer_release(&out);
}

static void what_does_not_fit_is_not_written_in_part(void **state)
{
    struct view hello = read_named("hello");
    struct buffer out;

    (void)state;
    for (size_t ceiling = 0; ceiling < hello.length; ceiling++) {
        size_t whole = ceiling < 111 ? 0 : 111; /* the first message is 111 bytes long */

        buffer_init(&out, ceiling);
        event_stream_append_output(&out, VIEW("hello"));
        event_stream_append_complete(&out, VIEW(""), VIEW(""), VIEW(""));
        assert_int_equal(out.error, ERROR_TOO_BIG);
        assert_int_equal(out.length, whole);
        buffer_release(&out);
    }
}

static void an_end_longer_than_the_decoder_takes_is_not_written(void **state)
{
    struct view text = {arena_alloc(&arena, EVENT_STREAM_MAX_END_BYTES),
                        EVENT_STREAM_MAX_END_BYTES};
    struct buffer out;

    (void)state;
    memset((char *)text.data, 'x', text.length);
    buffer_init(&out, (size_t)1024 * 1024);
    event_stream_append_exception(&out, VIEW("E"), view_slice(text, 0, text.length - 14));
    assert_int_equal(out.error, ERROR_NONE);
    decode(buffer_view(&out), 0, 4096);
    assert_true(outcome.ended);
    assert_int_equal(outcome.end.details.length, text.length - 14);
    buffer_clear(&out);
    event_stream_append_exception(&out, VIEW("E"), view_slice(text, 0, text.length - 13));
    assert_int_equal(out.error, ERROR_TOO_BIG);
    assert_int_equal(out.length, 0);
    buffer_release(&out);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_case_comes_out_the_same_in_every_split),
        TEST(no_stream_with_a_byte_changed_is_taken),
        TEST(a_stream_cut_anywhere_has_not_ended),
        TEST(the_longest_payload_passes_by_and_is_not_held),
        TEST(the_longest_headers_are_taken),
        TEST(output_is_handed_out_before_its_message_is_whole),
        TEST(an_error_sticks),
        TEST(what_is_written_are_the_bytes_that_botocore_reads),
        TEST(what_does_not_fit_is_not_written_in_part),
        TEST(an_end_longer_than_the_decoder_takes_is_not_written),
    };

    return cmocka_run_group_tests_name("contract/event_stream", tests, NULL, NULL);
}
