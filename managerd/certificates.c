/* Keeps the certificate files that proxyd reads as state says, through crashes and losses. */
#include "managerd/certificates.h"

#include "common/base/clock.h"
#include "common/base/crypto.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "managerd/jobs.h"
#include "managerd/records.h"
#include "managerd/secrets.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FINGERPRINT_HEX  64
#define SUFFIX           ".pem"
#define PATH_MAX_BYTES   4096
#define FILE_MODE        0640 /* the folder's group is proxyd's */
#define CHECK_EACH_LOOKS 15   /* looks, between those for files that have vanished */
#define WARN_EACH_LOOKS  (24 * 3600 / CERTIFICATES_LOOK_S)
#define LOST_HOSTS_SHOWN 3

struct known { /* a domain's certificate, as state says */
    char *host;
    char fingerprint[FINGERPRINT_HEX + 1];
    uint64_t revision;
    int64_t not_after_s;
    bool lost;
};

struct file { /* by its name: held by calls, or on its way out */
    char fingerprint[FINGERPRINT_HEX + 1];
    unsigned holds;
    bool leaving;
    uint64_t since_us;
};

struct certificates {
    struct event_base *base;
    struct state *state;
    const struct secrets *secrets;
    struct jobs *store_thread;
    char *folder;
    struct event *timer;
    struct known *known;
    size_t known_count, known_capacity;
    struct file *files;
    size_t file_count, file_capacity;
    unsigned looks;
    bool dirty, unwritten;
};

static void path_of(const struct certificates *certificates, const char *name, char *path)
{
    int length = snprintf(path, PATH_MAX_BYTES, "%s/%s", certificates->folder, name);
    REQUIRE(length > 0 && length < PATH_MAX_BYTES);
}

static void path_of_fingerprint(const struct certificates *certificates, const char *fingerprint,
                                char *path)
{
    char name[FINGERPRINT_HEX + sizeof SUFFIX];
    snprintf(name, sizeof name, "%.*s%s", FINGERPRINT_HEX, fingerprint, SUFFIX);
    path_of(certificates, name, path);
}

static void *grow(void *list, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity)
        return list;
    *capacity = *capacity ? 2 * *capacity : 16;
    list = realloc(list, *capacity * size);
    REQUIRE(list);
    return list;
}

static struct file *file_of(struct certificates *certificates, const char *fingerprint)
{
    for (size_t i = 0; i < certificates->file_count; i++)
        if (strcmp(certificates->files[i].fingerprint, fingerprint) == 0)
            return &certificates->files[i];
    certificates->files = grow(certificates->files, certificates->file_count,
                               &certificates->file_capacity, sizeof *certificates->files);
    struct file *file = &certificates->files[certificates->file_count++];
    *file = (struct file){0};
    snprintf(file->fingerprint, sizeof file->fingerprint, "%s", fingerprint);
    return file;
}

/* ---- what state names ---- */

static void forget_known(struct certificates *certificates)
{
    for (size_t i = 0; i < certificates->known_count; i++)
        free(certificates->known[i].host);
    certificates->known_count = 0;
}

static bool on_certificate(struct view key, struct view value, uint64_t revision, void *context)
{
    struct certificates *certificates = context;
    struct json *record = NULL;
    if (record_parse(value, &record))
        return true;
    struct view fingerprint = text_of(record, "fingerprint");
    if (fingerprint.length == FINGERPRINT_HEX) {
        certificates->known = grow(certificates->known, certificates->known_count,
                                   &certificates->known_capacity, sizeof *certificates->known);
        struct known *known = &certificates->known[certificates->known_count++];
        *known = (struct known){
            .host = view_duplicate(view_slice(key, view_find(key, '/') + 1, SIZE_MAX)),
            .revision = revision,
            .not_after_s = integer_of(record, "notAfter")};
        memcpy(known->fingerprint, fingerprint.data, FINGERPRINT_HEX);
    }
    json_free(record);
    return true;
}

static bool is_named(const struct certificates *certificates, const char *fingerprint)
{
    for (size_t i = 0; i < certificates->known_count; i++)
        if (strcmp(certificates->known[i].fingerprint, fingerprint) == 0)
            return true;
    return false;
}

