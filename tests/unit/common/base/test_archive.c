/* Tests of zip packages: good ones unpack as they should, nasty ones are refused with a sentence.
 * The packages are made by tests/vectors/archives/make.py. */
#include "tests/unit/common/base/check.h"

#include <sys/stat.h>
#include <unistd.h>

#include "common/base/archive.h"
#include "common/base/file.h"

static const struct archive_limits limits = {.max_entries = 1000, .max_unpacked_bytes = 2000000};

static struct buffer zip, problem;
static char folder[] = "/tmp/test_archive.XXXXXX";

static int set_up(void **state)
{
    (void)state;
    buffer_init(&zip, 10000000);
    buffer_init(&problem, 1000);
    strcpy(folder, "/tmp/test_archive.XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    buffer_release(&zip);
    buffer_release(&problem);
    return folder_remove(folder) == ERROR_NONE ? 0 : -1;
}

static void load(const char *name)
{
    char path[512];

    snprintf(path, sizeof(path), "%s/archives/%s.zip", TEST_VECTORS_DIR, name);
    buffer_clear(&zip);
    buffer_clear(&problem);
    assert_int_equal(file_read(path, &zip), ERROR_NONE);
}

static bool count_name(const char *name, void *context)
{
    (void)name;
    ++*(unsigned *)context;
    return true;
}

/* Each package, what it is refused for (NULL: it is good), and with which error. */
static const struct {
    const char *name;
    const char *sentence;
    enum error error;
} packages[] = {
    {"good", NULL, ERROR_NONE},
    {"good-stored", NULL, ERROR_NONE},
    {"good-streamed", NULL, ERROR_NONE},
    {"good-comment", NULL, ERROR_NONE},
    {"good-dos", NULL, ERROR_NONE},
    {"good-local-name", NULL, ERROR_NONE}, /* the directory's name counts */
    {"good-zip64", NULL, ERROR_NONE},
    {"good-link-to-link", NULL, ERROR_NONE},
    {"not-a-zip", "The package is no zip archive.", ERROR_INVALID},
    {"empty", "The package has no entries.", ERROR_INVALID},
    {"truncated", "The package is no zip archive.", ERROR_INVALID},
    {"head-cut", "damaged", ERROR_INVALID},
    {"count-too-many", "damaged", ERROR_INVALID},
    {"count-too-few", "The package is no zip archive that can be read.", ERROR_INVALID},
    {"zip64-count", "The package has 1099511627776 entries; at most 1000 are allowed.",
     ERROR_TOO_BIG},
    {"trailing-bytes", "The package is no zip archive.", ERROR_INVALID},
    {"name-absolute", "The entry /etc/passwd has an absolute path.", ERROR_INVALID},
    {"name-climbs", "has \"..\" in its path", ERROR_INVALID},
    {"name-climbs-later", "has \"..\" in its path", ERROR_INVALID},
    {"name-back-slash", "has a back-slash in its name", ERROR_INVALID},
    {"name-nul", "has a control byte in its name", ERROR_INVALID},
    {"name-control", "The entry index?.mjs has a control byte in its name.", ERROR_INVALID},
    {"name-not-utf8", "The entry caf? has a name that is not UTF-8", ERROR_INVALID},
    {"name-none", "has no name", ERROR_INVALID},
    {"name-slash", "has an absolute path", ERROR_INVALID},
    {"name-dot", "has an empty or \".\" part in its path", ERROR_INVALID},
    {"name-empty-part", "has an empty or \".\" part in its path", ERROR_INVALID},
    {"name-long", "has a name of more than 1024 bytes", ERROR_INVALID},
    {"name-part-long", "has a path part of more than 255 bytes", ERROR_INVALID},
    {"name-twice", "The entry a is there twice.", ERROR_INVALID},
    {"folder-twice", "The entry a is there twice.", ERROR_INVALID},
    {"file-and-folder", "The entry a is a file and a folder.", ERROR_INVALID},
    {"file-and-folder-entry", "The entry a is a file and a folder.", ERROR_INVALID},
    {"file-and-folder-far", "The entry a is a file and a folder.", ERROR_INVALID},
    {"link-and-folder", "The entry a is a file and a folder.", ERROR_INVALID},
    {"device", "is neither file, folder nor symbolic link", ERROR_INVALID},
    {"pipe", "is neither file, folder nor symbolic link", ERROR_INVALID},
    {"folder-with-content", "is a folder with content", ERROR_INVALID},
    {"folder-without-slash", "is neither file, folder nor symbolic link", ERROR_INVALID},
    {"link-absolute", "is a symbolic link to an absolute path", ERROR_INVALID},
    {"link-climbs", "is a symbolic link that may leave the package", ERROR_INVALID},
    {"link-climbs-deep", "is a symbolic link that may leave the package", ERROR_INVALID},
    {"link-climbs-later", "is a symbolic link that may leave the package", ERROR_INVALID},
    {"link-empty", "is a symbolic link without a usable target", ERROR_INVALID},
    {"link-nul", "is a symbolic link without a usable target", ERROR_INVALID},
    {"link-long", "is a symbolic link with too long a target", ERROR_INVALID},
    {"encrypted", "The entry index.mjs is encrypted.", ERROR_INVALID},
    {"method-unknown", "is packed in a way that cannot be read", ERROR_INVALID},
    {"crc-wrong", "is damaged", ERROR_INVALID},
    {"size-too-small", "is ", ERROR_INVALID},
    {"size-too-large", "is ", ERROR_INVALID},
    {"bomb", "unpacks to more than 2000000 bytes", ERROR_TOO_BIG},
    {"bomb-that-lies", "is larger than it says", ERROR_INVALID},
    {"bombs", "unpacks to more than 2000000 bytes", ERROR_TOO_BIG},
    {"many", "The package has 1001 entries; at most 1000 are allowed.", ERROR_TOO_BIG},
};

static void each_package_is_judged_as_it_deserves(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(packages) / sizeof(packages[0]); i++) {
        enum error error;

        load(packages[i].name);
        error = archive_check(buffer_view(&zip), &limits, NULL, &problem);
        if (error != packages[i].error ||
            (packages[i].sentence &&
             !(problem.length && strstr(problem.data, packages[i].sentence))))
            fail_msg("%s: %s, \"%s\"", packages[i].name, error_name(error),
                     problem.data ? problem.data : "");
        assert_int_equal(problem.length == 0, error == ERROR_NONE);
    }
}

