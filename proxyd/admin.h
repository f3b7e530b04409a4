/*
 * The admin address: /healthz, /readyz, /metrics and /stats?app=NAME, on a thread and a loop of
 * their own, so that they answer while the workers are busy.
 *
 * /healthz: the process lives. /readyz: requests can be taken; not whether Lambda answers.
 */
#ifndef PROXYD_ADMIN_H
#define PROXYD_ADMIN_H

#include "proxyd/worker.h"

struct admin;

/* Starts the thread; returns when it listens. `workers` must live as long. On failure one sentence in
 * `problem`. */
enum error admin_start(struct shared *shared, struct worker *const *workers, size_t count,
                       struct admin **admin, struct buffer *problem) MUST_CHECK;
/* Accepts no more connections: others hold its socket too. */
void admin_leave(struct admin *admin);
/* Ends the thread, waits for it, frees. NULL is fine. */
void admin_stop(struct admin *admin);

#endif
