/* Tests of the keys that issuers publish: the cases of tests/vectors/keysets, and discovery. */
#include "tests/unit/common/contract/vectors.h"

#include "common/contract/jwk.h"

static struct arena arena;

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, (size_t)64 * 1024 * 1024);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_release(&arena);
    return 0;
}

static void check_usable(const char *name, const struct jwk_set *set, const struct json *usable)
{
    const struct json *kid = json_first(usable);

    for (size_t i = 0; i < set->count; i++, kid = json_next(kid)) {
        struct public_key *key = NULL;

        if (!kid || !view_equal(json_string(kid), set->keys[i].kid))
            fail_msg("%s: key %zu is %.*s", name, i, VIEW_FORMAT(set->keys[i].kid));
        assert_int_equal(public_key_from_der(set->keys[i].kind, set->keys[i].der, &key),
                         ERROR_NONE);
        public_key_free(key);
        assert_int_not_equal(set->keys[i].algorithms, 0);
        assert_int_equal(set->keys[i].algorithms & ~signature_algorithms_of(set->keys[i].kind), 0);
    }
    if (kid)
        fail_msg("%s: %zu keys are too few", name, set->count);
}

static void check_set(const char *name, const char *path)
{
    struct jwk_set *set = arena_alloc(&arena, sizeof *set);
    struct view text = VIEW(""), part = VIEW("");
    struct buffer problem;
    enum error error;

    struct json *vector = vectors_read_json(&arena, path, NULL);
    assert_true(json_get_string(vector, "text", &text));
    buffer_init(&problem, 1000);
    error = jwk_set_read(&arena, text, set, &problem);
    if (json_get_string(vector, "problem", &part)) {
        if (error == ERROR_NONE || !strstr(problem.data, part.data))
            fail_msg("%s: %s, \"%s\"", name, error_name(error), problem.data ? problem.data : "");
    } else {
        if (error != ERROR_NONE)
            fail_msg("%s: %s", name, problem.data);
        check_usable(name, set, json_get(vector, "usable"));
    }
    buffer_release(&problem);
    json_free(vector);
}

static void usable_keys_are_taken_and_others_passed_over(void **state)
{
    (void)state;
    assert_true(vectors_each("keysets", check_set) > 60);
}

static void a_set_that_is_too_long_is_not_parsed(void **state)
{
    struct jwk_set *set = arena_alloc(&arena, sizeof *set);
    char *text = calloc(1, JWK_SET_MAX_BYTES + 1);
    struct buffer problem;

    (void)state;
    buffer_init(&problem, 1000);
    assert_int_equal(jwk_set_read(&arena, view_from(text, JWK_SET_MAX_BYTES + 1), set, &problem),
                     ERROR_TOO_BIG);
    assert_non_null(strstr(problem.data, "262144"));
    buffer_release(&problem);
    free(text);
}

static enum error discover(const char *text, struct view *url)
{
    struct buffer problem;
    enum error error;

    buffer_init(&problem, 1000);
    error = jwk_discovery_read(&arena, view_of(text), VIEW("https://i.example"), url, &problem);
    assert_int_equal(error != ERROR_NONE, problem.length > 0);
    buffer_release(&problem);
    return error;
}

static void discovery_is_taken_from_the_issuer_itself_only(void **state)
{
    struct view url = VIEW("");

    (void)state;
    assert_int_equal(
        discover("{\"issuer\":\"https://i.example\",\"jwks_uri\":\"https://i.example/k\"}", &url),
        ERROR_NONE);
    check_view(url, "https://i.example/k");
    assert_int_equal(discover("{\"issuer\":\"https://i.example/\",\"jwks_uri\":\"a\"}", &url),
                     ERROR_INVALID);
    assert_int_equal(discover("{\"jwks_uri\":\"https://i.example/k\"}", &url), ERROR_INVALID);
    assert_int_equal(discover("{\"issuer\":\"https://i.example\"}", &url), ERROR_INVALID);
    assert_int_equal(discover("{\"issuer\":\"https://i.example\",\"jwks_uri\":\"\"}", &url),
                     ERROR_INVALID);
    assert_int_equal(discover("{\"issuer\":\"https://i.example\",\"jwks_uri\":[]}", &url),
                     ERROR_INVALID);
    assert_int_equal(discover("<html>", &url), ERROR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(usable_keys_are_taken_and_others_passed_over, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_set_that_is_too_long_is_not_parsed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(discovery_is_taken_from_the_issuer_itself_only, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
