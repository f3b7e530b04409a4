/* Writes a token's claims into events, in the words of API Gateway. */
#include "common/contract/json_scan.h"
#include "common/contract/jwt.h"

#include <stdlib.h>

#define NESTING_MAX 32

static void append_meaning(struct buffer *text, const struct json_part *part, unsigned depth);

static void append_string(struct buffer *text, const struct json_part *string)
{
    char *room = buffer_reserve(text, string->text.length);

    if (room)
        buffer_commit(text, json_scan_unescape(string, room));
}

/* [a b], without quotes or commas. */
static void append_list(struct buffer *text, const struct json_part *list, unsigned depth)
{
    struct json_part item;
    struct json_scan scan;
    bool first = true;

    buffer_append_byte(text, '[');
    json_scan_enter(&scan, list);
    while (json_scan_next(&scan, NULL, &item)) {
        if (!first)
            buffer_append_byte(text, ' ');
        first = false;
        append_meaning(text, &item, depth);
    }
    buffer_append_byte(text, ']');
}

static void append_meaning(struct buffer *text, const struct json_part *part, unsigned depth)
{
    if (part->type == JSON_STRING && part->text.length)
        append_string(text, part);
    else if (part->type == JSON_ARRAY && depth < NESTING_MAX)
        append_list(text, part, depth + 1);
    else
        buffer_append_view(text, part->text); /* as it is written */
}

/* The parts of an object; false when the text is none. */
static bool enter(struct json_scan *scan, struct view claims)
{
    struct json_part object;

    json_scan_begin(scan, claims);
    if (!json_scan_value(scan, &object) || object.type != JSON_OBJECT)
        return false;
    json_scan_enter(scan, &object);
    return true;
}

void jwt_write_claims(struct json_writer *w, struct view claims)
{
    struct json_part name, value;
    struct json_scan scan;
    struct buffer text;

    buffer_init(&text, 2 * JWT_MAX_TOKEN_BYTES);
    json_open_object(w, "claims");
    if (enter(&scan, claims))
        while (json_scan_next(&scan, &name, &value)) {
            if (value.type == JSON_NULL)
                continue;
            buffer_clear(&text);
            append_string(&text, &name);
            json_member(w, buffer_view(&text));
            buffer_clear(&text);
            append_meaning(&text, &value, 0);
            json_write_string(w, NULL, buffer_view(&text));
        }
    json_close_object(w);
    buffer_release(&text);
}

static void write_each_scope(struct json_writer *w, const struct json_part *scopes)
{
    struct json_part item;
    struct json_scan scan;
    struct buffer text;
    struct view rest, one;

    buffer_init(&text, 2 * JWT_MAX_TOKEN_BYTES);
    if (scopes->type == JSON_STRING && scopes->text.length) {
        append_string(&text, scopes);
        rest = buffer_view(&text);
        while (view_split(&rest, ' ', &one))
            if (one.length)
                json_write_string(w, NULL, one);
    } else if (scopes->type == JSON_ARRAY) {
        json_scan_enter(&scan, scopes);
        while (json_scan_next(&scan, NULL, &item)) {
            buffer_clear(&text);
            append_meaning(&text, &item, 0);
            json_write_string(w, NULL, buffer_view(&text));
        }
    }
    buffer_release(&text);
}

void jwt_write_scopes(struct json_writer *w, struct view claims, bool asked)
{
    struct json_part name, value, scopes = {.type = JSON_NULL};
    struct json_scan scan;
    bool by_scope = false;

    if (asked && enter(&scan, claims))
        while (json_scan_next(&scan, &name, &value)) {
            bool is_scope = json_scan_equals(&name, "scope");

            if (is_scope || (!by_scope && json_scan_equals(&name, "scp")))
                scopes = value;
            by_scope |= is_scope;
        }
    if (!asked) {
        json_write_null(w, "scopes");
        return;
    }
    json_open_array(w, "scopes");
    write_each_scope(w, &scopes);
    json_close_array(w);
}
