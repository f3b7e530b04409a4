/* Scans JSON with a stack of one bit a level. */
#include "deploy/lambda-local/payload.h"

#include "common/base/escape.h"

#include <string.h>

struct scan {
    const char *at, *end;
    bool in_object[PAYLOAD_MAX_DEPTH];
    unsigned depth;
};

static void skip_space(struct scan *scan)
{
    while (scan->at < scan->end &&
           (*scan->at == ' ' || *scan->at == '\t' || *scan->at == '\n' || *scan->at == '\r'))
        scan->at++;
}

static bool take(struct scan *scan, char byte)
{
    if (scan->at >= scan->end || *scan->at != byte)
        return false;
    scan->at++;
    return true;
}

static bool take_word(struct scan *scan, const char *word)
{
    size_t length = strlen(word);

    if ((size_t)(scan->end - scan->at) < length || memcmp(scan->at, word, length) != 0)
        return false;
    scan->at += length;
    return true;
}

static bool take_escape(struct scan *scan)
{
    scan->at++;
    if (scan->at >= scan->end)
        return false;
    if (*scan->at != 'u')
        return *scan->at && strchr("\"\\/bfnrt", *scan->at++) != NULL;
    scan->at++;
    for (int i = 0; i < 4; i++, scan->at++) {
        char c = scan->at < scan->end ? (char)(*scan->at | 0x20) : 0;

        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return false;
    }
    return true;
}

static bool take_string(struct scan *scan)
{
    if (!take(scan, '"'))
        return false;
    while (scan->at < scan->end) {
        unsigned char c = (unsigned char)*scan->at;

        if (c == '"') {
            scan->at++;
            return true;
        }
        if (c < 0x20)
            return false;
        if (c == '\\') {
            if (!take_escape(scan))
                return false;
        } else {
            scan->at++;
        }
    }
    return false;
}

static size_t take_digits(struct scan *scan)
{
    const char *start = scan->at;

    while (scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9')
        scan->at++;
    return (size_t)(scan->at - start);
}

static bool take_number(struct scan *scan)
{
    take(scan, '-');
    if (!take(scan, '0') && take_digits(scan) == 0)
        return false;
    if (take(scan, '.') && take_digits(scan) == 0)
        return false;
    if (take(scan, 'e') || take(scan, 'E')) {
        if (!take(scan, '+'))
            take(scan, '-');
        return take_digits(scan) > 0;
    }
    return true;
}

static bool take_name(struct scan *scan)
{
    skip_space(scan);
    if (!take_string(scan))
        return false;
    skip_space(scan);
    return take(scan, ':');
}

enum progress { VALUE_NEXT, VALUE_DONE, VALUE_BAD };

static enum progress open_container(struct scan *scan)
{
    bool object = *scan->at == '{';

    scan->at++;
    skip_space(scan);
    if (take(scan, object ? '}' : ']'))
        return VALUE_DONE;
    if (scan->depth == PAYLOAD_MAX_DEPTH)
        return VALUE_BAD;
    scan->in_object[scan->depth++] = object;
    return !object || take_name(scan) ? VALUE_NEXT : VALUE_BAD;
}

static enum progress take_value(struct scan *scan)
{
    bool good;

    skip_space(scan);
    if (scan->at >= scan->end)
        return VALUE_BAD;
    switch (*scan->at) {
    case '{':
    case '[':
        return open_container(scan);
    case '"':
        good = take_string(scan);
        break;
    case 't':
        good = take_word(scan, "true");
        break;
    case 'f':
        good = take_word(scan, "false");
        break;
    case 'n':
        good = take_word(scan, "null");
        break;
    default:
        good = take_number(scan);
    }
    return good ? VALUE_DONE : VALUE_BAD;
}

/* Behind a value: closes containers until another value is due or all are closed. */
static enum progress go_on(struct scan *scan)
{
    while (scan->depth > 0) {
        bool object = scan->in_object[scan->depth - 1];

        skip_space(scan);
        if (take(scan, ','))
            return !object || take_name(scan) ? VALUE_NEXT : VALUE_BAD;
        if (!take(scan, object ? '}' : ']'))
            return VALUE_BAD;
        scan->depth--;
    }
    return VALUE_DONE;
}

enum error payload_check(struct view text, size_t *offset)
{
    struct scan scan = {.at = text.data, .end = text.data + text.length};
    enum progress progress;

    do {
        progress = take_value(&scan);
        if (progress == VALUE_DONE)
            progress = go_on(&scan);
    } while (progress == VALUE_NEXT);
    if (progress == VALUE_DONE)
        skip_space(&scan);
    *offset = (size_t)(scan.at - text.data);
    if (progress != VALUE_DONE || scan.at != scan.end)
        return ERROR_INVALID;
    *offset = 0;
    return utf8_valid(text) ? ERROR_NONE : ERROR_INVALID;
}
