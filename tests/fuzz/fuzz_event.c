/* Makes a request out of any bytes (lines, as on the wire) and encodes it; events must be good JSON. */
#include "common/base/escape.h"
#include "common/base/json.h"
#include "common/contract/event.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_HEADERS 200
#define CEILING     ((size_t)6 * 1024 * 1024)

/* "PATH?QUERY", then "NAME: VALUE" lines, an empty line, the body. */
static void make_request(struct view input, struct event_header *headers,
                         struct event_request *request)
{
    struct view line, rest = input;
    size_t mark, count = 0;

    *request = (struct event_request){.method = VIEW("POST"),
                                      .protocol = VIEW("HTTP/1.1"),
                                      .headers = headers,
                                      .domain_name = VIEW("hello.localhost"),
                                      .source_ip = VIEW("127.0.0.1"),
                                      .request_id = VIEW("id"),
                                      .app = VIEW("hello")};
    if (!view_split(&rest, '\n', &line))
        return;
    mark = view_find(line, '?');
    request->raw_path = view_slice(line, 0, mark);
    if (mark != SIZE_MAX)
        request->raw_query = view_slice(line, mark + 1, SIZE_MAX);
    while (count < MAX_HEADERS && view_split(&rest, '\n', &line) && line.length) {
        size_t colon = view_find(line, ':');

        headers[count].name = view_trim(view_slice(line, 0, colon));
        headers[count++].value =
            colon == SIZE_MAX ? VIEW("") : view_trim(view_slice(line, colon + 1, SIZE_MAX));
    }
    request->header_count = count;
    request->body = rest;
}

static void check_event(struct view event, const struct event_request *request)
{
    struct json *tree = NULL;
    struct view body;
    bool base64 = false;

    REQUIRE(utf8_valid(event));
    if (memmem(event.data, event.length, "\\u0000", 6))
        return;                                                /* trees cannot hold it */
    REQUIRE(json_parse(event, 20, &tree, NULL) == ERROR_NONE); /* no name twice, too */
    REQUIRE(json_get_bool(tree, "isBase64Encoded", &base64));
    if (request->body.length) {
        struct buffer decoded;

        REQUIRE(json_get_string(tree, "body", &body));
        buffer_init(&decoded, request->body.length + 3);
        if (base64) {
            REQUIRE(base64_decode(&decoded, body) == ERROR_NONE);
            body = buffer_view(&decoded);
        }
        REQUIRE(view_equal(body, request->body));
        buffer_release(&decoded);
    }
    json_free(tree);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum event_format formats[] = {EVENT_1_0, EVENT_2_0, EVENT_ALB, EVENT_ALB};
    struct event_header headers[MAX_HEADERS];
    struct event_request request;
    struct buffer out;

    if (size > CEILING / 20)
        return 0;
    make_request(view_from(data, size), headers, &request);
    for (size_t i = 0; i < sizeof(formats) / sizeof(*formats); i++) {
        request.multi_value = i == 3;
        buffer_init(&out, CEILING);
        REQUIRE(event_encode(formats[i], &request, &out) == ERROR_NONE);
        check_event(buffer_view(&out), &request);
        buffer_release(&out);
    }
    return 0;
}
