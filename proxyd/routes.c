/* Reads settings, domains and routes from the store, and follows the store when it is replaced. */
#include "proxyd/routes.h"

#include "common/base/log.h"
#include "common/store/layout.h"
#include "common/store/store.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOST_MAX_BYTES 253

/* One opened store and who uses it: `routes` itself and each reader that took it. */
struct epoch {
    struct store *store;
    unsigned holds;
};

struct routes {
    const struct config *config;
    pthread_mutex_t lock; /* over current and holds; never taken for a request */
    struct epoch *current;
    enum error said; /* the last problem that was logged */
};

struct routes_reader {
    struct routes *routes;
    struct epoch *epoch;
    struct store_reader *store;
    struct buffer value;
    struct buffer settings_bytes; /* what `rules` was decoded from */
    struct arena settings_arena;
    struct route_rules rules;
    struct arena *arena; /* of the request that is looked up now */
};

static void release(struct routes *routes, struct epoch *epoch)
{
    bool last;

    if (!epoch)
        return;
    pthread_mutex_lock(&routes->lock);
    last = --epoch->holds == 0;
    pthread_mutex_unlock(&routes->lock);
    if (last) {
        store_close(epoch->store);
        free(epoch);
    }
}

struct routes *routes_new(const struct config *config)
{
    struct routes *routes = calloc(1, sizeof *routes);

    REQUIRE(routes != NULL);
    routes->config = config;
    REQUIRE(pthread_mutex_init(&routes->lock, NULL) == 0);
    return routes;
}

void routes_free(struct routes *routes)
{
    if (!routes)
        return;
    release(routes, routes->current);
    pthread_mutex_destroy(&routes->lock);
    free(routes);
}

static const char *const databases[] = {LAYOUT_META, LAYOUT_SETTINGS, LAYOUT_ROUTES, LAYOUT_DOMAINS,
                                        NULL};

/* Whether something was published in it: a store that is being made anew is empty at first. */
static bool is_published(struct store *store)
{
    struct store_reader *reader = NULL;
    struct buffer meta;

    buffer_init(&meta, ROUTE_MAX_RECORD);
    bool published = store_reader_new(store, &reader) == ERROR_NONE &&
                     store_get(reader, LAYOUT_META, view_of(LAYOUT_META), &meta) == ERROR_NONE;
    store_reader_free(reader);
    buffer_release(&meta);
    return published;
}

static struct epoch *epoch_open(struct routes *routes)
{
    struct store_options options = {
        .folder = routes->config->routes_dir, .read_only = true, .databases = databases};
    struct epoch *epoch = NULL;
    struct store *store = NULL;
    struct buffer problem;

    buffer_init(&problem, 1024);
    enum error error = store_open(&options, &store, &problem);
    if (error == ERROR_NONE && routes->current && !is_published(store)) {
        store_close(store);
        buffer_append_string(&problem, "nothing is published in it yet");
        error = ERROR_NOT_FOUND;
    }
    if (error == ERROR_NONE) {
        store_check_readers(store);
        epoch = calloc(1, sizeof *epoch);
        REQUIRE(epoch != NULL);
        epoch->store = store;
        epoch->holds = 1;
        log_write(LOG_INFO, "routes-opened", LOG_STRING("folder", options.folder));
    } else if (error != routes->said) {
        log_write(error == ERROR_NOT_FOUND ? LOG_INFO : LOG_WARN, "routes-unavailable",
                  LOG_STRING("folder", options.folder), LOG_STRING("error", error_name(error)),
                  LOG_VIEW("problem", buffer_view(&problem)));
    }
    routes->said = error;
    buffer_release(&problem);
    return epoch;
}

void routes_tend(struct routes *routes)
{
    struct epoch *old = routes->current; /* written by this thread alone */

    if (old && !store_replaced(old->store))
        return;
    struct epoch *opened = epoch_open(routes);
    if (!opened)
        return; /* the old one serves on: losing the store must not take the apps down */
    pthread_mutex_lock(&routes->lock);
    routes->current = opened;
    pthread_mutex_unlock(&routes->lock);
    release(routes, old);
}

