/* The header lines of a request as a client library takes them. */
#ifndef COMMON_NET_HEADER_LINES_H
#define COMMON_NET_HEADER_LINES_H

#include "common/net/incoming.h" /* struct incoming_header */

/* "Name: value" strings, or "Name;" for an empty value, in one block that the caller frees: first
 * the `count` addresses, then the bytes. NULL when a name is empty or has a colon, or when a name
 * or value has CR, LF or NUL. */
char **header_lines_make(const struct incoming_header *headers, size_t count);

#endif
