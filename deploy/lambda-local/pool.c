/* Brings invocations and sandboxes together, version by version. */
#include "deploy/lambda-local/pool.h"

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "deploy/lambda-local/process.h"
#include "deploy/lambda-local/sandbox.h"

#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_US    5000 /* how long an invocation waits for a busy sandbox before one is started */
#define WATCH_BUSY_MS  50
#define WATCH_IDLE_MS  1000
#define WATCH_SHARE    20 /* a look takes at most one part in so many of our time */
#define LEAST_STARTING 4
#define END_ROUNDS     500
#define END_PAUSE_US   10000

struct pool {
    TAILQ_ENTRY(pool) link;
    struct pools *pools;
    struct version *version;
    struct sandbox_list sandboxes; /* all of them */
    struct sandbox_list idle;      /* last used first */
    struct invocation_queue waiting;
    unsigned waiting_count, starting, busy;
    struct event *patience; /* looks after what waits */
    bool retired;
};

TAILQ_HEAD(pool_list, pool);

struct pools {
    struct event_base *base;
    const struct config *config;
    struct sandbox_place place;
    char *folder, *instance;
    pid_t keeper;
    struct pool_list list;
    unsigned count; /* sandboxes that are not ending */
    unsigned in_flight, busy;
    unsigned starving; /* pools that wait for the limit on processes */
    unsigned most_starting;
    unsigned strays; /* seen in the last look at our children */
    struct event *child_ended, *watch;
    void (*on_idle)(void *context);
    void *idle_context;
    bool closing;
};

static void scale(struct pool *pool);

/* -- invocations -- */

static void leave(struct pools *pools, struct invocation *invocation,
                  enum invocation_outcome outcome)
{
    pools->in_flight--;
    invocation->version->function->in_flight--;
    invocation_finish(invocation, outcome);
    if (pools->in_flight == 0 && pools->on_idle)
        pools->on_idle(pools->idle_context);
}

static struct invocation *take_waiting(struct pool *pool)
{
    struct invocation *invocation = TAILQ_FIRST(&pool->waiting);

    if (invocation) {
        TAILQ_REMOVE(&pool->waiting, invocation, queue);
        pool->waiting_count--;
    }
    return invocation;
}

static void run(struct pool *pool, struct sandbox *sandbox, struct invocation *invocation)
{
    pool->busy++;
    pool->pools->busy++;
    sandbox_run(sandbox, invocation);
}

/* Looks again when the first in the queue has waited long enough, or too long. */
static void arm_patience(struct pool *pool)
{
    struct timeval delay = {0, PATIENCE_US};

    if (!evtimer_pending(pool->patience, NULL))
        evtimer_add(pool->patience, &delay);
}

static void on_patience(int descriptor, short what, void *context)
{
    struct pool *pool = context;
    uint64_t now = clock_monotonic_us();
    uint64_t most = (uint64_t)pool->pools->config->queue_timeout_ms * 1000;
    struct invocation *first;

    (void)descriptor;
    (void)what;
    while ((first = TAILQ_FIRST(&pool->waiting)) && now - first->queued_us >= most)
        leave(pool->pools, take_waiting(pool), INVOCATION_THROTTLED);
    scale(pool);
    if (pool->waiting_count > 0)
        arm_patience(pool);
}

/* -- sandboxes come and go -- */

static void uncount(struct pool *pool, struct sandbox *sandbox)
{
    if (sandbox->counted)
        pool->pools->count--;
    sandbox->counted = false;
}

/* Others may have waited for a process to be allowed. */
static void relieve(struct pools *pools)
{
    struct pool *pool;

    if (pools->starving == 0)
        return;
    pools->starving = 0;
    TAILQ_FOREACH(pool, &pools->list, link)
    {
        if (pool->waiting_count > 0)
            scale(pool);
    }
}

static void on_idle(struct sandbox *sandbox, void *context)
{
    struct pool *pool = context;
    struct invocation *invocation = take_waiting(pool);

    if (sandbox->init_pending) {
        sandbox->init_pending = false;
        pool->starting--;
    }
    if (invocation) {
        run(pool, sandbox, invocation);
        return;
    }
    TAILQ_INSERT_HEAD(&pool->idle, sandbox, in_idle);
    if (pool->retired)
        sandbox_kill(sandbox);
    else
        relieve(pool->pools);
}

