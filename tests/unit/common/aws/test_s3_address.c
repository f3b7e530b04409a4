/* Tests where buckets and objects are looked for: by host name, by path, in which region. */
#include "common/aws/s3_address.h"

#include "common/aws/s3.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct endpoint aws = {.host = {"s3.us-east-1.amazonaws.com", 26},
                              .path = {"", 0},
                              .region = {"us-east-1", 9},
                              .tls = true};
static struct endpoint own = {.host = {"store.example:9000", 18},
                              .path = {"/s3", 3},
                              .region = {"us-east-1", 9},
                              .custom = true};

static void expect(const struct endpoint *endpoint, const char *region, const char *bucket,
                   const char *key, const char *url, const char *path)
{
    struct s3_place place;
    struct arena arena;

    arena_init(&arena, 65536);
    s3_place(endpoint, view_of(region), view_of(bucket), view_of(key), &arena, &place);
    assert_string_equal(place.url.data, url);
    assert_string_equal(place.path.data, path);
    assert_true(view_ends_with(place.url, place.host));
    arena_release(&arena);
}

static void aws_is_addressed_by_host_unless_the_name_has_dots(void **state)
{
    (void)state;
    expect(&aws, "us-east-1", "bucket", "dir/a b+c.zip",
           "https://bucket.s3.us-east-1.amazonaws.com", "/dir/a%20b%2Bc.zip");
    expect(&aws, "us-east-1", "bucket", "", "https://bucket.s3.us-east-1.amazonaws.com", "/");
    expect(&aws, "us-east-1", "my.bucket", "k", "https://s3.us-east-1.amazonaws.com",
           "/my.bucket/k");
}

static void another_region_has_another_host_but_for_endpoints_of_ones_own(void **state)
{
    (void)state;
    expect(&aws, "eu-central-1", "bucket", "k", "https://bucket.s3.eu-central-1.amazonaws.com",
           "/k");
    expect(&own, "eu-central-1", "bucket", "k", "http://store.example:9000", "/s3/bucket/k");
    expect(&own, "us-east-1", "bucket", "", "http://store.example:9000", "/s3/bucket");
}

static void the_style_that_was_asked_for_counts(void **state)
{
    struct endpoint by_path = aws, by_host = own, address = own;

    (void)state;
    by_path.addressing = ENDPOINT_ADDRESSING_PATH;
    by_host.addressing = address.addressing = ENDPOINT_ADDRESSING_VIRTUAL;
    address.host = VIEW("127.0.0.1:9000");
    expect(&by_path, "us-east-1", "bucket", "k", "https://s3.us-east-1.amazonaws.com", "/bucket/k");
    expect(&by_host, "us-east-1", "bucket", "k", "http://bucket.store.example:9000", "/s3/k");
    expect(&address, "us-east-1", "bucket", "k", "http://127.0.0.1:9000", "/s3/bucket/k");
}

static void keys_are_encoded_once_and_never_normalised(void **state)
{
    (void)state;
    expect(&aws, "us-east-1", "bucket", "/a//b/../%20~\xc3\xa4?#",
           "https://bucket.s3.us-east-1.amazonaws.com", "//a//b/../%2520~%C3%A4%3F%23");
}

static void names_of_buckets_are_those_that_aws_takes(void **state)
{
    static const char *const good[] = {"abc", "a-b", "a.b.c", "0bucket9"};
    static const char *const bad[] = {"ab",    "",     "Abc",     "-ab",  "ab-",
                                      "a..b",  "a_b",  "1.2.3.4", "a/bc", "arn:aws:s3:::b",
                                      "a\nbc", ".abc", "a b"};

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(s3_bucket_lawful(view_of(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(s3_bucket_lawful(view_of(bad[i])));
    assert_true(s3_region_lawful(VIEW("eu-central-1")));
    assert_false(s3_region_lawful(VIEW("evil.example/")));
    assert_false(s3_region_lawful(VIEW("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(aws_is_addressed_by_host_unless_the_name_has_dots),
        cmocka_unit_test(another_region_has_another_host_but_for_endpoints_of_ones_own),
        cmocka_unit_test(the_style_that_was_asked_for_counts),
        cmocka_unit_test(keys_are_encoded_once_and_never_normalised),
        cmocka_unit_test(names_of_buckets_are_those_that_aws_takes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
