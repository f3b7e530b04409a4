/* Reads the configuration, runs one server, and turns what came of it into an exit code. */
#include "common/aws/credentials_source.h"
#include "common/base/log.h"
#include "proxyd/certificates.h"
#include "proxyd/config.h"
#include "proxyd/server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#define CREDENTIALS_WAIT_MS 5000
#define SPARE_DESCRIPTORS   256 /* listeners, the store, epoll, the admin address */

enum exit_code { EXIT_FINE = 0, EXIT_FAILED = 1, EXIT_WRONG_USAGE = 2 };

static const char *variable(const char *name)
{
    return getenv(name);
}

static void prepare_process(void)
{
    const struct rlimit none = {0, 0};
    struct rlimit files;

    signal(SIGPIPE, SIG_IGN);
    /* Keys are in this process's memory: no core files, no reading by others of the same user. */
    if (!SANITIZED)
        prctl(PR_SET_DUMPABLE, 0);
    setrlimit(RLIMIT_CORE, &none);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

static void check_descriptors(const struct config *config)
{
    struct rlimit files;
    int64_t wanted = config->max_connections * (config->tls_listen ? 2 : 1) +
                     config->max_in_flight + SPARE_DESCRIPTORS;

    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < (rlim_t)wanted)
        log_write(LOG_WARN, "few-descriptors", LOG_INTEGER("limit", files.rlim_cur),
                  LOG_INTEGER("wanted", wanted));
}

static int check_certificates(const struct config *config, struct buffer *problem)
{
    certificates_free(certificates_open(config, true, problem));
    if (problem->length == 0) {
        puts("proxyd: the configuration is fine");
        return EXIT_FINE;
    }
    fprintf(stderr, "proxyd: %.*s\n", VIEW_FORMAT(buffer_view(problem)));
    return EXIT_WRONG_USAGE;
}

static int run(const struct config *config)
{
    struct buffer problem;
    int exit_code = EXIT_WRONG_USAGE;

    prepare_process();
    log_start("proxyd", config->log_level);
    check_descriptors(config);
    buffer_init(&problem, 4096);
    struct certificates *certificates = certificates_open(config, false, &problem);
    certificates_log(certificates);
    if (problem.length == 0)
        exit_code = server_run(config, certificates);
    else
        fprintf(stderr, "proxyd: %.*s\n", VIEW_FORMAT(buffer_view(&problem)));
    certificates_free(certificates);
    buffer_release(&problem);
    log_write(LOG_INFO, "stopped", LOG_INTEGER("exit_code", exit_code));
    log_stop();
    return exit_code;
}

int main(int argc, char **argv)
{
    struct config config;
    struct buffer problem;
    int exit_code = EXIT_FINE;

    buffer_init(&problem, 4096);
    enum option_action action = config_read(&config, argc, argv, &problem);
    /* Credentials are looked for before anything is bound: without any nothing can be served. */
    if ((action == OPTION_RUN || action == OPTION_CHECK) &&
        credentials_check(variable, CREDENTIALS_WAIT_MS, &problem) != ERROR_NONE)
        action = OPTION_WRONG;
    switch (action) {
    case OPTION_RUN:
        exit_code = run(&config);
        break;
    case OPTION_CHECK:
        exit_code = check_certificates(&config, &problem);
        break;
    case OPTION_WRONG:
        fprintf(stderr, "proxyd: %.*s\n", VIEW_FORMAT(buffer_view(&problem)));
        exit_code = EXIT_WRONG_USAGE;
        break;
    case OPTION_EXIT:
        break;
    }
    config_release(&config);
    buffer_release(&problem);
    return exit_code;
}
