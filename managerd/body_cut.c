/* Finds the packages in a JSON text, and decodes them piece by piece. */
#include "managerd/body_cut.h"

#include "common/base/escape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STAND_IN_SIZE 24
#define LARGE_BYTES   1024 /* what is shorter may stay */

struct walk {
    struct view text;
    size_t at;
    unsigned depth;
    struct view key;                        /* of the value that comes; empty: none */
    bool is_source[BODY_CUT_MAX_DEPTH + 1]; /* the object at this depth is a "package" */
    size_t passed;                          /* of the text, what is in the rest already */
    struct buffer *rest;
    struct body_cuts *cuts;
};

static void write_stand_in(char out[STAND_IN_SIZE], size_t index)
{
    snprintf(out, STAND_IN_SIZE, ".%zu", index);
}

/* Moves behind the string whose opening quote is here; what is between its quotes. */
static struct view take_string(struct walk *walk)
{
    const char *data = walk->text.data;
    size_t start = ++walk->at, length = walk->text.length;
    while (walk->at < length && data[walk->at] != '"') {
        const char *quote = memchr(data + walk->at, '"', length - walk->at);
        size_t end = quote ? (size_t)(quote - data) : length;
        const char *escape = memchr(data + walk->at, '\\', end - walk->at);
        walk->at = escape ? (size_t)(escape - data) + 2 : end;
    }
    if (walk->at > length)
        walk->at = length;
    struct view content = view_from(data + start, walk->at - start);
    if (walk->at < length)
        walk->at++;
    return content;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Moves on to the colon that makes the string before it a key. */
static bool is_key(struct walk *walk)
{
    while (walk->at < walk->text.length && is_blank(walk->text.data[walk->at]))
        walk->at++;
    return walk->at < walk->text.length && walk->text.data[walk->at] == ':';
}

static bool is_package(const struct walk *walk, struct view content)
{
    if (content.length < LARGE_BYTES)
        return false;
    return (walk->depth == 1 && view_equal(walk->key, VIEW("archive"))) ||
           (walk->is_source[walk->depth] && view_equal(walk->key, VIEW("zip")));
}

static void cut(struct walk *walk, struct view content)
{
    struct body_cuts *cuts = walk->cuts;
    char stand_in[STAND_IN_SIZE];
    size_t start = (size_t)(content.data - walk->text.data);
    if ((cuts->count & (cuts->count - 1)) == 0) { /* room for as many again */
        size_t room = cuts->count ? 2 * cuts->count : 1;
        cuts->texts = realloc(cuts->texts, room * sizeof *cuts->texts);
        REQUIRE(cuts->texts);
    }
    write_stand_in(stand_in, cuts->count);
    cuts->texts[cuts->count++] = content;
    buffer_append_view(walk->rest, view_slice(walk->text, walk->passed, start - walk->passed));
    buffer_append_string(walk->rest, stand_in);
    walk->passed = start + content.length;
}

static void pass_string(struct walk *walk)
{
    struct view content = take_string(walk);
    if (is_key(walk)) {
        walk->key = content;
        return;
    }
    if (is_package(walk, content))
        cut(walk, content);
    walk->key = VIEW("");
}

/* False: deeper than anybody will read. */
static bool pass_byte(struct walk *walk)
{
    char c = walk->text.data[walk->at++];
    if (c == '{' || c == '[') {
        if (walk->depth == BODY_CUT_MAX_DEPTH)
            return false;
        walk->is_source[++walk->depth] = c == '{' && view_equal(walk->key, VIEW("package"));
        walk->key = VIEW("");
    } else if ((c == '}' || c == ']') && walk->depth > 0) {
        walk->depth--;
    } else if (c == ',') {
        walk->key = VIEW("");
    }
    return true;
}

enum error body_cut(struct view text, struct buffer *rest, struct body_cuts *cuts)
{
    struct walk walk = {.text = text, .key = VIEW(""), .rest = rest, .cuts = cuts};
    bool goes_on = true;
    *cuts = (struct body_cuts){0};
    while (goes_on && walk.at < text.length && !rest->error) {
        if (text.data[walk.at] == '"')
            pass_string(&walk);
        else
            goes_on = pass_byte(&walk);
    }
    buffer_append_view(rest, view_slice(text, walk.passed, SIZE_MAX));
    return rest->error;
}

void body_cuts_release(struct body_cuts *cuts)
{
    free(cuts->texts);
    *cuts = (struct body_cuts){0};
}

bool body_cuts_find(const struct body_cuts *cuts, struct view stand_in, struct view *text)
{
    uint64_t index;
    if (!cuts->count || stand_in.length < 2 || stand_in.data[0] != '.' ||
        view_to_u64(view_slice(stand_in, 1, SIZE_MAX), cuts->count - 1, &index))
        return false;
    *text = cuts->texts[index];
    return true;
}

size_t body_cuts_place(const struct body_cuts *cuts, struct view text, size_t in_rest)
{
    size_t longer = 0;
    for (size_t i = 0; i < cuts->count; i++) {
        char stand_in[STAND_IN_SIZE];
        write_stand_in(stand_in, i);
        size_t start = (size_t)(cuts->texts[i].data - text.data);
        if (in_rest + longer <= start)
            break;
        longer += cuts->texts[i].length - strlen(stand_in);
    }
    return in_rest + longer;
}

/* What an escape at the start of the text stands for, and how long it is; 0: no base64 has it. */
static size_t read_escape(struct view text, char *c)
{
    int code = 0;
    if (text.length >= 2 && text.data[1] == '/') {
        *c = '/';
        return 2;
    }
    if (text.length < 6 || text.data[1] != 'u')
        return 0;
    for (size_t i = 2; i < 6; i++) {
        int digit = hex_digit(text.data[i]);
        if (digit < 0)
            return 0;
        code = code << 4 | digit;
    }
    *c = (char)code;
    return code < 0x80 ? 6 : 0;
}

enum error body_cut_decode(struct view *text, size_t max_bytes, struct buffer *out)
{
    struct buffer plain;
    enum error error = ERROR_NONE;
    size_t room = max_bytes / 4 * 4, before = out->length;
    buffer_init(&plain, room);
    while (text->length && plain.length < room && !error) {
        struct view run = view_slice(*text, 0, room - plain.length);
        run = view_slice(run, 0, view_find(run, '\\'));
        buffer_append_view(&plain, run);
        *text = view_slice(*text, run.length, SIZE_MAX);
        if (text->length && plain.length < room) {
            char c = 0;
            size_t length = read_escape(*text, &c);
            buffer_append_byte(&plain, c);
            *text = view_slice(*text, length, SIZE_MAX);
            error = length ? ERROR_NONE : ERROR_INVALID;
        }
    }
    if (!error)
        error = plain.error ? plain.error : base64_decode(out, buffer_view(&plain));
    /* Padding ends it. */
    if (!error && text->length && out->length - before != room / 4 * 3)
        error = ERROR_INVALID;
    buffer_release(&plain);
    return error;
}
