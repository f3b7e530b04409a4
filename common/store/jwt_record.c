/* Turns the rule of a route that asks for tokens into bytes and back. */
#include "common/store/layout.h"
#include "common/store/record_parts.h"
#include "common/store/route_record.h"

#define ISSUER_MAX   512
#define KID_MAX      256
#define LEEWAY_MAX_S 300

static void decode_field(struct codec_reader *reader, uint16_t tag, struct view field,
                         struct route_jwt *jwt);

static void encode_key(struct buffer *out, const struct signature_key *key)
{
    size_t position = codec_open(out, JWT_KEY);

    if (key->kid.length)
        codec_put_text(out, JWT_KEY_KID, key->kid);
    codec_put_u8(out, JWT_KEY_KIND, (uint8_t)key->kind);
    codec_put_u32(out, JWT_KEY_ALGORITHMS, key->algorithms);
    codec_put_text(out, JWT_KEY_DER, key->der);
    codec_close(out, position);
}

void record_jwt_encode(struct buffer *out, const struct route_jwt *jwt)
{
    size_t position = codec_open(out, ACCESS_JWT);

    codec_put_text(out, JWT_ISSUER, jwt->issuer);
    for (size_t i = 0; i < jwt->audience_count; i++)
        codec_put_text(out, JWT_AUDIENCE, jwt->audiences[i]);
    for (size_t i = 0; i < jwt->scope_count; i++)
        codec_put_text(out, JWT_SCOPE, jwt->scopes[i]);
    codec_put_u32(out, JWT_ALGORITHMS, jwt->algorithms);
    codec_put_u32(out, JWT_LEEWAY_S, jwt->leeway_s);
    for (size_t i = 0; i < jwt->key_count; i++)
        encode_key(out, &jwt->keys[i]);
    codec_close(out, position);
}

static void decode_key(struct codec_reader *outer, struct view field, struct signature_key *key)
{
    const uint32_t wanted =
        RECORD_TAG(JWT_KEY_KIND) | RECORD_TAG(JWT_KEY_ALGORITHMS) | RECORD_TAG(JWT_KEY_DER);
    struct codec_reader reader;
    struct record_seen seen = {0};
    uint16_t tag;

    *key = (struct signature_key){.kid = {"", 0}};
    codec_read_nested(&reader, field);
    while (codec_next(&reader, &tag, &field)) {
        if (record_seen(&seen, tag))
            reader.error = ERROR_DAMAGED;
        else if (tag == JWT_KEY_KID)
            key->kid = field;
        else if (tag == JWT_KEY_KIND)
            key->kind = (enum signature_kind)record_choice(&reader, field, SIGNATURE_RSA,
                                                           SIGNATURE_ED25519);
        else if (tag == JWT_KEY_ALGORITHMS)
            key->algorithms = codec_u32(&reader, field);
        else if (tag == JWT_KEY_DER)
            key->der = field;
        else
            codec_unknown(&reader, tag);
    }
    if (reader.error == ERROR_NONE && !record_seen_all(&seen, wanted))
        reader.error = ERROR_DAMAGED;
    if (outer->error == ERROR_NONE)
        outer->error = reader.error;
}

/* Room for all that repeats, counted before it is read. */
static enum error make_room(const struct codec_reader *reader, struct arena *arena,
                            struct route_jwt *jwt)
{
    size_t audiences = 0, scopes = 0, keys = 0;

    if (record_count(reader, JWT_AUDIENCE, &audiences) != ERROR_NONE ||
        record_count(reader, JWT_SCOPE, &scopes) != ERROR_NONE ||
        record_count(reader, JWT_KEY, &keys) != ERROR_NONE)
        return ERROR_DAMAGED;
    if (audiences > ROUTE_MAX_JWT_NAMES || scopes > ROUTE_MAX_JWT_NAMES ||
        keys > ROUTE_MAX_JWT_KEYS)
        return ERROR_DAMAGED;
    jwt->audiences = arena_alloc(arena, (audiences + 1) * sizeof *jwt->audiences);
    jwt->scopes = arena_alloc(arena, (scopes + 1) * sizeof *jwt->scopes);
    jwt->keys = arena_alloc(arena, (keys + 1) * sizeof *jwt->keys);
    return arena->error;
}

