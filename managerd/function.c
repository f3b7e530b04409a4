/* Makes a Lambda function have a version's code and configuration, from whatever it has now. */
#include "managerd/deploy.h"

#include "common/base/escape.h"
#include "managerd/drift.h"
#include "managerd/expectation.h"
#include "managerd/lambda_settings.h"
#include "managerd/packages.h"
#include "managerd/picture.h"
#include "managerd/records.h"
#include "managerd/secrets.h"

#include <stdio.h>
#include <string.h>

#define STAMP_START "app-orchestrator "
#define ROLE_POLLS  12 /* about 8 s */
#define LATE        "The function did not become ready in time."

/* Each step looks first and then asks for what is missing, so it can be begun again at any time. */

bool function_is_ours(const struct json *answer, const char *installation, const char *app)
{
    const struct json *tags = json_get(answer, "Tags");
    struct view description = text_of(json_get(answer, "Configuration"), "Description");
    char stamp[256];
    if (view_equal_string(text_of(tags, TAG_INSTALLATION), installation) &&
        view_equal_string(text_of(tags, TAG_APP), app))
        return true;
    /* Without the permission to list tags, GetFunction tells none; the stamp is ours as well. */
    snprintf(stamp, sizeof stamp, STAMP_START "%s %s version ", installation, app);
    return view_starts_with(description, view_of(stamp));
}

char *function_stamp(struct arena *arena, const char *installation, struct view app,
                     const struct json *version)
{
    long long number = integer_of(version, "version");
    long long publication = integer_of(version, "publication");
    if (publication <= 1)
        return arena_format(arena, STAMP_START "%s %.*s version %lld", installation,
                            VIEW_FORMAT(app), number);
    return arena_format(arena, STAMP_START "%s %.*s version %lld publication %lld", installation,
                        VIEW_FORMAT(app), number, publication);
}

void function_configuration(struct json_writer *w, const struct json *version, const char *stamp,
                            const char *default_role, const struct json *variables)
{
    struct view role = text_of(json_get(version, "function"), "role");
    json_write_string(w, "Role", role.length ? role : view_of(default_role));
    json_write_string(w, "Description", view_of(stamp));
    json_write_string(w, "Runtime", text_of(version, "runtime"));
    json_write_string(w, "Handler", text_of(version, "handler"));
    json_write_integer(w, "MemorySize", integer_of(version, "memoryMb"));
    json_write_integer(w, "Timeout", integer_of(version, "timeoutSeconds"));
    json_open_object(w, "Environment");
    json_write_tree(w, "Variables", variables);
    json_close_object(w);
    lambda_settings_write(w, version, text_of(json_get(version, "function"), "name"));
}

/* What a step knows of the version it works for; in the operation's arena. */
struct wanted {
    struct record version;
    struct view function;
    char *stamp;
    struct view code_sha256; /* as AWS writes it: base64 */
};

/* What of the function itself was changed with the app's consent stays so. */
static void take_accepted(struct operation *operation, struct record *version)
{
    struct record app;
    struct key key = key_app(view_of(operation->app));
    int64_t accepted = integer_of(operation_work(operation), "accepted");
    if (!accepted || accepted != integer_of(version->json, "version") ||
        record_read(operation->environment->state, key.text, &app))
        return;
    struct json *latest = expectation_of_latest(app.json, version->json);
    json_free(version->json);
    version->json = latest;
    record_release(&app);
}

static bool read_wanted(struct operation *operation, struct wanted *wanted)
{
    struct key key = key_version(view_of(operation->app), deploy_version_of(operation));
    struct buffer bytes, text;
    if (record_read(operation->environment->state, key.text, &wanted->version)) {
        operation_step_problem(operation, PROBLEM_STORAGE_FAILED,
                               "The version's record cannot be read.");
        return false;
    }
    take_accepted(operation, &wanted->version);
    operation_have_patience(operation, lambda_settings_patience_ms(wanted->version.json));
    buffer_init(&bytes, 64);
    buffer_init(&text, 128);
    bool good = !hex_decode(&bytes, text_of(json_get(wanted->version.json, "package"), "sha256"));
    base64_encode(&text, bytes.data, bytes.length);
    wanted->code_sha256 = arena_copy(&operation->arena, buffer_view(&text));
    wanted->function =
        arena_copy(&operation->arena, text_of(json_get(wanted->version.json, "function"), "name"));
    wanted->stamp = function_stamp(&operation->arena, operation->environment->installation,
                                   view_of(operation->app), wanted->version.json);
    buffer_release(&bytes);
    buffer_release(&text);
    if (!good || operation->arena.error) {
        operation_step_problem(operation, PROBLEM_STORAGE_FAILED,
                               "The version's record is damaged.");
        record_release(&wanted->version);
        return false;
    }
    return true;
}

