/* Tests of tokens, and of what counts as this machine itself. */
#include "managerd/authenticate.h"

#include "managerd/credential.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define NOW 1000

static enum role role_for(struct authenticator *authenticator, const char *header)
{
    struct principal principal;
    authenticate(authenticator, view_of(header), NOW, &principal);
    enum role role = principal.role;
    principal_release(&principal);
    return role;
}

static struct token described(const char *id, const char *secret, enum role role)
{
    struct token token = {.role = role, .expires_at_ms = NEVER};
    snprintf(token.id, sizeof token.id, "%s", id);
    credential_hash(view_of(secret), token.sha256);
    return token;
}

static void add(struct authenticator *authenticator, const char *id, const char *secret,
                enum role role)
{
    struct token token = described(id, secret, role);
    assert_true(authenticator_add(authenticator, &token));
}

static void without_tokens_everybody_is_local(void **state)
{
    (void)state;
    struct authenticator *authenticator = authenticator_new();
    struct principal principal;
    assert_true(authenticator_open(authenticator));
    authenticate(authenticator, VIEW(""), NOW, &principal);
    assert_string_equal(principal.id, "local");
    assert_int_equal(principal.role, ROLE_ADMIN);
    authenticator_free(authenticator);
}

static void each_token_has_its_own_role(void **state)
{
    (void)state;
    struct authenticator *authenticator = authenticator_new();
    add(authenticator, "boss", "token-of-the-boss", ROLE_ADMIN);
    add(authenticator, "watcher", "token-of-the-watcher", ROLE_VIEWER);
    assert_int_equal(role_for(authenticator, "Bearer token-of-the-boss"), ROLE_ADMIN);
    assert_int_equal(role_for(authenticator, "BEARER token-of-the-watcher "), ROLE_VIEWER);
    assert_int_equal(role_for(authenticator, "Bearer token-of-the-watche"), ROLE_NONE);
    assert_int_equal(role_for(authenticator, "token-of-the-boss"), ROLE_NONE);
    assert_int_equal(role_for(authenticator, "Bearer "), ROLE_NONE);
    assert_int_equal(role_for(authenticator, ""), ROLE_NONE);
    authenticator_remove(authenticator, "boss");
    assert_int_equal(role_for(authenticator, "Bearer token-of-the-boss"), ROLE_NONE);
    assert_int_equal(role_for(authenticator, "Bearer token-of-the-watcher"), ROLE_VIEWER);
    struct token bad = {.id = "bad", .role = ROLE_ADMIN, .sha256 = "no hash"};
    assert_false(authenticator_add(authenticator, &bad));
    authenticator_free(authenticator);
}

static void a_token_counts_until_it_expires(void **state)
{
    (void)state;
    struct authenticator *authenticator = authenticator_new();
    struct token token = described("brief", "token-of-a-moment", ROLE_DEPLOYER);
    struct principal principal;
    token.expires_at_ms = NOW + 1;
    assert_true(authenticator_add(authenticator, &token));
    authenticate(authenticator, VIEW("Bearer token-of-a-moment"), NOW, &principal);
    assert_int_equal(principal.role, ROLE_DEPLOYER);
    assert_false(principal_ended(&principal, NOW));
    assert_true(principal_ended(&principal, NOW + 1));
    principal_release(&principal);
    authenticate(authenticator, VIEW("Bearer token-of-a-moment"), NOW + 1, &principal);
    assert_int_equal(principal.role, ROLE_NONE);
    assert_true(principal.expired);
    /* A wrong one is not told to have expired. */
    authenticate(authenticator, VIEW("Bearer token-of-a-momen"), NOW + 1, &principal);
    assert_false(principal.expired);
    authenticator_free(authenticator);
}

static void whoever_acts_with_a_token_learns_that_it_was_revoked(void **state)
{
    (void)state;
    struct authenticator *authenticator = authenticator_new();
    struct token token = described("ci", "token-of-the-ci", ROLE_DEPLOYER);
    struct principal principal;
    struct json *apps = json_new_array();
    json_append(apps, json_new_string(VIEW("shop-*")));
    token.apps = apps;
    snprintf(token.name, sizeof token.name, "the CI");
    assert_true(authenticator_add(authenticator, &token));
    json_free(apps);
    authenticate(authenticator, VIEW("Bearer token-of-the-ci"), NOW, &principal);
    assert_string_equal(principal.label, "ci (the CI)");
    principal_used(&principal, "192.0.2.1", NOW);
    assert_string_equal(authenticator_find(authenticator, VIEW("ci"))->last_used_from, "192.0.2.1");
    authenticator_remove(authenticator, "ci");
    assert_true(principal_ended(&principal, NOW));
    /* It keeps what it acts with. */
    assert_int_equal(json_count(principal_scope(&principal)), 1);
    principal_release(&principal);
    authenticator_free(authenticator);
}

static void only_loopback_names_are_this_machine(void **state)
{
    (void)state;
    static const char *const own[] = {"localhost",     "LOCALHOST:80", "127.0.0.1",
                                      "127.255.0.9:1", "[::1]",        "[::1]:8081"};
    static const char *const foreign[] = {"",
                                          "example.com",
                                          "localhost.example.com",
                                          "127.0.0.1.example.com",
                                          "127.0.0",
                                          "127.0.0.256",
                                          "127.0.0.1.1",
                                          "127.0.0.x",
                                          "[::2]",
                                          "128.0.0.1",
                                          "127.",
                                          "0.0.0.0",
                                          "[::1].evil",
                                          "localhost.",
                                          "127.0.0.1@evil"};
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        assert_true(host_is_loopback(view_of(own[i])));
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++)
        assert_false(host_is_loopback(view_of(foreign[i])));
}

static void only_our_own_pages_are_our_origin(void **state)
{
    (void)state;
    struct view host = VIEW("localhost:8081");
    assert_true(origin_is_own(VIEW(""), host));
    assert_true(origin_is_own(VIEW("http://localhost:8081"), host));
    assert_true(origin_is_own(VIEW("https://LOCALHOST:8081"), host));
    assert_false(origin_is_own(VIEW("http://localhost:3000"), host));
    assert_false(origin_is_own(VIEW("http://localhost"), host));
    assert_false(origin_is_own(VIEW("http://127.0.0.1:8081"), host));
    assert_false(origin_is_own(VIEW("null"), host));
    assert_false(origin_is_own(VIEW("file://"), host));
    assert_false(origin_is_own(VIEW("http://localhost:8081.example.com"), host));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_tokens_everybody_is_local),
        cmocka_unit_test(each_token_has_its_own_role),
        cmocka_unit_test(a_token_counts_until_it_expires),
        cmocka_unit_test(whoever_acts_with_a_token_learns_that_it_was_revoked),
        cmocka_unit_test(only_loopback_names_are_this_machine),
        cmocka_unit_test(only_our_own_pages_are_our_origin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
