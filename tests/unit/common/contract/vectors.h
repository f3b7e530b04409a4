/* What the tests of the contract shelf share: cmocka, and walks over tests/vectors (tests/vectors/README.md). */
#ifndef TESTS_UNIT_COMMON_CONTRACT_VECTORS_H
#define TESTS_UNIT_COMMON_CONTRACT_VECTORS_H

#include "tests/unit/common/base/check.h"

#include "common/base/arena.h"
#include "common/base/json.h"

/* Calls `check` for each folder or file below tests/vectors/`area`, in order of names, with the name
 * and its path; gives how many there were. */
unsigned vectors_each(const char *area, void (*check)(const char *name, const char *path));
/* The bytes of `path`/`name` (or of `path` when name is NULL), in the arena; fails when it cannot be
 * read. */
struct view vectors_read(struct arena *arena, const char *path, const char *name);
/* The same, as JSON; the caller frees it. */
struct json *vectors_read_json(struct arena *arena, const char *path, const char *name);
/* A member that is a string, or {"base64": "..."} for bytes that JSON cannot hold; else `absent`. */
struct view vectors_bytes(struct arena *arena, const struct json *value, const char *absent);

#endif
