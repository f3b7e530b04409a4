/* Says what may be set about the tokens of an app, and makes the rule of its route. */
#include "managerd/token_rule.h"

#include "common/base/escape.h"
#include "managerd/records.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* Graphic ASCII; the host comes right behind the scheme. Which hosts may be asked is decided when
 * they are. */
static bool url_valid(struct view url)
{
    struct view rest = view_slice(url, view_starts_with(url, VIEW("https://")) ? 8 : 7, SIZE_MAX);
    if (!view_starts_with(url, VIEW("https://")) && !view_starts_with(url, VIEW("http://")))
        return false;
    for (size_t i = 0; i < url.length; i++)
        if (url.data[i] <= ' ' || url.data[i] > '~' || url.data[i] == '#')
            return false;
    return rest.length > 0 && rest.data[0] != '/' && rest.data[0] != ':' &&
           view_find(view_slice(rest, 0, view_find(rest, '/')), '@') == SIZE_MAX;
}

static bool issuer_valid(struct view issuer)
{
    return url_valid(issuer) && view_find(issuer, '?') == SIZE_MAX;
}

static bool audience_valid(struct view audience)
{
    return audience.length > 0 && audience.length <= ROUTE_MAX_JWT_NAME;
}

/* RFC 6749 section 3.3. */
static bool scope_valid(struct view scope)
{
    for (size_t i = 0; i < scope.length; i++)
        if (scope.data[i] <= ' ' || scope.data[i] > '~' || scope.data[i] == '"' ||
            scope.data[i] == '\\')
            return false;
    return scope.length > 0 && scope.length <= ROUTE_MAX_JWT_NAME;
}

static bool algorithm_valid(struct view name)
{
    enum signature_algorithm algorithm;
    return signature_algorithm_parse(name, &algorithm);
}

static const struct shape_field fields[] = {
    {.name = "issuer",
     .kind = SHAPE_STRING,
     .flags = SHAPE_REQUIRED,
     .min = 1,
     .max = 512,
     .check = issuer_valid,
     .wants = "must be the issuer's URL, exactly as its tokens have it in iss",
     .description = "Whose tokens: their iss must be equal to it."},
    {.name = "audience",
     .kind = SHAPE_LIST,
     .flags = SHAPE_REQUIRED,
     .min = 1,
     .max = ROUTE_MAX_JWT_NAMES,
     .max_bytes = TOKEN_RULE_MAX_NAMES,
     .check = audience_valid,
     .wants = "must have 1 to 256 bytes",
     .description = "One of them must be in a token's aud; or be its client_id, when it has no "
                    "aud."},
    {.name = "jwksUrl",
     .kind = SHAPE_STRING,
     .flags = SHAPE_NULLABLE,
     .min = 1,
     .max = 1024,
     .check = url_valid,
     .wants = "must be a URL with https",
     .default_json = "null",
     .description = "Where the issuer's keys are (RFC 7517); null: where "
                    "ISSUER/.well-known/openid-configuration says."},
    {.name = "algorithms",
     .kind = SHAPE_LIST,
     .min = 1,
     .max = SIGNATURE_ALGORITHMS,
     .check = algorithm_valid,
     .wants = "must be one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA",
     .default_json = "[\"RS256\",\"ES256\",\"EdDSA\"]",
     .description = "By which tokens may be signed."},
    {.name = "scopes",
     .kind = SHAPE_LIST,
     .max = ROUTE_MAX_JWT_NAMES,
     .max_bytes = TOKEN_RULE_MAX_NAMES,
     .check = scope_valid,
     .wants = "must be the name of a scope: printable ASCII without spaces, quotes and backslashes",
     .default_json = "[]",
     .description = "One of them must be in a token's scope or scp; none: that is not looked at."},
    {.name = "leewaySeconds",
     .kind = SHAPE_INTEGER,
     .min = 0,
     .max = 300,
     .default_json = "60",
     .description = "How far the issuer's clock may be off."},
};
const struct shape token_rule_shape = {.name = "TokenRule",
                                       .description = "Which JWT bearer tokens open an app.",
                                       .fields = fields,
                                       .count = COUNT(fields)};

