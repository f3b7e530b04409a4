/* Checks JSON while walking over it, and gives out parts of the text. */
#include "common/contract/json_scan.h"

#include "common/base/escape.h"
#include "common/base/words.h"

#include <string.h>

static bool scan_string(struct json_scan *scan, struct json_part *part);
static bool scan_number(struct json_scan *scan);
static bool scan_container(struct json_scan *scan);

void json_scan_begin(struct json_scan *scan, struct view text)
{
    static const char nothing[] = "";
    const char *at = text.data ? text.data : nothing;

    *scan = (struct json_scan){.at = at, .end = at + text.length};
}

static void skip_space(struct json_scan *scan)
{
    while (scan->at < scan->end &&
           (*scan->at == ' ' || *scan->at == '\n' || *scan->at == '\t' || *scan->at == '\r'))
        scan->at++;
}

/* Takes the byte if it is next, after white space. */
static bool take(struct json_scan *scan, char byte)
{
    skip_space(scan);
    if (scan->at == scan->end || *scan->at != byte)
        return false;
    scan->at++;
    return true;
}

static bool take_word(struct json_scan *scan, const char *word)
{
    size_t length = strlen(word);

    if ((size_t)(scan->end - scan->at) < length || memcmp(scan->at, word, length) != 0)
        return false;
    scan->at += length;
    return true;
}

/* Scalars whole, containers only their first byte. */
static bool scan_token(struct json_scan *scan, struct json_part *part)
{
    skip_space(scan);
    *part = (struct json_part){.text = {scan->at, 0}};
    if (scan->at == scan->end)
        return false;
    switch (*scan->at) {
    case '{':
    case '[':
        part->type = *scan->at++ == '{' ? JSON_OBJECT : JSON_ARRAY;
        return true;
    case '"':
        return scan_string(scan, part);
    case 't':
        part->type = JSON_BOOL;
        return take_word(scan, "true");
    case 'f':
        part->type = JSON_BOOL;
        return take_word(scan, "false");
    case 'n':
        part->type = JSON_NULL;
        return take_word(scan, "null");
    default:
        part->type = JSON_NUMBER;
        return scan_number(scan);
    }
}

bool json_scan_value(struct json_scan *scan, struct json_part *part)
{
    if (scan->broken || !scan_token(scan, part) ||
        ((part->type == JSON_OBJECT || part->type == JSON_ARRAY) && !scan_container(scan))) {
        scan->broken = true;
        return false;
    }
    if (part->type != JSON_STRING)
        part->text.length = (size_t)(scan->at - part->text.data);
    return true;
}

/* Nesting as a row of bits, so that depth costs no stack. */
struct nesting {
    uint64_t is_object[JSON_SCAN_MAX_DEPTH / 64];
    unsigned depth;
};

static bool nesting_push(struct nesting *nesting, bool is_object)
{
    uint64_t bit = UINT64_C(1) << nesting->depth % 64;

    if (nesting->depth == JSON_SCAN_MAX_DEPTH)
        return false;
    if (is_object)
        nesting->is_object[nesting->depth / 64] |= bit;
    else
        nesting->is_object[nesting->depth / 64] &= ~bit;
    nesting->depth++;
    return true;
}

static bool nesting_top(const struct nesting *nesting)
{
    unsigned top = nesting->depth - 1;

    return nesting->is_object[top / 64] >> top % 64 & 1;
}

static bool scan_name(struct json_scan *scan)
{
    struct json_part name;

    skip_space(scan);
    return scan->at < scan->end && *scan->at == '"' && scan_string(scan, &name) && take(scan, ':');
}

/* The rest of a container whose first byte was just taken. */
static bool scan_container(struct json_scan *scan)
{
    struct nesting nesting = {.depth = 0};
    bool is_object = scan->at[-1] == '{';
    bool opened = true; /* the last token opened a container */

    nesting_push(&nesting, is_object);
    while (nesting.depth) {
        struct json_part part;

        if (take(scan, is_object ? '}' : ']')) {
            nesting.depth--;
            is_object = nesting.depth && nesting_top(&nesting);
            opened = false;
            continue;
        }
        if ((!opened && !take(scan, ',')) || (is_object && !scan_name(scan)) ||
            !scan_token(scan, &part))
            return false;
        opened = part.type == JSON_OBJECT || part.type == JSON_ARRAY;
        if (opened) {
            is_object = part.type == JSON_OBJECT;
            if (!nesting_push(&nesting, is_object))
                return false;
        }
    }
    return true;
}

bool json_scan_done(struct json_scan *scan)
{
    skip_space(scan);
    return !scan->broken && scan->at == scan->end;
}

