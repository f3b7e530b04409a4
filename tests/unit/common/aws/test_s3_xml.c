/* Tests what is read from the XML of S3, and what is not taken for an answer. */
#include "common/aws/s3_xml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define HEAD  "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
#define XMLNS "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\""

static struct arena arena;

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, (size_t)4 << 20);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_release(&arena);
    return 0;
}

static void expect_text(struct view text, const char *expected)
{
    assert_int_equal(text.length, strlen(expected));
    assert_memory_equal(text.data, expected, text.length);
}

static void a_failure_tells_code_message_and_region(void **state)
{
    struct s3_failure failure;

    (void)state;
    assert_true(s3_read_failure(
        VIEW(HEAD "<Error><Code>PermanentRedirect</Code><Message>a &lt;b&gt;</Message>"
                  "<Region>eu-west-1</Region><RequestId>R1</RequestId></Error>"),
        &arena, &failure));
    expect_text(failure.code, "PermanentRedirect");
    expect_text(failure.message, "a <b>");
    expect_text(failure.region, "eu-west-1");
    expect_text(failure.request_id, "R1");
    assert_false(s3_read_failure(VIEW("<html>502</html>"), &arena, &failure));
    assert_false(s3_read_failure(VIEW("<Error><Code>Cut</Code>"), &arena, &failure));
    expect_text(failure.code, "");
}

static void an_upload_has_an_id_and_ends_with_an_etag(void **state)
{
    struct s3_object object = {0};
    struct view id;

    (void)state;
    assert_int_equal(s3_read_upload_id(VIEW("<InitiateMultipartUploadResult " XMLNS
                                            "><Bucket>b</Bucket><Key>k</Key><UploadId>u+/=1"
                                            "</UploadId></InitiateMultipartUploadResult>"),
                                       &arena, &id),
                     ERROR_NONE);
    expect_text(id, "u+/=1");
    assert_int_equal(s3_read_upload_id(VIEW("<InitiateMultipartUploadResult/>"), &arena, &id),
                     ERROR_INVALID);
    assert_int_equal(s3_read_completed(VIEW("\n \n<CompleteMultipartUploadResult><ETag>&quot;e-2"
                                            "&quot;</ETag></CompleteMultipartUploadResult>"),
                                       &arena, &object),
                     ERROR_NONE);
    expect_text(object.etag, "e-2");
    assert_int_equal(
        s3_read_completed(VIEW("<Error><Code>InternalError</Code></Error>"), &arena, &object),
        ERROR_INVALID);
}

static void parts_are_listed_with_what_proves_them(void **state)
{
    struct s3_list list;

    (void)state;
    assert_int_equal(
        s3_read_list(S3_LIST_PARTS,
                     VIEW(HEAD "<ListPartsResult " XMLNS "><UploadId>u</UploadId>"
                               "<Initiator><ID>i</ID></Initiator><NextPartNumberMarker>2"
                               "</NextPartNumberMarker><MaxParts>2</MaxParts>"
                               "<IsTruncated>true</IsTruncated>"
                               "<ChecksumAlgorithm>SHA256</ChecksumAlgorithm>"
                               "<Part><PartNumber>1</PartNumber><LastModified>"
                               "2026-01-02T03:04:05.000Z</LastModified><ETag>\"aa\"</ETag>"
                               "<Size>8388608</Size><ChecksumSHA256>c1=</ChecksumSHA256></Part>"
                               "<Part><PartNumber>2</PartNumber><ETag>\"bb\"</ETag><Size>5</Size>"
                               "</Part></ListPartsResult>"),
                     &arena, &list),
        ERROR_NONE);
    assert_int_equal(list.count, 2);
    assert_int_equal(list.items[0].part, 1);
    assert_int_equal(list.items[0].size, 8388608);
    expect_text(list.items[0].etag, "aa");
    expect_text(list.items[0].sha256, "c1=");
    assert_int_equal(list.items[0].at_ms, INT64_C(1767323045000));
    assert_int_equal(list.items[1].part, 2);
    expect_text(list.items[1].sha256, "");
    expect_text(list.next, "2");
    assert_true(list.checksums);
}

