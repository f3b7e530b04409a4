/* Takes credentials from the environment, whole or not at all, and shares them by count. */
#include "common/aws/credentials.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void environment(const char *key, const char *secret, const char *token)
{
    const struct {
        const char *name, *value;
    } rows[] = {{"AWS_ACCESS_KEY_ID", key},
                {"AWS_SECRET_ACCESS_KEY", secret},
                {"AWS_SESSION_TOKEN", token},
                {"AWS_SECURITY_TOKEN", NULL}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].value)
            assert_int_equal(setenv(rows[i].name, rows[i].value, 1), 0);
        else
            assert_int_equal(unsetenv(rows[i].name), 0);
    }
}

static void never_called(struct credentials *credentials, enum error error, void *context)
{
    (void)credentials;
    (void)error;
    (void)context;
    fail_msg("the environment answers at once");
}

static void expect_error(enum error expected, const char *sentence_part)
{
    struct credentials_provider *provider;
    struct buffer problem;

    buffer_init(&problem, 1024);
    assert_int_equal(credentials_provider_new(NULL, &provider, &problem), expected);
    assert_null(provider);
    assert_non_null(strstr(problem.data, sentence_part));
    buffer_release(&problem);
}

static void a_key_and_its_secret_are_given_at_once(void **state)
{
    struct credentials_provider *provider;
    struct credentials *first, *second;
    struct buffer problem;

    (void)state;
    buffer_init(&problem, 1024);
    environment("AKIDEXAMPLE", "secret/+", "token==");
    assert_int_equal(credentials_provider_new(NULL, &provider, &problem), ERROR_NONE);
    assert_string_equal(credentials_provider_name(provider), "environment");
    first = credentials_get(provider, never_called, NULL);
    second = credentials_get(provider, never_called, NULL);
    assert_ptr_equal(first, second);
    assert_true(view_equal_string(first->access_key_id, "AKIDEXAMPLE"));
    assert_true(view_equal_string(first->secret_access_key, "secret/+"));
    assert_true(view_equal_string(first->session_token, "token=="));
    assert_true(first->expires_at_ms == INT64_MAX);
    credentials_provider_free(provider);
    assert_true(view_equal_string(second->session_token, "token=="));
    credentials_release(first);
    credentials_release(second);
    buffer_release(&problem);
}

static void write_text(char path[64], const char *text)
{
    int descriptor;

    snprintf(path, 64, "/tmp/test_credentials.XXXXXX");
    descriptor = mkstemp(path);
    assert_true(descriptor >= 0 && write(descriptor, text, strlen(text)) == (ssize_t)strlen(text));
    close(descriptor);
}

static void parts_may_lie_in_files(void **state)
{
    struct credentials_provider *provider;
    struct credentials *credentials;
    struct buffer problem;
    char key[64], secret[64];

    (void)state;
    buffer_init(&problem, 1024);
    write_text(key, "AKIDFILE\r\n");
    write_text(secret, "from/file");
    environment(NULL, "", "token==");
    setenv("AWS_ACCESS_KEY_ID_FILE", key, 1);
    setenv("AWS_SECRET_ACCESS_KEY_FILE", secret, 1);
    setenv("AWS_SESSION_TOKEN_FILE", "/nowhere", 1); /* the variable itself is set */
    assert_int_equal(credentials_provider_new(NULL, &provider, &problem), ERROR_NONE);
    credentials = credentials_get(provider, never_called, NULL);
    assert_true(view_equal_string(credentials->access_key_id, "AKIDFILE"));
    assert_true(view_equal_string(credentials->secret_access_key, "from/file"));
    assert_true(view_equal_string(credentials->session_token, "token=="));
    credentials_release(credentials);
    credentials_provider_free(provider);
    unlink(secret);
    expect_error(ERROR_NOT_FOUND, "AWS_SECRET_ACCESS_KEY_FILE names the file /tmp/");
    unlink(key);
    unsetenv("AWS_ACCESS_KEY_ID_FILE");
    unsetenv("AWS_SECRET_ACCESS_KEY_FILE");
    unsetenv("AWS_SESSION_TOKEN_FILE");
    buffer_release(&problem);
}

