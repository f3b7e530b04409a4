/* Looks through zip packages, refuses what could harm, and unpacks them below one folder. */
#include "common/base/archive.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <zip.h>

#include "common/base/archive_names.h"
#include "common/base/escape.h"

#define DEFAULT_MAX_ENTRIES        50000
#define DEFAULT_MAX_UNPACKED_BYTES 262144000
#define TARGET_MAX_BYTES           1024
#define CHUNK_BYTES                ((size_t)64 * 1024)

enum entry_kind { ENTRY_FILE, ENTRY_FOLDER, ENTRY_LINK };

struct entry {
    struct view name; /* NUL-terminated, libzip's; a folder's without its last slash */
    uint64_t index;
    uint64_t size; /* as stated */
    enum entry_kind kind;
    bool executable;
};

struct package {
    struct view bytes;
    struct archive_limits limits;
    struct buffer *problem;
    zip_t *zip;
    struct entry *entries; /* sorted by name after check_names */
    size_t count;
    uint64_t unpacked;
    char *chunk; /* CHUNK_BYTES */
};

/* Appends the sentence for the user and gives the error, so that a check is one line. */
static enum error refuse(struct package *package, enum error error, const char *format, ...)
    PRINTF_LIKE(3, 4);

static enum error refuse(struct package *package, enum error error, const char *format, ...)
{
    va_list arguments;
    char sentence[512];
    bool printable;

    va_start(arguments, format);
    vsnprintf(sentence, sizeof(sentence), format, arguments);
    va_end(arguments);
    printable = utf8_valid(view_of(sentence)); /* names may hold anything */
    for (char *at = sentence; *at; at++) {
        unsigned char byte = (unsigned char)*at;

        if (byte < 0x20 || byte == 0x7F || (byte >= 0x80 && !printable))
            *at = '?';
    }
    buffer_append_string(package->problem, sentence);
    return error;
}

static enum error refuse_entry(struct package *package, struct view name, const char *why)
{
    return refuse(package, ERROR_INVALID, "The entry %.*s %s.",
                  name.length > 200 ? 200 : (int)name.length, name.data, why);
}

/* Checks the count and each raw name before libzip sees the archive. */
static enum error check_directory(struct package *package)
{
    struct archive_directory directory;

    if (!archive_directory_find(package->bytes, &directory))
        return refuse(package, ERROR_INVALID, "The package is no zip archive.");
    if (directory.count == 0)
        return refuse(package, ERROR_INVALID, "The package has no entries.");
    if (directory.count > package->limits.max_entries)
        return refuse(
            package, ERROR_TOO_BIG, "The package has %llu entries; at most %llu are allowed.",
            (unsigned long long)directory.count, (unsigned long long)package->limits.max_entries);
    package->count = (size_t)directory.count;
    for (size_t i = 0; i < package->count; i++) {
        struct view name;
        const char *wrong;

        if (!archive_directory_next(package->bytes, &directory, &name))
            return refuse(package, ERROR_INVALID, "The package's directory is damaged.");
        wrong = archive_name_wrong(name);
        if (wrong)
            return refuse_entry(package, name, wrong);
    }
    return ERROR_NONE;
}

static enum error package_open(struct package *package)
{
    zip_source_t *source;
    zip_error_t error;

    zip_error_init(&error);
    source = zip_source_buffer_create(package->bytes.data, package->bytes.length, 0, &error);
    REQUIRE(source != NULL);
    package->zip = zip_open_from_source(source, ZIP_RDONLY, &error);
    zip_error_fini(&error);
    if (!package->zip) {
        zip_source_free(source);
        return refuse(package, ERROR_INVALID, "The package is no zip archive that can be read.");
    }
    if (zip_get_num_entries(package->zip, 0) != (zip_int64_t)package->count)
        return refuse(package, ERROR_INVALID, "The package's directory is damaged.");
    package->entries = calloc(package->count, sizeof(*package->entries));
    package->chunk = malloc(CHUNK_BYTES);
    return package->entries && package->chunk ? ERROR_NONE : ERROR_NO_MEMORY;
}

