/* Turns bytes into hex, base64, percent escapes and JSON strings, and back. */
#include "common/base/escape.h"

#include "common/base/words.h"

#include <stdlib.h>
#include <string.h>

static const char hex_lower[] = "0123456789abcdef";
static const char hex_upper[] = "0123456789ABCDEF";

void hex_write(char *out, const void *data, size_t length)
{
    const unsigned char *bytes = data;

    for (size_t i = 0; i < length; i++) {
        out[2 * i] = hex_lower[bytes[i] >> 4];
        out[2 * i + 1] = hex_lower[bytes[i] & 15];
    }
}

void hex_encode(struct buffer *out, const void *data, size_t length)
{
    char *room;

    if (length > SIZE_MAX / 4) {
        out->error = ERROR_TOO_BIG;
        return;
    }
    room = buffer_reserve(out, 2 * length);
    if (!room)
        return;
    hex_write(room, data, length);
    buffer_commit(out, 2 * length);
}

int hex_digit(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F')
        return digit - 'A' + 10;
    return -1;
}

enum error hex_decode(struct buffer *out, struct view text)
{
    char *room;

    if (text.length % 2 != 0)
        return ERROR_INVALID;
    room = buffer_reserve(out, text.length / 2);
    if (!room)
        return out->error;
    for (size_t i = 0; i < text.length; i += 2) {
        int high = hex_digit(text.data[i]);
        int low = hex_digit(text.data[i + 1]);

        if (high < 0 || low < 0)
            return ERROR_INVALID;
        room[i / 2] = (char)(high << 4 | low);
    }
    buffer_commit(out, text.length / 2);
    return ERROR_NONE;
}

/* All 4096 pairs of base64 digits, so that three bytes cost two look-ups: bodies of megabytes pass
 * here. */
#define PAIRS(a)                                                                                   \
    a "A" a "B" a "C" a "D" a "E" a "F" a "G" a "H" a "I" a "J" a "K" a "L" a "M" a "N" a "O" a    \
      "P" a "Q" a "R" a "S" a "T" a "U" a "V" a "W" a "X" a "Y" a "Z" a "a" a "b" a "c" a "d" a    \
      "e" a "f" a "g" a "h" a "i" a "j" a "k" a "l" a "m" a "n" a "o" a "p" a "q" a "r" a "s" a    \
      "t" a "u" a "v" a "w" a "x" a "y" a "z" a "0" a "1" a "2" a "3" a "4" a "5" a "6" a "7" a    \
      "8" a "9" a "+" a "/"
static const char base64_pairs[] = PAIRS("A") PAIRS("B") PAIRS("C") PAIRS("D") PAIRS("E") PAIRS("F")
    PAIRS("G") PAIRS("H") PAIRS("I") PAIRS("J") PAIRS("K") PAIRS("L") PAIRS("M") PAIRS("N")
        PAIRS("O") PAIRS("P") PAIRS("Q") PAIRS("R") PAIRS("S") PAIRS("T") PAIRS("U") PAIRS("V")
            PAIRS("W") PAIRS("X") PAIRS("Y") PAIRS("Z") PAIRS("a") PAIRS("b") PAIRS("c") PAIRS("d")
                PAIRS("e") PAIRS("f") PAIRS("g") PAIRS("h") PAIRS("i") PAIRS("j") PAIRS("k")
                    PAIRS("l") PAIRS("m") PAIRS("n") PAIRS("o") PAIRS("p") PAIRS("q") PAIRS("r")
                        PAIRS("s") PAIRS("t") PAIRS("u") PAIRS("v") PAIRS("w") PAIRS("x") PAIRS("y")
                            PAIRS("z") PAIRS("0") PAIRS("1") PAIRS("2") PAIRS("3") PAIRS("4")
                                PAIRS("5") PAIRS("6") PAIRS("7") PAIRS("8") PAIRS("9") PAIRS("+")
                                    PAIRS("/");
_Static_assert(sizeof(base64_pairs) == 4096 * 2 + 1, "a pair for each 12 bits");

