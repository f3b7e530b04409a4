/* Decodes the records that are kept for ever, encodes them again to the same bytes, and refuses the rest. */
#include "common/store/route_record.h"

#include "common/base/escape.h"
#include "common/base/file.h"
#include "common/base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define RECORDS TEST_VECTORS_DIR "/records"

static enum error decode(const char *kind, struct arena *arena, struct view bytes,
                         struct json_writer *w, struct buffer *again);

/* ---- records as JSON ---- */

static void write_names(struct json_writer *w, const char *name, const struct view *names,
                        size_t count)
{
    json_open_array(w, name);
    for (size_t i = 0; i < count; i++)
        json_write_string(w, NULL, names[i]);
    json_close_array(w);
}

static void write_jwt(struct json_writer *w, const struct route_jwt *jwt)
{
    if (jwt->issuer.length == 0)
        return;
    json_open_object(w, "jwt");
    json_write_string(w, "issuer", jwt->issuer);
    write_names(w, "audiences", jwt->audiences, jwt->audience_count);
    write_names(w, "scopes", jwt->scopes, jwt->scope_count);
    json_write_integer(w, "algorithms", jwt->algorithms);
    json_write_integer(w, "leewaySeconds", jwt->leeway_s);
    json_open_array(w, "keys");
    for (size_t i = 0; i < jwt->key_count; i++) {
        char der[2 * SIGNATURE_DER_MAX];

        hex_write(der, jwt->keys[i].der.data, jwt->keys[i].der.length);
        json_open_object(w, NULL);
        json_write_string(w, "kid", jwt->keys[i].kid);
        json_write_integer(w, "kind", jwt->keys[i].kind);
        json_write_integer(w, "algorithms", jwt->keys[i].algorithms);
        json_write_string(w, "der", view_from(der, 2 * jwt->keys[i].der.length));
        json_close_object(w);
    }
    json_close_array(w);
    json_close_object(w);
}

static void write_cors(struct json_writer *w, const struct route_cors *cors)
{
    json_open_object(w, "cors");
    json_open_array(w, "origins");
    for (size_t i = 0; i < cors->origin_count; i++)
        json_write_string(w, NULL, cors->origins[i]);
    json_close_array(w);
    json_write_string(w, "methods", cors->methods);
    json_write_string(w, "headers", cors->headers);
    json_write_string(w, "exposed", cors->exposed);
    json_write_integer(w, "maxAgeSeconds", cors->has_max_age ? (int64_t)cors->max_age_s : -1);
    json_write_bool(w, "credentials", cors->credentials);
    json_write_bool(w, "privateNetwork", cors->private_network);
    json_close_object(w);
}

static void write_access(struct json_writer *w, const struct route_access *access)
{
    if (access->cors)
        write_cors(w, access->cors);
    if (access->api_key_header.length == 0)
        return;
    json_open_object(w, "apiKeys");
    json_write_string(w, "header", access->api_key_header);
    json_open_array(w, "keys");
    for (size_t i = 0; i < access->api_key_count; i++) {
        char hash[2 * ROUTE_API_KEY_HASH_BYTES];

        hex_write(hash, access->api_keys[i].hash.data, access->api_keys[i].hash.length);
        json_open_object(w, NULL);
        json_write_string(w, "id", access->api_keys[i].id);
        json_write_string(w, "hash", view_from(hash, sizeof hash));
        json_write_integer(w, "expiresAtMs", (int64_t)access->api_keys[i].expires_at_ms);
        json_close_object(w);
    }
    json_close_array(w);
    json_close_object(w);
}

