/* Tests of Lambda's own settings: what they want of one another, and that AWS's words come back as ours. */
#include "managerd/lambda_settings.h"
#include "managerd/records.h"
#include "managerd/resources.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define LAYER "arn:aws:lambda:us-east-1:000000000000:layer:tools:3"
#define ALL                                                                                        \
    "{\"function\":{\"name\":\"hello\"},\"layers\":[\"" LAYER "\"],\"vpc\":{\"subnetIds\":["       \
    "\"subnet-b\",\"subnet-a\"],\"securityGroupIds\":[\"sg-1\"],\"ipv6\":true},"                   \
    "\"ephemeralStorageMb\":1024,\"tracing\":\"active\",\"logging\":{\"format\":\"json\","         \
    "\"applicationLevel\":\"debug\",\"systemLevel\":null,\"group\":\"shared\"},"                   \
    "\"snapStart\":true,\"kmsKeyArn\":\"arn:k\",\"deadLetterArn\":\"arn:d\"}"

static struct json *json_of(const char *text)
{
    struct json *json = NULL;
    assert_int_equal(json_parse(view_of(text), 20, &json, NULL), ERROR_NONE);
    return json;
}

static struct json *written(const char *version)
{
    struct json *record = json_of(version), *document;
    struct json_writer w;
    struct buffer out;
    buffer_init(&out, 10000);
    json_begin(&w, &out);
    json_open_object(&w, NULL);
    lambda_settings_write(&w, record, VIEW("hello"));
    json_close_object(&w);
    document = json_of(out.data);
    buffer_release(&out);
    json_free(record);
    return document;
}

static void is_written(const char *version, const char *expected)
{
    struct json *document = written(version), *wanted = json_of(expected);
    assert_true(json_equal(document, wanted));
    json_free(document);
    json_free(wanted);
}

static void aws_is_told_the_defaults_too(void **state)
{
    static const char defaults[] =
        "{\"Layers\":[],\"VpcConfig\":{\"SubnetIds\":[],\"SecurityGroupIds\":[]},"
        "\"EphemeralStorage\":{\"Size\":512},\"TracingConfig\":{\"Mode\":\"PassThrough\"},"
        "\"LoggingConfig\":{\"LogFormat\":\"Text\",\"LogGroup\":\"/aws/lambda/hello\"},"
        "\"SnapStart\":{\"ApplyOn\":\"None\"},\"KMSKeyArn\":\"\","
        "\"DeadLetterConfig\":{\"TargetArn\":\"\"}}";
    struct json *filled = json_new_object();
    struct buffer text;
    (void)state;
    is_written("{}", defaults); /* the record of an older release */
    records_fill_versioned(filled);
    buffer_init(&text, 10000);
    json_print(&text, filled);
    is_written(text.data, defaults);
    buffer_release(&text);
    json_free(filled);
}

static void everything_is_said_in_awss_words(void **state)
{
    (void)state;
    is_written(ALL,
               "{\"Layers\":[\"" LAYER "\"],\"VpcConfig\":{\"SubnetIds\":[\"subnet-b\","
               "\"subnet-a\"],\"SecurityGroupIds\":[\"sg-1\"],\"Ipv6AllowedForDualStack\":true},"
               "\"EphemeralStorage\":{\"Size\":1024},\"TracingConfig\":{\"Mode\":\"Active\"},"
               "\"LoggingConfig\":{\"LogFormat\":\"JSON\",\"ApplicationLogLevel\":\"DEBUG\","
               "\"SystemLogLevel\":\"INFO\",\"LogGroup\":\"shared\"},"
               "\"SnapStart\":{\"ApplyOn\":\"PublishedVersions\"},\"KMSKeyArn\":\"arn:k\","
               "\"DeadLetterConfig\":{\"TargetArn\":\"arn:d\"}}");
}

static void both_sides_have_one_picture(void **state)
{
    /* As AWS answers: layers as objects, subnets in another order. */
    struct json *configuration = json_of(
        "{\"FunctionName\":\"hello\",\"Layers\":[{\"Arn\":\"" LAYER "\",\"CodeSize\":7}],"
        "\"VpcConfig\":{\"SubnetIds\":[\"subnet-a\",\"subnet-b\"],\"SecurityGroupIds\":[\"sg-1\"],"
        "\"VpcId\":\"vpc-1\",\"Ipv6AllowedForDualStack\":true},\"EphemeralStorage\":{\"Size\":1024}"
        ","
        "\"TracingConfig\":{\"Mode\":\"Active\"},\"LoggingConfig\":{\"LogFormat\":\"JSON\","
        "\"ApplicationLogLevel\":\"DEBUG\",\"SystemLogLevel\":\"INFO\",\"LogGroup\":\"shared\"},"
        "\"SnapStart\":{\"ApplyOn\":\"PublishedVersions\",\"OptimizationStatus\":\"On\"},"
        "\"KMSKeyArn\":\"arn:k\",\"DeadLetterConfig\":{\"TargetArn\":\"arn:d\"}}");
    struct json *version = json_of(ALL);
    struct json *ours = json_new_object(), *theirs = json_new_object();
    (void)state;
    lambda_settings_of_version(ours, version);
    lambda_settings_of_configuration(theirs, configuration);
    assert_int_equal(json_count(ours), 8);
    assert_true(json_equal(ours, theirs));
    json_free(ours);
    json_free(theirs);
    json_free(version);
    json_free(configuration);
}

