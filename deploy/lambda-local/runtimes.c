/* Puts together what runs a function: the program, its arguments, its environment. */
#include "deploy/lambda-local/runtimes.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const char runtime_names[] = "nodejs18.x, nodejs20.x, nodejs22.x, nodejs24.x, python3.10, "
                             "python3.11, python3.12, python3.13, python3.14, provided.al2, "
                             "provided.al2023";

enum runtime_kind { RUNTIME_NODE, RUNTIME_PYTHON, RUNTIME_PROVIDED, RUNTIME_UNKNOWN };

static bool version_suffix(struct view text)
{
    for (size_t i = 0; i < text.length; i++) {
        char c = text.data[i];

        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '.'))
            return false;
    }
    return true;
}

static enum runtime_kind kind_of(struct view name)
{
    if (name.length > 32 || !version_suffix(name))
        return RUNTIME_UNKNOWN;
    if (view_starts_with(name, VIEW("nodejs")))
        return RUNTIME_NODE;
    if (view_starts_with(name, VIEW("python3")))
        return RUNTIME_PYTHON;
    if (view_equal_string(name, "provided") || view_starts_with(name, VIEW("provided.")))
        return RUNTIME_PROVIDED;
    return RUNTIME_UNKNOWN;
}

bool runtime_known(struct view name)
{
    return kind_of(name) != RUNTIME_UNKNOWN;
}

bool runtime_variable_reserved(struct view name)
{
    static const char *const reserved[] = {
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_ACCESS_KEY",
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "AWS_LAMBDA_FUNCTION_VERSION",
        "AWS_LAMBDA_INITIALIZATION_TYPE",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_LAMBDA_RUNTIME_API",
        "AWS_XRAY_CONTEXT_MISSING",
        "AWS_XRAY_DAEMON_ADDRESS",
        "LAMBDA_RUNTIME_DIR",
        "LAMBDA_TASK_ROOT",
        RUNTIME_MARK_VARIABLE,
    };

    if (name.length > 0 && name.data[0] == '_')
        return true;
    for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++) {
        if (view_equal_string(name, reserved[i]))
            return true;
    }
    return false;
}

/* -- lists of strings -- */

struct list {
    char **items;
    size_t count;
};

static void add(struct list *list, char *item)
{
    list->items = realloc(list->items, (list->count + 2) * sizeof *list->items);
    REQUIRE(list->items && item);
    list->items[list->count++] = item;
    list->items[list->count] = NULL;
}

static void add_format(struct list *list, const char *format, ...) PRINTF_LIKE(2, 3);

static void add_format(struct list *list, const char *format, ...)
{
    va_list arguments;
    char *item = NULL;

    va_start(arguments, format);
    REQUIRE(vasprintf(&item, format, arguments) >= 0);
    va_end(arguments);
    add(list, item);
}

/* -- the command -- */

static void add_command(struct list *list, const struct config *config,
                        const struct version *version)
{
    switch (kind_of(view_of(version->runtime))) {
    case RUNTIME_NODE:
        add_format(list, "%s", config->node);
        /* As on AWS, the heap stays below the function's memory. */
        add_format(list, "--max-old-space-size=%lld", (long long)(version->memory_mb * 9 / 10));
        add_format(list, "%s/nodejs/bootstrap.js", config->runtimes_dir);
        return;
    case RUNTIME_PYTHON:
        add_format(list, "%s", config->python);
        add_format(list, "-u");
        add_format(list, "%s/python/bootstrap.py", config->runtimes_dir);
        return;
    case RUNTIME_PROVIDED:
    case RUNTIME_UNKNOWN:
        add_format(list, "%s/bootstrap", version->code->folder);
        return;
    }
}

bool runtime_entry_valid(const struct version *version)
{
    char path[PATH_MAX];
    struct stat status;

    if (kind_of(view_of(version->runtime)) != RUNTIME_PROVIDED)
        return true;
    snprintf(path, sizeof path, "%s/bootstrap", version->code->folder);
    return stat(path, &status) == 0 && S_ISREG(status.st_mode) && (status.st_mode & 0111);
}

/* -- the environment -- */

/* Functions see how they are to log; what they print is kept as it comes. */
static void add_logging(struct list *list, const struct version *version)
{
    const struct json *logging = json_get(version->configuration, "LoggingConfig");
    struct view text;

    if (json_get_string(logging, "LogGroup", &text))
        add_format(list, "AWS_LAMBDA_LOG_GROUP_NAME=%.*s", VIEW_FORMAT(text));
    else
        add_format(list, "AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/%s", version->function->name);
    if (json_get_string(logging, "ApplicationLogLevel", &text))
        add_format(list, "AWS_LAMBDA_LOG_LEVEL=%.*s", VIEW_FORMAT(text));
    add_format(list, "AWS_LAMBDA_LOG_FORMAT=%.*s",
               VIEW_FORMAT(json_get_string(logging, "LogFormat", &text) ? text : VIEW("Text")));
}

