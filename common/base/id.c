/* Makes UUIDv7 ids. */
#include "common/base/id.h"

#include <string.h>

#include "common/base/clock.h"
#include "common/base/crypto.h"
#include "common/base/escape.h"

#define RANDOM_POOL_BYTES 512

/* Of each thread: what its last id held, so that the next is larger, and random bytes in stock, so
 * that not every id goes to the generator. */
static _Thread_local struct {
    int64_t ms;
    unsigned counter; /* 12 bits: rand_a (RFC 9562 section 6.2, method 1) */
    uint8_t pool[RANDOM_POOL_BYTES];
    size_t left; /* unused bytes at the end of the pool */
} state;

static void take_random(uint8_t *out, size_t length)
{
    if (state.left < length) {
        random_bytes(state.pool, sizeof(state.pool));
        state.left = sizeof(state.pool);
    }
    memcpy(out, state.pool + sizeof(state.pool) - state.left, length);
    state.left -= length;
}

/* A new millisecond starts the counter at random in its lower half; a full counter borrows the next
 * millisecond. A wall clock set back changes nothing: ids go on from the last. */
static void next_time(void)
{
    int64_t now = clock_wall_ms();
    uint8_t start[2];

    if (now <= state.ms && state.counter < 0xFFF) {
        state.counter++;
        return;
    }
    state.ms = now > state.ms ? now : state.ms + 1;
    take_random(start, sizeof(start));
    state.counter = ((unsigned)start[0] << 8 | start[1]) & 0x7FF;
}

void id_make(char out[ID_SIZE])
{
    uint8_t bytes[16];

    next_time();
    for (unsigned i = 0; i < 6; i++)
        bytes[i] = (uint8_t)((uint64_t)state.ms >> (40 - 8 * i));
    bytes[6] = (uint8_t)(0x70 | state.counter >> 8);
    bytes[7] = (uint8_t)state.counter;
    take_random(bytes + 8, 8);
    bytes[8] = (bytes[8] & 0x3F) | 0x80;
    hex_write(out, bytes, 4);
    out[8] = '-';
    hex_write(out + 9, bytes + 4, 2);
    out[13] = '-';
    hex_write(out + 14, bytes + 6, 2);
    out[18] = '-';
    hex_write(out + 19, bytes + 8, 2);
    out[23] = '-';
    hex_write(out + 24, bytes + 10, 6);
    out[36] = '\0';
}

bool id_valid(struct view text)
{
    if (text.length != ID_SIZE - 1)
        return false;
    for (size_t i = 0; i < text.length; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;

        if (dash ? text.data[i] != '-'
                 : !text.data[i] || !strchr("0123456789abcdefABCDEF", text.data[i]))
            return false;
    }
    return true;
}
