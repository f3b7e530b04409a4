/* Turns the published records into bytes and back, and says what is lawful in them. */
#include "common/store/route_record.h"

#include "common/store/codec.h"
#include "common/store/layout.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define FUNCTION_MAX     256 /* an ARN has at most 140 characters today */
#define QUALIFIER_MAX    128
#define TIMEOUT_MAX_S    900
#define HOST_MAX         255
#define PREFIX_MAX       1024
#define URL_MAX          2048
#define INSTALLATION_MAX 64
#define FINGERPRINT_MAX  128

/* Tags seen so far, to refuse what must not repeat. */
struct seen {
    uint32_t tags; /* bit per tag; all our tags are below 32 */
};

static bool seen_before(struct seen *seen, uint16_t tag);
static bool seen_all(const struct seen *seen, uint32_t wanted);
#define TAG_BIT(tag) (UINT32_C(1) << (tag))

static enum error refuse(struct buffer *problem, const char *format, ...) PRINTF_LIKE(2, 3);
static enum error take_record(struct arena *arena, struct view bytes, struct codec_reader *reader);
static enum error count_nested(const struct codec_reader *reader, uint16_t wanted, size_t *count);
static bool take_bool(struct codec_reader *reader, struct view field);
static unsigned take_choice(struct codec_reader *reader, struct view field, unsigned lowest,
                            unsigned highest);
static void decode_route_field(struct codec_reader *reader, uint16_t tag, struct view field,
                               struct route_record *record);
static void decode_version(struct codec_reader *outer, struct view field,
                           struct route_version *version);
static void decode_path(struct codec_reader *outer, struct view field, struct domain_path *path);
static enum error check_version(const struct route_record *record, size_t index,
                                struct buffer *problem);
static bool app_lawful(struct view app);
static bool host_lawful(struct view host, bool wildcard);
static bool graphic(struct view text, size_t max);
static bool made_of(struct view text, size_t max, const char *more);

/* ---- route ---- */

static void encode_version(struct buffer *out, const struct route_version *version)
{
    size_t position = codec_open(out, ROUTE_VERSION);

    codec_put_u32(out, VERSION_NUMBER, version->number);
    codec_put_u16(out, VERSION_WEIGHT, version->weight);
    codec_put_text(out, VERSION_FUNCTION, version->function);
    codec_put_text(out, VERSION_QUALIFIER, version->qualifier);
    codec_put_u8(out, VERSION_PAYLOAD_FORMAT, (uint8_t)version->payload_format);
    codec_put_u8(out, VERSION_RESPONSE_MODE, (uint8_t)version->response_mode);
    codec_put_u8(out, VERSION_MULTI_VALUE, version->multi_value);
    codec_put_u32(out, VERSION_TIMEOUT_S, version->timeout_s);
    codec_close(out, position);
}

void route_record_encode(struct buffer *out, const struct route_record *record)
{
    codec_begin(out);
    codec_put_text(out, ROUTE_APP, record->app);
    codec_put_u32(out, ROUTE_SLOT, record->slot);
    codec_put_u8(out, ROUTE_ENABLED, record->enabled);
    for (size_t i = 0; i < record->version_count; i++)
        encode_version(out, &record->versions[i]);
    if (record->max_in_flight)
        codec_put_u32(out, ROUTE_MAX_IN_FLIGHT, record->max_in_flight);
    if (record->rate_milli)
        codec_put_u64(out, ROUTE_RATE_MILLI, record->rate_milli);
    if (record->burst)
        codec_put_u32(out, ROUTE_BURST, record->burst);
    if (record->deadline_ms)
        codec_put_u32(out, ROUTE_DEADLINE_MS, record->deadline_ms);
    if (record->max_body_bytes)
        codec_put_u64(out, ROUTE_MAX_BODY_BYTES, record->max_body_bytes);
    if (record->sticky != ROUTE_STICKY_NONE)
        codec_put_u8(out, ROUTE_STICKY, (uint8_t)record->sticky);
    codec_put_u64(out, ROUTE_REVISION, record->revision);
}

enum error route_record_decode(struct arena *arena, struct view bytes, struct route_record *record)
{
    struct codec_reader reader;
    struct seen seen = {0};
    struct view field;
    enum error error;
    size_t versions;
    uint16_t tag;

