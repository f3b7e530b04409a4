/*
 * Hex, base64, percent escapes and UTF-8, both ways. Encoders append to a buffer (whose ceiling and
 * sticky error apply); decoders report ERROR_INVALID and then have appended nothing useful.
 */
#ifndef COMMON_BASE_ESCAPE_H
#define COMMON_BASE_ESCAPE_H

#include "common/base/bytes.h"

/* Lower-case hex. */
void hex_encode(struct buffer *out, const void *data, size_t length);
/* Exactly 2*length characters into `out`, no NUL. */
void hex_write(char *out, const void *data, size_t length);
enum error hex_decode(struct buffer *out, struct view text) MUST_CHECK;
/* What one digit of either case stands for, or -1. */
int hex_digit(char digit);

/* RFC 4648 section 4, with padding. */
void base64_encode(struct buffer *out, const void *data, size_t length);
size_t base64_encoded_length(size_t length);
/* Strict about alphabet; padding may be absent; line ends are refused. */
enum error base64_decode(struct buffer *out, struct view text) MUST_CHECK;
/* RFC 4648 section 5 as RFC 7515 wants it: no padding, no line ends, no bits left over, so that
 * bytes have one spelling. */
enum error base64url_decode(struct buffer *out, struct view text) MUST_CHECK;

/* RFC 3986: everything but A-Za-z0-9-._~ becomes %XX (upper case); bytes in `keep` stay as well. */
void percent_encode(struct buffer *out, struct view text, const char *keep);
/* Decodes %XX; with `plus_is_space` also "+" (form encoding). A bad escape is ERROR_INVALID when
 * strict, else left as it is. The result may hold any byte, NUL included. */
enum error percent_decode(struct buffer *out, struct view text, bool plus_is_space,
                          bool strict) MUST_CHECK;

/* RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. */
bool utf8_valid(struct view text);
/* How many bytes at the start are well-formed. */
size_t utf8_valid_length(struct view text);

/* The inside of a JSON string (no quotes): `"`, `\` and control bytes escaped. Bytes that are not
 * UTF-8 become U+FFFD, so the output is always valid. */
void json_escape(struct buffer *out, struct view text);

#endif
