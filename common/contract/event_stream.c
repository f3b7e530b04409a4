/* Takes the messages of a streamed reply apart as their bytes arrive, and puts them together. */
#include "common/contract/event_stream.h"

#include "common/base/escape.h"
#include "common/contract/json_scan.h"

#include <zlib.h>

#define PRELUDE_LENGTH ((size_t)12) /* total length, length of the headers, CRC of these two */
#define CRC_LENGTH     ((size_t)4)
#define HELD_MAX                                                                                   \
    (PRELUDE_LENGTH + EVENT_STREAM_MAX_HEADER_BYTES + EVENT_STREAM_MAX_END_BYTES + CRC_LENGTH)

#define TYPE_BYTES  6
#define TYPE_STRING 7

/* The headers that mean something, empty when absent. */
struct headers {
    struct view message_type, event_type, exception_type, error_code, error_message;
};

static bool advance(struct event_stream_decoder *decoder, struct view *bytes,
                    struct event_stream_item *item);
static bool read_prelude(struct event_stream_decoder *decoder);
static bool read_headers(struct event_stream_decoder *decoder);
static bool parse_headers(struct view rest, struct headers *headers);
static bool read_payload(struct event_stream_decoder *decoder, struct view *bytes,
                         struct event_stream_item *item);
static bool read_crc(struct event_stream_decoder *decoder, struct event_stream_item *item);

void event_stream_init(struct event_stream_decoder *decoder)
{
    *decoder = (struct event_stream_decoder){.step = EVENT_STREAM_BETWEEN};
    buffer_init(&decoder->held, HELD_MAX);
}

void event_stream_release(struct event_stream_decoder *decoder)
{
    buffer_release(&decoder->held);
}

enum error event_stream_next(struct event_stream_decoder *decoder, struct view *bytes,
                             struct event_stream_item *item)
{
    *item = (struct event_stream_item){.kind = EVENT_STREAM_NONE};
    while (decoder->error == ERROR_NONE && item->kind == EVENT_STREAM_NONE)
        if (!advance(decoder, bytes, item))
            break;
    return decoder->error;
}

bool event_stream_ended(const struct event_stream_decoder *decoder)
{
    return decoder->error == ERROR_NONE && decoder->complete &&
           decoder->step == EVENT_STREAM_BETWEEN;
}

static bool fail(struct event_stream_decoder *decoder, enum error error, const char *problem)
{
    decoder->error = error;
    decoder->problem = problem;
    return false;
}

static bool is_end(enum event_stream_kind kind)
{
    return kind != EVENT_STREAM_NONE && kind != EVENT_STREAM_OUTPUT;
}

static size_t headers_end(const struct event_stream_decoder *decoder)
{
    return PRELUDE_LENGTH + decoder->headers_length;
}

/* Where the message's CRC stands in what is held: a payload that passed by is not in there. */
static size_t crc_start(const struct event_stream_decoder *decoder)
{
    return headers_end(decoder) + (is_end(decoder->kind) ? decoder->payload_length : 0);
}

/* Holds bytes until there are `length` of them; false while there are not. */
static bool hold(struct event_stream_decoder *decoder, struct view *bytes, size_t length)
{
    struct view taken = view_slice(*bytes, 0, length - decoder->held.length);

    buffer_append_view(&decoder->held, taken);
    if (decoder->held.error != ERROR_NONE)
        return fail(decoder, decoder->held.error, "there is no memory for a message");
    *bytes = view_slice(*bytes, taken.length, SIZE_MAX);
    return decoder->held.length == length;
}

/* One step; false when it needs more bytes, or failed. */
static bool advance(struct event_stream_decoder *decoder, struct view *bytes,
                    struct event_stream_item *item)
{
    switch (decoder->step) {
    case EVENT_STREAM_BETWEEN:
        if (bytes->length == 0)
            return false;
        buffer_clear(&decoder->held);
        decoder->step = EVENT_STREAM_PRELUDE;
        return true;
    case EVENT_STREAM_PRELUDE:
        return hold(decoder, bytes, PRELUDE_LENGTH) && read_prelude(decoder);
    case EVENT_STREAM_HEADERS:
        return hold(decoder, bytes, headers_end(decoder)) && read_headers(decoder);
    case EVENT_STREAM_PAYLOAD:
        return read_payload(decoder, bytes, item);
    case EVENT_STREAM_CRC:
        return hold(decoder, bytes, crc_start(decoder) + CRC_LENGTH) && read_crc(decoder, item);
    }
    return false;
}

static uint32_t crc_add(uint32_t crc, struct view bytes)
{
    return (uint32_t)crc32(crc, (const Bytef *)bytes.data, (uInt)bytes.length);
}

