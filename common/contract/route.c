/* Finds the app that a host and a path belong to, and the version that a bucket falls into. */
#include "common/contract/route.h"

#include "common/contract/host.h"
#include "common/contract/path.h"

/* What the rules look at, in normal form; lives in the arena. */
struct subject {
    struct view host;
    struct view path;
    struct view raw_path;
};

static enum error find_by_domains(const struct subject *subject, route_find_domain find_domain,
                                  void *context, struct arena *arena, struct route_found *found);
static bool find_by_base_domains(const struct route_rules *rules, const struct subject *subject,
                                 struct route_found *found);
static bool find_by_path(const struct subject *subject, struct route_found *found);

/* A buffer over memory of the arena: full-grown from the start, it never reallocates and is never
 * released. */
static bool arena_buffer(struct arena *arena, size_t ceiling, struct buffer *buffer)
{
    char *memory = arena_alloc(arena, ceiling + 1);

    *buffer = (struct buffer){.data = memory, .capacity = ceiling + 1, .ceiling = ceiling};
    return memory != NULL;
}

static enum error normalize_query(const struct route_query *query, struct arena *arena,
                                  struct subject *subject)
{
    struct buffer host, path;
    enum error error;

    if (query->path.length > SIZE_MAX / 8)
        return ERROR_TOO_BIG;
    if (!arena_buffer(arena, HOST_MAX_BYTES, &host) ||
        !arena_buffer(arena, PATH_NORMAL_MAX(query->path.length), &path))
        return arena->error;
    error = host_normalize(query->host, &host);
    if (error == ERROR_NONE)
        error = path_normalize(query->path, &path);
    *subject = (struct subject){buffer_view(&host), buffer_view(&path), query->path};
    return error;
}

enum error route_find(const struct route_rules *rules, const struct route_query *query,
                      route_find_domain find_domain, void *context, struct arena *arena,
                      struct route_found *found)
{
    struct subject subject = {.host = {NULL, 0}};
    enum error error;

    *found = (struct route_found){.by = ROUTE_BY_NOTHING};
    error = normalize_query(query, arena, &subject);
    if (error != ERROR_NONE)
        return error;
    found->path = query->path;
    if (find_domain) {
        error = find_by_domains(&subject, find_domain, context, arena, found);
        if (error != ERROR_NONE || found->by == ROUTE_BY_DOMAIN)
            return error;
    }
    if (find_by_base_domains(rules, &subject, found) ||
        (rules->path_routing && find_by_path(&subject, found)))
        return ERROR_NONE;
    return ERROR_NOT_FOUND;
}

/* Takes the first `normal_length` bytes of the normal path off what is forwarded. */
static void strip_path(const struct subject *subject, size_t normal_length,
                       struct route_found *found)
{
    size_t length = path_raw_length(subject->raw_path, normal_length);

    found->stripped = view_slice(subject->raw_path, 0, length);
    found->path = view_slice(subject->raw_path, length, SIZE_MAX);
    if (found->path.length == 0)
        found->path = VIEW("/");
}

/* The longest prefix wins, and a slash at its end counts for nothing. */
static const struct route_domain_path *longest_prefix(struct view path,
                                                      const struct route_domain_path *paths,
                                                      size_t count)
{
    const struct route_domain_path *best = NULL;

    for (size_t i = 0; i < count; i++)
        if (path_covers(paths[i].prefix, path) &&
            (!best || paths[i].prefix.length > best->prefix.length))
            best = &paths[i];
    return best;
}

/* Looks one key up. ERROR_NOT_FOUND: no such domain, or it has no path for this one (then
 * found->by says so). */
static enum error try_domain(const struct subject *subject, struct view key,
                             route_find_domain find_domain, void *context, struct arena *arena,
                             struct route_found *found)
{
    const struct route_domain_path *paths = NULL, *best;
    size_t count = 0, prefix_length;
    enum error error = find_domain(key, &paths, &count, context);

