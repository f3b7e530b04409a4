/*
 * Looks at eight bytes at once, for scanners through which megabytes pass.
 *
 * What the tests give has the top bit of each byte set that they find. The first byte found is exact; of those behind it some
 * may be wrong (a borrow makes a byte look like one): so take the first, and look again from there.
 */
#ifndef COMMON_BASE_WORDS_H
#define COMMON_BASE_WORDS_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#define WORD_EACH_BYTE(value) (UINT64_C(0x0101010101010101) * (value))

/* The first byte is the lowest. */
static inline uint64_t word_load(const void *at)
{
    uint64_t word;

    memcpy(&word, at, sizeof(word));
    return le64toh(word);
}

/* Bytes below `limit`, which is at most 0x80. */
static inline uint64_t word_below(uint64_t word, unsigned char limit)
{
    return (word - WORD_EACH_BYTE(limit)) & ~word & WORD_EACH_BYTE(0x80);
}

static inline uint64_t word_equal(uint64_t word, unsigned char byte)
{
    return word_below(word ^ WORD_EACH_BYTE(byte), 1);
}

static inline uint64_t word_not_ascii(uint64_t word)
{
    return word & WORD_EACH_BYTE(0x80);
}

/* What a JSON string holds only as an escape, or ends at. */
static inline uint64_t word_json_special(uint64_t word)
{
    return word_below(word, 0x20) | word_equal(word, '"') | word_equal(word, '\\');
}

/* How many bytes are before the first that was found; `found` is not 0. */
static inline unsigned word_before(uint64_t found)
{
    return (unsigned)__builtin_ctzll(found) / 8;
}

#endif
