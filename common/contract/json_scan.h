/*
 * Walks a JSON text without building a tree: values come out as parts of the text, strings are
 * unescaped where the caller wants them. For replies, whose body may be megabytes long and hold any
 * character, U+0000 too. Pure, allocates nothing. RFC 8259.
 */
#ifndef COMMON_CONTRACT_JSON_SCAN_H
#define COMMON_CONTRACT_JSON_SCAN_H

#include "common/base/json.h"

#define JSON_SCAN_MAX_DEPTH 512

/* Goes from front to end, once. The text must be valid UTF-8 (the caller checks it once) and live
 * as long as what comes out. */
struct json_scan {
    const char *at;
    const char *end;
    bool broken; /* not JSON, or nested too deeply; sticks */
    bool inside; /* of json_scan_member's object: its first member was asked for */
};

/* One value and where it stands. */
struct json_part {
    enum json_type type;
    struct view text; /* the value as written; of a string, what stands between the quotes */
    bool escaped;     /* a string with back-slashes in it: see json_scan_unescape */
};

void json_scan_begin(struct json_scan *scan, struct view text);
/* The next value, checked in full; false when broken. */
bool json_scan_value(struct json_scan *scan, struct json_part *part);
/* Whether nothing but white space is left. */
bool json_scan_done(struct json_scan *scan);

/* Takes the brace of an object, which is walked and checked in one pass by json_scan_member; false when something else is next. */
bool json_scan_open(struct json_scan *scan);
/* The next member of the object that was opened, checked in full; false behind its last, with its brace taken, or when it is broken. */
bool json_scan_member(struct json_scan *scan, struct json_part *name, struct json_part *value);

/* Begins to walk the members of an object, or the elements of an array, that json_scan_value gave. */
void json_scan_enter(struct json_scan *scan, const struct json_part *container);
/* The next member (`name` is NULL for arrays); false after the last one. */
bool json_scan_next(struct json_scan *scan, struct json_part *name, struct json_part *value);

/* Writes what a string means into `to`, at most string->text.length bytes (the two may be the same
 * memory), and returns how many. A lone surrogate becomes U+FFFD; U+0000 is a byte like others. */
size_t json_scan_unescape(const struct json_part *string, char *to);
/* Whether the string means this text. */
bool json_scan_equals(const struct json_part *string, const char *text);

#endif