struct routes_reader *routes_reader_new(struct routes *routes)
{
    struct routes_reader *reader = calloc(1, sizeof *reader);

    REQUIRE(reader != NULL);
    reader->routes = routes;
    buffer_init(&reader->value, ROUTE_MAX_RECORD);
    buffer_init(&reader->settings_bytes, ROUTE_MAX_RECORD);
    arena_init(&reader->settings_arena, ROUTE_MAX_RECORD * 4);
    routes_reader_tend(reader);
    return reader;
}

static void reader_drop(struct routes_reader *reader)
{
    store_reader_free(reader->store);
    reader->store = NULL;
    release(reader->routes, reader->epoch);
    reader->epoch = NULL;
}

void routes_reader_free(struct routes_reader *reader)
{
    if (!reader)
        return;
    reader_drop(reader);
    buffer_release(&reader->value);
    buffer_release(&reader->settings_bytes);
    arena_release(&reader->settings_arena);
    free(reader);
}

void routes_reader_tend(struct routes_reader *reader)
{
    struct routes *routes = reader->routes;
    struct epoch *current;

    pthread_mutex_lock(&routes->lock);
    current = routes->current;
    if (current && current != reader->epoch)
        current->holds++;
    pthread_mutex_unlock(&routes->lock);
    if (!current || current == reader->epoch)
        return;
    reader_drop(reader);
    reader->epoch = current;
    enum error error = store_reader_new(current->store, &reader->store);
    if (error != ERROR_NONE) {
        log_write(LOG_ERROR, "routes-reader-failed", LOG_STRING("error", error_name(error)));
        reader->store = NULL;
        reader_drop(reader); /* tried again at the next tick */
    }
}

/* Decodes the settings anew only when their bytes have changed. */
static enum error read_rules(struct routes_reader *reader)
{
    const struct config *config = reader->routes->config;
    struct settings_record settings = {0};
    enum error error =
        store_get(reader->store, LAYOUT_SETTINGS, view_of(LAYOUT_SETTINGS), &reader->value);

    if (error != ERROR_NONE && error != ERROR_NOT_FOUND)
        return error;
    if (reader->rules.base_domains &&
        view_equal(buffer_view(&reader->value), buffer_view(&reader->settings_bytes)))
        return ERROR_NONE;
    arena_release(&reader->settings_arena);
    arena_init(&reader->settings_arena, ROUTE_MAX_RECORD * 4);
    reader->rules = (struct route_rules){0};
    if (error == ERROR_NONE) {
        error =
            settings_record_decode(&reader->settings_arena, buffer_view(&reader->value), &settings);
        if (error != ERROR_NONE)
            return error;
    }
    reader->rules = (struct route_rules){
        .base_domains = config->fallback_base_domains,
        .base_domain_count = config->fallback_base_domain_count,
        .path_routing = config->path_routing == PATH_ROUTING_ON ||
                        (config->path_routing == PATH_ROUTING_PUBLISHED && settings.path_routing),
    };
    if (settings.base_domain_count > 0) {
        reader->rules.base_domains = settings.base_domains;
        reader->rules.base_domain_count = settings.base_domain_count;
    }
    if (config->base_domains) {
        reader->rules.base_domains = config->base_domains;
        reader->rules.base_domain_count = config->base_domain_count;
    }
    buffer_clear(&reader->settings_bytes);
    buffer_append_view(&reader->settings_bytes, buffer_view(&reader->value));
    return ERROR_NONE;
}

static enum error find_domain(struct view key, const struct route_domain_path **paths,
                              size_t *count, void *context)
{
    struct routes_reader *reader = context;
    struct domain_record domain;
    enum error error = store_get(reader->store, LAYOUT_DOMAINS, key, &reader->value);

    if (error == ERROR_NONE)
        error = domain_record_decode(reader->arena, buffer_view(&reader->value), &domain);
    if (error != ERROR_NONE)
        return error;
    struct route_domain_path *found =
        arena_alloc(reader->arena, (domain.path_count + 1) * sizeof *found);
    if (!found)
        return ERROR_NO_MEMORY;
    for (size_t i = 0; i < domain.path_count; i++)
        found[i] = (struct route_domain_path){domain.paths[i].prefix, domain.paths[i].app,
                                              domain.paths[i].strip};
    *paths = found;
    *count = domain.path_count;
    return ERROR_NONE;
}

