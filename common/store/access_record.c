/* Turns the part of a route that says who may call into bytes and back. */
#include "common/store/layout.h"
#include "common/store/record_parts.h"
#include "common/store/route_record.h"

#define HEADER_NAME_MAX 64
#define KEY_ID_MAX      64
#define CORS_ORIGIN_MAX 253
#define CORS_LIST_MAX   8192

static void decode_api_keys(struct codec_reader *outer, struct arena *arena, struct view field,
                            struct route_access *access);
static void decode_cors(struct codec_reader *outer, struct arena *arena, struct view field,
                        struct route_access *access);

static void encode_api_keys(struct buffer *out, const struct route_access *access)
{
    size_t keys = codec_open(out, ACCESS_API_KEYS);

    codec_put_text(out, API_KEYS_HEADER, access->api_key_header);
    for (size_t i = 0; i < access->api_key_count; i++) {
        const struct route_api_key *key = &access->api_keys[i];
        size_t position = codec_open(out, API_KEYS_KEY);

        codec_put_text(out, API_KEY_ID, key->id);
        codec_put_text(out, API_KEY_HASH, key->hash);
        if (key->expires_at_ms)
            codec_put_u64(out, API_KEY_EXPIRES_AT, key->expires_at_ms);
        codec_close(out, position);
    }
    codec_close(out, keys);
}

static void encode_cors(struct buffer *out, const struct route_cors *cors)
{
    size_t position = codec_open(out, ACCESS_CORS);

    for (size_t i = 0; i < cors->origin_count; i++)
        codec_put_text(out, CORS_ORIGIN, cors->origins[i]);
    if (cors->methods.length)
        codec_put_text(out, CORS_METHODS, cors->methods);
    if (cors->headers.length)
        codec_put_text(out, CORS_HEADERS, cors->headers);
    if (cors->exposed.length)
        codec_put_text(out, CORS_EXPOSED, cors->exposed);
    if (cors->has_max_age)
        codec_put_u32(out, CORS_MAX_AGE_S, cors->max_age_s);
    if (cors->credentials)
        codec_put_u8(out, CORS_CREDENTIALS, 1);
    if (cors->private_network)
        codec_put_u8(out, CORS_PRIVATE_NETWORK, 1);
    codec_close(out, position);
}

void record_access_encode(struct buffer *out, const struct route_access *access)
{
    size_t position;

    if (access->api_key_header.length == 0 && access->jwt.issuer.length == 0 && !access->cors)
        return;
    position = codec_open(out, ROUTE_ACCESS);
    if (access->api_key_header.length)
        encode_api_keys(out, access);
    if (access->jwt.issuer.length)
        record_jwt_encode(out, &access->jwt);
    if (access->cors)
        encode_cors(out, access->cors);
    codec_close(out, position);
}

/* A nested row that is broken breaks the record. */
static void pass_error(struct codec_reader *outer, enum error error)
{
    if (outer->error == ERROR_NONE)
        outer->error = error;
}

void record_access_decode(struct codec_reader *outer, struct arena *arena, struct view field,
                          struct route_access *access)
{
    struct codec_reader reader;
    struct record_seen seen = {0};
    uint16_t tag;

    codec_read_nested(&reader, field);
    while (codec_next(&reader, &tag, &field)) {
        if (record_seen(&seen, tag))
            reader.error = ERROR_DAMAGED;
        else if (tag == ACCESS_API_KEYS)
            decode_api_keys(&reader, arena, field, access);
        else if (tag == ACCESS_CORS)
            decode_cors(&reader, arena, field, access);
        else if (tag == ACCESS_JWT)
            record_jwt_decode(&reader, arena, field, &access->jwt);
        else
            codec_unknown(&reader, tag);
    }
    pass_error(outer, reader.error);
}

static void decode_api_key(struct codec_reader *outer, struct view field, struct route_api_key *key)
{
    struct codec_reader reader;
    struct record_seen seen = {0};
    uint16_t tag;

    codec_read_nested(&reader, field);
    while (codec_next(&reader, &tag, &field)) {
        if (record_seen(&seen, tag))
            reader.error = ERROR_DAMAGED;
        else if (tag == API_KEY_ID)
            key->id = field;
        else if (tag == API_KEY_HASH)
            key->hash = field;
        else if (tag == API_KEY_EXPIRES_AT)
            key->expires_at_ms = codec_u64(&reader, field);
        else
            codec_unknown(&reader, tag);
    }
    /* Zero stands for "never" in the struct, and must not come to mean it by a damaged byte. */
    if (seen.tags & RECORD_TAG(API_KEY_EXPIRES_AT) && key->expires_at_ms == 0)
        pass_error(&reader, ERROR_DAMAGED);
    if (!record_seen_all(&seen, RECORD_TAG(API_KEY_ID) | RECORD_TAG(API_KEY_HASH)))
        pass_error(&reader, ERROR_DAMAGED);
    pass_error(outer, reader.error);
}

static void decode_api_keys(struct codec_reader *outer, struct arena *arena, struct view field,
                            struct route_access *access)
{
    struct codec_reader reader;
    struct record_seen seen = {0};
    size_t keys = 0;
    uint16_t tag;

