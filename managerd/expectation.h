/*
 * What an app's function and its versions are expected to be (drift.h), by the records of state.
 *
 * Of an app's "internal": "accepted": {"version", and members of a version that AWS has otherwise than that
 * version was deployed, with the app's consent; "environment" sealed}. Of a version's record: "withdrawn"
 * (its Lambda version is lost: no route names one), "publication" (how often a Lambda version of it was
 * begun anew, plus one; absent: 1).
 */
#ifndef MANAGERD_EXPECTATION_H
#define MANAGERD_EXPECTATION_H

#include "managerd/secrets.h"
#include "managerd/state.h"

#define EXPECTATION_MAX_VERSIONS 100 /* of those without need; the newest */

struct expectation_source {
    struct state *state;
    const struct secrets *secrets;
    const char *installation;
    const char *default_role; /* NULL: none */
};

/* ERROR_NONE and the expectation, or the store's error. `app`: its record. */
enum error expectation_read(const struct expectation_source *source, const struct json *app,
                            struct json **expected) MUST_CHECK;

/* The version's record with what was accepted since in it. */
struct json *expectation_of_latest(const struct json *app, const struct json *version);

#endif
