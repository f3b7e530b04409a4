/* Stores packages by their hash, after looking into every entry. */
#include "managerd/packages.h"

#include "common/base/archive.h"
#include "common/base/crypto.h"
#include "common/base/escape.h"
#include "common/base/file.h"
#include "managerd/jobs.h"
#include "managerd/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct pin {
    char sha256[65];
    struct pin *next;
};

struct packages {
    char *folder;
    struct pin *pins; /* stored, not yet named by a committed version */
    unsigned storing; /* a package that is being stored is neither pinned nor named yet */
    struct jobs *pool;
    uint64_t max_bytes;
};

static void path_of(const struct packages *packages, struct view sha256, char out[4096])
{
    REQUIRE(snprintf(out, 4096, "%s/%.*s.zip", packages->folder, VIEW_FORMAT(sha256)) < 4096);
}

struct packages *packages_new(const char *folder, struct jobs *pool, uint64_t max_bytes)
{
    struct packages *packages = calloc(1, sizeof *packages);
    REQUIRE(packages);
    packages->folder = strdup(folder);
    REQUIRE(packages->folder);
    packages->pool = pool;
    packages->max_bytes = max_bytes;
    return packages;
}

void packages_free(struct packages *packages)
{
    if (!packages)
        return;
    while (packages->pins) {
        struct pin *next = packages->pins->next;
        free(packages->pins);
        packages->pins = next;
    }
    free(packages->folder);
    free(packages);
}

struct store_job {
    struct packages *packages;
    struct view archive;
    bool base64;
    struct package_stored stored;
    struct buffer problem;
    void (*on_done)(const struct package_stored *stored, void *context);
    void *context;
};

static enum error store_checked(struct store_job *job, struct view zip)
{
    struct archive_summary summary;
    uint8_t digest[SHA256_BYTES];
    char path[4096];
    if (zip.length == 0) {
        buffer_append_string(&job->problem, "The archive is empty.");
        return ERROR_INVALID;
    }
    enum error error = archive_check(zip, NULL, &summary, &job->problem);
    if (error)
        return error;
    sha256(zip, digest);
    hex_write(job->stored.sha256, digest, sizeof digest);
    job->stored.bytes = zip.length;
    path_of(job->packages, view_of(job->stored.sha256), path);
    if (file_exists(path))
        return ERROR_NONE;
    error = file_write(path, zip, 0600);
    if (error)
        buffer_append_format(&job->problem, "The package cannot be stored: %s.", error_text(error));
    return error;
}

static void run_store(void *context)
{
    struct store_job *job = context;
    struct buffer decoded;
    buffer_init(&decoded, job->packages->max_bytes + 4);
    struct view zip = job->archive;
    enum error error = ERROR_NONE;
    if (job->base64) {
        error = base64_decode(&decoded, job->archive);
        zip = buffer_view(&decoded);
        if (error == ERROR_INVALID)
            buffer_append_string(&job->problem, "The archive is not valid base64.");
    }
    if (!error && zip.length > job->packages->max_bytes)
        error = ERROR_TOO_BIG;
    if (error == ERROR_TOO_BIG)
        buffer_append_format(&job->problem, "Packages may have at most %llu bytes.",
                             (unsigned long long)job->packages->max_bytes);
    if (!error)
        error = store_checked(job, zip);
    job->stored.error = error;
    buffer_release(&decoded);
}

static void pin(struct packages *packages, const char *sha256_hex)
{
    struct pin *one = calloc(1, sizeof *one);
    REQUIRE(one);
    snprintf(one->sha256, sizeof one->sha256, "%s", sha256_hex);
    one->next = packages->pins;
    packages->pins = one;
}

void packages_unpin(struct packages *packages, struct view sha256_hex)
{
    for (struct pin **link = &packages->pins; *link; link = &(*link)->next)
        if (view_equal_string(sha256_hex, (*link)->sha256)) {
            struct pin *gone = *link;
            *link = gone->next;
            free(gone);
            return;
        }
}

static void on_stored(void *context)
{
    struct store_job *job = context;
    job->stored.detail = buffer_view(&job->problem);
    job->packages->storing--;
    if (!job->stored.error)
        pin(job->packages, job->stored.sha256);
    job->on_done(&job->stored, job->context);
    buffer_release(&job->problem);
    free(job);
}

