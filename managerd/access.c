/* Says what may be set about who may call an app, and makes the rules of its route. */
#include "managerd/access.h"

#include "common/base/clock.h"
#include "common/base/crypto.h"
#include "common/base/escape.h"
#include "common/base/id.h"
#include "common/contract/cors.h"
#include "managerd/records.h"
#include "managerd/token_rule.h"

#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* RFC 9110 section 5.6.2. */
static bool is_token(struct view text)
{
    for (size_t i = 0; i < text.length; i++) {
        char c = text.data[i];
        bool alphanumeric =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!alphanumeric && view_find(VIEW("!#$%&'*+-.^_`|~"), c) == SIZE_MAX)
            return false;
    }
    return text.length > 0;
}

static bool starts_with_nocase(struct view text, struct view start)
{
    return view_equal_nocase(view_slice(text, 0, start.length), start);
}

/* Headers that mean something to HTTP, to the proxy or to browsers carry no key. */
static bool key_header_valid(struct view name)
{
    static const char *const taken[] = {
        "Authorization", "Connection", "Cookie",     "Date",   "Expect",      "Forwarded",
        "Host",          "Keep-Alive", "Origin",     "Prefer", "Referer",     "TE",
        "Trailer",       "Upgrade",    "User-Agent", "Via",    "X-Request-Id"};
    static const char *const taken_starts[] = {
        "Accept", "Access-Control-", "Content-", "If-",          "Proxy-",
        "Sec-",   "Transfer-",       "X-Amzn-",  "X-Forwarded-", "X-Orchestrator-"};
    for (size_t i = 0; i < COUNT(taken); i++)
        if (view_equal_nocase(name, view_of(taken[i])))
            return false;
    for (size_t i = 0; i < COUNT(taken_starts); i++)
        if (starts_with_nocase(name, view_of(taken_starts[i])))
            return false;
    return is_token(name);
}

static const struct shape_field api_keys_fields[] = {
    {.name = "header",
     .kind = SHAPE_STRING,
     .min = 1,
     .max = 64,
     .check = key_header_valid,
     .wants = "must be the name of a header that has no other meaning",
     .default_json = "\"X-Api-Key\"",
     .description = "The header in which callers send their key; functions do not get it."},
};
static const struct shape api_keys_shape = {
    .name = "ApiKeys", .fields = api_keys_fields, .count = COUNT(api_keys_fields)};

static bool method_valid(struct view method)
{
    for (size_t i = 0; i < method.length; i++)
        if (method.data[i] >= 'a' && method.data[i] <= 'z')
            return false; /* methods are case-sensitive; nobody means "get" */
    return method.length <= 32 && is_token(method);
}

static bool header_valid(struct view name)
{
    return name.length <= 256 && is_token(name);
}

static const struct shape_field cors_fields[] = {
    {.name = "allowOrigins",
     .kind = SHAPE_LIST,
     .flags = SHAPE_REQUIRED,
     .min = 1,
     .max = ROUTE_MAX_CORS_ORIGINS,
     .max_bytes = 8192,
     .check = cors_pattern_lawful,
     .wants = "must be *, https://*, https://*.example.com or an origin as browsers send it, such "
              "as https://example.com: lower case, no path, no slash at the end, no default port",
     .description = "Whose pages may read answers: origins, https://*.example.com, https://*, *."},
    {.name = "allowMethods",
     .kind = SHAPE_LIST,
     .max = 50,
     .check = method_valid,
     .wants = "must be the name of a method, in upper case, or *",
     .default_json = "[\"*\"]",
     .description = "Methods that preflights allow, beside GET, HEAD and POST, which need none."},
    {.name = "allowHeaders",
     .kind = SHAPE_LIST,
     .max = 100,
     .max_bytes = 4096,
     .check = header_valid,
     .wants = "must be the name of a header, or *",
     .default_json = "[\"*\"]",
     .description = "Headers that pages may send."},
    {.name = "exposeHeaders",
     .kind = SHAPE_LIST,
     .max = 100,
     .max_bytes = 4096,
     .check = header_valid,
     .wants = "must be the name of a header, or *",
     .default_json = "[]",
     .description = "Headers of answers that pages may read."},
    {.name = "maxAgeSeconds",
     .kind = SHAPE_INTEGER,
     .flags = SHAPE_NULLABLE,
     .min = 0,
     .max = 86400,
     .default_json = "null",
     .description = "How long browsers keep what a preflight said; null: as they like."},
    {.name = "allowCredentials",
     .kind = SHAPE_BOOL,
     .default_json = "false",
     .description = "Whether pages may have cookies sent; not with origins of everybody."},
    {.name = "allowPrivateNetwork",
     .kind = SHAPE_BOOL,
     .default_json = "false",
     .description = "Whether pages of the internet may call an app in a private network."},
};
static const struct shape cors_shape = {
    .name = "Cors", .fields = cors_fields, .count = COUNT(cors_fields)};

