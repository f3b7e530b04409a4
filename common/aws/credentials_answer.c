/* Reads keys out of what their providers answer. */
#include "common/aws/credentials_answer.h"

#include "common/base/arena.h"
#include "common/base/clock.h"
#include "common/base/crypto.h"
#include "common/base/json.h"
#include "common/base/xml.h"

#define TEXT_MAX 16384

struct parts {
    struct view key, secret, token, expiration;
};

static enum error wrong(struct buffer *problem, const char *what)
{
    buffer_append_string(problem, what);
    return ERROR_INVALID;
}

static enum error make(const struct parts *parts, bool expires, struct credentials **credentials,
                       struct buffer *problem)
{
    int64_t expires_at_ms = INT64_MAX;

    if (!parts->key.length || !parts->secret.length)
        return wrong(problem, "gave no AccessKeyId or no SecretAccessKey");
    if (expires && !parts->expiration.length)
        return wrong(problem, "gave no Expiration");
    if (parts->expiration.length &&
        clock_parse_rfc3339(parts->expiration, &expires_at_ms) != ERROR_NONE)
        return wrong(problem, "gave an Expiration that is no time as RFC 3339 has it");
    if (!credentials_well_formed(parts->key, parts->secret, parts->token))
        return wrong(problem, "gave a key with a byte that no key has");
    *credentials = credentials_new(parts->key, parts->secret, parts->token, expires_at_ms);
    return ERROR_NONE;
}

/* What a provider says of its own failure may be shown; what it may hold besides is not read. */
static void append_failure(struct buffer *problem, struct view code, struct view message)
{
    buffer_append_format(problem, "says %.*s", VIEW_FORMAT(view_slice(code, 0, 128)));
    if (message.length)
        buffer_append_format(problem, ": %.*s", VIEW_FORMAT(view_slice(message, 0, 512)));
}

enum error credentials_from_json(struct view text, enum credentials_form form,
                                 struct credentials **credentials, struct buffer *problem)
{
    struct view code = VIEW(""), message = VIEW("");
    struct parts parts = {VIEW(""), VIEW(""), VIEW(""), VIEW("")};
    struct json *json = NULL;
    int64_t version = 0;
    enum error error;

    if (json_parse(text, 16, &json, NULL) != ERROR_NONE)
        return wrong(problem, "gave no JSON");
    json_get_string(json, "AccessKeyId", &parts.key);
    json_get_string(json, "SecretAccessKey", &parts.secret);
    json_get_string(json, form == CREDENTIALS_PROCESS ? "SessionToken" : "Token", &parts.token);
    json_get_string(json, "Expiration", &parts.expiration);
    json_get_string(json, "Code", &code);
    if (!json_get_string(json, "Message", &message))
        json_get_string(json, "message", &message);
    bool failed = form != CREDENTIALS_PROCESS && code.length && !view_equal(code, VIEW("Success"));
    if (failed) {
        append_failure(problem, code, message);
        error = ERROR_INVALID;
    } else if (form == CREDENTIALS_PROCESS &&
               (!json_get_integer(json, "Version", &version) || version != 1)) {
        error = wrong(problem, "gave no \"Version\": 1");
    } else {
        error = make(&parts, form != CREDENTIALS_PROCESS, credentials, problem);
    }
    json_free(json);
    return error;
}

/* ---- XML ---- */

struct collected {
    struct arena *arena;
    struct parts parts;
    struct aws_failure failure;
};

static bool collect(struct view path, struct view text, void *context)
{
    struct collected *collected = context;
    const struct {
        const char *end;
        struct view *part;
    } places[] = {
        {"Result/Credentials/AccessKeyId", &collected->parts.key},
        {"Result/Credentials/SecretAccessKey", &collected->parts.secret},
        {"Result/Credentials/SessionToken", &collected->parts.token},
        {"Result/Credentials/Expiration", &collected->parts.expiration},
        {"Error/Code", &collected->failure.code},
        {"Error/Message", &collected->failure.message},
    };

    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        if (view_ends_with(path, view_of(places[i].end)) && !places[i].part->length)
            *places[i].part = arena_copy(collected->arena, text);
    return true;
}

static void wipe_view(struct view text)
{
    if (text.length)
        wipe((char *)(uintptr_t)text.data, text.length);
}

enum error credentials_from_sts(struct view text, struct credentials **credentials,
                                struct buffer *problem)
{
    struct collected collected = {0};
    struct arena arena;

    arena_init(&arena, (size_t)4 * TEXT_MAX);
    collected.arena = &arena;
    enum error error = xml_read(text, collect, &collected);
    if (error == ERROR_NONE)
        error = arena.error;
    if (error == ERROR_NONE)
        error = make(&collected.parts, true, credentials, problem);
    else
        buffer_append_string(problem, "gave no XML");
    wipe_view(collected.parts.secret);
    wipe_view(collected.parts.token);
    arena_release(&arena);
    return error;
}

void aws_failure_read(struct view text, struct arena *arena, struct aws_failure *failure)
{
    struct collected collected = {.arena = arena};

    if (xml_read(text, collect, &collected) != ERROR_NONE || arena->error)
        collected.failure = (struct aws_failure){0};
    *failure = collected.failure;
}