/* Of hosts with the same certificate the one that was given it last: chains may differ. */
static bool is_latest(const struct certificates *certificates, const struct known *known)
{
    for (size_t i = 0; i < certificates->known_count; i++)
        if (certificates->known[i].revision > known->revision &&
            strcmp(certificates->known[i].fingerprint, known->fingerprint) == 0)
            return false;
    return true;
}

/* ---- writing what is missing ---- */

static enum error unseal_known(struct certificates *certificates, const struct known *known,
                               struct buffer *pem)
{
    struct record record;
    struct key key = key_certificate(view_of(known->host));
    enum error error = record_read(certificates->state, key.text, &record);
    if (error)
        return error;
    error = secrets_unseal_certificate(certificates->secrets, view_of(known->host),
                                       text_of(record.json, "sealed"), pem);
    record_release(&record);
    return error;
}

static void release_secret(struct buffer *buffer)
{
    if (buffer->data)
        wipe(buffer->data, buffer->capacity);
    buffer_release(buffer);
}

/* What goes wrong goes wrong at each look: a few lines tell it. */
static void log_failure(const char *event, const struct known *known, enum error error)
{
    static struct log_limit limit;
    unsigned held = 0;
    if (log_allow(&limit, 10, &held))
        log_write(LOG_ERROR, event, LOG_STRING("host", known->host),
                  LOG_STRING("fingerprint", known->fingerprint),
                  LOG_STRING("error", error_name(error)), LOG_INTEGER("held", held));
}

static void heal_file(struct certificates *certificates, struct known *known)
{
    char path[PATH_MAX_BYTES];
    struct buffer pem, present;
    buffer_init(&pem, SECRETS_MAX_PEM);
    buffer_init(&present, SECRETS_MAX_PEM);
    path_of_fingerprint(certificates, known->fingerprint, path);
    enum error error = unseal_known(certificates, known, &pem);
    if (error) {
        /* The file may be all that is left of it. */
        known->lost = !file_exists(path);
        log_failure(known->lost ? "certificate-lost" : "certificate-not-decrypted", known, error);
    } else if (file_read(path, &present) || !view_equal(buffer_view(&present), buffer_view(&pem))) {
        error = file_write(path, buffer_view(&pem), FILE_MODE);
        certificates->unwritten |= error != ERROR_NONE;
        if (error)
            log_failure("certificate-not-written", known, error);
        else
            log_write(LOG_WARN, "certificate-restored", LOG_STRING("host", known->host),
                      LOG_STRING("fingerprint", known->fingerprint));
    }
    release_secret(&pem);
    release_secret(&present);
}

static bool any_missing(const struct certificates *certificates)
{
    char path[PATH_MAX_BYTES];
    for (size_t i = 0; i < certificates->known_count; i++) {
        path_of_fingerprint(certificates, certificates->known[i].fingerprint, path);
        if (!certificates->known[i].lost && access(path, F_OK) != 0)
            return true;
    }
    return false;
}

static void heal_files(struct certificates *certificates, bool all)
{
    char path[PATH_MAX_BYTES];
    certificates->unwritten = false;
    for (size_t i = 0; i < certificates->known_count; i++) {
        struct known *known = &certificates->known[i];
        path_of_fingerprint(certificates, known->fingerprint, path);
        if (is_latest(certificates, known) && (all || access(path, F_OK) != 0))
            heal_file(certificates, known);
    }
}

/* ---- removing what nobody names ---- */

static bool is_fingerprint(struct view name)
{
    for (size_t i = 0; i < name.length; i++)
        if (!strchr("0123456789abcdef", name.data[i]))
            return false;
    return name.length == FINGERPRINT_HEX;
}

