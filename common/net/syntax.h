/*
 * The grammar of HTTP's small parts: tokens, field values, request targets, hosts, lists
 * (RFC 9110, RFC 3986). Pure; one table of bytes serves all. It decides what is legal, never what
 * to do about it.
 */
#ifndef COMMON_NET_SYNTAX_H
#define COMMON_NET_SYNTAX_H

#include "common/base/bytes.h"

enum syntax_class {
    SYNTAX_TOKEN = 1,   /* RFC 9110 tchar */
    SYNTAX_TARGET = 2,  /* before the query: visible ASCII but "#<>\`{} */
    SYNTAX_VALUE = 4,   /* field value: visible ASCII, space, tab, and bytes from 0x80 */
    SYNTAX_LINE = 8,    /* request line: visible ASCII and space */
    SYNTAX_HOST = 16,   /* registered name: letters, digits, - . _ ~ */
    SYNTAX_HEX = 32,    /* hexadecimal digit, either case */
    SYNTAX_METHOD = 64, /* upper case letters, digits, - and _ */
    SYNTAX_QUERY = 128, /* in the query: visible ASCII but "#<> */
};

extern const unsigned char syntax_classes[256];

/* How many bytes at the start are of the class. */
size_t syntax_run(const char *data, size_t length, enum syntax_class class);
/* Not empty, and all of the class. */
bool syntax_is(struct view text, enum syntax_class class);
/*
 * A path (or more, in absolute form) of SYNTAX_TARGET with each % followed by two hex digits, not
 * empty, and a query of SYNTAX_QUERY. That is RFC 3986 and what browsers send besides: the URL
 * standard leaves | and ^ in paths and \ ^ ` { | } and a lone % in queries as they were typed. None
 * of them can change where a request goes or ends.
 */
bool syntax_is_target(struct view text);
/*
 * A Host: a name of letters, digits, - . _ ~ (no percent escapes, no sub-delims: stricter than RFC
 * 3986) or an IPv6 address in brackets, then at most one ":port" of 1 to 5 digits up to 65535.
 */
bool syntax_is_host(struct view text);
/* Whether a comma-separated list holds the token (any case). */
bool syntax_list_has(struct view list, const char *token);

#endif
