/* Publishes what it reads from standard input as JSON, so that proxyd can be tested alone.
 *
 * usage: route_tool FOLDER < {"settings": {...}, "routes": [...], "domains": [...], "raw": [...]}
 *        One transaction. "raw" puts bytes (hex) under a key of a database; a route, domain or raw
 *        entry with "delete": true goes away. Prints the generation. */
#include "common/contract/jwk.h"
#include "common/base/clock.h"
#include "common/base/escape.h"
#include "common/base/json.h"
#include "common/store/layout.h"
#include "common/store/route_record.h"
#include "common/store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define INPUT_MAX (16 * 1024 * 1024)

static void need(enum error error, const char *what)
{
    if (error != ERROR_NONE) {
        fprintf(stderr, "route_tool: %s: %s\n", what, error_text(error));
        exit(1);
    }
}

static uint64_t number(const struct json *object, const char *name, uint64_t otherwise)
{
    int64_t value;

    return json_get_integer(object, name, &value) ? (uint64_t)value : otherwise;
}

static bool truth(const struct json *object, const char *name, bool otherwise)
{
    bool value;

    return json_get_bool(object, name, &value) ? value : otherwise;
}

static struct view text(const struct json *object, const char *name)
{
    struct view value = {0};

    json_get_string(object, name, &value);
    return value;
}

static void put(struct store_write *write, const char *database, const struct json *object,
                struct view key, const struct buffer *record)
{
    if (truth(object, "delete", false))
        need(store_delete(write, database, key), "delete");
    else
        need(store_put(write, database, key, buffer_view(record)), "put");
}

/* {"origins": [...], "methods", "headers", "exposed", "max_age_s", "credentials", "private_network"} */
static void read_cors(const struct json *object, struct route_access *access)
{
    static struct view origins[ROUTE_MAX_CORS_ORIGINS];
    static struct route_cors cors;
    const struct json *one = json_first(json_get(object, "origins"));

    cors = (struct route_cors){
        .origins = origins,
        .methods = text(object, "methods"),
        .headers = text(object, "headers"),
        .exposed = text(object, "exposed"),
        .has_max_age = json_get(object, "max_age_s") != NULL,
        .max_age_s = (uint32_t)number(object, "max_age_s", 0),
        .credentials = truth(object, "credentials", false),
        .private_network = truth(object, "private_network", false),
    };
    for (; one && cors.origin_count < ROUTE_MAX_CORS_ORIGINS; one = json_next(one))
        origins[cors.origin_count++] = json_string(one);
    access->cors = &cors;
}

/* "access": {"cors": {...}, "api_keys": {"header", "keys": [{"id", "hash" (hex), "expires_at_ms"}]}} */
static void read_access(const struct json *object, struct arena *arena, struct route_access *access)
{
    static struct route_api_key keys[ROUTE_MAX_API_KEYS];
    const struct json *api_keys = json_get(object, "api_keys");
    const struct json *one = json_first(json_get(api_keys, "keys"));

    if (json_get(object, "cors"))
        read_cors(json_get(object, "cors"), access);
    if (!api_keys)
        return;
    access->api_key_header = text(api_keys, "header");
    access->api_keys = keys;
    for (; one && access->api_key_count < ROUTE_MAX_API_KEYS; one = json_next(one)) {
        struct buffer hash;

        buffer_init(&hash, ROUTE_API_KEY_HASH_BYTES);
        need(hex_decode(&hash, text(one, "hash")), "hash");
        keys[access->api_key_count++] =
            (struct route_api_key){text(one, "id"), arena_copy(arena, buffer_view(&hash)),
                                   number(one, "expires_at_ms", 0)};
        buffer_release(&hash);
    }
}

static struct view *read_names(const struct json *list, struct arena *arena, size_t *count)
{
    struct view *names = arena_alloc(arena, (json_count(list) + 1) * sizeof *names);

    *count = 0;
    for (const struct json *one = json_first(list); one; one = json_next(one))
        names[(*count)++] = json_string(one);
    return names;
}

