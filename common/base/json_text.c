/* Checks JSON text against the grammar, and spells numbers and strings. */
#include "common/base/json_text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/escape.h"

/* cJSON cuts a longer number and takes the cut one for the value. */
#define NUMBER_MAX_BYTES 63
#define WHOLE_LIMIT      9007199254740992.0 /* 2^53: up to here a double holds every whole number */

/* One walk over the text. */
struct scan {
    struct view text;
    size_t at;
    unsigned depth_left;
    size_t names;  /* member names seen */
    size_t wanted; /* of which name to keep the place; SIZE_MAX: of none */
    size_t wanted_at;
};

static unsigned char peek(const struct scan *scan)
{
    return scan->at < scan->text.length ? (unsigned char)scan->text.data[scan->at] : 0;
}

static bool accept(struct scan *scan, char byte)
{
    if (scan->at >= scan->text.length || scan->text.data[scan->at] != byte)
        return false;
    scan->at++;
    return true;
}

static void skip_space(struct scan *scan)
{
    while (peek(scan) == ' ' || peek(scan) == '\n' || peek(scan) == '\t' || peek(scan) == '\r')
        scan->at++;
}

static bool scan_digits(struct scan *scan)
{
    size_t start = scan->at;

    while (peek(scan) >= '0' && peek(scan) <= '9')
        scan->at++;
    return scan->at > start;
}

static bool scan_number(struct scan *scan)
{
    size_t start = scan->at;
    bool good;

    accept(scan, '-');
    good = accept(scan, '0') || scan_digits(scan);
    if (good && accept(scan, '.'))
        good = scan_digits(scan);
    if (good && (accept(scan, 'e') || accept(scan, 'E'))) {
        if (!accept(scan, '+'))
            accept(scan, '-');
        good = scan_digits(scan);
    }
    return good && scan->at - start <= NUMBER_MAX_BYTES;
}

/* The four digits of \uXXXX; -1 when they are not. */
static int scan_code_unit(struct scan *scan)
{
    int unit = 0;

    for (int i = 0; i < 4; i++) {
        unsigned char digit = peek(scan);

        if (digit >= '0' && digit <= '9')
            unit = unit * 16 + digit - '0';
        else if ((digit | 0x20) >= 'a' && (digit | 0x20) <= 'f')
            unit = unit * 16 + (digit | 0x20) - 'a' + 10;
        else
            return -1;
        scan->at++;
    }
    return unit;
}

/* What follows a back-slash. NUL and surrogates without their other half are refused. */
static bool scan_escape(struct scan *scan)
{
    unsigned char letter = peek(scan);
    int unit;

    if (letter == 0)
        return false;
    scan->at++;
    if (letter != 'u')
        return strchr("\"\\/bfnrt", letter) != NULL;
    unit = scan_code_unit(scan);
    if (unit <= 0 || (unit >= 0xDC00 && unit <= 0xDFFF))
        return false;
    if (unit < 0xD800 || unit > 0xDFFF)
        return true;
    if (!accept(scan, '\\') || !accept(scan, 'u'))
        return false;
    unit = scan_code_unit(scan);
    return unit >= 0xDC00 && unit <= 0xDFFF;
}

static bool scan_string(struct scan *scan)
{
    if (!accept(scan, '"'))
        return false;
    for (;;) {
        while (peek(scan) >= 0x20 && peek(scan) != '"' && peek(scan) != '\\')
            scan->at++;
        if (accept(scan, '"'))
            return true;
        if (!accept(scan, '\\') || !scan_escape(scan))
            return false;
    }
}

static bool scan_word(struct scan *scan, struct view word)
{
    if (!view_starts_with(view_slice(scan->text, scan->at, SIZE_MAX), word))
        return false;
    scan->at += word.length;
    return true;
}

static bool scan_value(struct scan *scan);

static bool scan_member(struct scan *scan)
{
    skip_space(scan);
    if (scan->names++ == scan->wanted)
        scan->wanted_at = scan->at;
    if (!scan_string(scan))
        return false;
    skip_space(scan);
    return accept(scan, ':') && scan_value(scan);
}

/* An object or an array, its opening byte accepted. */
static bool scan_container(struct scan *scan, bool object)
{
    char end = object ? '}' : ']';

    if (scan->depth_left == 0)
        return false;
    scan->depth_left--;
    skip_space(scan);
    if (!accept(scan, end)) {
        do {
            if (!(object ? scan_member(scan) : scan_value(scan)))
                return false;
        } while (accept(scan, ','));
        if (!accept(scan, end))
            return false;
    }
    scan->depth_left++;
    return true;
}

/* A value and the white space around it. */
static bool scan_value(struct scan *scan)
{
    bool good;

    skip_space(scan);
    switch (peek(scan)) {
    case '{':
    case '[':
        good = scan_container(scan, scan->text.data[scan->at++] == '{');
        break;
    case '"':
        good = scan_string(scan);
        break;
    case 't':
        good = scan_word(scan, VIEW("true"));
        break;
    case 'f':
        good = scan_word(scan, VIEW("false"));
        break;
    case 'n':
        good = scan_word(scan, VIEW("null"));
        break;
    default:
        good = scan_number(scan);
        break;
    }
    skip_space(scan);
    return good;
}

static bool scan_text(struct scan *scan, struct view text, unsigned max_depth, size_t wanted)
{
    *scan = (struct scan){.text = text, .depth_left = max_depth, .wanted = wanted};
    return scan_value(scan) && scan->at == text.length;
}

bool json_text_good(struct view text, unsigned max_depth, size_t *offset)
{
    struct scan scan;

    *offset = utf8_valid_length(text);
    if (*offset < text.length)
        return false;
    if (scan_text(&scan, text, max_depth, SIZE_MAX))
        return true;
    *offset = scan.at;
    return false;
}

size_t json_text_member(struct view text, unsigned max_depth, size_t nth)
{
    struct scan scan;

    REQUIRE(scan_text(&scan, text, max_depth, nth) && nth < scan.names);
    return scan.wanted_at;
}

bool json_number_is_whole(double number)
{
    return number >= -WHOLE_LIMIT && number <= WHOLE_LIMIT &&
           !(number < (double)(int64_t)number || number > (double)(int64_t)number);
}

void json_append_number(struct buffer *out, double number)
{
    char text[40];

    if (!isfinite(number)) {
        buffer_append_string(out, "null"); /* JSON has no word for it */
    } else if (json_number_is_whole(number)) {
        buffer_append_i64(out, (int64_t)number);
    } else {
        snprintf(text, sizeof(text), "%.15g", number);
        if (strtod(text, NULL) < number || strtod(text, NULL) > number)
            snprintf(text, sizeof(text), "%.17g", number);
        buffer_append_string(out, text);
    }
}

void json_append_quoted(struct buffer *out, struct view text)
{
    buffer_append_byte(out, '"');
    json_escape(out, text);
    buffer_append_byte(out, '"');
}
