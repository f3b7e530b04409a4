/* Lists the certificate files, and has them loaded at the start and whenever they have changed. */
#include "proxyd/certificates.h"

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/log.h"

#include <stdlib.h>
#include <string.h>

#define SUFFIX          "pem"
#define LIST_MAX_BYTES  (16u * 1024 * 1024)
#define WHOLE_LOOK_EACH 4 /* ticks */

struct list {
    const struct config *config;
    struct arena arena;
    struct tls_source *sources;
    size_t count;
    bool too_many;
    enum error error; /* of the folder */
    uint64_t stamp;   /* of all of it */
};

/* A file that could not be used, as it was then. */
struct told {
    char *path;
    uint64_t stamp;
};

struct certificates {
    const struct config *config;
    struct tls *tls;
    uint64_t seen;       /* the list's stamp at the latest load */
    uint64_t folder;     /* the folder's own */
    uint64_t by_default; /* the default's files' */
    unsigned ticks;
    bool folder_was_there, folder_gone;
    struct told told[TLS_MAX_CERTIFICATES];
    size_t told_count;
};

/* ---- what there is ---- */

static bool add_source(struct list *list, const char *certificate, const char *key, bool by_default)
{
    if (list->count == TLS_MAX_CERTIFICATES) {
        list->too_many = true;
        return false;
    }
    struct tls_source *source = &list->sources[list->count++];
    *source = (struct tls_source){
        .certificate_path = certificate, .key_path = key, .is_default = by_default};
    source->stamp = file_stamp(FILE_STAMP_START, certificate, &source->written_ns);
    if (strcmp(certificate, key) != 0)
        source->stamp = file_stamp(source->stamp, key, &source->written_ns);
    list->stamp = file_stamp_bytes(list->stamp, certificate, strlen(certificate));
    list->stamp = file_stamp_bytes(list->stamp, &source->stamp, sizeof source->stamp);
    return true;
}

/* Names that begin with a dot are files on their way. */
static bool visit_file(const char *name, void *context)
{
    struct list *list = context;
    const char *by_default = list->config->tls_certificate_file;
    char *path;

    if (name[0] == '.' || !view_ends_with(view_of(name), VIEW("." SUFFIX)))
        return true;
    path = arena_format(&list->arena, "%s/%s", list->config->certificates_dir, name);
    REQUIRE(path != NULL);
    if (by_default && strcmp(path, by_default) == 0)
        return true;
    return add_source(list, path, path, false);
}

static void list_sources(struct list *list, const struct config *config)
{
    *list = (struct list){.config = config, .stamp = FILE_STAMP_START};
    arena_init(&list->arena, LIST_MAX_BYTES);
    list->sources = arena_alloc(&list->arena, TLS_MAX_CERTIFICATES * sizeof *list->sources);
    REQUIRE(list->sources != NULL);
    if (config->tls_certificate_file)
        add_source(list, config->tls_certificate_file, config->tls_key_file, true);
    list->error = folder_list(config->certificates_dir, visit_file, list);
}

static uint64_t stamp_of_default(const struct config *config)
{
    if (!config->tls_certificate_file)
        return 0;
    return file_stamp(file_stamp(FILE_STAMP_START, config->tls_certificate_file, NULL),
                      config->tls_key_file, NULL);
}

/* ---- loading ---- */

static void log_certificate(const struct tls_certificate *certificate)
{
    bool expired = certificate->not_after_s <= clock_wall_ms() / 1000;
    char end[CLOCK_RFC3339_SIZE];

    clock_format_rfc3339(certificate->not_after_s * 1000, end);
    log_write(expired ? LOG_WARN : LOG_INFO, expired ? "certificate-expired" : "certificate",
              LOG_STRING("name", certificate->name), LOG_STRING("file", certificate->path),
              LOG_STRING("fingerprint", certificate->fingerprint), LOG_STRING("not_after", end));
}

static void log_any(const struct tls_certificate *certificate, void *context)
{
    (void)context;
    log_certificate(certificate);
}

static void log_new(const struct tls_certificate *certificate, void *context)
{
    (void)context;
    if (certificate->is_new)
        log_certificate(certificate);
}

void certificates_log(struct certificates *certificates)
{
    if (certificates)
        tls_each_certificate(certificates->tls, log_any, NULL);
}

/* Whether this file was told of as it is now. */
static bool told_already(struct certificates *certificates, const struct tls_source *source)
{
    for (size_t i = 0; i < certificates->told_count; i++)
        if (strcmp(certificates->told[i].path, source->certificate_path) == 0) {
            bool same = certificates->told[i].stamp == source->stamp;

            certificates->told[i].stamp = source->stamp;
            return same;
        }
    if (certificates->told_count < TLS_MAX_CERTIFICATES)
        certificates->told[certificates->told_count++] =
            (struct told){view_duplicate(view_of(source->certificate_path)), source->stamp};
    return false;
}