static void write_route(struct json_writer *w, const struct route_record *record)
{
    json_write_string(w, "app", record->app);
    json_write_integer(w, "slot", record->slot);
    json_write_bool(w, "enabled", record->enabled);
    json_write_integer(w, "revision", (int64_t)record->revision);
    json_open_array(w, "versions");
    for (size_t i = 0; i < record->version_count; i++) {
        const struct route_version *version = &record->versions[i];

        json_open_object(w, NULL);
        json_write_integer(w, "number", version->number);
        json_write_integer(w, "weight", version->weight);
        json_write_string(w, "function", version->function);
        json_write_string(w, "qualifier", version->qualifier);
        json_write_integer(w, "payloadFormat", version->payload_format);
        json_write_integer(w, "responseMode", version->response_mode);
        json_write_bool(w, "multiValue", version->multi_value);
        json_write_integer(w, "timeoutSeconds", version->timeout_s);
        json_close_object(w);
    }
    json_close_array(w);
    json_write_integer(w, "maxInFlight", record->max_in_flight);
    json_write_integer(w, "rateMilli", (int64_t)record->rate_milli);
    json_write_integer(w, "burst", record->burst);
    json_write_integer(w, "deadlineMs", record->deadline_ms);
    json_write_integer(w, "maxBodyBytes", (int64_t)record->max_body_bytes);
    json_write_integer(w, "sticky", record->sticky);
    if (record->previews)
        json_write_bool(w, "previews", true);
    if (record->version_header)
        json_write_bool(w, "versionHeader", true);
    if (record->respond_async)
        json_write_bool(w, "respondAsync", true);
    write_access(w, &record->access);
    write_jwt(w, &record->access.jwt);
}

static void write_domain(struct json_writer *w, const struct domain_record *record)
{
    json_write_string(w, "host", record->host);
    json_open_array(w, "paths");
    for (size_t i = 0; i < record->path_count; i++) {
        json_open_object(w, NULL);
        json_write_string(w, "prefix", record->paths[i].prefix);
        json_write_string(w, "app", record->paths[i].app);
        json_write_bool(w, "strip", record->paths[i].strip);
        json_close_object(w);
    }
    json_close_array(w);
    json_write_string(w, "tlsFingerprint", record->tls_fingerprint);
}

static void write_settings(struct json_writer *w, const struct settings_record *record)
{
    json_open_array(w, "baseDomains");
    for (size_t i = 0; i < record->base_domain_count; i++)
        json_write_string(w, NULL, record->base_domains[i]);
    json_close_array(w);
    json_write_string(w, "publicUrl", record->public_url);
    json_write_bool(w, "pathRouting", record->path_routing);
}

static void write_meta(struct json_writer *w, const struct meta_record *record)
{
    json_write_integer(w, "generation", (int64_t)record->generation);
    json_write_string(w, "installation", record->installation);
    json_write_integer(w, "publishedAtMs", (int64_t)record->published_at_ms);
}

/* By the kind that begins the vector's name. `again` gets what encoding the decoded record gives. */
static enum error decode(const char *kind, struct arena *arena, struct view bytes,
                         struct json_writer *w, struct buffer *again)
{
    struct route_record route;
    struct domain_record domain;
    struct settings_record settings;
    struct meta_record meta;
    enum error error;

    if (strncmp(kind, "route-", 6) == 0) {
        error = route_record_decode(arena, bytes, &route);
        if (error == ERROR_NONE) {
            write_route(w, &route);
            route_record_encode(again, &route);
        }
    } else if (strncmp(kind, "domain-", 7) == 0) {
        error = domain_record_decode(arena, bytes, &domain);
        if (error == ERROR_NONE) {
            write_domain(w, &domain);
            domain_record_encode(again, &domain);
        }
    } else if (strncmp(kind, "settings-", 9) == 0) {
        error = settings_record_decode(arena, bytes, &settings);
        if (error == ERROR_NONE) {
            write_settings(w, &settings);
            settings_record_encode(again, &settings);
        }
    } else {
        assert_int_equal(strncmp(kind, "meta-", 5), 0);
        error = meta_record_decode(arena, bytes, &meta);
        if (error == ERROR_NONE) {
            write_meta(w, &meta);
            meta_record_encode(again, &meta);
        }
    }
    return error;
}

