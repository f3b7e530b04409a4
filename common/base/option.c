/* Reads options from the command line, the environment and the defaults, and explains them. */
#include "common/base/option.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/crypto.h"
#include "common/base/file.h"

#define SECRET_MAX_BYTES 65536
#define NAME_MAX_BYTES   128

/* Where the text of one option came from, for sentences to the user. */
struct source {
    char name[NAME_MAX_BYTES]; /* "--listen", "PROXYD_LISTEN"; empty: the default */
    const char *text;          /* NULL: unset; for a file the path */
    bool is_file;
};

static void *field_of(const struct option_row *row, void *config)
{
    return (char *)config + row->offset;
}

static bool is_text(enum option_type type)
{
    return type == OPTION_STRING || type == OPTION_ADDRESS;
}

/* FRONT_BASE_DOMAIN from "FRONT" and "base-domain", unless the row names another. */
static void variable_of(const struct option_table *table, const struct option_row *row,
                        char out[NAME_MAX_BYTES])
{
    if (row->variable)
        snprintf(out, NAME_MAX_BYTES, "%s", row->variable);
    else
        snprintf(out, NAME_MAX_BYTES, "%s_%s", table->prefix, row->name);
    for (char *at = out; *at; at++) {
        if (*at == '-')
            *at = '_';
        else if (*at >= 'a' && *at <= 'z')
            *at = (char)(*at - 'a' + 'A');
    }
}

/* The command line. */

/* One argument: the row it names (NULL: none) and its value (NULL: it is in the next argument). */
struct argument {
    const struct option_row *row;
    const char *value;
    bool is_file; /* --name-file */
};

static struct argument match_argument(const struct option_table *table, const char *text)
{
    struct argument found = {0};
    const char *equals = strchr(text, '=');
    struct view name = view_of(text);

    if (!view_starts_with(name, VIEW("--")))
        return found;
    if (equals) {
        name.length = (size_t)(equals - text);
        found.value = equals + 1;
    }
    name = view_slice(name, 2, SIZE_MAX);
    for (size_t i = 0; i < table->count && !found.row; i++) {
        const struct option_row *row = &table->rows[i];
        struct view row_name = view_of(row->name);

        found.is_file = row->secret && name.length == row_name.length + 5 &&
                        view_starts_with(name, row_name) && view_ends_with(name, VIEW("-file"));
        if (view_equal(name, row_name) || found.is_file)
            found.row = row;
    }
    return found;
}

/* Looks at each argument's form. OPTION_RUN, or what --help and the like ask for. */
static enum option_action check_arguments(const struct option_table *table, int argc, char **argv,
                                          struct buffer *problem, const char **asked)
{
    enum option_action action = OPTION_RUN;

    for (int i = 1; i < argc; i++) {
        struct argument argument = match_argument(table, argv[i]);

        if (argument.row && argument.value)
            continue;
        if (argument.row && i + 1 < argc) {
            i++;
        } else if (argument.row) {
            buffer_append_format(problem, "option %s needs a value", argv[i]);
            return OPTION_WRONG;
        } else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "--version") == 0 ||
                   strcmp(argv[i], "--help-markdown") == 0) {
            *asked = argv[i];
            return OPTION_EXIT;
        } else if (strcmp(argv[i], "--check") == 0) {
            action = OPTION_CHECK;
        } else {
            buffer_append_format(problem, "%s %.200s; see %s --help",
                                 argv[i][0] == '-' ? "unknown option" : "stray argument", argv[i],
                                 table->program);
            return OPTION_WRONG;
        }
    }
    return action;
}

/* The last value that the command line gives the row, or its file. */
static void find_argument(const struct option_table *table, int argc, char **argv,
                          const struct option_row *row, struct source *source)
{
    for (int i = 1; i < argc; i++) {
        struct argument argument = match_argument(table, argv[i]);
        const char *value = argument.value;

        if (!argument.row)
            continue;
        if (!value && i + 1 < argc)
            value = argv[++i];
        if (argument.row != row || !value)
            continue;
        source->text = value;
        source->is_file = argument.is_file;
        snprintf(source->name, sizeof(source->name), "--%s%s", row->name,
                 argument.is_file ? "-file" : "");
    }
}

/* The environment. An empty variable counts as unset. */

static bool find_variable(const char *name, const char *suffix, bool is_file, struct source *source)
{
    char full[NAME_MAX_BYTES + 8];
    const char *text;

    snprintf(full, sizeof(full), "%s%s", name, suffix);
    text = getenv(full);
    if (!text || !*text)
        return false;
    source->text = text;
    source->is_file = is_file;
    snprintf(source->name, sizeof(source->name), "%.*s", (int)sizeof(source->name) - 1, full);
    return true;
}

