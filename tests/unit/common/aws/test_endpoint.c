/* Resolves endpoints from the SDKs' variables: whose word counts, and what is refused. */
#include "common/aws/endpoint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* "NAME=value" rows, of which the last is NULL. */
static const char *const *variables;

static const char *variable(const char *name)
{
    size_t length = strlen(name);

    for (size_t i = 0; variables[i]; i++)
        if (strncmp(variables[i], name, length) == 0 && variables[i][length] == '=')
            return variables[i] + length + 1;
    return NULL;
}

static void expect_url(const char *service, const char *const *rows, const char *url,
                       const char *host, const char *path)
{
    struct endpoint endpoint;
    struct buffer problem;
    struct arena arena;

    variables = rows;
    arena_init(&arena, 16384);
    buffer_init(&problem, 1024);
    assert_int_equal(endpoint_resolve(service, variable, &arena, &endpoint, &problem), ERROR_NONE);
    assert_string_equal(endpoint.url.data, url);
    assert_int_equal(endpoint.url.length, strlen(url));
    assert_int_equal(endpoint.host.length, strlen(host));
    assert_memory_equal(endpoint.host.data, host, endpoint.host.length);
    assert_true(view_equal_string(endpoint.path, path));
    assert_int_equal(endpoint.tls, strncmp(url, "https", 5) == 0);
    assert_int_equal(problem.length, 0);
    buffer_release(&problem);
    arena_release(&arena);
}

static void expect_error(const char *const *rows, enum error error, const char *sentence_part)
{
    struct endpoint endpoint;
    struct buffer problem;
    struct arena arena;

    variables = rows;
    arena_init(&arena, 16384);
    buffer_init(&problem, 1024);
    assert_int_equal(endpoint_resolve("lambda", variable, &arena, &endpoint, &problem), error);
    assert_non_null(strstr(problem.data, sentence_part));
    buffer_release(&problem);
    arena_release(&arena);
}

#define ROWS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void a_region_is_enough(void **state)
{
    (void)state;
    expect_url("lambda", ROWS("AWS_REGION=us-east-1"), "https://lambda.us-east-1.amazonaws.com",
               "lambda.us-east-1.amazonaws.com", "");
    expect_url("sts", ROWS("AWS_DEFAULT_REGION=eu-west-1"), "https://sts.eu-west-1.amazonaws.com",
               "sts.eu-west-1.amazonaws.com", "");
    expect_url("logs", ROWS("AWS_REGION=eu-west-1", "AWS_DEFAULT_REGION=us-east-1"),
               "https://logs.eu-west-1.amazonaws.com", "logs.eu-west-1.amazonaws.com", "");
    expect_url("lambda", ROWS("AWS_REGION=cn-north-1"),
               "https://lambda.cn-north-1.amazonaws.com.cn", "lambda.cn-north-1.amazonaws.com.cn",
               "");
    expect_url("lambda", ROWS("AWS_REGION=us-isob-east-1"),
               "https://lambda.us-isob-east-1.sc2s.sgov.gov", "lambda.us-isob-east-1.sc2s.sgov.gov",
               "");
}

static void fips_and_dual_stack_change_the_host(void **state)
{
    (void)state;
    expect_url("lambda", ROWS("AWS_REGION=us-east-1", "AWS_USE_FIPS_ENDPOINT=true"),
               "https://lambda-fips.us-east-1.amazonaws.com", "lambda-fips.us-east-1.amazonaws.com",
               "");
    expect_url("lambda", ROWS("AWS_REGION=us-east-1", "AWS_USE_DUALSTACK_ENDPOINT=TRUE"),
               "https://lambda.us-east-1.api.aws", "lambda.us-east-1.api.aws", "");
    expect_url("lambda", ROWS("AWS_REGION=cn-north-1", "AWS_USE_DUALSTACK_ENDPOINT=true"),
               "https://lambda.cn-north-1.api.amazonwebservices.com.cn",
               "lambda.cn-north-1.api.amazonwebservices.com.cn", "");
    expect_url("s3",
               ROWS("AWS_REGION=us-east-1", "AWS_USE_DUALSTACK_ENDPOINT=true",
                    "AWS_USE_FIPS_ENDPOINT=true"),
               "https://s3-fips.dualstack.us-east-1.amazonaws.com",
               "s3-fips.dualstack.us-east-1.amazonaws.com", "");
    expect_url("lambda", ROWS("AWS_REGION=us-east-1", "AWS_USE_FIPS_ENDPOINT=false"),
               "https://lambda.us-east-1.amazonaws.com", "lambda.us-east-1.amazonaws.com", "");
    expect_error(ROWS("AWS_REGION=us-iso-east-1", "AWS_USE_DUALSTACK_ENDPOINT=true"), ERROR_INVALID,
                 "us-iso-east-1");
}