static struct view *copy_names(const struct json *list, struct arena *arena, size_t *count)
{
    struct view *names = arena_alloc(arena, (json_count(list) + 1) * sizeof *names);
    *count = 0;
    for (const struct json *one = json_first(list); one && names; one = json_next(one))
        names[(*count)++] = arena_copy(arena, json_string(one));
    return names;
}

static enum error read_key(const struct json *stored, struct arena *arena,
                           struct signature_key *key)
{
    struct buffer der;
    buffer_init(&der, SIGNATURE_DER_MAX);
    enum error error = base64_decode(&der, text_of(stored, "der"));
    int64_t kind = integer_of(stored, "kind");
    if (kind < SIGNATURE_RSA || kind > SIGNATURE_KINDS)
        error = ERROR_DAMAGED;
    *key = (struct signature_key){.kid = arena_copy(arena, text_of(stored, "kid")),
                                  .kind = (enum signature_kind)kind,
                                  .algorithms = (unsigned)integer_of(stored, "algorithms"),
                                  .der = arena_copy(arena, buffer_view(&der))};
    buffer_release(&der);
    return error ? ERROR_DAMAGED : arena->error;
}

enum error token_rule_route(const struct json *rule, const struct json *keys, struct arena *arena,
                            struct route_jwt *jwt)
{
    enum signature_algorithm algorithm;
    jwt->issuer = arena_copy(arena, text_of(rule, "issuer"));
    jwt->audiences = copy_names(json_get(rule, "audience"), arena, &jwt->audience_count);
    jwt->scopes = copy_names(json_get(rule, "scopes"), arena, &jwt->scope_count);
    for (const struct json *one = json_first(json_get(rule, "algorithms")); one;
         one = json_next(one))
        if (signature_algorithm_parse(json_string(one), &algorithm))
            jwt->algorithms |= SIGNATURE_BIT(algorithm);
    jwt->leeway_s = (uint32_t)integer_of(rule, "leewaySeconds");
    jwt->keys = arena_alloc(arena, (json_count(keys) + 1) * sizeof *jwt->keys);
    if (arena->error)
        return arena->error;
    for (const struct json *key = json_first(keys); key; key = json_next(key))
        if (read_key(key, arena, &jwt->keys[jwt->key_count++]) == ERROR_DAMAGED) {
            /* Not an error: the route of before would stay, perhaps one that asks for no token. */
            jwt->key_count = 0;
            break;
        }
    return arena->error;
}

struct json *token_rule_store_keys(const struct signature_key *keys, size_t count)
{
    struct json *list = json_new_array();
    for (size_t i = 0; i < count; i++) {
        struct json *key = json_new_object();
        struct buffer der;
        buffer_init(&der, base64_encoded_length(SIGNATURE_DER_MAX));
        base64_encode(&der, keys[i].der.data, keys[i].der.length);
        json_set_string(key, "kid", keys[i].kid);
        json_set_integer(key, "kind", keys[i].kind);
        json_set_integer(key, "algorithms", keys[i].algorithms);
        json_set_string(key, "der", buffer_view(&der));
        json_append(list, key);
        buffer_release(&der);
    }
    return list;
}

struct json *token_rule_show_keys(const struct json *keys)
{
    struct json *list = json_new_array();
    for (const struct json *stored = json_first(keys); stored; stored = json_next(stored)) {
        struct json *key = json_new_object(), *names = json_new_array();
        unsigned bits = (unsigned)integer_of(stored, "algorithms");
        for (unsigned i = 0; i < SIGNATURE_ALGORITHMS; i++)
            if (bits & 1u << i)
                json_append(names, json_new_string(view_of(
                                       signature_algorithm_name((enum signature_algorithm)i))));
        json_set_string(key, "kid", text_of(stored, "kid"));
        json_set(key, "algorithms", names);
        json_append(list, key);
    }
    return list;
}