/* Command line, else the row's variable, else its fallback variable, else its default. */
static struct source find_source(const struct option_table *table, int argc, char **argv,
                                 const struct option_row *row)
{
    struct source source = {.text = NULL};
    char variable[NAME_MAX_BYTES];

    find_argument(table, argc, argv, row, &source);
    if (source.text)
        return source;
    variable_of(table, row, variable);
    if (find_variable(variable, "", false, &source) ||
        (row->secret && find_variable(variable, "_FILE", true, &source)))
        return source;
    if (row->fallback_variable &&
        (find_variable(row->fallback_variable, "", false, &source) ||
         (row->secret && find_variable(row->fallback_variable, "_FILE", true, &source))))
        return source;
    source.text = row->default_text;
    return source;
}

/* Values. */

struct unit {
    const char *name;
    int64_t factor;
};

static const struct unit byte_units[] = {
    {"", 1},       {"K", 1024},      {"M", 1048576},      {"G", 1073741824},
    {"KiB", 1024}, {"MiB", 1048576}, {"GiB", 1073741824}, {NULL, 0}};
static const struct unit duration_units[] = {{"", 1},      {"ms", 1},      {"s", 1000},
                                             {"m", 60000}, {"h", 3600000}, {NULL, 0}};
static const struct unit no_units[] = {{"", 1}, {NULL, 0}};

/* Digits and a unit; a sign where there are no units. */
static bool parse_number(struct view text, const struct unit *units, int64_t *value)
{
    bool negative = units == no_units && view_starts_with(text, VIEW("-"));
    struct view digits;
    uint64_t number;

    if (negative)
        text = view_slice(text, 1, SIZE_MAX);
    digits = (struct view){text.data, 0};
    while (digits.length < text.length && text.data[digits.length] >= '0' &&
           text.data[digits.length] <= '9')
        digits.length++;
    text = view_slice(text, digits.length, SIZE_MAX);
    while (units->name && !view_equal_string(text, units->name))
        units++;
    if (!units->name ||
        view_to_u64(digits, (uint64_t)(INT64_MAX / units->factor), &number) != ERROR_NONE)
        return false;
    *value = (int64_t)number * units->factor * (negative ? -1 : 1);
    return true;
}

static bool parse_bool(struct view text, bool *value)
{
    static const char *const yes[] = {"true", "yes", "1", "on"};
    static const char *const no[] = {"false", "no", "0", "off"};

    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
        *value = view_equal_nocase(text, view_of(yes[i]));
        if (*value || view_equal_nocase(text, view_of(no[i])))
            return true;
    }
    return false;
}

static bool only_of(struct view text, const char *bytes)
{
    for (size_t i = 0; i < text.length; i++) {
        if (!text.data[i] || !strchr(bytes, text.data[i]))
            return false;
    }
    return text.length > 0;
}

