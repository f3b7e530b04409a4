/* managerd: reads its options, starts one server, runs it until it is told to stop. */
#include "managerd/api_certificate.h"
#include "managerd/config.h"
#include "managerd/server.h"
#include "managerd/state_backup.h"

#include "common/base/crypto.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/memory.h"

#include <event2/event.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LARGE_BYTES (256 * 1024)

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

/* The memory of this process holds credentials: no core, no other process of this user may look; and what it is
 * through with is wiped. */
static void keep_to_ourselves(void)
{
    const struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    if (!SANITIZED)
        prctl(PR_SET_DUMPABLE, 0);
}

static int run(struct config *config, struct api_certificate *certificate, struct buffer *problem)
{
    struct server server;
    enum error error = server_start(&server, config, certificate, problem);
    if (!error)
        server_run(&server);
    server_stop(&server);
    return error ? 1 : 0;
}

static int check_or_run(enum option_action action, struct config *config, struct buffer *problem)
{
    int status = 0;
    if (action == OPTION_RUN)
        keep_to_ourselves();
    if (action == OPTION_RUN && state_backup_wanted(config))
        return state_backup_run(config, problem) ? 1 : 0;
    struct api_certificate *certificate = api_certificate_open(config, problem);
    if (problem->length) {
        status = 2;
    } else if (action == OPTION_RUN) {
        log_start("managerd", config->level);
        status = run(config, certificate, problem);
        log_stop();
    }
    api_certificate_free(certificate);
    return status;
}

/* Databases are mapped: what is cut away under us, or cannot be read from its disk, shows as a signal. What
 * was acknowledged is on the disk or in the backup; going on would be guessing. */
static void on_bus_error(int signal_number)
{
    static const char sentence[] = "managerd: a file of the data folder was cut, or its disk "
                                   "failed, while it was in use: check "
                                   "the disk, and state with --verify.\n";
    (void)signal_number;
    if (write(STDERR_FILENO, sentence, sizeof sentence - 1) < 0)
        _exit(1);
    _exit(1);
}

/* Long answers go back to the system when they are sent. Left to itself glibc would keep them in the heap
 * once one was freed, and go through all small free pieces each time. */
static void settle_memory(void)
{
    mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
    mallopt(M_TRIM_THRESHOLD, LARGE_BYTES);
}

int main(int argc, char **argv)
{
    static struct config config;
    struct buffer problem;
    int status = 0;
    buffer_init(&problem, 8192);
    memory_wipe_freed();
    crypto_use_wiping_memory();
    json_use_wiping_memory();
    event_set_mem_functions(memory_get, memory_resize, memory_release);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGBUS, on_bus_error);
    signal(SIGXFSZ, SIG_IGN); /* a file at its limit is an error of writing */
    umask(0027);
    settle_memory();
    /* The zip library asks for local times, on two threads. With TZ set, glibc reads the zone once,
     * here, and not again for each. */
    setenv("TZ", ":/etc/localtime", 0);
    tzset();
    enum option_action action = config_read(argc, argv, &config, &problem);
    if (action == OPTION_WRONG) {
        status = 2;
    } else if (action != OPTION_EXIT) {
        status = check_or_run(action, &config, &problem);
    }
    if (problem.length)
        fprintf(stderr, "managerd: %.*s\n", (int)problem.length, problem.data);
    buffer_release(&problem);
    config_release(&config);
    return status;
}
