/*
 * What is known of apps beyond state: what AWS has of them, and what the proxies count, looked at when
 * somebody asks and what is known is too old. One look at an app at a time, few at once, and none while
 * operations wait for their turn to call GetFunction; asking never waits for longer than
 * OBSERVER_PATIENCE_MS. Nothing of this is in state but what a sync saw last, which is told until the first
 * look. Loop thread only.
 */
#ifndef MANAGERD_OBSERVER_H
#define MANAGERD_OBSERVER_H

#include "managerd/lambda_control.h"
#include "managerd/secrets.h"
#include "managerd/state.h"

#define OBSERVER_PATIENCE_MS 3000
#define OBSERVER_MAX_APPS    512 /* the least asked for go */
#define OBSERVER_LOOKS       2   /* at once */
#define OBSERVER_VERSIONS    20  /* of an app, whose figures are asked for */

struct event_base;
struct observer;
struct observer_wait;
struct proxies;

struct observer_options {
    struct event_base *base;
    struct state *state;
    const struct secrets *secrets;
    struct lambda_control *control;
    struct proxies *proxies;
    const char *installation;
    const char *default_role; /* NULL: none */
    int64_t max_age_ms;       /* what is younger is not looked at again */
};

struct observer *observer_new(const struct observer_options *options);
/* Ends what is under way; nobody hears of anything any more. Before the control and the proxies are
 * freed. */
void observer_stop(struct observer *observer);
/* After the waits. NULL is fine. */
void observer_free(struct observer *observer);

/* Begins a look at the app (its record, of this revision) unless what is known is young enough. NULL:
 * nothing is to be waited for; else on_done comes from the loop, once, when the look has ended or took too
 * long. */
struct observer_wait *observer_ask(struct observer *observer, const struct json *app,
                                   uint64_t revision, void (*on_done)(void *context),
                                   void *context);
/* Before on_done, when nobody waits any more. */
void observer_leave(struct observer_wait *wait);
/* What is known of the app is over. Both may be NULL, or unknown. */
void observer_forget(struct observer *observer, struct view app);

struct observer_view {
    int64_t checked_ms;          /* wall; 0: never */
    bool looking;                /* a look is under way, or in line */
    const struct json *observed; /* drift.h; NULL: nothing is known */
    const struct json *findings;
    /* [{"version", "figures" (measure.h), "recentCalls", "recentErrors"}], as the proxies counted; NULL:
     * nobody was asked. */
    const struct json *seen;
    int64_t seen_ms;            /* wall; 0: never */
    int64_t failed_ms;          /* wall; of the last look, when that failed; else 0 */
    const char *code, *message; /* then */
};
/* Borrowed until the loop turns. */
void observer_show(struct observer *observer, struct view app, struct observer_view *view);

#endif
