/* Tests of the look at an environment's file: what LMDB wrote is whole, and what is damaged is told, never a crash. */
#include "tests/unit/common/store/store_scene.h"

#include "common/store/store_check.h"
#include "common/store/store_copy.h"

#include <fcntl.h>
#include <sys/stat.h>

#define ENTRIES    600
#define VALUE_MOST 20000
#define DAMAGES    1000

struct count {
    unsigned seen;
};

/* Lengths from nothing to several pages, by the key. */
static void value_of(unsigned number, struct buffer *value)
{
    unsigned length = number % 50 == 0 ? number * 31 % VALUE_MOST : number * 7 % 200;

    buffer_clear(value);
    for (unsigned i = 0; i < length; i++)
        buffer_append_byte(value, (char)('a' + (number + i) % 26));
}

static void key_of(unsigned number, char key[32])
{
    snprintf(key, 32, "key/%05u", number);
}

static void put_some(struct store *store, unsigned first, unsigned beyond, unsigned step,
                     bool remove)
{
    struct store_write *write;
    struct buffer value;

    buffer_init(&value, VALUE_MOST + 1);
    assert_int_equal(store_write_begin(store, &write), ERROR_NONE);
    for (unsigned i = first; i < beyond; i += step) {
        char key[32];

        key_of(i, key);
        value_of(i, &value);
        if (remove)
            assert_int_equal(store_delete(write, LAYOUT_ROUTES, view_of(key)), ERROR_NONE);
        else
            assert_int_equal(store_put(write, LAYOUT_ROUTES, view_of(key), buffer_view(&value)),
                             ERROR_NONE);
    }
    assert_int_equal(store_commit(write), ERROR_NONE);
    buffer_release(&value);
}

/* Of several transactions, with pages given back and taken again; every number is left but each seventh. */
static void fill(void)
{
    struct store_options options = scene_options(false);
    struct store *store;

    options.map_bytes = 8 * SMALL_MAP;
    store = scene_open_with(&options);
    for (unsigned i = 0; i < ENTRIES; i += 100)
        put_some(store, i, i + 100, 1, false);
    put_some(store, 0, ENTRIES, 7, true);
    put_some(store, 1, ENTRIES, 35, false);
    put_some(store, 0, ENTRIES, 35, false);
    put_some(store, 0, ENTRIES, 35, true);
    store_close(store);
}

static bool on_entry(const char *database, struct view key, struct view value, void *context)
{
    struct count *count = context;
    struct buffer wanted;
    uint64_t number = 0;
    bool same;

    if (strcmp(database, LAYOUT_ROUTES) != 0 || !view_starts_with(key, VIEW("key/")) ||
        view_to_u64(view_slice(key, 4, SIZE_MAX), ENTRIES, &number) != ERROR_NONE)
        return false;
    buffer_init(&wanted, VALUE_MOST + 1);
    value_of((unsigned)number, &wanted);
    same = view_equal(value, buffer_view(&wanted));
    buffer_release(&wanted);
    count->seen++;
    return same && number % 7 != 0;
}

static unsigned left_of_all(void)
{
    unsigned left = 0;

    for (unsigned i = 0; i < ENTRIES; i++)
        left += i % 7 != 0;
    return left;
}

static enum error check(struct count *count, struct store_checked *checked, struct buffer *problem)
{
    *count = (struct count){0};
    buffer_clear(problem);
    return store_check(scene_folder, on_entry, count, checked, problem);
}

static void read_whole(char **bytes, size_t *length)
{
    struct buffer file;

    buffer_init(&file, 64u << 20);
    assert_int_equal(file_read(scene_data, &file), ERROR_NONE);
    *bytes = buffer_take(&file, length);
}

static void write_at(const char *bytes, size_t length, size_t offset)
{
    int file = open(scene_data, O_WRONLY | O_CLOEXEC);

    assert_true(file >= 0);
    assert_int_equal(pwrite(file, bytes, length, (off_t)offset), (ssize_t)length);
    close(file);
}