static void each_vector_is_in_the_table(void **state)
{
    unsigned files = 0;

    (void)state;
    assert_int_equal(folder_list(TEST_VECTORS_DIR "/archives", count_name, &files), ERROR_NONE);
    assert_int_equal(files - 1, sizeof(packages) / sizeof(packages[0])); /* make.py is the one */
}

static void nothing_is_unpacked_from_a_package_that_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(packages) / sizeof(packages[0]); i++) {
        unsigned names = 0;

        if (packages[i].error == ERROR_NONE)
            continue;
        load(packages[i].name);
        assert_int_equal(archive_unpack(buffer_view(&zip), &limits, folder, &problem),
                         packages[i].error);
        assert_int_equal(folder_list(folder, count_name, &names), ERROR_NONE);
        assert_int_equal(names, 0);
    }
}

static void a_good_package_is_counted(void **state)
{
    struct archive_summary summary = {0};

    (void)state;
    load("good");
    assert_int_equal(archive_check(buffer_view(&zip), NULL, &summary, &problem), ERROR_NONE);
    assert_int_equal(summary.entries, 6);
    assert_int_equal(summary.unpacked_bytes, 44 + 21 + 14 + 300000);
}

static void limits_count_to_the_last_byte_and_entry(void **state)
{
    struct archive_limits exact = {.max_entries = 6, .max_unpacked_bytes = 44 + 21 + 14 + 300000};

    (void)state;
    load("good");
    assert_int_equal(archive_check(buffer_view(&zip), &exact, NULL, &problem), ERROR_NONE);
    exact.max_unpacked_bytes--;
    assert_int_equal(archive_check(buffer_view(&zip), &exact, NULL, &problem), ERROR_TOO_BIG);
    exact.max_unpacked_bytes++;
    exact.max_entries--;
    assert_int_equal(archive_check(buffer_view(&zip), &exact, NULL, &problem), ERROR_TOO_BIG);
}

static void check_content(const char *name, const char *content, mode_t mode)
{
    struct buffer bytes;
    struct stat status;
    char path[512];

    buffer_init(&bytes, 1000000);
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    assert_int_equal(file_read(path, &bytes), ERROR_NONE);
    assert_true(view_equal_string(buffer_view(&bytes), content));
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, mode);
    buffer_release(&bytes);
}

