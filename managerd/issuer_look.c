/* Fetches the keys of one issuer, and says what came of it. */
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/contract/jwk.h"
#include "common/net/outgoing.h"
#include "managerd/issuer_address.h"
#include "managerd/issuer_source.h"
#include "managerd/token_rule.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEADLINE_MS    10000
#define SHORTEST_MS    30000 /* whatever the issuer's Cache-Control says */
#define FIRST_RETRY_MS 2000
#define REDISCOVER_MS  3600000
#define SAVE_EVERY_MS  3600000 /* when nothing but the time of the last success has changed */
#define MAX_LOOKS      32      /* at once; the others wait a little */
#define WAIT_MS        100

static void fetch_keys(struct source *source);

/* A tenth more or less, so that many do not come at once. */
static int64_t spread(int64_t delay_ms)
{
    uint16_t random;
    random_bytes(&random, sizeof random);
    return delay_ms - delay_ms / 10 + delay_ms / 5 * random / UINT16_MAX;
}

static int64_t retry_ms(const struct source *source)
{
    int64_t delay = FIRST_RETRY_MS, most = source->issuers->options.interval_ms;
    for (unsigned i = 1; i < source->failures && delay < most; i++)
        delay *= 2;
    return delay < most ? delay : most;
}

static void __attribute__((format(printf, 2, 3)))
fail(struct source *source, const char *format, ...)
{
    char before[ISSUER_PROBLEM_MAX];
    va_list arguments;
    snprintf(before, sizeof before, "%s", source->problem);
    va_start(arguments, format);
    vsnprintf(source->problem, sizeof source->problem, format, arguments);
    va_end(arguments);
    source->issuers->failed++;
    source->failures++;
    source->discovered_ms = 0; /* the keys may have moved */
    source->checked_ms = clock_wall_ms();
    if (source->fetched_ms > source->checked_ms) /* the clock was set back */
        source->fetched_ms = source->checked_ms;
    if (strcmp(before, source->problem) != 0)
        log_write(LOG_WARN, "issuer-failed", LOG_STRING("issuer", source->issuer),
                  LOG_STRING("problem", source->problem));
    if (source->keys &&
        source->checked_ms - source->fetched_ms >= source->issuers->options.max_age_ms) {
        log_write(LOG_ERROR, "issuer-keys-too-old", LOG_STRING("issuer", source->issuer));
        json_free(source->keys);
        source->keys = NULL;
        free(source->etag);
        source->etag = NULL;
        source_save(source);
    }
    source_schedule(source, spread(retry_ms(source)));
}

/* RFC 9111 section 5.2.2.1; -1: not said. */
static int64_t max_age_ms(const struct outgoing_call *call)
{
    struct view rest, one;
    uint64_t seconds;
    if (!outgoing_header(call, "Cache-Control", &rest))
        return -1;
    while (view_split(&rest, ',', &one)) {
        one = view_trim(one);
        if (view_starts_with(one, VIEW("max-age=")) &&
            view_to_u64(view_slice(one, 8, SIZE_MAX), 365 * 86400, &seconds) == ERROR_NONE)
            return (int64_t)seconds * 1000;
    }
    return -1;
}

static void succeed(struct source *source, const struct outgoing_call *call)
{
    int64_t delay = source->issuers->options.interval_ms, age = max_age_ms(call);
    if (age >= 0 && age < delay)
        delay = age > SHORTEST_MS ? age : delay < SHORTEST_MS ? delay : SHORTEST_MS;
    source->issuers->succeeded++;
    source->failures = 0;
    source->problem[0] = 0;
    source->fetched_ms = source->checked_ms = clock_wall_ms();
    source_schedule(source, spread(delay));
}

/* Takes `keys` over. */
static void use_keys(struct source *source, struct json *keys, size_t passed_over)
{
    bool changed = !source->keys || !json_equal(source->keys, keys);
    json_free(source->keys);
    source->keys = keys;
    if (changed)
        log_write(LOG_INFO, "issuer-keys", LOG_STRING("issuer", source->issuer),
                  LOG_INTEGER("keys", (int64_t)json_count(keys)),
                  LOG_INTEGER("passedOver", (int64_t)passed_over));
    int64_t save_every_ms = source->issuers->options.max_age_ms / 8;
    if (save_every_ms > SAVE_EVERY_MS)
        save_every_ms = SAVE_EVERY_MS;
    if (changed || source->fetched_ms - source->saved_ms >= save_every_ms)
        source_save(source);
}

/* ---- a look ---- */

