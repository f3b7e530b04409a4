/* Does with S3 what JSON lines ask for, with the client of common/aws: for tests/blackbox. */
#include "common/aws/credentials_source.h"
#include "common/aws/s3.h"
#include "common/base/json.h"
#include "common/base/log.h"

#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_PARTS 32

static struct event_base *base;
static struct s3 *s3;
static int file = -1; /* what is read from, or into */
static struct json *tree;

static struct view text(const char *name)
{
    struct view value;

    return json_get_string(tree, name, &value) ? value : VIEW("");
}

static int64_t number(const char *name)
{
    int64_t value;

    return json_get_integer(tree, name, &value) ? value : 0;
}

static bool flag(const char *name)
{
    bool value;

    return json_get_bool(tree, name, &value) && value;
}

static void say(struct buffer *out)
{
    REQUIRE(out->error == ERROR_NONE);
    printf("%s\n", out->data);
    fflush(stdout);
    buffer_release(out);
}

static void begin(struct json_writer *writer, struct buffer *out)
{
    buffer_init(out, (size_t)16 << 20);
    json_begin(writer, out);
    json_open_object(writer, NULL);
}

static void write_object(struct json_writer *writer, const struct s3_object *object)
{
    json_write_integer(writer, "size", (int64_t)object->size);
    json_write_string(writer, "etag", object->etag);
    json_write_string(writer, "version", object->version);
    json_write_string(writer, "sha256", object->sha256);
}

static void on_answer(const struct s3_answer *answer, void *context)
{
    static const char *const outcomes[] = {"ok",     "not-found",   "conflict", "refused",
                                           "denied", "unavailable", "stopped"};
    struct json_writer writer;
    struct buffer out;
    struct view header;

    (void)context;
    begin(&writer, &out);
    json_write_string(&writer, "outcome", view_of(outcomes[answer->outcome]));
    json_write_integer(&writer, "status", answer->status);
    json_write_string(&writer, "error", view_of(error_name(answer->error)));
    json_write_string(&writer, "code", answer->code);
    json_write_string(&writer, "message", answer->message);
    json_write_string(&writer, "request_id", answer->request_id);
    json_write_string(&writer, "upload_id", answer->upload_id);
    json_write_bool(&writer, "checksums", answer->checksums);
    json_write_string(&writer, "next", answer->next);
    json_write_string(&writer, "next_upload", answer->next_upload);
    write_object(&writer, &answer->object);
    if (s3_header(answer, "x-amz-meta-sha256", &header))
        json_write_string(&writer, "meta_sha256", header);
    json_open_array(&writer, "items");
    for (size_t i = 0; i < answer->item_count; i++) {
        const struct s3_item *item = &answer->items[i];

        json_open_object(&writer, NULL);
        json_write_string(&writer, "key", item->key);
        json_write_string(&writer, "upload_id", item->upload_id);
        json_write_integer(&writer, "part", item->part);
        json_write_integer(&writer, "size", (int64_t)item->size);
        json_write_string(&writer, "etag", item->etag);
        json_write_string(&writer, "sha256", item->sha256);
        json_write_integer(&writer, "at_ms", item->at_ms);
        json_close_object(&writer);
    }
    json_close_array(&writer);
    json_close_object(&writer);
    say(&out);
    event_base_loopbreak(base);
}

static bool on_bytes(struct view bytes, const struct s3_object *object, void *context)
{
    uint64_t enough = (uint64_t)number("enough");

    (void)context;
    REQUIRE(pwrite(file, bytes.data, bytes.length, (off_t)object->offset) == (ssize_t)bytes.length);
    return !enough || object->offset + bytes.length < enough;
}

static void open_file(bool write)
{
    file = open(text("file").data, write ? O_RDWR | O_CREAT | O_TRUNC : O_RDONLY, 0600);
    REQUIRE(file >= 0);
}

static void read_content(struct s3_content *content)
{
    struct stat status;

    if (!text("file").length) {
        *content = (struct s3_content){
            .bytes = text("bytes").data, .length = text("bytes").length, .sha256 = text("sha256")};
        return;
    }
    open_file(false);
    REQUIRE(fstat(file, &status) == 0);
    *content = (struct s3_content){.in_file = true,
                                   .fd = file,
                                   .offset = (uint64_t)number("offset"),
                                   .length = number("length") ? (uint64_t)number("length")
                                                              : (uint64_t)status.st_size,
                                   .sha256 = text("sha256")};
}