    *record = (struct route_record){0};
    error = take_record(arena, bytes, &reader);
    if (error == ERROR_NONE)
        error = count_nested(&reader, ROUTE_VERSION, &versions);
    if (error != ERROR_NONE)
        return error;
    if (versions > ROUTE_MAX_VERSIONS)
        return ERROR_DAMAGED;
    if (versions) {
        record->versions = arena_alloc(arena, versions * sizeof(*record->versions));
        if (!record->versions)
            return arena->error;
    }
    while (codec_next(&reader, &tag, &field)) {
        if (tag != ROUTE_VERSION && seen_before(&seen, tag))
            return ERROR_DAMAGED;
        decode_route_field(&reader, tag, field, record);
    }
    if (reader.error != ERROR_NONE)
        return reader.error;
    if (!seen_all(&seen, TAG_BIT(ROUTE_APP) | TAG_BIT(ROUTE_SLOT) | TAG_BIT(ROUTE_ENABLED) |
                             TAG_BIT(ROUTE_REVISION)))
        return ERROR_DAMAGED;
    return route_record_validate(record, NULL) == ERROR_NONE ? ERROR_NONE : ERROR_DAMAGED;
}

static void decode_route_field(struct codec_reader *reader, uint16_t tag, struct view field,
                               struct route_record *record)
{
    switch (tag) {
    case ROUTE_APP:
        record->app = field;
        break;
    case ROUTE_SLOT:
        record->slot = codec_u32(reader, field);
        break;
    case ROUTE_ENABLED:
        record->enabled = take_bool(reader, field);
        break;
    case ROUTE_VERSION:
        decode_version(reader, field, &record->versions[record->version_count++]);
        break;
    case ROUTE_MAX_IN_FLIGHT:
        record->max_in_flight = codec_u32(reader, field);
        break;
    case ROUTE_RATE_MILLI:
        record->rate_milli = codec_u64(reader, field);
        break;
    case ROUTE_BURST:
        record->burst = codec_u32(reader, field);
        break;
    case ROUTE_DEADLINE_MS:
        record->deadline_ms = codec_u32(reader, field);
        break;
    case ROUTE_MAX_BODY_BYTES:
        record->max_body_bytes = codec_u64(reader, field);
        break;
    case ROUTE_STICKY:
        record->sticky = take_choice(reader, field, ROUTE_STICKY_NONE, ROUTE_STICKY_ADDRESS);
        break;
    case ROUTE_REVISION:
        record->revision = codec_u64(reader, field);
        break;
    default:
        codec_unknown(reader, tag);
    }
}

static void decode_version(struct codec_reader *outer, struct view field,
                           struct route_version *version)
{
    const uint32_t wanted = TAG_BIT(VERSION_NUMBER) | TAG_BIT(VERSION_WEIGHT) |
                            TAG_BIT(VERSION_FUNCTION) | TAG_BIT(VERSION_QUALIFIER) |
                            TAG_BIT(VERSION_PAYLOAD_FORMAT) | TAG_BIT(VERSION_TIMEOUT_S);
    struct codec_reader reader;
    struct seen seen = {0};
    uint16_t tag;

    codec_read_nested(&reader, field);
    while (codec_next(&reader, &tag, &field)) {
        if (seen_before(&seen, tag)) {
            reader.error = ERROR_DAMAGED;
            break;
        }
        switch (tag) {
        case VERSION_NUMBER:
            version->number = codec_u32(&reader, field);
            break;
        case VERSION_WEIGHT:
            version->weight = codec_u16(&reader, field);
            break;
        case VERSION_FUNCTION:
            version->function = field;
            break;
        case VERSION_QUALIFIER:
            version->qualifier = field;
            break;
        case VERSION_PAYLOAD_FORMAT:
            version->payload_format =
                take_choice(&reader, field, ROUTE_PAYLOAD_1_0, ROUTE_PAYLOAD_ALB);
            break;
        case VERSION_RESPONSE_MODE:
            version->response_mode = take_choice(&reader, field, ROUTE_BUFFERED, ROUTE_AUTO);
            break;
        case VERSION_MULTI_VALUE:
            version->multi_value = take_bool(&reader, field);
            break;
        case VERSION_TIMEOUT_S:
            version->timeout_s = codec_u32(&reader, field);
            break;
        default:
            codec_unknown(&reader, tag);
        }
    }
    if (reader.error == ERROR_NONE && !seen_all(&seen, wanted))
        reader.error = ERROR_DAMAGED;
    if (outer->error == ERROR_NONE)
        outer->error = reader.error;
}

enum error route_record_validate(const struct route_record *record, struct buffer *problem)
{
    uint64_t total = 0;

    if (!app_lawful(record->app))
        return refuse(problem, "The app name \"%.*s\" is not a lower-case DNS label.",
                      VIEW_FORMAT(view_slice(record->app, 0, 100)));
    if (record->version_count > ROUTE_MAX_VERSIONS)
        return refuse(problem, "A route holds at most %d versions, this one has %zu.",
                      ROUTE_MAX_VERSIONS, record->version_count);
    if ((unsigned)record->sticky > ROUTE_STICKY_ADDRESS)
        return refuse(problem, "The route's kind of stickiness is unknown.");
    for (size_t i = 0; i < record->version_count; i++) {
        if (check_version(record, i, problem) != ERROR_NONE)
            return ERROR_INVALID;
        total += record->versions[i].weight;
    }
    if (record->version_count && total != ROUTE_WEIGHT_TOTAL)
        return refuse(problem, "The weights of the route's versions add up to %llu of %d.",
                      (unsigned long long)total, ROUTE_WEIGHT_TOTAL);
    return ERROR_NONE;
}