    codec_read_nested(&reader, field);
    reader.error = record_count(&reader, API_KEYS_KEY, &keys);
    if (keys > ROUTE_MAX_API_KEYS)
        pass_error(&reader, ERROR_DAMAGED);
    if (keys && reader.error == ERROR_NONE) {
        access->api_keys = arena_alloc(arena, keys * sizeof *access->api_keys);
        reader.error = arena->error;
    }
    while (codec_next(&reader, &tag, &field)) {
        if (tag == API_KEYS_KEY) {
            access->api_keys[access->api_key_count] = (struct route_api_key){0};
            decode_api_key(&reader, field, &access->api_keys[access->api_key_count++]);
        } else if (record_seen(&seen, tag)) {
            reader.error = ERROR_DAMAGED;
        } else if (tag == API_KEYS_HEADER) {
            access->api_key_header = field;
        } else {
            codec_unknown(&reader, tag);
        }
    }
    /* Without the header's name the rule would look as if it were not there. */
    if (access->api_key_header.length == 0)
        pass_error(&reader, ERROR_DAMAGED);
    pass_error(outer, reader.error);
}

static void decode_cors_field(struct codec_reader *reader, uint16_t tag, struct view field,
                              struct route_cors *cors)
{
    switch (tag) {
    case CORS_ORIGIN:
        cors->origins[cors->origin_count++] = field;
        break;
    case CORS_METHODS:
        cors->methods = field;
        break;
    case CORS_HEADERS:
        cors->headers = field;
        break;
    case CORS_EXPOSED:
        cors->exposed = field;
        break;
    case CORS_MAX_AGE_S:
        cors->has_max_age = true;
        cors->max_age_s = codec_u32(reader, field);
        break;
    case CORS_CREDENTIALS:
        cors->credentials = record_bool(reader, field);
        break;
    case CORS_PRIVATE_NETWORK:
        cors->private_network = record_bool(reader, field);
        break;
    default:
        codec_unknown(reader, tag);
    }
}

static void decode_cors(struct codec_reader *outer, struct arena *arena, struct view field,
                        struct route_access *access)
{
    struct codec_reader reader;
    struct record_seen seen = {0};
    struct route_cors *cors = NULL;
    size_t origins = 0;
    uint16_t tag;

    codec_read_nested(&reader, field);
    reader.error = record_count(&reader, CORS_ORIGIN, &origins);
    if (origins == 0 || origins > ROUTE_MAX_CORS_ORIGINS)
        pass_error(&reader, ERROR_DAMAGED);
    if (reader.error == ERROR_NONE)
        cors = arena_alloc(arena, sizeof *cors + origins * sizeof *cors->origins);
    if (!cors) {
        pass_error(&reader, arena->error);
        pass_error(outer, reader.error);
        return;
    }
    *cors = (struct route_cors){.origins = (struct view *)(cors + 1)};
    access->cors = cors;
    while (codec_next(&reader, &tag, &field)) {
        if (tag != CORS_ORIGIN && record_seen(&seen, tag))
            reader.error = ERROR_DAMAGED;
        else
            decode_cors_field(&reader, tag, field, cors);
    }
    pass_error(outer, reader.error);
}

/* They become headers: printable ASCII. */
static bool header_list(struct view text)
{
    for (size_t i = 0; i < text.length; i++)
        if (text.data[i] < ' ' || text.data[i] > '~')
            return false;
    return text.length <= CORS_LIST_MAX;
}

static enum error check_cors(const struct route_cors *cors, struct buffer *problem)
{
    if (cors->origin_count == 0 || cors->origin_count > ROUTE_MAX_CORS_ORIGINS)
        return record_refuse(problem, "A route for other origins names 1 to %d of them, not %zu.",
                             ROUTE_MAX_CORS_ORIGINS, cors->origin_count);
    for (size_t i = 0; i < cors->origin_count; i++) {
        if (!record_graphic(cors->origins[i], CORS_ORIGIN_MAX))
            return record_refuse(problem, "Origin %zu of the route is none.", i + 1);
        if (cors->credentials && view_equal(cors->origins[i], VIEW("*")))
            return record_refuse(problem, "Credentials and every origin do not go together.");
    }
    if (!header_list(cors->methods) || !header_list(cors->headers) || !header_list(cors->exposed))
        return record_refuse(problem, "A list for other origins is no header's value.");
    return ERROR_NONE;
}

static enum error check_api_keys(const struct route_access *access, struct buffer *problem)
{
    if (access->api_key_header.length == 0)
        return access->api_key_count
                   ? record_refuse(problem, "The route has API keys and no header for them.")
                   : ERROR_NONE;
    if (!record_token(access->api_key_header, HEADER_NAME_MAX))
        return record_refuse(problem, "The header for API keys has no lawful name.");
    if (access->api_key_count > ROUTE_MAX_API_KEYS)
        return record_refuse(problem, "A route holds at most %d API keys, this one has %zu.",
                             ROUTE_MAX_API_KEYS, access->api_key_count);
    for (size_t i = 0; i < access->api_key_count; i++) {
        const struct route_api_key *key = &access->api_keys[i];

        if (!record_made_of(key->id, KEY_ID_MAX, "-_"))
            return record_refuse(problem, "API key %zu of the route has no lawful id.", i + 1);
        if (key->hash.length != ROUTE_API_KEY_HASH_BYTES)
            return record_refuse(problem, "The hash of API key %zu of the route is not %d bytes.",
                                 i + 1, ROUTE_API_KEY_HASH_BYTES);
    }
    return ERROR_NONE;
}

enum error record_access_check(const struct route_access *access, struct buffer *problem)
{
    if (access->cors && check_cors(access->cors, problem) != ERROR_NONE)
        return ERROR_INVALID;
    if (record_jwt_check(&access->jwt, problem) != ERROR_NONE)
        return ERROR_INVALID;
    return check_api_keys(access, problem);
}