static void on_lost(struct sandbox *sandbox, void *context)
{
    struct pool *pool = context;

    TAILQ_REMOVE(&pool->idle, sandbox, in_idle);
    uncount(pool, sandbox);
}

static void on_result(struct sandbox *sandbox, struct invocation *invocation,
                      enum invocation_outcome outcome, void *context)
{
    struct pool *pool = context;

    (void)sandbox;
    pool->busy--;
    pool->pools->busy--;
    leave(pool->pools, invocation, outcome);
}

/* The error object goes to the invocation that waits longest. */
static void fail_waiting(struct pool *pool, struct view init_error, struct view tail)
{
    struct invocation *invocation = take_waiting(pool);

    if (!invocation)
        return;
    buffer_append_view(&invocation->reply, init_error);
    buffer_append_view(&invocation->tail, tail);
    leave(pool->pools, invocation, INVOCATION_FAILED);
}

static void on_ended(struct sandbox *sandbox, struct view init_error, void *context)
{
    struct pool *pool = context;

    TAILQ_REMOVE(&pool->sandboxes, sandbox, in_pool);
    uncount(pool, sandbox);
    if (sandbox->init_pending)
        pool->starting--;
    if (init_error.length > 0)
        fail_waiting(pool, init_error, sandbox_tail(sandbox));
    if (pool->waiting_count > 0)
        scale(pool);
    relieve(pool->pools);
}

static void add_sandbox(struct pool *pool)
{
    static const struct sandbox_handlers handlers = {on_idle, on_lost, on_result, on_ended};
    struct sandbox *sandbox = sandbox_start(&pool->pools->place, pool->version, &handlers, pool);

    sandbox->counted = sandbox->init_pending = true;
    TAILQ_INSERT_TAIL(&pool->sandboxes, sandbox, in_pool);
    pool->starting++;
    pool->pools->count++;
}

/* The sandbox of another version that has been idle longest makes room. */
static bool evict(struct pools *pools, const struct pool *wants)
{
    struct sandbox *oldest = NULL, *last;
    struct pool *pool;

    TAILQ_FOREACH(pool, &pools->list, link)
    {
        last = pool == wants ? NULL : TAILQ_LAST(&pool->idle, sandbox_list);
        if (last && (!oldest || last->idle_since_us < oldest->idle_since_us))
            oldest = last;
    }
    if (oldest)
        sandbox_kill(oldest);
    return oldest != NULL;
}

/* As many sandboxes start as invocations wait, within the limits. */
static void scale(struct pool *pool)
{
    struct pools *pools = pool->pools;

    while (!pools->closing && pool->starting < pool->waiting_count &&
           pool->starting < pools->most_starting) {
        if (pools->count >= (unsigned)pools->config->max_sandboxes && !evict(pools, pool)) {
            pools->starving++;
            return;
        }
        add_sandbox(pool);
    }
}

/* -- pools -- */

static struct pool *pool_of(struct pools *pools, struct version *version)
{
    struct pool *pool = version->pool;

    if (pool)
        return pool;
    pool = calloc(1, sizeof *pool);
    REQUIRE(pool);
    pool->pools = pools;
    pool->version = version_hold(version);
    TAILQ_INIT(&pool->sandboxes);
    TAILQ_INIT(&pool->idle);
    TAILQ_INIT(&pool->waiting);
    pool->patience = evtimer_new(pools->base, on_patience, pool);
    REQUIRE(pool->patience);
    TAILQ_INSERT_TAIL(&pools->list, pool, link);
    version->pool = pool;
    return pool;
}

static void pool_free(struct pool *pool)
{
    struct function *function = function_hold(pool->version->function);

    TAILQ_REMOVE(&pool->pools->list, pool, link);
    event_free(pool->patience);
    pool->version->pool = NULL;
    version_release(pool->version);
    if (!pool->pools->closing)
        function_sweep_code(function);
    function_release(function);
    free(pool);
}

enum pool_verdict pools_submit(struct pools *pools, struct invocation *invocation)
{
    struct function *function = invocation->version->function;
    struct sandbox *sandbox;
    struct pool *pool;