/* ---- the vectors ---- */

static void read_hex(const char *path, struct buffer *bytes)
{
    struct buffer text, digits;

    buffer_init(&text, 1 << 20);
    buffer_init(&digits, 1 << 20);
    assert_int_equal(file_read(path, &text), ERROR_NONE);
    for (size_t i = 0; i < text.length; i++)
        if (text.data[i] != '\n')
            buffer_append_byte(&digits, text.data[i]);
    assert_int_equal(hex_decode(bytes, buffer_view(&digits)), ERROR_NONE);
    buffer_release(&text);
    buffer_release(&digits);
}

static struct json *read_json(const char *path)
{
    struct buffer text;
    struct json *value;

    buffer_init(&text, 1 << 20);
    assert_int_equal(file_read(path, &text), ERROR_NONE);
    assert_int_equal(json_parse(buffer_view(&text), 10, &value, NULL), ERROR_NONE);
    buffer_release(&text);
    return value;
}

/* The decoded record, or {"error": name}, as a tree. */
static struct json *decoded(const char *name, struct view bytes, struct buffer *again)
{
    struct json_writer writer;
    struct buffer out, failure;
    struct arena arena;
    struct json *value;
    enum error error;

    arena_init(&arena, 1 << 20);
    buffer_init(&out, 1 << 20);
    buffer_init(&failure, 100);
    json_begin(&writer, &out);
    json_open_object(&writer, NULL);
    error = decode(name, &arena, bytes, &writer, again);
    json_close_object(&writer);
    buffer_append_format(&failure, "{\"error\":\"%s\"}", error_name(error));
    assert_int_equal(
        json_parse(buffer_view(error == ERROR_NONE ? &out : &failure), 10, &value, NULL),
        ERROR_NONE);
    buffer_release(&failure);
    buffer_release(&out);
    arena_release(&arena);
    return value;
}

static bool check_vector(const char *file, void *context)
{
    size_t *count = context, length = strlen(file);
    struct buffer bytes, again;
    struct json *expected, *found;
    char path[4096];

    if (length < 4 || strcmp(file + length - 4, ".hex") != 0)
        return true;
    buffer_init(&bytes, 1 << 20);
    buffer_init(&again, ROUTE_MAX_RECORD);
    snprintf(path, sizeof(path), "%s/%s", RECORDS, file);
    read_hex(path, &bytes);
    snprintf(path, sizeof(path), "%s/%.*s.json", RECORDS, (int)length - 4, file);
    expected = read_json(path);
    found = decoded(file, buffer_view(&bytes), &again);
    if (!json_equal(expected, found)) {
        struct buffer text;

        buffer_init(&text, 1 << 20);
        json_print(&text, found);
        fail_msg("%s decodes to %s", file, text.data);
    }
    json_free(found);
    if (!json_get(expected, "error")) { /* what we encode, we decode to the same */
        assert_int_equal(again.error, ERROR_NONE);
        buffer_clear(&bytes);
        found = decoded(file, buffer_view(&again), &bytes);
        assert_true(json_equal(expected, found));
        json_free(found);
    }
    json_free(expected);
    buffer_release(&bytes);
    buffer_release(&again);
    ++*count;
    return true;
}

static void the_kept_records_decode_as_they_always_did(void **state)
{
    size_t count = 0;

    (void)state;
    assert_int_equal(folder_list(RECORDS, check_vector, &count), ERROR_NONE);
    assert_true(count >= 44);
}

