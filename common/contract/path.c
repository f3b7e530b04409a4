/* Brings paths to one form for matching, and finds prefixes and first segments. */
#include "common/contract/path.h"

#include "common/base/escape.h"

void target_split(struct view target, struct view *path, struct view *query)
{
    size_t mark = view_find(target, '?');

    *path = view_slice(target, 0, mark);
    *query = mark == SIZE_MAX ? (struct view){NULL, 0} : view_slice(target, mark + 1, SIZE_MAX);
}

/* One character of a path: a byte, or the byte that an escape stands for. */
struct character {
    unsigned char byte;
    bool escaped;
};

/* Takes the next character off; false at a bad escape. */
static bool next_character(struct view *rest, struct character *character)
{
    int high, low;

    character->byte = (unsigned char)rest->data[0];
    character->escaped = character->byte == '%';
    if (!character->escaped) {
        *rest = view_slice(*rest, 1, SIZE_MAX);
        return true;
    }
    if (rest->length < 3)
        return false;
    high = hex_digit(rest->data[1]);
    low = hex_digit(rest->data[2]);
    if (high < 0 || low < 0)
        return false;
    character->byte = (unsigned char)(high << 4 | low);
    *rest = view_slice(*rest, 3, SIZE_MAX);
    return true;
}

static bool is_unreserved(unsigned char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || byte == '-' || byte == '.' || byte == '_' || byte == '~';
}

/* Whether the normal form shows the character as an escape. */
static bool stays_escaped(struct character character)
{
    return character.escaped ? !is_unreserved(character.byte) : character.byte >= 0x80;
}

static bool is_lawful(struct character character)
{
    if (character.escaped)
        return character.byte != 0;
    return character.byte > ' ' && character.byte != 0x7F && character.byte != '?' &&
           character.byte != '#';
}

static void append_character(struct buffer *out, struct character character)
{
    static const char hex[] = "0123456789ABCDEF";

    if (stays_escaped(character)) {
        char escape[3] = {'%', hex[character.byte >> 4], hex[character.byte & 15]};

        buffer_append(out, escape, sizeof(escape));
    } else {
        buffer_append_byte(out, (char)character.byte);
    }
}

enum error path_normalize(struct view path, struct buffer *out)
{
    struct view rest = path;
    size_t dots = 0;       /* of the present segment */
    bool only_dots = true; /* the present segment has nothing else */

    if (path.length == 0 || path.data[0] != '/')
        return ERROR_INVALID;
    while (rest.length) {
        struct character character;

        if (!next_character(&rest, &character) || !is_lawful(character))
            return ERROR_INVALID;
        if (character.byte == '/' || character.byte == '\\') {
            if (only_dots && (dots == 1 || dots == 2))
                return ERROR_INVALID;
            dots = 0;
            only_dots = true;
        } else if (character.byte == '.') {
            dots++;
        } else {
            only_dots = false;
        }
        append_character(out, character);
    }
    if (only_dots && (dots == 1 || dots == 2))
        return ERROR_INVALID;
    return out->error;
}

bool path_covers(struct view prefix, struct view path)
{
    if (prefix.length && prefix.data[prefix.length - 1] == '/')
        prefix.length--;
    return view_starts_with(path, prefix) &&
           (path.length == prefix.length || path.data[prefix.length] == '/');
}

size_t path_raw_length(struct view path, size_t normal_length)
{
    struct view rest = path;
    size_t normal = 0;

    while (normal < normal_length && rest.length) {
        struct character character;
        bool lawful = next_character(&rest, &character);

        REQUIRE(lawful);
        normal += stays_escaped(character) ? 3 : 1;
    }
    return path.length - rest.length;
}

bool path_first_segment(struct view path, struct view *segment, struct view *rest)
{
    struct view query, inside;
    size_t slash;

    target_split(path, &path, &query);
    if (path.length < 2 || path.data[0] != '/' || path.data[1] == '/')
        return false;
    inside = view_slice(path, 1, SIZE_MAX);
    slash = view_find(inside, '/');
    *segment = view_slice(inside, 0, slash);
    *rest = slash == SIZE_MAX ? VIEW("/") : view_slice(inside, slash, SIZE_MAX);
    return true;
}
