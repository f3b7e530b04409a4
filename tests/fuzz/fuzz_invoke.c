/* Feeds anything as a body and as an output to what /invoke takes apart: cut events can be put back, answers are JSON. */
#include "common/contract/json_scan.h"
#include "managerd/event_cut.h"
#include "managerd/invoke_answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_INPUT 65536

static bool is_json(struct view text)
{
    struct json_scan scan;
    struct json_part part;

    json_scan_begin(&scan, text);
    return json_scan_value(&scan, &part) && json_scan_done(&scan);
}

/* Of several members of that name all are cut, and the last one comes out. */
static void put_back(struct view text, struct view rest, struct view event)
{
    size_t before = (size_t)(event.data - text.data);

    if (!event.length)
        return;
    REQUIRE(is_json(event) && before < text.length && before + event.length < text.length);
    if (rest.length + event.length != text.length + 4)
        return;
    REQUIRE(view_equal(view_slice(rest, 0, before), view_slice(text, 0, before)));
    REQUIRE(view_equal(view_slice(rest, before + 4, SIZE_MAX),
                       view_slice(text, before + event.length, SIZE_MAX)));
}

static void cut(struct view text)
{
    struct buffer rest;
    struct view event;
    size_t offset = 0;

    buffer_init(&rest, text.length + 16);
    enum error error = event_cut(text, &rest, &event, &offset);
    if (error == ERROR_NONE) {
        REQUIRE(is_json(text) && is_json(buffer_view(&rest)));
        put_back(text, buffer_view(&rest), event);
    } else {
        REQUIRE(error == ERROR_TOO_BIG || offset <= text.length);
    }
    buffer_release(&rest);
}

static void answer(struct view output, unsigned choice)
{
    static const char *const formats[] = {"2.0", "1.0", "alb"};
    static const char *const modes[] = {"buffered", "stream", "auto"};
    struct json *version = json_new_object(), *http = json_new_object();
    struct invoke_outcome outcome = {.version = version,
                                     .is_request = choice & 1,
                                     .output = output,
                                     .failed = choice & 2,
                                     .type = output,
                                     .message = output,
                                     .cut = choice & 4 ? "size" : NULL,
                                     .log = output,
                                     .request_id = VIEW("")};
    struct buffer text;

    json_set_string(http, "payloadFormat", view_of(formats[choice / 8 % 3]));
    json_set_string(http, "responseMode", view_of(modes[choice / 24 % 3]));
    json_set(version, "http", http);
    buffer_init(&text, INVOKE_ANSWER_BYTES);
    invoke_answer(&outcome, &text);
    REQUIRE(!text.error && is_json(buffer_view(&text)));
    buffer_release(&text);
    json_free(version);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct view text = view_from(data, size < MAX_INPUT ? size : MAX_INPUT);

    cut(text);
    if (text.length)
        answer(view_slice(text, 1, SIZE_MAX), (uint8_t)text.data[0]);
    answer(text, 1);
    return 0;
}
