/* Reads the XML that S3 answers with, and writes the one document that it wants. */
#include "common/aws/s3_xml.h"

#include "common/base/clock.h"
#include "common/base/escape.h"
#include "common/base/xml.h"

#include <stdlib.h>

struct wanted {
    const char *path;
    struct view *text;
};

struct collected {
    const struct wanted *wanted;
    size_t count;
    struct arena *arena;
};

static bool collect(struct view path, struct view text, void *context)
{
    struct collected *collected = context;

    for (size_t i = 0; i < collected->count; i++)
        if (view_equal_string(path, collected->wanted[i].path) &&
            !collected->wanted[i].text->length)
            *collected->wanted[i].text = arena_copy(collected->arena, text);
    return true;
}

static enum error read_texts(struct view document, struct arena *arena, const struct wanted *wanted,
                             size_t count)
{
    struct collected collected = {wanted, count, arena};
    enum error error = xml_read(document, collect, &collected);

    return error ? error : arena->error;
}

/* ETags stand in quotes, in headers as in XML. */
static struct view unquoted(struct view text)
{
    if (text.length >= 2 && text.data[0] == '"' && text.data[text.length - 1] == '"')
        return view_slice(text, 1, text.length - 2);
    return text;
}

bool s3_read_failure(struct view text, struct arena *arena, struct s3_failure *failure)
{
    *failure = (struct s3_failure){VIEW(""), VIEW(""), VIEW(""), VIEW("")};
    const struct wanted wanted[] = {
        {"Error/Code", &failure->code},
        {"Error/Message", &failure->message},
        {"Error/RequestId", &failure->request_id},
        {"Error/Region", &failure->region},
    };
    if (read_texts(text, arena, wanted, sizeof wanted / sizeof wanted[0]))
        *failure = (struct s3_failure){VIEW(""), VIEW(""), VIEW(""), VIEW("")};
    return failure->code.length > 0;
}

enum error s3_read_upload_id(struct view text, struct arena *arena, struct view *upload_id)
{
    const struct wanted wanted[] = {{"InitiateMultipartUploadResult/UploadId", upload_id}};

    *upload_id = VIEW("");
    enum error error = read_texts(text, arena, wanted, 1);
    return !error && !upload_id->length ? ERROR_INVALID : error;
}

enum error s3_read_completed(struct view text, struct arena *arena, struct s3_object *object)
{
    struct view etag = VIEW(""), sha256 = VIEW("");
    const struct wanted wanted[] = {{"CompleteMultipartUploadResult/ETag", &etag},
                                    {"CompleteMultipartUploadResult/ChecksumSHA256", &sha256}};
    enum error error = read_texts(text, arena, wanted, 2);

    object->etag = unquoted(etag);
    object->sha256 = sha256;
    return !error && !etag.length ? ERROR_INVALID : error;
}

/* ---- lists ---- */

enum field {
    FIELD_KEY,
    FIELD_UPLOAD,
    FIELD_PART,
    FIELD_SIZE,
    FIELD_ETAG,
    FIELD_SHA256,
    FIELD_TIME,
    FIELD_COUNT,
};

/* How each list calls its rows, what a row has, and which of it must be there. */
static const struct form {
    const char *root, *row, *next, *next_upload;
    const char *fields[FIELD_COUNT];
    unsigned must;
} forms[] = {
    [S3_LIST_OBJECTS] = {"ListBucketResult",
                         "Contents",
                         "NextContinuationToken",
                         NULL,
                         {[FIELD_KEY] = "Key",
                          [FIELD_SIZE] = "Size",
                          [FIELD_ETAG] = "ETag",
                          [FIELD_TIME] = "LastModified"},
                         1u << FIELD_KEY | 1u << FIELD_SIZE},
    [S3_LIST_PARTS] = {"ListPartsResult",
                       "Part",
                       "NextPartNumberMarker",
                       NULL,
                       {[FIELD_PART] = "PartNumber",
                        [FIELD_SIZE] = "Size",
                        [FIELD_ETAG] = "ETag",
                        [FIELD_SHA256] = "ChecksumSHA256",
                        [FIELD_TIME] = "LastModified"},
                       1u << FIELD_PART | 1u << FIELD_SIZE | 1u << FIELD_ETAG},
    [S3_LIST_UPLOADS] =
        {"ListMultipartUploadsResult",
         "Upload",
         "NextKeyMarker",
         "NextUploadIdMarker",
         {[FIELD_KEY] = "Key", [FIELD_UPLOAD] = "UploadId", [FIELD_TIME] = "Initiated"},
         1u << FIELD_KEY | 1u << FIELD_UPLOAD},
};

struct reading {
    const struct form *form;
    struct arena *arena;
    struct s3_item *items;
    size_t count;
    unsigned seen; /* fields of the last row */
    struct view truncated, encoding, algorithm, next, next_upload;
    bool wrong;
};

static bool set_number(struct view text, uint64_t max, uint64_t *value)
{
    return view_to_u64(view_trim(text), max, value) == ERROR_NONE;
}

static bool set_field(struct reading *reading, enum field field, struct view text)
{
    struct s3_item *item = &reading->items[reading->count - 1];
    uint64_t number;

    switch (field) {
    case FIELD_KEY:
        item->key = arena_copy(reading->arena, text);
        return true;
    case FIELD_UPLOAD:
        item->upload_id = arena_copy(reading->arena, text);
        return text.length > 0;
    case FIELD_PART:
        if (!set_number(text, S3_MAX_PARTS, &number) || number == 0)
            return false;
        item->part = (unsigned)number;
        return true;
    case FIELD_SIZE:
        return set_number(text, INT64_MAX, &item->size);
    case FIELD_ETAG:
        item->etag = arena_copy(reading->arena, unquoted(text));
        return true;
    case FIELD_SHA256:
        item->sha256 = arena_copy(reading->arena, text);
        return true;
    case FIELD_TIME:
        if (clock_parse_rfc3339(view_trim(text), &item->at_ms))
            item->at_ms = 0;
        return true;
    case FIELD_COUNT:
        break;
    }
    return false;
}

