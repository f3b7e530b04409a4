/* Tells callers who they are: what their token may do, and until when. */
#include "managerd/call.h"
#include "managerd/endpoints/endpoints.h"
#include "managerd/tokens.h"

static const struct shape_field me_fields[] = {
    {.name = "id",
     .kind = SHAPE_STRING,
     .flags = SHAPE_READ_ONLY,
     .description = "The token's id; admin: that of MANAGERD_TOKEN; local: none is asked for."},
    {.name = "name",
     .kind = SHAPE_STRING,
     .flags = SHAPE_READ_ONLY | SHAPE_NULLABLE,
     .description = "The token's name."},
    {.name = "role",
     .kind = SHAPE_STRING,
     .flags = SHAPE_READ_ONLY,
     .choices = "viewer|deployer|admin",
     .description = "What it may do."},
    {.name = "apps",
     .kind = SHAPE_LIST,
     .flags = SHAPE_READ_ONLY | SHAPE_NULLABLE,
     .description = "The apps that it reaches, by name or by prefix; null: all."},
    {.name = "expiresAt",
     .kind = SHAPE_STRING,
     .flags = SHAPE_READ_ONLY | SHAPE_NULLABLE,
     .description = "RFC 3339; null: never."},
};
const struct shape me_shape = {.name = "Me",
                               .description = "Who calls.",
                               .fields = me_fields,
                               .count = sizeof me_fields / sizeof me_fields[0]};

enum progress me_get(struct call *call)
{
    const struct principal *principal = &call->principal;
    const struct token *token = principal->token;
    struct json *me = json_new_object();
    json_set_string(me, "id", view_of(principal->id));
    if (token && token->name[0])
        json_set_string(me, "name", view_of(token->name));
    else
        json_set_null(me, "name");
    json_set_string(me, "role", view_of(role_name(principal->role)));
    json_set(me, "apps", token && token->apps ? json_copy(token->apps) : json_new_null());
    if (token && token->expires_at_ms != NEVER)
        set_time(me, "expiresAt", token->expires_at_ms);
    else
        json_set_null(me, "expiresAt");
    return call_answer(call, 200, me);
}
