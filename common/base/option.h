/*
 * The option table: one row an option; read from the command line (`--name value`, `--name=value`),
 * else from an environment variable, else the default. --help, --version and --check come with it.
 *
 * Rows name a field of the program's config struct by offset. The variable is PREFIX_NAME in upper
 * case (`--base-domain` of a program with prefix FRONT: FRONT_BASE_DOMAIN) or `variable` when the
 * row names another (ORCHESTRATOR_DATA_DIR). A row may have `fallback_variable`, asked after it
 * (FRONT_BASE_DOMAIN, then ORCHESTRATOR_BASE_DOMAIN). A secret row also exists as `--name-file` /
 * VARIABLE_FILE (the path of a file that holds it; one trailing line end is dropped) and is never
 * printed.
 */
#ifndef COMMON_BASE_OPTION_H
#define COMMON_BASE_OPTION_H

#include "common/base/bytes.h"

enum option_type {
    OPTION_STRING,   /* char *      (malloc'ed; NULL when unset and no default) */
    OPTION_INTEGER,  /* int64_t     within [min, max] */
    OPTION_BYTES,    /* int64_t     digits with optional K, M, G (KiB …), within [min, max] */
    OPTION_DURATION, /* int64_t ms  digits with ms, s, m, h; no unit means milliseconds */
    OPTION_BOOL,     /* bool        true false yes no 1 0 on off */
    OPTION_ADDRESS,  /* char *      HOST:PORT or [IPv6]:PORT; checked for form */
};

struct option_row {
    const char *name; /* "admin-listen" */
    enum option_type type;
    size_t offset; /* offsetof(struct config, field) */
    const char *default_text;
    int64_t min, max; /* for INTEGER, BYTES, DURATION; both 0 means no bounds */
    bool secret;
    const char *variable;          /* NULL: made from prefix and name */
    const char *fallback_variable; /* NULL: none */
    const char *help;              /* one sentence: meaning and unit */
};

struct option_table {
    const char *program; /* "front" */
    const char *prefix;  /* "FRONT" */
    const char *summary; /* one sentence for --help */
    const struct option_row *rows;
    size_t count;
};

enum option_action { OPTION_RUN, OPTION_CHECK, OPTION_EXIT, OPTION_WRONG };

/* Fills `config` (zeroed by the caller). An option given twice takes its last value; an empty
 * variable counts as unset; of a secret, the value goes before its file in the environment. --help
 * and --version print and give OPTION_EXIT; --check gives OPTION_CHECK. Wrong usage or value:
 * OPTION_WRONG and one sentence in `problem` that names the option, where it came from and what is
 * allowed (never a secret's value). */
enum option_action option_read(const struct option_table *table, int argc, char **argv,
                               void *config, struct buffer *problem);
/* Re-reads the …_FILE of secret rows that came from a file; ERROR_* names the first that failed in
 * `problem`. */
enum error option_reread_secrets(const struct option_table *table, int argc, char **argv,
                                 void *config, struct buffer *problem) MUST_CHECK;
/* Frees the strings. */
void option_release(const struct option_table *table, void *config);
/* A Markdown table of all rows, for docs/configuration.md (printed by the hidden --help-markdown).
 */
void option_describe_markdown(const struct option_table *table, struct buffer *out);

#endif
