/* Tests of what the audit tells of a change. */
#include "managerd/disclosure.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct json *parse(const char *text)
{
    struct json *value = NULL;
    if (text)
        assert_int_equal(json_parse(view_of(text), 30, &value, NULL), ERROR_NONE);
    return value;
}

static void expect(const char *before, const char *after, const char *members)
{
    struct json *old = parse(before), *new = parse(after), *found = disclose(old, new);
    struct buffer text;
    buffer_init(&text, 1u << 20);
    json_print(&text, found);
    buffer_append_byte(&text, 0);
    assert_string_equal(text.data, members);
    buffer_release(&text);
    json_free(old);
    json_free(new);
    json_free(found);
}

static void only_what_is_another_is_told_by_pointer(void **state)
{
    (void)state;
    expect("{\"a\":1,\"b\":{\"c\":true,\"d\":2}}", "{\"a\":1,\"b\":{\"c\":false,\"d\":2}}",
           "[{\"pointer\":\"/b/c\",\"before\":true,\"after\":false}]");
    expect("{\"a\":1}", "{\"a\":1}", "[]");
    expect("{\"a/b~\":1}", "{}", "[{\"pointer\":\"/a~1b~0\",\"before\":1,\"after\":null}]");
    expect("{\"updatedAt\":\"x\"}", "{\"updatedAt\":\"y\"}", "[]");
    expect("{\"l\":[1,2]}", "{\"l\":[1]}", "[{\"pointer\":\"/l\",\"before\":[1,2],\"after\":[1]}]");
    expect("{\"o\":{\"a\":1}}", "{\"o\":null}",
           "[{\"pointer\":\"/o/a\",\"before\":1,\"after\":null}]");
    expect("{\"o\":{\"a\":1}}", "{\"o\":3}",
           "[{\"pointer\":\"/o\",\"before\":{\"a\":1},\"after\":3}]");
    expect(NULL, "{\"a\":1,\"n\":null}", "[{\"pointer\":\"/a\",\"before\":null,\"after\":1}]");
}

static void secrets_are_fingerprints_even_sealed_ones(void **state)
{
    (void)state;
    expect("{\"e\":{\"sealed\":null}}", "{\"e\":{\"sealed\":\"c2VjcmV0\",\"sha256\":\"abc\"}}",
           "[{\"pointer\":\"/e/sealed\",\"before\":null,\"after\":{\"fingerprint\":"
           "\"a86569ad90e91838bca373af15b79b28\",\"bytes\":10}},{\"pointer\":\"/e/sha256\","
           "\"before\":null,\"after\":{\"fingerprint\":\"6cc43f858fbb763301637b5af970e2a4\","
           "\"bytes\":5}}]");
}

static void what_is_long_or_much_is_cut(void **state)
{
    (void)state;
    struct json *many = json_new_object(), *none = json_new_object(), *found;
    char name[16];
    for (int i = 0; i < 2 * DISCLOSURE_MAX_MEMBERS; i++) {
        snprintf(name, sizeof name, "m%d", i);
        json_set_integer(many, name, i);
    }
    found = disclose(none, many);
    assert_int_equal(json_count(found), DISCLOSURE_MAX_MEMBERS + 1);
    json_free(found);
    found = disclose(many, none);
    assert_int_equal(json_count(found), DISCLOSURE_MAX_MEMBERS + 1);
    json_free(found);
    json_free(many);
    many = json_new_object();
    static char text[1000];
    memset(text, 'x', sizeof text);
    json_set_string(many, "text", view_from(text, sizeof text));
    found = disclose(none, many);
    int64_t bytes = 0;
    assert_true(json_get_integer(json_get(json_first(found), "after"), "bytes", &bytes));
    assert_int_equal(bytes, 1002);
    json_free(found);
    json_free(many);
    json_free(none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_is_another_is_told_by_pointer),
        cmocka_unit_test(secrets_are_fingerprints_even_sealed_ones),
        cmocka_unit_test(what_is_long_or_much_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