static void add_aws(struct list *list, const struct config *config, const struct version *version,
                    const struct runtime_place *place)
{
    char label[24];

    version_label(version->number, label);
    add_format(list, "AWS_LAMBDA_RUNTIME_API=%s", place->runtime_api);
    add_format(list, "_HANDLER=%s", version->handler);
    add_format(list, "LAMBDA_TASK_ROOT=%s", version->code->folder);
    add_format(list, "AWS_LAMBDA_FUNCTION_NAME=%s", version->function->name);
    add_format(list, "AWS_LAMBDA_FUNCTION_VERSION=%s", label);
    add_format(list, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=%lld", (long long)version->memory_mb);
    add_format(list, "AWS_LAMBDA_LOG_STREAM_NAME=%s", place->log_stream);
    add_format(list, "AWS_LAMBDA_INITIALIZATION_TYPE=on-demand");
    add_logging(list, version);
    add_format(list, "AWS_REGION=" CONFIG_REGION);
    add_format(list, "AWS_DEFAULT_REGION=" CONFIG_REGION);
    add_format(list, "AWS_ACCESS_KEY_ID=%s", config->access_key_id);
    add_format(list, "AWS_SECRET_ACCESS_KEY=%s", config->secret_access_key);
    add_format(list, "AWS_SESSION_TOKEN=lambda-local");
    add_format(list, "AWS_XRAY_CONTEXT_MISSING=LOG_ERROR");
    add_format(list, "AWS_XRAY_DAEMON_ADDRESS=127.0.0.1:2000");
    add_format(list, RUNTIME_MARK_VARIABLE "=%s", place->mark);
}

static bool function_sets(const struct json *variables, const char *name)
{
    return json_get(variables, name) != NULL;
}

/* What functions may replace by their own. */
static void add_usual(struct list *list, const struct config *config, const struct version *version,
                      const struct runtime_place *place, const struct json *variables)
{
    const char *task = version->code->folder;

    if (!function_sets(variables, "PATH"))
        add_format(list, "PATH=/var/lang/bin:/usr/local/bin:/usr/bin:/bin:/opt/bin");
    if (!function_sets(variables, "LD_LIBRARY_PATH"))
        add_format(list, "LD_LIBRARY_PATH=%s:%s/lib:/opt/lib", task, task);
    if (!function_sets(variables, "LANG"))
        add_format(list, "LANG=en_US.UTF-8");
    if (!function_sets(variables, "TZ"))
        add_format(list, "TZ=:UTC");
    if (!function_sets(variables, "TMPDIR"))
        add_format(list, "TMPDIR=%s", place->scratch);
    if (!function_sets(variables, "HOME"))
        add_format(list, "HOME=%s", place->scratch);
    switch (kind_of(view_of(version->runtime))) {
    case RUNTIME_NODE:
        add_format(list, "AWS_EXECUTION_ENV=AWS_Lambda_%s", version->runtime);
        add_format(list, "LAMBDA_RUNTIME_DIR=%s/nodejs", config->runtimes_dir);
        return;
    case RUNTIME_PYTHON:
        add_format(list, "AWS_EXECUTION_ENV=AWS_Lambda_%s", version->runtime);
        add_format(list, "LAMBDA_RUNTIME_DIR=%s/python", config->runtimes_dir);
        if (!function_sets(variables, "PYTHONPATH"))
            add_format(list, "PYTHONPATH=%s", task);
        add_format(list, "PYTHONDONTWRITEBYTECODE=1"); /* the code's folder is read-only */
        return;
    case RUNTIME_PROVIDED:
    case RUNTIME_UNKNOWN:
        add_format(list, "LAMBDA_RUNTIME_DIR=%s", config->runtimes_dir);
        return;
    }
}

void runtime_command_make(const struct config *config, const struct version *version,
                          const struct runtime_place *place, struct runtime_command *command)
{
    const struct json *variables =
        json_get(json_get(version->configuration, "Environment"), "Variables");
    struct list arguments = {0}, environment = {0};

    add_command(&arguments, config, version);
    add_aws(&environment, config, version, place);
    add_usual(&environment, config, version, place, variables);
    for (const struct json *each = json_first(variables); each; each = json_next(each))
        add_format(&environment, "%.*s=%.*s", VIEW_FORMAT(json_name(each)),
                   VIEW_FORMAT(json_string(each)));
    command->arguments = arguments.items;
    command->environment = environment.items;
}

void runtime_command_release(struct runtime_command *command)
{
    for (char **item = command->arguments; item && *item; item++)
        free(*item);
    for (char **item = command->environment; item && *item; item++)
        free(*item);
    free(command->arguments);
    free(command->environment);
}
