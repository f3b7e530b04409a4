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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_sealed_comes_back_only_for_its_app_and_key, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_key_is_made_once_and_is_private, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_key_file_that_is_none_is_refused_with_a_sentence, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
