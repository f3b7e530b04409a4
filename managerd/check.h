/*
 * Checking a version against the contract (docs/http-contract.md): asks it one request after the
 * other, as proxyd would, and collects which rules its replies break.
 *
 * A check has an end: each request has the version's deadline, all together CHECK_MAX_MS; what comes
 * too late is skipped. on_done comes from the loop, once, unless the check was freed before.
 */
#ifndef MANAGERD_CHECK_H
#define MANAGERD_CHECK_H

#include "common/base/json.h"

struct check;
struct lambda_control;

#define CHECK_MAX_MS       60000
#define CHECK_MAX_REQUESTS 20
#define CHECK_MAX_RUNNING  4 /* checks at the same time */

/* `version` is the version's record (copied), `requests` the wish's list ([{"method", "path",
 * "headers", "body", "bodyBase64"}], good by their shape; copied), or NULL: a set of requests that
 * HTTP apps should answer. `deadline_ms`: the app's own; 0: the version's timeout + 1 s. No
 * further request begins once `stopping` is true. */
struct check *check_start(struct lambda_control *control, const struct json *version,
                          struct view app, const struct json *requests, int64_t deadline_ms,
                          const bool *stopping, void (*on_done)(void *context), void *context);
/* What was found, as the API shows it; the caller frees it. Once, in on_done. */
struct json *check_result(struct check *check);
/* Ends it, also in the middle. NULL is fine. */
void check_free(struct check *check);

#endif
