/* Keeps the tokens of this installation: reads them at start, makes the first, saves their uses. */
#include "managerd/tokens.h"

#include "common/base/clock.h"
#include "common/base/crypto.h"
#include "common/base/id.h"
#include "common/base/log.h"
#include "managerd/attempts.h"
#include "managerd/credential.h"
#include "managerd/jobs.h"
#include "managerd/scope.h"

#include <event2/event.h>
#include <stdio.h>
#include <string.h>

#define FIRST_ID      "first"
#define CONFIGURED_ID "admin"
#define FOLDER        "tokens/"

static bool is_time(struct view text)
{
    int64_t wall_ms;
    return clock_parse_rfc3339(text, &wall_ms) == ERROR_NONE;
}

static bool is_name(struct view text)
{
    for (size_t i = 0; i < text.length; i++)
        if ((unsigned char)text.data[i] < 0x20 || text.data[i] == 0x7f)
            return false;
    return true;
}

#define READ_ONLY_TEXT(NAME, FLAGS, TEXT)                                                          \
    {                                                                                              \
        .name = (NAME), .kind = SHAPE_STRING, .flags = SHAPE_READ_ONLY | (FLAGS),                  \
        .description = (TEXT)                                                                      \
    }

static const struct shape_field token_fields[] = {
    READ_ONLY_TEXT("id", 0, "Sorts by time; createdBy, logs and the audit name the token by it."),
    {.name = "name",
     .kind = SHAPE_STRING,
     .flags = SHAPE_REQUIRED,
     .min = 1,
     .max = PRINCIPAL_NAME_SIZE - 1,
     .check = is_name,
     .wants = "must have no control characters",
     .description = "Whose it is, or what for."},
    {.name = "role",
     .kind = SHAPE_STRING,
     .flags = SHAPE_REQUIRED,
     .choices = "viewer|deployer|admin",
     .description = "viewer reads; deployer also deploys and shifts traffic; admin does all."},
    {.name = "apps",
     .kind = SHAPE_LIST,
     .flags = SHAPE_NULLABLE,
     .min = 1,
     .max = SCOPE_MAX_PATTERNS,
     .check = scope_pattern_valid,
     .wants = "must be the name of an app, or the beginning of one and *",
     .default_json = "null",
     .description = "The apps that it reaches, by name or by prefix (\"team-*\"); null: all."},
    {.name = "expiresAt",
     .kind = SHAPE_STRING,
     .flags = SHAPE_NULLABLE,
     .check = is_time,
     .wants = "must be a time by RFC 3339",
     .format = "date-time",
     .default_json = "null",
     .description = "RFC 3339: counts from then on as if it were not there; null: never."},
    READ_ONLY_TEXT("hint", SHAPE_NULLABLE, "How the token begins."),
    READ_ONLY_TEXT("secret", SHAPE_NULLABLE | SHAPE_SHOWN_ONCE | SHAPE_SOMETIMES,
                   "The token itself, in the answer that makes it; it is kept nowhere."),
    READ_ONLY_TEXT("createdAt", 0, "RFC 3339."),
    READ_ONLY_TEXT("createdBy", SHAPE_NULLABLE, "Who made it."),
    READ_ONLY_TEXT("lastUsedAt", SHAPE_NULLABLE,
                   "RFC 3339, right but for the last minute before a crash; null: never."),
    READ_ONLY_TEXT("lastUsedFrom", SHAPE_NULLABLE, "The address it was used from then."),
};
const struct shape token_shape = {
    .name = "Token",
    .description = "Lets somebody, or something, use this API.",
    .fields = token_fields,
    .count = sizeof token_fields / sizeof token_fields[0],
    .example = "{\"name\":\"the shop\'s CI\",\"role\":\"deployer\",\"apps\":[\"shop-*\"]}"};

bool token_id_valid(struct view id)
{
    return id_valid(id) || view_equal(id, VIEW(FIRST_ID));
}

static struct key key_in(const char *folder, struct view id)
{
    struct key key;
    snprintf(key.text, sizeof key.text, "%s%.*s", folder, VIEW_FORMAT(view_slice(id, 0, 63)));
    return key;
}

struct key key_token(struct view id)
{
    return key_in(FOLDER, id);
}

struct key key_token_use(struct view id)
{
    return key_in("tokenuses/", id);
}

