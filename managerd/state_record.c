/* Puts a sum to each record of state, and finds by it whether the record is still what was written. */
#include "managerd/state_record.h"

#include "common/base/crypto.h"
#include "common/base/json.h"

#include <string.h>

#define REVISION_BYTES 8
#define SUM_BYTES      8
#define MAX_DEPTH      100

static void make_sum(struct view key, struct view bytes, char sum[SUM_BYTES])
{
    struct sha256_stream *stream = sha256_new();
    uint8_t digest[SHA256_BYTES];
    sha256_update(stream, key.data, key.length);
    sha256_update(stream, "", 1); /* keys hold no zero byte */
    sha256_update(stream, bytes.data, bytes.length);
    sha256_finish(stream, digest);
    memcpy(sum, digest, SUM_BYTES);
}

void state_record_write(struct buffer *out, struct view key, uint64_t revision, struct view text)
{
    size_t begin = out->length;
    char sum[SUM_BYTES];
    for (int shift = 56; shift >= 0; shift -= 8)
        buffer_append_byte(out, (char)(revision >> shift & 0xff));
    buffer_append_view(out, text);
    buffer_append_byte(out, 0);
    if (out->error)
        return;
    make_sum(key, view_slice(buffer_view(out), begin, SIZE_MAX), sum);
    buffer_append(out, sum, sizeof sum);
}

bool state_record_read(struct view key, struct view bytes, uint64_t *revision, struct view *text)
{
    char sum[SUM_BYTES];
    size_t end;
    if (bytes.length < REVISION_BYTES)
        return false;
    *revision = 0;
    for (int i = 0; i < REVISION_BYTES; i++)
        *revision = *revision << 8 | (uint8_t)bytes.data[i];
    *text = view_slice(bytes, REVISION_BYTES, SIZE_MAX);
    end = view_find(*text, 0);
    if (end == SIZE_MAX)
        return true;
    if (text->length != end + 1 + SUM_BYTES)
        return false;
    make_sum(key, view_slice(bytes, 0, bytes.length - SUM_BYTES), sum);
    if (memcmp(sum, text->data + end + 1, SUM_BYTES) != 0)
        return false;
    *text = view_slice(*text, 0, end);
    return true;
}

bool state_record_whole(struct view key, struct view bytes, uint64_t *revision)
{
    struct view text;
    struct json *json = NULL;
    if (!state_record_read(key, bytes, revision, &text))
        return false;
    if (text.length + REVISION_BYTES < bytes.length)
        return true; /* by its sum */
    bool readable = json_parse(text, MAX_DEPTH, &json, NULL) == ERROR_NONE;
    json_free(json);
    return readable;
}
