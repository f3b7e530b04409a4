/* Writes bodies into files as they come, piece by piece, on a thread of its own. */
#include "managerd/upload.h"

#include "common/base/file.h"
#include "common/base/log.h"
#include "managerd/growing_file.h"
#include "managerd/jobs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define PIECE_BYTES  ((size_t)256 * 1024)
#define PIECES_AHEAD 2 /* then the client waits */
#define PATH_BYTES   4096

struct piece {
    struct piece *next;
    size_t length;
    char bytes[PIECE_BYTES];
};

struct uploads {
    struct jobs *writer;
    char *folder;
    struct uploads_options options;
    struct uploads_figures figures;
    uint64_t untaken; /* bytes that are still to come, of all */
};

struct upload {
    struct incoming_spool spool;
    struct uploads *uploads;
    uint64_t claimed;      /* of the bytes of all */
    uint64_t untaken;      /* of these, what has not come yet */
    struct piece *filling; /* the loop's; NULL: none begun */
    struct piece *queued, **queued_end;
    unsigned queued_count; /* full pieces, the one being written included */
    struct piece *writing; /* the writer's until its job is done */
    bool complete;         /* nothing more comes */
    bool ended;            /* … and the writer was told */
    bool dropped;          /* nobody wants it any more */
    bool working;          /* a job is with the writer; one at a time, so that nothing is shared */
    enum error error;
    void (*on_ready)(enum error error, void *context);
    void *context;
    struct growing_file file; /* the writer's while a job is with it */
};

static void go_on(struct upload *upload);

/* ---- on the writer's thread ---- */

static void run_write(void *context)
{
    struct upload *upload = context;
    if (upload->writing)
        growing_file_add(&upload->file, view_from(upload->writing->bytes, upload->writing->length));
    else
        upload->file.error = growing_file_end(&upload->file);
}

static void run_remove(void *context)
{
    struct upload *upload = context;
    growing_file_release(&upload->file);
}

enum error upload_keep(struct upload *upload, const char *path)
{
    return growing_file_keep(&upload->file, path);
}

/* ---- on the loop ---- */

static void on_removed(void *context)
{
    struct upload *upload = context;
    upload->uploads->figures.running--;
    upload->uploads->figures.bytes -= upload->claimed;
    upload->uploads->untaken -= upload->untaken;
    free(upload);
}

static void remove_upload(struct upload *upload)
{
    free(upload->filling);
    upload->filling = NULL;
    while (upload->queued) {
        struct piece *next = upload->queued->next;
        free(upload->queued);
        upload->queued = next;
    }
    jobs_submit(upload->uploads->writer, run_remove, on_removed, upload);
}

static void fail(struct upload *upload, enum error error)
{
    upload->error = error;
    upload->uploads->figures.failed++;
    log_write(LOG_ERROR, "upload-not-written", LOG_STRING("error", error_name(error)));
    incoming_spool_refuse(&upload->spool,
                          error == ERROR_FULL ? GUARD_STORAGE_FULL : GUARD_STORAGE_FAILED);
}

static void on_written(void *context)
{
    struct upload *upload = context;
    if (upload->writing)
        upload->queued_count--;
    free(upload->writing);
    upload->writing = NULL;
    if (upload->file.error && !upload->error)
        fail(upload, upload->file.error); /* which may drop it */
    upload->working = false;
    if (upload->dropped) {
        remove_upload(upload);
    } else if (upload->ended) {
        upload->on_ready(upload->error, upload->context);
    } else {
        go_on(upload);
        if (upload->queued_count < PIECES_AHEAD)
            incoming_spool_resume(&upload->spool);
    }
}

/* Gives the writer the next piece, or the end. */
static void go_on(struct upload *upload)
{
    if (upload->working || (!upload->queued && !upload->complete))
        return;
    if (upload->queued) {
        upload->writing = upload->queued;
        upload->queued = upload->queued->next;
        if (!upload->queued)
            upload->queued_end = &upload->queued;
    } else {
        upload->ended = true;
    }
    upload->working = true;
    jobs_submit(upload->uploads->writer, run_write, on_written, upload);
}

static void queue_piece(struct upload *upload)
{
    *upload->queued_end = upload->filling;
    upload->queued_end = &upload->filling->next;
    upload->filling = NULL;
    upload->queued_count++;
    go_on(upload);
}

/* What has come lies on the disk, or will in a moment. */
static void note_taken(struct upload *upload, uint64_t bytes)
{
    if (bytes > upload->untaken)
        bytes = upload->untaken;
    upload->untaken -= bytes;
    upload->uploads->untaken -= bytes;
}