    if (error != ERROR_NONE)
        return error;
    found->by = ROUTE_BY_DOMAIN;
    found->domain = arena_copy(arena, key);
    best = longest_prefix(subject->path, paths, count);
    if (!best)
        return arena->error != ERROR_NONE ? arena->error : ERROR_NOT_FOUND;
    found->app = arena_copy(arena, best->app);
    prefix_length = best->prefix.length;
    if (prefix_length && best->prefix.data[prefix_length - 1] == '/')
        prefix_length--;
    if (best->strip)
        strip_path(subject, prefix_length, found);
    return arena->error;
}

/* The exact host, then "*." before ever shorter rests of at least two labels. A domain that exists
 * answers for its host, also when none of its paths covers the request. */
static enum error find_by_domains(const struct subject *subject, route_find_domain find_domain,
                                  void *context, struct arena *arena, struct route_found *found)
{
    enum error error = try_domain(subject, subject->host, find_domain, context, arena, found);
    struct view host = subject->host;
    char *key = arena_string(arena, host);
    size_t labels = 1;

    if (error != ERROR_NOT_FOUND || found->by == ROUTE_BY_DOMAIN)
        return error;
    if (!key)
        return arena->error;
    REQUIRE(host.length > 0); /* a normal host */
    if (host.data[0] == '[')
        return ERROR_NONE;
    for (size_t i = 0; i < host.length; i++)
        labels += host.data[i] == '.';
    for (size_t i = 1; i < host.length && labels > 2; i++) {
        if (host.data[i] != '.')
            continue;
        labels--;
        key[i - 1] = '*'; /* over the end of the label that the star stands for */
        error = try_domain(subject, view_from(key + i - 1, host.length - i + 1), find_domain,
                           context, arena, found);
        if (error != ERROR_NOT_FOUND || found->by == ROUTE_BY_DOMAIN)
            return error;
    }
    return ERROR_NONE;
}

static bool find_by_base_domains(const struct route_rules *rules, const struct subject *subject,
                                 struct route_found *found)
{
    for (size_t i = 0; i < rules->base_domain_count; i++) {
        if (!host_app(subject->host, rules->base_domains[i], &found->app, &found->version))
            continue;
        found->by = ROUTE_BY_BASE_DOMAIN;
        found->domain = rules->base_domains[i];
        return true;
    }
    return false;
}

static bool find_by_path(const struct subject *subject, struct route_found *found)
{
    struct view segment, rest;

    if (!path_first_segment(subject->path, &segment, &rest) || !app_name_valid(segment))
        return false;
    found->by = ROUTE_BY_PATH;
    found->app = segment;
    strip_path(subject, 1 + segment.length, found);
    return true;
}

size_t traffic_pick(const uint16_t *weights, size_t count, uint32_t bucket)
{
    uint32_t end = 0;

    for (size_t i = 0; i < count; i++) {
        end += weights[i];
        if (bucket < end)
            return i;
    }
    return SIZE_MAX;
}

bool traffic_bucket_of_cookies(struct view cookies, uint32_t *bucket)
{
    struct view cookie;

    while (view_split(&cookies, ';', &cookie)) {
        size_t equals = view_find(cookie, '=');
        uint64_t number;

        if (equals == SIZE_MAX ||
            !view_equal(view_trim(view_slice(cookie, 0, equals)), VIEW(TRAFFIC_COOKIE)))
            continue;
        if (view_to_u64(view_trim(view_slice(cookie, equals + 1, SIZE_MAX)), TRAFFIC_TOTAL - 1,
                        &number) == ERROR_NONE) {
            *bucket = (uint32_t)number;
            return true;
        }
    }
    return false;
}

/* FNV-1a, 64 bits, and the mixing of splitmix64, without which neighbours would share buckets. */
uint32_t traffic_bucket_of_address(struct view address, struct view app)
{
    const struct view parts[] = {app, VIEW("/"), address};
    uint64_t hash = 0xcbf29ce484222325;

    for (size_t part = 0; part < 3; part++)
        for (size_t i = 0; i < parts[part].length; i++)
            hash = (hash ^ (unsigned char)parts[part].data[i]) * 0x100000001b3;
    hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9;
    hash = (hash ^ (hash >> 27)) * 0x94d049bb133111eb;
    return (uint32_t)((hash ^ (hash >> 31)) % TRAFFIC_TOTAL);
}
