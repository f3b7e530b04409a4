/*
 * The logbook: which operations there are, of which app and in which state, kept in memory for lists with a
 * filter, of which the records would be too many to read.
 *
 * It is read from state once and follows every commit, so it says what state says. 24 bytes an
 * operation, and the name of each app once. Loop thread only.
 */
#ifndef MANAGERD_LOGBOOK_H
#define MANAGERD_LOGBOOK_H

#include "common/base/id.h"
#include "managerd/state.h"

struct logbook;

/* Reads all; what cannot be read is left out, as lists do. */
enum error logbook_new(struct state *state, struct logbook **logbook) MUST_CHECK;
void logbook_free(struct logbook *logbook);

struct logbook_filter {
    struct view app, state;                          /* empty: any */
    bool (*may_see)(struct view app, void *context); /* NULL: everything */
    void *context;
};
/* The first operation after this id (empty: of all) that the filter takes; false: there is none. */
bool logbook_next(const struct logbook *logbook, struct view after,
                  const struct logbook_filter *filter, char id[ID_SIZE]);
size_t logbook_count(const struct logbook *logbook);

#endif