/* The digit's value; NO sets bits that no value has. */
#define NO 0xFF
/* clang-format off */
static const unsigned char base64_values[256] = {
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, 62, NO, NO, NO, 63,
    52, 53, 54, 55, 56, 57, 58, 59, 60, 61, NO, NO, NO, NO, NO, NO,
    NO, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
    15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, NO, NO, NO, NO, NO,
    NO, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40,
    41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, NO, NO, NO, NO, NO,
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
};
/* clang-format on */

size_t base64_encoded_length(size_t length)
{
    REQUIRE(length <= SIZE_MAX / 2);
    return (length + 2) / 3 * 4;
}

void base64_encode(struct buffer *out, const void *data, size_t length)
{
    const unsigned char *in = data;
    size_t encoded = base64_encoded_length(length);
    char *to = buffer_reserve(out, encoded);

    if (!to)
        return;
    for (; length >= 3; length -= 3, in += 3, to += 4) {
        unsigned bits = (unsigned)in[0] << 16 | (unsigned)in[1] << 8 | in[2];

        memcpy(to, base64_pairs + (size_t)(bits >> 12) * 2, 2);
        memcpy(to + 2, base64_pairs + (size_t)(bits & 0xFFF) * 2, 2);
    }
    if (length) {
        unsigned bits = (unsigned)in[0] << 16 | (length == 2 ? (unsigned)in[1] << 8 : 0);

        memcpy(to, base64_pairs + (size_t)(bits >> 12) * 2, 2);
        to[2] = '=';
        if (length == 2)
            to[2] = base64_pairs[(size_t)(bits & 0xFFF) * 2];
        to[3] = '=';
    }
    buffer_commit(out, encoded);
}

/* The last 2 or 3 digits, without padding. */
static bool decode_tail(const unsigned char *in, size_t digits, char *to)
{
    unsigned a = base64_values[in[0]];
    unsigned b = base64_values[in[1]];
    unsigned c = digits == 3 ? base64_values[in[2]] : 0;

    if ((a | b | c) & 0xC0)
        return false;
    to[0] = (char)(a << 2 | b >> 4);
    if (digits == 3)
        to[1] = (char)(b << 4 | c >> 2);
    return true;
}

enum error base64_decode(struct buffer *out, struct view text)
{
    const unsigned char *in = (const unsigned char *)text.data;
    size_t digits = text.length;
    size_t decoded;
    char *to;

    if (digits % 4 == 0 && digits && text.data[digits - 1] == '=')
        digits -= text.data[digits - 2] == '=' ? 2 : 1;
    if (digits % 4 == 1)
        return ERROR_INVALID;
    decoded = digits / 4 * 3 + (digits % 4 ? digits % 4 - 1 : 0);
    to = buffer_reserve(out, decoded);
    if (!to)
        return out->error;
    for (; digits >= 4; digits -= 4, in += 4, to += 3) {
        unsigned a = base64_values[in[0]], b = base64_values[in[1]];
        unsigned c = base64_values[in[2]], d = base64_values[in[3]];
        unsigned bits = a << 18 | b << 12 | c << 6 | d;

        if ((a | b | c | d) & 0xC0)
            return ERROR_INVALID;
        to[0] = (char)(bits >> 16);
        to[1] = (char)(bits >> 8);
        to[2] = (char)bits;
    }
    if (digits && !decode_tail(in, digits, to))
        return ERROR_INVALID;
    buffer_commit(out, decoded);
    return ERROR_NONE;
}

/* The digit's value in the alphabet for URLs, or 64. */
static unsigned base64url_value(unsigned char digit)
{
    if (digit == '+' || digit == '/')
        return 64;
    digit = digit == '-' ? '+' : digit == '_' ? '/' : digit;
    return base64_values[digit] == NO ? 64 : base64_values[digit];
}

enum error base64url_decode(struct buffer *out, struct view text)
{
    size_t decoded = text.length / 4 * 3 + (text.length % 4 ? text.length % 4 - 1 : 0);
    unsigned bits = 0, held = 0;
    char *to;

