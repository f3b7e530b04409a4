/*
 * Looks at several bytes at once, for scanners through which megabytes pass.
 *
 * A block is 16 bytes; what a test of it gives has one bit for each byte that it finds, the first byte's lowest, all of them
 * exact: so a scanner that meets a special byte every few bytes (JSON in a JSON string) looks at a block once, not once for
 * each. SSE2 is in every x86-64; elsewhere it is eight bytes at a time.
 */
#ifndef COMMON_BASE_WORDS_H
#define COMMON_BASE_WORDS_H

#include <endian.h>
#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define BLOCK_BYTES           16
#define BLOCK_ALL             0xffffU
#define WORD_EACH_BYTE(value) (UINT64_C(0x0101010101010101) * (value))

/* The first byte is the lowest. */
static inline uint64_t word_load(const void *at)
{
    uint64_t word;

    memcpy(&word, at, sizeof(word));
    return le64toh(word);
}

static inline uint64_t word_not_ascii(uint64_t word)
{
    return word & WORD_EACH_BYTE(0x80);
}

#ifdef __SSE2__

static inline __m128i block_load(const void *at)
{
    return _mm_loadu_si128((const __m128i *)at);
}

/* What a JSON string holds only as an escape, or ends at: below 0x20, a quote, a back-slash. */
static inline unsigned block_json_special(const void *at)
{
    __m128i block = block_load(at);
    __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(block, _mm_set1_epi8(0x1f)), block);
    __m128i quote = _mm_cmpeq_epi8(block, _mm_set1_epi8('"'));
    __m128i slash = _mm_cmpeq_epi8(block, _mm_set1_epi8('\\'));

    return (unsigned)_mm_movemask_epi8(_mm_or_si128(control, _mm_or_si128(quote, slash)));
}

static inline unsigned block_not_ascii(const void *at)
{
    return (unsigned)_mm_movemask_epi8(block_load(at));
}

static inline unsigned block_equal(const void *at, char byte)
{
    return (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(block_load(at), _mm_set1_epi8(byte)));
}

#else

/* The top bits of the eight bytes as eight bits. */
static inline unsigned word_mask(uint64_t found)
{
    return (unsigned)(((found & WORD_EACH_BYTE(0x80)) >> 7) * UINT64_C(0x0102040810204080) >> 56);
}

/* Exact for each byte, as nothing is carried from one to the next; `limit` is at most 0x80. */
static inline uint64_t word_below(uint64_t word, unsigned char limit)
{
    uint64_t reached = (word | WORD_EACH_BYTE(0x80)) - WORD_EACH_BYTE(limit);

    return ~(reached | word) & WORD_EACH_BYTE(0x80);
}

static inline uint64_t word_equal(uint64_t word, unsigned char byte)
{
    return word_below(word ^ WORD_EACH_BYTE(byte), 1);
}

static inline unsigned word_json_special(uint64_t word)
{
    return word_mask(word_below(word, 0x20) | word_equal(word, '"') | word_equal(word, '\\'));
}

static inline unsigned block_json_special(const void *at)
{
    return word_json_special(word_load(at)) | word_json_special(word_load((const char *)at + 8))
                                                  << 8;
}

static inline unsigned block_not_ascii(const void *at)
{
    return word_mask(word_load(at)) | word_mask(word_load((const char *)at + 8)) << 8;
}

static inline unsigned block_equal(const void *at, char byte)
{
    unsigned char wanted = (unsigned char)byte;

    return word_mask(word_equal(word_load(at), wanted)) |
           word_mask(word_equal(word_load((const char *)at + 8), wanted)) << 8;
}

#endif

/* How many bytes are before the first that was found; `found` is not 0. */
static inline unsigned block_before(unsigned found)
{
    return (unsigned)__builtin_ctz(found);
}

#endif
