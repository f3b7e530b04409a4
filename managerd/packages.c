/* Stores packages by their hash, after looking into every entry. */
#include "managerd/packages.h"

#include "common/base/archive.h"
#include "common/base/crypto.h"
#include "common/base/escape.h"
#include "common/base/file.h"
#include "managerd/body_cut.h"
#include "managerd/growing_file.h"
#include "managerd/jobs.h"
#include "managerd/names.h"
#include "managerd/package_body.h"
#include "managerd/state.h"
#include "managerd/upload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT_PIECE_BYTES ((size_t)256 * 1024)

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

/* A file that is not what its name says is no package: its disk failed, or somebody changed it. */
static enum error check_file(const char *path, struct view sha256_hex)
{
    char hex[2 * SHA256_BYTES + 1] = "";
    uint8_t digest[SHA256_BYTES];
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return error_from_errno(errno);
    struct sha256_stream *hash = sha256_new();
    char *piece = malloc(TEXT_PIECE_BYTES);
    ssize_t got;
    REQUIRE(piece);
    while ((got = read(descriptor, piece, TEXT_PIECE_BYTES)) > 0 || (got < 0 && errno == EINTR))
        if (got > 0)
            sha256_update(hash, piece, (size_t)got);
    sha256_finish(hash, digest);
    free(piece);
    close(descriptor);
    hex_write(hex, digest, sizeof digest);
    return view_equal_string(sha256_hex, hex) ? ERROR_NONE : ERROR_DAMAGED;
}

struct store_job {
    struct packages *packages;
    struct package_source source;
    struct package_stored stored;
    struct buffer problem;
    void (*on_done)(const struct package_stored *stored, void *context);
    void *context;
};

/* An archive with its hash, wherever it lies. */
struct archive {
    struct view bytes;
    const char *sha256;
    struct growing_file *file; /* it lies in this one */
    struct upload *upload;     /* … or was uploaded */
};

static enum error write_archive(const struct archive *archive, const char *path)
{
    if (check_file(path, view_of(archive->sha256)) == ERROR_NONE)
        return ERROR_NONE;
    if (archive->upload)
        return upload_keep(archive->upload, path);
    if (archive->file)
        return growing_file_keep(archive->file, path);
    return file_write(path, archive->bytes, 0600);
}

static enum error store_checked(struct store_job *job, const struct archive *archive)
{
    struct archive_summary summary;
    char path[4096];
    if (archive->bytes.length == 0) {
        buffer_append_string(&job->problem, "The archive is empty.");
        return ERROR_INVALID;
    }
    if (archive->bytes.length > job->packages->max_bytes)
        return ERROR_TOO_BIG;
    enum error error = archive_check(archive->bytes, NULL, &summary, &job->problem);
    if (error)
        return error;
    memcpy(job->stored.sha256, archive->sha256, sizeof job->stored.sha256);
    job->stored.bytes = archive->bytes.length;
    path_of(job->packages, view_of(job->stored.sha256), path);
    error = write_archive(archive, path);
    if (error)
        buffer_append_format(&job->problem, "The package cannot be stored: %s.", error_text(error));
    return error;
}

static enum error store_bytes(struct store_job *job)
{
    char hash[65] = "";
    uint8_t digest[SHA256_BYTES];
    sha256(job->source.bytes, digest);
    hex_write(hash, digest, sizeof digest);
    struct archive archive = {.bytes = job->source.bytes, .sha256 = hash};
    return store_checked(job, &archive);
}

static enum error store_upload(struct store_job *job)
{
    struct archive archive = {.bytes = upload_bytes(job->source.upload),
                              .sha256 = upload_sha256(job->source.upload),
                              .upload = job->source.upload};
    return store_checked(job, &archive);
}

/* From where it lies into a file, a piece at a time. */
static enum error decode(struct store_job *job, struct growing_file *file)
{
    struct view text = job->source.bytes;
    struct buffer piece;
    enum error error = ERROR_NONE;
    buffer_init(&piece, TEXT_PIECE_BYTES);
    while (text.length && !error && !file->error) {
        buffer_clear(&piece);
        error = body_cut_decode(&text, TEXT_PIECE_BYTES, &piece);
        if (!error)
            growing_file_add(file, buffer_view(&piece));
        if (file->length > job->packages->max_bytes)
            error = ERROR_TOO_BIG;
    }
    if (error == ERROR_INVALID)
        buffer_append_string(&job->problem, "The archive is not valid base64.");
    buffer_release(&piece);
    return error ? error : growing_file_end(file);
}

