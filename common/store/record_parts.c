/* Holds what the published records share: one copy of the bytes, strict fields, lawful names. */
#include "common/store/record_parts.h"

#include "common/store/layout.h"
#include "common/store/route_record.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define HOST_MAX 255

enum error record_refuse(struct buffer *problem, const char *format, ...)
{
    char sentence[512];
    va_list arguments;

    if (problem) {
        va_start(arguments, format);
        vsnprintf(sentence, sizeof(sentence), format, arguments);
        va_end(arguments);
        buffer_append_string(problem, sentence);
    }
    return ERROR_INVALID;
}

/* One copy of the whole record; all views of the decoded struct point into it. */
enum error record_take(struct arena *arena, struct view bytes, struct codec_reader *reader)
{
    struct view copy;

    if (bytes.length > ROUTE_MAX_RECORD)
        return ERROR_DAMAGED;
    copy = arena_copy(arena, bytes);
    if (!copy.data)
        return arena->error;
    codec_read(reader, copy);
    return reader->error;
}

enum error record_count(const struct codec_reader *reader, uint16_t wanted, size_t *count)
{
    struct codec_reader walker = *reader;
    struct view field;
    uint16_t tag;

    *count = 0;
    while (codec_next(&walker, &tag, &field))
        *count += tag == wanted;
    return walker.error;
}

/* Unknown tags may repeat: what they mean is not ours to say. */
bool record_seen(struct record_seen *seen, uint16_t tag)
{
    uint32_t *tags = &seen->tags;
    bool before;

    if (tag >= LAYOUT_CRITICAL_TAG) {
        tag -= LAYOUT_CRITICAL_TAG;
        tags = &seen->critical;
    }
    if (tag >= 32)
        return false;
    before = (*tags & RECORD_TAG(tag)) != 0;
    *tags |= RECORD_TAG(tag);
    return before;
}

bool record_seen_all(const struct record_seen *seen, uint32_t wanted)
{
    return (seen->tags & wanted) == wanted;
}

bool record_bool(struct codec_reader *reader, struct view field)
{
    uint8_t value = codec_u8(reader, field);

    if (value > 1 && reader->error == ERROR_NONE)
        reader->error = ERROR_DAMAGED;
    return value == 1;
}

/* A choice that we do not know was made by a newer release, and must not be taken for another. */
unsigned record_choice(struct codec_reader *reader, struct view field, unsigned lowest,
                       unsigned highest)
{
    unsigned value = codec_u8(reader, field);

    if (reader->error == ERROR_NONE && (value < lowest || value > highest))
        reader->error = ERROR_FROM_FUTURE;
    return reader->error == ERROR_NONE ? value : lowest;
}

/* api.md section 3: ^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$ without "--". */
bool record_app_lawful(struct view app)
{
    if (app.length == 0 || app.length > 63 || app.data[0] < 'a' || app.data[0] > 'z' ||
        app.data[app.length - 1] == '-')
        return false;
    for (size_t i = 0; i < app.length; i++) {
        char c = app.data[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-')
            return false;
        if (c == '-' && app.data[i - 1] == '-')
            return false;
    }
    return true;
}

/* Labels of lower-case letters, digits, "-" and "_", parted by single dots (RFC 1123; "_" is seen
 * in the wild). */
bool record_host_lawful(struct view host, bool wildcard)
{
    size_t label = 0;

    if (host.length == 0 || host.length > HOST_MAX)
        return false;
    if (wildcard && view_starts_with(host, VIEW("*.")))
        host = view_slice(host, 2, SIZE_MAX);
    for (size_t i = 0; i < host.length; i++) {
        char c = host.data[i];

        if (c == '.' ? label == 0
                     : !(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '_')
            return false;
        label = c == '.' ? 0 : label + 1;
        if (label > 63)
            return false;
    }
    return label > 0;
}

/* Printable ASCII without blanks, at least one byte. */
bool record_graphic(struct view text, size_t max)
{
    for (size_t i = 0; i < text.length; i++)
        if (text.data[i] <= ' ' || text.data[i] > '~')
            return false;
    return text.length > 0 && text.length <= max;
}

bool record_token(struct view text, size_t max)
{
    return record_made_of(text, max, "!#$%&'*+-.^_`|~");
}

bool record_made_of(struct view text, size_t max, const char *more)
{
    for (size_t i = 0; i < text.length; i++) {
        char c = text.data[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
            (c == '\0' || !strchr(more, c)))
            return false;
    }
    return text.length > 0 && text.length <= max;
}
