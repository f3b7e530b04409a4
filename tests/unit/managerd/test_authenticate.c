/* Tests of tokens, and of what counts as this machine itself. */
#include "managerd/authenticate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static enum role role_for(struct authenticator *authenticator, const char *header)
{
    struct principal principal;
    authenticate(authenticator, view_of(header), &principal);
    return principal.role;
}

static void add(struct authenticator *authenticator, const char *id, const char *token,
                enum role role)
{
    char hash[65];
    token_hash(view_of(token), hash);
    assert_true(authenticator_add(authenticator, id, role, view_of(hash)));
}

static void without_tokens_everybody_is_local(void **state)
{
    (void)state;
    struct authenticator *authenticator = authenticator_new();
    struct principal principal;
    assert_true(authenticator_open(authenticator));
    authenticate(authenticator, VIEW(""), &principal);
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
    assert_false(authenticator_add(authenticator, "bad", ROLE_ADMIN, VIEW("no hash")));
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
        cmocka_unit_test(only_loopback_names_are_this_machine),
        cmocka_unit_test(only_our_own_pages_are_our_origin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
