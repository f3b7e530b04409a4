/* Turns the settings of the edge, and the generation, into bytes and back. */
#include "common/store/route_record.h"

#include "common/store/layout.h"
#include "common/store/record_parts.h"

#define URL_MAX          2048
#define INSTALLATION_MAX 64

void settings_record_encode(struct buffer *out, const struct settings_record *record)
{
    codec_begin(out);
    for (size_t i = 0; i < record->base_domain_count; i++)
        codec_put_text(out, SETTINGS_BASE_DOMAIN, record->base_domains[i]);
    if (record->public_url.length)
        codec_put_text(out, SETTINGS_PUBLIC_URL, record->public_url);
    codec_put_u8(out, SETTINGS_PATH_ROUTING, record->path_routing);
}

enum error settings_record_decode(struct arena *arena, struct view bytes,
                                  struct settings_record *record)
{
    struct codec_reader reader;
    struct record_seen seen = {0};
    struct view field;
    enum error error;
    size_t domains;
    uint16_t tag;

    *record = (struct settings_record){0};
    error = record_take(arena, bytes, &reader);
    if (error == ERROR_NONE)
        error = record_count(&reader, SETTINGS_BASE_DOMAIN, &domains);
    if (error != ERROR_NONE)
        return error;
    if (domains > SETTINGS_MAX_BASE_DOMAINS)
        return ERROR_DAMAGED;
    record->base_domains = arena_alloc(arena, (domains ? domains : 1) * sizeof(struct view));
    if (!record->base_domains)
        return arena->error;
    while (codec_next(&reader, &tag, &field)) {
        if (tag != SETTINGS_BASE_DOMAIN && record_seen(&seen, tag))
            return ERROR_DAMAGED;
        if (tag == SETTINGS_BASE_DOMAIN)
            record->base_domains[record->base_domain_count++] = field;
        else if (tag == SETTINGS_PUBLIC_URL)
            record->public_url = field;
        else if (tag == SETTINGS_PATH_ROUTING)
            record->path_routing = record_bool(&reader, field);
        else
            codec_unknown(&reader, tag);
    }
    if (reader.error != ERROR_NONE)
        return reader.error;
    return settings_record_validate(record, NULL) == ERROR_NONE ? ERROR_NONE : ERROR_DAMAGED;
}

enum error settings_record_validate(const struct settings_record *record, struct buffer *problem)
{
    if (record->base_domain_count > SETTINGS_MAX_BASE_DOMAINS)
        return record_refuse(problem, "There are %zu base domains, at most %d are allowed.",
                             record->base_domain_count, SETTINGS_MAX_BASE_DOMAINS);
    for (size_t i = 0; i < record->base_domain_count; i++)
        if (!view_equal_string(record->base_domains[i], "*") &&
            !record_host_lawful(record->base_domains[i], false))
            return record_refuse(problem,
                                 "The base domain \"%.*s\" is neither \"*\" nor a lower-case "
                                 "host name.",
                                 VIEW_FORMAT(view_slice(record->base_domains[i], 0, 100)));
    if (record->public_url.length && (!record_graphic(record->public_url, URL_MAX) ||
                                      (!view_starts_with(record->public_url, VIEW("http://")) &&
                                       !view_starts_with(record->public_url, VIEW("https://")))))
        return record_refuse(problem, "The public URL is not an http:// or https:// URL.");
    return ERROR_NONE;
}

void meta_record_encode(struct buffer *out, const struct meta_record *record)
{
    codec_begin(out);
    codec_put_u64(out, META_GENERATION, record->generation);
    codec_put_text(out, META_INSTALLATION, record->installation);
    codec_put_u64(out, META_PUBLISHED_AT, record->published_at_ms);
}

enum error meta_record_decode(struct arena *arena, struct view bytes, struct meta_record *record)
{
    struct codec_reader reader;
    struct record_seen seen = {0};
    struct view field;
    enum error error;
    uint16_t tag;

    *record = (struct meta_record){0};
    error = record_take(arena, bytes, &reader);
    if (error != ERROR_NONE)
        return error;
    while (codec_next(&reader, &tag, &field)) {
        if (record_seen(&seen, tag))
            return ERROR_DAMAGED;
        if (tag == META_GENERATION)
            record->generation = codec_u64(&reader, field);
        else if (tag == META_INSTALLATION)
            record->installation = field;
        else if (tag == META_PUBLISHED_AT)
            record->published_at_ms = codec_u64(&reader, field);
        else
            codec_unknown(&reader, tag);
    }
    if (reader.error != ERROR_NONE)
        return reader.error;
    if (!record_seen_all(&seen, RECORD_TAG(META_GENERATION) | RECORD_TAG(META_INSTALLATION)) ||
        !record_made_of(record->installation, INSTALLATION_MAX, "-_"))
        return ERROR_DAMAGED;
    return ERROR_NONE;
}