    if (function->reserved_concurrency >= 0 &&
        function->in_flight >= (unsigned)function->reserved_concurrency)
        return POOL_FUNCTION_LIMIT;
    if (pools->in_flight >= (unsigned)pools->config->concurrency)
        return POOL_ACCOUNT_LIMIT;
    function->in_flight++;
    pools->in_flight++;
    invocation->queued_us = clock_monotonic_us();
    pool = pool_of(pools, invocation->version);
    sandbox = TAILQ_FIRST(&pool->idle);
    if (sandbox) {
        TAILQ_REMOVE(&pool->idle, sandbox, in_idle);
        run(pool, sandbox, invocation);
        return POOL_ACCEPTED;
    }
    TAILQ_INSERT_TAIL(&pool->waiting, invocation, queue);
    pool->waiting_count++;
    if (pool->busy == 0)
        scale(pool);
    arm_patience(pool);
    return POOL_ACCEPTED;
}

void pools_retire(struct pools *pools, struct version *version)
{
    struct pool *pool = version->pool;
    struct sandbox *sandbox;

    (void)pools;
    if (!pool)
        return;
    pool->retired = true;
    while ((sandbox = TAILQ_FIRST(&pool->idle)))
        sandbox_kill(sandbox); /* leaves the list by on_lost */
}

unsigned pools_in_flight(const struct pools *pools)
{
    return pools->in_flight;
}

void pools_on_idle(struct pools *pools, void (*handler)(void *context), void *context)
{
    pools->on_idle = handler;
    pools->idle_context = context;
    if (pools->in_flight == 0)
        handler(context);
}

/* -- the children of this process -- */

static struct sandbox *sandbox_of(const struct pools *pools, pid_t pid)
{
    struct pool *pool;
    struct sandbox *sandbox;

    TAILQ_FOREACH(pool, &pools->list, link)
    {
        TAILQ_FOREACH(sandbox, &pool->sandboxes, in_pool)
        {
            if (sandbox->pid == pid)
                return sandbox;
        }
    }
    return NULL;
}

static bool lives(const struct pools *pools, const char *mark)
{
    struct pool *pool;
    struct sandbox *sandbox;

    TAILQ_FOREACH(pool, &pools->list, link)
    {
        TAILQ_FOREACH(sandbox, &pool->sandboxes, in_pool)
        {
            if (sandbox->pid && strcmp(sandbox->mark, mark) == 0)
                return true;
        }
    }
    return false;
}

/* An orphan comes to us. While its sandbox lives it may go on; else it ends. In the middle of an
 * exec it shows no mark: then the next look decides. */
static void kill_stray(pid_t pid, void *context)
{
    struct pools *pools = context;
    char mark[RUNTIME_MARK_SIZE];
    bool marked;

    if (pid == pools->keeper || sandbox_of(pools, pid))
        return;
    pools->strays++;
    marked = process_variable(pid, RUNTIME_MARK_VARIABLE, mark, sizeof mark);
    if (pools->closing || (marked && !lives(pools, mark)))
        process_kill(pid);
}

/* Reaps all children that have ended, each sandbox's with what is left of its group. */
static void reap(struct pools *pools)
{
    struct sandbox *sandbox;
    pid_t pid;
    int status;

    while ((pid = process_ended()) > 0) {
        sandbox = sandbox_of(pools, pid);
        if (sandbox)
            process_kill(pid);
        status = process_reap(pid);
        if (sandbox && pools->closing)
            sandbox->pid = 0;
        else if (sandbox)
            sandbox_reaped(sandbox, status);
    }
}

static void on_child_ended(int descriptor, short what, void *context)
{
    struct pools *pools = context;

    (void)descriptor;
    (void)what;
    reap(pools);
    process_children(kill_stray, pools);
}