static bool on_name(const char *name, void *context)
{
    struct certificates *certificates = context;
    struct view whole = view_of(name);
    char path[PATH_MAX_BYTES], fingerprint[FINGERPRINT_HEX + 1] = "";
    /* Written in part when something ended us: nobody else writes such names, nor do we now. */
    if (certificates->looks == 0 && whole.length > FINGERPRINT_HEX && name[0] == '.' &&
        is_fingerprint(view_slice(whole, 1, FINGERPRINT_HEX))) {
        path_of(certificates, name, path);
        unlink(path);
        return true;
    }
    if (!view_ends_with(whole, VIEW(SUFFIX)) ||
        !is_fingerprint(view_slice(whole, 0, whole.length - (sizeof SUFFIX - 1))))
        return true;
    memcpy(fingerprint, name, FINGERPRINT_HEX);
    if (is_named(certificates, fingerprint))
        return true;
    struct file *file = file_of(certificates, fingerprint);
    if (file->holds == 0 && !file->leaving) {
        file->leaving = true;
        file->since_us = clock_monotonic_us();
    }
    return true;
}

static void remove_left(struct certificates *certificates)
{
    uint64_t now_us = clock_monotonic_us();
    size_t kept = 0;
    for (size_t i = 0; i < certificates->file_count; i++) {
        struct file file = certificates->files[i];
        char path[PATH_MAX_BYTES];
        bool named = is_named(certificates, file.fingerprint);
        bool due = now_us - file.since_us >= CERTIFICATES_LOOK_S * UINT64_C(1000000);
        if (file.leaving && !named && file.holds == 0 && due) {
            path_of_fingerprint(certificates, file.fingerprint, path);
            unlink(path);
            log_write(LOG_INFO, "certificate-removed", LOG_STRING("fingerprint", file.fingerprint));
        } else if (file.holds > 0 || (file.leaving && !named)) {
            certificates->files[kept++] = file;
        }
    }
    certificates->file_count = kept;
}

/* ---- looking ---- */

static void warn_of_ends(const struct certificates *certificates)
{
    int64_t now_s = clock_wall_ms() / 1000;
    for (size_t i = 0; i < certificates->known_count; i++) {
        const struct known *known = &certificates->known[i];
        char end[CLOCK_RFC3339_SIZE];
        if (known->not_after_s - now_s > CERTIFICATES_SOON_S)
            continue;
        clock_format_rfc3339(known->not_after_s * 1000, end);
        log_write(LOG_WARN, "certificate-ends-soon", LOG_STRING("host", known->host),
                  LOG_STRING("fingerprint", known->fingerprint), LOG_STRING("notAfter", end));
    }
}

static void look(struct certificates *certificates)
{
    bool first = certificates->looks == 0;
    forget_known(certificates);
    certificates->dirty = state_range(certificates->state, VIEW("certificates/"), VIEW(""),
                                      on_certificate, certificates) != ERROR_NONE;
    if (certificates->dirty)
        return; /* what is not known must not be taken for unnamed */
    heal_files(certificates, first);
    enum error error = folder_list(certificates->folder, on_name, certificates);
    if (error)
        log_write(LOG_ERROR, "certificates-not-listed", LOG_STRING("error", error_name(error)));
    remove_left(certificates);
    for (size_t i = 0; i < certificates->file_count; i++)
        certificates->dirty |= certificates->files[i].leaving;
    certificates->dirty |= certificates->unwritten;
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    struct certificates *certificates = context;
    (void)fd, (void)what;
    certificates->looks++;
    if (certificates->dirty ||
        (certificates->looks % CHECK_EACH_LOOKS == 0 && any_missing(certificates)))
        look(certificates);
    if (certificates->looks % WARN_EACH_LOOKS == 0)
        warn_of_ends(certificates);
}

struct certificates *certificates_new(struct event_base *base, struct state *state,
                                      const struct secrets *secrets, struct jobs *store_thread,
                                      const char *folder)
{
    struct timeval each = {CERTIFICATES_LOOK_S, 0};
    struct certificates *certificates = calloc(1, sizeof *certificates);
    REQUIRE(certificates);
    certificates->base = base;
    certificates->state = state;
    certificates->secrets = secrets;
    certificates->store_thread = store_thread;
    certificates->folder = view_duplicate(view_of(folder));
    certificates->timer = event_new(base, -1, EV_PERSIST, on_timer, certificates);
    REQUIRE(certificates->timer && event_add(certificates->timer, &each) == 0);
    enum error error = folder_sweep(folder); /* half a certificate, of a process that was killed */
    if (error)
        log_write(LOG_ERROR, "certificates-not-listed", LOG_STRING("error", error_name(error)));
    look(certificates);
    warn_of_ends(certificates);
    return certificates;
}

