/* Finds out what S3's answers mean: by status, headers, and the XML in them. */
#include "common/aws/s3_answer.h"

#include "common/aws/s3_xml.h"

#include <string.h>

void s3_answer_empty(struct s3_answer *answer)
{
    const struct view none = VIEW("");

    *answer = (struct s3_answer){.outcome = S3_OK,
                                 .code = none,
                                 .message = none,
                                 .request_id = none,
                                 .object = {.etag = none, .version = none, .sha256 = none},
                                 .upload_id = none,
                                 .next = none,
                                 .next_upload = none};
}

static struct view header_of(const struct outgoing_result *result, const char *name)
{
    struct view value = VIEW("");

    if (result->call)
        outgoing_header(result->call, name, &value);
    return value;
}

static struct view unquoted(struct view text)
{
    if (text.length >= 2 && text.data[0] == '"' && text.data[text.length - 1] == '"')
        return view_slice(text, 1, text.length - 2);
    return text;
}

/* "bytes 0-9/100" */
static void read_range(struct view range, uint64_t *start, uint64_t *size)
{
    size_t dash = view_find(range, '-'), slash = view_find(range, '/');

    if (!view_starts_with(range, VIEW("bytes ")) || dash == SIZE_MAX || slash == SIZE_MAX ||
        view_to_u64(view_slice(range, 6, dash - 6), INT64_MAX, start))
        *start = UINT64_MAX;
    if (slash == SIZE_MAX || view_to_u64(view_slice(range, slash + 1, SIZE_MAX), INT64_MAX, size))
        *size = 0;
}

void s3_object_read(const struct outgoing_result *result, struct s3_object *object, uint64_t *start)
{
    *object = (struct s3_object){.etag = unquoted(header_of(result, "etag")),
                                 .version = header_of(result, "x-amz-version-id"),
                                 .sha256 = header_of(result, "x-amz-checksum-sha256")};
    *start = 0;
    if (result->status == 206)
        read_range(header_of(result, "content-range"), start, &object->size);
    else if (view_to_u64(header_of(result, "content-length"), INT64_MAX, &object->size))
        object->size = 0;
}

static bool is_one_of(struct view code, const char *const *codes)
{
    for (; *codes; codes++)
        if (view_equal_string(code, *codes))
            return true;
    return false;
}

/* What passes, by its code, whatever the status it comes with. */
static bool may_pass(struct view code)
{
    static const char *const codes[] = {"InternalError",
                                        "ServiceUnavailable",
                                        "RequestTimeout",
                                        "XMinioServerNotInitialized",
                                        "BadDigest",
                                        "XAmzContentSHA256Mismatch",
                                        NULL};

    return is_one_of(code, codes) || retry_is_throttle(code);
}

static bool denied(struct view code)
{
    static const char *const codes[] = {"AccessDenied",          "ExpiredToken",
                                        "InvalidToken",          "InvalidAccessKeyId",
                                        "SignatureDoesNotMatch", "TokenRefreshRequired",
                                        "RequestTimeTooSkewed",  NULL};

    return is_one_of(code, codes);
}

static enum s3_outcome outcome_of(int status, struct view code)
{
    if (status == 429 || (status >= 500 && status != 501) || may_pass(code))
        return S3_UNAVAILABLE;
    if (status == 401 || status == 403 || denied(code))
        return S3_DENIED;
    if (status == 404 || view_starts_with(code, VIEW("NoSuch")))
        return S3_NOT_FOUND;
    return status == 409 || status == 412 ? S3_CONFLICT : S3_REFUSED;
}

static void read_failure(const struct outgoing_result *result, struct arena *arena,
                         struct s3_answer *answer, struct view *region)
{
    struct s3_failure failure;

    if (s3_read_failure(result->body, arena, &failure)) {
        answer->code = failure.code;
        answer->message = failure.message;
        if (failure.request_id.length)
            answer->request_id = failure.request_id;
        if (!region->length)
            *region = failure.region;
    }
    answer->outcome = outcome_of(result->status, answer->code);
    if (!answer->message.length)
        answer->message =
            view_of(arena_format(arena, "S3 answered with status %d.", result->status));
}