static void the_token_has_an_old_name_too(void **state)
{
    struct credentials_provider *provider;
    struct credentials *credentials;
    struct buffer problem;

    (void)state;
    buffer_init(&problem, 1024);
    environment("AKIDEXAMPLE", "secret", "");
    assert_int_equal(setenv("AWS_SECURITY_TOKEN", "old", 1), 0);
    assert_int_equal(credentials_provider_new(NULL, &provider, &problem), ERROR_NONE);
    credentials = credentials_get(provider, never_called, NULL);
    assert_true(view_equal_string(credentials->session_token, "old"));
    credentials_release(credentials);
    credentials_provider_free(provider);
}

static void nothing_configured_is_not_found(void **state)
{
    (void)state;
    environment(NULL, NULL, NULL);
    expect_error(ERROR_NOT_FOUND, "AWS_ACCESS_KEY_ID");
    environment("", "", "token");
    expect_error(ERROR_NOT_FOUND, "AWS_SECRET_ACCESS_KEY");
}

static void half_of_a_pair_is_invalid(void **state)
{
    (void)state;
    environment("AKIDEXAMPLE", NULL, NULL);
    expect_error(ERROR_INVALID, "AWS_SECRET_ACCESS_KEY is not");
    environment("", "secret", NULL);
    expect_error(ERROR_INVALID, "AWS_ACCESS_KEY_ID is not");
}

static void what_would_break_a_header_line_is_invalid_and_not_repeated(void **state)
{
    struct credentials_provider *provider;
    struct buffer problem;

    (void)state;
    environment("AKIDEXAMPLE", "secret", "token\r\nX-Evil: 1");
    expect_error(ERROR_INVALID, "line end");
    environment("AKID,EXAMPLE", "secret", NULL);
    expect_error(ERROR_INVALID, "no key has");
    environment("AKIDEXAMPLE", "sec ret", NULL);
    buffer_init(&problem, 1024);
    assert_int_equal(credentials_provider_new(NULL, &provider, &problem), ERROR_INVALID);
    assert_null(strstr(problem.data, "sec ret"));
    buffer_release(&problem);
}

static void snapshots_have_serials_of_their_own(void **state)
{
    struct credentials *a = credentials_new(VIEW("a"), VIEW("b"), VIEW(""), 1);
    struct credentials *b = credentials_new(VIEW("a"), VIEW("b"), VIEW(""), 1);

    (void)state;
    assert_true(a->serial != b->serial && a->serial != 0 && b->serial != 0);
    credentials_release(a);
    credentials_release(b);
    credentials_release(NULL);
}

static void *hold_and_release(void *argument)
{
    struct credentials *credentials = argument;

    for (int i = 0; i < 10000; i++) {
        struct credentials *held = credentials_hold(credentials);

        if (held->access_key_id.length != 3)
            abort();
        credentials_release(held);
    }
    credentials_release(credentials);
    return NULL;
}

static void snapshots_are_shared_between_threads(void **state)
{
    struct credentials *credentials = credentials_new(VIEW("key"), VIEW("s"), VIEW(""), 1);
    pthread_t threads[4];

    (void)state;
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, hold_and_release, credentials_hold(credentials)), 0);
    credentials_release(credentials);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_and_its_secret_are_given_at_once),
        cmocka_unit_test(parts_may_lie_in_files),
        cmocka_unit_test(the_token_has_an_old_name_too),
        cmocka_unit_test(nothing_configured_is_not_found),
        cmocka_unit_test(half_of_a_pair_is_invalid),
        cmocka_unit_test(what_would_break_a_header_line_is_invalid_and_not_repeated),
        cmocka_unit_test(snapshots_have_serials_of_their_own),
        cmocka_unit_test(snapshots_are_shared_between_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