static void what_aws_leaves_out_is_none_and_what_a_record_lacks_is_unknown(void **state)
{
    struct json *nothing = json_new_object();
    struct json *ours = json_new_object(), *theirs = json_new_object();
    struct json *expected =
        json_of("{\"layers\":[],\"vpc\":null,\"kmsKeyArn\":null,\"deadLetterArn\":null}");
    (void)state;
    lambda_settings_of_version(ours, nothing);
    lambda_settings_of_configuration(theirs, nothing);
    assert_int_equal(json_count(ours), 0);
    assert_true(json_equal(theirs, expected));
    json_free(ours);
    json_free(theirs);
    json_free(nothing);
    json_free(expected);
}

static void members_that_forbid_one_another_are_told_at_their_place(void **state)
{
    static const struct {
        const char *settings, *pointer;
    } rows[] = {
        {"{\"logging\":{\"format\":\"text\",\"systemLevel\":\"warn\"}}", "/logging/systemLevel"},
        {"{\"logging\":{\"format\":\"json\",\"systemLevel\":\"warn\"}}", NULL},
        {"{\"layers\":[\"arn:aws:lambda:r:000000000000:layer:a:1\","
         "\"arn:aws:lambda:r:000000000000:layer:a:2\"]}",
         "/layers/1"},
        {"{\"snapStart\":true,\"ephemeralStorageMb\":513}", "/snapStart"},
        {"{\"snapStart\":true,\"concurrency\":{\"provisioned\":1}}", "/snapStart"},
        {"{\"snapStart\":true,\"ephemeralStorageMb\":512,\"concurrency\":{\"provisioned\":null}}",
         NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct faults *faults = calloc(1, sizeof *faults);
        struct json *settings = json_of(rows[i].settings);
        struct arena arena;
        arena_init(&arena, 65536);
        faults_init(faults, &arena);
        lambda_settings_agree(settings, faults);
        assert_int_equal(faults->count, rows[i].pointer ? 1 : 0);
        if (rows[i].pointer)
            assert_string_equal(faults->list[0].pointer, rows[i].pointer);
        arena_release(&arena);
        json_free(settings);
        free(faults);
    }
}

static void arns_of_layers_name_a_version(void **state)
{
    (void)state;
    assert_true(layer_arn_valid(VIEW(LAYER)));
    assert_false(layer_arn_valid(VIEW("arn:aws:lambda:us-east-1:000000000000:layer:tools")));
    assert_false(layer_arn_valid(VIEW(LAYER ":1")));
    assert_false(layer_arn_valid(VIEW("arn:aws:lambda:us-east-1:00000000000:layer:tools:3")));
    assert_false(layer_arn_valid(VIEW("arn:aws:s3:us-east-1:000000000000:layer:tools:3")));
    assert_false(layer_arn_valid(VIEW("")));
}

static void snapshots_and_networks_are_given_time(void **state)
{
    struct json *plain = json_new_object(), *snapshots = json_of("{\"snapStart\":true}");
    struct json *network = json_of("{\"vpc\":{}}");
    (void)state;
    assert_true(lambda_settings_patience_ms(plain) < lambda_settings_patience_ms(network));
    assert_true(lambda_settings_patience_ms(network) < lambda_settings_patience_ms(snapshots));
    json_free(plain);
    json_free(snapshots);
    json_free(network);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(aws_is_told_the_defaults_too),
        cmocka_unit_test(everything_is_said_in_awss_words),
        cmocka_unit_test(both_sides_have_one_picture),
        cmocka_unit_test(what_aws_leaves_out_is_none_and_what_a_record_lacks_is_unknown),
        cmocka_unit_test(members_that_forbid_one_another_are_told_at_their_place),
        cmocka_unit_test(arns_of_layers_name_a_version),
        cmocka_unit_test(snapshots_and_networks_are_given_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