/* What is wrong with an answer as such; false: nothing. */
static bool failed_answer(struct source *source, const char *what,
                          const struct outgoing_result *result)
{
    if (source->address_refused && result->error)
        fail(source,
             "%s: its address is a loopback or link-local one, or a metadata service's, which "
             "MANAGERD_JWKS_ALLOW does not allow.",
             what);
    else if (result->error == ERROR_TOO_BIG)
        fail(source, "%s: the answer has more than %d bytes.", what, JWK_SET_MAX_BYTES);
    else if (result->error)
        fail(source, "%s: it %s (%s).", what, error_text(result->error), result->reason);
    else if (result->status >= 300 && result->status < 400 && result->status != 304)
        fail(source,
             "%s: it answered with a redirect (%d), which is not followed; name the place "
             "itself in jwksUrl.",
             what, result->status);
    else if (result->status != 200 && result->status != 304)
        fail(source, "%s: it answered with the status %d.", what, result->status);
    else
        return false;
    return true;
}

static void on_keys(const struct outgoing_result *result, void *context)
{
    struct source *source = context;
    struct buffer problem;
    struct arena arena;
    struct view etag;
    source->call = NULL;
    if (failed_answer(source, "The key set", result))
        return;
    if (result->status == 304 && source->keys && source->etag) {
        succeed(source, result->call);
        use_keys(source, json_copy(source->keys), 0);
        return;
    }
    struct jwk_set *set = calloc(1, sizeof *set);
    REQUIRE(set);
    arena_init(&arena, 1u << 20);
    buffer_init(&problem, ISSUER_PROBLEM_MAX);
    if (jwk_set_read(&arena, result->body, set, &problem)) {
        fail(source, "%.*s", VIEW_FORMAT(buffer_view(&problem)));
    } else {
        free(source->etag);
        source->etag = outgoing_header(result->call, "ETag", &etag) && etag.length <= 256
                           ? view_duplicate(etag)
                           : NULL;
        succeed(source, result->call);
        use_keys(source, token_rule_store_keys(set->keys, set->count), set->passed_over);
    }
    buffer_release(&problem);
    arena_release(&arena);
    free(set);
}

static void on_discovery(const struct outgoing_result *result, void *context)
{
    struct source *source = context;
    struct buffer problem;
    struct arena arena;
    struct view url;
    source->call = NULL;
    if (failed_answer(source, "The issuer's discovery document", result))
        return;
    arena_init(&arena, 65536);
    buffer_init(&problem, ISSUER_PROBLEM_MAX);
    if (jwk_discovery_read(&arena, result->body, view_of(source->issuer), &url, &problem)) {
        fail(source, "%.*s", VIEW_FORMAT(buffer_view(&problem)));
    } else {
        if (!source->url || !view_equal_string(url, source->url)) {
            free(source->url);
            source->url = view_duplicate(url);
            free(source->etag);
            source->etag = NULL;
        }
        source->discovered_ms = clock_wall_ms();
        fetch_keys(source);
    }
    buffer_release(&problem);
    arena_release(&arena);
}

static bool may_connect(const struct sockaddr *address, void *context)
{
    struct source *source = context;
    const struct issuers_options *options = &source->issuers->options;
    bool may = issuer_address_allowed(address, options->allow_loopback, options->allow_link_local);
    source->address_refused |= !may;
    return may;
}

static void get(struct source *source, const char *what, const char *url,
                void (*on_done)(const struct outgoing_result *result, void *context))
{
    struct incoming_header headers[2] = {{VIEW("Accept"), VIEW("application/json")}};
    struct outgoing_request request = {.method = "GET",
                                       .url = url,
                                       .headers = headers,
                                       .header_count = 1,
                                       .deadline_ms = DEADLINE_MS,
                                       .max_answer_bytes = JWK_SET_MAX_BYTES,
                                       .fresh_connection = true,
                                       .on_done = on_done,
                                       .may_connect = may_connect,
                                       .context = source};
    if (on_done == on_keys && source->etag && source->keys)
        headers[request.header_count++] =
            (struct incoming_header){VIEW("If-None-Match"), view_of(source->etag)};
    if (!issuer_url_allowed(view_of(url), source->issuers->options.allow_loopback)) {
        fail(source, "%s: %s is no https URL.", what, url);
        return;
    }
    source->address_refused = false;
    source->call = outgoing_send(source->issuers->outgoing, &request);
}

static void fetch_keys(struct source *source)
{
    get(source, "The key set", source->url, on_keys);
}

void source_look(evutil_socket_t fd, short what, void *context)
{
    struct source *source = context;
    struct view issuer = view_of(source->issuer);
    char url[640];
    (void)fd, (void)what;
    if (source->call)
        return;
    if (outgoing_active(source->issuers->outgoing) >= MAX_LOOKS) {
        source_schedule(source, spread(WAIT_MS));
        return;
    }
    if (source->configured_url) {
        free(source->url);
        source->url = view_duplicate(view_of(source->configured_url));
        fetch_keys(source);
    } else if (source->url && source->discovered_ms &&
               clock_wall_ms() - source->discovered_ms < REDISCOVER_MS) {
        fetch_keys(source);
    } else {
        if (view_ends_with(issuer, VIEW("/")))
            issuer.length--;
        snprintf(url, sizeof url, "%.*s/.well-known/openid-configuration", VIEW_FORMAT(issuer));
        get(source, "The issuer's discovery document", url, on_discovery);
    }
}