static enum error find_in_snapshot(struct routes_reader *reader, const struct route_query *query,
                                   struct route_found *found, struct route_record *record)
{
    enum error error = read_rules(reader);

    if (error == ERROR_NONE)
        error = route_find(&reader->rules, query, find_domain, reader, reader->arena, found);
    if (error == ERROR_NONE)
        error = store_get(reader->store, LAYOUT_ROUTES, found->app, &reader->value);
    if (error == ERROR_NONE)
        error = route_record_decode(reader->arena, buffer_view(&reader->value), record);
    if (error == ERROR_NOT_FOUND && store_get(reader->store, LAYOUT_META, view_of(LAYOUT_META),
                                              &reader->value) == ERROR_NOT_FOUND)
        error = ERROR_UNREACHABLE; /* an empty store: nothing was published yet */
    return error;
}

enum error routes_find(struct routes_reader *reader, const struct route_query *query,
                       struct arena *arena, struct route_found *found, struct route_record *record)
{
    if (!reader->store)
        return ERROR_UNREACHABLE;
    enum error error = store_begin(reader->store);
    if (error != ERROR_NONE)
        return error;
    reader->arena = arena;
    error = find_in_snapshot(reader, query, found, record);
    reader->arena = NULL;
    store_end(reader->store);
    return error;
}

/* Whether the domain of exactly this key names a certificate. */
static bool certificate_of(struct routes_reader *reader, struct view key,
                           char fingerprint[ROUTES_FINGERPRINT_SIZE])
{
    struct domain_record domain;
    struct arena arena;
    bool found = false;

    if (store_get(reader->store, LAYOUT_DOMAINS, key, &reader->value) != ERROR_NONE)
        return false;
    arena_init(&arena, ROUTE_MAX_RECORD * 4);
    if (domain_record_decode(&arena, buffer_view(&reader->value), &domain) == ERROR_NONE &&
        domain.tls_fingerprint.length == ROUTES_FINGERPRINT_SIZE - 1) {
        memcpy(fingerprint, domain.tls_fingerprint.data, ROUTES_FINGERPRINT_SIZE - 1);
        fingerprint[ROUTES_FINGERPRINT_SIZE - 1] = '\0';
        found = true;
    }
    arena_release(&arena);
    return found;
}

bool routes_certificate(struct routes_reader *reader, struct view host,
                        char fingerprint[ROUTES_FINGERPRINT_SIZE])
{
    char wildcard[HOST_MAX_BYTES + 2];
    bool found;

    if (!reader->store || host.length > HOST_MAX_BYTES || store_begin(reader->store) != ERROR_NONE)
        return false;
    found = certificate_of(reader, host, fingerprint);
    for (size_t i = 0; i < host.length && !found; i++) {
        if (host.data[i] != '.')
            continue;
        int length = snprintf(wildcard, sizeof wildcard, "*%.*s",
                              VIEW_FORMAT(view_slice(host, i, SIZE_MAX)));
        found = certificate_of(reader, view_from(wildcard, (size_t)length), fingerprint);
    }
    store_end(reader->store);
    return found;
}

uint64_t routes_generation(struct routes_reader *reader)
{
    struct meta_record meta = {0};
    struct arena arena;

    if (!reader->store ||
        store_get(reader->store, LAYOUT_META, view_of(LAYOUT_META), &reader->value) != ERROR_NONE)
        return 0;
    arena_init(&arena, ROUTE_MAX_RECORD);
    if (meta_record_decode(&arena, buffer_view(&reader->value), &meta) != ERROR_NONE)
        meta.generation = 0;
    arena_release(&arena);
    return meta.generation;
}
