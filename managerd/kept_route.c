/* Puts the rules of now on the versions of before. */
#include "managerd/kept_route.h"

#define ARENA_BYTES ((size_t)8 * ROUTE_MAX_RECORD)

void kept_route_rules(const struct route_record *route, struct buffer *rules)
{
    struct route_record bare = {.app = route->app,
                                .slot = route->slot,
                                .enabled = route->enabled,
                                .access = route->access,
                                .revision = route->revision};
    buffer_clear(rules);
    if (route_record_validate(&bare, NULL))
        return;
    route_record_encode(rules, &bare);
    if (rules->error)
        buffer_clear(rules);
}

enum error kept_route_apply(struct view present, struct buffer *rules)
{
    struct route_record before, now;
    struct arena arena;
    arena_init(&arena, ARENA_BYTES);
    enum error error = route_record_decode(&arena, present, &before);
    if (!error)
        error = route_record_decode(&arena, buffer_view(rules), &now);
    if (!error) {
        before.enabled = now.enabled;
        before.access = now.access;
        error = route_record_validate(&before, NULL);
    }
    if (!error) {
        buffer_clear(rules);
        route_record_encode(rules, &before);
        error = rules->error;
    }
    arena_release(&arena);
    return error;
}
