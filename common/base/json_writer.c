/* Streams JSON: commas and quotes, value after value. */
#include "common/base/json.h"

#include "common/base/escape.h"
#include "common/base/json_text.h"

void json_begin(struct json_writer *w, struct buffer *out)
{
    *w = (struct json_writer){.out = out};
}

/* The comma and the name before a value. */
static void begin_value(struct json_writer *w, const char *name)
{
    if (w->comma)
        buffer_append_byte(w->out, ',');
    if (name) {
        buffer_append_byte(w->out, '"');
        buffer_append_string(w->out, name);
        buffer_append(w->out, "\":", 2);
    }
    w->comma = true;
}

void json_open_object(struct json_writer *w, const char *name)
{
    begin_value(w, name);
    buffer_append_byte(w->out, '{');
    w->comma = false;
}

void json_close_object(struct json_writer *w)
{
    buffer_append_byte(w->out, '}');
    w->comma = true;
}

void json_open_array(struct json_writer *w, const char *name)
{
    begin_value(w, name);
    buffer_append_byte(w->out, '[');
    w->comma = false;
}

void json_close_array(struct json_writer *w)
{
    buffer_append_byte(w->out, ']');
    w->comma = true;
}

void json_member(struct json_writer *w, struct view name)
{
    begin_value(w, NULL);
    json_append_quoted(w->out, name);
    buffer_append_byte(w->out, ':');
    w->comma = false; /* its value follows without one */
}

void json_write_string(struct json_writer *w, const char *name, struct view text)
{
    begin_value(w, name);
    json_append_quoted(w->out, text);
}

void json_write_integer(struct json_writer *w, const char *name, int64_t number)
{
    begin_value(w, name);
    buffer_append_i64(w->out, number);
}

void json_write_number(struct json_writer *w, const char *name, double number)
{
    begin_value(w, name);
    json_append_number(w->out, number);
}

void json_write_bool(struct json_writer *w, const char *name, bool truth)
{
    begin_value(w, name);
    buffer_append_string(w->out, truth ? "true" : "false");
}

void json_write_null(struct json_writer *w, const char *name)
{
    begin_value(w, name);
    buffer_append_string(w->out, "null");
}

void json_write_base64(struct json_writer *w, const char *name, struct view bytes)
{
    begin_value(w, name);
    buffer_append_byte(w->out, '"');
    base64_encode(w->out, bytes.data, bytes.length);
    buffer_append_byte(w->out, '"');
}

void json_write_raw(struct json_writer *w, const char *name, struct view json)
{
    begin_value(w, name);
    buffer_append_view(w->out, json);
}

void json_write_tree(struct json_writer *w, const char *name, const struct json *value)
{
    begin_value(w, name);
    json_print(w->out, value);
}
