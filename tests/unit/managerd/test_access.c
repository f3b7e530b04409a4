/* Tests of who may call: rules by tests/vectors/cors, from the app's settings to an answer's headers. */
#include "managerd/access.h"

#include "common/base/crypto.h"
#include "common/base/escape.h"
#include "common/base/file.h"
#include "common/contract/cors.h"
#include "common/contract/jwk.h"
#include "managerd/records.h"
#include "managerd/resources.h"
#include "managerd/token_rule.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define FOLDER TEST_VECTORS_DIR "/cors"

static struct json *read_file(const char *name)
{
    struct buffer text;
    struct json *value = NULL;
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", FOLDER, name);
    buffer_init(&text, 1 << 20);
    assert_int_equal(file_read(path, &text), ERROR_NONE);
    assert_int_equal(json_parse(buffer_view(&text), 20, &value, NULL), ERROR_NONE);
    buffer_release(&text);
    return value;
}

/* The policy of a route, as proxyd takes it from the record's bytes. */
static struct cors_policy policy_of(const struct json *file, struct arena *arena)
{
    struct route_record route = {.app = VIEW("shop"), .slot = 1, .enabled = true, .revision = 1};
    struct route_record again;
    struct buffer bytes;
    struct json *app = json_new_object();
    json_set(app, "access", json_copy(json_get(file, "access")));
    shape_fill(&app_shape, app);
    assert_int_equal(access_route(app, NULL, arena, &route.access), ERROR_NONE);
    assert_int_equal(route_record_validate(&route, NULL), ERROR_NONE);
    buffer_init(&bytes, ROUTE_MAX_RECORD);
    route_record_encode(&bytes, &route);
    assert_int_equal(route_record_decode(arena, buffer_view(&bytes), &again), ERROR_NONE);
    buffer_release(&bytes);
    json_free(app);
    const struct route_cors *cors = again.access.cors;
    assert_non_null(cors);
    return (struct cors_policy){cors->origins,   cors->origin_count, cors->methods,
                                cors->headers,   cors->exposed,      cors->has_max_age,
                                cors->max_age_s, cors->credentials,  cors->private_network};
}

static void check_case(const char *file, const struct cors_policy *policy, const struct json *one)
{
    const struct json *request = json_get(one, "request"), *headers = json_get(request, "headers");
    struct cors_request asked = {
        .method = text_of(request, "method"),
        .origin = text_of(headers, "Origin"),
        .requested_method = text_of(headers, "Access-Control-Request-Method"),
        .requested_headers = text_of(headers, "Access-Control-Request-Headers"),
        .asks_private_network =
            view_equal(text_of(headers, "Access-Control-Request-Private-Network"), VIEW("true")),
    };
    struct cors_answer answer;
    struct json *found = json_new_object();
    cors_decide(policy, &asked, &answer);
    for (size_t i = 0; i < answer.count; i++) {
        char name[64];
        snprintf(name, sizeof name, "%.*s", VIEW_FORMAT(answer.headers[i].name));
        assert_null(json_get(found, name));
        json_set_string(found, name, answer.headers[i].value);
    }
    if (answer.preflight != truth_of(one, "preflight") ||
        !json_equal(found, json_get(one, "headers"))) {
        struct buffer text;
        buffer_init(&text, 65536);
        json_print(&text, found);
        fail_msg("%s: %.*s: %s", file, VIEW_FORMAT(text_of(one, "says")), text.data);
    }
    json_free(found);
}

/* Members of `access` that are wrong, by the shape and by what the shape cannot tell. */
static void check_refused(const char *file, const struct json *one)
{
    struct arena arena;
    struct faults faults;
    const struct json *pointer = json_first(json_get(one, "pointers"));
    arena_init(&arena, 1 << 20);
    faults_init(&faults, &arena);
    shape_check(&access_shape, json_get(one, "access"), "/access", &faults);
    if (faults.count == 0)
        access_check(json_get(one, "access"), &faults);
    for (size_t i = 0; i < faults.count || pointer; i++, pointer = json_next(pointer)) {
        if (i < faults.count && pointer &&
            view_equal_string(json_string(pointer), faults.list[i].pointer))
            continue;
        struct buffer text;
        buffer_init(&text, 65536);
        json_print(&text, json_get(one, "access"));
        fail_msg("%s: %s: %s %s", file, text.data,
                 i < faults.count ? faults.list[i].pointer : "was taken",
                 i < faults.count ? faults.list[i].detail : "");
    }
    arena_release(&arena);
}

static bool check_file(const char *name, void *context)
{
    size_t *count = context;
    struct json *file = read_file(name);
    struct arena arena;
    arena_init(&arena, 1 << 20);
    if (json_get(file, "cases")) {
        struct cors_policy policy = policy_of(file, &arena);
        for (const struct json *one = json_first(json_get(file, "cases")); one;
             one = json_next(one), ++*count)
            check_case(name, &policy, one);
    }
    for (const struct json *one = json_first(json_get(file, "refused")); one;
         one = json_next(one), ++*count)
        check_refused(name, one);
    arena_release(&arena);
    json_free(file);
    return true;
}

