/* Puts wishes to S3 into the form in which they are sent: queries, headers and bodies of each operation. */
#include "common/aws/s3_parts.h"

#include "common/aws/s3_xml.h"
#include "common/base/memory.h"

#include <inttypes.h>
#include <string.h>

#define MAX_UPLOAD_ID    1024
#define MAX_PARTS_BYTES  ((size_t)4 << 20)
#define DEADLINE_MS      60000
#define COMPLETE_MS      600000 /* S3 joins the parts before it answers */
#define READ_MS          1800000
#define SLOWEST_BYTES_MS 32 /* 32 KB/s */
#define PROPERTY_MAX     1024

static const struct s3_row rows[] = {
    [S3_PUT_OBJECT] = {"PutObject", "PUT", true, true},
    [S3_GET_OBJECT] = {"GetObject", "GET", true, false},
    [S3_HEAD_OBJECT] = {"HeadObject", "HEAD", true, false},
    [S3_DELETE_OBJECT] = {"DeleteObject", "DELETE", true, false},
    [S3_LIST_OBJECTS] = {"ListObjectsV2", "GET", false, false},
    [S3_HEAD_BUCKET] = {"HeadBucket", "HEAD", false, false},
    [S3_BEGIN_UPLOAD] = {"CreateMultipartUpload", "POST", true, true},
    [S3_UPLOAD_PART] = {"UploadPart", "PUT", true, true},
    [S3_LIST_PARTS] = {"ListParts", "GET", true, false},
    [S3_COMPLETE_UPLOAD] = {"CompleteMultipartUpload", "POST", true, true},
    [S3_ABORT_UPLOAD] = {"AbortMultipartUpload", "DELETE", true, false},
    [S3_LIST_UPLOADS] = {"ListMultipartUploads", "GET", false, false},
};

const struct s3_row *s3_row(enum s3_operation operation)
{
    REQUIRE(operation < S3_OPERATION_COUNT);
    return &rows[operation];
}

const char *s3_operation_name(enum s3_operation operation)
{
    return s3_row(operation)->name;
}

static bool sends_content(enum s3_operation operation)
{
    return operation == S3_PUT_OBJECT || operation == S3_UPLOAD_PART;
}

static bool of_upload(enum s3_operation operation)
{
    return operation == S3_UPLOAD_PART || operation == S3_LIST_PARTS ||
           operation == S3_COMPLETE_UPLOAD || operation == S3_ABORT_UPLOAD;
}

static bool token(struct view text)
{
    for (size_t i = 0; i < text.length; i++) {
        char c = text.data[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '_' && c != '.')
            return false;
    }
    return text.length > 0 && text.length <= PROPERTY_MAX;
}

static bool printable(struct view text)
{
    for (size_t i = 0; i < text.length; i++)
        if (text.data[i] < ' ' || text.data[i] > '~')
            return false;
    return text.length <= PROPERTY_MAX;
}

static const char *properties_fault(const struct s3_properties *properties)
{
    if (properties->metadata_count > S3_MAX_METADATA)
        return "There is more metadata than an object may have.";
    for (size_t i = 0; i < properties->metadata_count; i++)
        if (!token(properties->metadata[i].name) || !printable(properties->metadata[i].value))
            return "Metadata is text of ASCII, its names lower-case letters, digits, '-', '_' and "
                   "'.'.";
    if (!printable(properties->content_type) || !printable(properties->kms_key_id))
        return "The type of the content and the id of a key are text of ASCII.";
    return NULL;
}

static const char *parts_fault(const struct s3_request *request)
{
    if (request->part_count == 0 || request->part_count > S3_MAX_PARTS)
        return "An upload has 1 to 10,000 parts.";
    for (size_t i = 0; i < request->part_count; i++)
        if (request->parts[i].part == 0 || request->parts[i].part > S3_MAX_PARTS ||
            (i && request->parts[i].part <= request->parts[i - 1].part))
            return "Parts are told in rising order.";
    return NULL;
}

