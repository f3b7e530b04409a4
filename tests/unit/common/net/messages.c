/* Reads the raw messages of tests/vectors/guard. */
#include "tests/unit/common/net/messages.h"

#include "common/base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int hex(char digit)
{
    return (int)strtol((char[]){digit, '\0'}, NULL, 16);
}

static void unescape(struct buffer *out, struct view text)
{
    for (size_t i = 0; i < text.length; i++) {
        const char *at = text.data + i;

        if (*at != '\\') {
            buffer_append_byte(out, *at);
            continue;
        }
        i++;
        switch (at[1]) {
        case 'r':
            buffer_append_byte(out, '\r');
            break;
        case 'n':
            buffer_append_byte(out, '\n');
            break;
        case 't':
            buffer_append_byte(out, '\t');
            break;
        case 'x':
            buffer_append_byte(out, (char)(hex(at[2]) * 16 + hex(at[3])));
            i += 2;
            break;
        default:
            buffer_append_byte(out, at[1]);
        }
    }
}

/* Escapes and {x*N}. */
static void expand(struct buffer *out, struct view text)
{
    while (text.length) {
        size_t open = view_find(text, '{');
        size_t close = view_find(text, '}');
        struct view inner;
        size_t star;

        if (open == SIZE_MAX || close == SIZE_MAX) {
            unescape(out, text);
            return;
        }
        unescape(out, view_slice(text, 0, open));
        inner = view_slice(text, open + 1, close - open - 1);
        star = view_find(inner, '*');
        assert_true(star != SIZE_MAX);
        for (long n = strtol(inner.data + star + 1, NULL, 10); n > 0; n--)
            unescape(out, view_slice(inner, 0, star));
        text = view_slice(text, close + 1, SIZE_MAX);
    }
}

static void set_limits(struct guard_limits *limits, struct view words)
{
    struct view word;

    while (view_split(&words, ' ', &word)) {
        if (view_equal_string(word, "trailers"))
            limits->allow_trailers = true;
        else if (view_equal_string(word, "known-methods"))
            limits->allow_unknown_methods = false;
        else if (view_starts_with(word, VIEW("body=")))
            limits->max_body_bytes = strtoull(word.data + 5, NULL, 10);
        else
            fail_msg("unknown limit %.*s", VIEW_FORMAT(word));
    }
}

static void copy(char *out, size_t size, struct view text)
{
    assert_true(text.length < size);
    memcpy(out, text.data, text.length);
    out[text.length] = '\0';
}

static void set_member(struct message *message, struct view key, struct view value)
{
    if (view_equal_string(key, "case"))
        buffer_append_view(&message->name, value);
    else if (view_equal_string(key, "raw"))
        expand(&message->raw, value);
    else if (view_equal_string(key, "body"))
        expand(&message->body, value);
    else if (view_equal_string(key, "accepted"))
        expand(&message->accepted, value);
    else if (view_equal_string(key, "rest"))
        expand(&message->rest, value);
    else if (view_equal_string(key, "refused"))
        copy(message->refused, sizeof(message->refused), value);
    else if (view_equal_string(key, "host"))
        copy(message->host, sizeof(message->host), value);
    else if (view_equal_string(key, "trailer"))
        copy(message->trailer, sizeof(message->trailer), value);
    else if (view_equal_string(key, "keeps-alive"))
        copy(message->keeps_alive, sizeof(message->keeps_alive), value);
    else if (view_equal_string(key, "incomplete"))
        message->incomplete = true;
    else if (view_equal_string(key, "limits"))
        set_limits(&message->limits, value);
    else
        assert_true(view_equal_string(key, "rfc"));
}

static void message_init(struct message *message)
{
    memset(message, 0, sizeof(*message));
    message->limits = guard_default_limits;
    buffer_init(&message->name, 256);
    buffer_init(&message->raw, MESSAGE_MAX);
    buffer_init(&message->body, MESSAGE_MAX);
    buffer_init(&message->accepted, MESSAGE_MAX);
    buffer_init(&message->rest, MESSAGE_MAX);
}

static void message_release(struct message *message)
{
    buffer_release(&message->name);
    buffer_release(&message->raw);
    buffer_release(&message->body);
    buffer_release(&message->accepted);
    buffer_release(&message->rest);
}

unsigned messages_visit(const char *file,
                        void (*visit)(const struct message *message, void *context), void *context)
{
    char path[512];
    struct buffer text;
    struct view rest, line;
    struct message message;
    unsigned count = 0;

    buffer_init(&text, 1024 * 1024);
    snprintf(path, sizeof(path), "%s/guard/%s", TEST_VECTORS_DIR, file);
    assert_int_equal(file_read(path, &text), ERROR_NONE);
    buffer_append_byte(&text, '\n');
    rest = buffer_view(&text);
    message_init(&message);
    while (view_split(&rest, '\n', &line)) {
        size_t colon = view_find(line, ':');

        if (line.length == 0 && message.name.length) {
            visit(&message, context);
            count++;
            message_release(&message);
            message_init(&message);
        } else if (line.length && line.data[0] != '#') {
            assert_true(colon != SIZE_MAX);
            set_member(&message, view_slice(line, 0, colon), view_slice(line, colon + 2, SIZE_MAX));
        }
    }
    assert_int_equal(message.name.length, 0);
    message_release(&message);
    buffer_release(&text);
    return count;
}