static enum error store_base64(struct store_job *job)
{
    struct growing_file file;
    growing_file_init(&file, job->packages->folder);
    enum error error = decode(job, &file);
    if (!error) {
        struct archive archive = {
            .bytes = growing_file_bytes(&file), .sha256 = file.sha256, .file = &file};
        error = store_checked(job, &archive);
    }
    growing_file_release(&file);
    return error;
}

static void run_store(void *context)
{
    struct store_job *job = context;
    enum error error;
    if (job->source.base64)
        error = store_base64(job);
    else
        error = job->source.upload ? store_upload(job) : store_bytes(job);
    if (error == ERROR_TOO_BIG && job->problem.length == 0)
        buffer_append_format(&job->problem, "Packages may have at most %llu bytes.",
                             (unsigned long long)job->packages->max_bytes);
    job->stored.error = error;
}

static void pin(struct packages *packages, const char *sha256_hex)
{
    struct pin *one = calloc(1, sizeof *one);
    REQUIRE(one);
    snprintf(one->sha256, sizeof one->sha256, "%s", sha256_hex);
    one->next = packages->pins;
    packages->pins = one;
}

bool packages_hold(struct packages *packages, struct view sha256_hex, uint64_t *bytes)
{
    char path[4096], hash[65];
    struct stat status;
    if (sha256_hex.length != 64)
        return false;
    path_of(packages, sha256_hex, path);
    if (stat(path, &status) != 0)
        return false;
    *bytes = (uint64_t)status.st_size;
    snprintf(hash, sizeof hash, "%.*s", VIEW_FORMAT(sha256_hex));
    pin(packages, hash);
    return true;
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

void packages_store(struct packages *packages, const struct package_source *source,
                    void (*on_done)(const struct package_stored *stored, void *context),
                    void *context)
{
    struct store_job *job = calloc(1, sizeof *job);
    REQUIRE(job);
    job->packages = packages;
    job->source = *source;
    job->on_done = on_done;
    job->context = context;
    buffer_init(&job->problem, 2048);
    packages->storing++;
    jobs_submit(packages->pool, run_store, on_stored, job);
}

struct body_job {
    struct packages *packages;
    struct view sha256, before, after;
    struct lambda_stream *body;
    enum error error;
    void (*on_done)(enum error error, struct lambda_stream *body, void *context);
    void *context;
};

static void run_body(void *context)
{
    struct body_job *job = context;
    char path[4096];
    path_of(job->packages, job->sha256, path);
    job->error = check_file(path, job->sha256);
    if (!job->error)
        job->error = package_body_open(path, job->before, job->after, &job->body);
}

static void on_body(void *context)
{
    struct body_job *job = context;
    job->on_done(job->error, job->body, job->context);
    free(job);
}

void packages_body(struct packages *packages, struct view sha256_hex, struct view before,
                   struct view after,
                   void (*on_done)(enum error error, struct lambda_stream *body, void *context),
                   void *context)
{
    struct body_job *job = calloc(1, sizeof *job);
    REQUIRE(job);
    job->packages = packages;
    job->sha256 = sha256_hex;
    job->before = before;
    job->after = after;
    job->on_done = on_done;
    job->context = context;
    jobs_submit(packages->pool, run_body, on_body, job);
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

/* A version's record, and that of a change to be applied, have one package at most. */
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

static bool on_file(const char *name, void *context)
{
    if (strlen(name) == 64 + 4 && strcmp(name + 64, ".zip") == 0)
        names_add(context, view_from(name, 64));
    return true;
}

enum error packages_list(const struct packages *packages, struct names *hashes)
{
    return folder_list(packages->folder, on_file, hashes);
}

bool packages_storing(const struct packages *packages)
{
    return packages->storing > 0;
}

bool packages_remove(struct packages *packages, struct view sha256_hex)
{
    char path[4096];
    for (struct pin *one = packages->pins; one; one = one->next)
        if (view_equal_string(sha256_hex, one->sha256))
            return false;
    path_of(packages, sha256_hex, path);
    return unlink(path) == 0;
}

unsigned packages_sweep_unused(struct packages *packages, struct state *state)
{
    struct sweep sweep = {.packages = packages};
    if (packages->storing == 0 &&
        state_range(state, VIEW("versions/"), VIEW(""), on_version, &sweep) == ERROR_NONE &&
        state_range(state, VIEW("apply/"), VIEW(""), on_version, &sweep) == ERROR_NONE) {
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
