/* Puts the examples, which the build has taken from examples.json, into the OpenAPI document. */
#include "managerd/openapi_parts.h"

#include "managerd/examples_data.h" /* made by CMake: examples_json, its bytes */

#include <string.h>

#define MAX_DEPTH 20

struct json *openapi_examples_read(void)
{
    struct json *examples = NULL;
    struct view text = view_from(examples_json, sizeof examples_json);
    REQUIRE(!json_parse(text, MAX_DEPTH, &examples, NULL));
    return examples;
}

bool openapi_write_request_example(struct json_writer *w, const struct json *examples,
                                   const struct endpoint *endpoint)
{
    const struct json *own = json_get(json_get(examples, "requests"), endpoint->id);
    if (own)
        json_write_tree(w, "example", own);
    else if (endpoint->takes->example)
        json_write_raw(w, "example", view_of(endpoint->takes->example));
    return own || endpoint->takes->example;
}

bool openapi_write_answer_example(struct json_writer *w, const struct json *examples,
                                  const struct endpoint *endpoint)
{
    const struct json *answers = json_get(examples, "answers");
    const struct json *example = json_get(answers, endpoint->id);
    if (!example && endpoint->gives)
        example = json_get(answers, endpoint->gives->name);
    if (!example)
        return false;
    if (endpoint->flags & ENDPOINT_LIST) {
        json_open_object(w, "example");
        json_open_array(w, "items");
        json_write_tree(w, NULL, example);
        json_close_array(w);
        json_write_null(w, "nextCursor");
        json_close_object(w);
    } else {
        json_write_tree(w, "example", example);
    }
    return true;
}
