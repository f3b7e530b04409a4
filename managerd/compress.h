/* gzip for what is long and asked for so. Only compress.c includes zlib here. */
#ifndef MANAGERD_COMPRESS_H
#define MANAGERD_COMPRESS_H

#include "common/base/bytes.h"

/* Whether an Accept-Encoding header takes gzip (RFC 9110 section 12.5.3; q=0 refuses). */
bool gzip_accepted(struct view accept_encoding);
/* Appends `plain` as one gzip member; false (and nothing useful appended) when it does not fit. */
bool gzip_encode(struct buffer *out, struct view plain);

#endif
