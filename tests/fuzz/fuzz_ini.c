/* Foreign shared files: whatever is in them, keys are lower case, values are trimmed, and words are no longer than their text. */
#include "common/aws/ini.h"

#include <ctype.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_value(struct view value)
{
    struct arena arena;
    struct view nested;
    char **words;
    size_t count;

    REQUIRE(!value.length || !isspace((unsigned char)value.data[value.length - 1]));
    ini_nested(value, "endpoint_url", &nested);
    arena_init(&arena, (size_t)64 << 20);
    if (ini_words(value, &arena, &words, &count) == ERROR_NONE) {
        size_t bytes = 0;
        for (size_t i = 0; i < count; i++)
            bytes += strlen(words[i]);
        REQUIRE(bytes <= value.length && !words[count]);
    }
    arena_release(&arena);
}

static void check(const struct ini *ini)
{
    for (const struct ini_section *section = ini->sections; section; section = section->next) {
        REQUIRE(section->name.length && ini_section(ini, section->name) == section);
        for (const struct ini_entry *entry = section->entries; entry; entry = entry->next) {
            REQUIRE(entry->key.length);
            for (size_t i = 0; i < entry->key.length; i++)
                REQUIRE(entry->key.data[i] < 'A' || entry->key.data[i] > 'Z');
            check_value(entry->value);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buffer problem;
    struct arena arena;
    struct ini ini;

    arena_init(&arena, (size_t)64 << 20);
    buffer_init(&problem, 4096);
    enum error error = ini_parse(view_from(data, size), &arena, &ini, &problem);
    REQUIRE((error == ERROR_INVALID) == (problem.length > 0));
    if (error == ERROR_NONE)
        check(&ini);
    buffer_release(&problem);
    arena_release(&arena);
    return 0;
}