/* Big-endian, at most four bytes. */
static uint32_t read_number(struct view bytes)
{
    uint32_t number = 0;

    for (size_t i = 0; i < bytes.length; i++)
        number = number << 8 | (unsigned char)bytes.data[i];
    return number;
}

static bool read_prelude(struct event_stream_decoder *decoder)
{
    struct view prelude = buffer_view(&decoder->held);
    uint32_t total = read_number(view_slice(prelude, 0, 4));
    uint32_t headers = read_number(view_slice(prelude, 4, 4));
    uint64_t rest = PRELUDE_LENGTH + (uint64_t)headers + CRC_LENGTH;

    if (crc_add(0, view_slice(prelude, 0, 8)) != read_number(view_slice(prelude, 8, 4)))
        return fail(decoder, ERROR_INVALID, "the CRC of a message's lengths is wrong");
    if (headers > EVENT_STREAM_MAX_HEADER_BYTES)
        return fail(decoder, ERROR_TOO_BIG, "the headers of a message are too long");
    if (total < rest)
        return fail(decoder, ERROR_INVALID, "the lengths of a message contradict each other");
    if (total - rest > EVENT_STREAM_MAX_PAYLOAD_BYTES)
        return fail(decoder, ERROR_TOO_BIG, "the payload of a message is too long");
    decoder->headers_length = headers;
    decoder->payload_length = decoder->payload_left = (uint32_t)(total - rest);
    decoder->crc = crc_add(0, prelude);
    decoder->step = EVENT_STREAM_HEADERS;
    return true;
}

static struct view held_headers(const struct event_stream_decoder *decoder)
{
    return view_slice(buffer_view(&decoder->held), PRELUDE_LENGTH, decoder->headers_length);
}

/* What message this is; false when it is of no known kind. */
static bool tell_kind(const struct headers *headers, enum event_stream_kind *kind)
{
    *kind = EVENT_STREAM_NONE;
    if (view_equal(headers->message_type, VIEW("exception")))
        *kind = EVENT_STREAM_EXCEPTION;
    else if (view_equal(headers->message_type, VIEW("error")))
        *kind = EVENT_STREAM_ERROR;
    else if (!view_equal(headers->message_type, VIEW("event")) || headers->event_type.length == 0)
        return false;
    else if (view_equal(headers->event_type, VIEW("PayloadChunk")))
        *kind = EVENT_STREAM_OUTPUT;
    else if (view_equal(headers->event_type, VIEW("InvokeComplete")))
        *kind = EVENT_STREAM_COMPLETE;
    return true;
}

static bool read_headers(struct event_stream_decoder *decoder)
{
    struct headers headers;

    if (!parse_headers(held_headers(decoder), &headers))
        return fail(decoder, ERROR_INVALID, "the headers of a message are not well-formed");
    if (!tell_kind(&headers, &decoder->kind))
        return fail(decoder, ERROR_INVALID, "a message is of no known type");
    if (decoder->complete && decoder->kind != EVENT_STREAM_NONE)
        return fail(decoder, ERROR_INVALID, "a message follows the one that ends the stream");
    if (is_end(decoder->kind) && decoder->payload_length > EVENT_STREAM_MAX_END_BYTES)
        return fail(decoder, ERROR_TOO_BIG, "the message that ends the stream is too long");
    decoder->crc = crc_add(decoder->crc, held_headers(decoder));
    decoder->step = EVENT_STREAM_PAYLOAD;
    return true;
}

/* Cuts `length` bytes off `rest`. */
static bool cut(struct view *rest, size_t length, struct view *part)
{
    if (rest->length < length)
        return false;
    *part = view_slice(*rest, 0, length);
    *rest = view_slice(*rest, length, SIZE_MAX);
    return true;
}

/* Cuts off what stands behind its own length, in `width` bytes. */
static bool cut_counted(struct view *rest, size_t width, struct view *part)
{
    struct view length;

    return cut(rest, width, &length) && cut(rest, read_number(length), part);
}

/* One header; the value of one that is no string is passed over and comes out empty. */
static bool cut_header(struct view *rest, struct view *name, struct view *value)
{
    /* true, false, 8, 16, 32, 64 bits, bytes, string, time, UUID */
    static const unsigned char widths[] = {0, 0, 1, 2, 4, 8, 0, 0, 8, 16};
    struct view type_byte;
    unsigned type;
    bool whole;

    if (!cut_counted(rest, 1, name) || name->length == 0 || !utf8_valid(*name) ||
        !cut(rest, 1, &type_byte))
        return false;
    type = (unsigned char)type_byte.data[0];
    if (type >= sizeof(widths))
        return false;
    if (type == TYPE_BYTES || type == TYPE_STRING)
        whole = cut_counted(rest, 2, value);
    else
        whole = cut(rest, widths[type], value);
    if (type == TYPE_STRING)
        return whole && utf8_valid(*value);
    *value = VIEW("");
    return whole;
}

