/* Has the API's certificate, and the authorities of its clients, loaded at start and when they change. */
#include "managerd/api_certificate.h"

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/log.h"

#include <event2/event.h>
#include <stdlib.h>

#define LOOK_MS         500
#define REFUSALS_LOGGED 2 /* a second */

struct api_certificate {
    const struct config *config;
    struct tls *tls;
    struct event *look; /* NULL before begin */
    uint64_t stamp;     /* of the files, as they were when they were read */
};

static uint64_t stamp_of_files(const struct config *config)
{
    uint64_t stamp = file_stamp(FILE_STAMP_START, config->tls_certificate_file, NULL);
    stamp = file_stamp(stamp, config->tls_key_file, NULL);
    return config->tls_client_ca_file ? file_stamp(stamp, config->tls_client_ca_file, NULL) : stamp;
}

/* Loading */

static void keep_sentence(const struct tls_source *source, const char *sentence, void *context)
{
    struct buffer *problem = context;
    (void)source;
    if (problem->length)
        buffer_append_string(problem, "; ");
    buffer_append_string(problem, sentence);
}

/* One sentence in `problem` for each that cannot be used; in its place stays what was there. */
static void load(struct api_certificate *certificate, struct buffer *problem)
{
    const struct config *config = certificate->config;
    struct tls_source source = {.certificate_path = config->tls_certificate_file,
                                .key_path = config->tls_key_file,
                                .is_default = true,
                                .anew = true};
    certificate->stamp = stamp_of_files(config);
    /* Both are looked at, whatever becomes of the first. */
    if (config->tls_client_ca_file)
        (void)!tls_ask_clients(certificate->tls, config->tls_client_ca_file,
                               config->tls_clients_required, problem);
    tls_load(certificate->tls, &source, 1, keep_sentence, problem);
}

struct api_certificate *api_certificate_open(const struct config *config, struct buffer *problem)
{
    if (!config->tls_certificate_file)
        return NULL;
    struct api_certificate *certificate = calloc(1, sizeof *certificate);
    REQUIRE(certificate);
    certificate->config = config;
    certificate->tls = tls_new();
    load(certificate, problem);
    if (problem->length) {
        api_certificate_free(certificate);
        return NULL;
    }
    return certificate;
}

static void log_certificate(const struct tls_certificate *loaded, void *context)
{
    const struct config *config = context;
    bool expired = loaded->not_after_s <= clock_wall_ms() / 1000;
    char end[CLOCK_RFC3339_SIZE];
    clock_format_rfc3339(loaded->not_after_s * 1000, end);
    log_write(expired ? LOG_WARN : LOG_INFO,
              expired ? "api-certificate-expired" : "api-certificate",
              LOG_STRING("name", loaded->name), LOG_STRING("file", loaded->path),
              LOG_STRING("fingerprint", loaded->fingerprint), LOG_STRING("not_after", end),
              LOG_STRING("clientCertificates", !config->tls_client_ca_file    ? "not-asked"
                                               : config->tls_clients_required ? "required"
                                                                              : "optional"));
}

void api_certificate_reload(struct api_certificate *certificate)
{
    struct buffer problem;
    if (!certificate)
        return;
    buffer_init(&problem, 8192);
    load(certificate, &problem);
    if (problem.length)
        log_write(LOG_ERROR, "api-certificate-not-used",
                  LOG_VIEW("problem", buffer_view(&problem)));
    else
        tls_each_certificate(certificate->tls, log_certificate,
                             (void *)(uintptr_t)certificate->config);
    buffer_release(&problem);
}

/* Watching */

static void on_look(evutil_socket_t fd, short what, void *context)
{
    struct api_certificate *certificate = context;
    (void)fd, (void)what;
    if (stamp_of_files(certificate->config) != certificate->stamp)
        api_certificate_reload(certificate);
}

static void on_refused(struct view peer_address, const char *reason, void *context)
{
    static struct log_limit limit;
    unsigned held = 0;
    (void)context;
    if (log_allow(&limit, REFUSALS_LOGGED, &held))
        log_write(LOG_INFO, "handshake-refused", LOG_STRING("reason", reason),
                  LOG_VIEW("peer", peer_address), LOG_INTEGER("held", held));
}

void api_certificate_begin(struct api_certificate *certificate, struct event_base *base)
{
    struct timeval each = {0, LOOK_MS * 1000};
    if (!certificate)
        return;
    tls_each_certificate(certificate->tls, log_certificate, (void *)(uintptr_t)certificate->config);
    tls_tell_refusals(certificate->tls, on_refused, certificate);
    certificate->look = event_new(base, -1, EV_PERSIST, on_look, certificate);
    REQUIRE(certificate->look && event_add(certificate->look, &each) == 0);
}

void api_certificate_end(struct api_certificate *certificate)
{
    if (!certificate || !certificate->look)
        return;
    event_free(certificate->look);
    certificate->look = NULL;
}

void api_certificate_free(struct api_certificate *certificate)
{
    if (!certificate)
        return;
    api_certificate_end(certificate);
    tls_free(certificate->tls);
    free(certificate);
}

struct tls *api_certificate_tls(struct api_certificate *certificate)
{
    return certificate ? certificate->tls : NULL;
}
