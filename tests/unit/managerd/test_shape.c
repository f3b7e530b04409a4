/* Tests that shapes find every fault at once, merge as RFC 7396 says, and describe themselves. */
#include "managerd/endpoint.h"
#include "managerd/resources.h"
#include "managerd/shape.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct json *parse(const char *text)
{
    struct json *value = NULL;
    assert_int_equal(json_parse(view_of(text), 50, &value, NULL), ERROR_NONE);
    return value;
}

/* The pointers of all faults, in order, separated by spaces. */
static char *faults_of(const struct shape *shape, const char *text)
{
    struct arena arena;
    struct faults faults;
    struct buffer out;
    struct json *value = parse(text);
    arena_init(&arena, 1 << 20);
    faults_init(&faults, &arena);
    buffer_init(&out, 1 << 16);
    shape_check(shape, value, "", &faults);
    for (size_t i = 0; i < faults.count; i++) {
        buffer_append_string(&out, i ? " " : "");
        buffer_append_string(&out, faults.list[i].pointer);
    }
    json_free(value);
    arena_release(&arena);
    return buffer_take(&out, NULL);
}

static void expect_faults(const struct shape *shape, const char *text, const char *pointers)
{
    char *found = faults_of(shape, text);
    assert_string_equal(found, pointers);
    free(found);
}

static void expect_equal(struct json *value, const char *wanted_text)
{
    struct json *wanted = parse(wanted_text);
    if (!json_equal(value, wanted)) {
        struct buffer text;
        buffer_init(&text, 1 << 16);
        json_print(&text, value);
        fail_msg("got %s, wanted %s", text.data, wanted_text);
    }
    json_free(value);
    json_free(wanted);
}

static void every_fault_is_found_at_once(void **state)
{
    (void)state;
    expect_faults(&app_shape, "{}", "");
    expect_faults(&app_shape, "[]", "");
    expect_faults(&app_shape,
                  "{\"memoryMb\":1,\"bogus\":1,\"http\":{\"payloadFormat\":2,\"x/y~z\":1},"
                  "\"labels\":{\"a b\":\"\",\"c\":1},\"probe\":null,\"limits\":null}",
                  "/memoryMb /bogus /http/payloadFormat /http/x~1y~0z /labels/a b /labels/c "
                  "/limits");
    expect_faults(&traffic_shape,
                  "{\"versions\":[{\"version\":0,\"percent\":1},{\"percent\":101},3]}",
                  "/versions/0/version /versions/1/percent /versions/1/version /versions/2");
    expect_faults(&deployment_shape, "{\"traffic\":\"some\"}", "/traffic /package");
    expect_faults(&deployment_shape,
                  "{\"package\":{\"version\":1},\"traffic\":{\"percent\":10},"
                  "\"environment\":{\"A\":\"\",\"AWS_REGION\":\"\",\"FINE_1\":\"\"}}",
                  "/environment/A /environment/AWS_REGION");
}

static void read_only_members_are_accepted_and_dropped(void **state)
{
    (void)state;
    static const char text[] = "{\"name\":7,\"urls\":{},\"memoryMb\":256,\"revision\":[]}";
    expect_faults(&app_shape, text, "");
    struct json *value = parse(text);
    shape_drop_read_only(&app_shape, value);
    expect_equal(value, "{\"memoryMb\":256}");
}

static void missing_members_get_their_defaults_at_every_depth(void **state)
{
    (void)state;
    struct json *value = parse("{\"http\":{\"responseMode\":\"auto\"},\"probe\":null}");
    shape_fill(&app_shape, value);
    struct view format = VIEW("");
    assert_true(json_get_string(json_get(value, "http"), "payloadFormat", &format));
    assert_true(view_equal_string(format, "2.0"));
    assert_int_equal(json_type_of(json_get(value, "probe")), JSON_NULL);
    int64_t number = 0;
    assert_true(json_get_integer(json_get(value, "limits"), "maxInFlight", &number));
    assert_int_equal(number, 100);
    char *faults = faults_of(&app_shape, "{}");
    assert_string_equal(faults, "");
    free(faults);
    json_free(value);
}

