/* Names what can go wrong, and writes it as RFC 9457 documents and as pages. */
#include "managerd/problem.h"

#include "common/base/id.h"

#include <stdio.h>

static const struct {
    const char *slug;
    int status;
    const char *title;
    const char *page;
} problems[] = {
#define PROBLEM_ROW(code, slug, status, title, page) {slug, status, title, page},
    PROBLEM_LIST(PROBLEM_ROW)
#undef PROBLEM_ROW
};

const char *problem_slug(enum problem_type type)
{
    return problems[type].slug;
}

int problem_status(enum problem_type type)
{
    return problems[type].status;
}

const char *problem_title(enum problem_type type)
{
    return problems[type].title;
}

enum problem_type problem_find(struct view slug)
{
    for (unsigned i = PROBLEM_NONE + 1; i < PROBLEM_COUNT; i++)
        if (view_equal_string(slug, problems[i].slug))
            return (enum problem_type)i;
    return PROBLEM_COUNT;
}

void problem_page(enum problem_type type, struct buffer *out)
{
    buffer_append_format(out,
                         "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">"
                         "<title>%s</title>\n<h1>%s</h1>\n<p>Status %d. %s</p>\n</html>\n",
                         problems[type].title, problems[type].title, problems[type].status,
                         problems[type].page);
}

static void set_aws(struct json *document, const struct problem *problem)
{
    if (!problem->aws_code.length && !problem->aws_message.length)
        return;
    struct json *aws = json_new_object();
    json_set_string(aws, "code", problem->aws_code);
    json_set_string(aws, "message", problem->aws_message);
    json_set_string(aws, "requestId", problem->aws_request_id);
    json_set(document, "aws", aws);
}

struct json *problem_document(const struct problem *problem, const struct faults *faults,
                              const char *instance)
{
    char text[256];
    struct json *document = json_new_object();
    snprintf(text, sizeof text, "/problems/%s", problems[problem->type].slug);
    json_set_string(document, "type", view_of(text));
    json_set_string(document, "title", view_of(problems[problem->type].title));
    json_set_integer(document, "status",
                     problem->status ? problem->status : problems[problem->type].status);
    if (problem->detail)
        json_set_string(document, "detail", view_of(problem->detail));
    if (instance) {
        /* A request id of the client's own making need not be a UUID. */
        snprintf(text, sizeof text, "%s%s", id_valid(view_of(instance)) ? "urn:uuid:" : "",
                 instance);
        json_set_string(document, "instance", view_of(text));
    }
    if (faults && faults->count) {
        struct json *errors = json_new_array();
        for (size_t i = 0; i < faults->count; i++) {
            const struct fault *fault = &faults->list[i];
            struct json *one = json_new_object();
            if (fault->pointer)
                json_set_string(one, "pointer", view_of(fault->pointer));
            if (fault->parameter)
                json_set_string(one, "parameter", view_of(fault->parameter));
            json_set_string(one, "detail", view_of(fault->detail));
            json_append(errors, one);
        }
        json_set(document, "errors", errors);
    }
    set_aws(document, problem);
    return document;
}