static void what_was_written_is_whole(void **state)
{
    struct store_checked checked;
    struct count count;
    struct buffer problem;
    struct store *store;

    (void)state;
    buffer_init(&problem, 8192);
    assert_int_equal(check(&count, NULL, &problem), ERROR_NOT_FOUND);
    store = scene_open(false); /* empty */
    store_close(store);
    assert_int_equal(check(&count, &checked, &problem), ERROR_NONE);
    assert_int_equal(count.seen, 0);
    fill();
    assert_int_equal(check(&count, &checked, &problem), ERROR_NONE);
    assert_int_equal(problem.length, 0);
    assert_int_equal(count.seen, left_of_all());
    assert_int_equal(checked.entries, left_of_all());
    assert_true(checked.free_pages > 0 && checked.pages > checked.free_pages);
    buffer_release(&problem);
}

static void no_damage_is_taken_for_good_and_none_is_a_crash(void **state)
{
    size_t length, used;
    char *bytes;
    struct store_checked checked;
    struct count count;
    struct buffer problem;
    unsigned told = 0;

    (void)state;
    buffer_init(&problem, 8192);
    fill();
    assert_int_equal(check(&count, &checked, &problem), ERROR_NONE);
    read_whole(&bytes, &length);
    used = (size_t)checked.pages * 4096;
    assert_true(used <= length);
    srand(1);
    for (unsigned i = 0; i < DAMAGES; i++) {
        size_t at = (size_t)rand() % used, many = i % 3 == 0 ? 1 : i % 3 == 1 ? 8 : 64;
        char bad[64];

        /* Heads of pages, where everything hangs, as often as what they hold. */
        if (i % 2 == 0)
            at = at / 4096 * 4096 + (size_t)rand() % 192;
        if (many > used - at)
            many = used - at;
        memcpy(bad, bytes + at, many);
        for (size_t j = 0; j < many; j++)
            bad[j] = (char)(i % 5 == 0   ? 0
                            : i % 5 == 1 ? 0xff
                            : i % 5 == 2 ? bad[j] ^ 1 << rand() % 8
                                         : rand());
        write_at(bad, many, at);
        enum error error = check(&count, NULL, &problem);
        if (error == ERROR_NONE) {
            assert_int_equal(count.seen, left_of_all()); /* all is there, and as it was */
            assert_int_equal(problem.length, 0);
        } else {
            assert_int_equal(error, ERROR_DAMAGED);
            assert_non_null(strstr(problem.data, "data.mdb is damaged ("));
            told++;
        }
        /* What is left is as it was. */
        count = (struct count){0};
        buffer_clear(&problem);
        (void)!store_check_rest(scene_folder, on_entry, &count, NULL, &problem);
        write_at(bytes + at, many, at);
    }
    assert_true(told > DAMAGES / 4);
    assert_int_equal(check(&count, NULL, &problem), ERROR_NONE);
    free(bytes);
    buffer_release(&problem);
}

static void a_cut_or_foreign_file_is_damaged(void **state)
{
    struct store_checked checked;
    struct count count;
    struct buffer problem;
    size_t used;

    (void)state;
    buffer_init(&problem, 8192);
    fill();
    assert_int_equal(check(&count, &checked, &problem), ERROR_NONE);
    used = (size_t)checked.pages * 4096;
    assert_int_equal(truncate(scene_data, (off_t)used), 0);
    assert_int_equal(check(&count, &checked, &problem), ERROR_NONE);
    for (size_t cut = used / 2; cut > 0; cut /= 3) {
        assert_int_equal(truncate(scene_data, (off_t)cut), 0);
        assert_int_equal(check(&count, NULL, &problem), ERROR_DAMAGED);
    }
    assert_int_equal(truncate(scene_data, 0), 0);
    assert_int_equal(check(&count, NULL, &problem), ERROR_NOT_FOUND);
    assert_int_equal(file_write(scene_data, VIEW("hello"), 0600), ERROR_NONE);
    assert_int_equal(check(&count, NULL, &problem), ERROR_DAMAGED);
    assert_int_equal(unlink(scene_data), 0);
    assert_int_equal(mkdir(scene_data, 0700), 0);
    assert_int_equal(check(&count, NULL, &problem), ERROR_DAMAGED);
    buffer_release(&problem);
}

