/* Feeds any two JSON objects to the comparison: what differs, taken back, gives the first one again. */
#include "managerd/difference.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Far from the longest pointer that there can be. */
#define MAX_INPUT 900

static void compare(struct json *before, struct json *after)
{
    struct json *list = difference_list(before, after, NULL);
    struct faults faults;
    struct arena arena;

    arena_init(&arena, 1u << 20);
    faults_init(&faults, &arena);
    REQUIRE((json_count(list) == 0) == json_equal(before, after));
    difference_revert(after, list, &faults);
    REQUIRE(faults.count == 0 && json_equal(before, after));
    arena_release(&arena);
    json_free(list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct view text = view_from(data, size < MAX_INPUT ? size : MAX_INPUT), first;
    struct json *before = NULL, *after = NULL;

    if (view_split(&text, '\n', &first) && !json_parse(first, 20, &before, NULL) &&
        !json_parse(text, 20, &after, NULL) && json_type_of(before) == JSON_OBJECT &&
        json_type_of(after) == JSON_OBJECT)
        compare(before, after);
    json_free(before);
    json_free(after);
    return 0;
}