static void keys_come_in_the_form_of_urls(void **state)
{
    struct s3_list list;

    (void)state;
    assert_int_equal(
        s3_read_list(S3_LIST_OBJECTS,
                     VIEW("<ListBucketResult><IsTruncated>false</IsTruncated><Contents>"
                          "<Key>a%2Bb+c/%01</Key><Size>0</Size><Owner><ID>x</ID></Owner></Contents>"
                          "<NextContinuationToken>not%20used</NextContinuationToken>"
                          "<EncodingType>url</EncodingType></ListBucketResult>"),
                     &arena, &list),
        ERROR_NONE);
    assert_int_equal(list.count, 1);
    expect_text(list.items[0].key, "a+b c/\x01");
    expect_text(list.next, "");
    assert_int_equal(s3_read_list(S3_LIST_UPLOADS,
                                  VIEW("<ListMultipartUploadsResult><IsTruncated>true</IsTruncated>"
                                       "<NextKeyMarker>k%2F</NextKeyMarker><NextUploadIdMarker>u2"
                                       "</NextUploadIdMarker><EncodingType>url</EncodingType>"
                                       "<Upload><Key>k%2F</Key><UploadId>u1</UploadId></Upload>"
                                       "<Upload><Key>k%2F</Key><UploadId>u2</UploadId></Upload>"
                                       "</ListMultipartUploadsResult>"),
                                  &arena, &list),
                     ERROR_NONE);
    assert_int_equal(list.count, 2);
    expect_text(list.items[1].key, "k/");
    expect_text(list.items[1].upload_id, "u2");
    expect_text(list.next, "k/");
    expect_text(list.next_upload, "u2");
}

static void what_is_no_list_is_refused(void **state)
{
    static const char *const documents[] = {
        "",
        "<ListPartsResult>",
        "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>",
        "<ListPartsResult></ListPartsResult>",
        "<ListPartsResult><IsTruncated>true</IsTruncated></ListPartsResult>",
        "<ListPartsResult><IsTruncated>false</IsTruncated><Part><PartNumber>1</PartNumber></Part>"
        "</ListPartsResult>",
        "<ListPartsResult><IsTruncated>false</IsTruncated><Part><PartNumber>0</PartNumber>"
        "<ETag>e</ETag><Size>1</Size></Part></ListPartsResult>",
        "<ListPartsResult><IsTruncated>false</IsTruncated><Part><PartNumber>1</PartNumber>"
        "<ETag>e</ETag><Size>-1</Size></Part></ListPartsResult>",
        "<Error><Code>SlowDown</Code></Error>",
    };
    struct s3_list list;

    (void)state;
    for (size_t i = 0; i < sizeof documents / sizeof documents[0]; i++)
        assert_int_equal(s3_read_list(S3_LIST_PARTS, view_of(documents[i]), &arena, &list),
                         ERROR_INVALID);
}

static void more_rows_than_were_asked_for_are_refused(void **state)
{
    struct s3_list list;
    struct buffer text;

    (void)state;
    for (unsigned rows = S3_MAX_ITEMS; rows <= S3_MAX_ITEMS + 1; rows++) {
        buffer_init(&text, (size_t)1 << 20);
        buffer_append_string(&text, "<ListPartsResult><IsTruncated>false</IsTruncated>");
        for (unsigned i = 1; i <= rows; i++)
            buffer_append_format(
                &text, "<Part><PartNumber>%u</PartNumber><ETag>e</ETag><Size>1</Size></Part>", i);
        buffer_append_string(&text, "</ListPartsResult>");
        assert_int_equal(s3_read_list(S3_LIST_PARTS, buffer_view(&text), &arena, &list),
                         rows == S3_MAX_ITEMS ? ERROR_NONE : ERROR_INVALID);
        buffer_release(&text);
    }
}

static void parts_are_written_for_completion(void **state)
{
    const struct s3_item parts[] = {{.part = 1, .etag = VIEW("a<&"), .sha256 = VIEW("c=")},
                                    {.part = 7, .etag = VIEW("b"), .sha256 = VIEW("")}};
    struct buffer out;

    (void)state;
    buffer_init(&out, 4096);
    s3_write_parts(&out, parts, 2);
    assert_string_equal(
        out.data,
        "<CompleteMultipartUpload " XMLNS "><Part><PartNumber>1</PartNumber><ETag>\"a&lt;&amp;\""
        "</ETag><ChecksumSHA256>c=</ChecksumSHA256></Part><Part><PartNumber>7</PartNumber>"
        "<ETag>\"b\"</ETag></Part></CompleteMultipartUpload>");
    buffer_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_tells_code_message_and_region),
        cmocka_unit_test(an_upload_has_an_id_and_ends_with_an_etag),
        cmocka_unit_test(parts_are_listed_with_what_proves_them),
        cmocka_unit_test(keys_come_in_the_form_of_urls),
        cmocka_unit_test(what_is_no_list_is_refused),
        cmocka_unit_test(more_rows_than_were_asked_for_are_refused),
        cmocka_unit_test(parts_are_written_for_completion),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