static size_t read_parts(struct s3_item *parts)
{
    size_t count = 0;

    for (const struct json *part = json_first(json_get(tree, "parts")); part;
         part = json_next(part)) {
        int64_t value = 0;

        REQUIRE(count < MAX_PARTS && json_get_integer(part, "part", &value));
        parts[count] = (struct s3_item){.part = (unsigned)value, .sha256 = VIEW("")};
        json_get_string(part, "etag", &parts[count].etag);
        json_get_string(part, "sha256", &parts[count].sha256);
        count++;
    }
    return count;
}

static void call(enum s3_operation operation)
{
    const struct sigv4_header metadata[] = {{VIEW("sha256"), text("meta_sha256")}};
    struct s3_properties properties = {.content_type = text("content_type"),
                                       .metadata = metadata,
                                       .metadata_count = text("meta_sha256").length ? 1 : 0,
                                       .kms = flag("kms"),
                                       .kms_key_id = text("kms_key_id"),
                                       .if_none_match = flag("if_none_match")};
    struct s3_item parts[MAX_PARTS];
    struct s3_request request = {.operation = operation,
                                 .bucket = text("bucket"),
                                 .key = text("key"),
                                 .version = text("version"),
                                 .properties = &properties,
                                 .upload_id = text("upload_id"),
                                 .part = (unsigned)number("part"),
                                 .parts = parts,
                                 .part_count = read_parts(parts),
                                 .prefix = text("prefix"),
                                 .after = text("after"),
                                 .after_upload = text("after_upload"),
                                 .max_items = (unsigned)number("max_items"),
                                 .if_match = text("if_match"),
                                 .on_bytes = on_bytes,
                                 .expected_owner = text("expected_owner"),
                                 .deadline_ms = number("deadline_ms"),
                                 .once = flag("once")};
    if (operation == S3_GET_OBJECT) {
        open_file(true);
        request.offset = (uint64_t)number("offset");
        request.length = (uint64_t)number("length");
    } else {
        read_content(&request.content);
    }
    s3_send(s3, &request, on_answer, NULL);
    event_base_dispatch(base);
}

static void presign(void)
{
    struct sigv4_header headers[8];
    struct json_writer writer;
    struct buffer out, url;
    size_t count = 0;

    for (const struct json *header = json_first(json_get(tree, "headers")); header && count < 8;
         header = json_next(header)) {
        const struct json *name = json_first(header);

        headers[count++] = (struct sigv4_header){json_string(name), json_string(json_next(name))};
    }
    buffer_init(&url, 16384);
    struct s3_presign wish = {.method = text("method").data,
                              .bucket = text("bucket"),
                              .key = text("key"),
                              .version = text("version"),
                              .upload_id = text("upload_id"),
                              .part = (unsigned)number("part"),
                              .expires_s = number("expires_s"),
                              .headers = headers,
                              .header_count = count};
    enum error error = s3_presign(s3, &wish, &url);
    begin(&writer, &out);
    json_write_string(&writer, "error", view_of(error_name(error)));
    json_write_string(&writer, "url", error ? VIEW("") : buffer_view(&url));
    json_close_object(&writer);
    say(&out);
    buffer_release(&url);
}

static void answer(struct view line)
{
    static const char *const names[] = {"put",        "get",      "head",  "delete",
                                        "list",       "bucket",   "begin", "part",
                                        "list_parts", "complete", "abort", "uploads"};
    struct view what;

    REQUIRE(json_parse(line, 8, &tree, NULL) == ERROR_NONE);
    what = text("do");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (view_equal_string(what, names[i]))
            call((enum s3_operation)i);
    if (view_equal_string(what, "presign"))
        presign();
    if (file >= 0)
        close(file);
    file = -1;
    json_free(tree);
}

int main(void)
{
    struct credentials_source *source;
    struct credentials_provider *provider;
    struct buffer problem;
    char *line = NULL;
    size_t room = 0;
    ssize_t length;

    signal(SIGPIPE, SIG_IGN);
    base = event_base_new();
    buffer_init(&problem, 4096);
    REQUIRE(base);
    if (credentials_source_new(base, (const char *(*)(const char *))getenv, &source, &problem)) {
        fprintf(stderr, "%s\n", problem.data);
        return 2;
    }
    provider = credentials_provider_new(source, base);
    struct s3_options options = {.variable = (const char *(*)(const char *))getenv,
                                 .credentials = provider};
    if (s3_new(base, &options, &s3, &problem)) {
        fprintf(stderr, "%s\n", problem.data);
        return 2;
    }
    while ((length = getline(&line, &room, stdin)) > 0)
        answer(view_from(line, (size_t)length));
    free(line);
    s3_free(s3);
    credentials_provider_free(provider);
    credentials_source_free(source);
    event_base_free(base);
    buffer_release(&problem);
    return 0;
}
