/* Writes tagged fields one behind the other, and takes them apart again with every bound checked. */
#include "common/store/codec.h"

#include "common/store/layout.h"

#define FIELD_HEAD_BYTES 6 /* tag u16, length u32 */

static void store_big_endian(uint8_t *out, uint64_t value, size_t width);
static void put_number(struct buffer *out, uint16_t tag, uint64_t value, size_t width);
static uint64_t take_number(struct codec_reader *reader, struct view field, size_t width);
static uint64_t load_big_endian(const char *bytes, size_t width);

void codec_begin(struct buffer *out)
{
    buffer_append_byte(out, LAYOUT_FORMAT);
}

void codec_put_u64(struct buffer *out, uint16_t tag, uint64_t value)
{
    put_number(out, tag, value, 8);
}

void codec_put_u32(struct buffer *out, uint16_t tag, uint32_t value)
{
    put_number(out, tag, value, 4);
}

void codec_put_u16(struct buffer *out, uint16_t tag, uint16_t value)
{
    put_number(out, tag, value, 2);
}

void codec_put_u8(struct buffer *out, uint16_t tag, uint8_t value)
{
    put_number(out, tag, value, 1);
}

void codec_put_text(struct buffer *out, uint16_t tag, struct view text)
{
    uint8_t head[FIELD_HEAD_BYTES];

    if (text.length > UINT32_MAX) {
        out->error = ERROR_TOO_BIG;
        return;
    }
    store_big_endian(head, tag, 2);
    store_big_endian(head + 2, text.length, 4);
    buffer_append(out, head, sizeof(head));
    buffer_append_view(out, text);
}

size_t codec_open(struct buffer *out, uint16_t tag)
{
    codec_put_text(out, tag, (struct view){"", 0});
    return out->length;
}

void codec_close(struct buffer *out, size_t position)
{
    size_t length;

    if (out->error != ERROR_NONE) /* the position may be of a head that did not fit */
        return;
    REQUIRE(position >= FIELD_HEAD_BYTES && position <= out->length);
    length = out->length - position;
    if (length > UINT32_MAX) {
        out->error = ERROR_TOO_BIG;
        return;
    }
    store_big_endian((uint8_t *)out->data + position - 4, length, 4);
}

void codec_read(struct codec_reader *reader, struct view record)
{
    reader->rest = view_slice(record, 1, SIZE_MAX);
    reader->error = ERROR_NONE;
    if (record.length == 0 || record.data[0] == 0)
        reader->error = ERROR_DAMAGED;
    else if (record.data[0] != LAYOUT_FORMAT)
        reader->error = ERROR_FROM_FUTURE;
}

void codec_read_nested(struct codec_reader *reader, struct view field)
{
    reader->rest = field;
    reader->error = ERROR_NONE;
}

bool codec_next(struct codec_reader *reader, uint16_t *tag, struct view *field)
{
    const uint8_t *head;
    uint32_t length;

    if (reader->error != ERROR_NONE || reader->rest.length == 0)
        return false;
    if (reader->rest.length < FIELD_HEAD_BYTES) {
        reader->error = ERROR_DAMAGED;
        return false;
    }
    head = (const uint8_t *)reader->rest.data; /* a request decodes its route: no loops here */
    *tag = (uint16_t)(head[0] << 8 | head[1]);
    length = (uint32_t)head[2] << 24 | (uint32_t)head[3] << 16 | (uint32_t)head[4] << 8 | head[5];
    reader->rest.data += FIELD_HEAD_BYTES;
    reader->rest.length -= FIELD_HEAD_BYTES;
    if (*tag == 0 || length > reader->rest.length) {
        reader->error = ERROR_DAMAGED;
        return false;
    }
    *field = (struct view){reader->rest.data, length};
    reader->rest.data += length;
    reader->rest.length -= length;
    return true;
}

void codec_unknown(struct codec_reader *reader, uint16_t tag)
{
    if (tag >= LAYOUT_CRITICAL_TAG && reader->error == ERROR_NONE)
        reader->error = ERROR_FROM_FUTURE;
}

uint64_t codec_u64(struct codec_reader *reader, struct view field)
{
    return take_number(reader, field, 8);
}

uint32_t codec_u32(struct codec_reader *reader, struct view field)
{
    return (uint32_t)take_number(reader, field, 4);
}

uint16_t codec_u16(struct codec_reader *reader, struct view field)
{
    return (uint16_t)take_number(reader, field, 2);
}

uint8_t codec_u8(struct codec_reader *reader, struct view field)
{
    return (uint8_t)take_number(reader, field, 1);
}

static void put_number(struct buffer *out, uint16_t tag, uint64_t value, size_t width)
{
    uint8_t bytes[8];

    store_big_endian(bytes, value, width);
    codec_put_text(out, tag, view_from(bytes, width));
}

static uint64_t take_number(struct codec_reader *reader, struct view field, size_t width)
{
    if (reader->error != ERROR_NONE)
        return 0;
    if (field.length != width) {
        reader->error = ERROR_DAMAGED;
        return 0;
    }
    return load_big_endian(field.data, width);
}

static void store_big_endian(uint8_t *out, uint64_t value, size_t width)
{
    for (size_t i = width; i > 0; i--) {
        out[i - 1] = (uint8_t)value;
        value >>= 8;
    }
}

static uint64_t load_big_endian(const char *bytes, size_t width)
{
    uint64_t value = 0;

    for (size_t i = 0; i < width; i++)
        value = value << 8 | (uint8_t)bytes[i];
    return value;
}
