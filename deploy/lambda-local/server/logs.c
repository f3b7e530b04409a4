/* FilterLogEvents of CloudWatch Logs, over what the functions' sandboxes printed. */
#include "deploy/lambda-local/server/api.h"

#include "common/base/escape.h"
#include "deploy/lambda-local/function_log.h"
#include "deploy/lambda-local/server/log_filter.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TARGET         "Logs_20140328.FilterLogEvents"
#define GROUP_START    "/aws/lambda/"
#define MAX_EVENTS     10000
#define MAX_PAGE_BYTES (1024 * 1024) /* of messages, as on AWS */
#define MAX_READ_BYTES (4 * 1024 * 1024)
#define MAX_STREAMS    100
#define MAX_PATTERN    1024
#define TOKEN_SIZE     48

struct page {
    const struct json *streams; /* NULL: all */
    struct view prefix, pattern;
    int64_t start_ms, end_ms, limit;
    int64_t count;
    size_t bytes;
    struct json_writer w;
};

static bool stream_is_wanted(const struct page *page, struct view stream)
{
    const struct json *one = json_first(page->streams);

    if (!view_starts_with(stream, page->prefix))
        return false;
    while (one && !view_equal(json_string(one), stream))
        one = json_next(one);
    return one || !page->streams;
}

/* Bytes that are no UTF-8 have no place in JSON. */
static void write_message(struct json_writer *w, struct view message)
{
    struct buffer text;

    if (utf8_valid(message)) {
        json_write_string(w, "message", message);
        return;
    }
    buffer_init(&text, message.length + 1);
    for (size_t i = 0; i < message.length; i++)
        buffer_append_byte(&text, (message.data[i] & 0x80) != 0 ? '?' : message.data[i]);
    json_write_string(w, "message", buffer_view(&text));
    buffer_release(&text);
}

static bool on_event(const struct function_log_event *event, void *context)
{
    struct page *page = context;
    char id[64];

    if (event->time_ms < page->start_ms || event->time_ms > page->end_ms ||
        !stream_is_wanted(page, event->stream) ||
        !log_filter_matches(page->pattern, event->message))
        return true;
    if (page->count == page->limit ||
        (page->count && page->bytes + event->message.length > MAX_PAGE_BYTES))
        return false;
    page->count++;
    page->bytes += event->message.length;
    snprintf(id, sizeof id, "%014" PRId64 "%020" PRIu64 "%022" PRIu64, event->time_ms,
             event->place.file, event->place.offset);
    json_open_object(&page->w, NULL);
    json_write_string(&page->w, "logStreamName", event->stream);
    json_write_integer(&page->w, "timestamp", event->time_ms);
    write_message(&page->w, event->message);
    json_write_integer(&page->w, "ingestionTime", event->time_ms);
    json_write_string(&page->w, "eventId", view_of(id));
    json_close_object(&page->w);
    return true;
}

static bool read_token(struct view token, struct function_log_place *place)
{
    struct view file;

    return view_split(&token, '.', &file) && token.data &&
           view_to_u64(file, UINT64_MAX, &place->file) == ERROR_NONE &&
           view_to_u64(token, INT64_MAX, &place->offset) == ERROR_NONE;
}

static const char *check_page(const struct json *document, struct page *page)
{
    const struct json *limit = json_get(document, "limit");

    page->streams = json_get(document, "logStreamNames");
    json_get_string(document, "logStreamNamePrefix", &page->prefix);
    json_get_string(document, "filterPattern", &page->pattern);
    json_get_integer(document, "startTime", &page->start_ms);
    json_get_integer(document, "endTime", &page->end_ms);
    if (limit &&
        (!json_integer(limit, &page->limit) || page->limit < 1 || page->limit > MAX_EVENTS))
        return "1 validation error detected: Value at 'limit' failed to satisfy constraint: Member "
               "must have value from 1 to 10000";
    if (page->streams && (json_type_of(page->streams) != JSON_ARRAY ||
                          json_count(page->streams) > MAX_STREAMS || !json_first(page->streams)))
        return "1 validation error detected: Value at 'logStreamNames' failed to satisfy "
               "constraint: Member must have length from 1 to 100";
    if (page->streams && page->prefix.length)
        return "logStreamNames and logStreamNamePrefix are mutually exclusive.";
    if (page->start_ms < 0 || page->end_ms < page->start_ms)
        return "The time range is empty: endTime is before startTime.";
    if (page->pattern.length > MAX_PATTERN || !log_filter_valid(page->pattern))
        return "Invalid filter pattern (lambda-local knows words, \"phrases\", -words and ?words).";
    return NULL;
}

