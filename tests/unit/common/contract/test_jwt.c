/* Tests of tokens: the cases of tests/vectors/tokens, and what a value of Authorization may hold. */
#include "tests/unit/common/contract/vectors.h"

#include "common/contract/jwk.h"
#include "common/contract/jwt.h"

static struct arena arena;
static unsigned checks; /* of signatures, in the case at hand */

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

static bool check_signature(const struct signature_key *key, enum signature_algorithm algorithm,
                            struct view message, struct view signature, void *context)
{
    struct public_key *public = NULL;
    bool good;

    (void)context;
    checks++;
    assert_int_equal(public_key_from_der(key->kind, key->der, &public), ERROR_NONE);
    good = public_key_verify(public, algorithm, message, signature);
    public_key_free(public);
    return good;
}

static struct view *read_list(const struct json *list, size_t *count)
{
    struct view *views = arena_alloc(&arena, (json_count(list) + 1) * sizeof *views);

    *count = 0;
    for (const struct json *one = json_first(list); one; one = json_next(one))
        views[(*count)++] = json_string(one);
    return views;
}

static unsigned read_algorithms(const struct json *list)
{
    enum signature_algorithm algorithm;
    unsigned bits = 0;

    for (const struct json *one = json_first(list); one; one = json_next(one)) {
        assert_true(signature_algorithm_parse(json_string(one), &algorithm));
        bits |= SIGNATURE_BIT(algorithm);
    }
    return bits;
}

static void check_event(const char *name, struct view claims, bool asked,
                        const struct json *expected)
{
    struct json *written = NULL;
    struct json_writer w;
    struct buffer text;

    buffer_init(&text, 1 << 20);
    json_begin(&w, &text);
    json_open_object(&w, NULL);
    jwt_write_claims(&w, claims);
    jwt_write_scopes(&w, claims, asked);
    json_close_object(&w);
    assert_int_equal(json_parse(buffer_view(&text), 10, &written, NULL), ERROR_NONE);
    if (expected && !json_equal(written, expected))
        fail_msg("%s: wrote %.*s", name, VIEW_FORMAT(buffer_view(&text)));
    json_free(written);
    buffer_release(&text);
}

static struct jwt_rules read_rules(const struct json *vector)
{
    struct jwt_rules rules = {.leeway_s = 0};
    struct jwk_set *set = arena_alloc(&arena, sizeof *set);
    struct buffer keys, problem;
    int64_t leeway = 0;

    buffer_init(&keys, 1 << 20);
    buffer_init(&problem, 1000);
    json_print(&keys, json_get(vector, "jwks"));
    assert_int_equal(jwk_set_read(&arena, buffer_view(&keys), set, &problem), ERROR_NONE);
    assert_true(json_get_string(vector, "issuer", &rules.issuer));
    assert_true(json_get_integer(vector, "leewaySeconds", &leeway));
    rules.audiences = read_list(json_get(vector, "audiences"), &rules.audience_count);
    rules.scopes = read_list(json_get(vector, "scopes"), &rules.scope_count);
    rules.algorithms = read_algorithms(json_get(vector, "algorithms"));
    rules.leeway_s = (uint32_t)leeway;
    rules.keys = set->keys;
    rules.key_count = set->count;
    buffer_release(&keys);
    buffer_release(&problem);
    return rules;
}