/* It came, but it is not what such a call is answered with. */
static void doubt(struct s3_answer *answer, const char *code, const char *message)
{
    answer->outcome = S3_UNAVAILABLE;
    answer->error = ERROR_DAMAGED;
    answer->code = view_of(code);
    answer->message = view_of(message);
}

/* The service tells what it got: by its own checksum, or by an ETag that is an MD5, as it is where nothing
 * but S3 itself encrypts. */
static bool arrived(const struct s3_call *call, const struct outgoing_result *result,
                    const struct s3_object *object)
{
    struct view encryption = header_of(result, "x-amz-server-side-encryption");

    if (object->sha256.length)
        return view_equal_string(object->sha256, call->proof.sha256_base64);
    if (!call->proof.md5[0] || object->etag.length != 32 ||
        view_starts_with(encryption, VIEW("aws:")) ||
        header_of(result, "x-amz-server-side-encryption-customer-algorithm").length)
        return true;
    return view_equal_string(object->etag, call->proof.md5);
}

static void read_list(const struct s3_call *call, const struct outgoing_result *result,
                      struct arena *arena, struct s3_answer *answer)
{
    struct s3_list list;

    if (s3_read_list(call->request.operation, result->body, arena, &list)) {
        doubt(answer, "MalformedAnswer", "S3 answered with a list that cannot be read.");
        return;
    }
    answer->items = list.items;
    answer->item_count = list.count;
    answer->next = list.next;
    answer->next_upload = list.next_upload;
    answer->checksums = list.checksums;
}

static void read_success(const struct s3_call *call, const struct outgoing_result *result,
                         struct arena *arena, struct s3_answer *answer, struct view *region)
{
    struct s3_failure failure;
    uint64_t start;

    s3_object_read(result, &answer->object, &start);
    switch (call->request.operation) {
    case S3_PUT_OBJECT:
    case S3_UPLOAD_PART:
        answer->object.size = call->request.content.length;
        if (!answer->object.etag.length)
            doubt(answer, "MalformedAnswer", "S3 took the bytes without telling their ETag.");
        else if (!arrived(call, result, &answer->object))
            doubt(answer, "ChecksumMismatch", "S3 has other bytes than those that were sent.");
        break;
    case S3_BEGIN_UPLOAD:
        answer->checksums =
            view_equal(header_of(result, "x-amz-checksum-algorithm"), VIEW("SHA256"));
        if (s3_read_upload_id(result->body, arena, &answer->upload_id))
            doubt(answer, "MalformedAnswer", "S3 began an upload without telling its id.");
        break;
    case S3_COMPLETE_UPLOAD:
        answer->object.size = 0;
        if (s3_read_failure(result->body, arena, &failure))
            read_failure(result, arena, answer, region);
        else if (s3_read_completed(result->body, arena, &answer->object))
            doubt(answer, "MalformedAnswer", "S3 did not say whether the parts were joined.");
        break;
    case S3_LIST_OBJECTS:
    case S3_LIST_PARTS:
    case S3_LIST_UPLOADS:
        read_list(call, result, arena, answer);
        break;
    case S3_GET_OBJECT:
    case S3_HEAD_OBJECT:
    case S3_DELETE_OBJECT:
    case S3_HEAD_BUCKET:
    case S3_ABORT_UPLOAD:
    case S3_OPERATION_COUNT:
        break;
    }
}

void s3_answer_read(const struct s3_call *call, const struct outgoing_result *result,
                    struct arena *arena, struct s3_answer *answer, struct view *region)
{
    s3_answer_empty(answer);
    *region = header_of(result, "x-amz-bucket-region");
    answer->status = result->status;
    answer->error = result->error;
    answer->sent = result->reach != OUTGOING_NOT_SENT;
    answer->request_id = header_of(result, "x-amz-request-id");
    if (result->error) {
        answer->outcome = call->unreadable                 ? S3_STOPPED
                          : result->error == ERROR_INVALID ? S3_REFUSED
                                                           : S3_UNAVAILABLE;
        answer->code = view_of(error_name(result->error));
        answer->message = view_of(result->reason);
    } else if (result->status >= 200 && result->status < 300) {
        read_success(call, result, arena, answer, region);
    } else {
        read_failure(result, arena, answer, region);
    }
    /* S3 may name the region of a bucket that is found; only who was elsewhere goes there. */
    if (answer->outcome == S3_OK)
        *region = VIEW("");
}