/* HOST:PORT or [IPv6]:PORT by form; whether the host exists is for the one who binds it. */
static bool address_good(struct view text)
{
    const char *colon = text.length ? memrchr(text.data, ':', text.length) : NULL;
    struct view host, port;
    uint64_t number;

    if (!colon)
        return false;
    host = view_slice(text, 0, (size_t)(colon - text.data));
    port = view_slice(text, host.length + 1, SIZE_MAX);
    if (view_to_u64(port, 65535, &number) != ERROR_NONE || host.length > 255)
        return false;
    if (view_starts_with(host, VIEW("[")) && view_ends_with(host, VIEW("]")) && host.length > 2) {
        host = view_slice(host, 1, host.length - 2);
        return view_find(host, ':') != SIZE_MAX && only_of(host, "0123456789abcdefABCDEF:.");
    }
    return only_of(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._");
}

static const char *unit_text(enum option_type type, int64_t value, int64_t *scaled)
{
    const struct unit *units = type == OPTION_BYTES      ? byte_units
                               : type == OPTION_DURATION ? duration_units
                                                         : no_units;
    const struct unit *best = units;

    for (; units->name; units++) {
        if (value && value % units->factor == 0 && units->factor > best->factor)
            best = units;
    }
    *scaled = value / best->factor;
    return type == OPTION_DURATION && best->factor == 1 ? "ms" : best->name;
}

/* "1 to 64", "a number of bytes (K, M, G) from 1K to 2G": what the option takes. */
static void describe_allowed(const struct option_row *row, struct buffer *out)
{
    static const char *const allowed[] = {
        [OPTION_STRING] = "a text",
        [OPTION_INTEGER] = "a whole number",
        [OPTION_BYTES] = "a number of bytes (units K, M, G)",
        [OPTION_DURATION] = "a duration (units ms, s, m, h; ms when there is none)",
        [OPTION_BOOL] = "true or false",
        [OPTION_ADDRESS] = "HOST:PORT or [IPv6]:PORT"};
    int64_t least, most;
    const char *least_unit, *most_unit;

    buffer_append_string(out, allowed[row->type]);
    if (row->min == 0 && row->max == 0)
        return;
    least_unit = unit_text(row->type, row->min, &least);
    most_unit = unit_text(row->type, row->max, &most);
    buffer_append_format(out, " from %lld%s to %lld%s", (long long)least, least_unit,
                         (long long)most, most_unit);
}

static bool parse_ranged(const struct option_row *row, struct view text, int64_t *value)
{
    const struct unit *units = row->type == OPTION_BYTES      ? byte_units
                               : row->type == OPTION_DURATION ? duration_units
                                                              : no_units;
    int64_t number;

    if (!parse_number(text, units, &number))
        return false;
    if ((row->min || row->max) && (number < row->min || number > row->max))
        return false;
    *value = number;
    return true;
}

/* Puts a text into its field; a string field's old value is wiped and freed. */
static bool set_field(const struct option_row *row, struct view text, void *config)
{
    void *field = field_of(row, config);
    char **string = field;

    switch (row->type) {
    case OPTION_INTEGER:
    case OPTION_BYTES:
    case OPTION_DURATION:
        return parse_ranged(row, text, field);
    case OPTION_BOOL:
        return parse_bool(text, field);
    case OPTION_ADDRESS:
        if (!address_good(text))
            return false;
        break;
    case OPTION_STRING:
        break;
    }
    if (*string)
        wipe(*string, strlen(*string));
    free(*string);
    *string = view_duplicate(text);
    return true;
}

/* Reads a secret's file; one trailing line end is dropped. */
static enum error read_secret(const struct source *source, struct buffer *out,
                              struct buffer *problem)
{
    enum error error = file_read(source->text, out);

    if (error != ERROR_NONE) {
        buffer_append_format(problem, "%s: the file %.500s cannot be read: it %s", source->name,
                             source->text,
                             error == ERROR_IO ? "is no readable file" : error_text(error));
        return error;
    }
    if (view_find(buffer_view(out), '\0') != SIZE_MAX) {
        buffer_append_format(problem, "%s: the file %.500s holds a NUL byte", source->name,
                             source->text);
        return ERROR_INVALID;
    }
    return ERROR_NONE;
}

static struct view without_line_end(struct view text)
{
    if (view_ends_with(text, VIEW("\n")))
        text.length--;
    if (view_ends_with(text, VIEW("\r")))
        text.length--;
    return text;
}

static enum error set_from_source(const struct option_row *row, const struct source *source,
                                  void *config, struct buffer *problem)
{
    struct view text = view_of(source->text);
    struct buffer secret;
    enum error error = ERROR_NONE;

    buffer_init(&secret, SECRET_MAX_BYTES);
    if (source->is_file) {
        error = read_secret(source, &secret, problem);
        if (error != ERROR_NONE)
            goto out;
        text = without_line_end(buffer_view(&secret));
    }
    if (!set_field(row, text, config)) {
        error = ERROR_INVALID;
        buffer_append_string(problem, source->name[0] ? source->name : row->name);
        buffer_append_string(problem, source->name[0] ? ": " : " (default): ");
        if (!row->secret)
            buffer_append_format(problem, "\"%.200s\" is not right: ", source->text);
        buffer_append_string(problem, "it must be ");
        describe_allowed(row, problem);
    }
out:
    if (secret.data)
        wipe(secret.data, secret.length);
    buffer_release(&secret);
    return error;
}

/* Help. */

static void describe_sources(const struct option_table *table, const struct option_row *row,
                             const char *separator, struct buffer *out)
{
    char variable[NAME_MAX_BYTES];

    variable_of(table, row, variable);
    buffer_append_string(out, variable);
    if (row->secret)
        buffer_append_format(out, "%s%s_FILE", separator, variable);
    if (row->fallback_variable)
        buffer_append_format(out, "%s%s", separator, row->fallback_variable);
    if (row->fallback_variable && row->secret)
        buffer_append_format(out, "%s%s_FILE", separator, row->fallback_variable);
}

static void print_help(const struct option_table *table)
{
    struct buffer out;

    buffer_init(&out, 1048576);
    buffer_append_format(&out, "%s: %s\n\nusage: %s [--OPTION VALUE | --OPTION=VALUE]...\n\n",
                         table->program, table->summary, table->program);
    for (size_t i = 0; i < table->count; i++) {
        const struct option_row *row = &table->rows[i];

        buffer_append_format(&out, "  --%s", row->name);
        if (row->secret)
            buffer_append_format(&out, ", --%s-file", row->name);
        buffer_append_format(&out, "\n      %s\n      takes ", row->help);
        describe_allowed(row, &out);
        buffer_append_string(&out, "\n      variable ");
        describe_sources(table, row, ", ", &out);
        buffer_append_format(&out, "; default %s\n",
                             row->default_text ? row->default_text : "none");
    }
    buffer_append_string(&out, "  --check\n      validates the options and exits\n"
                               "  --version\n      prints the version and exits\n"
                               "  --help\n      prints this and exits\n\n"
                               "The command line goes before the variables, and those before the "
                               "default; an empty\nvariable counts as unset.\n");
    REQUIRE(out.error == ERROR_NONE);
    fputs(out.data, stdout);
    buffer_release(&out);
}

static void append_markdown(struct buffer *out, const char *text)
{
    for (; text && *text; text++) {
        if (*text == '|')
            buffer_append_byte(out, '\\');
        buffer_append_byte(out, *text);
    }
}

void option_describe_markdown(const struct option_table *table, struct buffer *out)
{
    buffer_append_string(out,
                         "| option | variable | default | meaning |\n| --- | --- | --- | --- |\n");
    for (size_t i = 0; i < table->count; i++) {
        const struct option_row *row = &table->rows[i];

        buffer_append_format(out, "| `--%s`", row->name);
        if (row->secret)
            buffer_append_format(out, ", `--%s-file`", row->name);
        buffer_append_string(out, " | `");
        describe_sources(table, row, "`, `", out);
        buffer_append_string(out, row->default_text && *row->default_text ? "` | `" : "` | ");
        append_markdown(out, row->default_text && *row->default_text ? row->default_text : "none");
        buffer_append_string(out, row->default_text && *row->default_text ? "` | " : " | ");
        append_markdown(out, row->help);
        buffer_append_string(out, " Takes ");
        describe_allowed(row, out);
        buffer_append_string(out, ". |\n");
    }
}

static void print_asked(const struct option_table *table, const char *asked)
{
    struct buffer out;

    if (strcmp(asked, "--version") == 0) {
        printf("%s %s\n", table->program, RELEASE_VERSION);
    } else if (strcmp(asked, "--help") == 0) {
        print_help(table);
    } else {
        buffer_init(&out, 1048576);
        option_describe_markdown(table, &out);
        REQUIRE(out.error == ERROR_NONE);
        fputs(out.data ? out.data : "", stdout);
        buffer_release(&out);
    }
    fflush(stdout);
}

enum option_action option_read(const struct option_table *table, int argc, char **argv,
                               void *config, struct buffer *problem)
{
    const char *asked = NULL;
    enum option_action action = check_arguments(table, argc, argv, problem, &asked);

    if (action == OPTION_EXIT)
        print_asked(table, asked);
    if (action == OPTION_EXIT || action == OPTION_WRONG)
        return action;
    for (size_t i = 0; i < table->count; i++) {
        const struct option_row *row = &table->rows[i];
        struct source source = find_source(table, argc, argv, row);

        REQUIRE(!row->secret || is_text(row->type));
        if (source.text && set_from_source(row, &source, config, problem) != ERROR_NONE)
            return OPTION_WRONG;
    }
    return action;
}

enum error option_reread_secrets(const struct option_table *table, int argc, char **argv,
                                 void *config, struct buffer *problem)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct option_row *row = &table->rows[i];
        struct source source = find_source(table, argc, argv, row);
        enum error error;

        if (!row->secret || !source.is_file)
            continue;
        error = set_from_source(row, &source, config, problem);
        if (error != ERROR_NONE)
            return error;
    }
    return ERROR_NONE;
}

void option_release(const struct option_table *table, void *config)
{
    for (size_t i = 0; i < table->count; i++) {
        char **string = field_of(&table->rows[i], config);

        if (!is_text(table->rows[i].type))
            continue;
        if (*string && table->rows[i].secret)
            wipe(*string, strlen(*string));
        free(*string);
        *string = NULL;
    }
}