static void package_close(struct package *package)
{
    if (package->zip)
        zip_discard(package->zip);
    free(package->entries);
    free(package->chunk);
}

/* The kind of an entry from its name and, when Unix wrote it, its mode. */
static enum error classify(struct package *package, struct entry *entry, bool slash)
{
    zip_uint8_t system = 0;
    zip_uint32_t attributes = 0;
    mode_t mode = 0;

    if (zip_file_get_external_attributes(package->zip, entry->index, 0, &system, &attributes) != 0)
        return refuse_entry(package, entry->name, "has no readable attributes");
    if (system == ZIP_OPSYS_UNIX || system == ZIP_OPSYS_OS_X)
        mode = attributes >> 16;
    entry->executable = (mode & 0111) != 0;
    entry->kind = slash ? ENTRY_FOLDER : ENTRY_FILE;
    if ((mode & S_IFMT) == S_IFLNK && !slash)
        entry->kind = ENTRY_LINK;
    else if ((mode & S_IFMT) != 0 && (mode & S_IFMT) != S_IFREG &&
             !((mode & S_IFMT) == S_IFDIR && slash))
        return refuse_entry(package, entry->name, "is neither file, folder nor symbolic link");
    if (entry->kind == ENTRY_FOLDER && entry->size > 0)
        return refuse_entry(package, entry->name, "is a folder with content");
    return ERROR_NONE;
}

static enum error read_entry(struct package *package, size_t place)
{
    struct entry *entry = &package->entries[place];
    zip_stat_t status;
    bool slash;

    zip_stat_init(&status);
    if (zip_stat_index(package->zip, place, ZIP_FL_ENC_RAW, &status) != 0 ||
        !(status.valid & ZIP_STAT_NAME) || !(status.valid & ZIP_STAT_SIZE))
        return refuse(package, ERROR_INVALID, "The package's directory is damaged.");
    entry->name = view_of(status.name);
    entry->index = place;
    entry->size = status.size;
    if (status.encryption_method != ZIP_EM_NONE)
        return refuse_entry(package, entry->name, "is encrypted");
    slash = view_ends_with(entry->name, VIEW("/"));
    if (slash)
        entry->name.length--;
    return classify(package, entry, slash);
}