static void check_token(const char *name, const char *path)
{
    struct view token = VIEW(""), wanted = VIEW("");
    struct jwt jwt = {.claims = {NULL, 0}};
    enum jwt_verdict verdict;
    int64_t now_s = 0;

    if (!view_ends_with(view_of(name), VIEW(".json")))
        return;
    struct json *vector = vectors_read_json(&arena, path, NULL);
    struct jwt_rules rules = read_rules(vector);
    assert_true(json_get_string(vector, "token", &token));
    assert_true(json_get_string(vector, "verdict", &wanted));
    assert_true(json_get_integer(vector, "now", &now_s));
    checks = 0;
    /* In memory of its own, so that the sanitizer sees a step beyond it. */
    char *own = view_duplicate(token);
    verdict = jwt_verify(&arena, view_from(own, token.length), &rules, now_s * 1000,
                         check_signature, NULL, &jwt);
    if (!view_equal_string(wanted, jwt_verdict_name(verdict)))
        fail_msg("%s: %s, not %.*s", name, jwt_verdict_name(verdict), VIEW_FORMAT(wanted));
    if (verdict == JWT_GOOD) {
        assert_int_equal(checks, 1);
        check_event(name, jwt.claims, rules.scope_count > 0, json_get(vector, "event"));
    } else {
        assert_null(jwt.claims.data);
    }
    free(own);
    json_free(vector);
}

static void each_token_gets_its_verdict(void **state)
{
    (void)state;
    assert_true(vectors_each("tokens", check_token) > 180);
}

static void check_changed(const char *name, const char *path)
{
    struct jwt jwt;

    if (strcmp(name, "good-eddsa.json") != 0 && strcmp(name, "good-es256.json") != 0)
        return;
    struct json *vector = vectors_read_json(&arena, path, NULL);
    struct jwt_rules rules = read_rules(vector);
    struct view token = VIEW("");
    assert_true(json_get_string(vector, "token", &token));
    char *own = view_duplicate(token);
    for (size_t i = 0; i < token.length; i++) {
        own[i] = token.data[i] == 'A' ? 'B' : 'A';
        if (jwt_verify(&arena, view_from(own, token.length), &rules, 1783711146000, check_signature,
                       NULL, &jwt) == JWT_GOOD)
            fail_msg("%s: good with byte %zu changed", name, i);
        if (jwt_verify(&arena, view_from(own, i), &rules, 1783711146000, check_signature, NULL,
                       &jwt) == JWT_GOOD)
            fail_msg("%s: good with %zu bytes", name, i);
        own[i] = token.data[i];
    }
    free(own);
    json_free(vector);
}

static void no_changed_or_cut_token_is_good(void **state)
{
    (void)state;
    vectors_each("tokens", check_changed);
}

static void a_token_stands_in_authorization_with_or_without_its_scheme(void **state)
{
    struct view token;

    (void)state;
    assert_true(jwt_in_authorization(VIEW("Bearer a.b.c"), &token));
    check_view(token, "a.b.c");
    assert_true(jwt_in_authorization(VIEW("bEARER   a.b.c "), &token));
    check_view(token, "a.b.c");
    assert_true(jwt_in_authorization(VIEW("a.b.c"), &token));
    check_view(token, "a.b.c");
    assert_false(jwt_in_authorization(VIEW(""), &token));
    assert_false(jwt_in_authorization(VIEW("Basic dTpw"), &token));
    assert_false(jwt_in_authorization(VIEW("Bearer "), &token));
    assert_false(jwt_in_authorization(VIEW("Bearer a.b.c d"), &token));
    assert_false(jwt_in_authorization(VIEW("Bearer a.b.c,Bearer d.e.f"), &token));
    assert_false(jwt_in_authorization(VIEW("Bearer \"a\""), &token));
    assert_false(jwt_in_authorization(VIEW("Bearer a\0b"), &token));
}

static void a_full_arena_makes_no_token_good(void **state)
{
    static const struct view audience = VIEW("a");
    struct jwt_rules rules = {.issuer = VIEW("i"), .audiences = &audience, .audience_count = 1};
    struct arena small;
    struct jwt jwt;

    (void)state;
    arena_init(&small, 16);
    assert_int_equal(
        jwt_verify(&small, VIEW("AAAA.AAAA.AAAA"), &rules, 0, check_signature, NULL, &jwt),
        JWT_MALFORMED);
    arena_release(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_token_gets_its_verdict, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_changed_or_cut_token_is_good, set_up, tear_down),
        cmocka_unit_test(a_token_stands_in_authorization_with_or_without_its_scheme),
        cmocka_unit_test(a_full_arena_makes_no_token_good),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