static const char *fault_of(const struct s3_request *request)
{
    const struct s3_row *row = s3_row(request->operation);

    if (!s3_bucket_lawful(request->bucket))
        return "That is not the name of a bucket.";
    if (row->of_object && (request->key.length == 0 || request->key.length > S3_MAX_KEY))
        return "A key has 1 to 1,024 bytes.";
    if (request->prefix.length > S3_MAX_KEY || request->after.length > 2 * S3_MAX_KEY ||
        request->after_upload.length > MAX_UPLOAD_ID || request->version.length > MAX_UPLOAD_ID ||
        request->if_match.length > MAX_UPLOAD_ID)
        return "A prefix, a version or a marker is longer than S3's are.";
    if (of_upload(request->operation) &&
        (request->upload_id.length == 0 || request->upload_id.length > MAX_UPLOAD_ID))
        return "That is not the id of an upload.";
    if (request->operation == S3_UPLOAD_PART &&
        (request->part == 0 || request->part > S3_MAX_PARTS))
        return "Parts have the numbers 1 to 10,000.";
    if (sends_content(request->operation) && request->content.length > S3_MAX_PUT)
        return "S3 takes at most 5 GiB at once.";
    if (request->expected_owner.length &&
        (request->expected_owner.length != 12 || !token(request->expected_owner)))
        return "The expected owner is an account of 12 digits.";
    if (request->operation == S3_COMPLETE_UPLOAD)
        return parts_fault(request);
    return request->properties ? properties_fault(request->properties) : NULL;
}

static void keep(struct s3_call *call, struct view *text)
{
    *text = text->length ? arena_copy(&call->arena, *text) : VIEW("");
}

static void take_properties(struct s3_call *call, const struct s3_properties *properties)
{
    struct sigv4_header *metadata;

    if (!properties)
        return;
    call->properties = *properties;
    keep(call, &call->properties.content_type);
    keep(call, &call->properties.kms_key_id);
    metadata = arena_alloc(&call->arena, (properties->metadata_count + 1) * sizeof *metadata);
    if (!metadata)
        return;
    for (size_t i = 0; i < properties->metadata_count; i++) {
        metadata[i].name = view_of(arena_format(&call->arena, "x-amz-meta-%.*s",
                                                VIEW_FORMAT(properties->metadata[i].name)));
        metadata[i].value = properties->metadata[i].value;
        keep(call, &metadata[i].value);
    }
    call->properties.metadata = metadata;
}

static void take_content(struct s3_call *call)
{
    struct s3_request *request = &call->request;

    if (request->present) {
        struct s3_item *present = arena_alloc(&call->arena, sizeof *present);

        if (present) {
            *present = *request->present;
            keep(call, &present->etag);
            keep(call, &present->sha256);
        }
        request->present = present;
    }
    if (!request->content.sha256.length)
        call->digest = s3_digest_new();
    else if (s3_proof_from_sha256(request->content.sha256, &call->proof))
        call->fault = "That is no SHA-256 in hex.";
}

void s3_request_take(struct s3_call *call, const struct s3_request *request)
{
    struct s3_request *copy = &call->request;

    *copy = *request;
    if (!copy->expected_owner.length)
        copy->expected_owner = call->s3->expected_owner;
    buffer_init(&call->body, MAX_PARTS_BYTES);
    call->fault = fault_of(copy);
    if (call->fault)
        return;
    struct view *texts[] = {&copy->bucket,       &copy->key,      &copy->version,
                            &copy->upload_id,    &copy->prefix,   &copy->after,
                            &copy->after_upload, &copy->if_match, &copy->expected_owner};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        keep(call, texts[i]);
    take_properties(call, request->properties);
    if (request->operation == S3_COMPLETE_UPLOAD)
        s3_write_parts(&call->body, request->parts, request->part_count);
    if (sends_content(request->operation)) {
        take_content(call);
    } else {
        struct s3_digest *digest = s3_digest_new();

        s3_digest_update(digest, call->body.data ? call->body.data : "", call->body.length);
        s3_digest_finish(digest, &call->proof);
    }
    if (call->arena.error || call->body.error)
        call->fault = "The call is too large.";
}

static void query_number(struct buffer *query, const char *name, uint64_t value)
{
    buffer_append_format(query, "%s%s=%" PRIu64, query->length ? "&" : "", name, value);
}

static void query_text(struct buffer *query, const char *name, struct view value)
{
    if (value.length)
        s3_query(query, name, value);
}

static void query_list(const struct s3_call *call, struct buffer *query)
{
    const struct s3_request *request = &call->request;
    unsigned most =
        request->max_items && request->max_items < S3_MAX_ITEMS ? request->max_items : S3_MAX_ITEMS;

    if (request->operation == S3_LIST_PARTS) {
        query_text(query, "part-number-marker", request->after);
        query_number(query, "max-parts", most);
        return;
    }
    if (request->operation == S3_LIST_OBJECTS) {
        query_text(query, "list-type", VIEW("2"));
        query_text(query, "continuation-token", request->after);
        query_number(query, "max-keys", most);
    } else {
        buffer_append_string(query, "uploads=");
        query_text(query, "key-marker", request->after);
        query_text(query, "upload-id-marker", request->after_upload);
        query_number(query, "max-uploads", most);
    }
    query_text(query, "encoding-type", VIEW("url"));
    query_text(query, "prefix", request->prefix);
}

