/* Signs the published examples and ours. */
#include "tests/unit/common/aws/sigv4_scene.h"

static void expect_signature(const struct sigv4_request *request, struct view token,
                             const char *signed_headers, const char *signature)
{
    struct credentials *credentials = example_credentials(token);
    struct sigv4_signer *signer = sigv4_signer_new(request->region, request->service);
    struct sigv4_signature made;
    struct arena arena;
    char expected[1024];

    arena_init(&arena, 16384);
    snprintf(expected, sizeof(expected),
             "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/%.*s/aws4_request, "
             "SignedHeaders=%s, Signature=%s",
             VIEW_FORMAT(request->service), signed_headers, signature);
    assert_int_equal(sigv4_sign(signer, request, credentials, NOW_MS, &arena, &made), ERROR_NONE);
    assert_string_equal(made.authorization.data, expected);
    assert_string_equal(made.amz_date, "20150830T123600Z");
    assert_true(view_equal(made.session_token, token));
    arena_release(&arena);
    sigv4_signer_free(signer);
    credentials_release(credentials);
}

static void the_published_vanilla_example_is_signed_as_published(void **state)
{
    struct sigv4_request request = {
        .method = VIEW("GET"),
        .path = VIEW("/"),
        .host = VIEW("example.amazonaws.com"),
        .region = VIEW("us-east-1"),
        .service = VIEW("service"),
    };

    (void)state;
    expect_signature(&request, VIEW(""), "host;x-amz-date",
                     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
    request.path = VIEW(""); /* the same request */
    expect_signature(&request, VIEW(""), "host;x-amz-date",
                     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
}

static void an_invocation_by_arn_with_a_session_token_is_signed_as_botocore_does(void **state)
{
    struct sigv4_request request = invoke_request();

    (void)state;
    expect_signature(&request, TOKEN,
                     "content-type;host;x-amz-date;x-amz-invocation-type;x-amz-security-token",
                     "5b74c83a426a925fdf90de6b3e89fe0b4c3d5c600401626729792148f4283842");
}

static void the_canonical_request_encodes_an_encoded_path_once_more(void **state)
{
    struct sigv4_request request = invoke_request();
    struct buffer out;
    uint8_t hash[SHA256_BYTES];
    char hex[2 * SHA256_BYTES + 1] = "";

    (void)state;
    buffer_init(&out, 8192);
    sigv4_canonical_request(&out, &request, VIEW("20150830T123600Z"), TOKEN);
    assert_string_equal(
        out.data, "POST\n"
                  "/2015-03-31/functions/"
                  "arn%253Aaws%253Alambda%253Aus-east-1%253A123456789012%253Afunction%253Amy-fn/"
                  "invocations\n"
                  "Qualifier=live\n"
                  "content-type:application/json\n"
                  "host:lambda.us-east-1.amazonaws.com\n"
                  "x-amz-date:20150830T123600Z\n"
                  "x-amz-invocation-type:RequestResponse\n"
                  "x-amz-security-token:TOKEN/with+chars==\n"
                  "\n"
                  "content-type;host;x-amz-date;x-amz-invocation-type;x-amz-security-token\n"
                  "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862");
    sha256(buffer_view(&out), hash);
    hex_write(hex, hash, sizeof(hash));
    assert_string_equal(hex, "ef19f34ea42787ea50f4b3b3accb51c9ef53854db0f34234e8d47207b430fb78");
    buffer_release(&out);
}

static void the_key_chain_of_lambda_ends_in_the_known_key(void **state)
{
    uint8_t key[SHA256_BYTES];
    char hex[2 * SHA256_BYTES + 1] = "";

    (void)state;
    sigv4_day_key(VIEW("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"), VIEW("20150830"),
                  VIEW("us-east-1"), VIEW("lambda"), key);
    hex_write(hex, key, sizeof(key));
    assert_string_equal(hex, "3106a83fe4d44212160af579a59cf1055851bea14b6ce0713413fb777d6ff7ed");
}

static void a_qualifier_of_latest_is_signed_as_botocore_does(void **state)
{
    struct sigv4_request request = {
        .method = VIEW("GET"),
        .path = VIEW("/2015-03-31/functions/f/configuration"),
        .query = VIEW("Qualifier=%24LATEST"),
        .host = VIEW("lambda.us-east-1.amazonaws.com"),
        .region = VIEW("us-east-1"),
        .service = VIEW("lambda"),
    };

    (void)state;
    expect_signature(&request, VIEW(""), "host;x-amz-date",
                     "6b8989a9ecef80b28d0233cab12ad8a68fa22755722cd2aa979f1906fb2daa47");
}

static void an_upload_to_s3_is_signed_with_its_path_as_it_is(void **state)
{
    struct sigv4_request request = {
        .method = VIEW("PUT"),
        .path = VIEW("/dir/a%20b%2Bc.zip"),
        .host = VIEW("my-bucket.s3.us-east-1.amazonaws.com"),
        .body = VIEW("hello"),
        .region = VIEW("us-east-1"),
        .service = VIEW("s3"),
        .s3 = true,
    };

    (void)state;
    expect_signature(&request, VIEW(""), "host;x-amz-content-sha256;x-amz-date",
                     "3eff4a87d708c643d9e66a12e89b4ce451549ae4833d850aa6b9ca201f8cabb1");
}

static void the_day_key_follows_the_day_and_the_credentials(void **state)
{
    struct credentials *first = example_credentials(VIEW(""));
    struct credentials *second =
        credentials_new(VIEW("OTHER"), VIEW("other-secret"), VIEW(""), INT64_MAX);
    struct sigv4_signer *kept = sigv4_signer_new(VIEW("us-east-1"), VIEW("lambda"));
    const struct {
        struct credentials *credentials;
        int64_t at_ms;
    } uses[] = {{first, NOW_MS},
                {first, NOW_MS + 86400000},
                {second, NOW_MS + 86400000},
                {first, NOW_MS + 86400000},
                {first, NOW_MS}};
    struct sigv4_request request = invoke_request();
    struct arena arena;

    (void)state;
    arena_init(&arena, 65536);
    for (size_t i = 0; i < sizeof(uses) / sizeof(uses[0]); i++) {
        struct sigv4_signer *fresh = sigv4_signer_new(VIEW("us-east-1"), VIEW("lambda"));
        struct sigv4_signature by_kept, by_fresh;

        assert_int_equal(
            sigv4_sign(kept, &request, uses[i].credentials, uses[i].at_ms, &arena, &by_kept),
            ERROR_NONE);
        assert_int_equal(
            sigv4_sign(fresh, &request, uses[i].credentials, uses[i].at_ms, &arena, &by_fresh),
            ERROR_NONE);
        assert_true(view_equal(by_kept.authorization, by_fresh.authorization));
        sigv4_signer_free(fresh);
    }
    arena_release(&arena);
    sigv4_signer_free(kept);
    credentials_release(first);
    credentials_release(second);
}

static void headers_that_hops_change_are_not_signed(void **state)
{
    const struct sigv4_header headers[] = {
        {VIEW("User-Agent"), VIEW("x")},
        {VIEW("X-Amzn-Trace-Id"), VIEW("Root=1")},
        {VIEW("Connection"), VIEW("keep-alive")},
    };
    struct sigv4_request request = {
        .method = VIEW("GET"),
        .path = VIEW("/"),
        .host = VIEW("example.amazonaws.com"),
        .headers = headers,
        .header_count = 3,
        .region = VIEW("us-east-1"),
        .service = VIEW("service"),
    };

    (void)state;
    expect_signature(&request, VIEW(""), "host;x-amz-date",
                     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
}

static void too_many_headers_and_too_small_an_arena_are_errors(void **state)
{
    static struct sigv4_header headers[SIGV4_MAX_HEADERS + 1];
    struct credentials *credentials = example_credentials(VIEW(""));
    struct sigv4_signer *signer = sigv4_signer_new(VIEW("us-east-1"), VIEW("lambda"));
    struct sigv4_request request = invoke_request();
    struct sigv4_signature signature;
    struct arena arena;

    (void)state;
    arena_init(&arena, 64);
    assert_int_equal(sigv4_sign(signer, &request, credentials, NOW_MS, &arena, &signature),
                     ERROR_TOO_BIG);
    arena_release(&arena);
    arena_init(&arena, 65536);
    for (size_t i = 0; i < SIGV4_MAX_HEADERS + 1; i++)
        headers[i] = (struct sigv4_header){VIEW("x-more"), VIEW("1")};
    request.headers = headers;
    request.header_count = SIGV4_MAX_HEADERS + 1;
    assert_int_equal(sigv4_sign(signer, &request, credentials, NOW_MS, &arena, &signature),
                     ERROR_TOO_BIG);
    request.header_count = SIGV4_MAX_HEADERS;
    assert_int_equal(sigv4_sign(signer, &request, credentials, NOW_MS, &arena, &signature),
                     ERROR_NONE);
    arena_release(&arena);
    sigv4_signer_free(signer);
    credentials_release(credentials);
}

static void expect_line(struct sigv4_request request, unsigned line, const char *expected)
{
    struct buffer out;
    struct view rest, part = {NULL, 0};

    buffer_init(&out, 65536);
    sigv4_canonical_request(&out, &request, VIEW("20150830T123600Z"), VIEW(""));
    assert_int_equal(out.error, ERROR_NONE);
    rest = buffer_view(&out);
    for (unsigned i = 0; i <= line; i++)
        assert_true(view_split(&rest, '\n', &part));
    assert_int_equal(part.length, strlen(expected));
    assert_memory_equal(part.data, expected, part.length);
    buffer_release(&out);
}

static void paths_are_normalised_and_encoded_again(void **state)
{
    static const char *const rows[][2] = {
        {"", "/"},
        {"/", "/"},
        {"//", "/"},
        {"/a//b/", "/a/b/"},
        {"/a/./b", "/a/b"},
        {"/a/../b", "/b"},
        {"/../../b", "/b"},
        {"/a/b/..", "/a"},
        {"/a/..", "/"},
        {"/a/../", "/"},
        {"/a/.", "/a"},
        {"/a/./", "/a/"},
        {"/...", "/..."},
        {"/a%2Fb", "/a%252Fb"},
        {"/f:live", "/f%3Alive"},
        {"/$LATEST", "/%24LATEST"},
        {"/\xc3\xa4 ~-_.", "/%C3%A4%20~-_."},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        expect_line((struct sigv4_request){.method = VIEW("get"), .path = view_of(rows[i][0])}, 1,
                    rows[i][1]);
}

static void methods_are_upper_case(void **state)
{
    (void)state;
    expect_line((struct sigv4_request){.method = VIEW("get"), .path = VIEW("/")}, 0, "GET");
}

static void paths_of_s3_stay_as_they_are(void **state)
{
    (void)state;
    expect_line(
        (struct sigv4_request){.method = VIEW("GET"), .path = VIEW("/a//./b%20"), .s3 = true}, 1,
        "/a//./b%20");
}

static void queries_are_sorted_by_name_then_value(void **state)
{
    static const char *const rows[][2] = {
        {"", ""},
        {"a", "a="},
        {"b=2&a=1", "a=1&b=2"},
        {"a=2&a=10&a", "a=&a=10&a=2"},
        {"a=b=c", "a=b=c"},
        {"&&", "=&=&="},
        {"a-b=1&a=1", "a=1&a-b=1"},
        {"x=+&B=1&b=%20", "B=1&b=%20&x=+"},
        {"r=1&q=1&p=1&o=1&n=1&m=1&l=1&k=1&j=1&i=1&h=1&g=1&f=1&e=1&d=1&c=1&b=1&a=1",
         "a=1&b=1&c=1&d=1&e=1&f=1&g=1&h=1&i=1&j=1&k=1&l=1&m=1&n=1&o=1&p=1&q=1&r=1"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        expect_line((struct sigv4_request){.method = VIEW("GET"),
                                           .path = VIEW("/"),
                                           .query = view_of(rows[i][0])},
                    2, rows[i][1]);
}

static void header_values_are_trimmed_folded_and_joined(void **state)
{
    const struct sigv4_header headers[] = {
        {VIEW("Z-Last"), VIEW("2")},
        {VIEW("My-Header"), VIEW("  a \t b\r\n  c  ")},
        {VIEW("A-First"), VIEW("   ")},
        {VIEW("my-header"), VIEW("\"d  e\"")},
    };
    struct sigv4_request request = {.method = VIEW("GET"),
                                    .path = VIEW("/"),
                                    .host = VIEW("h"),
                                    .headers = headers,
                                    .header_count = 4};

    (void)state;
    expect_line(request, 3, "a-first:");
    expect_line(request, 4, "host:h");
    expect_line(request, 5, "my-header:a b c,\"d e\"");
    expect_line(request, 6, "x-amz-date:20150830T123600Z");
    expect_line(request, 7, "z-last:2");
    expect_line(request, 8, "");
    expect_line(request, 9, "a-first;host;my-header;x-amz-date;z-last");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_published_vanilla_example_is_signed_as_published),
        cmocka_unit_test(an_invocation_by_arn_with_a_session_token_is_signed_as_botocore_does),
        cmocka_unit_test(the_canonical_request_encodes_an_encoded_path_once_more),
        cmocka_unit_test(the_key_chain_of_lambda_ends_in_the_known_key),
        cmocka_unit_test(a_qualifier_of_latest_is_signed_as_botocore_does),
        cmocka_unit_test(an_upload_to_s3_is_signed_with_its_path_as_it_is),
        cmocka_unit_test(the_day_key_follows_the_day_and_the_credentials),
        cmocka_unit_test(headers_that_hops_change_are_not_signed),
        cmocka_unit_test(too_many_headers_and_too_small_an_arena_are_errors),
        cmocka_unit_test(paths_are_normalised_and_encoded_again),
        cmocka_unit_test(methods_are_upper_case),
        cmocka_unit_test(paths_of_s3_stay_as_they_are),
        cmocka_unit_test(queries_are_sorted_by_name_then_value),
        cmocka_unit_test(header_values_are_trimmed_folded_and_joined),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