static bool row_whole(const struct reading *reading)
{
    return reading->count == 0 || (reading->seen & reading->form->must) == reading->form->must;
}

/* A field that the row has already begins the next row: rows are told by their leaves alone. */
static bool on_field(struct reading *reading, struct view name, struct view text)
{
    for (int field = 0; field < FIELD_COUNT; field++) {
        const char *wanted = reading->form->fields[field];

        if (!wanted || !view_equal_string(name, wanted))
            continue;
        if (reading->count == 0 || reading->seen & 1u << field) {
            if (!row_whole(reading) || reading->count == S3_MAX_ITEMS)
                return false;
            reading->items[reading->count++] = (struct s3_item){
                .key = VIEW(""), .upload_id = VIEW(""), .etag = VIEW(""), .sha256 = VIEW("")};
            reading->seen = 0;
        }
        reading->seen |= 1u << field;
        return set_field(reading, (enum field)field, text);
    }
    return true;
}

/* Below the root: a text of the list itself, or of one row. */
static bool on_text(struct view path, struct view text, void *context)
{
    struct reading *reading = context;
    const struct form *form = reading->form;
    struct view root, first;

    if (!view_split(&path, '/', &root) || !view_equal_string(root, form->root) || !path.data) {
        reading->wrong = reading->wrong || !view_equal_string(root, form->root);
        return !reading->wrong;
    }
    struct view whole = path;
    view_split(&path, '/', &first);
    if (path.data) {
        if (view_equal_string(first, form->row) && !on_field(reading, path, text))
            reading->wrong = true;
        return !reading->wrong;
    }
    const struct wanted wanted[] = {
        {"IsTruncated", &reading->truncated},
        {"EncodingType", &reading->encoding},
        {"ChecksumAlgorithm", &reading->algorithm},
        {form->next, &reading->next},
        {form->next_upload ? form->next_upload : form->next, &reading->next_upload},
    };
    struct collected collected = {wanted, sizeof wanted / sizeof wanted[0], reading->arena};
    return collect(whole, text, &collected);
}

/* Keys come in the form of URLs, as we asked: XML cannot hold all of them. */
static bool decode(struct arena *arena, struct view *text)
{
    struct buffer out;

    buffer_init(&out, text->length + 1);
    bool fine = percent_decode(&out, *text, true, false) == ERROR_NONE && !out.error;
    if (fine)
        *text = out.length ? arena_copy(arena, buffer_view(&out)) : VIEW("");
    buffer_release(&out);
    return fine;
}

enum error s3_read_list(enum s3_operation operation, struct view text, struct arena *arena,
                        struct s3_list *list)
{
    struct reading reading = {.form = &forms[operation],
                              .arena = arena,
                              .truncated = VIEW(""),
                              .encoding = VIEW(""),
                              .algorithm = VIEW(""),
                              .next = VIEW(""),
                              .next_upload = VIEW("")};

    *list = (struct s3_list){.next = VIEW(""), .next_upload = VIEW("")};
    REQUIRE(forms[operation].root);
    reading.items = arena_alloc(arena, S3_MAX_ITEMS * sizeof *reading.items);
    enum error error = reading.items ? xml_read(text, on_text, &reading) : arena->error;
    bool more = view_equal(view_trim(reading.truncated), VIEW("true"));
    if (!error && (reading.wrong || !row_whole(&reading) || !reading.truncated.length ||
                   (more && !reading.next.length)))
        error = ERROR_INVALID;
    bool encoded = view_equal(reading.encoding, VIEW("url"));
    for (size_t i = 0; !error && encoded && i < reading.count; i++)
        if (!decode(arena, &reading.items[i].key))
            error = ERROR_INVALID;
    if (!error && encoded && operation == S3_LIST_UPLOADS && !decode(arena, &reading.next))
        error = ERROR_INVALID;
    if (!error)
        error = arena->error;
    if (error)
        return error;
    list->items = reading.items;
    list->count = reading.count;
    list->checksums = view_equal(reading.algorithm, VIEW("SHA256"));
    list->next = more ? reading.next : VIEW("");
    list->next_upload = more && forms[operation].next_upload ? reading.next_upload : VIEW("");
    return ERROR_NONE;
}

/* ETags and checksums are what the service told: they hold nothing that XML gives a meaning, or else they
 * are no longer those. */
static void append_text(struct buffer *out, struct view text)
{
    for (size_t i = 0; i < text.length; i++) {
        switch (text.data[i]) {
        case '<':
            buffer_append_string(out, "&lt;");
            break;
        case '&':
            buffer_append_string(out, "&amp;");
            break;
        default:
            buffer_append_byte(out, text.data[i]);
        }
    }
}

void s3_write_parts(struct buffer *out, const struct s3_item *parts, size_t count)
{
    buffer_append_string(
        out, "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (size_t i = 0; i < count; i++) {
        buffer_append_format(out, "<Part><PartNumber>%u</PartNumber><ETag>\"", parts[i].part);
        append_text(out, parts[i].etag);
        buffer_append_string(out, "\"</ETag>");
        if (parts[i].sha256.length) {
            buffer_append_string(out, "<ChecksumSHA256>");
            append_text(out, parts[i].sha256);
            buffer_append_string(out, "</ChecksumSHA256>");
        }
        buffer_append_string(out, "</Part>");
    }
    buffer_append_string(out, "</CompleteMultipartUpload>");
}