/* "jwt": {"issuer", "audiences", "scopes", "algorithms", "leeway_s", "jwks": a key set, or absent} */
static void read_jwt(const struct json *object, struct arena *arena, struct route_jwt *jwt)
{
    static struct jwk_set set;
    const struct json *rule = json_get(object, "jwt"), *keys = json_get(rule, "jwks");
    enum signature_algorithm algorithm;
    struct buffer printed, problem;

    if (!rule)
        return;
    buffer_init(&printed, 1 << 20);
    buffer_init(&problem, 1024);
    json_print(&printed, keys);
    if (keys)
        need(jwk_set_read(arena, buffer_view(&printed), &set, &problem), "jwks");
    jwt->issuer = text(rule, "issuer");
    jwt->audiences = read_names(json_get(rule, "audiences"), arena, &jwt->audience_count);
    jwt->scopes = read_names(json_get(rule, "scopes"), arena, &jwt->scope_count);
    for (const struct json *one = json_first(json_get(rule, "algorithms")); one;
         one = json_next(one))
        if (signature_algorithm_parse(json_string(one), &algorithm))
            jwt->algorithms |= SIGNATURE_BIT(algorithm);
    jwt->leeway_s = (uint32_t)number(rule, "leeway_s", 60);
    jwt->keys = set.keys;
    jwt->key_count = keys ? set.count : 0;
    buffer_release(&printed);
    buffer_release(&problem);
}

static void put_route(struct store_write *write, const struct json *object)
{
    struct route_version versions[ROUTE_MAX_VERSIONS];
    struct route_record record = {
        .app = text(object, "app"),
        .slot = (uint32_t)number(object, "slot", 0),
        .enabled = truth(object, "enabled", true),
        .revision = number(object, "revision", 1),
        .versions = versions,
        .max_in_flight = (uint32_t)number(object, "max_in_flight", 0),
        .rate_milli = number(object, "rate_milli", 0),
        .burst = (uint32_t)number(object, "burst", 0),
        .deadline_ms = (uint32_t)number(object, "deadline_ms", 0),
        .max_body_bytes = number(object, "max_body_bytes", 0),
        .respond_async = truth(object, "respond_async", false),
    };
    const struct json *one = json_first(json_get(object, "versions"));
    struct buffer bytes, problem;
    struct arena arena;

    arena_init(&arena, 1 << 20);
    read_access(json_get(object, "access"), &arena, &record.access);
    read_jwt(json_get(object, "access"), &arena, &record.access.jwt);
    for (; one && record.version_count < ROUTE_MAX_VERSIONS; one = json_next(one)) {
        versions[record.version_count++] = (struct route_version){
            .number = (uint32_t)number(one, "number", 1),
            .weight = (uint16_t)number(one, "weight", ROUTE_WEIGHT_TOTAL),
            .function = text(one, "function"),
            .qualifier = text(one, "qualifier"),
            .payload_format = (enum route_payload_format)number(one, "payload_format", 2),
            .response_mode = (enum route_response_mode)number(one, "response_mode", 0),
            .multi_value = truth(one, "multi_value", false),
            .timeout_s = (uint32_t)number(one, "timeout_s", 3),
        };
    }
    buffer_init(&bytes, ROUTE_MAX_RECORD);
    buffer_init(&problem, 1024);
    if (route_record_validate(&record, &problem) != ERROR_NONE) {
        fprintf(stderr, "route_tool: %s\n", problem.data);
        exit(1);
    }
    route_record_encode(&bytes, &record);
    put(write, LAYOUT_ROUTES, object, record.app, &bytes);
    arena_release(&arena);
    buffer_release(&bytes);
    buffer_release(&problem);
}

static void put_domain(struct store_write *write, const struct json *object)
{
    struct domain_path paths[16];
    struct domain_record record = {
        .host = text(object, "host"), .paths = paths, .tls_fingerprint = text(object, "tls")};
    const struct json *one = json_first(json_get(object, "paths"));
    struct buffer bytes;

    for (; one && record.path_count < 16; one = json_next(one))
        paths[record.path_count++] =
            (struct domain_path){text(one, "prefix"), text(one, "app"), truth(one, "strip", false)};
    buffer_init(&bytes, ROUTE_MAX_RECORD);
    domain_record_encode(&bytes, &record);
    put(write, LAYOUT_DOMAINS, object, record.host, &bytes);
    buffer_release(&bytes);
}

