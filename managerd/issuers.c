/* Knows which apps ask for tokens of which issuers, and publishes their keys when they change. */
#include "managerd/issuers.h"

#include "common/base/clock.h"
#include "common/base/escape.h"
#include "common/base/log.h"
#include "common/net/outgoing.h"
#include "managerd/issuer_source.h"
#include "managerd/publish.h"
#include "managerd/records.h"
#include "managerd/token_rule.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SPREAD_MS 10000 /* after a start, over which sources with keys are looked at */

/* ---- sources and who uses them ---- */

static struct user_list *bucket_of(struct issuers *issuers, struct view app)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < app.length; i++)
        hash = (hash ^ (unsigned char)app.data[i]) * 16777619u;
    return &issuers->buckets[hash % ISSUER_BUCKETS];
}

static struct user *find_user(const struct issuers *issuers, struct view app)
{
    struct user *user;
    LIST_FOREACH(user, bucket_of((struct issuers *)(uintptr_t)issuers, app), in_bucket)
    if (view_equal_string(app, user->app))
        return user;
    return NULL;
}

static struct source *find_source(const struct issuers *issuers, const char *id)
{
    struct source *source;
    LIST_FOREACH(source, &issuers->sources, all)
    if (strcmp(source->id, id) == 0)
        return source;
    return NULL;
}

static struct key key_source(const char *id)
{
    struct key key;
    snprintf(key.text, sizeof key.text, "issuers/%s", id);
    return key;
}

static void source_id(const struct json *rule, char id[2 * SHA256_BYTES + 1])
{
    struct view parts[] = {text_of(rule, "issuer"), text_of(rule, "jwksUrl")};
    uint8_t digest[SHA256_BYTES];
    struct sha256_stream *stream = sha256_new();
    for (size_t i = 0; i < 2; i++) {
        sha256_update(stream, parts[i].data, parts[i].length);
        sha256_update(stream, "", 1);
    }
    sha256_finish(stream, digest);
    hex_write(id, digest, sizeof digest);
    id[2 * SHA256_BYTES] = 0;
}

void source_schedule(struct source *source, int64_t delay_ms)
{
    if (source->again)
        delay_ms = 0;
    source->again = false;
    struct timeval delay = {delay_ms / 1000, delay_ms % 1000 * 1000};
    if (!source->issuers->stopped)
        evtimer_add(source->timer, &delay);
}

/* What state holds of it from before. */
static void load(struct source *source)
{
    struct record record;
    if (record_read(source->issuers->options.state, key_source(source->id).text, &record))
        return;
    int64_t now_ms = clock_wall_ms();
    source->fetched_ms = source->saved_ms = integer_of(record.json, "fetchedAtMs");
    /* Written by a clock that ran ahead: from now on at the latest, or the keys would not age. */
    if (source->fetched_ms > now_ms) {
        source->fetched_ms = now_ms;
        source->saved_ms = 0;
    }
    if (now_ms - source->fetched_ms < source->issuers->options.max_age_ms &&
        json_count(json_get(record.json, "keys")) > 0) {
        source->keys = json_copy(json_get(record.json, "keys"));
        source->url = view_duplicate(text_of(record.json, "url"));
    }
    record_release(&record);
}

static struct source *source_new(struct issuers *issuers, const struct json *rule, const char *id)
{
    struct source *source = calloc(1, sizeof *source);
    struct view url;
    uint16_t random;
    REQUIRE(source);
    source->issuers = issuers;
    snprintf(source->id, sizeof source->id, "%s", id);
    source->issuer = view_duplicate(text_of(rule, "issuer"));
    if (json_get_string(rule, "jwksUrl", &url))
        source->configured_url = view_duplicate(url);
    LIST_INIT(&source->users);
    LIST_INSERT_HEAD(&issuers->sources, source, all);
    source->timer = evtimer_new(issuers->options.base, source_look, source);
    REQUIRE(source->timer);
    load(source);
    random_bytes(&random, sizeof random);
    source_schedule(source, source->keys ? SPREAD_MS * random / UINT16_MAX : 0);
    return source;
}

static void source_free(struct source *source)
{
    if (source->call)
        outgoing_cancel(source->call);
    LIST_REMOVE(source, all);
    event_free(source->timer);
    json_free(source->keys);
    free(source->etag);
    free(source->issuer);
    free(source->configured_url);
    free(source->url);
    free(source);
}

