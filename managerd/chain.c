/* Chains records by hashes, and follows the chain. */
#include "managerd/chain.h"

#include "managerd/credential.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define HASH_BYTES 64
#define TAIL       ",\"hash\":\""

void chain_begin(struct chain_place *place)
{
    place->sequence = 0;
    memset(place->hash, '0', HASH_BYTES);
    place->hash[HASH_BYTES] = 0;
}

void chain_place_write(const struct chain_place *place, struct buffer *out)
{
    buffer_append_format(out, "{\"sequence\":%" PRIu64 ",\"hash\":\"%s\"}", place->sequence,
                         place->hash);
}

enum error chain_place_read(struct view text, struct chain_place *place)
{
    struct json *json = NULL;
    struct view hash;
    int64_t sequence = 0;
    bool good = json_parse(text, 3, &json, NULL) == ERROR_NONE &&
                json_get_integer(json, "sequence", &sequence) && sequence >= 0 &&
                json_get_string(json, "hash", &hash) && hash.length == HASH_BYTES;
    if (good) {
        place->sequence = (uint64_t)sequence;
        memcpy(place->hash, hash.data, HASH_BYTES);
        place->hash[HASH_BYTES] = 0;
    }
    json_free(json);
    return good ? ERROR_NONE : ERROR_DAMAGED;
}

/* How the record after the place begins. */
static int write_begin(const struct chain_place *place, char *out, size_t size)
{
    return snprintf(out, size, "{\"sequence\":%" PRIu64 ",\"previous\":\"%s\",",
                    place->sequence + 1, place->hash);
}

void chain_append(struct chain_place *place, struct view content, struct buffer *record)
{
    char begin[160], hash[CHAIN_HASH_SIZE];
    size_t from = record->length;
    REQUIRE(content.length > 2 && content.data[0] == '{');
    write_begin(place, begin, sizeof begin);
    buffer_append_string(record, begin);
    buffer_append(record, content.data + 1, content.length - 2);
    buffer_append_byte(record, '}');
    if (record->error)
        return;
    credential_hash(view_from(record->data + from, record->length - from), hash);
    record->length--;
    buffer_append_format(record, TAIL "%s\"}", hash);
    place->sequence++;
    memcpy(place->hash, hash, sizeof hash);
}

/* The text that the hash is of; false: there is no hash at the end. */
static bool take_hash(struct view record, struct buffer *text, struct view *hash)
{
    size_t tail = sizeof TAIL - 1 + HASH_BYTES + 2;
    if (record.length <= tail)
        return false;
    struct view end = view_slice(record, record.length - tail, SIZE_MAX);
    if (!view_starts_with(end, VIEW(TAIL)) || !view_ends_with(end, VIEW("\"}")))
        return false;
    *hash = view_slice(end, sizeof TAIL - 1, HASH_BYTES);
    buffer_append(text, record.data, record.length - tail);
    buffer_append_byte(text, '}');
    return text->error == ERROR_NONE;
}

const char *chain_follow(struct chain_place *place, struct view record)
{
    char begin[160], is[CHAIN_HASH_SIZE];
    struct buffer text;
    struct view hash = VIEW("");
    const char *problem = NULL;
    buffer_init(&text, record.length + 1);
    write_begin(place, begin, sizeof begin);
    bool hashed = take_hash(record, &text, &hash);
    if (hashed)
        credential_hash(buffer_view(&text), is);
    buffer_release(&text);
    if (!hashed)
        problem = "The record has no hash.";
    else if (!view_equal_string(hash, is))
        problem = "The record is not what its hash says: it was changed.";
    else if (!view_starts_with(record, view_of(begin)))
        problem = "The record does not follow the one before it: one was changed, taken out or put "
                  "in.";
    if (problem)
        return problem;
    place->sequence++;
    memcpy(place->hash, is, sizeof is);
    return NULL;
}
