/* Makes the records of an accepted deployment. */
#include "managerd/acceptance.h"

#include "managerd/canary.h"
#include "managerd/configure.h"
#include "managerd/records.h"

static bool is_none(const struct json *traffic)
{
    return json_type_of(traffic) == JSON_STRING && view_equal_string(json_string(traffic), "none");
}

/* Who deploys for traffic does not wait for a canary, nor for one that is still to begin. */
static bool end_canaries(struct json *internal, int64_t now_ms)
{
    json_set_integer(internal, "noCanaryThrough", integer_of(internal, "lastVersion"));
    return canary_undo(internal, now_ms);
}

static struct json *package_record(const struct acceptance_package *package)
{
    struct json *stored = json_new_object();
    json_set_string(stored, "type", VIEW("zip"));
    json_set_string(stored, "sha256", package->sha256);
    json_set_integer(stored, "bytes", (int64_t)package->bytes);
    json_set_string(stored, "source", package->source);
    return stored;
}

static unsigned parts_of(const struct json *app, const struct acceptance *acceptance)
{
    const struct json *internal = internal_of(app);
    unsigned parts = 0;
    if (truth_of(internal, "functionClaimed"))
        parts |= PLAN_KNOWN;
    if (json_type_of(json_get(app, "probe")) == JSON_OBJECT)
        parts |= PLAN_PROBE;
    if (acceptance->adopt)
        parts |= PLAN_ADOPT;
    if (truth_of(internal, "reserves") || json_count(json_get(internal, "tagged")))
        parts |= PLAN_CONFIGURE;
    if (configure_provisioned(app) > 0)
        parts |= PLAN_PROVIDE;
    return parts;
}

struct json *acceptance_make(struct change *change, struct json *app, uint64_t revision,
                             const struct acceptance *acceptance, bool *canary_ended)
{
    const struct plan_operation *plan = acceptance->operation;
    struct json *internal = object_in(app, "internal");
    int64_t number = integer_of(internal, "lastVersion") + 1;
    configure_mark(app);
    struct json *operation = plan_deploy(plan, number, parts_of(app, acceptance),
                                         acceptance->traffic, acceptance->canary);
    *canary_ended = !is_none(acceptance->traffic) && end_canaries(internal, plan->now_ms);
    struct json *version =
        version_new(app, number, package_record(acceptance->package), acceptance->description,
                    plan->id, plan->created_by, plan->now_ms);
    json_set_integer(internal, "lastVersion", number);
    json_set_bool(internal, "functionClaimed", true);
    set_time(app, "updatedAt", plan->now_ms);
    struct key key = key_app(plan->app), version_key = key_version(plan->app, number);
    if (revision)
        change_compare(change, key.text, revision);
    change_compare(change, version_key.text, 0);
    change_put(change, key.text, app);
    change_put(change, version_key.text, version);
    json_free(version);
    return operation;
}

void acceptance_queue(struct change *change, const struct json *operation)
{
    struct view id = text_of(operation, "id");
    struct key key = key_operation(id), queue = key_queue(text_of(operation, "app"), id);
    struct json *mark = json_new_object();
    change_put(change, key.text, operation);
    change_put(change, queue.text, mark);
    json_free(mark);
}