static int by_name(const void *a, const void *b)
{
    return view_compare(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

/* Whether an entry lies below this name. Entries are sorted, but "a-b" stands between "a" and
 * "a/b", so the place of "a/" is searched. */
static bool has_below(const struct package *package, struct view name)
{
    size_t low = 0, high = package->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        struct view other = package->entries[middle].name;
        int order = view_compare(view_slice(other, 0, name.length), name);

        if (order == 0 && other.length > name.length)
            order = (unsigned char)other.data[name.length] < '/' ? -1 : 1;
        else if (order == 0)
            order = -1;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < package->count && package->entries[low].name.length > name.length &&
           view_starts_with(package->entries[low].name, name) &&
           package->entries[low].name.data[name.length] == '/';
}

/* Duplicate names, and files (or links) that are folders as well. */
static enum error check_names(struct package *package)
{
    qsort(package->entries, package->count, sizeof(*package->entries), by_name);
    for (size_t i = 0; i < package->count; i++) {
        struct entry *entry = &package->entries[i];

        if (i > 0 && view_equal(entry[-1].name, entry->name))
            return refuse_entry(package, entry->name,
                                entry[-1].kind == entry->kind ? "is there twice"
                                                              : "is a file and a folder");
        if (entry->kind != ENTRY_FOLDER && has_below(package, entry->name))
            return refuse_entry(package, entry->name, "is a file and a folder");
    }
    return ERROR_NONE;
}

/* Takes a piece of an entry's content. */
typedef enum error (*content_sink)(void *context, const char *data, size_t length);

/* Decompresses an entry to its end; libzip compares the CRC there. */
static enum error decompress(struct package *package, const struct entry *entry, content_sink sink,
                             void *context)
{
    zip_file_t *file = zip_fopen_index(package->zip, entry->index, 0);
    uint64_t total = 0;
    enum error error = ERROR_NONE;
    zip_int64_t got = 1;

    if (!file)
        return refuse_entry(package, entry->name, "is packed in a way that cannot be read");
    while (error == ERROR_NONE && (got = zip_fread(file, package->chunk, CHUNK_BYTES)) > 0) {
        total += (uint64_t)got;
        package->unpacked += (uint64_t)got;
        if (package->unpacked > package->limits.max_unpacked_bytes)
            error =
                refuse(package, ERROR_TOO_BIG,
                       "The package unpacks to more than %llu bytes, which is the most allowed.",
                       (unsigned long long)package->limits.max_unpacked_bytes);
        else if (total > entry->size)
            error = refuse_entry(package, entry->name, "is larger than it says");
        else if (sink)
            error = sink(context, package->chunk, (size_t)got);
    }
    if (error == ERROR_NONE && got < 0)
        error = refuse_entry(package, entry->name, "is damaged (its data or checksum is wrong)");
    else if (error == ERROR_NONE && total != entry->size)
        error = refuse_entry(package, entry->name, "is smaller than it says");
    zip_fclose(file);
    return error;
}

static enum error sink_to_buffer(void *context, const char *data, size_t length)
{
    buffer_append(context, data, length);
    return ERROR_NONE; /* too long shows in the buffer */
}

static enum error read_target(struct package *package, const struct entry *entry,
                              struct buffer *target)
{
    const char *wrong;
    enum error error = decompress(package, entry, sink_to_buffer, target);

    if (error != ERROR_NONE)
        return error;
    if (target->error == ERROR_TOO_BIG)
        return refuse_entry(package, entry->name, "is a symbolic link with too long a target");
    wrong = archive_target_wrong(entry->name, buffer_view(target));
    return wrong ? refuse_entry(package, entry->name, wrong) : target->error;
}

/* What an archive states may be a lie, but one that already states too much is refused early. */
static enum error check_stated_size(struct package *package)
{
    uint64_t left = package->limits.max_unpacked_bytes;

    for (size_t i = 0; i < package->count; i++) {
        if (package->entries[i].size > left)
            return refuse(package, ERROR_TOO_BIG,
                          "The package unpacks to more than %llu bytes, which is the most allowed.",
                          (unsigned long long)package->limits.max_unpacked_bytes);
        left -= package->entries[i].size;
    }
    return ERROR_NONE;
}

static enum error check_content(struct package *package)
{
    enum error error = ERROR_NONE;
    struct buffer target;

    buffer_init(&target, TARGET_MAX_BYTES);
    for (size_t i = 0; i < package->count && error == ERROR_NONE; i++) {
        const struct entry *entry = &package->entries[i];

        buffer_clear(&target);
        if (entry->kind == ENTRY_LINK)
            error = read_target(package, entry, &target);
        else if (entry->kind == ENTRY_FILE)
            error = decompress(package, entry, NULL, NULL);
    }
    buffer_release(&target);
    return error;
}

static enum error check_package(struct package *package)
{
    enum error error = check_directory(package);

    if (error == ERROR_NONE)
        error = package_open(package);
    for (size_t i = 0; i < package->count && error == ERROR_NONE; i++)
        error = read_entry(package, i);
    if (error == ERROR_NONE)
        error = check_names(package);
    if (error == ERROR_NONE)
        error = check_stated_size(package);
    if (error == ERROR_NONE)
        error = check_content(package);
    return error;
}

static struct package package_of(struct view zip, const struct archive_limits *limits,
                                 struct buffer *problem)
{
    struct package package = {.bytes = zip, .problem = problem};

    if (limits)
        package.limits = *limits;
    if (package.limits.max_entries == 0)
        package.limits.max_entries = DEFAULT_MAX_ENTRIES;
    if (package.limits.max_unpacked_bytes == 0)
        package.limits.max_unpacked_bytes = DEFAULT_MAX_UNPACKED_BYTES;
    return package;
}

enum error archive_check(struct view zip, const struct archive_limits *limits,
                         struct archive_summary *summary, struct buffer *problem)
{
    struct package package = package_of(zip, limits, problem);
    enum error error = check_package(&package);

    if (error == ERROR_NONE && summary)
        *summary = (struct archive_summary){package.count, package.unpacked};
    package_close(&package);
    return error;
}

/* Unpacking. All names have been checked; links are made last, so that no write passes through one.
 */

static enum error fail(struct package *package, struct view name)
{
    enum error error = error_from_errno(errno);

    return refuse(package, error, "The entry %.*s could not be written: %s.",
                  name.length > 200 ? 200 : (int)name.length, name.data, strerror(errno));
}

/* Makes the folders in front of the last slash of `path` (with `whole`: all of it). */
static enum error make_folders(struct package *package, int root, struct view path, bool whole)
{
    char partial[ARCHIVE_NAME_MAX_BYTES + 1];

    memcpy(partial, path.data, path.length);
    partial[path.length] = '\0';
    for (size_t i = 0; i <= path.length; i++) {
        bool last = i == path.length;

        if (last ? !whole : partial[i] != '/')
            continue;
        partial[i] = '\0';
        if (mkdirat(root, partial, 0755) != 0 && errno != EEXIST)
            return fail(package, path);
        if (!last)
            partial[i] = '/';
    }
    return ERROR_NONE;
}

static enum error sink_to_file(void *context, const char *data, size_t length)
{
    const int *descriptor = context;

    while (length) {
        ssize_t wrote = write(*descriptor, data, length);

        if (wrote < 0 && errno != EINTR)
            return error_from_errno(errno);
        if (wrote > 0) {
            data += wrote;
            length -= (size_t)wrote;
        }
    }
    return ERROR_NONE;
}

static enum error unpack_file(struct package *package, int root, const struct entry *entry)
{
    mode_t mode = entry->executable ? 0755 : 0644;
    int file =
        openat(root, entry->name.data, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    enum error error;

    if (file < 0)
        return fail(package, entry->name);
    error = decompress(package, entry, sink_to_file, &file);
    if (error == ERROR_NONE && fchmod(file, mode) != 0) /* whatever the umask says */
        error = fail(package, entry->name);
    else if (error != ERROR_NONE && package->problem->length == 0)
        refuse_entry(package, entry->name, "could not be written");
    close(file);
    return error;
}

static enum error unpack_link(struct package *package, int root, const struct entry *entry)
{
    struct buffer target;
    enum error error;

    buffer_init(&target, TARGET_MAX_BYTES);
    error = read_target(package, entry, &target);
    if (error == ERROR_NONE && symlinkat(target.data, root, entry->name.data) != 0)
        error = fail(package, entry->name);
    buffer_release(&target);
    return error;
}

static enum error unpack_entries(struct package *package, int root)
{
    enum error error = ERROR_NONE;

    package->unpacked = 0;
    for (size_t i = 0; i < package->count && error == ERROR_NONE; i++) {
        const struct entry *entry = &package->entries[i];

        error = make_folders(package, root, entry->name, entry->kind == ENTRY_FOLDER);
        if (error == ERROR_NONE && entry->kind == ENTRY_FILE)
            error = unpack_file(package, root, entry);
    }
    for (size_t i = 0; i < package->count && error == ERROR_NONE; i++) {
        if (package->entries[i].kind == ENTRY_LINK)
            error = unpack_link(package, root, &package->entries[i]);
    }
    return error;
}

enum error archive_unpack(struct view zip, const struct archive_limits *limits, const char *folder,
                          struct buffer *problem)
{
    struct package package = package_of(zip, limits, problem);
    enum error error = check_package(&package);
    int root;

    if (error != ERROR_NONE)
        goto out;
    root = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0) {
        error = error_from_errno(errno);
        refuse(&package, error, "The folder to unpack into cannot be opened.");
        goto out;
    }
    error = unpack_entries(&package, root);
    close(root);
out:
    package_close(&package);
    return error;
}

bool archive_has(struct view zip, const char *name)
{
    struct archive_directory directory;
    struct view found;

    if (!archive_directory_find(zip, &directory))
        return false;
    for (uint64_t i = 0; i < directory.count; i++) {
        if (!archive_directory_next(zip, &directory, &found))
            return false;
        if (view_equal_string(found, name))
            return true;
    }
    return false;
}
