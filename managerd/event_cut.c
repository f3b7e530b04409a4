/* Takes the event out of a body as it is written. */
#include "managerd/event_cut.h"

#include "common/base/escape.h"
#include "common/contract/json_scan.h"

static const char *empty_of(enum json_type type)
{
    switch (type) {
    case JSON_NULL:
    case JSON_OBJECT:
        break;
    case JSON_BOOL:
        return "true";
    case JSON_NUMBER:
        return "0";
    case JSON_STRING:
        return "\"\"";
    case JSON_ARRAY:
        return "[]";
    }
    return "null";
}

/* With its quotes, which the scanner leaves out. */
static struct view as_written(const struct json_part *value)
{
    if (value->type == JSON_STRING)
        return view_from(value->text.data - 1, value->text.length + 2);
    return value->text;
}

static void append_between(struct buffer *rest, const char *from, const char *to)
{
    buffer_append(rest, from, (size_t)(to - from));
}

/* Each value has a comma, a colon or an opening bracket before it, but the first. */
static bool has_too_many_values(struct view text)
{
    size_t marks = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.length; i++) {
        char c = text.data[i];
        if (in_string && c == '\\')
            i++;
        else if (c == '"')
            in_string = !in_string;
        else if (!in_string && (c == ',' || c == '[' || c == '{'))
            marks++;
    }
    return marks > EVENT_CUT_MAX_VALUES;
}

enum error event_cut(struct view text, struct buffer *rest, struct view *event, size_t *offset)
{
    struct json_scan scan;
    struct json_part body, name, value;
    const char *done = text.data;
    *event = VIEW("");
    *offset = utf8_valid_length(text);
    if (*offset < text.length)
        return ERROR_INVALID;
    json_scan_begin(&scan, text);
    if (!json_scan_value(&scan, &body) || !json_scan_done(&scan)) {
        *offset = (size_t)(scan.at - text.data);
        return ERROR_INVALID;
    }
    if (body.type != JSON_OBJECT) {
        buffer_append_string(rest, empty_of(body.type));
        return rest->error;
    }
    json_scan_enter(&scan, &body);
    while (json_scan_next(&scan, &name, &value)) {
        if (!json_scan_equals(&name, "event"))
            continue;
        *event = as_written(&value);
        append_between(rest, done, event->data);
        buffer_append_string(rest, "null");
        done = event->data + event->length;
    }
    append_between(rest, done, text.data + text.length);
    if (!rest->error && has_too_many_values(buffer_view(rest)))
        return ERROR_TOO_BIG;
    return rest->error;
}
