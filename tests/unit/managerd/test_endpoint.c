/* Tests of the endpoint table, and that the OpenAPI document says the same. */
#include "managerd/endpoint.h"
#include "managerd/openapi.h"
#include "managerd/records.h"
#include "managerd/resources.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const char *id_of(const char *method, const char *path, struct buffer *allow,
                         struct endpoint_parameters *parameters)
{
    const struct endpoint *endpoint =
        endpoint_find(view_of(method), view_of(path), parameters, allow);
    return endpoint ? endpoint->id : "";
}

static void method_and_path_find_their_row(void **state)
{
    (void)state;
    struct buffer allow;
    struct endpoint_parameters parameters;
    buffer_init(&allow, 256);
    assert_string_equal(id_of("GET", "/v1/apps", &allow, &parameters), "listApps");
    assert_string_equal(id_of("PUT", "/v1/apps/hello", &allow, &parameters), "putApp");
    assert_true(view_equal_string(parameters.values[0], "hello"));
    assert_string_equal(id_of("DELETE", "/v1/apps/a/versions/3", &allow, &parameters),
                        "deleteVersion");
    assert_int_equal(parameters.count, 2);
    assert_true(view_equal_string(parameters.values[1], "3"));
    assert_string_equal(id_of("POST", "/apps/deploy", &allow, &parameters), "compatibilityDeploy");
    assert_string_equal(id_of("GET", "/", &allow, &parameters), "getHome");
    buffer_release(&allow);
}

static void what_is_not_there_has_no_methods_and_what_is_lists_them(void **state)
{
    (void)state;
    struct buffer allow;
    struct endpoint_parameters parameters;
    buffer_init(&allow, 256);
    static const char *const nothing[] = {
        "/v1", "/v1/apps/",      "/v1/apps//status", "//v1/apps", "/v1/apps/a/versions/1/x",
        "",    "/v1/operations/"};
    for (size_t i = 0; i < sizeof nothing / sizeof nothing[0]; i++) {
        assert_string_equal(id_of("GET", nothing[i], &allow, &parameters), "");
        assert_int_equal(allow.length, 0);
    }
    assert_string_equal(id_of("POST", "/v1/apps/a", &allow, &parameters), "");
    assert_string_equal(allow.data, "GET, HEAD, PUT, PATCH, DELETE, OPTIONS");
    buffer_release(&allow);
}

static void no_two_rows_have_the_same_id_or_the_same_call(void **state)
{
    (void)state;
    for (size_t i = 0; i < endpoint_count; i++)
        for (size_t j = 0; j < i; j++) {
            assert_string_not_equal(endpoints[i].id, endpoints[j].id);
            assert_true(strcmp(endpoints[i].method, endpoints[j].method) != 0 ||
                        strcmp(endpoints[i].pattern, endpoints[j].pattern) != 0);
        }
}

static void only_these_pages_are_open_without_a_token(void **state)
{
    (void)state;
    static const char open[] = " / /console/{build}/{file} /healthz /readyz /openapi.json /schemas "
                               "/schemas/{file} /problems/{slug} ";
    for (size_t i = 0; i < endpoint_count; i++) {
        char needle[128];
        snprintf(needle, sizeof needle, " %s ", endpoints[i].pattern);
        assert_int_equal(endpoints[i].role == ROLE_NONE, strstr(open, needle) != NULL);
        bool reads = strcmp(endpoints[i].method, "GET") == 0;
        if (!reads)
            assert_true(endpoints[i].role >= ROLE_DEPLOYER);
    }
}

static bool described_as(const struct json *schemas, const char *shape, const char *suffix,
                         const char *other)
{
    char names[2][128];
    snprintf(names[0], sizeof names[0], "%s%s", shape, suffix);
    snprintf(names[1], sizeof names[1], "%s%s", shape, other);
    return json_get(schemas, names[0]) || json_get(schemas, names[1]);
}

static void the_document_has_every_row_and_nothing_else(void **state)
{
    (void)state;
    struct buffer text;
    struct json *document = NULL;
    size_t rows = 0, described = 0;
    buffer_init(&text, OPENAPI_MAX_BYTES);
    openapi_write(&text);
    assert_int_equal(text.error, ERROR_NONE);
    assert_int_equal(json_parse(buffer_view(&text), 50, &document, NULL), ERROR_NONE);
    const struct json *paths = json_get(document, "paths");
    for (size_t i = 0; i < endpoint_count; i++) {
        const struct endpoint *endpoint = &endpoints[i];
        char method[8] = "";
        for (size_t c = 0; endpoint->method[c]; c++)
            method[c] = (char)(endpoint->method[c] | 0x20);
        const struct json *operation = json_get(json_get(paths, endpoint->pattern), method);
        if (endpoint->flags & ENDPOINT_HIDDEN)
            continue;
        rows++;
        assert_true(view_equal_string(text_of(operation, "operationId"), endpoint->id));
        assert_int_equal(json_get(operation, "requestBody") != NULL, endpoint->takes != NULL);
        assert_int_equal(json_get(operation, "security") != NULL, endpoint->role == ROLE_NONE);
    }
    for (const struct json *path = json_first(paths); path; path = json_next(path))
        described += json_count(path);
    assert_int_equal(rows, described);
    const struct json *schemas = json_get(json_get(document, "components"), "schemas");
    for (size_t i = 0; i < endpoint_count; i++) {
        if (endpoints[i].takes)
            assert_true(described_as(schemas, endpoints[i].takes->name, "", "Input"));
        if (endpoints[i].flags & ENDPOINT_MERGE_PATCH)
            assert_true(described_as(schemas, endpoints[i].takes->name, "Patch", "Patch"));
        if (endpoints[i].gives)
            assert_true(described_as(schemas, endpoints[i].gives->name, "", ""));
    }
    json_free(document);
    buffer_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(method_and_path_find_their_row),
        cmocka_unit_test(what_is_not_there_has_no_methods_and_what_is_lists_them),
        cmocka_unit_test(no_two_rows_have_the_same_id_or_the_same_call),
        cmocka_unit_test(only_these_pages_are_open_without_a_token),
        cmocka_unit_test(the_document_has_every_row_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
