/* Walks over the vector folders and reads what lies there. */
#include "tests/unit/common/contract/vectors.h"

#include "common/base/escape.h"
#include "common/base/file.h"

#define FILE_CEILING ((size_t)16 * 1024 * 1024)

struct walk {
    const char *folder;
    void (*check)(const char *name, const char *path);
    unsigned count;
};

static bool visit(const char *name, void *context)
{
    struct walk *walk = context;
    char path[1024];

    assert_true((size_t)snprintf(path, sizeof(path), "%s/%s", walk->folder, name) < sizeof(path));
    walk->check(name, path);
    walk->count++;
    return true;
}

unsigned vectors_each(const char *area, void (*check)(const char *name, const char *path))
{
    char folder[512];
    struct walk walk = {.folder = folder, .check = check};

    assert_true((size_t)snprintf(folder, sizeof(folder), "%s/%s", TEST_VECTORS_DIR, area) <
                sizeof(folder));
    assert_int_equal(folder_list(folder, visit, &walk), ERROR_NONE);
    return walk.count;
}

struct view vectors_read(struct arena *arena, const char *path, const char *name)
{
    struct buffer bytes;
    struct view view;
    char *full =
        name ? arena_format(arena, "%s/%s", path, name) : arena_string(arena, view_of(path));

    assert_non_null(full);
    buffer_init(&bytes, FILE_CEILING);
    if (file_read(full, &bytes) != ERROR_NONE)
        fail_msg("cannot read %s", full);
    view = arena_copy(arena, buffer_view(&bytes));
    buffer_release(&bytes);
    assert_non_null(view.data);
    return view;
}

struct json *vectors_read_json(struct arena *arena, const char *path, const char *name)
{
    struct json *value = NULL;
    size_t offset = 0;

    if (json_parse(vectors_read(arena, path, name), 100, &value, &offset) != ERROR_NONE)
        fail_msg("%s/%s is not JSON near byte %zu", path, name ? name : "", offset);
    return value;
}

struct view vectors_bytes(struct arena *arena, const struct json *value, const char *absent)
{
    struct view encoded, copy;
    struct buffer bytes;

    if (!value)
        return view_of(absent);
    if (!json_get_string(value, "base64", &encoded))
        return json_string(value);
    buffer_init(&bytes, FILE_CEILING);
    assert_int_equal(base64_decode(&bytes, encoded), ERROR_NONE);
    copy = arena_copy(arena, buffer_view(&bytes));
    buffer_release(&bytes);
    return copy;
}
