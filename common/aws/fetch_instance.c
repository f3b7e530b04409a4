/* Asks the metadata service of an instance (IMDSv2, or v1 where there is no other) for credentials. */
#include "common/aws/fetch_parts.h"

#include "common/base/clock.h"

#include <ctype.h>

#define TOKEN_PATH    "/latest/api/token"
#define ROLES_PATH    "/latest/meta-data/iam/security-credentials/"
#define TOKEN_SECONDS 21600
#define RETRY_MS      100

static void ask(struct fetch *fetch);

static void drop_token(struct fetcher *fetcher)
{
    buffer_clear(&fetcher->instance_token);
    fetcher->instance_token_until_us = 0;
}

/* Printable, without a blank: it goes into a path and into a header. */
static bool plain(struct view text)
{
    for (size_t i = 0; i < text.length; i++)
        if (text.data[i] <= ' ' || text.data[i] > '~')
            return false;
    return text.length > 0;
}

static bool role_lawful(struct view name)
{
    for (size_t i = 0; i < name.length; i++)
        if (!isalnum((unsigned char)name.data[i]) &&
            (!name.data[i] || !strchr("+=,.@-_", name.data[i])))
            return false;
    return name.length > 0 && name.length <= 128;
}

static struct view trimmed(struct view text)
{
    while (text.length && isspace((unsigned char)text.data[text.length - 1]))
        text.length--;
    return text;
}

static void go_on(struct fetch *fetch, enum instance_stage stage)
{
    fetch->stage = stage;
    fetch->tries = 0;
    ask(fetch);
}

static void fail(struct fetch *fetch, const char *what, struct view detail)
{
    fetch_blame(fetch, what, detail);
    if (++fetch->tries < fetch->identity->attempts)
        fetch_pause(fetch, RETRY_MS, ask);
    else
        fetch_finish(fetch, NULL);
}

/* Where there is no session to be had, the first form of the service may still answer. */
static void on_token(struct fetch *fetch, const struct outgoing_result *result)
{
    struct fetcher *fetcher = fetch->fetcher;
    struct view token = trimmed(result->body);

    if (!result->error && result->status == 200 && plain(token)) {
        buffer_append_view(&fetcher->instance_token, token);
        fetcher->instance_token_until_us =
            clock_monotonic_us() + (uint64_t)(TOKEN_SECONDS - 60) * 1000000;
        go_on(fetch, INSTANCE_ROLE);
        return;
    }
    bool absent = result->error == ERROR_TIMEOUT || result->status == 403 ||
                  result->status == 404 || result->status == 405;
    if (absent && result->error != ERROR_UNREACHABLE && !fetch->identity->v1_disabled) {
        go_on(fetch, INSTANCE_ROLE);
        return;
    }
    if (result->error)
        fail(fetch, "cannot be asked: ", view_of(result->reason));
    else
        fail(fetch, "gives no session token: status ",
             view_of(arena_format(&fetch->arena, "%d", result->status)));
}

static void on_keys(struct fetch *fetch, struct view body)
{
    struct credentials *credentials;
    struct buffer problem;

    buffer_init(&problem, 1024);
    if (credentials_from_json(body, CREDENTIALS_INSTANCE, &credentials, &problem) == ERROR_NONE)
        fetch_finish(fetch, credentials);
    else
        fail(fetch, "", buffer_view(&problem));
    buffer_release(&problem);
}

static void on_role(struct fetch *fetch, struct view body)
{
    struct view name = trimmed(view_slice(body, 0, view_find(body, '\n')));

    fetch->role_name = arena_copy(&fetch->arena, name);
    if (role_lawful(fetch->role_name))
        go_on(fetch, INSTANCE_KEYS);
    else
        fail(fetch, "names no role: this instance has no profile, or another service answers",
             VIEW(""));
}

static void on_answer(const struct outgoing_result *result, void *context)
{
    struct fetch *fetch = context;

    fetch->call = NULL;
    if (fetch->stage == INSTANCE_TOKEN) {
        on_token(fetch, result);
    } else if (!result->error && result->status == 401 && !fetch->renewed) {
        fetch->renewed = true;
        drop_token(fetch->fetcher);
        go_on(fetch, INSTANCE_TOKEN);
    } else if (result->error) {
        fail(fetch, "cannot be asked: ", view_of(result->reason));
    } else if (result->status != 200) {
        fail(fetch,
             fetch->stage == INSTANCE_ROLE ? "names no role: status " : "gives no keys: status ",
             view_of(arena_format(&fetch->arena, "%d", result->status)));
    } else if (fetch->stage == INSTANCE_ROLE) {
        on_role(fetch, result->body);
    } else {
        on_keys(fetch, result->body);
    }
}

static void ask(struct fetch *fetch)
{
    bool for_token = fetch->stage == INSTANCE_TOKEN;
    const char *path = for_token ? TOKEN_PATH : ROLES_PATH;
    struct view token = buffer_view(&fetch->fetcher->instance_token);
    struct incoming_header header = {VIEW("X-Aws-Ec2-Metadata-Token"), token};

    if (for_token)
        header =
            (struct incoming_header){VIEW("X-Aws-Ec2-Metadata-Token-Ttl-Seconds"),
                                     view_of(arena_format(&fetch->arena, "%d", TOKEN_SECONDS))};
    struct view role = fetch->stage == INSTANCE_KEYS ? fetch->role_name : VIEW("");
    struct outgoing_request request = {
        .method = for_token ? "PUT" : "GET",
        .url = arena_format(&fetch->arena, "%.*s%s%.*s", VIEW_FORMAT(fetch->identity->url), path,
                            VIEW_FORMAT(role)),
        .headers = &header,
        .header_count = for_token || token.length ? 1 : 0,
        .has_body = for_token,
        .body = VIEW(""),
        .deadline_ms = fetch->identity->timeout_ms,
        .max_answer_bytes = FETCH_ANSWER_MAX,
        .on_done = on_answer,
        .context = fetch,
    };
    REQUIRE(request.url != NULL);
    fetch->call = outgoing_send(fetch->fetcher->outgoing, &request);
}

void fetch_instance(struct fetch *fetch)
{
    struct fetcher *fetcher = fetch->fetcher;

    if (fetcher->instance_token.length && clock_monotonic_us() < fetcher->instance_token_until_us) {
        go_on(fetch, INSTANCE_ROLE);
        return;
    }
    drop_token(fetcher);
    go_on(fetch, INSTANCE_TOKEN);
}