void s3_request_query(const struct s3_call *call, struct buffer *query)
{
    const struct s3_request *request = &call->request;

    if (request->operation == S3_BEGIN_UPLOAD)
        buffer_append_string(query, "uploads=");
    if (request->operation == S3_UPLOAD_PART)
        query_number(query, "partNumber", request->part);
    if (of_upload(request->operation))
        query_text(query, "uploadId", request->upload_id);
    if (request->operation == S3_GET_OBJECT || request->operation == S3_HEAD_OBJECT ||
        request->operation == S3_DELETE_OBJECT)
        query_text(query, "versionId", request->version);
    if (request->operation == S3_LIST_OBJECTS || request->operation == S3_LIST_PARTS ||
        request->operation == S3_LIST_UPLOADS)
        query_list(call, query);
}

struct lines {
    struct sigv4_header *rows;
    size_t count;
};

static void add(struct lines *lines, const char *name, struct view value)
{
    REQUIRE(lines->count < S3_MAX_HEADERS);
    lines->rows[lines->count++] = (struct sigv4_header){view_of(name), value};
}

static void add_properties(const struct s3_call *call, struct lines *lines)
{
    const struct s3_properties *properties = &call->properties;

    if (properties->content_type.length)
        add(lines, "content-type", properties->content_type);
    for (size_t i = 0; i < properties->metadata_count; i++)
        add(lines, properties->metadata[i].name.data, properties->metadata[i].value);
    if (properties->kms) {
        add(lines, "x-amz-server-side-encryption", VIEW("aws:kms"));
        if (properties->kms_key_id.length)
            add(lines, "x-amz-server-side-encryption-aws-kms-key-id", properties->kms_key_id);
    }
    if (properties->if_none_match && call->request.operation == S3_PUT_OBJECT)
        add(lines, "if-none-match", VIEW("*"));
}

/* What broke in the middle goes on there, of the object that it was. */
static void add_range(const struct s3_call *call, struct arena *arena, struct lines *lines)
{
    const struct s3_request *request = &call->request;
    uint64_t from = request->offset + call->received;
    struct view etag = call->got_head ? call->object.etag : request->if_match;

    if (request->length)
        add(lines, "range",
            view_of(arena_format(arena, "bytes=%" PRIu64 "-%" PRIu64, from,
                                 request->offset + request->length - 1)));
    else if (from)
        add(lines, "range", view_of(arena_format(arena, "bytes=%" PRIu64 "-", from)));
    if (etag.length)
        add(lines, "if-match", view_of(arena_format(arena, "\"%.*s\"", VIEW_FORMAT(etag))));
}

size_t s3_request_headers(const struct s3_call *call, struct arena *arena,
                          struct sigv4_header headers[S3_MAX_HEADERS])
{
    const struct s3_request *request = &call->request;
    struct lines lines = {.rows = headers};

    add(&lines, S3_CONTENT_HASH, view_of(call->proof.sha256));
    if (request->expected_owner.length)
        add(&lines, "x-amz-expected-bucket-owner", request->expected_owner);
    if (sends_content(request->operation) && call->s3->checksums)
        add(&lines, "x-amz-checksum-sha256", view_of(call->proof.sha256_base64));
    if (request->operation == S3_BEGIN_UPLOAD && call->s3->checksums)
        add(&lines, "x-amz-checksum-algorithm", VIEW("SHA256"));
    if (request->operation == S3_PUT_OBJECT || request->operation == S3_BEGIN_UPLOAD)
        add_properties(call, &lines);
    if (request->operation == S3_GET_OBJECT || request->operation == S3_HEAD_OBJECT)
        add(&lines, "x-amz-checksum-mode", VIEW("ENABLED"));
    if (request->operation == S3_GET_OBJECT)
        add_range(call, arena, &lines);
    if (request->operation == S3_COMPLETE_UPLOAD)
        add(&lines, "content-type", VIEW("application/xml"));
    return lines.count;
}

int64_t s3_request_deadline_ms(const struct s3_call *call)
{
    const struct s3_request *request = &call->request;

    if (request->deadline_ms)
        return request->deadline_ms;
    if (request->operation == S3_GET_OBJECT)
        return READ_MS;
    if (request->operation == S3_COMPLETE_UPLOAD)
        return COMPLETE_MS;
    return DEADLINE_MS + (sends_content(request->operation)
                              ? (int64_t)(request->content.length / SLOWEST_BYTES_MS)
                              : 0);
}
