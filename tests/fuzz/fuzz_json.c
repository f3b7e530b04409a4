/* Feeds any bytes to json_parse; what it accepts must print to a text that reads back as equal. */
#include "common/base/escape.h"
#include "common/base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void print_and_read_back(const struct json *value)
{
    struct json *again = NULL;
    struct buffer text;

    buffer_init(&text, (size_t)64 * 1024 * 1024);
    json_print(&text, value);
    REQUIRE(text.error == ERROR_NONE);
    REQUIRE(json_parse(buffer_view(&text), 100, &again, NULL) == ERROR_NONE);
    REQUIRE(json_equal(value, again));
    json_free(again);
    buffer_release(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct view text = view_from(data, size);
    struct json *value = NULL;
    size_t offset = 0;
    struct buffer escaped;

    if (json_parse(text, 100, &value, &offset) == ERROR_NONE)
        print_and_read_back(value);
    else
        REQUIRE(value == NULL && offset <= size);
    json_free(value);

    /* Any bytes at all, escaped, are the inside of a good string; U+0000 alone stays refused. */
    buffer_init(&escaped, 8 + 6 * size);
    buffer_append_byte(&escaped, '"');
    json_escape(&escaped, text);
    buffer_append_byte(&escaped, '"');
    REQUIRE(utf8_valid(buffer_view(&escaped)));
    if (view_find(text, '\0') == SIZE_MAX) {
        REQUIRE(json_parse(buffer_view(&escaped), 1, &value, NULL) == ERROR_NONE);
        json_free(value);
    }
    buffer_release(&escaped);
    return 0;
}