static void an_older_head_is_not_taken_for_the_latest(void **state)
{
    uint64_t heads[2];
    size_t length;
    char *bytes;
    struct count count;
    struct buffer problem;

    (void)state;
    buffer_init(&problem, 8192);
    fill();
    read_whole(&bytes, &length);
    memcpy(&heads[0], bytes + 16 + 128, sizeof(heads[0]));
    memcpy(&heads[1], bytes + 4096 + 16 + 128, sizeof(heads[1]));
    unsigned later = heads[1] > heads[0];
    for (unsigned back = 1; back <= 4; back++) {
        uint64_t earlier = heads[later] - back * 2;

        write_at((const char *)&earlier, sizeof(earlier), later * 4096 + 16 + 128);
        assert_int_equal(check(&count, NULL, &problem), ERROR_DAMAGED);
    }
    write_at(bytes, 4096, 0);
    free(bytes);
    buffer_release(&problem);
}

static void what_is_left_is_shown_behind_a_damage(void **state)
{
    struct store_checked checked;
    struct count count = {0};
    struct buffer problem;
    char zeros[64] = {0};

    (void)state;
    buffer_init(&problem, 8192);
    fill();
    assert_int_equal(check(&count, &checked, &problem), ERROR_NONE);
    for (uint64_t page = 2; page < checked.pages; page += 9)
        write_at(zeros, sizeof(zeros), (size_t)page * 4096 + 16);
    write_at(zeros, sizeof(zeros), 0); /* and one of the heads */
    assert_int_equal(check(&count, NULL, &problem), ERROR_DAMAGED);
    count = (struct count){0};
    buffer_clear(&problem);
    enum error error = store_check_rest(scene_folder, on_entry, &count, &checked, &problem);
    if (error == ERROR_NONE)
        assert_true(checked.lost > 0 && count.seen < left_of_all());
    buffer_release(&problem);
}

static void a_copy_is_whole_and_takes_no_place_that_is_taken(void **state)
{
    char to[96], file[112];
    struct store_options options = scene_options(false);
    struct count count = {0};
    struct store *store;
    struct buffer problem;
    struct stat status;

    (void)state;
    buffer_init(&problem, 8192);
    snprintf(to, sizeof(to), "%s/../copy", scene_folder);
    snprintf(file, sizeof(file), "%s/data.mdb", to);
    assert_int_equal(store_copy(scene_folder, to, &problem), ERROR_NOT_FOUND);
    buffer_clear(&problem);
    fill();
    options.map_bytes = 8 * SMALL_MAP;
    assert_int_equal(store_copy(scene_folder, to, &problem), ERROR_NONE);
    assert_int_equal(stat(file, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_int_equal(store_check(to, on_entry, &count, NULL, &problem), ERROR_NONE);
    assert_int_equal(count.seen, left_of_all());
    assert_int_not_equal(store_copy(scene_folder, to, &problem), ERROR_NONE);
    assert_non_null(strstr(problem.data, "cannot be made"));
    assert_int_equal(access(file, F_OK), 0);
    /* It can be written to. */
    options.folder = to;
    store = scene_open_with(&options);
    put_some(store, 1, ENTRIES, 8, false);
    store_close(store);
    buffer_clear(&problem);
    assert_int_equal(store_check(to, NULL, NULL, NULL, &problem), ERROR_NONE);
    buffer_release(&problem);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_set_up, scene_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_written_is_whole),
        TEST(no_damage_is_taken_for_good_and_none_is_a_crash),
        TEST(a_cut_or_foreign_file_is_damaged),
        TEST(an_older_head_is_not_taken_for_the_latest),
        TEST(what_is_left_is_shown_behind_a_damage),
        TEST(a_copy_is_whole_and_takes_no_place_that_is_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