static void the_records_of_this_release_encode_to_the_kept_bytes(void **state)
{
    static const char *const names[] = {"route-v1.hex",
                                        "route-v1-full.hex",
                                        "route-v1-empty.hex",
                                        "route-v1-previews.hex",
                                        "route-v1-api-keys.hex",
                                        "route-v1-api-keys-none.hex",
                                        "route-v1-cors.hex",
                                        "route-v1-jwt.hex",
                                        "route-v1-jwt-and-api-keys.hex",
                                        "route-v1-jwt-without-keys.hex",
                                        "route-v1-sum.hex",
                                        "domain-v1.hex",
                                        "domain-v1-wildcard.hex",
                                        "settings-v1.hex",
                                        "meta-v1.hex"};

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct buffer bytes, again;
        char path[4096];

        buffer_init(&bytes, 1 << 20);
        buffer_init(&again, ROUTE_MAX_RECORD);
        snprintf(path, sizeof(path), "%s/%s", RECORDS, names[i]);
        read_hex(path, &bytes);
        json_free(decoded(names[i], buffer_view(&bytes), &again));
        /* Rules about callers have a sum behind them, which the earliest records have not. */
        if (again.length != bytes.length)
            assert_int_equal(again.length, bytes.length + 14);
        assert_true(again.length > 0 && view_starts_with(buffer_view(&again), buffer_view(&bytes)));
        buffer_release(&bytes);
        buffer_release(&again);
    }
}

static bool same_rules(const struct route_access *a, const struct route_access *b)
{
    bool same = view_equal(a->api_key_header, b->api_key_header) &&
                a->api_key_count == b->api_key_count && !a->cors == !b->cors &&
                view_equal(a->jwt.issuer, b->jwt.issuer) &&
                a->jwt.audience_count == b->jwt.audience_count &&
                a->jwt.scope_count == b->jwt.scope_count && a->jwt.leeway_s == b->jwt.leeway_s &&
                a->jwt.algorithms == b->jwt.algorithms && a->jwt.key_count == b->jwt.key_count;

    for (size_t i = 0; same && i < a->api_key_count; i++)
        same = a->api_keys[i].expires_at_ms == b->api_keys[i].expires_at_ms &&
               view_equal(a->api_keys[i].hash, b->api_keys[i].hash);
    return same;
}

static void no_damage_of_a_byte_takes_a_rule_away(void **state)
{
    static const char *const names[] = {"route-v1-jwt-and-api-keys.hex", "route-v1-api-keys.hex",
                                        "route-v1-cors.hex"};
    (void)state;
    for (size_t name = 0; name < sizeof(names) / sizeof(names[0]); name++) {
        struct route_record whole, record;
        struct buffer bytes, with_sum;
        struct arena arena, scratch;
        char path[4096];
        size_t refused = 0;

        arena_init(&arena, 1 << 20);
        buffer_init(&bytes, 1 << 20);
        buffer_init(&with_sum, ROUTE_MAX_RECORD);
        snprintf(path, sizeof(path), "%s/%s", RECORDS, names[name]);
        read_hex(path, &bytes);
        assert_int_equal(route_record_decode(&arena, buffer_view(&bytes), &whole), ERROR_NONE);
        route_record_encode(&with_sum, &whole);
        for (size_t i = 0; i < with_sum.length; i++)
            for (unsigned byte = 0; byte < 256; byte++) {
                char before = with_sum.data[i];

                if ((unsigned char)before == byte)
                    continue;
                with_sum.data[i] = (char)byte;
                arena_init(&scratch, 1 << 20);
                if (route_record_decode(&scratch, buffer_view(&with_sum), &record) != ERROR_NONE)
                    refused++;
                else
                    assert_true(same_rules(&whole.access, &record.access));
                arena_release(&scratch);
                with_sum.data[i] = before;
            }
        assert_true(refused >=
                    (with_sum.length - 14) * 255); /* but for the tag of the sum itself */
        arena_release(&arena);
        buffer_release(&bytes);
        buffer_release(&with_sum);
    }
}

static void any_cut_record_is_damaged(void **state)
{
    struct buffer bytes;

    (void)state;
    buffer_init(&bytes, 1 << 20);
    read_hex(RECORDS "/route-v1-full.hex", &bytes);
    for (size_t length = 0; length < bytes.length; length++) {
        struct route_record record;
        struct arena arena;

        arena_init(&arena, 1 << 20);
        /* The revision is the last field, so no shorter copy is whole. */
        assert_int_equal(route_record_decode(&arena, view_from(bytes.data, length), &record),
                         ERROR_DAMAGED);
        arena_release(&arena);
    }
    buffer_release(&bytes);
}