static const struct shape_field access_fields[] = {
    {.name = "jwt",
     .kind = SHAPE_OBJECT,
     .flags = SHAPE_NULLABLE,
     .of = &token_rule_shape,
     .default_json = "null",
     .description = "Callers must bring a bearer token of this issuer; null: they need none."},
    {.name = "cors",
     .kind = SHAPE_OBJECT,
     .flags = SHAPE_NULLABLE,
     .of = &cors_shape,
     .default_json = "null",
     .description = "What pages of other origins may do; null: the function says so itself."},
    {.name = "apiKeys",
     .kind = SHAPE_OBJECT,
     .flags = SHAPE_NULLABLE,
     .of = &api_keys_shape,
     .default_json = "null",
     .description = "Callers must have one of the app's API keys; null: they need none."},
};
const struct shape access_shape = {
    .name = "Access", .fields = access_fields, .count = COUNT(access_fields)};

static bool has_star(const struct json *list)
{
    for (const struct json *item = json_first(list); item; item = json_next(item))
        if (view_equal(json_string(item), VIEW("*")))
            return true;
    return false;
}

void access_check(const struct json *access, struct faults *faults)
{
    const struct json *cors = json_get(access, "cors");
    const struct json *origin = json_first(json_get(cors, "allowOrigins"));
    if (!truth_of(cors, "allowCredentials"))
        return;
    for (unsigned i = 0; origin; origin = json_next(origin), i++) {
        char pointer[64];
        snprintf(pointer, sizeof pointer, "/access/cors/allowOrigins/%u", i);
        if (cors_pattern_is_open(json_string(origin)))
            fault_pointer(faults, pointer,
                          "lets everybody's pages act for your users together with "
                          "allowCredentials: name the origins");
    }
    if (has_star(json_get(cors, "exposeHeaders")))
        fault_pointer(faults, "/access/cors/exposeHeaders",
                      "means a header named * together with allowCredentials: name the headers");
}

static bool is_time(struct view text)
{
    int64_t wall_ms;
    return clock_parse_rfc3339(text, &wall_ms) == ERROR_NONE;
}

#define READ_ONLY_STRING(NAME, TEXT)                                                               \
    {                                                                                              \
        .name = NAME, .kind = SHAPE_STRING, .flags = SHAPE_READ_ONLY, .description = TEXT          \
    }

static const struct shape_field api_key_fields[] = {
    READ_ONLY_STRING("id", "Sorts by time; access lines and events name the key by it."),
    {.name = "name",
     .kind = SHAPE_STRING,
     .flags = SHAPE_REQUIRED,
     .min = 1,
     .max = 100,
     .description = "Whose it is, or what for."},
    {.name = "expiresAt",
     .kind = SHAPE_STRING,
     .flags = SHAPE_NULLABLE,
     .check = is_time,
     .wants = "must be a time by RFC 3339",
     .format = "date-time",
     .default_json = "null",
     .description = "RFC 3339: counts from then on as if it were not there; null: never."},
    READ_ONLY_STRING("hint", "How the key begins."),
    {.name = "secret",
     .kind = SHAPE_STRING,
     .flags = SHAPE_READ_ONLY | SHAPE_NULLABLE | SHAPE_SHOWN_ONCE | SHAPE_SOMETIMES,
     .description = "The key itself, in the answer that makes it; it is kept nowhere."},
    READ_ONLY_STRING("createdAt", "RFC 3339."),
    READ_ONLY_STRING("createdBy", "Who made it."),
    READ_ONLY_STRING("revision", "The strong ETag, without quotes: that of the app."),
};
const struct shape api_key_shape = {.name = "ApiKey",
                                    .description = "Opens an app that asks for API keys.",
                                    .fields = api_key_fields,
                                    .count = COUNT(api_key_fields),
                                    .example =
                                        "{\"name\":\"the shop\'s backend\",\"expiresAt\":null}"};

