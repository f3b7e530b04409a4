/* Feeds any bytes to the decoders of the published records; what decodes must survive being written again. */
#include "common/base/escape.h"
#include "common/store/route_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct route_record route, route_again;
static struct domain_record domain, domain_again;
static struct settings_record settings, settings_again;
static struct meta_record meta, meta_again;

/* Decode, encode, decode, encode: the two encodings must be the same, and within the ceiling. */
#define CHECK_KIND(kind, record, again)                                                            \
    do {                                                                                           \
        arena_init(&arena, (size_t)1 << 20);                                                       \
        buffer_clear(&first);                                                                      \
        buffer_clear(&second);                                                                     \
        if (kind##_record_decode(&arena, bytes, &(record)) == ERROR_NONE) {                        \
            kind##_record_encode(&first, &(record));                                               \
            REQUIRE(first.error == ERROR_NONE);                                                    \
            REQUIRE(kind##_record_decode(&arena, buffer_view(&first), &(again)) == ERROR_NONE);    \
            kind##_record_encode(&second, &(again));                                               \
            REQUIRE(view_equal(buffer_view(&first), buffer_view(&second)));                        \
        }                                                                                          \
        arena_release(&arena);                                                                     \
    } while (0)

static void check(struct view bytes)
{
    struct buffer first, second;
    struct arena arena;

    buffer_init(&first, 2 * ROUTE_MAX_RECORD);
    buffer_init(&second, 2 * ROUTE_MAX_RECORD);
    CHECK_KIND(route, route, route_again);
    CHECK_KIND(domain, domain, domain_again);
    CHECK_KIND(settings, settings, settings_again);
    CHECK_KIND(meta, meta, meta_again);
    buffer_release(&first);
    buffer_release(&second);
}

/* The seeds are text in hex: the bytes that it stands for are checked as well. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buffer digits, bytes;

    check(view_from(data, size));
    buffer_init(&digits, size);
    buffer_init(&bytes, size);
    for (size_t i = 0; i < size; i++)
        if (data[i] != '\n')
            buffer_append(&digits, &data[i], 1);
    if (hex_decode(&bytes, buffer_view(&digits)) == ERROR_NONE)
        check(buffer_view(&bytes));
    buffer_release(&digits);
    buffer_release(&bytes);
    return 0;
}
