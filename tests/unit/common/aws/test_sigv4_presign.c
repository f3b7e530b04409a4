/* Tests URLs that are signed for others, by vectors that botocore made. */
#include "common/aws/sigv4.h"

#include "common/base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define NOW_MS INT64_C(1440938160000) /* 20150830T123600Z */

static void presign(const struct sigv4_request *request, struct view token, int64_t expires_s,
                    struct buffer *query)
{
    struct credentials *credentials = credentials_new(
        VIEW("AKIDEXAMPLE"), VIEW("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"), token, INT64_MAX);
    struct sigv4_signer *signer = sigv4_signer_new(request->region, request->service);

    buffer_init(query, 4096);
    assert_int_equal(sigv4_presign(signer, request, credentials, NOW_MS, expires_s, query),
                     ERROR_NONE);
    sigv4_signer_free(signer);
    credentials_release(credentials);
}

static void a_presigned_get_is_botocores(void **state)
{
    const struct sigv4_request request = {.method = VIEW("GET"),
                                          .path = VIEW("/dir/a%20b.zip"),
                                          .query = VIEW(""),
                                          .host = VIEW("my-bucket.s3.us-east-1.amazonaws.com"),
                                          .region = VIEW("us-east-1"),
                                          .service = VIEW("s3"),
                                          .s3 = true};
    struct buffer query;

    (void)state;
    presign(&request, VIEW("TOKEN/with+chars=="), 900, &query);
    assert_string_equal(
        query.data,
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20150830%2Fus-east-1%2Fs3%"
        "2Faws4_request&X-Amz-Date=20150830T123600Z&X-Amz-Expires=900&X-Amz-Security-Token=TOKEN%"
        "2Fwith%2Bchars%3D%3D&X-Amz-SignedHeaders=host&X-Amz-Signature="
        "7c1c17baa49a2ec1dc134802ee074b71fca10b4a8eb210162d39a98b758066b8");
    buffer_release(&query);
}

static void headers_and_the_query_before_it_are_signed_too(void **state)
{
    const struct sigv4_header headers[] = {{VIEW("User-Agent"), VIEW("not signed")},
                                           {VIEW("Content-Length"), VIEW("5")}};
    struct sigv4_request request = {.method = VIEW("PUT"),
                                    .path = VIEW("/k"),
                                    .query = VIEW("partNumber=1&uploadId=u"),
                                    .host = VIEW("h"),
                                    .headers = headers,
                                    .header_count = 2,
                                    .region = VIEW("us-east-1"),
                                    .service = VIEW("s3"),
                                    .s3 = true};
    struct buffer with, without;

    (void)state;
    presign(&request, VIEW(""), 1, &with);
    assert_true(view_starts_with(buffer_view(&with), VIEW("partNumber=1&uploadId=u&X-Amz-Algo")));
    assert_non_null(strstr(with.data, "X-Amz-SignedHeaders=content-length%3Bhost&"));
    request.header_count = 1;
    presign(&request, VIEW(""), 1, &without);
    assert_non_null(strstr(without.data, "X-Amz-SignedHeaders=host&"));
    assert_string_not_equal(strstr(with.data, "Signature="), strstr(without.data, "Signature="));
    buffer_release(&with);
    buffer_release(&without);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_presigned_get_is_botocores),
        cmocka_unit_test(headers_and_the_query_before_it_are_signed_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