static void the_services_own_variable_goes_before_the_general_one(void **state)
{
    const char *const *rows =
        ROWS("AWS_REGION=us-east-1", "AWS_ENDPOINT_URL=http://127.0.0.1:1",
             "AWS_ENDPOINT_URL_LAMBDA=http://127.0.0.1:2/", "AWS_ENDPOINT_URL_STS= ");

    (void)state;
    expect_url("lambda", rows, "http://127.0.0.1:2", "127.0.0.1:2", "");
    expect_url("sts", rows, "http://127.0.0.1:1", "127.0.0.1:1", "");
    expect_url(
        "logs",
        ROWS("AWS_REGION=us-east-1", "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS=https://Logs.Example:443"),
        "https://logs.example", "logs.example", "");
    expect_url("lambda",
               ROWS("AWS_REGION=us-east-1", "AWS_ENDPOINT_URL=http://127.0.0.1:1",
                    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=true"),
               "https://lambda.us-east-1.amazonaws.com", "lambda.us-east-1.amazonaws.com", "");
}

static void a_custom_endpoint_keeps_its_path_and_loses_its_default_port(void **state)
{
    (void)state;
    expect_url("lambda", ROWS("AWS_REGION=r", "AWS_ENDPOINT_URL=HTTP://Host.Test:80/a/B/"),
               "http://host.test/a/B", "host.test", "/a/B");
    expect_url("lambda", ROWS("AWS_REGION=r", "AWS_ENDPOINT_URL=https://host.test:80"),
               "https://host.test:80", "host.test:80", "");
    expect_url("lambda", ROWS("AWS_REGION=r", "AWS_ENDPOINT_URL=http://[::1]:9000"),
               "http://[::1]:9000", "[::1]:9000", "");
    expect_url("lambda", ROWS("AWS_REGION=r", "AWS_ENDPOINT_URL=http://[::1]"), "http://[::1]",
               "[::1]", "");
}

static void no_region_is_not_found_and_a_strange_one_is_invalid(void **state)
{
    (void)state;
    expect_error(ROWS("AWS_REGION="), ERROR_NOT_FOUND, "AWS_REGION");
    expect_error(ROWS("AWS_REGION=us/east"), ERROR_INVALID, "us/east");
    expect_error(ROWS("AWS_REGION=evil.test"), ERROR_INVALID, "evil.test");
    expect_error(ROWS("AWS_REGION=-a"), ERROR_INVALID, "-a");
    expect_error(
        ROWS("AWS_REGION=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
        ERROR_INVALID, "region");
}

static void what_is_no_plain_url_is_invalid(void **state)
{
    static const char *const bad[] = {
        "AWS_ENDPOINT_URL=127.0.0.1:9000",
        "AWS_ENDPOINT_URL=ftp://host",
        "AWS_ENDPOINT_URL=http://",
        "AWS_ENDPOINT_URL=http:///path",
        "AWS_ENDPOINT_URL=http://host:",
        "AWS_ENDPOINT_URL=http://host:0",
        "AWS_ENDPOINT_URL=http://host:080",
        "AWS_ENDPOINT_URL=http://host:65536",
        "AWS_ENDPOINT_URL=http://host:1:2",
        "AWS_ENDPOINT_URL=http://user@host",
        "AWS_ENDPOINT_URL=http://host/?query",
        "AWS_ENDPOINT_URL=http://host/#fragment",
        "AWS_ENDPOINT_URL=http://host?query",
        "AWS_ENDPOINT_URL=http://ho st",
        "AWS_ENDPOINT_URL=http://host/a b",
        "AWS_ENDPOINT_URL=http://[::1",
        "AWS_ENDPOINT_URL=http://[]",
        "AWS_ENDPOINT_URL=http://::1",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        expect_error(ROWS("AWS_REGION=us-east-1", bad[i]), ERROR_INVALID, "AWS_ENDPOINT_URL");
}

static char config_row[64];

static void write_config(const char *text)
{
    static char path[] = "/tmp/test_endpoint.config";
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0 && fclose(file) == 0);
    snprintf(config_row, sizeof config_row, "AWS_CONFIG_FILE=%s", path);
}

static void the_profile_says_what_variables_do_not(void **state)
{
    (void)state;
    write_config("[default]\nregion = eu-west-1\nuse_fips_endpoint = true\n"
                 "[profile dual]\nregion = eu-west-2\nuse_dualstack_endpoint = true\n");
    expect_url("lambda", (const char *const[]){config_row, NULL},
               "https://lambda-fips.eu-west-1.amazonaws.com", "lambda-fips.eu-west-1.amazonaws.com",
               "");
    expect_url("sts", (const char *const[]){config_row, "AWS_PROFILE=dual", NULL},
               "https://sts.eu-west-2.api.aws", "sts.eu-west-2.api.aws", "");
    expect_url("lambda",
               (const char *const[]){config_row, "AWS_REGION=us-east-1",
                                     "AWS_USE_FIPS_ENDPOINT=false", NULL},
               "https://lambda.us-east-1.amazonaws.com", "lambda.us-east-1.amazonaws.com", "");
}

static void services_sections_count_before_the_profile_and_after_variables(void **state)
{
    (void)state;
    write_config("[default]\nregion = r\nendpoint_url = http://all:1\nservices = here\n"
                 "[services here]\nlambda =\n  endpoint_url = http://own:2/x\ncloudwatch_logs =\n"
                 "  endpoint_url = http://logs:3\n");
    expect_url("lambda", (const char *const[]){config_row, NULL}, "http://own:2/x", "own:2", "/x");
    expect_url("logs", (const char *const[]){config_row, NULL}, "http://logs:3", "logs:3", "");
    expect_url("sts", (const char *const[]){config_row, NULL}, "http://all:1", "all:1", "");
    expect_url("lambda", (const char *const[]){config_row, "AWS_ENDPOINT_URL=http://env:4", NULL},
               "http://env:4", "env:4", "");
    expect_url("lambda",
               (const char *const[]){config_row, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=true", NULL},
               "https://lambda.r.amazonaws.com", "lambda.r.amazonaws.com", "");
    write_config("[default]\nregion = r\nendpoint_url = ftp://x\n");
    expect_error((const char *const[]){config_row, NULL}, ERROR_INVALID,
                 "The endpoint_url of the profile does not begin with");
    write_config("no section\n");
    expect_error((const char *const[]){config_row, NULL}, ERROR_INVALID,
                 "line 1 comes before the first [section]");
}

static void certificates_are_named_by_the_variable_or_the_profile(void **state)
{
    struct buffer problem;
    struct arena arena;
    const char *path;

    (void)state;
    arena_init(&arena, 16384);
    buffer_init(&problem, 1024);
    write_config("[default]\nca_bundle = /profile.pem\n");
    variables = (const char *const[]){config_row, NULL};
    assert_int_equal(endpoint_ca_file(variable, &arena, &path, &problem), ERROR_NONE);
    assert_string_equal(path, "/profile.pem");
    variables = (const char *const[]){config_row, "AWS_CA_BUNDLE=/variable.pem", NULL};
    assert_int_equal(endpoint_ca_file(variable, &arena, &path, &problem), ERROR_NONE);
    assert_string_equal(path, "/variable.pem");
    variables = (const char *const[]){NULL};
    assert_int_equal(endpoint_ca_file(variable, &arena, &path, &problem), ERROR_NONE);
    assert_null(path);
    unlink("/tmp/test_endpoint.config");
    buffer_release(&problem);
    arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_region_is_enough),
        cmocka_unit_test(fips_and_dual_stack_change_the_host),
        cmocka_unit_test(the_services_own_variable_goes_before_the_general_one),
        cmocka_unit_test(a_custom_endpoint_keeps_its_path_and_loses_its_default_port),
        cmocka_unit_test(no_region_is_not_found_and_a_strange_one_is_invalid),
        cmocka_unit_test(what_is_no_plain_url_is_invalid),
        cmocka_unit_test(the_profile_says_what_variables_do_not),
        cmocka_unit_test(services_sections_count_before_the_profile_and_after_variables),
        cmocka_unit_test(certificates_are_named_by_the_variable_or_the_profile),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
