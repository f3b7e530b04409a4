/* Lists the certificate files, and has them loaded at the start and at each reload. */
#include "proxyd/certificates.h"

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/log.h"

#include <string.h>

#define SUFFIX "pem"

struct list {
    const struct config *config;
    struct arena arena;
    struct tls_source *sources;
    size_t count;
    bool too_many;
};

static bool add_source(struct list *list, const char *certificate, const char *key, bool by_default)
{
    if (list->count == TLS_MAX_CERTIFICATES) {
        list->too_many = true;
        return false;
    }
    list->sources[list->count++] = (struct tls_source){certificate, key, by_default};
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
    *list = (struct list){.config = config};
    arena_init(&list->arena, 16 * 1024 * 1024);
    list->sources = arena_alloc(&list->arena, TLS_MAX_CERTIFICATES * sizeof *list->sources);
    REQUIRE(list->sources != NULL);
    if (config->tls_certificate_file)
        add_source(list, config->tls_certificate_file, config->tls_key_file, true);
    enum error error = folder_list(config->certificates_dir, visit_file, list);
    if (error != ERROR_NONE && error != ERROR_NOT_FOUND)
        log_write(LOG_ERROR, "certificates-not-listed",
                  LOG_STRING("folder", config->certificates_dir),
                  LOG_STRING("problem", error_text(error)));
    if (list->too_many)
        log_write(LOG_ERROR, "certificates-too-many", LOG_INTEGER("most", TLS_MAX_CERTIFICATES));
}

static void log_certificate(const struct tls_certificate *certificate, void *context)
{
    bool expired = certificate->not_after_s <= clock_wall_ms() / 1000;
    char end[CLOCK_RFC3339_SIZE];

    (void)context;
    clock_format_rfc3339(certificate->not_after_s * 1000, end);
    log_write(expired ? LOG_WARN : LOG_INFO, expired ? "certificate-expired" : "certificate",
              LOG_STRING("name", certificate->name), LOG_STRING("file", certificate->path),
              LOG_STRING("fingerprint", certificate->fingerprint), LOG_STRING("not_after", end));
}

void certificates_log(struct tls *tls)
{
    if (tls)
        tls_each_certificate(tls, log_certificate, NULL);
}

static void note_problem(const char *sentence, void *context)
{
    struct buffer *problem = context;

    if (problem->length == 0)
        buffer_append_string(problem, sentence);
}

struct tls *certificates_open(const struct config *config, struct buffer *problem)
{
    struct list list;

    if (!config->tls_listen)
        return NULL;
    struct tls *tls = tls_new();
    list_sources(&list, config);
    if (tls_load(tls, list.sources, list.count, note_problem, problem) > 0) {
        tls_free(tls);
        tls = NULL;
    }
    arena_release(&list.arena);
    return tls;
}

static void log_problem(const char *sentence, void *context)
{
    (void)context;
    log_write(LOG_ERROR, "certificate-not-used", LOG_STRING("problem", sentence));
}

void certificates_reload(struct tls *tls, const struct config *config)
{
    struct list list;

    if (!tls)
        return;
    list_sources(&list, config);
    tls_load(tls, list.sources, list.count, log_problem, NULL);
    certificates_log(tls);
    arena_release(&list.arena);
}
