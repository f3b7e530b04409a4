/*
 * A chain of records, each of which carries the hash of the one before it: none can be changed, taken
 * out or put in without every later hash becoming another. Pure.
 *
 * A record is a JSON object in one line, whose members "sequence" (from 1 on) and "previous" (the
 * hash of the record before; of the first: 64 zeros) come first and whose "hash" comes last: the
 * SHA-256 in hex of the record's text without `,"hash":"…"`.
 */
#ifndef MANAGERD_CHAIN_H
#define MANAGERD_CHAIN_H

#include "common/base/json.h"

#define CHAIN_HASH_SIZE 65

/* A place in the chain: after this record. */
struct chain_place {
    uint64_t sequence; /* 0: before the first */
    char hash[CHAIN_HASH_SIZE];
};

void chain_begin(struct chain_place *place);
/* {"sequence", "hash"} as text, and back: ERROR_DAMAGED. */
void chain_place_write(const struct chain_place *place, struct buffer *out);
enum error chain_place_read(struct view text, struct chain_place *place) MUST_CHECK;
/* Appends the record that `content` (the text of a JSON object with members) becomes after `place`,
 * which moves on. */
void chain_append(struct chain_place *place, struct view content, struct buffer *record);
/* Whether the record is the one after `place`, unchanged; then `place` moves on. Else why not, a
 * sentence. */
const char *chain_follow(struct chain_place *place, struct view record);

#endif