static bool take(struct incoming_spool *spool, struct view piece)
{
    struct upload *upload = upload_of(spool);
    note_taken(upload, piece.length);
    while (piece.length && !upload->error) {
        if (!upload->filling) {
            upload->filling = malloc(sizeof *upload->filling);
            REQUIRE(upload->filling);
            upload->filling->next = NULL;
            upload->filling->length = 0;
        }
        size_t room = PIECE_BYTES - upload->filling->length;
        struct view now = view_slice(piece, 0, room);
        memcpy(upload->filling->bytes + upload->filling->length, now.data, now.length);
        upload->filling->length += now.length;
        piece = view_slice(piece, now.length, SIZE_MAX);
        if (upload->filling->length == PIECE_BYTES)
            queue_piece(upload);
    }
    return upload->queued_count < PIECES_AHEAD;
}

static void drop(struct incoming_spool *spool)
{
    upload_free(upload_of(spool));
}

struct upload *upload_of(struct incoming_spool *spool)
{
    return (struct upload *)spool; /* its first member; NULL stays NULL */
}

void upload_finish(struct upload *upload, void (*on_ready)(enum error error, void *context),
                   void *context)
{
    upload->on_ready = on_ready;
    upload->context = context;
    upload->complete = true;
    if (upload->filling)
        queue_piece(upload);
    else
        go_on(upload);
}

struct view upload_bytes(const struct upload *upload)
{
    return growing_file_bytes(&upload->file);
}

const char *upload_sha256(const struct upload *upload)
{
    return upload->file.sha256;
}

void upload_free(struct upload *upload)
{
    if (!upload)
        return;
    upload->dropped = true;
    if (!upload->working)
        remove_upload(upload);
}

/* ---- all of them ---- */

static bool has_room_on_disk(const struct uploads *uploads, uint64_t bytes)
{
    struct statvfs disk;
    if (statvfs(uploads->folder, &disk) != 0)
        return true; /* writing will tell */
    return (uint64_t)disk.f_bavail * disk.f_frsize >=
           uploads->untaken + bytes + uploads->options.free_bytes;
}

struct incoming_spool *upload_begin(struct uploads *uploads, uint64_t bytes,
                                    enum guard_reason *over)
{
    struct uploads_figures *figures = &uploads->figures;
    if (figures->running >= uploads->options.max_count ||
        figures->bytes + bytes > uploads->options.max_bytes)
        *over = GUARD_BUSY;
    else if (!has_room_on_disk(uploads, bytes))
        *over = GUARD_STORAGE_FULL;
    if (*over != GUARD_NONE) {
        figures->refused++;
        return NULL;
    }
    struct upload *upload = calloc(1, sizeof *upload);
    REQUIRE(upload);
    upload->spool = (struct incoming_spool){.take = take, .drop = drop};
    upload->uploads = uploads;
    upload->claimed = upload->untaken = bytes;
    upload->queued_end = &upload->queued;
    growing_file_init(&upload->file, uploads->folder);
    figures->running++;
    figures->bytes += bytes;
    uploads->untaken += bytes;
    figures->begun++;
    return &upload->spool;
}

void uploads_count(const struct uploads *uploads, struct uploads_figures *figures)
{
    *figures = uploads->figures;
}

static bool on_name(const char *name, void *context)
{
    const struct uploads *uploads = context;
    char path[PATH_BYTES];
    /* Also what other writes of packages left half-way: file_write's names begin with a dot too. */
    if (name[0] == '.' &&
        snprintf(path, sizeof path, "%s/%s", uploads->folder, name) < (int)sizeof path)
        unlink(path);
    return true;
}

struct uploads *uploads_new(struct event_base *base, const struct uploads_options *options)
{
    struct uploads *uploads = calloc(1, sizeof *uploads);
    REQUIRE(uploads);
    uploads->options = *options;
    uploads->folder = strdup(options->folder);
    REQUIRE(uploads->folder);
    if (folder_list(uploads->folder, on_name, uploads))
        log_write(LOG_WARN, "uploads-not-swept", LOG_STRING("folder", uploads->folder));
    uploads->writer = jobs_new(base, 1);
    return uploads;
}

void uploads_drain(struct uploads *uploads)
{
    if (uploads)
        jobs_drain(uploads->writer);
}

void uploads_free(struct uploads *uploads)
{
    if (!uploads)
        return;
    jobs_drain(uploads->writer);
    REQUIRE(uploads->figures.running == 0);
    jobs_free(uploads->writer);
    free(uploads->folder);
    free(uploads);
}