static bool scope_readable(const struct json *apps)
{
    enum json_type type = json_type_of(apps);
    return type == JSON_ARRAY || type == JSON_NULL;
}

/* What is damaged or of a later release is no token, rather than one that may do more than was meant.
 * `apps` stays the record's. */
static bool describe(struct view id, const struct json *record, struct token *token)
{
    struct view expires;
    *token = (struct token){.role = role_find(text_of(record, "role")), .expires_at_ms = NEVER};
    snprintf(token->id, sizeof token->id, "%.*s", VIEW_FORMAT(id));
    snprintf(token->name, sizeof token->name, "%.*s", VIEW_FORMAT(text_of(record, "name")));
    snprintf(token->sha256, sizeof token->sha256, "%.*s", VIEW_FORMAT(text_of(record, "sha256")));
    token->apps = (struct json *)(uintptr_t)json_get(record, "apps");
    if (json_get_string(record, "expiresAt", &expires) &&
        clock_parse_rfc3339(expires, &token->expires_at_ms))
        return false;
    return token->role != ROLE_NONE && scope_readable(token->apps);
}

static void put_in_force(struct authenticator *authenticator, struct view id,
                         const struct json *record)
{
    struct token token;
    if (!describe(id, record, &token) || !authenticator_add(authenticator, &token))
        log_write(LOG_ERROR, "token-not-usable", LOG_VIEW("id", id));
}

static bool on_token(struct view key, struct view value, uint64_t revision, void *context)
{
    struct json *record = NULL;
    (void)revision;
    if (record_parse(value, &record) == ERROR_NONE)
        put_in_force(context, view_slice(key, sizeof FOLDER - 1, SIZE_MAX), record);
    json_free(record);
    return true;
}

static void read_use(struct token *token, void *context)
{
    struct server *server = context;
    struct record use;
    struct key key = key_token_use(view_of(token->id));
    if (record_read(server->state, key.text, &use))
        return;
    if (clock_parse_rfc3339(text_of(use.json, "lastUsedAt"), &token->last_used_ms))
        token->last_used_ms = 0;
    snprintf(token->last_used_from, sizeof token->last_used_from, "%.*s",
             VIEW_FORMAT(text_of(use.json, "lastUsedFrom")));
    record_release(&use);
}

static void wake_streams(struct server *server)
{
    for (struct call *call = server->calls; call; call = call->next)
        if (call->watch && call->timer && principal_ended(&call->principal, clock_wall_ms()))
            event_active(call->timer, 0, 0);
}

void tokens_use_configured(struct server *server)
{
    struct token token = {.id = CONFIGURED_ID, .role = ROLE_ADMIN, .expires_at_ms = NEVER};
    if (server->config->token)
        credential_hash(view_of(server->config->token), token.sha256);
    token.guessable = server->config->token && strlen(server->config->token) < ATTEMPTS_SAFE_BYTES;
    struct token *present = authenticator_find(server->authenticator, VIEW(CONFIGURED_ID));
    if (present && strcmp(present->sha256, token.sha256) == 0)
        return;
    tokens_forget(server, CONFIGURED_ID);
    if (server->config->token)
        REQUIRE(authenticator_add(server->authenticator, &token));
}

void tokens_authenticate(struct server *server, struct view authorization, struct view address,
                         struct principal *principal)
{
    authenticate(server->authenticator, authorization, clock_wall_ms(), principal);
    if (principal->token && principal->token->guessable &&
        attempts_over(server->attempts, address, clock_monotonic_us() / 1000))
        principal_forget(principal);
}

void tokens_learn(struct server *server, struct view id)
{
    struct record record;
    struct key key = key_token(id);
    if (record_read(server->state, key.text, &record)) {
        log_write(LOG_ERROR, "token-not-usable", LOG_VIEW("id", id));
        return;
    }
    put_in_force(server->authenticator, id, record.json);
    record_release(&record);
}

void tokens_forget(struct server *server, const char *id)
{
    authenticator_remove(server->authenticator, id);
    wake_streams(server);
}

bool token_lasts(const struct json *token)
{
    return role_find(text_of(token, "role")) == ROLE_ADMIN &&
           scope_is_all(json_get(token, "apps")) &&
           json_type_of(json_get(token, "expiresAt")) != JSON_STRING;
}

static void count_lasting(struct token *token, void *context)
{
    if (token->role == ROLE_ADMIN && !token->apps && token->expires_at_ms == NEVER)
        ++*(unsigned *)context;
}

