/*
 * Functions on disk: one folder each, JSON written by rename, so that a kill at any moment leaves
 * the old or the new state.
 *
 *   functions/NAME/function.json     $LATEST, aliases, tags, concurrency, next version number
 *   functions/NAME/versions/N.json   one published version, never changed but for its state
 *   functions/NAME/code/SHA256[.zip] unpacked package, and the package
 *   functions/NAME/function.log      what its invocations printed
 *   trash/                           deleted functions until nothing runs of them; emptied at start
 */
#ifndef LAMBDA_LOCAL_FUNCTION_STORE_H
#define LAMBDA_LOCAL_FUNCTION_STORE_H

#include "deploy/lambda-local/function.h"

struct event_base;
struct function_store;

struct function_store_options {
    const char *folder; /* DATA_DIR/lambda-local */
    int64_t ready_delay_ms;
    /* A version is not served any more (updated or deleted): end its idle sandboxes. */
    void (*on_retired)(struct version *version, void *context);
    void *context;
};

/* Reads all functions. ERROR_BUSY: another process uses the folder. One sentence in `problem`; a
 * function that cannot be read is logged and left out. */
enum error function_store_open(struct event_base *base,
                               const struct function_store_options *options,
                               struct function_store **store, struct buffer *problem) MUST_CHECK;
void function_store_close(struct function_store *store);

struct function *function_store_find(const struct function_store *store, struct view name);
/* By name, in byte order; NULL past the end. */
struct function *function_store_at(const struct function_store *store, size_t index);
size_t function_store_count(const struct function_store *store);
/* Bytes of all packages that are stored, for GetAccountSettings. */
int64_t function_store_code_bytes(const struct function_store *store);
/* Sum of all reserved concurrency, without that of `except`. */
int64_t function_store_reserved(const struct function_store *store, const struct function *except);

/* A function that is not yet in the store: has its folder, no versions. One reference. */
enum error function_store_prepare(struct function_store *store, const char *name,
                                  struct function **function) MUST_CHECK;
/* Takes over the reference; `latest` must be set. Saves; on an error nothing is added. */
enum error function_store_add(struct function_store *store, struct function *function) MUST_CHECK;
/* Takes over a prepared function that did not come to be. */
void function_store_discard(struct function_store *store, struct function *function);

/* Writes function.json. */
enum error function_store_save(struct function_store *store,
                               const struct function *function) MUST_CHECK;
/* Makes `version` (reference taken over) the function's $LATEST: InProgress for the delay, then
 * served. */
enum error function_store_update(struct function_store *store, struct function *function,
                                 struct version *version) MUST_CHECK;
/* Publishes what $LATEST is as the next version; NULL description: $LATEST's. */
enum error function_store_publish(struct function_store *store, struct function *function,
                                  const struct view *description,
                                  struct version **published) MUST_CHECK;
enum error function_store_remove_version(struct function_store *store, struct function *function,
                                         int64_t number) MUST_CHECK;
enum error function_store_remove(struct function_store *store,
                                 struct function *function) MUST_CHECK;

#endif