static void on_removed(enum error error, uint64_t revision, void *context)
{
    (void)revision, (void)context;
    if (error)
        log_write(LOG_WARN, "issuer-not-removed", LOG_STRING("error", error_name(error)));
}

static void remove_record(struct issuers *issuers, const char *id)
{
    struct change change;
    change_init(&change);
    change_remove(&change, key_source(id).text);
    state_commit(issuers->options.state, &change, on_removed, NULL);
    change_release(&change);
}

static void user_free(struct user *user)
{
    struct source *source = user->source;
    LIST_REMOVE(user, in_bucket);
    LIST_REMOVE(user, in_source);
    free(user->app);
    free(user);
    if (LIST_EMPTY(&source->users)) {
        if (!source->issuers->stopped)
            remove_record(source->issuers, source->id);
        source_free(source);
    }
}

static void user_new(struct issuers *issuers, struct view app, struct source *source)
{
    struct user *user = calloc(1, sizeof *user);
    REQUIRE(user);
    user->app = view_duplicate(app);
    user->source = source;
    LIST_INSERT_HEAD(bucket_of(issuers, app), user, in_bucket);
    LIST_INSERT_HEAD(&source->users, user, in_source);
}

const struct json *issuers_keys(struct issuers *issuers, struct view app, const struct json *rule)
{
    char id[2 * SHA256_BYTES + 1];
    struct user *user = find_user(issuers, app);
    if (json_type_of(rule) != JSON_OBJECT) {
        if (user)
            user_free(user);
        return NULL;
    }
    source_id(rule, id);
    struct source *source = find_source(issuers, id);
    if (!source)
        source = source_new(issuers, rule, id);
    if (!user || user->source != source) {
        user_new(issuers, app, source);
        if (user)
            user_free(user);
    }
    return source->keys;
}

/* ---- what came of a look ---- */

/* A commit under way; the source may be gone when it ends. */
struct saving {
    struct issuers *issuers;
    char id[2 * SHA256_BYTES + 1];
};

static void on_published(enum error error, void *context)
{
    (void)error, (void)context;
}

/* Publishing may ask for keys again, and so change who uses this source, or end it. */
static void publish_users(struct source *source)
{
    struct issuers *issuers = source->issuers;
    struct user *user;
    size_t count = 0, i = 0;
    LIST_FOREACH(user, &source->users, in_source)
    count++;
    char **apps = calloc(count + 1, sizeof *apps);
    REQUIRE(apps);
    LIST_FOREACH(user, &source->users, in_source)
    apps[i++] = view_duplicate(view_of(user->app));
    for (i = 0; i < count; i++) {
        publish_app(issuers->publisher, view_of(apps[i]), on_published, NULL);
        free(apps[i]);
    }
    free(apps);
}

static void on_saved(enum error error, uint64_t revision, void *context)
{
    struct saving *saving = context;
    struct issuers *issuers = saving->issuers;
    struct source *source = find_source(issuers, saving->id);
    (void)revision;
    free(saving);
    if (error)
        log_write(LOG_ERROR, "issuer-not-saved", LOG_STRING("error", error_name(error)));
    if (!source || !issuers->publisher || issuers->stopped)
        return;
    if (error)
        source->saved_ms = 0; /* the next look tries again */
    publish_users(source);
}

/* State first, then routes. What cannot be saved is in force all the same, until the next start. */
void source_save(struct source *source)
{
    struct change change;
    struct json *record = json_new_object();
    struct saving *saving = calloc(1, sizeof *saving);
    REQUIRE(saving);
    saving->issuers = source->issuers;
    memcpy(saving->id, source->id, sizeof saving->id);
    json_set_string(record, "issuer", view_of(source->issuer));
    json_set_string(record, "url", view_of(source->url));
    json_set_integer(record, "fetchedAtMs", source->fetched_ms);
    json_set(record, "keys", source->keys ? json_copy(source->keys) : json_new_array());
    source->saved_ms = source->fetched_ms;
    change_init(&change);
    change_put(&change, key_source(source->id).text, record);
    state_commit(source->issuers->options.state, &change, on_saved, saving);
    change_release(&change);
    json_free(record);
}

/* ---- the whole ---- */

