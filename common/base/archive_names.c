/* Reads the directory of a zip package and judges names and link targets. */
#include "common/base/archive_names.h"

#include "common/base/escape.h"

#define COMPONENT_MAX_BYTES 255 /* NAME_MAX of Linux */

/* A little-endian number of the archive; 0 beyond its end. */
static uint64_t number_at(struct view bytes, uint64_t at, unsigned width)
{
    uint64_t value = 0;

    if (at > bytes.length || width > bytes.length - at)
        return 0;
    for (unsigned i = width; i > 0; i--)
        value = value << 8 | (unsigned char)bytes.data[at + i - 1];
    return value;
}

#define SIGNATURE_RECORD   0x02014B50u
#define SIGNATURE_END      0x06054B50u
#define SIGNATURE_END64    0x06064B50u
#define SIGNATURE_LOCATOR  0x07064B50u
#define RECORD_FIXED_BYTES 46
#define END_FIXED_BYTES    22
#define LOCATOR_BYTES      20

/* APPNOTE 4.3.14 to 4.3.16. The end record stands before a comment of at most 65535 bytes. */
bool archive_directory_find(struct view bytes, struct archive_directory *directory)
{
    uint64_t end, end64;

    if (bytes.length < END_FIXED_BYTES)
        return false;
    end = bytes.length - END_FIXED_BYTES;
    while (number_at(bytes, end, 4) != SIGNATURE_END ||
           number_at(bytes, end + 20, 2) != bytes.length - end - END_FIXED_BYTES) {
        if (end == 0 || bytes.length - end > END_FIXED_BYTES + 65535)
            return false;
        end--;
    }
    directory->count = number_at(bytes, end + 10, 2);
    directory->at = number_at(bytes, end + 16, 4);
    if (end < LOCATOR_BYTES || number_at(bytes, end - LOCATOR_BYTES, 4) != SIGNATURE_LOCATOR)
        return true;
    end64 = number_at(bytes, end - LOCATOR_BYTES + 8, 8);
    if (number_at(bytes, end64, 4) != SIGNATURE_END64)
        return false;
    directory->count = number_at(bytes, end64 + 32, 8);
    directory->at = number_at(bytes, end64 + 48, 8);
    return true;
}

/* The name in the record at directory->at, and a step to the next record. */
bool archive_directory_next(struct view bytes, struct archive_directory *directory,
                            struct view *name)
{
    uint64_t at = directory->at, length;

    if (number_at(bytes, at, 4) != SIGNATURE_RECORD || bytes.length - at < RECORD_FIXED_BYTES)
        return false;
    length = number_at(bytes, at + 28, 2);
    *name = view_slice(bytes, at + RECORD_FIXED_BYTES, length);
    directory->at = at + RECORD_FIXED_BYTES + length + number_at(bytes, at + 30, 2) +
                    number_at(bytes, at + 32, 2);
    return name->length == length && directory->at <= bytes.length;
}

/* One sentence for what is wrong with a name, or NULL. */
const char *archive_name_wrong(struct view name)
{
    struct view rest = name, part;

    if (name.length == 0)
        return "has no name";
    if (name.length > ARCHIVE_NAME_MAX_BYTES)
        return "has a name of more than 1024 bytes";
    for (size_t i = 0; i < name.length; i++) {
        if ((unsigned char)name.data[i] < 0x20 || name.data[i] == 0x7F)
            return "has a control byte in its name";
    }
    if (!utf8_valid(name))
        return "has a name that is not UTF-8";
    if (view_find(name, '\\') != SIZE_MAX)
        return "has a back-slash in its name";
    if (name.data[0] == '/')
        return "has an absolute path";
    if (view_ends_with(name, VIEW("/")))
        rest.length--;
    while (view_split(&rest, '/', &part)) {
        if (view_equal_string(part, ".."))
            return "has \"..\" in its path";
        if (part.length == 0 || view_equal_string(part, "."))
            return "has an empty or \".\" part in its path";
        if (part.length > COMPONENT_MAX_BYTES)
            return "has a path part of more than 255 bytes";
    }
    return NULL;
}

/*
 * A link may climb only at the start of its target and not above the package; then it descends.
 * Links are never parents of entries, so the climb passes real folders only, and what the descent
 * meets may again be a link of this kind: no chain of them leaves the package.
 */
const char *archive_target_wrong(struct view name, struct view target)
{
    struct view rest = target, part;
    size_t climbs = 0;
    bool descending = false;

    for (size_t i = 0; i < name.length; i++)
        climbs += name.data[i] == '/'; /* as many are allowed */
    if (target.length == 0 || view_find(target, '\0') != SIZE_MAX)
        return "is a symbolic link without a usable target";
    if (target.data[0] == '/')
        return "is a symbolic link to an absolute path";
    while (view_split(&rest, '/', &part)) {
        if (!view_equal_string(part, "..")) {
            descending = descending || !(part.length == 0 || view_equal_string(part, "."));
            continue;
        }
        if (descending || climbs == 0)
            return "is a symbolic link that may leave the package";
        climbs--;
    }
    return NULL;
}