static void a_good_package_is_unpacked_with_its_executable_bits_and_links(void **state)
{
    char path[512], target[100] = "";
    struct stat status;
    mode_t before = umask(0077);

    (void)state;
    load("good");
    assert_int_equal(archive_unpack(buffer_view(&zip), NULL, folder, &problem), ERROR_NONE);
    umask(before);
    check_content("index.mjs", "export const handler = async () => \"hello\";\n", 0644);
    check_content("bin/tool", "#!/bin/sh\necho hello\n", 0755);
    check_content("node_modules/.bin/tool", "#!/bin/sh\necho hello\n", 0755);
    check_content("empty", "", 0644);
    snprintf(path, sizeof(path), "%s/node_modules/.bin/tool", folder);
    assert_int_equal(readlink(path, target, sizeof(target) - 1), 14);
    assert_string_equal(target, "../../bin/tool");
    snprintf(path, sizeof(path), "%s/caf\xC3\xA9/\xF0\x9F\x98\x80.txt", folder);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_size, 300000);
}

static void a_package_is_not_unpacked_over_what_is_there(void **state)
{
    char path[512];

    (void)state;
    snprintf(path, sizeof(path), "%s/index.mjs", folder);
    assert_int_equal(symlink("/tmp/test_archive_must_not_appear", path), 0);
    load("good");
    assert_int_equal(archive_unpack(buffer_view(&zip), NULL, folder, &problem), ERROR_EXISTS);
    assert_non_null(strstr(problem.data, "index.mjs"));
    assert_false(file_exists("/tmp/test_archive_must_not_appear"));
}

static void unpacking_into_no_folder_says_so(void **state)
{
    (void)state;
    load("good");
    assert_int_equal(archive_unpack(buffer_view(&zip), NULL, "/nonexistent", &problem),
                     ERROR_NOT_FOUND);
    assert_true(problem.length > 0);
}

static void files_of_a_package_are_found_by_their_whole_name(void **state)
{
    (void)state;
    load("good");
    assert_true(archive_has(buffer_view(&zip), "index.mjs"));
    assert_true(archive_has(buffer_view(&zip), "bin/tool"));
    assert_false(archive_has(buffer_view(&zip), "tool"));
    assert_false(archive_has(buffer_view(&zip), "INDEX.mjs"));
    assert_false(archive_has(buffer_view(&zip), "index"));
    load("name-nul");
    assert_false(archive_has(buffer_view(&zip), "index.mjs"));
    load("not-a-zip");
    assert_false(archive_has(buffer_view(&zip), "index.mjs"));
    assert_false(archive_has((struct view){NULL, 0}, "index.mjs"));
}

static void every_cut_and_every_flipped_byte_is_survived(void **state)
{
    size_t length;

    (void)state;
    load("good-link-to-link");
    length = zip.length;
    for (size_t cut = 0; cut < length; cut++) {
        char *copy = malloc(cut ? cut : 1); /* its own block, so that ASan sees a step beyond */

        memcpy(copy, zip.data, cut);
        buffer_clear(&problem);
        assert_int_equal(archive_check(view_from(copy, cut), &limits, NULL, &problem),
                         ERROR_INVALID);
        free(copy);
    }
    for (size_t i = 0; i < length; i++) {
        zip.data[i] ^= 0x41;
        buffer_clear(&problem);
        if (archive_check(buffer_view(&zip), &limits, NULL, &problem) == ERROR_NONE)
            assert_int_equal(problem.length, 0);
        zip.data[i] ^= 0x41;
    }
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(each_package_is_judged_as_it_deserves),
        IN_FOLDER(each_vector_is_in_the_table),
        IN_FOLDER(nothing_is_unpacked_from_a_package_that_is_refused),
        IN_FOLDER(a_good_package_is_counted),
        IN_FOLDER(limits_count_to_the_last_byte_and_entry),
        IN_FOLDER(a_good_package_is_unpacked_with_its_executable_bits_and_links),
        IN_FOLDER(a_package_is_not_unpacked_over_what_is_there),
        IN_FOLDER(unpacking_into_no_folder_says_so),
        IN_FOLDER(files_of_a_package_are_found_by_their_whole_name),
        IN_FOLDER(every_cut_and_every_flipped_byte_is_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
