/* What each change of a document does, for apply_operation.c alone, which runs one after another. */
#ifndef MANAGERD_APPLY_STEPS_H
#define MANAGERD_APPLY_STEPS_H

#include "managerd/operation.h"
#include "managerd/records.h"

/* The change under way: what it is about, and what it shall make. */
struct apply_task {
    int64_t number;
    int64_t began_ms;
    struct view name;
    struct record change;  /* apply/ID/NUMBER */
    struct record present; /* the app or domain; json NULL: there is none */
};

/* Each of them ends by apply_change_done or by failing the step. */
void apply_app(struct operation *operation, struct apply_task *task);
void apply_deployment(struct operation *operation, struct apply_task *task);
void apply_app_deletion(struct operation *operation, struct apply_task *task);
void apply_domain(struct operation *operation, struct apply_task *task);

/* Commits operation->change with the end of the change, and goes on. */
void apply_change_done(struct operation *operation, const struct apply_task *task,
                       const char *detail);
/* The same, when it ends with the operation that it starts, which is in operation->change. */
void apply_change_started(struct operation *operation, const struct apply_task *task,
                          struct view id);

#endif
