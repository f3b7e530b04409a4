/*
 * A function as it lies in memory: $LATEST, published versions, aliases, tags, concurrency.
 *
 * References keep things alive for those who run them: a sandbox that still serves the code from
 * before an update holds its version, a version its function and its code. What clients see of a
 * version is its `configuration`, a JSON object with the member names of AWS's
 * FunctionConfiguration; it is also what is stored. This header must not learn how functions run.
 */
#ifndef LAMBDA_LOCAL_FUNCTION_H
#define LAMBDA_LOCAL_FUNCTION_H

#include "common/base/crypto.h"
#include "common/base/json.h"
#include "deploy/lambda-local/function_name.h"

struct event;
struct function;
struct pool;

/* One unpacked package. */
struct code {
    struct code *next; /* of the same function */
    unsigned references;
    char sha256_hex[2 * SHA256_BYTES + 1];
    char *folder;
    char *zip; /* the package as it came */
};

/* Something that can be run: code and configuration. Never changes but for its states and revision.
 */
struct version {
    unsigned references;
    struct function *function;
    struct code *code;
    struct json *configuration;
    int64_t number; /* 0: $LATEST */
    char *runtime, *handler;
    int64_t timeout_s, memory_mb;
    struct pool *pool; /* its sandboxes; NULL until first invoked, and after the last ended */
    struct event *ready_timer; /* set while Pending or InProgress */
};

struct alias {
    char name[QUALIFIER_SIZE];
    int64_t version;    /* 0: $LATEST */
    int64_t additional; /* version that gets `weight` of the calls; 0: none */
    double weight;
    char *description;
    char revision[37];
};

struct function_log;
struct function_store;

struct function {
    unsigned references;
    struct function_store *store;
    char name[FUNCTION_NAME_SIZE];
    char *folder;
    struct version *latest;    /* as clients configured it */
    struct version *serving;   /* what $LATEST runs: the former one while an update is InProgress */
    struct version **versions; /* published, rising numbers */
    size_t version_count;
    struct alias **aliases; /* by name */
    size_t alias_count;
    struct code *codes;
    struct json *tags;                                /* object of strings */
    int64_t reserved_concurrency;                     /* -1: none */
    struct json *provisioned;                         /* by qualifier; provisioned.h */
    int64_t next_version;                             /* numbers are never used twice */
    int64_t published_version;                        /* last publish; 0: never */
    char published_fingerprint[2 * SHA256_BYTES + 1]; /* of $LATEST at that time */
    struct function_log *log;                         /* NULL until first written */
    unsigned in_flight;                               /* invocations waiting or running */
    bool deleted;
};

/* A function without versions; owned by the caller (one reference). Takes `folder` (malloc'ed). */
struct function *function_new(const char *name, char *folder);
struct function *function_hold(struct function *function);
/* At the last reference of a deleted function its folder is removed. NULL is fine. */
void function_release(struct function *function);

/* Takes `configuration`; holds function and code. One reference for the caller. */
struct version *version_new(struct function *function, struct code *code,
                            struct json *configuration, int64_t number);
struct version *version_hold(struct version *version);
void version_release(struct version *version); /* NULL is fine */

struct version *function_version(const struct function *function, int64_t number);
/* Takes over the caller's reference. The number must be above all others. */
void function_add_version(struct function *function, struct version *version);
void function_remove_version(struct function *function, int64_t number);

struct alias *function_alias(const struct function *function, struct view name);
/* Takes over the alias; its name must be new. */
void function_add_alias(struct function *function, struct alias *alias);
void function_remove_alias(struct function *function, struct alias *alias);
void alias_free(struct alias *alias);
/* The first alias that leads to this version, or NULL. */
const struct alias *function_alias_of(const struct function *function, int64_t version);

/* A code entry of this hash, made when there is none; not held. */
struct code *function_code(struct function *function, const char *sha256_hex);
/* Removes code that no version refers to any more. */
void function_sweep_code(struct function *function);

/* SHA-256 (hex) over code and configuration of $LATEST, without what changes by itself. */
void version_fingerprint(const struct version *version, char out[2 * SHA256_BYTES + 1]);
/* "$LATEST" or the number. */
void version_label(int64_t number, char out[24]);
/* "$LATEST" (0) or a number that is written as AWS writes it. */
bool version_label_parse(struct view text, int64_t *number);
/* Gives the version a fresh RevisionId. */
void version_touch(struct version *version);

enum version_state { VERSION_PENDING, VERSION_ACTIVE };
enum version_state version_state(const struct version *version);
bool version_updating(const struct version *version); /* LastUpdateStatus InProgress */

#endif