static enum error check_version(const struct route_record *record, size_t index,
                                struct buffer *problem)
{
    const struct route_version *version = &record->versions[index];

    if (version->number == 0)
        return refuse(problem, "Version numbers of a route begin at 1.");
    for (size_t i = 0; i < index; i++)
        if (record->versions[i].number == version->number)
            return refuse(problem, "Version %u is in the route twice.", version->number);
    if (version->weight > ROUTE_WEIGHT_TOTAL)
        return refuse(problem, "The weight of version %u is above %d.", version->number,
                      ROUTE_WEIGHT_TOTAL);
    if (!made_of(version->function, FUNCTION_MAX, "-_:$"))
        return refuse(problem, "The function of version %u is no function name and no ARN.",
                      version->number);
    if (!made_of(version->qualifier, QUALIFIER_MAX, "-_$"))
        return refuse(problem, "The Lambda version of version %u is not lawful.", version->number);
    if (version->payload_format < ROUTE_PAYLOAD_1_0 || version->payload_format > ROUTE_PAYLOAD_ALB)
        return refuse(problem, "The payload format of version %u is unknown.", version->number);
    if ((unsigned)version->response_mode > ROUTE_AUTO)
        return refuse(problem, "The response mode of version %u is unknown.", version->number);
    if (version->timeout_s == 0 || version->timeout_s > TIMEOUT_MAX_S)
        return refuse(problem, "The timeout of version %u is not between 1 and %d seconds.",
                      version->number, TIMEOUT_MAX_S);
    return ERROR_NONE;
}

/* ---- domain ---- */

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
    struct seen seen = {0};
    struct view field;
    enum error error;
    size_t paths;
    uint16_t tag;

    *record = (struct domain_record){0};
    error = take_record(arena, bytes, &reader);
    if (error == ERROR_NONE)
        error = count_nested(&reader, DOMAIN_PATH, &paths);
    if (error != ERROR_NONE)
        return error;
    if (paths > DOMAIN_MAX_PATHS)
        return ERROR_DAMAGED;
    record->paths = arena_alloc(arena, (paths ? paths : 1) * sizeof(*record->paths));
    if (!record->paths)
        return arena->error;
    while (codec_next(&reader, &tag, &field)) {
        if (tag != DOMAIN_PATH && seen_before(&seen, tag))
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
    struct seen seen = {0};
    uint16_t tag;

    codec_read_nested(&reader, field);
    while (codec_next(&reader, &tag, &field)) {
        if (seen_before(&seen, tag))
            reader.error = ERROR_DAMAGED;
        else if (tag == PATH_PREFIX)
            path->prefix = field;
        else if (tag == PATH_APP)
            path->app = field;
        else if (tag == PATH_STRIP)
            path->strip = take_bool(&reader, field);
        else
            codec_unknown(&reader, tag);
    }
    if (outer->error == ERROR_NONE)
        outer->error = reader.error;
}

enum error domain_record_validate(const struct domain_record *record, struct buffer *problem)
{
    if (!host_lawful(record->host, true))
        return refuse(problem, "The domain \"%.*s\" is not a lower-case host name.",
                      VIEW_FORMAT(view_slice(record->host, 0, 100)));
    if (record->path_count > DOMAIN_MAX_PATHS)
        return refuse(problem, "A domain holds at most %d paths, this one has %zu.",
                      DOMAIN_MAX_PATHS, record->path_count);
    for (size_t i = 0; i < record->path_count; i++) {
        const struct domain_path *path = &record->paths[i];

        if (!graphic(path->prefix, PREFIX_MAX) || path->prefix.data[0] != '/')
            return refuse(problem,
                          "A path of the domain does not begin with \"/\", or is longer "
                          "than %d bytes, or holds blanks or bytes that are not ASCII.",
                          PREFIX_MAX);
        if (!app_lawful(path->app))
            return refuse(problem, "The app of a path of the domain is not a lawful name.");
        for (size_t k = 0; k < i; k++)
            if (view_equal(record->paths[k].prefix, path->prefix))
                return refuse(problem, "The path \"%.*s\" is in the domain twice.",
                              VIEW_FORMAT(path->prefix));
    }
    for (size_t i = 0; i < record->tls_fingerprint.length; i++)
        if (i >= FINGERPRINT_MAX ||
            !memchr("0123456789abcdef", record->tls_fingerprint.data[i], 16))
            return refuse(problem, "The domain's TLS fingerprint is not lower-case hex.");
    return ERROR_NONE;
}