struct issuers *issuers_new(const struct issuers_options *options)
{
    struct outgoing_options outgoing = {.max_connections = 4,
                                        .connect_timeout_ms = 5000,
                                        .ca_file = options->ca_file,
                                        .user_agent = "app-orchestrator/" RELEASE_VERSION};
    struct issuers *issuers = calloc(1, sizeof *issuers);
    REQUIRE(issuers);
    issuers->options = *options;
    issuers->outgoing = outgoing_new(options->base, &outgoing);
    return issuers;
}

struct leftovers {
    const struct issuers *issuers;
    char (*ids)[2 * SHA256_BYTES + 1];
    size_t count, capacity;
};

static bool on_record(struct view key, struct view value, uint64_t revision, void *context)
{
    struct leftovers *left = context;
    char id[2 * SHA256_BYTES + 1];
    (void)value, (void)revision;
    snprintf(id, sizeof id, "%.*s", VIEW_FORMAT(view_slice(key, sizeof "issuers/" - 1, SIZE_MAX)));
    if (find_source(left->issuers, id))
        return true;
    if (left->count == left->capacity) {
        left->capacity = left->capacity ? 2 * left->capacity : 16;
        left->ids = realloc(left->ids, left->capacity * sizeof *left->ids);
        REQUIRE(left->ids);
    }
    memcpy(left->ids[left->count++], id, sizeof id);
    return true;
}

void issuers_start(struct issuers *issuers, struct publisher *publisher)
{
    struct leftovers left = {.issuers = issuers};
    issuers->publisher = publisher;
    enum error error =
        state_range(issuers->options.state, VIEW("issuers/"), VIEW(""), on_record, &left);
    for (size_t i = 0; i < left.count && !error; i++)
        remove_record(issuers, left.ids[i]);
    free(left.ids);
}

void issuers_stop(struct issuers *issuers)
{
    struct source *source;
    issuers->stopped = true;
    LIST_FOREACH(source, &issuers->sources, all)
    {
        evtimer_del(source->timer);
        if (source->call)
            outgoing_cancel(source->call);
        source->call = NULL;
    }
}

void issuers_free(struct issuers *issuers)
{
    struct source *source;
    if (!issuers)
        return;
    issuers_stop(issuers);
    while ((source = LIST_FIRST(&issuers->sources)))
        user_free(LIST_FIRST(&source->users)); /* the last one takes the source along */
    outgoing_free(issuers->outgoing);
    free(issuers);
}

bool issuers_refresh(struct issuers *issuers, struct view app)
{
    struct user *user = find_user(issuers, app);
    if (!user)
        return false;
    /* What is under way may have been answered before the keys changed. */
    user->source->again = user->source->call != NULL;
    if (!user->source->call)
        source_schedule(user->source, 0);
    return true;
}

static const char *state_of(const struct source *source)
{
    if (source->keys)
        return source->failures ? "stale" : "ready";
    return source->failures ? "missing" : "pending";
}

static void show_time(struct json *shown, const char *name, int64_t wall_ms)
{
    if (wall_ms)
        set_time(shown, name, wall_ms);
    else
        json_set_null(shown, name);
}

struct json *issuers_show(const struct issuers *issuers, struct view app)
{
    struct user *user = find_user(issuers, app);
    if (!user)
        return NULL;
    const struct source *source = user->source;
    struct json *shown = json_new_object();
    json_set_string(shown, "state", view_of(state_of(source)));
    json_set_string(shown, "issuer", view_of(source->issuer));
    if (source->url)
        json_set_string(shown, "jwksUrl", view_of(source->url));
    else
        json_set_null(shown, "jwksUrl");
    json_set(shown, "keys", token_rule_show_keys(source->keys));
    show_time(shown, "fetchedAt", source->fetched_ms);
    show_time(shown, "checkedAt", source->checked_ms);
    if (source->problem[0])
        json_set_string(shown, "problem", view_of(source->problem));
    else
        json_set_null(shown, "problem");
    return shown;
}

void issuers_count(const struct issuers *issuers, struct issuers_figures *figures)
{
    const struct source *source;
    int64_t now_ms = clock_wall_ms();
    *figures = (struct issuers_figures){.succeeded = issuers->succeeded, .failed = issuers->failed};
    LIST_FOREACH(source, &issuers->sources, all)
    {
        int64_t age_s = (now_ms - source->fetched_ms) / 1000;
        figures->sources++;
        figures->failing += source->failures > 0;
        figures->missing += !source->keys;
        if (source->keys && age_s > figures->oldest_s)
            figures->oldest_s = age_s;
    }
}
