/* Asks a container's agent (ECS, EKS Pod Identity) for credentials. */
#include "common/aws/fetch_parts.h"

#include "common/base/file.h"

#define RETRY_MS 1000

static void ask(struct fetch *fetch);

static void try_again(struct fetch *fetch)
{
    if (++fetch->tries < fetch->identity->attempts)
        fetch_pause(fetch, RETRY_MS, ask);
    else
        fetch_finish(fetch, NULL);
}

static void on_answer(const struct outgoing_result *result, void *context)
{
    struct fetch *fetch = context;
    struct credentials *credentials = NULL;
    struct buffer problem;

    fetch->call = NULL;
    buffer_init(&problem, 1024);
    if (result->error) {
        fetch_blame(fetch, "cannot be asked: ", view_of(result->reason));
    } else if (result->status != 200) {
        buffer_append_format(&problem, "%d", result->status);
        fetch_blame(fetch, "answers with status ", buffer_view(&problem));
    } else if (credentials_from_json(result->body, CREDENTIALS_CONTAINER, &credentials, &problem)) {
        fetch_blame(fetch, "", buffer_view(&problem));
    }
    buffer_release(&problem);
    if (credentials)
        fetch_finish(fetch, credentials);
    else
        try_again(fetch);
}

/* The file's text, which may change at any time; false: it cannot be sent. */
static bool read_authorization(struct fetch *fetch, struct view *authorization)
{
    const struct identity *identity = fetch->identity;
    struct buffer text;

    *authorization = identity->authorization;
    if (!identity->authorization_file.length)
        return true;
    buffer_init(&text, FETCH_ANSWER_MAX);
    enum error error = file_read(arena_string(&fetch->arena, identity->authorization_file), &text);
    while (text.length && strchr("\r\n", text.data[text.length - 1]))
        text.length--;
    *authorization = arena_copy(&fetch->arena, buffer_view(&text));
    buffer_release(&text);
    if (error != ERROR_NONE)
        fetch_blame(fetch, "cannot read AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: it is ",
                    view_of(error_text(error)));
    return error == ERROR_NONE;
}

static bool sendable(struct view value)
{
    for (size_t i = 0; i < value.length; i++)
        if ((unsigned char)value.data[i] < ' ' || value.data[i] == 0x7f)
            return false;
    return true;
}

static void ask(struct fetch *fetch)
{
    struct incoming_header headers[2] = {{VIEW("Accept"), VIEW("application/json")}};
    struct view authorization;

    if (!read_authorization(fetch, &authorization)) {
        fetch_finish(fetch, NULL);
        return;
    }
    if (!sendable(authorization) || fetch->arena.error) {
        fetch_blame(fetch, "has an authorization that no header can carry", VIEW(""));
        fetch_finish(fetch, NULL);
        return;
    }
    headers[1] = (struct incoming_header){VIEW("Authorization"), authorization};
    struct outgoing_request request = {
        .method = "GET",
        .url = arena_string(&fetch->arena, fetch->identity->url),
        .headers = headers,
        .header_count = authorization.length ? 2 : 1,
        .deadline_ms = fetch->identity->timeout_ms,
        .max_answer_bytes = FETCH_ANSWER_MAX,
        .on_done = on_answer,
        .context = fetch,
    };
    fetch->call = outgoing_send(fetch->fetcher->outgoing, &request);
}

void fetch_container(struct fetch *fetch)
{
    ask(fetch);
}