/* One key of internal.apiKeys; false: it cannot be read, so nobody has it. */
static bool read_key(const struct json *stored, struct arena *arena, struct route_api_key *key)
{
    const struct json *expires = json_get(stored, "expiresAt");
    struct buffer hash;
    int64_t expires_at_ms = 0;
    buffer_init(&hash, ROUTE_API_KEY_HASH_BYTES);
    bool good = hex_decode(&hash, text_of(stored, "sha256")) == ERROR_NONE;
    if (good && json_type_of(expires) != JSON_NULL)
        good = json_type_of(expires) == JSON_STRING &&
               !clock_parse_rfc3339(json_string(expires), &expires_at_ms) && expires_at_ms > 0;
    good = good && hash.length == ROUTE_API_KEY_HASH_BYTES && id_valid(text_of(stored, "id"));
    key->id = arena_copy(arena, text_of(stored, "id"));
    key->hash = arena_copy(arena, buffer_view(&hash));
    key->expires_at_ms = (uint64_t)expires_at_ms;
    buffer_release(&hash);
    return good;
}

/* A list as the value of a header. */
static struct view joined(const struct json *list, struct arena *arena)
{
    struct buffer text;
    if (has_star(list))
        return VIEW("*");
    buffer_init(&text, 16384);
    for (const struct json *item = json_first(list); item; item = json_next(item))
        buffer_append_format(&text, "%s%.*s", text.length ? ", " : "",
                             VIEW_FORMAT(json_string(item)));
    struct view value = arena_copy(arena, buffer_view(&text));
    buffer_release(&text);
    return value;
}

static void cors_route(const struct json *rule, struct arena *arena, struct route_access *access)
{
    const struct json *origins = json_get(rule, "allowOrigins");
    struct route_cors *cors = arena_alloc(arena, sizeof *cors);
    struct view *list = arena_alloc(arena, (json_count(origins) + 1) * sizeof *list);
    if (!cors || !list)
        return;
    *cors = (struct route_cors){
        .origins = list,
        .methods = joined(json_get(rule, "allowMethods"), arena),
        .headers = joined(json_get(rule, "allowHeaders"), arena),
        .exposed = joined(json_get(rule, "exposeHeaders"), arena),
        .has_max_age = json_type_of(json_get(rule, "maxAgeSeconds")) == JSON_NUMBER,
        .max_age_s = (uint32_t)integer_of(rule, "maxAgeSeconds"),
        .credentials = truth_of(rule, "allowCredentials"),
        .private_network = truth_of(rule, "allowPrivateNetwork"),
    };
    for (const struct json *one = json_first(origins); one; one = json_next(one))
        list[cors->origin_count++] = arena_copy(arena, json_string(one));
    access->cors = cors;
}

static enum error api_keys_route(const struct json *app, struct arena *arena,
                                 struct route_access *access)
{
    const struct json *rule = json_get(json_get(app, "access"), "apiKeys");
    const struct json *keys = json_get(internal_of(app), "apiKeys");
    if (json_type_of(rule) != JSON_OBJECT)
        return ERROR_NONE;
    access->api_key_header = arena_copy(arena, text_of(rule, "header"));
    access->api_keys = arena_alloc(arena, (json_count(keys) + 1) * sizeof *access->api_keys);
    if (arena->error)
        return arena->error;
    /* One that cannot be read opens nothing. An error would leave the route of before in force,
     * perhaps without the rule, or with a key that was revoked since. */
    for (const struct json *key = json_first(keys); key; key = json_next(key))
        access->api_key_count += read_key(key, arena, &access->api_keys[access->api_key_count]);
    return arena->error;
}

enum error access_route(const struct json *app, const struct json *issuer_keys, struct arena *arena,
                        struct route_access *access)
{
    const struct json *cors = json_get(json_get(app, "access"), "cors");
    const struct json *tokens = json_get(json_get(app, "access"), "jwt");
    enum error error = ERROR_NONE;
    if (json_type_of(cors) == JSON_OBJECT)
        cors_route(cors, arena, access);
    if (json_type_of(tokens) == JSON_OBJECT)
        error = token_rule_route(tokens, issuer_keys, arena, &access->jwt);
    return error ? error : api_keys_route(app, arena, access);
}
