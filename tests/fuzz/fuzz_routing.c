/* Feeds any host and path (a case of tests/vectors/routing, or lines) to route_find. */
#include "common/base/json.h"
#include "common/contract/host.h"
#include "common/contract/path.h"
#include "common/contract/route.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Knows every key that is a lawful domain and has an "e" in it: enough to be found in many ways. */
static enum error find_domain(struct view key, const struct route_domain_path **paths,
                              size_t *count, void *context)
{
    static const struct route_domain_path all[] = {{{"/", 1}, {"root", 4}, false},
                                                   {{"/api", 4}, {"api", 3}, true},
                                                   {{"/%C3%A9/", 8}, {"accent", 6}, true}};

    (void)context;
    if (!domain_host_valid(key) || view_find(key, 'e') == SIZE_MAX)
        return ERROR_NOT_FOUND;
    *paths = all;
    *count = sizeof(all) / sizeof(*all);
    return ERROR_NONE;
}

static void check_found(const struct route_query *query, const struct route_found *found)
{
    REQUIRE(found->by != ROUTE_BY_NOTHING);
    REQUIRE(app_name_valid(found->app));
    REQUIRE(found->path.length > 0 && found->path.data[0] == '/');
    REQUIRE(view_starts_with(query->path, found->stripped));
    if (found->stripped.length < query->path.length)
        REQUIRE(view_equal(view_slice(query->path, found->stripped.length, SIZE_MAX), found->path));
    else
        REQUIRE(view_equal(found->path, VIEW("/")));
}

/* The normal form of a normal form is itself. */
static void check_normal_forms(const struct route_query *query)
{
    struct buffer once, twice;

    buffer_init(&once, PATH_NORMAL_MAX(query->path.length));
    buffer_init(&twice, PATH_NORMAL_MAX(query->path.length));
    if (path_normalize(query->path, &once) == ERROR_NONE) {
        REQUIRE(path_normalize(buffer_view(&once), &twice) == ERROR_NONE);
        REQUIRE(view_equal(buffer_view(&once), buffer_view(&twice)));
        REQUIRE(path_raw_length(query->path, once.length) == query->path.length);
    }
    buffer_release(&once);
    buffer_release(&twice);
    buffer_init(&once, HOST_MAX_BYTES);
    buffer_init(&twice, HOST_MAX_BYTES);
    if (host_normalize(query->host, &once) == ERROR_NONE) {
        REQUIRE(host_normalize(buffer_view(&once), &twice) == ERROR_NONE);
        REQUIRE(view_equal(buffer_view(&once), buffer_view(&twice)));
    }
    buffer_release(&once);
    buffer_release(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct view bases[] = {{"localhost", 9}, {"*", 1}};
    const struct route_rules rules = {bases, 1 + size % 2, true};
    struct view rest = view_from(data, size);
    struct route_query query = {.path = {NULL, 0}};
    struct route_found found;
    struct json *seed = NULL;
    struct arena arena;

    if (json_parse(rest, 20, &seed, NULL) != ERROR_NONE ||
        !json_get_string(seed, "host", &query.host) ||
        !json_get_string(seed, "path", &query.path)) {
        view_split(&rest, '\n', &query.host);
        query.path = rest;
    }
    arena_init(&arena, 4096 + 4 * size);
    if (route_find(&rules, &query, find_domain, NULL, &arena, &found) == ERROR_NONE)
        check_found(&query, &found);
    check_normal_forms(&query);
    arena_release(&arena);
    json_free(seed);
    return 0;
}
