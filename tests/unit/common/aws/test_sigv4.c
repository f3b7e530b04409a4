/* Signs the published examples and ours, and lets no request pass that differs from what was signed. */
#include "common/aws/sigv4.h"

#include "common/base/clock.h"
#include "common/base/crypto.h"
#include "common/base/escape.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define NOW_MS INT64_C(1440938160000) /* 2015-08-30T12:36:00Z */
#define TOKEN  VIEW("TOKEN/with+chars==")
#define ARN_URL                                                                                    \
    "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction%3Amy-fn/"      \
    "invocations"

static struct credentials *example_credentials(struct view token)
{
    return credentials_new(VIEW("AKIDEXAMPLE"), VIEW("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
                           token, INT64_MAX);
}

static const struct sigv4_header invoke_headers[] = {
    {VIEW("Content-Type"), VIEW("application/json")},
    {VIEW("X-Amz-Invocation-Type"), VIEW("RequestResponse")},
};

static struct sigv4_request invoke_request(void)
{
    return (struct sigv4_request){
        .method = VIEW("POST"),
        .path = VIEW(ARN_URL),
        .query = VIEW("Qualifier=live"),
        .host = VIEW("lambda.us-east-1.amazonaws.com"),
        .headers = invoke_headers,
        .header_count = 2,
        .body = VIEW("{\"a\":1}"),
        .region = VIEW("us-east-1"),
        .service = VIEW("lambda"),
    };
}

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

/* ---- paths, queries and values in canonical form ---- */

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

/* ---- verifying ---- */

#define RECEIVED_MAX 12

struct received {
    struct sigv4_request request;
    struct sigv4_header headers[RECEIVED_MAX];
    size_t count;
    int64_t now_ms;
    struct arena arena;
};

static bool lookup(struct view access_key_id, struct view *secret, void *context)
{
    (void)context;
    *secret = VIEW("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
    return view_equal_string(access_key_id, "AKIDEXAMPLE");
}

static enum sigv4_verdict verify(const struct received *received)
{
    return sigv4_verify(&received->request, received->headers, received->count, received->now_ms,
                        lookup, NULL);
}

static void receive(struct received *received, struct sigv4_request request, struct view token)
{
    struct credentials *credentials = example_credentials(token);
    struct sigv4_signer *signer = sigv4_signer_new(request.region, request.service);
    struct sigv4_signature signature;
    size_t n = 0;

    arena_init(&received->arena, 65536);
    assert_int_equal(
        sigv4_sign(signer, &request, credentials, NOW_MS, &received->arena, &signature),
        ERROR_NONE);
    received->request = request;
    received->now_ms = NOW_MS;
    for (size_t i = 0; i < request.header_count; i++)
        received->headers[n++] = request.headers[i];
    received->headers[n++] = (struct sigv4_header){VIEW("Host"), request.host};
    received->headers[n++] = (struct sigv4_header){
        VIEW("X-Amz-Date"), arena_copy(&received->arena, view_of(signature.amz_date))};
    received->headers[n++] = (struct sigv4_header){VIEW("Authorization"), signature.authorization};
    if (token.length)
        received->headers[n++] = (struct sigv4_header){VIEW("X-Amz-Security-Token"),
                                                       arena_copy(&received->arena, token)};
    if (request.s3)
        received->headers[n++] =
            (struct sigv4_header){VIEW("X-Amz-Content-Sha256"),
                                  arena_copy(&received->arena, view_of(signature.content_sha256))};
    received->count = n;
    sigv4_signer_free(signer);
    credentials_release(credentials);
}

static struct sigv4_header *header_of(struct received *received, const char *name)
{
    for (size_t i = 0; i < received->count; i++)
        if (view_equal_nocase(received->headers[i].name, view_of(name)))
            return &received->headers[i];
    fail_msg("no header %s", name);
    return NULL;
}

static void what_was_signed_is_valid(void **state)
{
    struct sigv4_request upload = invoke_request();
    struct received received;

    (void)state;
    receive(&received, invoke_request(), TOKEN);
    assert_int_equal(verify(&received), SIGV4_VALID);
    received.headers[received.count++] = (struct sigv4_header){VIEW("User-Agent"), VIEW("any")};
    assert_int_equal(verify(&received), SIGV4_VALID);
    arena_release(&received.arena);
    upload.service = VIEW("s3");
    upload.s3 = true;
    receive(&received, upload, VIEW(""));
    assert_int_equal(verify(&received), SIGV4_VALID);
    arena_release(&received.arena);
}

static void any_changed_part_is_refused(void **state)
{
    struct received good, changed;

    (void)state;
    receive(&good, invoke_request(), TOKEN);
#define REFUSED(change)                                                                            \
    do {                                                                                           \
        changed = good;                                                                            \
        change;                                                                                    \
        assert_int_equal(verify(&changed), SIGV4_WRONG);                                           \
    } while (0)
    REFUSED(changed.request.method = VIEW("PUT"));
    REFUSED(changed.request.path = VIEW("/2015-03-31/functions/other/invocations"));
    REFUSED(changed.request.query = VIEW("Qualifier=dead"));
    REFUSED(changed.request.query = VIEW("Qualifier=live&More=1"));
    REFUSED(changed.request.query = VIEW(""));
    REFUSED(changed.request.body = VIEW("{\"a\":2}"));
    REFUSED(changed.request.body = VIEW(""));
    REFUSED(changed.request.region = VIEW("us-west-2"));
    REFUSED(changed.request.service = VIEW("s3"));
    REFUSED(header_of(&changed, "host")->value = VIEW("lambda.us-west-2.amazonaws.com"));
    REFUSED(header_of(&changed, "content-type")->value = VIEW("text/plain"));
    REFUSED(header_of(&changed, "x-amz-security-token")->value = VIEW("other"));
    REFUSED(header_of(&changed, "x-amz-date")->value = VIEW("20150830T123601Z"));
    REFUSED(header_of(&changed, "x-amz-invocation-type")->name = VIEW("x-other"));
    REFUSED(changed.headers[changed.count++] =
                ((struct sigv4_header){VIEW("content-type"), VIEW("text/plain")}));
    REFUSED(changed.headers[changed.count++] =
                ((struct sigv4_header){VIEW("x-amz-log-type"), VIEW("Tail")}));
    REFUSED(changed.headers[changed.count++] =
                ((struct sigv4_header){VIEW("x-amz-content-sha256"), VIEW("UNSIGNED-PAYLOAD")}));
#undef REFUSED
    arena_release(&good.arena);
}

static void a_changed_signature_or_scope_is_refused(void **state)
{
    struct received received;
    struct sigv4_header *authorization;
    char *text;

    (void)state;
    receive(&received, invoke_request(), TOKEN);
    authorization = header_of(&received, "authorization");
    text = arena_string(&received.arena, authorization->value);
    authorization->value.data = text;
    for (size_t i = 0; i < authorization->value.length; i++) {
        char kept = text[i];

        text[i] = kept == 'f' ? 'e' : 'f';
        assert_int_not_equal(verify(&received), SIGV4_VALID);
        text[i] = kept;
    }
    assert_int_equal(verify(&received), SIGV4_VALID);
    authorization->value = arena_copy(
        &received.arena, view_slice(authorization->value, 0, authorization->value.length - 1));
    assert_int_equal(verify(&received), SIGV4_INCOMPLETE);
    arena_release(&received.arena);
}

static void a_signature_is_good_for_fifteen_minutes_either_way(void **state)
{
    struct received received;

    (void)state;
    receive(&received, invoke_request(), TOKEN);
    received.now_ms = NOW_MS + 900000;
    assert_int_equal(verify(&received), SIGV4_VALID);
    received.now_ms = NOW_MS - 900000;
    assert_int_equal(verify(&received), SIGV4_VALID);
    received.now_ms = NOW_MS + 900001;
    assert_int_equal(verify(&received), SIGV4_EXPIRED);
    received.now_ms = NOW_MS - 900001;
    assert_int_equal(verify(&received), SIGV4_EXPIRED);
    arena_release(&received.arena);
}

static void a_key_that_nobody_knows_is_told_from_a_wrong_signature(void **state)
{
    struct received received;
    struct sigv4_header *authorization;

    (void)state;
    receive(&received, invoke_request(), VIEW(""));
    authorization = header_of(&received, "authorization");
    authorization->value =
        VIEW("AWS4-HMAC-SHA256 Credential=NOBODY/20150830/us-east-1/lambda/aws4_request, "
             "SignedHeaders=host;x-amz-date, Signature="
             "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
    assert_int_equal(verify(&received), SIGV4_UNKNOWN_KEY);
    arena_release(&received.arena);
}

static void no_signature_is_missing_and_half_of_one_is_incomplete(void **state)
{
    static const char *const malformed[] = {
        "",
        "Bearer abc",
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE",
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/lambda/aws4_request",
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/lambda/aws4_request, "
        "SignedHeaders=host",
        "AWS4-HMAC-SHA256 Credential=20150830/us-east-1/lambda/aws4_request, SignedHeaders=host, "
        "Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        "AWS4-HMAC-SHA256 Credential=A/20150830/us-east-1/lambda/aws5_request, SignedHeaders=host, "
        "Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        "AWS4-HMAC-SHA256 Credential=A/20150830/us-east-1/lambda/aws4_request, "
        "SignedHeaders=x-amz-date, "
        "Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        "AWS4-HMAC-SHA256 Credential=A/20150830/us-east-1/lambda/aws4_request, "
        "SignedHeaders=host;host, "
        "Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        "AWS4-HMAC-SHA256 Credential=A/20150830/us-east-1/lambda/aws4_request, SignedHeaders=host, "
        "SignedHeaders=host, "
        "Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        "AWS4-ECDSA-P256-SHA256 Credential=A/20150830/us-east-1/lambda/aws4_request, "
        "SignedHeaders=host, "
        "Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    };
    struct received received;

    (void)state;
    receive(&received, invoke_request(), VIEW(""));
    for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
        header_of(&received, "authorization")->value = view_of(malformed[i]);
        assert_int_equal(verify(&received), SIGV4_INCOMPLETE);
    }
    header_of(&received, "authorization")->name = VIEW("X-Nothing");
    assert_int_equal(verify(&received), SIGV4_MISSING);
    received.request.query = VIEW("Qualifier=1&X-Amz-Signature=00");
    assert_int_equal(verify(&received), SIGV4_INCOMPLETE);
    arena_release(&received.arena);
}

static void a_second_authorization_or_date_is_incomplete_and_no_date_too(void **state)
{
    struct received good, changed;

    (void)state;
    receive(&good, invoke_request(), VIEW(""));
    changed = good;
    changed.headers[changed.count++] = *header_of(&good, "authorization");
    assert_int_equal(verify(&changed), SIGV4_INCOMPLETE);
    changed = good;
    changed.headers[changed.count++] = *header_of(&good, "x-amz-date");
    assert_int_equal(verify(&changed), SIGV4_INCOMPLETE);
    changed = good;
    header_of(&changed, "x-amz-date")->name = VIEW("x-nothing");
    assert_int_equal(verify(&changed), SIGV4_INCOMPLETE);
    arena_release(&good.arena);
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
        cmocka_unit_test(what_was_signed_is_valid),
        cmocka_unit_test(any_changed_part_is_refused),
        cmocka_unit_test(a_changed_signature_or_scope_is_refused),
        cmocka_unit_test(a_signature_is_good_for_fifteen_minutes_either_way),
        cmocka_unit_test(a_key_that_nobody_knows_is_told_from_a_wrong_signature),
        cmocka_unit_test(no_signature_is_missing_and_half_of_one_is_incomplete),
        cmocka_unit_test(a_second_authorization_or_date_is_incomplete_and_no_date_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