static void get_function(struct operation *operation, struct view function, struct view qualifier,
                         void (*on_answer)(struct operation *operation,
                                           const struct lambda_answer *answer))
{
    struct lambda_request request = {
        .operation = LAMBDA_GET_FUNCTION, .function = function, .qualifier = qualifier};
    operation_send(operation, &request, on_answer);
}

static bool is_busy(const struct json *configuration)
{
    return view_equal_string(text_of(configuration, "State"), "Pending") ||
           view_equal_string(text_of(configuration, "LastUpdateStatus"), "InProgress");
}

static bool code_is_there(const struct wanted *wanted, const struct json *configuration)
{
    struct view architecture = json_string(json_first(json_get(configuration, "Architectures")));
    return view_equal(text_of(configuration, "CodeSha256"), wanted->code_sha256) &&
           (!architecture.length ||
            view_equal(architecture, text_of(wanted->version.json, "architecture")));
}

/* create-function, update-code */

static void look_at_code(struct operation *operation);

/* A role that was just made is refused for some seconds, until it is known everywhere. */
static bool role_is_too_new(const struct lambda_answer *answer)
{
    static const char words[] = "cannot be assumed by Lambda";
    return answer->outcome == LAMBDA_REFUSED &&
           memmem(answer->message.data, answer->message.length, words, sizeof words - 1);
}

/* After create or update: accepted, or somebody else was faster. */
static void on_code_changed(struct operation *operation, const struct lambda_answer *answer)
{
    if (answer->outcome == LAMBDA_OK)
        operation_step_done(operation, "%s", "");
    else if (answer->outcome == LAMBDA_CONFLICT || answer->outcome == LAMBDA_NOT_FOUND ||
             (role_is_too_new(answer) && operation->polls < ROLE_POLLS))
        operation_poll(operation, look_at_code, LATE);
    else
        operation_step_refused(operation, answer, "The function's code could not be set");
}

static bool may_send(struct operation *operation, enum error error, struct lambda_stream *body)
{
    bool stopped = operation_stopped(operation);
    if (stopped && !error)
        body->free(body);
    else if (!stopped && error)
        operation_step_problem(operation, PROBLEM_STORAGE_FAILED,
                               "The stored package cannot be read: %s.", error_text(error));
    return !stopped && !error;
}

static void on_create_body(enum error error, struct lambda_stream *body, void *context)
{
    struct operation *operation = context;
    if (!may_send(operation, error, body))
        return;
    struct lambda_request request = {.operation = LAMBDA_CREATE_FUNCTION, .stream = body};
    operation_send(operation, &request, on_code_changed);
}

/* The app's own, beside ours; a later step looks at them again. */
static void write_tags(struct json_writer *w, struct operation *operation)
{
    struct record app;
    struct key key = key_app(view_of(operation->app));
    if (record_read(operation->environment->state, key.text, &app))
        return;
    for (const struct json *one = json_first(json_get(app.json, "tags")); one;
         one = json_next(one)) {
        json_member(w, json_name(one));
        json_write_string(w, NULL, json_string(one));
    }
    record_release(&app);
}

/* {…,"Code":{"ZipFile":"} and {"}}: what comes before and behind the package. */
static void create_function(struct operation *operation, const struct wanted *wanted)
{
    struct json *variables = NULL;
    struct buffer head;
    struct json_writer w;
    if (secrets_unseal(operation->environment->secrets, view_of(operation->app),
                       json_get(wanted->version.json, "environment"), &variables)) {
        operation_step_problem(operation, PROBLEM_STORAGE_FAILED,
                               "The environment variables cannot be decrypted with this key.");
        return;
    }
    buffer_init(&head, 1u << 20);
    json_begin(&w, &head);
    json_open_object(&w, NULL);
    json_write_string(&w, "FunctionName", wanted->function);
    function_configuration(&w, wanted->version.json, wanted->stamp,
                           operation->environment->default_role, variables);
    json_open_array(&w, "Architectures");
    json_write_string(&w, NULL, text_of(wanted->version.json, "architecture"));
    json_close_array(&w);
    json_open_object(&w, "Tags");
    json_write_string(&w, TAG_INSTALLATION, view_of(operation->environment->installation));
    json_write_string(&w, TAG_APP, view_of(operation->app));
    write_tags(&w, operation);
    json_close_object(&w);
    json_open_object(&w, "Code");
    buffer_append_string(&head, "\"ZipFile\":\"");
    struct view before = arena_copy(&operation->arena, buffer_view(&head));
    struct view sha256 =
        arena_copy(&operation->arena, text_of(json_get(wanted->version.json, "package"), "sha256"));
    packages_body(operation->environment->packages, sha256, before, VIEW("\"}}"), on_create_body,
                  operation);
    json_free(variables);
    buffer_release(&head);
}

