/* What the steps of deployments share with other code that looks at Lambda functions. */
#ifndef MANAGERD_DEPLOY_H
#define MANAGERD_DEPLOY_H

#include "managerd/operation.h"

#define TAG_INSTALLATION "app-orchestrator:installation"
#define TAG_APP          "app-orchestrator:app"

/* Whether GetFunction's answer carries the tags, or the stamp, of this installation and app. */
bool function_is_ours(const struct json *answer, const char *installation, const char *app);

/* The description that a function has while it is as a version (its record) wants it (decision 25). */
char *function_stamp(struct arena *arena, const char *installation, struct view app,
                     const struct json *version);
/* A member list for CreateFunction and UpdateFunctionConfiguration: `,"Role":…,"Runtime":…` (with a
 * leading comma, without braces). */
void function_configuration(struct json_writer *w, const struct json *version, const char *stamp,
                            const char *default_role, const struct json *variables);
/* The steps that make the function be as the version wants it. */
void step_code(struct operation *operation);
void step_configuration(struct operation *operation);
void step_ready(struct operation *operation);
void step_probe(struct operation *operation);
/* Publishes the function as a Lambda version; its number and CodeSha256 go into the operation's work, as
 * "lambdaVersion" and "codeSha256". */
void step_publish_version(struct operation *operation);
void step_publish_routes(struct operation *operation);
/* Which version the step under way works for: the step says it, or else the operation's work. */
int64_t deploy_version_of(struct operation *operation);
/* How long requests that were let in before the app's traffic changed last may still run; <= 0: they are
 * over. `drain_ms` as the option says it. */
int64_t removal_wait_ms(struct state *state, int64_t drain_ms, struct view name,
                        const struct json *app);
/* Holds the commit of this step to the version's being ready; false: it is not, the step has failed. */
bool deploy_hold_version(struct operation *operation);

#endif