void certificates_free(struct certificates *certificates)
{
    if (!certificates)
        return;
    event_free(certificates->timer);
    forget_known(certificates);
    free(certificates->known);
    free(certificates->files);
    free(certificates->folder);
    free(certificates);
}

/* ---- for calls ---- */

struct writing {
    char path[PATH_MAX_BYTES];
    struct buffer pem;
    enum error error;
    void (*on_done)(enum error error, void *context);
    void *context;
};

static void run_writing(void *context)
{
    struct writing *writing = context;
    writing->error = file_write(writing->path, buffer_view(&writing->pem), FILE_MODE);
}

static void on_written(void *context)
{
    struct writing *writing = context;
    if (writing->error)
        log_write(LOG_ERROR, "certificate-not-written",
                  LOG_STRING("error", error_name(writing->error)));
    writing->on_done(writing->error, writing->context);
    release_secret(&writing->pem);
    free(writing);
}

void certificates_write(struct certificates *certificates, const char *fingerprint, struct view pem,
                        void (*on_done)(enum error error, void *context), void *context)
{
    struct writing *writing = calloc(1, sizeof *writing);
    struct file *file = file_of(certificates, fingerprint);
    REQUIRE(writing);
    file->holds++;
    file->leaving = false;
    path_of_fingerprint(certificates, fingerprint, writing->path);
    buffer_init(&writing->pem, SECRETS_MAX_PEM);
    buffer_append_view(&writing->pem, pem);
    REQUIRE(!writing->pem.error);
    writing->on_done = on_done;
    writing->context = context;
    jobs_submit(certificates->store_thread, run_writing, on_written, writing);
}

void certificates_let_go(struct certificates *certificates, const char *fingerprint)
{
    struct file *file = file_of(certificates, fingerprint);
    REQUIRE(file->holds > 0);
    file->holds--;
    certificates->dirty = true;
}

void certificates_changed(struct certificates *certificates)
{
    certificates->dirty = true;
}

struct json *certificates_record(const struct certificates *certificates, struct view host,
                                 const char *fingerprint, int64_t not_after_s, struct view pem)
{
    struct json *record = json_new_object();
    struct buffer sealed;
    buffer_init(&sealed, 2 * SECRETS_MAX_PEM);
    secrets_seal_certificate(certificates->secrets, host, pem, &sealed);
    REQUIRE(!sealed.error);
    json_set_string(record, "fingerprint", view_of(fingerprint));
    json_set_integer(record, "notAfter", not_after_s);
    json_set_string(record, "sealed", buffer_view(&sealed));
    buffer_release(&sealed);
    return record;
}

/* ---- for health and figures ---- */

bool certificates_full(const struct certificates *certificates)
{
    return certificates->known_count >= CERTIFICATES_MAX;
}

bool certificates_healthy(const struct certificates *certificates)
{
    return !certificates->unwritten;
}

size_t certificates_lost(const struct certificates *certificates, struct buffer *hosts)
{
    size_t count = 0;
    for (size_t i = 0; i < certificates->known_count; i++) {
        if (!certificates->known[i].lost)
            continue;
        if (count++ < LOST_HOSTS_SHOWN)
            buffer_append_format(hosts, "%s%s", count > 1 ? ", " : "", certificates->known[i].host);
    }
    return count;
}

void certificates_each(const struct certificates *certificates,
                       void (*visit)(struct view host, struct view fingerprint, int64_t not_after_s,
                                     void *context),
                       void *context)
{
    for (size_t i = 0; i < certificates->known_count; i++)
        visit(view_of(certificates->known[i].host), view_of(certificates->known[i].fingerprint),
              certificates->known[i].not_after_s, context);
}