static void the_example_of_the_documentation_is_the_kept_record(void **state)
{
    struct buffer page, digits, shown, kept;
    struct view rest, line;
    const char *fence;

    (void)state;
    buffer_init(&page, 1 << 20);
    buffer_init(&digits, 4096);
    buffer_init(&shown, 4096);
    buffer_init(&kept, 4096);
    assert_int_equal(file_read(TEST_VECTORS_DIR "/../../docs/route-store.md", &page), ERROR_NONE);
    fence = strstr(page.data, "\n```\n");
    assert_non_null(fence);
    rest = view_of(fence + 5);
    while (view_split(&rest, '\n', &line) && !view_equal(line, VIEW("```"))) {
        char row[200];

        snprintf(row, sizeof(row), "%.*s", VIEW_FORMAT(line));
        *strstr(row, "  ") = '\0'; /* the meaning stands behind two blanks */
        for (const char *at = row; *at; at++)
            if (*at != ' ')
                buffer_append_byte(&digits, *at);
    }
    assert_int_equal(hex_decode(&shown, buffer_view(&digits)), ERROR_NONE);
    read_hex(RECORDS "/route-v1.hex", &kept);
    assert_true(kept.length > 0 && view_equal(buffer_view(&shown), buffer_view(&kept)));
    buffer_release(&page);
    buffer_release(&digits);
    buffer_release(&shown);
    buffer_release(&kept);
}

/* ---- limits ---- */

static void a_record_beyond_its_ceiling_is_damaged_and_a_small_arena_too_big(void **state)
{
    static char large[ROUTE_MAX_RECORD + 1] = {1};
    struct route_record record;
    struct buffer bytes;
    struct arena arena;

    (void)state;
    arena_init(&arena, 1 << 20);
    assert_int_equal(route_record_decode(&arena, view_from(large, sizeof(large)), &record),
                     ERROR_DAMAGED);
    arena_release(&arena);
    buffer_init(&bytes, 4096);
    read_hex(RECORDS "/route-v1.hex", &bytes);
    arena_init(&arena, 100);
    assert_int_equal(route_record_decode(&arena, buffer_view(&bytes), &record), ERROR_TOO_BIG);
    arena_release(&arena);
    buffer_release(&bytes);
}

static void what_decodes_does_not_look_into_the_bytes_it_came_from(void **state)
{
    struct route_record record;
    struct buffer bytes;
    struct arena arena;

    (void)state;
    arena_init(&arena, 1 << 20);
    buffer_init(&bytes, 4096);
    read_hex(RECORDS "/route-v1.hex", &bytes);
    assert_int_equal(route_record_decode(&arena, buffer_view(&bytes), &record), ERROR_NONE);
    memset(bytes.data, 'x', bytes.length);
    assert_true(view_equal_string(record.app, "hello"));
    assert_true(view_equal_string(record.versions[0].function, "hello"));
    buffer_release(&bytes);
    arena_release(&arena);
}

static struct route_version lawful_version(void)
{
    return (struct route_version){.number = 1,
                                  .weight = ROUTE_WEIGHT_TOTAL,
                                  .function = VIEW("f"),
                                  .qualifier = VIEW("1"),
                                  .payload_format = ROUTE_PAYLOAD_2_0,
                                  .timeout_s = 3};
}

