/* Lets no request pass that differs from what was signed. */
#include "tests/unit/common/aws/sigv4_scene.h"

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