/* Measures what works (and now and then what idles), and forgets pools that are empty. */
static void on_watch(int descriptor, short what, void *context)
{
    struct pools *pools = context;
    struct pool *pool = TAILQ_FIRST(&pools->list), *next;
    struct sandbox *sandbox;
    uint64_t began_us = clock_monotonic_us();
    int64_t delay_ms = WATCH_IDLE_MS, least_ms;
    struct timeval delay;

    (void)descriptor;
    (void)what;
    for (; pool; pool = next) {
        next = TAILQ_NEXT(pool, link);
        TAILQ_FOREACH(sandbox, &pool->sandboxes, in_pool)
        sandbox_watch_memory(sandbox);
        if (pool->busy > 0 || pool->starting > 0)
            delay_ms = WATCH_BUSY_MS;
        if (TAILQ_EMPTY(&pool->sandboxes) && TAILQ_EMPTY(&pool->waiting))
            pool_free(pool);
    }
    process_children(kill_stray, pools);
    least_ms = (int64_t)(clock_monotonic_us() - began_us) * WATCH_SHARE / 1000;
    if (delay_ms < least_ms)
        delay_ms = least_ms < WATCH_IDLE_MS ? least_ms : WATCH_IDLE_MS;
    delay = (struct timeval){delay_ms / 1000, delay_ms % 1000 * 1000};
    evtimer_add(pools->watch, &delay);
}

/* -- life -- */

static enum error prepare_folder(const char *folder, struct buffer *problem)
{
    enum error error = folder_remove(folder);

    if (!error)
        error = folder_make(folder, 0700);
    if (error)
        buffer_append_format(problem, "%s: %s", folder, error_text(error));
    return error;
}

enum error pools_new(struct event_base *base, const struct config *config, const char *instance,
                     const char *folder, pid_t keeper, struct pools **pools, struct buffer *problem)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    struct timeval delay = {0, WATCH_BUSY_MS * 1000};
    struct pools *made;
    enum error error = prepare_folder(folder, problem);

    if (error)
        return error;
    made = calloc(1, sizeof *made);
    REQUIRE(made);
    made->base = base;
    made->config = config;
    made->keeper = keeper;
    made->folder = view_duplicate(view_of(folder));
    made->instance = view_duplicate(view_of(instance));
    made->place = (struct sandbox_place){base, config, made->instance, made->folder};
    made->most_starting =
        processors * 2 > LEAST_STARTING ? (unsigned)processors * 2 : LEAST_STARTING;
    TAILQ_INIT(&made->list);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    made->child_ended = evsignal_new(base, SIGCHLD, on_child_ended, made);
    made->watch = evtimer_new(base, on_watch, made);
    REQUIRE(made->child_ended && made->watch);
    evsignal_add(made->child_ended, NULL);
    evtimer_add(made->watch, &delay);
    *pools = made;
    return ERROR_NONE;
}

static void drop_waiting(struct pool *pool)
{
    struct invocation *invocation;

    while ((invocation = take_waiting(pool))) {
        invocation->version->function->in_flight--;
        invocation_free(invocation);
    }
}

static void close_pool(struct pool *pool)
{
    struct sandbox *sandbox;

    drop_waiting(pool);
    while ((sandbox = TAILQ_FIRST(&pool->sandboxes))) {
        TAILQ_REMOVE(&pool->sandboxes, sandbox, in_pool);
        sandbox_free(sandbox);
    }
    pool_free(pool);
}

/* Until no child but the keeper is left; strays come to us one generation after the other. */
static void end_children(struct pools *pools)
{
    struct sandbox *sandbox;
    struct pool *pool;

    TAILQ_FOREACH(pool, &pools->list, link)
    {
        TAILQ_FOREACH(sandbox, &pool->sandboxes, in_pool)
        {
            if (sandbox->pid)
                process_kill(sandbox->pid);
        }
    }
    for (int round = 0; round < END_ROUNDS; round++) {
        bool left = false;

        pools->strays = 0;
        reap(pools);
        process_children(kill_stray, pools);
        left = pools->strays > 0;
        TAILQ_FOREACH(pool, &pools->list, link)
        {
            TAILQ_FOREACH(sandbox, &pool->sandboxes, in_pool)
            left = left || sandbox->pid;
        }
        if (!left)
            return;
        usleep(END_PAUSE_US);
    }
}

void pools_free(struct pools *pools)
{
    struct pool *pool;

    pools->closing = true;
    event_free(pools->child_ended);
    event_free(pools->watch);
    end_children(pools);
    while ((pool = TAILQ_FIRST(&pools->list)))
        close_pool(pool);
    free(pools->folder);
    free(pools->instance);
    free(pools);
}
