/* Feeds any text to the cutter of packages: it finds those that a parser finds, and no others, and what it leaves is the same JSON. */
#include "common/base/json.h"
#include "managerd/body_cut.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_INPUT   600
#define LARGE_BYTES 1024

/* "@" becomes a text that is worth cutting. */
static void expand(struct view input, struct buffer *text)
{
    for (size_t i = 0; i < input.length; i++)
        for (int n = 0; n < (input.data[i] == '@' ? LARGE_BYTES : 1); n++)
            buffer_append_byte(text, input.data[i] == '@' ? 'A' : input.data[i]);
}

static bool is_large(const struct json *value)
{
    return json_type_of(value) == JSON_STRING && json_string(value).length >= LARGE_BYTES;
}

static size_t count_packages(const struct json *value, bool is_source, bool outermost)
{
    size_t count = 0;
    bool object = json_type_of(value) == JSON_OBJECT;

    if (!object && json_type_of(value) != JSON_ARRAY)
        return 0;
    for (const struct json *one = json_first(value); one; one = json_next(one)) {
        struct view name = object ? json_name(one) : VIEW("");

        count += is_large(one) && ((is_source && view_equal(name, VIEW("zip"))) ||
                                   (outermost && view_equal(name, VIEW("archive"))));
        count += count_packages(
            one, json_type_of(one) == JSON_OBJECT && view_equal(name, VIEW("package")), false);
    }
    return count;
}

static void check(struct view text, const struct buffer *rest, const struct body_cuts *cuts)
{
    struct json *whole = NULL, *left = NULL;
    bool good = !json_parse(text, BODY_CUT_MAX_DEPTH, &whole, NULL);

    if (good) {
        REQUIRE(!json_parse(buffer_view(rest), BODY_CUT_MAX_DEPTH, &left, NULL));
        size_t found = count_packages(whole, false, json_type_of(whole) == JSON_OBJECT);
        /* Names that are written with escapes are not seen, and texts with them are longer than they look. */
        REQUIRE(view_find(text, '\\') != SIZE_MAX || found == cuts->count);
    }
    json_free(whole);
    json_free(left);
}

static void decode_all(struct view text)
{
    struct buffer out;

    buffer_init(&out, 1u << 20);
    while (text.length) {
        struct view before = text;

        if (body_cut_decode(&text, 64, &out))
            break;
        REQUIRE(text.length < before.length);
    }
    buffer_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct view input = view_from(data, size < MAX_INPUT ? size : MAX_INPUT), found;
    struct buffer text, rest;
    struct body_cuts cuts;

    buffer_init(&text, 1u << 20);
    buffer_init(&rest, 1u << 20);
    expand(input, &text);
    REQUIRE(body_cut(buffer_view(&text), &rest, &cuts) == ERROR_NONE);
    for (size_t i = 0; i < cuts.count; i++)
        REQUIRE(cuts.texts[i].length >= LARGE_BYTES);
    (void)body_cuts_find(&cuts, input, &found);
    REQUIRE(body_cuts_place(&cuts, buffer_view(&text), rest.length) == text.length);
    check(buffer_view(&text), &rest, &cuts);
    decode_all(input);
    body_cuts_release(&cuts);
    buffer_release(&text);
    buffer_release(&rest);
    return 0;
}
