/* Fuzzes the decoder of streamed replies: as the bytes are, with their CRCs put right, in pieces, and there and back. */
#include "common/base/escape.h"
#include "common/contract/event_stream.h"

#include <zlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_BYTES_MAX ((size_t)1 << 20)

struct outcome {
    enum error error;
    bool ended;
    size_t output_bytes;
    uint32_t output_sum; /* in order */
    unsigned ends;
    enum event_stream_kind kind;
    struct buffer code, details, log;
};

static void begin(struct outcome *outcome)
{
    *outcome = (struct outcome){.error = ERROR_NONE};
    buffer_init(&outcome->code, INPUT_BYTES_MAX);
    buffer_init(&outcome->details, INPUT_BYTES_MAX);
    buffer_init(&outcome->log, INPUT_BYTES_MAX);
}

static void release(struct outcome *outcome)
{
    buffer_release(&outcome->code);
    buffer_release(&outcome->details);
    buffer_release(&outcome->log);
}

static void note(struct outcome *outcome, const struct event_stream_item *item)
{
    if (item->kind == EVENT_STREAM_OUTPUT) {
        REQUIRE(item->output.length > 0 && outcome->ends == 0);
        for (size_t i = 0; i < item->output.length; i++)
            outcome->output_sum = outcome->output_sum * 31 + (unsigned char)item->output.data[i];
        outcome->output_bytes += item->output.length;
        return;
    }
    REQUIRE(outcome->ends++ == 0);
    outcome->kind = item->kind;
    buffer_append_view(&outcome->code, item->code);
    buffer_append_view(&outcome->details, item->details);
    buffer_append_view(&outcome->log, item->log);
}

static struct outcome decode(struct view stream, size_t piece)
{
    struct event_stream_decoder decoder;
    struct event_stream_item item;
    struct outcome outcome;

    begin(&outcome);
    event_stream_init(&decoder);
    for (size_t at = 0; at < stream.length && outcome.error == ERROR_NONE; at += piece) {
        struct view rest = view_slice(stream, at, piece);

        do {
            outcome.error = event_stream_next(&decoder, &rest, &item);
            if (item.kind != EVENT_STREAM_NONE)
                note(&outcome, &item);
        } while (outcome.error == ERROR_NONE && item.kind != EVENT_STREAM_NONE);
        REQUIRE(outcome.error != ERROR_NONE || rest.length == 0);
    }
    REQUIRE((outcome.error == ERROR_NONE) == (decoder.problem == NULL));
    REQUIRE(decoder.held.length <= EVENT_STREAM_MAX_HEADER_BYTES + EVENT_STREAM_MAX_END_BYTES + 16);
    outcome.ended = event_stream_ended(&decoder);
    REQUIRE(!outcome.ended || outcome.ends == 1);
    event_stream_release(&decoder);
    return outcome;
}

static void check_same(const struct outcome *a, const struct outcome *b)
{
    REQUIRE(a->error == b->error && a->ended == b->ended && a->ends == b->ends);
    REQUIRE(a->output_bytes == b->output_bytes && a->output_sum == b->output_sum);
    REQUIRE(a->kind == b->kind);
    REQUIRE(view_equal(buffer_view(&a->code), buffer_view(&b->code)));
    REQUIRE(view_equal(buffer_view(&a->details), buffer_view(&b->details)));
    REQUIRE(view_equal(buffer_view(&a->log), buffer_view(&b->log)));
}

/* How a function ended, written and read again. */
static void check_way_back(const struct outcome *outcome)
{
    struct outcome again;
    struct buffer out;

    buffer_init(&out, 8 * INPUT_BYTES_MAX);
    event_stream_append_complete(&out, buffer_view(&outcome->code), buffer_view(&outcome->details),
                                 buffer_view(&outcome->log));
    if (out.error == ERROR_NONE) {
        again = decode(buffer_view(&out), 7);
        REQUIRE(again.ended && again.kind == EVENT_STREAM_COMPLETE);
        REQUIRE(view_equal(buffer_view(&outcome->code), buffer_view(&again.code)));
        REQUIRE(view_equal(buffer_view(&outcome->details), buffer_view(&again.details)));
        REQUIRE(view_equal(buffer_view(&outcome->log), buffer_view(&again.log)));
        release(&again);
    }
    buffer_release(&out);
}

static void check_stream(struct view stream, size_t piece)
{
    struct outcome whole = decode(stream, stream.length + 1), pieces = decode(stream, piece);

    check_same(&whole, &pieces);
    if (whole.ended && whole.kind == EVENT_STREAM_COMPLETE)
        check_way_back(&whole);
    release(&whole);
    release(&pieces);
}

static uint32_t get_number(const char *at)
{
    const unsigned char *byte = (const unsigned char *)at;

    return (uint32_t)byte[0] << 24 | (uint32_t)byte[1] << 16 | (uint32_t)byte[2] << 8 | byte[3];
}

static void put_crc(char *at, const char *from)
{
    uint32_t crc = (uint32_t)crc32(0, (const Bytef *)from, (uInt)(at - from));

    for (int i = 0; i < 4; i++)
        at[i] = (char)(crc >> (24 - 8 * i) & 0xFF);
}

/* So that what lies behind the CRCs is met, too. */
static void repair(char *stream, size_t length)
{
    size_t at = 0;

    while (length - at >= 16) {
        size_t total = get_number(stream + at);

        put_crc(stream + at + 8, stream + at);
        if (total < 16 || total > length - at)
            return;
        put_crc(stream + at + total - 4, stream + at);
        at += total;
    }
}

/* The vectors, which are the seeds, are hex. */
static bool read_hex(struct view text, struct buffer *bytes)
{
    struct buffer digits;
    bool is_hex;

    buffer_init(&digits, INPUT_BYTES_MAX);
    for (size_t i = 0; i < text.length; i++)
        if (text.data[i] != '\n')
            buffer_append_byte(&digits, text.data[i]);
    is_hex = hex_decode(bytes, buffer_view(&digits)) == ERROR_NONE;
    buffer_release(&digits);
    return is_hex;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct view input = view_from(data, size);
    size_t piece = size ? data[size - 1] % 61 + 1 : 1;
    struct buffer bytes;

    if (size >= INPUT_BYTES_MAX)
        return 0;
    buffer_init(&bytes, INPUT_BYTES_MAX);
    if (!read_hex(input, &bytes)) {
        buffer_clear(&bytes);
        buffer_append_view(&bytes, input);
    }
    check_stream(buffer_view(&bytes), piece);
    if (bytes.length)
        repair(bytes.data, bytes.length);
    check_stream(buffer_view(&bytes), piece);
    buffer_release(&bytes);
    return 0;
}