static void on_written(enum error error, uint64_t revision, void *context)
{
    (void)revision;
    *(enum error *)context = error;
}

/* Nobody could use an API that is open to the network and knows no token; everybody could use one
 * that asks for none. Waits for the commit: there is no loop yet. */
static enum error make_first(struct server *server)
{
    char secret[CREDENTIAL_SIZE], hash[65];
    struct key key = key_token(VIEW(FIRST_ID));
    struct json *record = json_new_object();
    struct change change;
    enum error error = ERROR_IO;
    credential_make(TOKEN_PREFIX, secret);
    credential_hash(view_of(secret), hash);
    json_set_string(record, "name", VIEW("made at the first start"));
    json_set_string(record, "role", VIEW("admin"));
    json_set_null(record, "apps");
    json_set_string(record, "hint", view_slice(view_of(secret), 0, CREDENTIAL_HINT));
    json_set_string(record, "sha256", view_of(hash));
    set_time(record, "createdAt", clock_wall_ms());
    json_set_null(record, "createdBy");
    json_set_null(record, "expiresAt");
    change_init(&change);
    change_put(&change, key.text, record);
    state_commit(server->state, &change, on_written, &error);
    change_release(&change);
    jobs_drain(server->store_thread);
    if (!error) {
        fprintf(stderr, "managerd: the admin token, shown only this once: %s\n", secret);
        authenticator_remove(server->authenticator, FIRST_ID);
        put_in_force(server->authenticator, VIEW(FIRST_ID), record);
    }
    json_free(record);
    wipe(secret, sizeof secret);
    return error;
}

enum error tokens_prepare(struct server *server, struct buffer *problem)
{
    unsigned lasting = 0;
    server->authenticator = authenticator_new();
    tokens_use_configured(server);
    enum error error =
        state_range(server->state, VIEW(FOLDER), VIEW(""), on_token, server->authenticator);
    if (!error) {
        authenticator_each(server->authenticator, read_use, server);
        authenticator_each(server->authenticator, count_lasting, &lasting);
        bool open = authenticator_open(server->authenticator) && server->config->loopback;
        if (!open && lasting == 0)
            error = make_first(server);
    }
    if (error)
        buffer_append_format(problem, "the tokens cannot be read or written: %s.",
                             error_text(error));
    return error;
}

/* Uses */

static void add_use(struct token *token, void *context)
{
    struct change *change = context;
    struct key key = key_token_use(view_of(token->id));
    if (!token->use_unsaved || strcmp(token->id, CONFIGURED_ID) == 0)
        return;
    struct json *use = json_new_object();
    set_time(use, "lastUsedAt", token->last_used_ms);
    json_set_string(use, "lastUsedFrom", view_of(token->last_used_from));
    change_put(change, key.text, use);
    json_free(use);
    token->use_unsaved = false;
}

static void on_saved(enum error error, uint64_t revision, void *context)
{
    (void)error, (void)revision, (void)context; /* the next use is saved again */
}

void tokens_save_uses(struct server *server)
{
    struct change change;
    change_init(&change);
    authenticator_each(server->authenticator, add_use, &change);
    if (change.write_count)
        state_commit(server->state, &change, on_saved, NULL);
    change_release(&change);
}

/* Locking nobody out */

struct search {
    struct call *call;
    struct view besides;
    bool found;
};

static void look_at(struct token *token, void *context)
{
    struct search *search = context;
    unsigned lasting = 0;
    struct record record;
    struct key key = key_token(view_of(token->id));
    count_lasting(token, &lasting);
    if (search->found || lasting == 0 || view_equal_string(search->besides, token->id))
        return;
    if (strcmp(token->id, CONFIGURED_ID) == 0) {
        search->found = true;
        return;
    }
    if (record_read(search->call->server->state, key.text, &record))
        return;
    change_compare(&search->call->change, key.text, record.revision);
    record_release(&record);
    search->found = true;
}

bool tokens_other_lasts(struct call *call, struct view id)
{
    struct search search = {.call = call, .besides = id};
    authenticator_each(call->server->authenticator, look_at, &search);
    return search.found;
}

enum progress call_fail_token(struct call *call)
{
    return call_fail(call, PROBLEM_TOKEN_NOT_FOUND, "There is no token of this id.");
}