static bool is_digit(const struct json_scan *scan)
{
    return scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9';
}

static bool skip_digits(struct json_scan *scan)
{
    if (!is_digit(scan))
        return false;
    while (is_digit(scan))
        scan->at++;
    return true;
}

static bool scan_number(struct json_scan *scan)
{
    if (*scan->at == '-')
        scan->at++;
    if (scan->at < scan->end && *scan->at == '0')
        scan->at++;
    else if (!skip_digits(scan))
        return false;
    if (scan->at < scan->end && *scan->at == '.') {
        scan->at++;
        if (!skip_digits(scan))
            return false;
    }
    if (scan->at < scan->end && (*scan->at == 'e' || *scan->at == 'E')) {
        scan->at++;
        if (scan->at < scan->end && (*scan->at == '+' || *scan->at == '-'))
            scan->at++;
        return skip_digits(scan);
    }
    return true;
}

/* What a letter behind a back-slash stands for, or 0. */
static char meaning_of(unsigned char letter)
{
    static const char meanings[256] = {['b'] = '\b', ['f'] = '\f', ['n'] = '\n',  ['r'] = '\r',
                                       ['t'] = '\t', ['"'] = '"',  ['\\'] = '\\', ['/'] = '/'};

    return meanings[letter];
}

/* Past an escape whose back-slash is next; false when there is no such escape. */
static bool skip_escape(struct json_scan *scan)
{
    if (scan->end - scan->at < 2)
        return false;
    scan->at += 2;
    if (scan->at[-1] != 'u')
        return meaning_of((unsigned char)scan->at[-1]) != 0;
    if (scan->end - scan->at < 4)
        return false;
    for (int i = 0; i < 4; i++)
        if (hex_digit(scan->at[i]) < 0)
            return false;
    scan->at += 4;
    return true;
}

/* The first quote, back-slash or control byte. */
static const char *skip_plain(const char *at, const char *end)
{
    for (; end - at >= BLOCK_BYTES; at += BLOCK_BYTES) {
        unsigned found = block_json_special(at);

        if (found)
            return at + block_before(found);
    }
    while (at < end && *at != '"' && *at != '\\' && (unsigned char)*at >= 0x20)
        at++;
    return at;
}

/* Past the escapes of two bytes (\", \n, …) of the block, all of which `found` tells; up to what is no such escape, or the
 * block's end. JSON in a JSON string has one every few bytes. */
static const char *skip_short_escapes(const char *block, unsigned found)
{
    unsigned at = BLOCK_BYTES;

    while (found) {
        at = block_before(found);
        if (block[at] != '\\' || meaning_of((unsigned char)block[at + 1]) == 0)
            return block + at;
        at += 2;
        if (at >= BLOCK_BYTES)
            return block + at;
        found &= BLOCK_ALL << at;
    }
    return block + BLOCK_BYTES;
}

/* A string whose quote is next. */
static bool scan_string(struct json_scan *scan, struct json_part *part)
{
    const char *start = ++scan->at;

    *part = (struct json_part){.type = JSON_STRING};
    for (;;) {
        while (scan->end - scan->at > BLOCK_BYTES) {
            unsigned found = block_json_special(scan->at);
            const char *next = skip_short_escapes(scan->at, found);

            part->escaped = part->escaped || (found && next != scan->at + block_before(found));
            if (next - scan->at < BLOCK_BYTES) {
                scan->at = next;
                break;
            }
            scan->at = next;
        }
        scan->at = skip_plain(scan->at, scan->end);
        if (scan->at == scan->end)
            return false;
        if (*scan->at == '"') {
            part->text = view_from(start, (size_t)(scan->at - start));
            scan->at++;
            return true;
        }
        part->escaped = true;
        if (*scan->at != '\\' || !skip_escape(scan))
            return false;
    }
}

bool json_scan_open(struct json_scan *scan)
{
    return take(scan, '{');
}

bool json_scan_member(struct json_scan *scan, struct json_part *name, struct json_part *value)
{
    bool first = !scan->inside;

    scan->inside = true;
    if (scan->broken || take(scan, '}'))
        return false;
    scan->broken = (!first && !take(scan, ',')) || !scan_token(scan, name) ||
                   name->type != JSON_STRING || !take(scan, ':');
    return !scan->broken && json_scan_value(scan, value);
}

void json_scan_enter(struct json_scan *scan, const struct json_part *container)
{
    REQUIRE(container->type == JSON_OBJECT || container->type == JSON_ARRAY);
    json_scan_begin(scan, view_slice(container->text, 1, container->text.length - 2));
}

