/* Turns a domain and its paths into bytes and back, and says what is lawful in them. */
#include "common/store/route_record.h"

#include "common/store/layout.h"
#include "common/store/record_parts.h"

#include <string.h>

#define PREFIX_MAX      1024
#define FINGERPRINT_MAX 128

static void decode_path(struct codec_reader *outer, struct view field, struct domain_path *path);

void domain_record_encode(struct buffer *out, const struct domain_record *record)
{
    codec_begin(out);
    codec_put_text(out, DOMAIN_HOST, record->host);
    for (size_t i = 0; i < record->path_count; i++) {
        size_t position = codec_open(out, DOMAIN_PATH);

        codec_put_text(out, PATH_PREFIX, record->paths[i].prefix);
        codec_put_text(out, PATH_APP, record->paths[i].app);
        codec_put_u8(out, PATH_STRIP, record->paths[i].strip);
        codec_close(out, position);
    }
    if (record->tls_fingerprint.length)
        codec_put_text(out, DOMAIN_TLS_FINGERPRINT, record->tls_fingerprint);
}

enum error domain_record_decode(struct arena *arena, struct view bytes,
                                struct domain_record *record)
{
    struct codec_reader reader;
    struct record_seen seen = {0};
    struct view field;
    enum error error;
    size_t paths;
    uint16_t tag;

    *record = (struct domain_record){0};
    error = record_take(arena, bytes, &reader);
    if (error == ERROR_NONE)
        error = record_count(&reader, DOMAIN_PATH, &paths);
    if (error != ERROR_NONE)
        return error;
    if (paths > DOMAIN_MAX_PATHS)
        return ERROR_DAMAGED;
    record->paths = arena_alloc(arena, (paths ? paths : 1) * sizeof(*record->paths));
    if (!record->paths)
        return arena->error;
    while (codec_next(&reader, &tag, &field)) {
        if (tag != DOMAIN_PATH && record_seen(&seen, tag))
            return ERROR_DAMAGED;
        if (tag == DOMAIN_HOST)
            record->host = field;
        else if (tag == DOMAIN_PATH)
            decode_path(&reader, field, &record->paths[record->path_count++]);
        else if (tag == DOMAIN_TLS_FINGERPRINT)
            record->tls_fingerprint = field;
        else
            codec_unknown(&reader, tag);
    }
    if (reader.error != ERROR_NONE)
        return reader.error;
    return domain_record_validate(record, NULL) == ERROR_NONE ? ERROR_NONE : ERROR_DAMAGED;
}

static void decode_path(struct codec_reader *outer, struct view field, struct domain_path *path)
{
    struct codec_reader reader;
    struct record_seen seen = {0};
    uint16_t tag;

    codec_read_nested(&reader, field);
    while (codec_next(&reader, &tag, &field)) {
        if (record_seen(&seen, tag))
            reader.error = ERROR_DAMAGED;
        else if (tag == PATH_PREFIX)
            path->prefix = field;
        else if (tag == PATH_APP)
            path->app = field;
        else if (tag == PATH_STRIP)
            path->strip = record_bool(&reader, field);
        else
            codec_unknown(&reader, tag);
    }
    if (outer->error == ERROR_NONE)
        outer->error = reader.error;
}

enum error domain_record_validate(const struct domain_record *record, struct buffer *problem)
{
    if (!record_host_lawful(record->host, true))
        return record_refuse(problem, "The domain \"%.*s\" is not a lower-case host name.",
                             VIEW_FORMAT(view_slice(record->host, 0, 100)));
    if (record->path_count > DOMAIN_MAX_PATHS)
        return record_refuse(problem, "A domain holds at most %d paths, this one has %zu.",
                             DOMAIN_MAX_PATHS, record->path_count);
    for (size_t i = 0; i < record->path_count; i++) {
        const struct domain_path *path = &record->paths[i];

        if (!record_graphic(path->prefix, PREFIX_MAX) || path->prefix.data[0] != '/')
            return record_refuse(problem,
                                 "A path of the domain does not begin with \"/\", or is longer "
                                 "than %d bytes, or holds blanks or bytes that are not ASCII.",
                                 PREFIX_MAX);
        if (!record_app_lawful(path->app))
            return record_refuse(problem, "The app of a path of the domain is not a lawful name.");
        for (size_t k = 0; k < i; k++)
            if (view_equal(record->paths[k].prefix, path->prefix))
                return record_refuse(problem, "The path \"%.*s\" is in the domain twice.",
                                     VIEW_FORMAT(path->prefix));
    }
    for (size_t i = 0; i < record->tls_fingerprint.length; i++)
        if (i >= FINGERPRINT_MAX ||
            !memchr("0123456789abcdef", record->tls_fingerprint.data[i], 16))
            return record_refuse(problem, "The domain's TLS fingerprint is not lower-case hex.");
    return ERROR_NONE;
}