static void pages_of_other_origins_are_told_what_the_vectors_say(void **state)
{
    size_t count = 0;
    (void)state;
    assert_int_equal(folder_list(FOLDER, check_file, &count), ERROR_NONE);
    assert_true(count >= 100);
}

static void settings_are_off_by_default(void **state)
{
    struct json *app = json_new_object();
    struct route_access access = {0};
    struct arena arena;
    (void)state;
    arena_init(&arena, 4096);
    shape_fill(&app_shape, app);
    assert_int_equal(json_type_of(json_get(json_get(app, "access"), "cors")), JSON_NULL);
    assert_int_equal(json_type_of(json_get(json_get(app, "access"), "apiKeys")), JSON_NULL);
    assert_int_equal(access_route(app, NULL, &arena, &access), ERROR_NONE);
    assert_null(access.cors);
    assert_int_equal(access.api_key_header.length, 0);
    arena_release(&arena);
    json_free(app);
}

#define GOOD_KEY                                                                                   \
    "{\"id\":\"01a20a31-1bd0-7345-8931-223223d15d2f\",\"sha256\":"                                 \
    "\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"%s}"

/* Not an error: the route of before would stay, without the rule, or with a key revoked since. */
static void an_api_key_that_cannot_be_read_opens_nothing_and_takes_no_rule_away(void **state)
{
    static const char *const bad[] = {"{\"id\":\"a\",\"sha256\":\"xyz\",\"expiresAt\":null}", "{}",
                                      "7"};
    static const char *const ends[] = {",\"expiresAt\":\"tomorrow\"", ",\"expiresAt\":1767225600",
                                       ",\"expiresAt\":\"1969-01-01T00:00:00Z\""};
    (void)state;
    for (size_t i = 0; i < 6; i++) {
        char key[256], good[256], text[1024];
        struct json *app = NULL;
        struct route_record route = {.app = VIEW("shop"), .slot = 1, .enabled = true};
        struct arena arena;
        arena_init(&arena, 4096);
        snprintf(key, sizeof key, i < 3 ? "%s" : GOOD_KEY, i < 3 ? bad[i] : ends[i - 3]);
        snprintf(good, sizeof good, GOOD_KEY, "");
        snprintf(text, sizeof text,
                 "{\"access\":{\"apiKeys\":{\"header\":\"X-Api-Key\"}},"
                 "\"internal\":{\"apiKeys\":[%s,%s]}}",
                 key, good);
        assert_int_equal(json_parse(view_of(text), 10, &app, NULL), ERROR_NONE);
        assert_int_equal(access_route(app, NULL, &arena, &route.access), ERROR_NONE);
        assert_true(view_equal_string(route.access.api_key_header, "X-Api-Key"));
        assert_int_equal(route.access.api_key_count, 1);
        assert_int_equal(route.access.api_keys[0].expires_at_ms, 0);
        assert_int_equal(route_record_validate(&route, NULL), ERROR_NONE);
        json_free(app);
        arena_release(&arena);
    }
}

/* The most that the API lets an app have: a route must hold it. */
static void a_key_of_an_issuer_that_cannot_be_read_leaves_the_rule_and_no_key(void **state)
{
    static const char *const bad[] = {
        "{\"kid\":\"k\",\"kind\":9,\"algorithms\":1,\"der\":\"AAAA\"}",
        "{\"kid\":\"k\",\"kind\":1,\"algorithms\":1,\"der\":\"*\"}", "{}", "7"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct route_access access = {.api_key_count = 0};
        struct json *app = NULL, *keys = NULL;
        struct buffer text;
        struct arena arena;
        arena_init(&arena, 1 << 20);
        buffer_init(&text, 1000);
        buffer_append_format(
            &text, "[{\"kid\":\"g\",\"kind\":1,\"algorithms\":1,\"der\":\"AAAA\"},%s]", bad[i]);
        assert_int_equal(json_parse(VIEW("{\"access\":{\"jwt\":{\"issuer\":\"https://i.example\","
                                         "\"audience\":[\"a\"]}}}"),
                                    10, &app, NULL),
                         ERROR_NONE);
        assert_int_equal(json_parse(buffer_view(&text), 10, &keys, NULL), ERROR_NONE);
        shape_fill(&app_shape, app);
        assert_int_equal(access_route(app, keys, &arena, &access), ERROR_NONE);
        assert_true(view_equal_string(access.jwt.issuer, "https://i.example"));
        assert_int_equal(access.jwt.key_count, 0);
        assert_int_equal(access.jwt.leeway_s, 60);
        json_free(app);
        json_free(keys);
        buffer_release(&text);
        arena_release(&arena);
    }
}

