/* Tagged fields to bytes and back (layout.h). The writer's buffer has the sticky error; the reader
 * has its own. */
#ifndef COMMON_STORE_CODEC_H
#define COMMON_STORE_CODEC_H

#include "common/base/bytes.h"

/* Writing: codec_begin, fields, done. Nested rows: codec_open gives a position, fields, codec_close
 * fills in the length. */
void codec_begin(struct buffer *out);
void codec_put_u64(struct buffer *out, uint16_t tag, uint64_t value); /* 8 bytes */
void codec_put_u32(struct buffer *out, uint16_t tag, uint32_t value);
void codec_put_u16(struct buffer *out, uint16_t tag, uint16_t value);
void codec_put_u8(struct buffer *out, uint16_t tag, uint8_t value);
void codec_put_text(struct buffer *out, uint16_t tag, struct view text);
size_t codec_open(struct buffer *out, uint16_t tag);
void codec_close(struct buffer *out, size_t position);

struct codec_reader {
    struct view rest;
    enum error error; /* sticky: ERROR_DAMAGED or ERROR_FROM_FUTURE */
};

/* Checks the format byte. */
void codec_read(struct codec_reader *reader, struct view record);
/* For a nested field's bytes (no format byte). */
void codec_read_nested(struct codec_reader *reader, struct view field);
/* The next field; false at the end or after an error. */
bool codec_next(struct codec_reader *reader, uint16_t *tag, struct view *field);
/* An unknown tag: skipped, or ERROR_FROM_FUTURE when critical. */
void codec_unknown(struct codec_reader *reader, uint16_t tag);
/* The field as a number of exactly that width; another width sets ERROR_DAMAGED and gives 0. */
uint64_t codec_u64(struct codec_reader *reader, struct view field);
uint32_t codec_u32(struct codec_reader *reader, struct view field);
uint16_t codec_u16(struct codec_reader *reader, struct view field);
uint8_t codec_u8(struct codec_reader *reader, struct view field);

#endif
