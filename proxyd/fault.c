/* Knows each fault's status, class and sentence, and writes the problem document. */
#include "proxyd/fault.h"

#include "common/base/json.h"

static const struct fault_row rows[] = {
#define FAULT_ROW(code, name, status, class, retried, retry_after_s, title, sentence)              \
    {name, status, CLASS_##class, retried, retry_after_s, title, sentence},
    FAULT_LIST(FAULT_ROW)
#undef FAULT_ROW
};

const struct fault_row *fault_row(enum fault fault)
{
    REQUIRE((unsigned)fault < FAULT_COUNT);
    return &rows[fault];
}

const char *fault_class_name(enum fault_class class)
{
    static const char *const names[] = {"", "not-started", "unknown", "ran"};

    return names[class];
}

static const char *title_of(int status, const char *otherwise)
{
    switch (status) {
    case 408:
        return "Request Timeout";
    case 413:
        return "Content Too Large";
    case 414:
        return "URI Too Long";
    case 417:
        return "Expectation Failed";
    case 431:
        return "Request Header Fields Too Large";
    case 501:
        return "Not Implemented";
    case 505:
        return "HTTP Version Not Supported";
    }
    return otherwise;
}

void fault_problem(struct buffer *out, enum fault fault, int status, const char *detail,
                   const char *request_id)
{
    const struct fault_row *row = fault_row(fault);
    char type[64] = "urn:app-orchestrator:fault:", instance[64] = "urn:uuid:";
    struct buffer text;
    struct json_writer w;

    buffer_init(&text, sizeof type + sizeof instance);
    buffer_append_string(&text, type);
    buffer_append_string(&text, row->name);
    json_begin(&w, out);
    json_open_object(&w, NULL);
    json_write_string(&w, "type", buffer_view(&text));
    json_write_string(
        &w, "title",
        view_of(status && status != row->status ? title_of(status, row->title) : row->title));
    json_write_integer(&w, "status", status ? status : row->status);
    json_write_string(&w, "detail", view_of(detail ? detail : row->sentence));
    buffer_clear(&text);
    buffer_append_string(&text, instance);
    buffer_append_string(&text, request_id);
    json_write_string(&w, "instance", buffer_view(&text));
    json_close_object(&w);
    buffer_release(&text);
}