/* The longest rule about tokens; gives the most keys that an issuer may have. */
static struct json *most_of_tokens(struct json *app)
{
    struct json *jwt = object_in(object_in(app, "access"), "jwt");
    struct json *audience = json_new_array(), *scopes = json_new_array();
    struct signature_key keys[ROUTE_MAX_JWT_KEYS];
    static char long_text[600];
    memset(long_text, 'a', sizeof long_text);
    memcpy(long_text, "https://", 8);
    for (unsigned i = 0; i < ROUTE_MAX_JWT_NAMES; i++) {
        struct view name = view_from(long_text, TOKEN_RULE_MAX_NAMES / ROUTE_MAX_JWT_NAMES);
        json_append(audience, json_new_string(name));
        json_append(scopes, json_new_string(name));
    }
    json_set_string(jwt, "issuer", view_from(long_text, 512));
    json_set(jwt, "audience", audience);
    json_set(jwt, "scopes", scopes);
    for (unsigned i = 0; i < ROUTE_MAX_JWT_KEYS; i++)
        keys[i] = (struct signature_key){
            view_from(long_text, 84), SIGNATURE_RSA, 1,
            view_from(long_text, JWK_SET_MAX_STORED / ROUTE_MAX_JWT_KEYS - 84)};
    return token_rule_store_keys(keys, ROUTE_MAX_JWT_KEYS);
}

static void the_most_an_app_may_have_fits_a_route(void **state)
{
    struct buffer text, bytes;
    struct arena arena;
    struct json *app = NULL;
    struct faults faults;
    struct route_version versions[ROUTE_MAX_VERSIONS];
    char function[65], origin[82];
    struct route_record route = {.app = VIEW("shop"), .enabled = true, .versions = versions};
    (void)state;
    buffer_init(&text, 1 << 20);
    buffer_init(&bytes, ROUTE_MAX_RECORD);
    arena_init(&arena, 1 << 20);
    faults_init(&faults, &arena);
    memset(function, 'f', sizeof function - 1);
    function[sizeof function - 1] = 0;
    memset(origin, 'o', sizeof origin - 1);
    origin[sizeof origin - 1] = 0;
    memcpy(origin, "https://", 8);
    origin[40] = '.';
    for (unsigned i = 0; i < ROUTE_MAX_VERSIONS; i++)
        versions[route.version_count++] = (struct route_version){i + 1,
                                                                 i ? 0 : ROUTE_WEIGHT_TOTAL,
                                                                 view_of(function),
                                                                 VIEW("1234567890"),
                                                                 ROUTE_PAYLOAD_2_0,
                                                                 ROUTE_BUFFERED,
                                                                 false,
                                                                 900};
    buffer_append_string(&text, "{\"access\":{\"apiKeys\":{},\"cors\":{\"allowOrigins\":[");
    for (unsigned i = 0; i < ROUTE_MAX_CORS_ORIGINS; i++)
        buffer_append_format(&text, "%s\"%s\"", i ? "," : "", origin);
    buffer_append_string(&text, "]}},\"internal\":{\"apiKeys\":[");
    for (unsigned i = 0; i < ACCESS_MAX_API_KEYS; i++)
        buffer_append_format(&text,
                             "%s{\"id\":\"01a20a31-1bd0-7345-8931-223223d15d2f\",\"sha256\":"
                             "\"%064u\",\"expiresAt\":\"2999-01-01T00:00:00.000Z\"}",
                             i ? "," : "", i);
    buffer_append_string(&text, "]}}");
    assert_int_equal(json_parse(buffer_view(&text), 10, &app, NULL), ERROR_NONE);
    struct json *cors = object_in(object_in(app, "access"), "cors");
    static const char *const lists[] = {"allowHeaders", "exposeHeaders"};
    for (size_t i = 0; i < 2; i++) {
        json_set(cors, lists[i], json_new_array());
        for (unsigned j = 0; j < 63; j++)
            json_append(object_in(cors, lists[i]), json_new_string(view_of(function)));
    }
    struct json *keys = most_of_tokens(app);
    shape_check(&access_shape, json_get(app, "access"), "/access", &faults);
    assert_int_equal(faults.count, 0);
    shape_fill(&app_shape, app);
    assert_int_equal(access_route(app, keys, &arena, &route.access), ERROR_NONE);
    assert_int_equal(route_record_validate(&route, &text), ERROR_NONE);
    route_record_encode(&bytes, &route);
    assert_int_equal(bytes.error, ERROR_NONE);
    json_free(app);
    json_free(keys);
    buffer_release(&text);
    buffer_release(&bytes);
    arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_of_other_origins_are_told_what_the_vectors_say),
        cmocka_unit_test(settings_are_off_by_default),
        cmocka_unit_test(an_api_key_that_cannot_be_read_opens_nothing_and_takes_no_rule_away),
        cmocka_unit_test(a_key_of_an_issuer_that_cannot_be_read_leaves_the_rule_and_no_key),
        cmocka_unit_test(the_most_an_app_may_have_fits_a_route),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