static void a_merge_sets_resets_and_removes(void **state)
{
    (void)state;
    struct json *value = parse("{\"memoryMb\":512,\"labels\":{\"a\":\"1\",\"b\":\"2\"},"
                               "\"http\":{\"payloadFormat\":\"1.0\",\"responseMode\":\"auto\"},"
                               "\"probe\":{\"path\":\"/x\"}}");
    struct json *patch = parse("{\"memoryMb\":null,\"labels\":{\"a\":null,\"c\":\"3\"},"
                               "\"http\":{\"payloadFormat\":\"alb\"},\"probe\":null,\"extra\":1}");
    shape_merge(&app_shape, value, patch);
    json_free(patch);
    expect_equal(value, "{\"memoryMb\":128,\"labels\":{\"b\":\"2\",\"c\":\"3\"},"
                        "\"http\":{\"payloadFormat\":\"alb\",\"responseMode\":\"auto\"},"
                        "\"probe\":null,\"extra\":1}");
}

static void query_parameters_become_typed_values_or_faults(void **state)
{
    (void)state;
    struct arena arena;
    struct faults faults;
    arena_init(&arena, 1 << 20);
    faults_init(&faults, &arena);
    const struct shape_field *memory = shape_field(&app_shape, VIEW("memoryMb"));
    const struct shape_field *adopt = shape_field(&deployment_shape, VIEW("adopt"));
    expect_equal(shape_parse(memory, VIEW("256"), &faults), "256");
    expect_equal(shape_parse(adopt, VIEW("true"), &faults), "true");
    assert_int_equal(faults.count, 0);
    assert_null(shape_parse(memory, VIEW("lots"), &faults));
    assert_null(shape_parse(memory, VIEW("1.5"), &faults));
    assert_null(shape_parse(memory, VIEW(""), &faults));
    assert_null(shape_parse(adopt, VIEW("yes"), &faults));
    assert_int_equal(faults.count, 4);
    assert_string_equal(faults.list[0].parameter, "memoryMb");
    arena_release(&arena);
}

static void faults_beyond_the_ceiling_are_not_kept(void **state)
{
    (void)state;
    struct arena arena;
    struct faults faults;
    arena_init(&arena, 1 << 20);
    faults_init(&faults, &arena);
    for (int i = 0; i < 3 * FAULTS_MAX; i++)
        fault_pointer(&faults, "/x", "number %d", i);
    assert_int_equal(faults.count, FAULTS_MAX);
    arena_release(&arena);
}

static void defaults_and_examples_are_lawful_themselves(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * endpoint_count; i++) {
        const struct shape *shape = i % 2 ? endpoints[i / 2].takes : endpoints[i / 2].gives;
        if (!shape)
            continue;
        if (shape->example)
            expect_faults(shape, shape->example, "");
        for (size_t j = 0; j < shape->count; j++) {
            struct json *value = NULL;
            if (shape->fields[j].default_json)
                assert_int_equal(
                    json_parse(view_of(shape->fields[j].default_json), 10, &value, NULL),
                    ERROR_NONE);
            assert_non_null(shape->fields[j].description);
            json_free(value);
        }
    }
    struct json *app = json_new_object();
    struct buffer text;
    shape_fill(&app_shape, app);
    buffer_init(&text, 1 << 16);
    json_print(&text, app);
    /* function.name is chosen by the caller. */
    expect_faults(&app_shape, text.data, "");
    buffer_release(&text);
    json_free(app);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_fault_is_found_at_once),
        cmocka_unit_test(read_only_members_are_accepted_and_dropped),
        cmocka_unit_test(missing_members_get_their_defaults_at_every_depth),
        cmocka_unit_test(a_merge_sets_resets_and_removes),
        cmocka_unit_test(query_parameters_become_typed_values_or_faults),
        cmocka_unit_test(faults_beyond_the_ceiling_are_not_kept),
        cmocka_unit_test(defaults_and_examples_are_lawful_themselves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
