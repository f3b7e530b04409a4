/* Feeds any origins and any lists to the rules about pages of other origins: nobody unmeant gets in, nothing unlawful out. */
#include "common/contract/cors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct view patterns[] = {
    {"https://app.example.com", 23},    {"https://*.example.com", 21},
    {"https://*.example.org:8443", 26}, {"https://*", 9},
    {"http://[::1]:3000", 17},
};

static bool ends_with(struct view text, struct view end)
{
    return text.length > end.length &&
           view_equal(view_slice(text, text.length - end.length, SIZE_MAX), end);
}

/* What a browser would take for another place than the end of it says. */
static bool misleading(struct view origin)
{
    struct view rest = view_slice(origin, view_find(origin, ':') + 3, SIZE_MAX);

    for (size_t i = 0; i < rest.length; i++)
        if (rest.data[i] <= ' ' || rest.data[i] > '~' ||
            view_find(VIEW("/\\@?#%*,;\"'<>"), rest.data[i]) != SIZE_MAX)
            return true;
    return rest.length == 0;
}

static void check_pattern(struct view pattern, struct view origin)
{
    REQUIRE(cors_pattern_lawful(pattern));
    if (!cors_pattern_matches(pattern, origin))
        return;
    REQUIRE(!misleading(origin));
    if (view_equal(pattern, patterns[0]) || view_equal(pattern, patterns[4]))
        REQUIRE(view_equal(pattern, origin));
    else if (view_equal(pattern, patterns[1]))
        REQUIRE(ends_with(origin, VIEW(".example.com")));
    else if (view_equal(pattern, patterns[2]))
        REQUIRE(ends_with(origin, VIEW(".example.org:8443")));
    REQUIRE(view_starts_with(origin, VIEW("http")));
}

/* Headers of a request hold no line ends: the guard sees to that. So must those of the answer. */
static bool one_line(struct view text)
{
    return view_find(text, '\r') == SIZE_MAX && view_find(text, '\n') == SIZE_MAX &&
           view_find(text, '\0') == SIZE_MAX;
}

static void check_answer(struct view origin, struct view method, struct view headers)
{
    for (unsigned bits = 0; bits < 16; bits++) {
        const struct cors_policy policy = {.origins = bits & 8 ? &(struct view){"*", 1} : patterns,
                                           .origin_count = bits & 8 ? 1 : 5,
                                           .methods = VIEW("*"),
                                           .headers = bits & 1 ? VIEW("*") : VIEW("X-One"),
                                           .exposed = VIEW("X-Two"),
                                           .has_max_age = bits & 2,
                                           .max_age_s = UINT32_MAX,
                                           .credentials = bits & 4,
                                           .private_network = true};
        const struct cors_request request = {VIEW("OPTIONS"), origin, method, headers, true};
        struct cors_answer answer;

        cors_decide(&policy, &request, &answer);
        for (size_t i = 0; i < answer.count; i++)
            REQUIRE(one_line(answer.headers[i].value) || !one_line(origin) || !one_line(method));
        REQUIRE(answer.count >= 1 || !answer.preflight);
    }
}

/* A pattern that is taken means itself, unless it has a star. */
static void check_taken(struct view text)
{
    if (cors_pattern_lawful(text) && view_find(text, '*') == SIZE_MAX)
        REQUIRE(cors_pattern_matches(text, text));
    if (cors_pattern_is_open(text))
        REQUIRE(view_find(text, '*') != SIZE_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct view rest = view_from(data, size), line, before = VIEW("");

    while (view_split(&rest, '\n', &line)) {
        struct view quoted = view_trim(line);

        if (quoted.length > 2 && quoted.data[0] == '"') /* a line of a case */
            quoted = view_slice(quoted, 1, quoted.length - 2);
        for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++)
            check_pattern(patterns[i], quoted);
        check_taken(quoted);
        check_answer(quoted, before, line);
        before = quoted;
    }
    return 0;
}
