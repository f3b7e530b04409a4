/*
 * The INI dialect of the SDKs' shared files, as botocore reads it (Python's configparser, strict):
 * "[section]" lines, "key = value" or "key: value", "#" and ";" begin comment lines, a line that is
 * indented more than its key's goes on with the value, after a line end. Keys are told in lower case;
 * the section DEFAULT lends its keys to all others.
 */
#ifndef COMMON_AWS_INI_H
#define COMMON_AWS_INI_H

#include "common/base/arena.h"
#include "common/base/bytes.h"

struct ini_entry {
    struct ini_entry *next;
    struct view key, value; /* trimmed; lines of the value are joined by '\n' */
};

struct ini_section {
    struct ini_section *next; /* in the file's order */
    struct view name;
    struct ini_entry *entries;
};

struct ini {
    struct ini_section *sections;
};

/* All of it is in `arena`; `text` need not live on. ERROR_INVALID: one sentence that names the line
 * (never what is in it: it may be a key); ERROR_TOO_BIG, ERROR_NO_MEMORY: the arena's. */
enum error ini_parse(struct view text, struct arena *arena, struct ini *ini,
                     struct buffer *problem) MUST_CHECK;
/* NULL: there is none. */
const struct ini_section *ini_section(const struct ini *ini, struct view name);
/* False: neither the section nor DEFAULT has it. `section` may be NULL. */
bool ini_get(const struct ini *ini, const struct ini_section *section, const char *key,
             struct view *value);
/* "key = value" lines that make up a value of more than one line ("services" sections, "s3 ="). */
bool ini_nested(struct view value, const char *key, struct view *nested);

/* Splits at blanks as a POSIX shell does, with quotes and backslashes, and expands nothing. The
 * words are NUL-terminated, the array ends in NULL. ERROR_INVALID: an open quote, or more than
 * INI_MAX_WORDS. */
#define INI_MAX_WORDS 256
enum error ini_words(struct view text, struct arena *arena, char ***words,
                     size_t *count) MUST_CHECK;

#endif