bool json_scan_next(struct json_scan *scan, struct json_part *name, struct json_part *value)
{
    skip_space(scan);
    if (scan->at == scan->end)
        return false;
    take(scan, ','); /* the container was checked: a comma stands where it should */
    if (name && (!json_scan_value(scan, name) || !take(scan, ':')))
        return false;
    return json_scan_value(scan, value);
}

static uint32_t hex_word(const char *at)
{
    return (uint32_t)(hex_digit(at[0]) << 12 | hex_digit(at[1]) << 8 | hex_digit(at[2]) << 4 |
                      hex_digit(at[3]));
}

/* The code point of the \u escape at `at` (which is lawful); `*length` is how much it takes. */
static uint32_t escaped_code_point(const char *at, const char *end, size_t *length)
{
    uint32_t first = hex_word(at + 2), second;

    *length = 6;
    if (first < 0xD800 || first > 0xDFFF)
        return first;
    if (first <= 0xDBFF && end - at >= 12 && at[6] == '\\' && at[7] == 'u') {
        second = hex_word(at + 8);
        if (second >= 0xDC00 && second <= 0xDFFF) {
            *length = 12;
            return 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
        }
    }
    return 0xFFFD;
}

static size_t write_utf8(char *to, uint32_t code_point)
{
    if (code_point < 0x80) {
        to[0] = (char)code_point;
        return 1;
    }
    if (code_point < 0x800) {
        to[0] = (char)(0xC0 | code_point >> 6);
        to[1] = (char)(0x80 | (code_point & 0x3F));
        return 2;
    }
    if (code_point < 0x10000) {
        to[0] = (char)(0xE0 | code_point >> 12);
        to[1] = (char)(0x80 | (code_point >> 6 & 0x3F));
        to[2] = (char)(0x80 | (code_point & 0x3F));
        return 3;
    }
    to[0] = (char)(0xF0 | code_point >> 18);
    to[1] = (char)(0x80 | (code_point >> 12 & 0x3F));
    to[2] = (char)(0x80 | (code_point >> 6 & 0x3F));
    to[3] = (char)(0x80 | (code_point & 0x3F));
    return 4;
}

/* Writes what the escape at `at` means and returns how much of the text it takes. */
static size_t unescape_one(const char *at, const char *end, char **to)
{
    size_t length;

    if (at[1] != 'u') {
        *(*to)++ = meaning_of((unsigned char)at[1]);
        return 2;
    }
    *to += write_utf8(*to, escaped_code_point(at, end, &length));
    return length;
}

/* Unescapes what it can of one block; gives how many bytes that was, and moves `to`. It stops at an escape that is not of two
 * bytes. What is meant is put together apart and goes out at once, as the two may be the same memory. Two more blocks may be
 * read, and one be written. */
static size_t unescape_block(const char *at, char **to)
{
    char text[3 * BLOCK_BYTES], meant[3 * BLOCK_BYTES];
    unsigned found = block_equal(at, '\\');
    size_t used = 0, filled = 0;

    memcpy(text, at, 2 * BLOCK_BYTES);
    while (found && used < BLOCK_BYTES) {
        size_t slash = block_before(found);

        memcpy(meant + filled, text + used, BLOCK_BYTES);
        filled += slash - used;
        used = slash;
        if (text[slash + 1] == 'u')
            break;
        meant[filled++] = meaning_of((unsigned char)text[slash + 1]);
        used += 2;
        found &= used < BLOCK_BYTES ? BLOCK_ALL << used : 0;
    }
    if (!found && used < BLOCK_BYTES) {
        memcpy(meant + filled, text + used, BLOCK_BYTES);
        filled += BLOCK_BYTES - used;
        used = BLOCK_BYTES;
    }
    memcpy(*to, meant,
           used < BLOCK_BYTES ? filled : BLOCK_BYTES); /* never over what is not read yet */
    *to += filled;
    return used;
}

size_t json_scan_unescape(const struct json_part *string, char *to)
{
    const char *at = string->text.data;
    const char *end = at + string->text.length;
    char *start = to;

    while (at < end) {
        size_t step = end - at >= 2 * BLOCK_BYTES ? unescape_block(at, &to) : 0;

        at += step;
        if (step)
            continue;
        if (*at == '\\')
            at += unescape_one(at, end, &to);
        else
            *to++ = *at++;
    }
    return (size_t)(to - start);
}

bool json_scan_equals(const struct json_part *string, const char *text)
{
    char meant[256]; /* names of 40 characters, all of them escaped, fit */

    if (!string->escaped)
        return view_equal_string(string->text, text);
    if (string->text.length > sizeof(meant))
        return false;
    return view_equal_string(view_from(meant, json_scan_unescape(string, meant)), text);
}
