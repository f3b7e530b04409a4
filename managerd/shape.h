/*
 * Shapes: tables that say what a JSON object may hold. One table checks requests, fills in
 * defaults, applies merge patches and writes the schema in the OpenAPI document, so they cannot
 * disagree. Pure.
 *
 * Checking reports every fault at once, each with a JSON pointer (RFC 6901).
 */
#ifndef MANAGERD_SHAPE_H
#define MANAGERD_SHAPE_H

#include "common/base/arena.h"
#include "common/base/bytes.h"
#include "common/base/json.h"

enum shape_kind {
    SHAPE_STRING,
    SHAPE_INTEGER,
    SHAPE_NUMBER,
    SHAPE_BOOL,
    SHAPE_OBJECT, /* `of` is its shape; NULL: any members */
    SHAPE_LIST,   /* of objects (`of`), or of strings */
    SHAPE_MAP,    /* name -> string */
    SHAPE_ANY,    /* checked by `check_value` alone */
};

enum shape_flag {
    SHAPE_REQUIRED = 1,
    SHAPE_READ_ONLY = 2, /* accepted in requests, whatever it holds, and dropped */
    SHAPE_NULLABLE = 4,
    SHAPE_SECRET = 8,      /* writeOnly */
    SHAPE_SHOWN_ONCE = 16, /* a secret in the first answer; null when that is given again */
    SHAPE_SOMETIMES = 32,  /* not in every answer; all other members but secrets are */
};

/* Which way an object goes: its schema depends on it. */
enum shape_side {
    SHAPE_TAKEN,   /* whole, in a request: has defaults; read-only members may be there */
    SHAPE_PATCHED, /* as a merge patch: nothing is required, null takes back */
    SHAPE_GIVEN,   /* in an answer: without secrets */
};

struct shape;

struct shape_field {
    const char *name;
    enum shape_kind kind;
    unsigned flags;
    int64_t min, max;                /* numbers: range; strings: bytes; lists and maps: members */
    int64_t max_each;                /* maps: bytes of a value; 0: any */
    int64_t max_bytes;               /* maps: names and values together; lists of strings; 0: any */
    const char *choices;             /* "x86_64|arm64", or NULL */
    bool (*check)(struct view text); /* strings, those in lists, and the names of maps */
    const char *wants;               /* what `check` wants, as "must …" */
    const char *pattern;             /* what `check` wants, or most of it, for OpenAPI, or NULL */
    const char *format;              /* "date-time", for OpenAPI, or NULL */
    const struct shape *of;
    const char *default_json; /* NULL: no default */
    const char *schema_json;  /* for SHAPE_ANY: its schema, or several with commas between */
    const char *(*check_value)(const struct json *value); /* SHAPE_ANY: NULL or the fault */
    const char *description;
};

struct shape {
    const char *name; /* "App" */
    const char *description;
    const struct shape_field *fields;
    size_t count;
    const char *example; /* JSON text, or NULL */
};

/* What is wrong with a request. `pointer` or `parameter` is set. */
struct fault {
    const char *pointer;
    const char *parameter;
    const char *detail;
};
#define FAULTS_MAX 100
struct faults {
    struct arena *arena;
    struct fault list[FAULTS_MAX];
    size_t count; /* what is beyond the maximum is not kept */
};
void faults_init(struct faults *faults, struct arena *arena);
void fault_pointer(struct faults *faults, const char *pointer, const char *format, ...)
    PRINTF_LIKE(3, 4);
void fault_parameter(struct faults *faults, const char *parameter, const char *format, ...)
    PRINTF_LIKE(3, 4);

const struct shape_field *shape_field(const struct shape *shape, struct view name);

/* Checks a whole object; `pointer` is its place ("" at the top). */
void shape_check(const struct shape *shape, const struct json *object, const char *pointer,
                 struct faults *faults);
/* Removes read-only members, at every depth. */
void shape_drop_read_only(const struct shape *shape, struct json *object);
/* Adds the default of each absent member that has one, at every depth. */
void shape_fill(const struct shape *shape, struct json *object);
/* RFC 7396 with defaults: null sets a nullable member to null, any other to its default; a map's
 * member is removed. */
void shape_merge(const struct shape *shape, struct json *target, const struct json *patch);
/* One member from text (a query parameter): the JSON value, or NULL and a fault. */
struct json *shape_parse(const struct shape_field *field, struct view text, struct faults *faults);
/* The JSON schema (2020-12) of the whole, or of one member, as an object. */
void shape_write_schema(const struct shape *shape, struct json_writer *w, const char *name,
                        enum shape_side side);
void shape_write_field(const struct shape_field *field, struct json_writer *w, const char *name,
                       enum shape_side side);

#endif
