/* Keeps how much concurrency each version and alias has beforehand, and tells when it is there. */
#include "deploy/lambda-local/provisioned.h"

#include "common/base/clock.h"

#include <stdlib.h>
#include <string.h>

void provisioned_set(struct function *function, const char *qualifier, int64_t requested)
{
    struct json *kept = json_new_object();

    json_set_integer(kept, "requested", requested);
    json_set_integer(kept, "sinceMs", clock_wall_ms());
    json_set(function->provisioned, qualifier, kept);
}

void provisioned_remove(struct function *function, const char *qualifier)
{
    json_remove(function->provisioned, qualifier);
}

/* What it stood for may be gone meanwhile; numbers never come again. */
static bool is_there(const struct function *function, struct view qualifier)
{
    int64_t number;

    if (!version_label_parse(qualifier, &number))
        return function_alias(function, qualifier) != NULL;
    return function_version(function, number) != NULL;
}

static int64_t requested_of(const struct json *kept)
{
    int64_t requested = 0;

    json_get_integer(kept, "requested", &requested);
    return requested;
}

static struct json *show(const struct json *kept, int64_t ready_delay_ms)
{
    struct json *answer = json_new_object();
    char text[CLOCK_RFC3339_SIZE + 8];
    int64_t requested = requested_of(kept), since_ms = 0;

    json_get_integer(kept, "sinceMs", &since_ms);
    bool ready = clock_wall_ms() - since_ms >= ready_delay_ms;
    clock_format_rfc3339(since_ms, text);
    memcpy(text + strlen(text) - 1, "+0000", 6); /* as Lambda writes times */
    json_set_integer(answer, "RequestedProvisionedConcurrentExecutions", requested);
    json_set_integer(answer, "AvailableProvisionedConcurrentExecutions", ready ? requested : 0);
    json_set_integer(answer, "AllocatedProvisionedConcurrentExecutions", ready ? requested : 0);
    json_set_string(answer, "Status", ready ? VIEW("READY") : VIEW("IN_PROGRESS"));
    json_set_string(answer, "LastModified", view_of(text));
    return answer;
}

struct json *provisioned_show(const struct function *function, const char *qualifier,
                              int64_t ready_delay_ms)
{
    const struct json *kept = json_get(function->provisioned, qualifier);

    return kept && is_there(function, view_of(qualifier)) ? show(kept, ready_delay_ms) : NULL;
}

int64_t provisioned_sum(const struct function *function, const char *except)
{
    const struct json *each = json_first(function->provisioned);
    int64_t sum = 0;

    for (; each; each = json_next(each)) {
        if (is_there(function, json_name(each)) &&
            !(except && view_equal_string(json_name(each), except)))
            sum += requested_of(each);
    }
    return sum;
}

struct json *provisioned_list(const struct function *function, int64_t ready_delay_ms)
{
    const struct json *each = json_first(function->provisioned);
    struct json *items = json_new_array();

    for (; each; each = json_next(each)) {
        char arn[FUNCTION_ARN_SIZE];
        char *qualifier;

        if (!is_there(function, json_name(each)))
            continue;
        qualifier = view_duplicate(json_name(each));
        function_arn(arn, function->name, qualifier);
        free(qualifier);
        struct json *item = show(each, ready_delay_ms);
        json_set_string(item, "FunctionArn", view_of(arn));
        json_append(items, item);
    }
    return items;
}