static void on_code_body(enum error error, struct lambda_stream *body, void *context)
{
    struct operation *operation = context;
    struct wanted wanted = {0};
    if (!may_send(operation, error, body))
        return;
    if (!read_wanted(operation, &wanted)) {
        body->free(body);
        return;
    }
    struct lambda_request request = {
        .operation = LAMBDA_UPDATE_CODE, .function = wanted.function, .stream = body};
    operation_send(operation, &request, on_code_changed);
    record_release(&wanted.version);
}

static void update_code(struct operation *operation, const struct wanted *wanted)
{
    char *after = arena_format(&operation->arena, "\",\"Architectures\":[\"%.*s\"]}",
                               VIEW_FORMAT(text_of(wanted->version.json, "architecture")));
    struct view sha256 =
        arena_copy(&operation->arena, text_of(json_get(wanted->version.json, "package"), "sha256"));
    packages_body(operation->environment->packages, sha256, VIEW("{\"ZipFile\":\""), view_of(after),
                  on_code_body, operation);
}

static void on_broken_deleted(struct operation *operation, const struct lambda_answer *answer)
{
    if (answer->outcome != LAMBDA_OK && answer->outcome != LAMBDA_NOT_FOUND &&
        answer->outcome != LAMBDA_CONFLICT)
        operation_step_refused(operation, answer, "The failed function could not be deleted");
    else
        operation_poll(operation, look_at_code, LATE);
}

static bool is_ready(struct view key, struct view value, uint64_t revision, void *context)
{
    bool *found = context;
    struct json *version = NULL;
    (void)key, (void)revision;
    *found = record_parse(value, &version) != ERROR_NONE ||
             view_equal_string(text_of(version, "state"), "ready");
    json_free(version);
    return !*found;
}

/* Deleting the function would take versions along that may be serving. */
static bool has_ready_version(const struct operation *operation)
{
    bool found = false;
    struct key prefix = key_versions(view_of(operation->app));
    return state_range(operation->environment->state, view_of(prefix.text), VIEW(""), is_ready,
                       &found) != ERROR_NONE ||
           found;
}

static void delete_broken(struct operation *operation, const struct wanted *wanted)
{
    struct lambda_request request = {.operation = LAMBDA_DELETE_FUNCTION,
                                     .function = wanted->function};
    operation_send(operation, &request, on_broken_deleted);
}

/* Whether we may change the function: it carries our tags, or was or is to be adopted. */
static bool may_change(struct operation *operation, const struct json *answer)
{
    struct record app;
    struct key key = key_app(view_of(operation->app));
    if (function_is_ours(answer, operation->environment->installation, operation->app))
        return true;
    if (truth_of(operation_work(operation), "adopt")) {
        json_set_bool(operation_work(operation), "adopted", true);
        return true;
    }
    if (record_read(operation->environment->state, key.text, &app))
        return false;
    bool adopted = truth_of(internal_of(app.json), "adopted");
    record_release(&app);
    return adopted;
}

static void on_code_seen(struct operation *operation, const struct lambda_answer *answer)
{
    struct wanted wanted = {0};
    const struct json *configuration = json_get(answer->json, "Configuration");
    if (answer->outcome != LAMBDA_OK && answer->outcome != LAMBDA_NOT_FOUND) {
        operation_step_refused(operation, answer, "The function could not be looked at");
        return;
    }
    if (!read_wanted(operation, &wanted))
        return;
    if (answer->outcome == LAMBDA_NOT_FOUND)
        create_function(operation, &wanted);
    else if (!may_change(operation, answer->json))
        operation_step_problem(operation, PROBLEM_FUNCTION_EXISTS,
                               "The function %.*s exists and was not made for this app. Deploy "
                               "with adopt=true to take it over.",
                               VIEW_FORMAT(wanted.function));
    else if (is_busy(configuration))
        operation_poll(operation, look_at_code, LATE);
    else if (view_equal_string(text_of(configuration, "State"), "Failed") &&
             function_is_ours(answer->json, operation->environment->installation, operation->app) &&
             !has_ready_version(operation))
        delete_broken(operation, &wanted); /* such a function can only be made anew */
    else if (code_is_there(&wanted, configuration))
        operation_step_done(operation, "The code was there already.");
    else
        update_code(operation, &wanted);
    record_release(&wanted.version);
}

static void look_at_code(struct operation *operation)
{
    struct wanted wanted = {0};
    if (!read_wanted(operation, &wanted))
        return;
    get_function(operation, wanted.function, VIEW(""), on_code_seen);
    record_release(&wanted.version);
}

void step_code(struct operation *operation)
{
    look_at_code(operation);
}

/* update-configuration, wait-until-ready */

