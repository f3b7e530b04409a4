/*
 * The roster: which apps there are, with their labels, versions and slots, kept in memory for what would
 * otherwise read all records: lists with a filter, counts, the next free slot.
 *
 * It is read from state once and follows every commit (state_follow), so it says what state says. Some
 * 150 bytes an app. Loop thread only.
 */
#ifndef MANAGERD_ROSTER_H
#define MANAGERD_ROSTER_H

#include "managerd/state.h"

struct roster;

/* Reads all; what cannot be read is left out, as lists do. */
enum error roster_new(struct state *state, struct roster **roster) MUST_CHECK;
void roster_free(struct roster *roster);

/* The first app after this name (empty: of all) that has the label with this value (label empty: any);
 * borrowed until the next commit. NULL: there is none. */
const char *roster_next(const struct roster *roster, struct view after, struct view label,
                        struct view value);
/* The same, of those with more than one version. */
const char *roster_next_of_many(const struct roster *roster, struct view after);
size_t roster_apps(const struct roster *roster);
size_t roster_versions(const struct roster *roster);

/* A slot that no app has and nobody was offered within the last second: those who create apps at once get
 * different ones. The commit compares it once more. */
uint32_t roster_offer_slot(struct roster *roster);

#endif