    if (text.length % 4 == 1)
        return ERROR_INVALID;
    if (text.length == 0)
        return ERROR_NONE;
    to = buffer_reserve(out, decoded);
    if (!to)
        return out->error;
    for (size_t i = 0; i < text.length; i++) {
        unsigned value = base64url_value((unsigned char)text.data[i]);

        if (value > 63)
            return ERROR_INVALID;
        bits = (bits << 6 | value) & 0xFFFF;
        held += 6;
        if (held >= 8) {
            held -= 8;
            *to++ = (char)(bits >> held);
        }
    }
    if (bits & ((1u << held) - 1))
        return ERROR_INVALID;
    buffer_commit(out, decoded);
    return ERROR_NONE;
}

static bool is_unreserved(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || byte == '-' || byte == '.' || byte == '_' || byte == '~';
}

void percent_encode(struct buffer *out, struct view text, const char *keep)
{
    size_t clean = 0; /* start of the run that needs no escape */

    for (size_t i = 0; i < text.length; i++) {
        char byte = text.data[i];
        char escaped[3] = {'%', hex_upper[(unsigned char)byte >> 4],
                           hex_upper[(unsigned char)byte & 15]};

        if (is_unreserved(byte) || (keep && byte && strchr(keep, byte)))
            continue;
        buffer_append(out, text.data + clean, i - clean);
        buffer_append(out, escaped, sizeof(escaped));
        clean = i + 1;
    }
    if (clean < text.length)
        buffer_append(out, text.data + clean, text.length - clean);
}

enum error percent_decode(struct buffer *out, struct view text, bool plus_is_space, bool strict)
{
    char *room = buffer_reserve(out, text.length);
    size_t written = 0;

    if (!room)
        return out->error;
    for (size_t i = 0; i < text.length; i++) {
        char byte = text.data[i];

        if (byte == '%') {
            int high = i + 2 < text.length ? hex_digit(text.data[i + 1]) : -1;
            int low = i + 2 < text.length ? hex_digit(text.data[i + 2]) : -1;

            if (high >= 0 && low >= 0) {
                byte = (char)(high << 4 | low);
                i += 2;
            } else if (strict) {
                return ERROR_INVALID;
            }
        } else if (byte == '+' && plus_is_space) {
            byte = ' ';
        }
        room[written++] = byte;
    }
    buffer_commit(out, written);
    return ERROR_NONE;
}

/* Length of the well-formed sequence that begins with a byte from 0x80 up; else 0, and `*bad` is
 * how many bytes one replacement character stands for (Unicode 15, section 3.9, maximal subpart).
 */
static size_t utf8_sequence(const unsigned char *at, size_t left, size_t *bad)
{
    unsigned char low = 0x80, high = 0xBF; /* what the second byte may be */
    size_t length;

    *bad = 1;
    if (at[0] >= 0xC2 && at[0] <= 0xDF) {
        length = 2;
    } else if (at[0] >= 0xE0 && at[0] <= 0xEF) {
        length = 3;
        low = at[0] == 0xE0 ? 0xA0 : low;   /* no overlong form */
        high = at[0] == 0xED ? 0x9F : high; /* no surrogate */
    } else if (at[0] >= 0xF0 && at[0] <= 0xF4) {
        length = 4;
        low = at[0] == 0xF0 ? 0x90 : low;   /* no overlong form */
        high = at[0] == 0xF4 ? 0x8F : high; /* nothing above U+10FFFF */
    } else {
        return 0;
    }
    for (size_t i = 1; i < length; i++) {
        if (i >= left || at[i] < low || at[i] > high)
            return 0;
        *bad = i + 1;
        low = 0x80;
        high = 0xBF;
    }
    return length;
}

size_t utf8_valid_length(struct view text)
{
    const unsigned char *at = (const unsigned char *)text.data;
    size_t left = text.length;

    while (left) {
        size_t step, bad;

        if (left >= sizeof(uint64_t) && !word_not_ascii(word_load(at))) {
            at += sizeof(uint64_t);
            left -= sizeof(uint64_t);
            continue;
        }
        step = at[0] < 0x80 ? 1 : utf8_sequence(at, left, &bad);
        if (step == 0)
            break;
        at += step;
        left -= step;
    }
    return text.length - left;
}

bool utf8_valid(struct view text)
{
    return utf8_valid_length(text) == text.length;
}

