/* Starts and ends askings for credentials; how each provider is asked is in fetch_*.c. */
#include "common/aws/fetch_parts.h"

#include "common/aws/endpoint.h"
#include "common/base/crypto.h"

#include <event2/event.h>
#include <stdlib.h>

#define ARENA_MAX          262144
#define CONNECT_TIMEOUT_MS 2000

struct fetcher *fetcher_new(struct event_base *base, const char *(*variable)(const char *name))
{
    const char *ca_file = NULL;
    struct buffer problem;
    struct arena arena;

    arena_init(&arena, ARENA_MAX);
    buffer_init(&problem, FETCH_PROBLEM_MAX);
    /* files that cannot be read have been told of: without them nothing was chosen */
    if (endpoint_ca_file(variable, &arena, &ca_file, &problem) != ERROR_NONE)
        ca_file = NULL;
    struct outgoing_options options = {
        .max_connections = 4,
        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
        .ca_file = ca_file,
        .user_agent = "app-orchestrator/" RELEASE_VERSION,
    };
    struct fetcher *fetcher = calloc(1, sizeof *fetcher);

    REQUIRE(fetcher != NULL);
    fetcher->base = base;
    fetcher->variable = variable;
    fetcher->outgoing = outgoing_new(base, &options);
    buffer_release(&problem);
    arena_release(&arena);
    buffer_init(&fetcher->instance_token, FETCH_ANSWER_MAX);
    return fetcher;
}

static void release_secret(struct buffer *buffer)
{
    if (buffer->data)
        wipe(buffer->data, buffer->capacity);
    buffer_release(buffer);
}

void fetcher_free(struct fetcher *fetcher)
{
    if (!fetcher)
        return;
    outgoing_free(fetcher->outgoing);
    release_secret(&fetcher->instance_token);
    free(fetcher);
}

static void on_timer(evutil_socket_t fd, short events, void *context)
{
    struct fetch *fetch = context;

    (void)fd;
    (void)events;
    fetch->on_timer(fetch);
}

void fetch_pause(struct fetch *fetch, int64_t ms, void (*then)(struct fetch *fetch))
{
    struct timeval pause = {ms / 1000, ms % 1000 * 1000};

    fetch->on_timer = then;
    REQUIRE(evtimer_add(fetch->timer, &pause) == 0);
}

static void give_static(struct fetch *fetch)
{
    const struct identity *identity = fetch->identity;

    fetch_finish(fetch, credentials_new(identity->access_key_id, identity->secret_access_key,
                                        identity->session_token, identity->expires_at_ms));
}

static void begin(struct fetch *fetch)
{
    switch (fetch->identity->kind) {
    case IDENTITY_STATIC:
        give_static(fetch);
        break;
    case IDENTITY_ASSUME_ROLE:
    case IDENTITY_WEB_IDENTITY:
        fetch_role(fetch);
        break;
    case IDENTITY_PROCESS:
        fetch_process(fetch);
        break;
    case IDENTITY_CONTAINER:
        fetch_container(fetch);
        break;
    case IDENTITY_INSTANCE:
        fetch_instance(fetch);
        break;
    }
}

struct fetch *fetch_start(struct fetcher *fetcher, const struct identity *identity,
                          void (*on_done)(struct credentials *credentials, struct view problem,
                                          void *context),
                          void *context)
{
    struct fetch *fetch = calloc(1, sizeof *fetch);

    REQUIRE(fetch != NULL);
    fetch->fetcher = fetcher;
    fetch->identity = identity;
    fetch->on_done = on_done;
    fetch->context = context;
    fetch->timer = evtimer_new(fetcher->base, on_timer, fetch);
    REQUIRE(fetch->timer != NULL);
    arena_init(&fetch->arena, ARENA_MAX);
    buffer_init(&fetch->problem, FETCH_PROBLEM_MAX);
    buffer_init(&fetch->form, ARENA_MAX);
    fetch_pause(fetch, 0, begin);
    return fetch;
}

static void release(struct fetch *fetch)
{
    fetch_cancel(fetch->source);
    fetch_process_end(fetch->run);
    if (fetch->call)
        outgoing_cancel(fetch->call);
    credentials_release(fetch->signing);
    event_free(fetch->timer);
    buffer_release(&fetch->problem);
    release_secret(&fetch->form);
    arena_release(&fetch->arena);
    free(fetch);
}

void fetch_cancel(struct fetch *fetch)
{
    if (fetch)
        release(fetch);
}

void fetch_finish(struct fetch *fetch, struct credentials *credentials)
{
    REQUIRE(credentials || fetch->problem.length);
    fetch->on_done(credentials, buffer_view(&fetch->problem), fetch->context);
    release(fetch);
}

void fetch_blame(struct fetch *fetch, const char *what, struct view detail)
{
    buffer_clear(&fetch->problem);
    buffer_append_format(&fetch->problem, "The provider of credentials \"%s\" %s%.*s",
                         fetch->identity->provider, what, VIEW_FORMAT(view_slice(detail, 0, 1024)));
}
