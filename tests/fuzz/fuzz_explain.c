/* Feeds any text to the question of an explanation: what is taken is a part of it, and what a client could send. */
#include "managerd/explain.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_part(struct view part, struct view whole)
{
    return part.length == 0 || view_equal(part, VIEW("/")) ||
           (part.data >= whole.data && part.data + part.length <= whole.data + whole.length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct explain_request request = {.method = VIEW("GET")};
    struct view text = view_from(data, size), rest = text, line;

    if (!explain_url(text, &request)) {
        REQUIRE(request.host.length > 0 && request.path.length > 0);
        REQUIRE(is_part(request.host, text) && is_part(request.path, text));
        REQUIRE(is_part(request.query, text));
        REQUIRE(view_find(request.host, '@') == SIZE_MAX && request.path.data[0] == '/');
    }
    while (view_split(&rest, '\n', &line))
        if (explain_add_header(line, &request))
            REQUIRE(is_part(request.headers[request.header_count - 1].value, line));
    REQUIRE(request.header_count <= EXPLAIN_MAX_HEADERS);
    return 0;
}