/* Writes the escape of one ASCII byte; at most six bytes. */
static size_t escape_ascii(char *to, unsigned char byte)
{
    static const char letters[0x20] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};

    if (byte >= 0x20 && byte != '"' && byte != '\\') {
        to[0] = (char)byte;
        return 1;
    }
    to[0] = '\\';
    to[1] = (char)(byte < 0x20 ? letters[byte] : byte);
    if (to[1])
        return 2;
    to[1] = 'u';
    to[2] = '0';
    to[3] = '0';
    to[4] = hex_lower[byte >> 4];
    to[5] = hex_lower[byte & 15];
    return 6;
}

/* Writes one byte of ASCII, or one sequence of UTF-8, or U+FFFD for what is none; gives how many bytes of the text it was. */
static inline size_t escape_one(const unsigned char *at, size_t left, char *to, size_t *filled)
{
    size_t bad, step;

    if (*at == '"' || *at == '\\') { /* nearly always */
        to[(*filled)++] = '\\';
        to[(*filled)++] = (char)*at;
        return 1;
    }
    if (*at < 0x80) {
        *filled += escape_ascii(to + *filled, *at);
        return 1;
    }
    step = utf8_sequence(at, left, &bad);
    memcpy(to + *filled, step ? (const char *)at : "\xEF\xBF\xBD", step ? step : 3);
    *filled += step ? step : 3;
    return step ? step : bad;
}

/* One block, `length` bytes of it, or more where a sequence of UTF-8 passes its end; gives how many it was. `found`: those that
 * cannot go as they are. As many bytes again behind the block may be read. */
static size_t escape_block(const unsigned char *block, size_t length, size_t left, unsigned found,
                           char *to, size_t *filled)
{
    size_t at = 0;

    for (; found; found &= BLOCK_ALL << at) {
        size_t plain = block_before(found) - at;

        memcpy(to + *filled, block + at, BLOCK_BYTES); /* of which `plain` bytes stay */
        *filled += plain;
        at += plain;
        at += escape_one(block + at, left - at, to, filled);
        if (at >= length)
            return at;
    }
    memcpy(to + *filled, block + at, BLOCK_BYTES);
    *filled += length - at;
    return length;
}

/* How many bytes go as they are before one that cannot. Most names and values have none. */
static size_t plain_length(struct view text)
{
    size_t at = 0;
    unsigned char tail[BLOCK_BYTES] = {0};

    for (; text.length - at >= BLOCK_BYTES; at += BLOCK_BYTES) {
        unsigned found = block_json_special(text.data + at) | block_not_ascii(text.data + at);
        if (found)
            return at + block_before(found);
    }
    if (text.length > at) {
        memcpy(tail, text.data + at, text.length - at);
        unsigned found =
            block_json_special(tail) | block_not_ascii(tail); /* a NUL at its end at least */
        at += found ? block_before(found) : BLOCK_BYTES;
    }
    return at;
}

#define ESCAPED_MAX                                                                                \
    (6 * BLOCK_BYTES + 2 * BLOCK_BYTES) /* of a block, with what is written too much */

void json_escape(struct buffer *out, struct view text)
{
    if (text.length == 0)
        return;
    size_t plain = plain_length(text), left = text.length - plain, filled = 0;
    const unsigned char *at = (const unsigned char *)text.data + plain;
    unsigned char
        tail[3 * BLOCK_BYTES]; /* the end of the text, where blocks may be read beyond it */
    char scratch[4096];        /* so that the ceiling is asked once for many bytes, not for each */
    bool in_tail = false;

    buffer_append(out, text.data, plain);
    while (left) {
        size_t length = left < BLOCK_BYTES ? left : BLOCK_BYTES;

        if (filled > sizeof(scratch) - ESCAPED_MAX) {
            buffer_append(out, scratch, filled);
            filled = 0;
        }
        if (left < 2 * BLOCK_BYTES && !in_tail) {
            memcpy(tail, at, left);
            memset(tail + left, 0, sizeof(tail) - left);
            at = tail;
            in_tail = true;
        }
        unsigned found =
            (block_json_special(at) | block_not_ascii(at)) & BLOCK_ALL >> (BLOCK_BYTES - length);
        size_t step = escape_block(at, length, left, found, scratch, &filled);
        at += step;
        left -= step;
    }
    buffer_append(out, scratch, filled);
}
