/* Tells which apps a token reaches. */
#include "managerd/scope.h"

#include "common/contract/host.h"

bool scope_pattern_valid(struct view text)
{
    if (!view_ends_with(text, VIEW("*")))
        return app_name_valid(text);
    /* What can stand before more: a name, or a name and a hyphen. "*" alone would be all apps, which
     * is said by null, so that nobody says it by mistake. */
    struct view stem = view_slice(text, 0, text.length - 1);
    if (view_ends_with(stem, VIEW("-")))
        stem = view_slice(stem, 0, stem.length - 1);
    return app_name_valid(stem);
}

bool scope_is_all(const struct json *scope)
{
    return json_type_of(scope) != JSON_ARRAY;
}

/* Whether the pattern holds for a name, or for all that the other pattern holds for. */
static bool pattern_holds(struct view pattern, struct view other)
{
    if (!view_ends_with(pattern, VIEW("*")))
        return view_equal(pattern, other);
    return view_starts_with(other, view_slice(pattern, 0, pattern.length - 1));
}

bool scope_holds(const struct json *scope, struct view app)
{
    if (scope_is_all(scope))
        return true;
    for (const struct json *one = json_first(scope); one; one = json_next(one))
        if (pattern_holds(json_string(one), app))
            return true;
    return false;
}

bool scope_covers(const struct json *outer, const struct json *inner)
{
    if (scope_is_all(outer))
        return true;
    if (scope_is_all(inner))
        return false;
    for (const struct json *one = json_first(inner); one; one = json_next(one))
        if (!scope_holds(outer, json_string(one)))
            return false;
    return true;
}
