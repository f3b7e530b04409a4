/* Feeds any bytes to reply_decode in each format; what it accepts must be fit to be sent. */
#include "common/base/escape.h"
#include "common/base/json.h"
#include "common/contract/json_scan.h"
#include "common/contract/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_reply(const struct reply *reply, size_t payload_length)
{
    REQUIRE(reply->status >= 200 && reply->status <= 599);
    REQUIRE(reply->header_count <= REPLY_MAX_HEADERS);
    REQUIRE(reply->body.length <= payload_length);
    for (size_t i = 0; i < reply->header_count; i++) {
        struct view name = reply->headers[i].name, value = reply->headers[i].value;

        REQUIRE(name.length > 0);
        for (size_t j = 0; j < name.length; j++)
            REQUIRE(name.data[j] > ' ' && name.data[j] != ':' && name.data[j] != 0x7F);
        for (size_t j = 0; j < value.length; j++)
            REQUIRE((unsigned char)value.data[j] >= ' ' || value.data[j] == '\t');
        REQUIRE(event_header_passes(name, VIEW("")));
        REQUIRE(!view_equal_nocase(name, VIEW("Content-Length")));
    }
}

static void decode(enum event_format format, struct view payload)
{
    struct arena arena;
    struct buffer problem;
    struct reply reply;
    enum error error;

    arena_init(&arena, REPLY_ARENA_BYTES(payload.length));
    buffer_init(&problem, 1000);
    error = reply_decode(format, payload, &arena, &reply, &problem);
    REQUIRE((error == ERROR_NONE) == (problem.length == 0));
    if (error == ERROR_NONE)
        check_reply(&reply, payload.length);
    buffer_release(&problem);
    arena_release(&arena);
}

/* Two readers of JSON: what the strict one takes, the walk takes too. */
static void compare_readers(struct view payload)
{
    struct json_scan scan;
    struct json_part part;
    struct json *tree = NULL;
    bool walked;

    json_scan_begin(&scan, payload);
    walked = utf8_valid(payload) && json_scan_value(&scan, &part) && json_scan_done(&scan);
    if (json_parse(payload, 100, &tree, NULL) == ERROR_NONE)
        REQUIRE(walked);
    json_free(tree);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct view payload = view_from(data, size), type, message;
    struct arena arena;
    bool timed_out;

    decode(EVENT_2_0, payload);
    decode(EVENT_1_0, payload);
    decode(EVENT_ALB, payload);
    arena_init(&arena, REPLY_ARENA_BYTES(size));
    if (!reply_function_error(payload, &arena, &type, &message, &timed_out))
        REQUIRE(type.length == 0 && message.length == 0 && !timed_out);
    arena_release(&arena);
    compare_readers(payload);
    return 0;
}