static bool parse_headers(struct view rest, struct headers *headers)
{
    struct view names[EVENT_STREAM_MAX_HEADERS];
    size_t count = 0;

    *headers = (struct headers){.message_type = {NULL, 0}};
    while (rest.length) {
        struct view name, value;

        if (count == EVENT_STREAM_MAX_HEADERS || !cut_header(&rest, &name, &value))
            return false;
        for (size_t i = 0; i < count; i++)
            if (view_equal(names[i], name))
                return false;
        names[count++] = name;
        if (view_equal(name, VIEW(":message-type")))
            headers->message_type = value;
        else if (view_equal(name, VIEW(":event-type")))
            headers->event_type = value;
        else if (view_equal(name, VIEW(":exception-type")))
            headers->exception_type = value;
        else if (view_equal(name, VIEW(":error-code")))
            headers->error_code = value;
        else if (view_equal(name, VIEW(":error-message")))
            headers->error_message = value;
    }
    return true;
}

/* Output goes out as it comes, an end is held, anything else is passed over; the CRC sees all. */
static bool read_payload(struct event_stream_decoder *decoder, struct view *bytes,
                         struct event_stream_item *item)
{
    struct view part = view_slice(*bytes, 0, decoder->payload_left);

    if (decoder->payload_left == 0) {
        decoder->step = EVENT_STREAM_CRC;
        return true;
    }
    if (part.length == 0)
        return false;
    decoder->crc = crc_add(decoder->crc, part);
    decoder->payload_left -= (uint32_t)part.length;
    if (is_end(decoder->kind)) {
        (void)hold(decoder, bytes, decoder->held.length + part.length);
        return decoder->error == ERROR_NONE;
    }
    *bytes = view_slice(*bytes, part.length, SIZE_MAX);
    if (decoder->kind == EVENT_STREAM_OUTPUT) {
        item->kind = EVENT_STREAM_OUTPUT;
        item->output = part;
    }
    return true;
}

/* What a string means; unescaped in its place, which is the decoder's own memory. */
static struct view meant(const struct json_part *string)
{
    char *place = (char *)string->text.data;

    if (string->type != JSON_STRING)
        return VIEW("");
    return string->escaped ? view_from(place, json_scan_unescape(string, place)) : string->text;
}

/* The members of an object that have these names, each a string (or null: as if absent); false
 * when it is none. */
static bool read_members(struct view text, const char *const *names, struct view **values,
                         size_t count)
{
    struct json_part found[3] = {{.type = JSON_NULL}, {.type = JSON_NULL}, {.type = JSON_NULL}};
    struct json_part object, name, value;
    struct json_scan scan;

    REQUIRE(count <= sizeof(found) / sizeof(*found));
    json_scan_begin(&scan, text);
    if (!utf8_valid(text) || !json_scan_value(&scan, &object) || !json_scan_done(&scan) ||
        object.type != JSON_OBJECT)
        return false;
    json_scan_enter(&scan, &object);
    while (json_scan_next(&scan, &name, &value))
        for (size_t i = 0; i < count; i++)
            if (json_scan_equals(&name, names[i]))
                found[i] = value;
    for (size_t i = 0; i < count; i++)
        if (found[i].type != JSON_NULL && found[i].type != JSON_STRING)
            return false;
    for (size_t i = 0; i < count; i++)
        *values[i] = meant(&found[i]);
    return true;
}

/* An empty payload is as good as {}: the function succeeded. */
static bool read_complete(struct view payload, struct event_stream_item *item)
{
    static const char *const names[] = {"ErrorCode", "ErrorDetails", "LogResult"};
    struct view *values[] = {&item->code, &item->details, &item->log};

    return payload.length == 0 || read_members(payload, names, values, 3);
}

/* The case of "message" differs from error to error. It has failed in any case: a payload of
 * another shape is shown as it is. */
static void read_exception(struct view payload, struct event_stream_item *item)
{
    static const char *const names[] = {"message", "Message"};
    struct view small, large;
    struct view *values[] = {&small, &large};

    if (!read_members(payload, names, values, 2))
        item->details = payload;
    else
        item->details = small.length ? small : large;
}

