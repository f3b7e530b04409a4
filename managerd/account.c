/* Remembers for a while which AWS account this is, and what its limits are. */
#include "managerd/account.h"

#include "common/base/clock.h"
#include "managerd/records.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>

#define PROBLEM_SIZE 500

/* One of the two things that are asked for. */
struct part {
    struct json *known;         /* NULL: nothing yet */
    int64_t checked_ms;         /* wall */
    char problem[PROBLEM_SIZE]; /* of the last look; empty: it went well */
};

struct account_wait {
    struct account *account; /* NULL: it is over */
    struct event *timer;
    void (*on_done)(void *context);
    void *context;
    LIST_ENTRY(account_wait) all;
};

struct account {
    struct event_base *base;
    struct lambda_control *control;
    struct caller *caller;
    struct part identity, settings;
    struct caller_call *asking;
    struct lambda_call *reading;
    uint64_t looked_us; /* monotonic; 0: never */
    bool stopped;
    LIST_HEAD(, account_wait) waits;
};

struct account *account_new(struct event_base *base, struct lambda_control *control,
                            struct caller *caller)
{
    struct account *account = calloc(1, sizeof *account);
    REQUIRE(account);
    account->base = base;
    account->control = control;
    account->caller = caller;
    LIST_INIT(&account->waits);
    return account;
}

void account_stop(struct account *account)
{
    account->stopped = true;
    caller_cancel(account->asking);
    lambda_cancel(account->reading);
    account->asking = NULL;
    account->reading = NULL;
    while (!LIST_EMPTY(&account->waits)) {
        struct account_wait *wait = LIST_FIRST(&account->waits);
        LIST_REMOVE(wait, all);
        event_del(wait->timer);
        wait->account = NULL;
    }
}

void account_free(struct account *account)
{
    if (!account)
        return;
    account_stop(account);
    json_free(account->identity.known);
    json_free(account->settings.known);
    free(account);
}

/* ---- waiting ---- */

void account_leave(struct account_wait *wait)
{
    if (wait->account)
        LIST_REMOVE(wait, all);
    event_free(wait->timer);
    free(wait);
}

static void on_wait_over(evutil_socket_t fd, short what, void *context)
{
    struct account_wait *wait = context;
    void (*on_done)(void *) = wait->on_done;
    void *of = wait->context;
    (void)fd, (void)what;
    account_leave(wait);
    on_done(of);
}

static struct account_wait *begin_waiting(struct account *account, void (*on_done)(void *context),
                                          void *context)
{
    struct timeval patience = {ACCOUNT_PATIENCE_MS / 1000, ACCOUNT_PATIENCE_MS % 1000 * 1000};
    struct account_wait *wait = calloc(1, sizeof *wait);
    REQUIRE(wait);
    wait->account = account;
    wait->on_done = on_done;
    wait->context = context;
    wait->timer = evtimer_new(account->base, on_wait_over, wait);
    REQUIRE(wait->timer && evtimer_add(wait->timer, &patience) == 0);
    LIST_INSERT_HEAD(&account->waits, wait, all);
    return wait;
}

/* ---- looking ---- */

static void end_part(struct account *account)
{
    struct account_wait *wait;
    if (account->asking || account->reading)
        return;
    account->looked_us = clock_monotonic_us();
    LIST_FOREACH(wait, &account->waits, all)
    event_active(wait->timer, 0, 0);
}

static void take(struct part *part, struct json *known, const struct lambda_answer *answer)
{
    part->problem[0] = 0;
    if (!known) {
        snprintf(part->problem, sizeof part->problem, "%.*s: %.*s",
                 VIEW_FORMAT(view_slice(answer->code, 0, 100)),
                 VIEW_FORMAT(view_slice(answer->message, 0, 380)));
        return;
    }
    json_free(part->known);
    part->known = known;
    part->checked_ms = clock_wall_ms();
}

static void on_identity(const struct lambda_answer *answer, const struct caller_identity *identity,
                        void *context)
{
    struct account *account = context;
    struct json *known = NULL;
    account->asking = NULL;
    if (identity) {
        known = json_new_object();
        json_set_string(known, "account", identity->account);
        json_set_string(known, "arn", identity->arn);
        json_set_string(known, "userId", identity->user);
    }
    take(&account->identity, known, answer);
    end_part(account);
}

static void on_settings(const struct lambda_answer *answer, void *context)
{
    struct account *account = context;
    bool good = answer->outcome == LAMBDA_OK && json_type_of(answer->json) == JSON_OBJECT;
    account->reading = NULL;
    take(&account->settings, good ? json_copy(answer->json) : NULL, answer);
    end_part(account);
}

static bool is_due(const struct account *account)
{
    bool failed = account->settings.problem[0] || account->identity.problem[0];
    uint64_t age_us = clock_monotonic_us() - account->looked_us;
    return !account->looked_us ||
           age_us > (failed ? ACCOUNT_AGAIN_MS : ACCOUNT_MAX_AGE_MS) * 1000ull;
}

struct account_wait *account_ask(struct account *account, void (*on_done)(void *context),
                                 void *context)
{
    struct lambda_request request = {
        .operation = LAMBDA_GET_ACCOUNT_SETTINGS, .function = VIEW(""), .deadline_ms = 10000};
    if (account->stopped)
        return NULL;
    if (!account->asking && !account->reading && is_due(account)) {
        account->reading = lambda_send(account->control, &request, on_settings, account);
        if (caller_known(account->caller))
            account->asking = caller_ask(account->caller, on_identity, account);
    }
    bool under_way = account->asking || account->reading;
    return under_way && !account->looked_us ? begin_waiting(account, on_done, context) : NULL;
}

/* ---- telling ---- */

static void show(struct json *to, const char *name, const struct json *from, const char *member)
{
    const struct json *value = json_get(from, member);
    json_set(to, name, value ? json_copy(value) : json_new_null());
}

static void show_part(const struct part *part, struct json *to, const char *problem)
{
    if (part->problem[0])
        json_set_string(to, problem, view_of(part->problem));
    else
        json_set_null(to, problem);
    if (part->checked_ms)
        set_time(to, "checkedAt", part->checked_ms);
    else
        json_set_null(to, "checkedAt");
}

void account_show(const struct account *account, struct json *identity, struct json *limits)
{
    const struct json *limit = json_get(account->settings.known, "AccountLimit");
    const struct json *usage = json_get(account->settings.known, "AccountUsage");
    show(identity, "account", account->identity.known, "account");
    show(identity, "arn", account->identity.known, "arn");
    show(identity, "userId", account->identity.known, "userId");
    show_part(&account->identity, identity, "identityProblem");
    show(limits, "concurrentExecutions", limit, "ConcurrentExecutions");
    show(limits, "unreservedConcurrentExecutions", limit, "UnreservedConcurrentExecutions");
    show(limits, "codeStorageBytes", limit, "TotalCodeSize");
    show(limits, "codeStorageUsedBytes", usage, "TotalCodeSize");
    show(limits, "packageBytes", limit, "CodeSizeZipped");
    show(limits, "unpackedBytes", limit, "CodeSizeUnzipped");
    show(limits, "functions", usage, "FunctionCount");
    show_part(&account->settings, limits, "problem");
}