void record_jwt_decode(struct codec_reader *outer, struct arena *arena, struct view field,
                       struct route_jwt *jwt)
{
    const uint32_t wanted = RECORD_TAG(JWT_ISSUER) | RECORD_TAG(JWT_AUDIENCE) |
                            RECORD_TAG(JWT_ALGORITHMS) | RECORD_TAG(JWT_LEEWAY_S);
    struct codec_reader reader;
    struct record_seen seen = {0};
    uint16_t tag;

    codec_read_nested(&reader, field);
    if (reader.error == ERROR_NONE)
        reader.error = make_room(&reader, arena, jwt);
    while (codec_next(&reader, &tag, &field)) {
        bool repeats = tag == JWT_AUDIENCE || tag == JWT_SCOPE || tag == JWT_KEY;

        if (record_seen(&seen, tag) && !repeats)
            reader.error = ERROR_DAMAGED;
        else
            decode_field(&reader, tag, field, jwt);
    }
    /* Without its issuer the rule would look as if it were not there. */
    if (reader.error == ERROR_NONE && (!record_seen_all(&seen, wanted) || !jwt->issuer.length))
        reader.error = ERROR_DAMAGED;
    if (outer->error == ERROR_NONE)
        outer->error = reader.error;
}

static void decode_field(struct codec_reader *reader, uint16_t tag, struct view field,
                         struct route_jwt *jwt)
{
    switch (tag) {
    case JWT_ISSUER:
        jwt->issuer = field;
        break;
    case JWT_AUDIENCE:
        jwt->audiences[jwt->audience_count++] = field;
        break;
    case JWT_SCOPE:
        jwt->scopes[jwt->scope_count++] = field;
        break;
    case JWT_ALGORITHMS:
        jwt->algorithms = codec_u32(reader, field);
        break;
    case JWT_LEEWAY_S:
        jwt->leeway_s = codec_u32(reader, field);
        break;
    case JWT_KEY:
        decode_key(reader, field, &jwt->keys[jwt->key_count++]);
        break;
    default:
        codec_unknown(reader, tag);
    }
}

static bool names_lawful(const struct view *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (names[i].length == 0 || names[i].length > ROUTE_MAX_JWT_NAME)
            return false;
    return count <= ROUTE_MAX_JWT_NAMES;
}

/* RFC 6749 section 3.3: they stand in WWW-Authenticate. */
static bool scopes_lawful(const struct view *scopes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!record_graphic(scopes[i], ROUTE_MAX_JWT_NAME) ||
            view_find(scopes[i], '"') != SIZE_MAX || view_find(scopes[i], '\\') != SIZE_MAX)
            return false;
    return count <= ROUTE_MAX_JWT_NAMES;
}

/* An algorithm of a later release is no fault: nothing is signed by it here. */
enum error record_jwt_check(const struct route_jwt *jwt, struct buffer *problem)
{
    if (jwt->issuer.length == 0)
        return jwt->audience_count || jwt->key_count
                   ? record_refuse(problem, "The route asks for tokens of no issuer.")
                   : ERROR_NONE;
    if (!record_graphic(jwt->issuer, ISSUER_MAX))
        return record_refuse(problem, "The issuer of tokens is not lawful.");
    if (jwt->audience_count == 0 || !names_lawful(jwt->audiences, jwt->audience_count) ||
        !scopes_lawful(jwt->scopes, jwt->scope_count))
        return record_refuse(problem,
                             "A route has 1 to %d audiences and at most as many scopes, of 1 to %d "
                             "bytes each.",
                             ROUTE_MAX_JWT_NAMES, ROUTE_MAX_JWT_NAME);
    if (jwt->leeway_s > LEEWAY_MAX_S)
        return record_refuse(problem, "The leeway for tokens is above %d seconds.", LEEWAY_MAX_S);
    if (jwt->key_count > ROUTE_MAX_JWT_KEYS)
        return record_refuse(problem, "A route holds at most %d keys of an issuer.",
                             ROUTE_MAX_JWT_KEYS);
    for (size_t i = 0; i < jwt->key_count; i++)
        if (jwt->keys[i].kid.length > KID_MAX || jwt->keys[i].der.length == 0 ||
            jwt->keys[i].der.length > SIGNATURE_DER_MAX)
            return record_refuse(problem, "Key %zu of the issuer is not lawful.", i + 1);
    return ERROR_NONE;
}