void packages_store(struct packages *packages, struct view archive, bool base64,
                    void (*on_done)(const struct package_stored *stored, void *context),
                    void *context)
{
    struct store_job *job = calloc(1, sizeof *job);
    REQUIRE(job);
    job->packages = packages;
    job->archive = archive;
    job->base64 = base64;
    job->on_done = on_done;
    job->context = context;
    buffer_init(&job->problem, 2048);
    packages->storing++;
    jobs_submit(packages->pool, run_store, on_stored, job);
}

struct encode_job {
    struct packages *packages;
    struct view sha256, before, after;
    struct buffer body;
    enum error error;
    void (*on_done)(enum error error, struct buffer *body, void *context);
    void *context;
};

static void run_encode(void *context)
{
    struct encode_job *job = context;
    struct buffer zip;
    char path[4096];
    path_of(job->packages, job->sha256, path);
    buffer_init(&zip, job->packages->max_bytes);
    buffer_init(&job->body, base64_encoded_length(job->packages->max_bytes) + job->before.length +
                                job->after.length + 16);
    job->error = file_read(path, &zip);
    if (!job->error) {
        buffer_append_view(&job->body, job->before);
        base64_encode(&job->body, zip.data, zip.length);
        buffer_append_view(&job->body, job->after);
        job->error = job->body.error;
    }
    buffer_release(&zip);
}

static void on_encoded(void *context)
{
    struct encode_job *job = context;
    job->on_done(job->error, &job->body, job->context);
    buffer_release(&job->body);
    free(job);
}

void packages_encode(struct packages *packages, struct view sha256_hex, struct view before,
                     struct view after,
                     void (*on_done)(enum error error, struct buffer *body, void *context),
                     void *context)
{
    struct encode_job *job = calloc(1, sizeof *job);
    REQUIRE(job);
    job->packages = packages;
    job->sha256 = sha256_hex;
    job->before = before;
    job->after = after;
    job->on_done = on_done;
    job->context = context;
    jobs_submit(packages->pool, run_encode, on_encoded, job);
}

/* Hashes that are in use, sorted. A version's record names its package as "sha256":"…". */
struct sweep {
    struct packages *packages;
    char (*used)[65];
    size_t count, capacity;
    unsigned removed;
};

static void note_used(struct sweep *sweep, struct view sha256_hex)
{
    if (sha256_hex.length != 64)
        return;
    if (sweep->count == sweep->capacity) {
        sweep->capacity = sweep->capacity ? 2 * sweep->capacity : 64;
        sweep->used = realloc(sweep->used, sweep->capacity * sizeof *sweep->used);
        REQUIRE(sweep->used);
    }
    memcpy(sweep->used[sweep->count], sha256_hex.data, 64);
    sweep->used[sweep->count++][64] = 0;
}

static bool on_version(struct view key, struct view value, uint64_t revision, void *context)
{
    static const char member[] = "\"sha256\":\"";
    (void)key, (void)revision;
    const char *found = memmem(value.data, value.length, member, sizeof member - 1);
    if (found) {
        size_t start = (size_t)(found - value.data) + sizeof member - 1;
        note_used(context, view_slice(value, start, 64));
    }
    return true;
}

static int compare_hashes(const void *a, const void *b)
{
    return strcmp(a, b);
}

static bool on_package(const char *name, void *context)
{
    struct sweep *sweep = context;
    char path[4096], stem[65];
    if (strlen(name) != 64 + 4 || strcmp(name + 64, ".zip") != 0)
        return true;
    memcpy(stem, name, 64);
    stem[64] = 0;
    if (sweep->count &&
        bsearch(stem, sweep->used, sweep->count, sizeof *sweep->used, compare_hashes))
        return true;
    path_of(sweep->packages, view_of(stem), path);
    if (unlink(path) == 0)
        sweep->removed++;
    return true;
}

unsigned packages_sweep_unused(struct packages *packages, struct state *state)
{
    struct sweep sweep = {.packages = packages};
    if (packages->storing == 0 &&
        state_range(state, VIEW("versions/"), VIEW(""), on_version, &sweep) == ERROR_NONE) {
        for (struct pin *one = packages->pins; one; one = one->next)
            note_used(&sweep, view_of(one->sha256));
        if (sweep.count)
            qsort(sweep.used, sweep.count, sizeof *sweep.used, compare_hashes);
        if (folder_list(packages->folder, on_package, &sweep))
            sweep.removed = 0;
    }
    free(sweep.used);
    return sweep.removed;
}
