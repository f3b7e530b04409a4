/* Finds the packages that a document names, and which apps must be deployed for them. */
#include "managerd/apply_package.h"

#include "common/base/escape.h"
#include "managerd/resources.h"
#include "managerd/traffic.h"

#include <stdio.h>
#include <string.h>

static bool is_hash(struct view text)
{
    for (size_t i = 0; i < text.length; i++)
        if (hex_digit(text.data[i]) < 0 || (text.data[i] >= 'A' && text.data[i] <= 'F'))
            return false;
    return text.length == 64;
}

static const struct shape_field fields[] = {
    {.name = "sha256",
     .kind = SHAPE_STRING,
     .flags = SHAPE_SOMETIMES,
     .check = is_hash,
     .wants = "must be 64 hex digits in lower case",
     .pattern = "^[0-9a-f]{64}$",
     .description = "A package that is stored here already."},
    {.name = "version",
     .kind = SHAPE_INTEGER,
     .flags = SHAPE_SOMETIMES,
     .min = 1,
     .max = 1000000000,
     .description = "The package of this version of the app."},
    {.name = "zip",
     .kind = SHAPE_STRING,
     .flags = SHAPE_SOMETIMES,
     .min = 1,
     .description = "The archive in base64 (RFC 4648 section 4)."},
};
const struct shape applied_package_shape = {
    .name = "AppliedPackage", .fields = fields, .count = sizeof fields / sizeof fields[0]};

/* The hash of the version's package; false: there is none. */
static bool read_hash(struct state *state, struct view app, int64_t number, char sha256[65],
                      uint64_t *bytes)
{
    struct record version;
    struct key key = key_version(app, number);
    if (record_read(state, key.text, &version))
        return false;
    const struct json *package = json_get(version.json, "package");
    bool good = is_hash(text_of(package, "sha256"));
    if (good)
        snprintf(sha256, 65, "%.*s", VIEW_FORMAT(text_of(package, "sha256")));
    *bytes = (uint64_t)integer_of(package, "bytes");
    record_release(&version);
    return good;
}

void apply_live_package(struct state *state, const struct json *app, struct buffer *sha256)
{
    const struct json *traffic = json_get(internal_of(app), "traffic");
    const struct json *share = json_first(json_get(traffic, "versions"));
    int64_t best = 0;
    int most = 0;
    char hash[65];
    uint64_t bytes;
    for (; share; share = json_next(share)) {
        int64_t number = integer_of(share, "version");
        int part = traffic_share(traffic, number);
        if (part > most || (part == most && part > 0 && number > best)) {
            best = number;
            most = part;
        }
    }
    if (most > 0 && read_hash(state, text_of(app, "name"), best, hash, &bytes))
        buffer_append_string(sha256, hash);
}

bool apply_package_serves(struct state *state, struct view app, const struct json *traffic,
                          const char *sha256)
{
    const struct json *share = json_first(json_get(traffic, "versions"));
    for (; share; share = json_next(share)) {
        int64_t number = integer_of(share, "version");
        char hash[65];
        uint64_t bytes;
        if (traffic_share(traffic, number) > 0 && read_hash(state, app, number, hash, &bytes) &&
            strcmp(hash, sha256) == 0)
            return true;
    }
    return false;
}

void apply_find_package(struct state *state, struct packages *packages, struct view app,
                        const struct json *source, struct apply_package *package,
                        struct faults *faults)
{
    int64_t number = integer_of(source, "version");
    struct view given;
    uint64_t bytes = 0;
    if (json_get_string(source, "sha256", &given)) {
        snprintf(package->sha256, sizeof package->sha256, "%.*s", VIEW_FORMAT(given));
        snprintf(package->source, sizeof package->source, "stored package");
    } else if (read_hash(state, app, number, package->sha256, &bytes)) {
        snprintf(package->source, sizeof package->source, "version %lld", (long long)number);
    } else {
        fault_pointer(faults, "/package/version", "there is no version %lld", (long long)number);
        return;
    }
    if (!package->held)
        package->held = packages_hold(packages, view_of(package->sha256), &package->bytes);
}

/* Members that are frozen into a version. */
static bool changes_versions(const struct json *before, const struct json *after)
{
    for (size_t i = 0; versioned_members[i]; i++)
        if (!json_equal(json_get(before, versioned_members[i]),
                        json_get(after, versioned_members[i])))
            return true;
    return !json_equal(json_get(before, "environment"), json_get(after, "environment"));
}

bool apply_needs_deployment(struct state *state, const struct json *app, const struct json *wanted,
                            const struct json *before, const struct json *after,
                            const struct apply_package *package, struct faults *faults)
{
    const struct json *traffic = json_get(wanted, "traffic");
    struct view name = text_of(wanted, "name");
    bool needs;
    if (traffic) {
        needs = false;
        if (!apply_package_serves(state, name, traffic, package->sha256))
            fault_pointer(faults, "/traffic",
                          "names versions that run other packages: leave it out, and the package "
                          "is deployed and gets all traffic");
    } else {
        const struct json *present = json_get(internal_of(app), "traffic");
        needs = !app || !apply_package_serves(state, name, present, package->sha256) ||
                changes_versions(before, after);
    }
    if (needs && !package->held)
        fault_pointer(faults, "/package",
                      "%s is not stored here: give it as zip, or deploy it here once",
                      package->sha256);
    return needs;
}