static void validation_says_what_is_wrong(void **state)
{
    struct route_version version = lawful_version();
    struct route_record record = {.app = VIEW("a"), .versions = &version, .version_count = 1};
    struct buffer problem;

    (void)state;
    buffer_init(&problem, 1024);
    assert_int_equal(route_record_validate(&record, &problem), ERROR_NONE);
    assert_int_equal(problem.length, 0);
#define REFUSED(change, part)                                                                      \
    do {                                                                                           \
        version = lawful_version();                                                                \
        record =                                                                                   \
            (struct route_record){.app = VIEW("a"), .versions = &version, .version_count = 1};     \
        buffer_clear(&problem);                                                                    \
        change;                                                                                    \
        assert_int_equal(route_record_validate(&record, &problem), ERROR_INVALID);                 \
        assert_non_null(strstr(problem.data, part));                                               \
    } while (0)
    REFUSED(record.app = VIEW(""), "app name");
    REFUSED(record.app = VIEW("a--b"), "a--b");
    REFUSED(record.app = VIEW("a-"), "app name");
    REFUSED(record.app = VIEW("1a"), "app name");
    REFUSED(record.app = VIEW("a.b"), "app name");
    REFUSED(record.app = VIEW("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
            "app name");
    REFUSED(version.weight = 9999, "9999 of 10000");
    REFUSED(version.number = 0, "begin at 1");
    REFUSED(version.function = VIEW("a b"), "function");
    REFUSED(version.function = VIEW("a/b"), "function");
    REFUSED(version.qualifier = VIEW(""), "Lambda version");
    REFUSED(version.timeout_s = 901, "timeout");
    REFUSED(version.payload_format = 0, "payload format");
    REFUSED(version.response_mode = 3, "response mode");
    REFUSED(record.sticky = 3, "stickiness");
    REFUSED(record.version_count = ROUTE_MAX_VERSIONS + 1, "at most 100");
#undef REFUSED
    buffer_release(&problem);
}

static void domains_and_settings_are_validated_too(void **state)
{
    struct domain_path path = {VIEW("/"), VIEW("site"), false};
    struct domain_record domain = {.host = VIEW("example.com"), .paths = &path, .path_count = 1};
    struct view base = VIEW("*");
    struct settings_record settings = {.base_domains = &base, .base_domain_count = 1};
    struct buffer problem;

    (void)state;
    buffer_init(&problem, 4096);
    assert_int_equal(domain_record_validate(&domain, &problem), ERROR_NONE);
    domain.host = VIEW("*");
    assert_int_equal(domain_record_validate(&domain, &problem), ERROR_INVALID);
    domain.host = VIEW("a..b");
    assert_int_equal(domain_record_validate(&domain, &problem), ERROR_INVALID);
    domain.host = VIEW("example.com.");
    assert_int_equal(domain_record_validate(&domain, &problem), ERROR_INVALID);
    domain.host = VIEW("example.com");
    path.prefix = VIEW("/a b");
    assert_int_equal(domain_record_validate(&domain, &problem), ERROR_INVALID);
    assert_int_equal(settings_record_validate(&settings, &problem), ERROR_NONE);
    base = VIEW("*.example.com");
    assert_int_equal(settings_record_validate(&settings, &problem), ERROR_INVALID);
    base = VIEW("localhost");
    settings.public_url = VIEW("http://a\nb");
    assert_int_equal(settings_record_validate(&settings, &problem), ERROR_INVALID);
    assert_non_null(strstr(problem.data, "public URL"));
    buffer_release(&problem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_kept_records_decode_as_they_always_did),
        cmocka_unit_test(the_records_of_this_release_encode_to_the_kept_bytes),
        cmocka_unit_test(any_cut_record_is_damaged),
        cmocka_unit_test(no_damage_of_a_byte_takes_a_rule_away),
        cmocka_unit_test(the_example_of_the_documentation_is_the_kept_record),
        cmocka_unit_test(a_record_beyond_its_ceiling_is_damaged_and_a_small_arena_too_big),
        cmocka_unit_test(what_decodes_does_not_look_into_the_bytes_it_came_from),
        cmocka_unit_test(validation_says_what_is_wrong),
        cmocka_unit_test(domains_and_settings_are_validated_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