/* A deployment's stamp comes with all of the configuration; who repairs does not trust it. */
static bool is_configured(struct operation *operation, const struct wanted *wanted,
                          const struct json *configuration)
{
    const struct secrets *secrets = operation->environment->secrets;
    struct view app = view_of(operation->app);
    if (!view_equal_string(text_of(configuration, "Description"), wanted->stamp))
        return false;
    if (!truth_of(operation_work(operation), "exact"))
        return true;
    struct json *expected = picture_of_version(secrets, app, wanted->version.json);
    struct json *observed = picture_of_configuration(secrets, app, configuration);
    if (!json_get(expected, "role") && operation->environment->default_role)
        json_set_string(expected, "role", view_of(operation->environment->default_role));
    json_remove(expected, "code"); /* is looked at in its own right */
    json_remove(expected, "architecture");
    struct json *differences = drift_compare(expected, observed);
    bool same = json_count(differences) == 0;
    json_free(expected);
    json_free(observed);
    json_free(differences);
    return same;
}

static void look_at_configuration(struct operation *operation);

static bool ends_early(const struct operation *operation)
{
    const struct json *step = json_first(json_get(operation->document, "steps"));
    while (step && !view_equal_string(text_of(step, "state"), "running"))
        step = json_next(step);
    return view_equal_string(text_of(step, "name"), "update-configuration");
}

static void on_configuration_changed(struct operation *operation,
                                     const struct lambda_answer *answer)
{
    if (answer->outcome == LAMBDA_OK)
        operation->tries++;
    if (answer->outcome != LAMBDA_OK && answer->outcome != LAMBDA_CONFLICT)
        operation_step_refused(operation, answer, "The function's configuration was not accepted");
    else if (answer->outcome == LAMBDA_OK && ends_early(operation))
        operation_step_done(operation, "%s", "");
    else
        operation_poll(operation, look_at_configuration, LATE);
}

static void update_configuration(struct operation *operation, const struct wanted *wanted)
{
    struct json *variables = NULL;
    struct buffer body;
    struct json_writer w;
    if (secrets_unseal(operation->environment->secrets, view_of(operation->app),
                       json_get(wanted->version.json, "environment"), &variables)) {
        operation_step_problem(operation, PROBLEM_STORAGE_FAILED,
                               "The environment variables cannot be decrypted with this key.");
        return;
    }
    buffer_init(&body, 1u << 20);
    json_begin(&w, &body);
    json_open_object(&w, NULL);
    function_configuration(&w, wanted->version.json, wanted->stamp,
                           operation->environment->default_role, variables);
    json_close_object(&w);
    struct lambda_request request = {
        .operation = LAMBDA_UPDATE_CONFIGURATION, .function = wanted->function, .body = &body};
    operation_send(operation, &request, on_configuration_changed);
    json_free(variables);
    buffer_release(&body);
}

static void fail_with_reason(struct operation *operation, const struct json *configuration)
{
    struct view reason = text_of(configuration, "LastUpdateStatusReason");
    if (!reason.length)
        reason = text_of(configuration, "StateReason");
    operation_step_problem(operation, PROBLEM_AWS_FAILED, "The function did not become ready: %.*s",
                           (int)(reason.length < 400 ? reason.length : 400), reason.data);
}

static void on_configuration_seen(struct operation *operation, const struct lambda_answer *answer)
{
    struct wanted wanted = {0};
    const struct json *configuration = json_get(answer->json, "Configuration");
    if (answer->outcome != LAMBDA_OK) {
        operation_step_refused(operation, answer, "The function could not be looked at");
        return;
    }
    if (!read_wanted(operation, &wanted))
        return;
    bool stamped = is_configured(operation, &wanted, configuration);
    bool failed = view_equal_string(text_of(configuration, "State"), "Failed") ||
                  (view_equal_string(text_of(configuration, "LastUpdateStatus"), "Failed") &&
                   (stamped || operation->tries > 0));
    if (failed)
        fail_with_reason(operation, configuration);
    else if (is_busy(configuration))
        operation_poll(operation, look_at_configuration, LATE);
    else if (!stamped && operation->tries < 3)
        update_configuration(operation, &wanted);
    else if (!stamped || !code_is_there(&wanted, configuration))
        operation_step_problem(operation, PROBLEM_AWS_FAILED,
                               "Somebody else changed the function during the deployment.");
    else
        operation_step_done(operation, "%s", "");
    record_release(&wanted.version);
}

static void look_at_configuration(struct operation *operation)
{
    struct wanted wanted = {0};
    if (!read_wanted(operation, &wanted))
        return;
    get_function(operation, wanted.function, VIEW(""), on_configuration_seen);
    record_release(&wanted.version);
}

void step_configuration(struct operation *operation)
{
    look_at_configuration(operation);
}

void step_ready(struct operation *operation)
{
    look_at_configuration(operation);
}
