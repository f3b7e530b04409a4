/* Tests that environment variables are sealed for one app and one key. */
#include "common/base/file.h"
#include "managerd/records.h"
#include "managerd/secrets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

static char folder[64];

static int set_up(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/secrets.XXXXXX");
    assert_non_null(mkdtemp(folder));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    assert_int_equal(folder_remove(folder), ERROR_NONE);
    return 0;
}

static char *path_of(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static struct secrets *open_secrets(const char *name)
{
    struct secrets *secrets = NULL;
    struct buffer problem;
    buffer_init(&problem, 1024);
    assert_int_equal(secrets_open(NULL, path_of(name), &secrets, &problem), ERROR_NONE);
    buffer_release(&problem);
    return secrets;
}

static void what_is_sealed_comes_back_only_for_its_app_and_key(void **state)
{
    (void)state;
    struct secrets *secrets = open_secrets("one"), *other = open_secrets("two");
    struct json *variables = json_new_object(), *back = NULL;
    struct buffer text;
    json_set_string(variables, "PASSWORD", VIEW("hunter2"));
    struct json *sealed = secrets_seal(secrets, VIEW("hello"), variables);
    buffer_init(&text, 4096);
    json_print(&text, sealed);
    assert_null(strstr(text.data, "hunter2"));
    assert_non_null(strstr(text.data, "PASSWORD"));
    assert_int_equal(secrets_unseal(secrets, VIEW("hello"), sealed, &back), ERROR_NONE);
    assert_true(view_equal_string(text_of(back, "PASSWORD"), "hunter2"));
    json_free(back);
    assert_int_equal(secrets_unseal(secrets, VIEW("other"), sealed, &back), ERROR_DAMAGED);
    assert_int_equal(secrets_unseal(other, VIEW("hello"), sealed, &back), ERROR_DAMAGED);
    buffer_release(&text);
    json_free(sealed);
    json_free(variables);
    secrets_free(secrets);
    secrets_free(other);
}

static void the_key_is_made_once_and_is_private(void **state)
{
    (void)state;
    struct secrets *secrets = open_secrets("key");
    struct json *variables = json_new_object(), *back = NULL;
    struct stat status;
    json_set_string(variables, "A1", VIEW("x"));
    struct json *sealed = secrets_seal(secrets, VIEW("hello"), variables);
    secrets_free(secrets);
    assert_int_equal(stat(path_of("key"), &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    secrets = open_secrets("key");
    assert_int_equal(secrets_unseal(secrets, VIEW("hello"), sealed, &back), ERROR_NONE);
    json_free(back);
    json_free(sealed);
    json_free(variables);
    secrets_free(secrets);
}

static void a_key_file_that_is_none_is_refused_with_a_sentence(void **state)
{
    (void)state;
    struct secrets *secrets = NULL;
    struct buffer problem;
    buffer_init(&problem, 1024);
    assert_int_equal(file_write(path_of("short"), VIEW("abcd\n"), 0600), ERROR_NONE);
    assert_int_not_equal(secrets_open(path_of("short"), "", &secrets, &problem), ERROR_NONE);
    assert_non_null(strstr(problem.data, "64 hex digits"));
    assert_null(secrets);
    buffer_release(&problem);
}

static struct secrets *open_file(const char *name, const char *text)
{
    struct secrets *secrets = NULL;
    struct buffer problem;
    buffer_init(&problem, 1024);
    assert_int_equal(file_write(path_of(name), view_of(text), 0600), ERROR_NONE);
    assert_int_equal(secrets_open(path_of(name), "", &secrets, &problem), ERROR_NONE);
    buffer_release(&problem);
    return secrets;
}

#define OLD "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n"
#define NEW "ff23456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n"

static void with_two_keys_the_first_seals_and_both_open(void **state)
{
    (void)state;
    struct secrets *old = open_file("old", OLD), *both = open_file("both", NEW OLD);
    struct secrets *new = open_file("new", NEW);
    struct json *variables = json_new_object(), *back = NULL, *twice = json_new_array();
    struct resealed count = {0};
    json_set_string(variables, "PASSWORD", VIEW("hunter2"));
    struct json *sealed = secrets_seal(old, VIEW("hello"), variables);
    assert_int_equal(secrets_unseal(new, VIEW("hello"), sealed, &back), ERROR_DAMAGED);
    assert_int_equal(secrets_unseal(both, VIEW("hello"), sealed, &back), ERROR_NONE);
    json_free(back);
    /* What was equal stays equal. */
    json_append(twice, json_copy(sealed));
    json_append(twice, json_copy(sealed));
    secrets_reseal(both, VIEW("hello"), twice, &count);
    assert_int_equal(count.done, 2);
    assert_int_equal(count.unreadable, 0);
    assert_true(json_equal(json_first(twice), json_next(json_first(twice))));
    assert_false(json_equal(json_first(twice), sealed));
    assert_int_equal(secrets_unseal(new, VIEW("hello"), json_first(twice), &back), ERROR_NONE);
    assert_true(view_equal_string(text_of(back, "PASSWORD"), "hunter2"));
    json_free(back);
    assert_int_equal(secrets_unseal(old, VIEW("hello"), json_first(twice), &back), ERROR_DAMAGED);
    secrets_reseal(both, VIEW("hello"), twice, &count);
    assert_int_equal(count.done, 2);
    secrets_reseal(new, VIEW("hello"), sealed, &count);
    assert_int_equal(count.unreadable, 1);
    json_free(sealed);
    json_free(twice);
    json_free(variables);
    secrets_free(old);
    secrets_free(both);
    secrets_free(new);
}

static void a_fingerprint_tells_values_apart_and_not_what_they_are(void **state)
{
    (void)state;
    static const struct {
        const char *app, *variables;
        bool same;
    } rows[] = {{"hello", "{\"B\":\"2\",\"A\":\"1\"}", true},
                {"hello", "{\"A\":\"1\",\"B\":\"3\"}", false},
                {"hello", "{\"A\":\"1\"}", false},
                {"hello", "{\"A\":\"1B\",\"\":\"2\"}", false},
                {"hello", "{\"A\":\"2\",\"B\":\"1\"}", false},
                {"other", "{\"A\":\"1\",\"B\":\"2\"}", false}};
    struct secrets *secrets = open_file("old", OLD), *another = open_file("new", NEW);
    struct json *variables = NULL;
    char first[SECRETS_FINGERPRINT_SIZE], second[SECRETS_FINGERPRINT_SIZE];
    assert_int_equal(json_parse(VIEW("{\"A\":\"1\",\"B\":\"2\"}"), 3, &variables, NULL),
                     ERROR_NONE);
    secrets_fingerprint(secrets, VIEW("hello"), variables, first);
    assert_int_equal(strlen(first), 32);
    secrets_fingerprint(another, VIEW("hello"), variables, second);
    assert_string_not_equal(first, second);
    json_free(variables);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(json_parse(view_of(rows[i].variables), 3, &variables, NULL), ERROR_NONE);
        secrets_fingerprint(secrets, view_of(rows[i].app), variables, second);
        assert_int_equal(strcmp(first, second) == 0, rows[i].same);
        json_free(variables);
    }
    secrets_fingerprint(secrets, VIEW("hello"), NULL, second); /* none at all */
    assert_string_not_equal(first, second);
    secrets_free(secrets);
    secrets_free(another);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_fingerprint_tells_values_apart_and_not_what_they_are,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_sealed_comes_back_only_for_its_app_and_key, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(with_two_keys_the_first_seals_and_both_open, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_key_is_made_once_and_is_private, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_key_file_that_is_none_is_refused_with_a_sentence, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