/* ---- settings ---- */

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
    struct seen seen = {0};
    struct view field;
    enum error error;
    size_t domains;
    uint16_t tag;

    *record = (struct settings_record){0};
    error = take_record(arena, bytes, &reader);
    if (error == ERROR_NONE)
        error = count_nested(&reader, SETTINGS_BASE_DOMAIN, &domains);
    if (error != ERROR_NONE)
        return error;
    if (domains > SETTINGS_MAX_BASE_DOMAINS)
        return ERROR_DAMAGED;
    record->base_domains = arena_alloc(arena, (domains ? domains : 1) * sizeof(struct view));
    if (!record->base_domains)
        return arena->error;
    while (codec_next(&reader, &tag, &field)) {
        if (tag != SETTINGS_BASE_DOMAIN && seen_before(&seen, tag))
            return ERROR_DAMAGED;
        if (tag == SETTINGS_BASE_DOMAIN)
            record->base_domains[record->base_domain_count++] = field;
        else if (tag == SETTINGS_PUBLIC_URL)
            record->public_url = field;
        else if (tag == SETTINGS_PATH_ROUTING)
            record->path_routing = take_bool(&reader, field);
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
        return refuse(problem, "There are %zu base domains, at most %d are allowed.",
                      record->base_domain_count, SETTINGS_MAX_BASE_DOMAINS);
    for (size_t i = 0; i < record->base_domain_count; i++)
        if (!view_equal_string(record->base_domains[i], "*") &&
            !host_lawful(record->base_domains[i], false))
            return refuse(problem,
                          "The base domain \"%.*s\" is neither \"*\" nor a lower-case "
                          "host name.",
                          VIEW_FORMAT(view_slice(record->base_domains[i], 0, 100)));
    if (record->public_url.length && (!graphic(record->public_url, URL_MAX) ||
                                      (!view_starts_with(record->public_url, VIEW("http://")) &&
                                       !view_starts_with(record->public_url, VIEW("https://")))))
        return refuse(problem, "The public URL is not an http:// or https:// URL.");
    return ERROR_NONE;
}

/* ---- meta ---- */

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
    struct seen seen = {0};
    struct view field;
    enum error error;
    uint16_t tag;

    *record = (struct meta_record){0};
    error = take_record(arena, bytes, &reader);
    if (error != ERROR_NONE)
        return error;
    while (codec_next(&reader, &tag, &field)) {
        if (seen_before(&seen, tag))
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
    if (!seen_all(&seen, TAG_BIT(META_GENERATION) | TAG_BIT(META_INSTALLATION)) ||
        !made_of(record->installation, INSTALLATION_MAX, "-_"))
        return ERROR_DAMAGED;
    return ERROR_NONE;
}

/* ---- what they share ---- */

static enum error refuse(struct buffer *problem, const char *format, ...)
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
static enum error take_record(struct arena *arena, struct view bytes, struct codec_reader *reader)
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

static enum error count_nested(const struct codec_reader *reader, uint16_t wanted, size_t *count)
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
static bool seen_before(struct seen *seen, uint16_t tag)
{
    bool before;

    if (tag >= 32)
        return false;
    before = (seen->tags & TAG_BIT(tag)) != 0;
    seen->tags |= TAG_BIT(tag);
    return before;
}

static bool seen_all(const struct seen *seen, uint32_t wanted)
{
    return (seen->tags & wanted) == wanted;
}

static bool take_bool(struct codec_reader *reader, struct view field)
{
    uint8_t value = codec_u8(reader, field);

    if (value > 1 && reader->error == ERROR_NONE)
        reader->error = ERROR_DAMAGED;
    return value == 1;
}

/* A choice that we do not know was made by a newer release, and must not be taken for another. */
static unsigned take_choice(struct codec_reader *reader, struct view field, unsigned lowest,
                            unsigned highest)
{
    unsigned value = codec_u8(reader, field);

    if (reader->error == ERROR_NONE && (value < lowest || value > highest))
        reader->error = ERROR_FROM_FUTURE;
    return reader->error == ERROR_NONE ? value : lowest;
}

/* api.md section 3: ^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$ without "--". */
static bool app_lawful(struct view app)
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
static bool host_lawful(struct view host, bool wildcard)
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
static bool graphic(struct view text, size_t max)
{
    for (size_t i = 0; i < text.length; i++)
        if (text.data[i] <= ' ' || text.data[i] > '~')
            return false;
    return text.length > 0 && text.length <= max;
}

static bool made_of(struct view text, size_t max, const char *more)
{
    for (size_t i = 0; i < text.length; i++) {
        char c = text.data[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
            (c == '\0' || !strchr(more, c)))
            return false;
    }
    return text.length > 0 && text.length <= max;
}