static bool read_crc(struct event_stream_decoder *decoder, struct event_stream_item *item)
{
    struct view held = buffer_view(&decoder->held), payload;
    struct headers headers;
    bool parsed;

    if (decoder->crc != read_number(view_slice(held, crc_start(decoder), CRC_LENGTH)))
        return fail(decoder, ERROR_INVALID, "the CRC of a message is wrong");
    decoder->step = EVENT_STREAM_BETWEEN;
    if (!is_end(decoder->kind))
        return true;
    parsed = parse_headers(held_headers(decoder), &headers);
    REQUIRE(parsed); /* as it was the first time */
    payload = view_slice(held, headers_end(decoder), decoder->payload_length);
    if (decoder->kind == EVENT_STREAM_COMPLETE && !read_complete(payload, item))
        return fail(decoder, ERROR_INVALID, "how the function ended is not said in good JSON");
    if (decoder->kind == EVENT_STREAM_EXCEPTION) {
        item->code = headers.exception_type;
        read_exception(payload, item);
    }
    if (decoder->kind == EVENT_STREAM_ERROR) {
        item->code = headers.error_code;
        item->details = headers.error_message;
    }
    item->kind = decoder->kind;
    decoder->complete = true;
    return true;
}

/* Into memory that is there already. */
static void write_number(char *place, uint32_t number)
{
    for (size_t i = 0; i < 4; i++)
        place[i] = (char)(number >> (24 - 8 * i) & 0xFF);
}

static void append_header(struct buffer *out, struct view name, struct view value)
{
    char length[2] = {(char)(value.length >> 8), (char)(value.length & 0xFF)};

    REQUIRE(name.length <= UINT8_MAX && value.length <= INT16_MAX);
    buffer_append_byte(out, (char)name.length);
    buffer_append_view(out, name);
    buffer_append_byte(out, TYPE_STRING);
    buffer_append(out, length, sizeof(length));
    buffer_append_view(out, value);
}

/* Leaves room for the lengths, which frame_end fills in; returns where the message begins. */
static size_t frame_begin(struct buffer *out, const char *message_type, struct view type_header,
                          struct view type, struct view content_type)
{
    static const char room[PRELUDE_LENGTH];
    size_t start = out->length;

    buffer_append(out, room, PRELUDE_LENGTH);
    append_header(out, VIEW(":message-type"), view_of(message_type));
    append_header(out, type_header, type);
    append_header(out, VIEW(":content-type"), content_type);
    if (out->error == ERROR_NONE)
        write_number(out->data + start + 4, (uint32_t)(out->length - start - PRELUDE_LENGTH));
    return start;
}

static void frame_end(struct buffer *out, size_t start)
{
    char *frame = buffer_reserve(out, CRC_LENGTH);
    size_t length;

    if (!frame) { /* not a part of it, either */
        out->length = start;
        if (out->data)
            out->data[start] = '\0';
        return;
    }
    length = out->length - start;
    frame = out->data + start;
    write_number(frame, (uint32_t)(length + CRC_LENGTH));
    write_number(frame + 8, crc_add(0, view_from(frame, 8)));
    write_number(frame + length, crc_add(0, view_from(frame, length)));
    buffer_commit(out, CRC_LENGTH);
}

void event_stream_append_output(struct buffer *out, struct view output)
{
    size_t start = frame_begin(out, "event", VIEW(":event-type"), VIEW("PayloadChunk"),
                               VIEW("application/octet-stream"));

    REQUIRE(output.length <= EVENT_STREAM_MAX_PAYLOAD_BYTES);
    buffer_append_view(out, output);
    frame_end(out, start);
}

static void write_if_any(struct json_writer *w, const char *name, struct view text)
{
    if (text.length)
        json_write_string(w, name, text);
}

/* A longer one would be refused by those who hold it whole. */
static void end_frame_of_end(struct buffer *out, size_t start, size_t payload_start)
{
    if (out->error == ERROR_NONE && out->length - payload_start > EVENT_STREAM_MAX_END_BYTES)
        out->error = ERROR_TOO_BIG;
    frame_end(out, start);
}

void event_stream_append_complete(struct buffer *out, struct view code, struct view details,
                                  struct view log)
{
    size_t start = frame_begin(out, "event", VIEW(":event-type"), VIEW("InvokeComplete"),
                               VIEW("application/json"));
    size_t payload_start = out->length;
    struct json_writer w;

    json_begin(&w, out);
    json_open_object(&w, NULL);
    write_if_any(&w, "ErrorCode", code);
    write_if_any(&w, "ErrorDetails", details);
    write_if_any(&w, "LogResult", log);
    json_close_object(&w);
    end_frame_of_end(out, start, payload_start);
}

void event_stream_append_exception(struct buffer *out, struct view type, struct view message)
{
    size_t start =
        frame_begin(out, "exception", VIEW(":exception-type"), type, VIEW("application/json"));
    size_t payload_start = out->length;
    struct json_writer w;

    json_begin(&w, out);
    json_open_object(&w, NULL);
    json_write_string(&w, "message", message);
    json_close_object(&w);
    end_frame_of_end(out, start, payload_start);
}