static void answer_page(struct api_call *call, struct function *function, struct page *page,
                        struct function_log_place *place)
{
    struct incoming_header header = {VIEW("Content-Type"), VIEW("application/x-amz-json-1.1")};
    struct buffer body;
    char token[TOKEN_SIZE];
    bool more;

    buffer_init(&body, 64 * 1024 * 1024);
    json_begin(&page->w, &body);
    json_open_object(&page->w, NULL);
    json_open_array(&page->w, "events");
    enum error error = function_log_read(function, place, MAX_READ_BYTES, on_event, page, &more);
    json_close_array(&page->w);
    json_open_array(&page->w, "searchedLogStreams");
    json_close_array(&page->w);
    if (more) {
        snprintf(token, sizeof token, "%" PRIu64 ".%" PRIu64, place->file, place->offset);
        json_write_string(&page->w, "nextToken", view_of(token));
    }
    json_close_object(&page->w);
    if (error)
        api_refuse_logs(call, "ResourceNotFoundException",
                        VIEW("The specified log group does not exist."));
    else
        api_answer_bytes(call, 200, &header, 1, buffer_view(&body));
    buffer_release(&body);
}

/* "/aws/lambda/NAME", or the ARN of that group. */
static struct view group_of(const struct json *document)
{
    static const char mark[] = ":log-group:";
    struct view group = VIEW("");

    if (!json_get_string(document, "logGroupName", &group) &&
        json_get_string(document, "logGroupIdentifier", &group) &&
        view_starts_with(group, VIEW("arn:"))) {
        const char *at = memmem(group.data, group.length, mark, sizeof mark - 1);

        if (at)
            group = view_slice(group, (size_t)(at - group.data) + sizeof mark - 1, SIZE_MAX);
        if (view_ends_with(group, VIEW(":*")))
            group.length -= 2;
    }
    return group;
}

/* The function that logs into the group: the one it is named after, or the first that was told to. */
static struct function *function_of(const struct function_store *store, struct view group)
{
    struct function *function = NULL;
    struct view its;

    if (view_starts_with(group, VIEW(GROUP_START)))
        function = function_store_find(store, view_slice(group, sizeof GROUP_START - 1, SIZE_MAX));
    for (size_t i = 0; !function && i < function_store_count(store); i++) {
        struct function *one = function_store_at(store, i);

        if (json_get_string(json_get(one->latest->configuration, "LoggingConfig"), "LogGroup",
                            &its) &&
            view_equal(its, group))
            function = one;
    }
    return function;
}

void logs_filter_events(struct api_call *call)
{
    struct page page = {
        .prefix = VIEW(""), .pattern = VIEW(""), .end_ms = INT64_MAX, .limit = MAX_EVENTS};
    struct function_log_place place = {0};
    struct view target = VIEW(""), group, token;
    const struct json *document;

    if (!front_header(call->exchange, "x-amz-target", &target) ||
        !view_equal_string(target, TARGET)) {
        api_refuse_logs(call, "UnknownOperationException", target);
        return;
    }
    document = api_document(call);
    if (!document)
        return;
    const char *fault = check_page(document, &page);
    if (!fault && json_get_string(document, "nextToken", &token) && !read_token(token, &place))
        fault = "The specified nextToken is invalid.";
    if (fault) {
        api_refuse_logs(call, "InvalidParameterException", view_of(fault));
        return;
    }
    group = group_of(document);
    struct function *function = function_of(api_options(call)->store, group);
    if (function)
        answer_page(call, function, &page, &place);
    else
        api_refuse_logs(call, "ResourceNotFoundException",
                        VIEW("The specified log group does not exist."));
}