static void put_raw(struct store_write *write, const struct json *object)
{
    char database[64];
    struct buffer bytes;

    snprintf(database, sizeof database, "%.*s", VIEW_FORMAT(text(object, "database")));
    buffer_init(&bytes, ROUTE_MAX_RECORD);
    need(hex_decode(&bytes, text(object, "hex")), "hex");
    put(write, database, object, text(object, "key"), &bytes);
    buffer_release(&bytes);
}

static void put_settings(struct store_write *write, const struct json *object)
{
    struct view domains[16];
    struct settings_record record = {.base_domains = domains,
                                     .public_url = text(object, "public_url"),
                                     .path_routing = truth(object, "path_routing", false)};
    const struct json *one = json_first(json_get(object, "base_domains"));
    struct buffer bytes;

    for (; one && record.base_domain_count < 16; one = json_next(one))
        domains[record.base_domain_count++] = json_string(one);
    buffer_init(&bytes, ROUTE_MAX_RECORD);
    settings_record_encode(&bytes, &record);
    need(store_put(write, LAYOUT_SETTINGS, view_of(LAYOUT_SETTINGS), buffer_view(&bytes)),
         "settings");
    buffer_release(&bytes);
}

static uint64_t put_meta(struct store_write *write)
{
    struct meta_record meta = {0};
    struct arena arena;
    struct buffer bytes;

    arena_init(&arena, ROUTE_MAX_RECORD);
    buffer_init(&bytes, ROUTE_MAX_RECORD);
    if (store_write_get(write, LAYOUT_META, view_of(LAYOUT_META), &bytes) == ERROR_NONE)
        need(meta_record_decode(&arena, buffer_view(&bytes), &meta), "meta");
    meta.generation++;
    meta.installation = VIEW("00000000-0000-7000-8000-000000000000");
    meta.published_at_ms = (uint64_t)clock_wall_ms();
    buffer_clear(&bytes);
    meta_record_encode(&bytes, &meta);
    need(store_put(write, LAYOUT_META, view_of(LAYOUT_META), buffer_view(&bytes)), "meta");
    buffer_release(&bytes);
    arena_release(&arena);
    return meta.generation;
}

static void read_input(struct buffer *input)
{
    ssize_t got;

    do {
        char *room = buffer_reserve(input, 65536);
        if (!room)
            need(input->error, "input");
        got = read(STDIN_FILENO, room, 65536);
        buffer_commit(input, got > 0 ? (size_t)got : 0);
    } while (got > 0);
}

static void each(struct store_write *write, const struct json *list,
                 void (*act)(struct store_write *write, const struct json *object))
{
    for (const struct json *one = json_first(list); one; one = json_next(one))
        act(write, one);
}

int main(int argc, char **argv)
{
    static const char *const databases[] = {LAYOUT_META, LAYOUT_SETTINGS, LAYOUT_ROUTES,
                                            LAYOUT_DOMAINS, NULL};
    struct store_options options = {.databases = databases, .map_bytes = 64 * 1024 * 1024};
    struct store *store = NULL;
    struct store_write *write = NULL;
    struct json *wish = NULL;
    struct buffer input, problem;
    size_t offset = 0;

    if (argc != 2) {
        fprintf(stderr, "usage: route_tool FOLDER < JSON\n");
        return 2;
    }
    options.folder = argv[1];
    buffer_init(&input, INPUT_MAX);
    buffer_init(&problem, 1024);
    read_input(&input);
    need(json_parse(buffer_view(&input), 20, &wish, &offset), "input");
    need(store_open(&options, &store, &problem), argv[1]);
    need(store_write_begin(store, &write), "begin");
    if (json_get(wish, "settings"))
        put_settings(write, json_get(wish, "settings"));
    each(write, json_get(wish, "routes"), put_route);
    each(write, json_get(wish, "domains"), put_domain);
    each(write, json_get(wish, "raw"), put_raw);
    unsigned long long generation = put_meta(write);
    need(store_commit(write), "commit");
    store_close(store);
    json_free(wish);
    buffer_release(&input);
    buffer_release(&problem);
    printf("%llu\n", generation);
    return 0;
}
