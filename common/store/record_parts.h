/* What the decoders and validators of the published records share. For the record files of this
 * folder only. */
#ifndef COMMON_STORE_RECORD_PARTS_H
#define COMMON_STORE_RECORD_PARTS_H

#include "common/base/arena.h"
#include "common/store/codec.h"

/* Tags seen so far in one row of fields. */
struct record_seen {
    uint32_t tags;     /* a bit per tag; all of ours are below 32 */
    uint32_t critical; /* the same for those from LAYOUT_CRITICAL_TAG on */
};
#define RECORD_TAG(tag) (UINT32_C(1) << (tag))

/* Notes the tag; whether it was there before. Unknown tags may repeat. */
bool record_seen(struct record_seen *seen, uint16_t tag);
bool record_seen_all(const struct record_seen *seen, uint32_t wanted);

/* One sentence to `problem` (may be NULL); gives ERROR_INVALID. */
enum error record_refuse(struct buffer *problem, const char *format, ...) PRINTF_LIKE(2, 3);
/* Copies the record into the arena and begins to read the copy. */
enum error record_take(struct arena *arena, struct view bytes,
                       struct codec_reader *reader) MUST_CHECK;
/* How many fields of that tag there are; the reader stays where it is. */
enum error record_count(const struct codec_reader *reader, uint16_t wanted,
                        size_t *count) MUST_CHECK;
/* A byte that is 0 or 1; another is ERROR_DAMAGED. */
bool record_bool(struct codec_reader *reader, struct view field);
/* A byte of a known range; another is ERROR_FROM_FUTURE. */
unsigned record_choice(struct codec_reader *reader, struct view field, unsigned lowest,
                       unsigned highest);

/* The part of a route that says who may call (access_record.c). Nothing is encoded when there is no
 * rule. */
struct route_access;
void record_access_encode(struct buffer *out, const struct route_access *access);
void record_access_decode(struct codec_reader *outer, struct arena *arena, struct view field,
                          struct route_access *access);
enum error record_access_check(const struct route_access *access,
                               struct buffer *problem) MUST_CHECK;

/* The part of those rules that is about tokens (jwt_record.c). The caller knows that there is one. */
struct route_jwt;
void record_jwt_encode(struct buffer *out, const struct route_jwt *jwt);
void record_jwt_decode(struct codec_reader *outer, struct arena *arena, struct view field,
                       struct route_jwt *jwt);
enum error record_jwt_check(const struct route_jwt *jwt, struct buffer *problem) MUST_CHECK;

/* An app's name: ^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$ without "--". */
bool record_app_lawful(struct view app);
/* A host in lower case; with `wildcard` also "*." in front of one. */
bool record_host_lawful(struct view host, bool wildcard);
/* Printable ASCII without blanks, at least one byte. */
bool record_graphic(struct view text, size_t max);
/* RFC 9110 section 5.6.2: a header's name. */
bool record_token(struct view text, size_t max);
/* Letters, digits and what is in `more`, at least one byte. */
bool record_made_of(struct view text, size_t max, const char *more);

#endif
