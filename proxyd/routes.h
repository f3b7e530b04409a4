/*
 * The routes as proxyd reads them: straight from the store, for each request.
 *
 * One `struct routes` per process: it opens the store when there is one (proxyd may start first) and
 * opens the new one when it was replaced. One `struct routes_reader` per thread. Reading takes no
 * lock; taking over a new store does, at a tick of the clock.
 */
#ifndef PROXYD_ROUTES_H
#define PROXYD_ROUTES_H

#include "common/base/arena.h"
#include "common/contract/route.h"
#include "common/store/route_record.h"
#include "proxyd/config.h"

#define ROUTES_TICK_MS          250
#define ROUTES_FINGERPRINT_SIZE 65 /* SHA-256 in hex */

struct routes;
struct routes_reader;

/* `config` must live as long. */
struct routes *routes_new(const struct config *config);
/* All readers must be gone. */
void routes_free(struct routes *routes);
/* Each tick, from one thread: opens, or opens anew. */
void routes_tend(struct routes *routes);

struct routes_reader *routes_reader_new(struct routes *routes);
void routes_reader_free(struct routes_reader *reader);
/* Each tick, from the reader's thread: takes what routes_tend has opened. */
void routes_reader_tend(struct routes_reader *reader);

/* Finds the app and its record; everything lives in the arena. ERROR_NOT_FOUND: nobody's;
 * ERROR_INVALID: unlawful host or path; ERROR_UNREACHABLE: nothing was published yet;
 * ERROR_DAMAGED, ERROR_FROM_FUTURE: a record that cannot be used. */
enum error routes_find(struct routes_reader *reader, const struct route_query *query,
                       struct arena *arena, struct route_found *found,
                       struct route_record *record) MUST_CHECK;
/* The fingerprint of the certificate of the host's domain, else of the longest wildcard domain that has
 * one; false: there is none. */
bool routes_certificate(struct routes_reader *reader, struct view host,
                        char fingerprint[ROUTES_FINGERPRINT_SIZE]);
/* The generation in force; 0 when nothing was published yet. */
uint64_t routes_generation(struct routes_reader *reader);

#endif