static void forget_told(struct certificates *certificates)
{
    for (size_t i = 0; i < certificates->told_count; i++)
        free(certificates->told[i].path);
    certificates->told_count = 0;
}

static void log_problem(const struct tls_source *source, const char *sentence, void *context)
{
    if (!told_already(context, source))
        log_write(LOG_ERROR, "certificate-not-used", LOG_STRING("problem", sentence));
}

static void log_list(const struct list *list)
{
    if (list->error != ERROR_NONE && list->error != ERROR_NOT_FOUND)
        log_write(LOG_ERROR, "certificates-not-listed",
                  LOG_STRING("folder", list->config->certificates_dir),
                  LOG_STRING("problem", error_text(list->error)));
    if (list->too_many)
        log_write(LOG_ERROR, "certificates-too-many", LOG_INTEGER("most", TLS_MAX_CERTIFICATES));
}

static void load(struct certificates *certificates, const struct list *list)
{
    certificates->seen = list->stamp;
    certificates->folder_was_there = list->error == ERROR_NONE;
    log_list(list);
    tls_load(certificates->tls, list->sources, list->count, log_problem, certificates);
    tls_each_certificate(certificates->tls, log_new, NULL);
}

void certificates_reload(struct certificates *certificates)
{
    struct list list;

    if (!certificates)
        return;
    forget_told(certificates);
    list_sources(&list, certificates->config);
    for (size_t i = 0; i < list.count; i++)
        list.sources[i].anew = true;
    load(certificates, &list);
    arena_release(&list.arena);
}

/* ---- watching ---- */

/* The folder was there, and cannot be looked into now: nobody meant to remove every certificate. */
static bool folder_is_lost(struct certificates *certificates, const struct list *list)
{
    bool lost = list->error != ERROR_NONE && certificates->folder_was_there;

    if (lost && !certificates->folder_gone)
        log_write(LOG_ERROR, "certificates-not-listed",
                  LOG_STRING("folder", certificates->config->certificates_dir),
                  LOG_STRING("problem", error_text(list->error)));
    certificates->folder_gone = lost;
    return lost;
}

void certificates_tend(struct certificates *certificates)
{
    struct list list;

    if (!certificates)
        return;
    uint64_t folder = file_stamp(FILE_STAMP_START, certificates->config->certificates_dir, NULL);
    uint64_t by_default = stamp_of_default(certificates->config);
    bool changed = folder != certificates->folder || by_default != certificates->by_default;
    /* What is written in place shows on the files alone; looking at each costs more. */
    if (!changed && ++certificates->ticks % WHOLE_LOOK_EACH != 0)
        return;
    certificates->folder = folder;
    certificates->by_default = by_default;
    list_sources(&list, certificates->config);
    if (list.stamp != certificates->seen && !folder_is_lost(certificates, &list))
        load(certificates, &list);
    arena_release(&list.arena);
}

/* ---- life ---- */

struct opening {
    struct certificates *certificates;
    bool all_good;
    struct buffer *problem;
};

/* A file in the folder is no reason to serve nobody: the next start may come at night, by itself. */
static void note_problem(const struct tls_source *source, const char *sentence, void *context)
{
    struct opening *opening = context;

    if (!opening->all_good && !source->is_default)
        log_problem(source, sentence, opening->certificates);
    else if (opening->problem->length == 0)
        buffer_append_string(opening->problem, sentence);
}

struct certificates *certificates_open(const struct config *config, bool all_good,
                                       struct buffer *problem)
{
    struct list list;

    if (!config->tls_listen)
        return NULL;
    struct certificates *certificates = calloc(1, sizeof *certificates);
    REQUIRE(certificates != NULL);
    struct opening opening = {certificates, all_good, problem};
    certificates->config = config;
    certificates->tls = tls_new();
    list_sources(&list, config);
    log_list(&list);
    certificates->seen = list.stamp;
    certificates->folder_was_there = list.error == ERROR_NONE;
    tls_load(certificates->tls, list.sources, list.count, note_problem, &opening);
    if (problem->length > 0) {
        certificates_free(certificates);
        certificates = NULL;
    }
    arena_release(&list.arena);
    return certificates;
}

void certificates_free(struct certificates *certificates)
{
    if (!certificates)
        return;
    forget_told(certificates);
    tls_free(certificates->tls);
    free(certificates);
}

struct tls *certificates_tls(struct certificates *certificates)
{
    return certificates ? certificates->tls : NULL;
}
