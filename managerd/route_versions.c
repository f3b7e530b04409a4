/* Reads versions of state into the form that routes hold them in. */
#include "managerd/route_versions.h"

#include "managerd/records.h"

bool route_version_read(struct state *state, struct view app, int64_t number, int weight,
                        struct arena *arena, struct route_version *version)
{
    struct record record;
    struct key key = key_version(app, number);
    if (record_read(state, key.text, &record))
        return false;
    const struct json *http = json_get(record.json, "http");
    struct view format = text_of(http, "payloadFormat"), mode = text_of(http, "responseMode");
    struct view qualifier = version_qualifier(record.json);
    bool ready = qualifier.length > 0 &&
                 (weight > 0 || view_equal_string(text_of(record.json, "state"), "ready"));
    version->number = (uint32_t)number;
    version->weight = (uint16_t)weight;
    version->function = arena_copy(arena, text_of(json_get(record.json, "function"), "name"));
    version->qualifier = arena_copy(arena, qualifier);
    version->payload_format = view_equal_string(format, "1.0")   ? ROUTE_PAYLOAD_1_0
                              : view_equal_string(format, "alb") ? ROUTE_PAYLOAD_ALB
                                                                 : ROUTE_PAYLOAD_2_0;
    version->response_mode = view_equal_string(mode, "stream") ? ROUTE_STREAM
                             : view_equal_string(mode, "auto") ? ROUTE_AUTO
                                                               : ROUTE_BUFFERED;
    version->multi_value = truth_of(http, "multiValueHeaders");
    version->timeout_s = (uint32_t)integer_of(record.json, "timeoutSeconds");
    record_release(&record);
    return ready;
}

/* The newest versions, in a ring: state gives them in rising order. */
struct newest {
    int64_t numbers[ROUTE_MAX_VERSIONS];
    size_t count;
};

static bool on_version(struct view key, struct view value, uint64_t revision, void *context)
{
    struct newest *newest = context;
    uint64_t number = 0;
    (void)value, (void)revision;
    if (key.length > 10 && !view_to_u64(view_slice(key, key.length - 10, 10), INT32_MAX, &number))
        newest->numbers[newest->count++ % ROUTE_MAX_VERSIONS] = (int64_t)number;
    return true;
}

static bool has_version(const struct route_record *route, int64_t number)
{
    for (size_t i = 0; i < route->version_count; i++)
        if (route->versions[i].number == (uint64_t)number)
            return true;
    return false;
}

enum error route_previews_add(struct state *state, struct arena *arena, struct route_record *route)
{
    struct newest newest = {.count = 0};
    struct key prefix = key_versions(route->app);
    enum error error = state_keys(state, view_of(prefix.text), VIEW(""), on_version, &newest);
    for (size_t i = 0; i < ROUTE_MAX_VERSIONS && i < newest.count && !error; i++) {
        int64_t number = newest.numbers[(newest.count - 1 - i) % ROUTE_MAX_VERSIONS];
        if (route->version_count < ROUTE_MAX_VERSIONS && !has_version(route, number) &&
            route_version_read(state, route->app, number, 0, arena,
                               &route->versions[route->version_count]))
            route->version_count++;
    }
    return error;
}
