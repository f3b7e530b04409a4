/* Words the refusals of the API as AWS words them. */
#include "deploy/lambda-local/server/refusal.h"

#include "common/base/json.h"

struct wording {
    const char *name;
    int status;
    const char *type;
    const char *member;
};

static const struct wording wordings[] = {
#define REFUSAL_ROW(code, name, status, type, member) {name, status, type, member},
    REFUSAL_LIST(REFUSAL_ROW)
#undef REFUSAL_ROW
};

const char *refusal_name(enum refusal refusal)
{
    return wordings[refusal].name;
}

int refusal_status(enum refusal refusal)
{
    return wordings[refusal].status;
}

void refusal_body(enum refusal refusal, const char *reason, struct view message, struct buffer *out)
{
    const struct wording *wording = &wordings[refusal];
    struct json_writer w;

    json_begin(&w, out);
    json_open_object(&w, NULL);
    if (reason)
        json_write_string(&w, "Reason", view_of(reason));
    if (wording->type)
        json_write_string(&w, "Type", view_of(wording->type));
    json_write_string(&w, wording->member, message);
    json_close_object(&w);
}
