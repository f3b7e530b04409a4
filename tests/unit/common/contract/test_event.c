/* Tests of events: the cases of tests/vectors/events, and what data cannot say. */
#include "tests/unit/common/contract/vectors.h"

#include <time.h>

#include "common/base/escape.h"
#include "common/contract/event.h"

#define LAMBDA_LIMIT ((size_t)6 * 1024 * 1024)
#define MAX_HEADERS  100

static struct arena arena;
static struct buffer out;

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, (size_t)64 * 1024 * 1024);
    buffer_init(&out, LAMBDA_LIMIT);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    buffer_release(&out);
    arena_release(&arena);
    return 0;
}

static enum event_format format_named(struct view name)
{
    if (view_equal_string(name, "1.0"))
        return EVENT_1_0;
    if (view_equal_string(name, "alb"))
        return EVENT_ALB;
    assert_true(view_equal_string(name, "2.0"));
    return EVENT_2_0;
}

static struct view member(const struct json *object, const char *name, const char *absent)
{
    return vectors_bytes(&arena, json_get(object, name), absent);
}

/* The request that a request.json describes; absent members have the defaults of the README. */
static void read_request(const struct json *json, struct event_header *headers,
                         struct event_request *request)
{
    const struct json *list = json_get(json, "headers");
    int64_t time_ms = 1783711146671;
    size_t count = 0;

    for (const struct json *pair = json_first(list); pair; pair = json_next(pair)) {
        const struct json *name = json_first(pair);

        assert_true(count < MAX_HEADERS && json_count(pair) == 2);
        headers[count].name = vectors_bytes(&arena, name, "");
        headers[count++].value = vectors_bytes(&arena, json_next(name), "");
    }
    json_get_integer(json, "timeMs", &time_ms);
    *request = (struct event_request){
        .method = member(json, "method", "GET"),
        .raw_path = member(json, "path", "/"),
        .raw_query = member(json, "query", ""),
        .protocol = member(json, "protocol", "HTTP/1.1"),
        .headers = headers,
        .header_count = count,
        .body = member(json, "body", ""),
        .source_ip = member(json, "sourceIp", "203.0.113.7"),
        .domain_name = member(json, "domainName", "hello.example.com"),
        .request_id = member(json, "requestId", "0197f1c2-7b1a-7c3d-8e4f-5a6b7c8d9e0f"),
        .time_ms = time_ms,
        .app = member(json, "app", "hello"),
        .account_id = member(json, "accountId", ""),
        .claims = member(json, "claims", ""),
        .target_group_arn = member(json, "targetGroupArn", ""),
        .api_key_id = member(json, "apiKeyId", ""),
    };
    json_get_bool(json, "multiValue", &request->multi_value);
    json_get_bool(json, "scopesAsked", &request->scopes_asked);
}

static void check_case(const char *name, const char *path)
{
    struct event_header headers[MAX_HEADERS];
    struct json *described = vectors_read_json(&arena, path, "request.json");
    struct json *expected = vectors_read_json(&arena, path, "event.json");
    struct json *event = NULL;
    struct event_request request;
    size_t offset = 0;

    read_request(described, headers, &request);
    buffer_clear(&out);
    assert_int_equal(event_encode(format_named(member(described, "format", "2.0")), &request, &out),
                     ERROR_NONE);
    if (json_parse(buffer_view(&out), 20, &event, &offset) != ERROR_NONE)
        fail_msg("%s: no JSON near byte %zu of %s", name, offset, out.data);
    if (!json_equal(event, expected))
        fail_msg("%s: got %s", name, out.data);
    json_free(event);
    json_free(expected);
    json_free(described);
}

static void every_case_gives_the_event_that_aws_would_send(void **state)
{
    (void)state;
    assert_true(vectors_each("events", check_case) >= 60);
}

static struct event_request simple_request(void)
{
    return (struct event_request){.method = VIEW("POST"),
                                  .raw_path = VIEW("/"),
                                  .protocol = VIEW("HTTP/1.1"),
                                  .domain_name = VIEW("hello.localhost"),
                                  .source_ip = VIEW("127.0.0.1"),
                                  .request_id = VIEW("id"),
                                  .app = VIEW("hello")};
}

static bool contains(struct view whole, const char *part)
{
    return memmem(whole.data, whole.length, part, strlen(part)) != NULL;
}

static const enum event_format formats[] = {EVENT_1_0, EVENT_2_0, EVENT_ALB};

static void an_event_is_appended_to_what_the_buffer_holds(void **state)
{
    struct event_request request = simple_request();

    (void)state;
    buffer_append_string(&out, "before");
    assert_int_equal(event_encode(EVENT_2_0, &request, &out), ERROR_NONE);
    assert_true(view_starts_with(buffer_view(&out), VIEW("before{\"version\":\"2.0\"")));
    assert_true(view_ends_with(buffer_view(&out), VIEW("}")));
}

static void an_event_beyond_the_ceiling_is_too_big(void **state)
{
    struct event_request request = simple_request();
    char *body = malloc(LAMBDA_LIMIT);
    enum error error;

    (void)state;
    assert_non_null(body);
    memset(body, 'x', LAMBDA_LIMIT);
    request.body = view_from(body, LAMBDA_LIMIT);
    for (size_t i = 0; i < 3; i++) {
        buffer_clear(&out);
        error = event_encode(formats[i], &request, &out);
        assert_int_equal(error, ERROR_TOO_BIG);
    }
    free(body);
}

/* Escapes count: what fits as it is may not fit as JSON. */
static void a_body_that_grows_beyond_the_ceiling_is_too_big(void **state)
{
    struct event_request request = simple_request();
    size_t length = LAMBDA_LIMIT / 2;
    char *body = malloc(length);

    (void)state;
    assert_non_null(body);
    memset(body, '"', length);
    request.body = view_from(body, length);
    assert_int_equal(event_encode(EVENT_2_0, &request, &out), ERROR_TOO_BIG);
    free(body);
}

static void every_small_ceiling_ends_in_an_error_and_never_in_half_an_event(void **state)
{
    struct event_header headers[] = {{VIEW("Cookie"), VIEW("a=b; c=d")},
                                     {VIEW("X"), VIEW("\"quoted\"")}};
    struct event_request request = simple_request();
    size_t whole;

    (void)state;
    request.headers = headers;
    request.header_count = 2;
    request.raw_path = VIEW("/%20x");
    request.raw_query = VIEW("a=%20&b");
    request.body = VIEW("body\xFF");
    for (size_t i = 0; i < 3; i++) {
        buffer_clear(&out);
        assert_int_equal(event_encode(formats[i], &request, &out), ERROR_NONE);
        whole = out.length;
        for (size_t ceiling = 0; ceiling <= whole; ceiling++) {
            struct buffer small;

            buffer_init(&small, ceiling);
            assert_int_equal(event_encode(formats[i], &request, &small),
                             ceiling < whole ? ERROR_TOO_BIG : ERROR_NONE);
            buffer_release(&small);
        }
    }
}

static void a_body_with_nul_is_escaped_when_it_is_text(void **state)
{
    struct event_header type = {VIEW("Content-Type"), VIEW("text/plain")};
    struct event_request request = simple_request();

    (void)state;
    request.headers = &type;
    request.header_count = 1;
    request.body = VIEW("a\0b");
    for (size_t i = 0; i < 3; i++) {
        buffer_clear(&out);
        assert_int_equal(event_encode(formats[i], &request, &out), ERROR_NONE);
        assert_true(
            contains(buffer_view(&out), "\"body\":\"a\\u0000b\",\"isBase64Encoded\":false"));
    }
}

static void a_large_binary_body_comes_back_byte_by_byte(void **state)
{
    struct event_request request = simple_request();
    size_t length = (size_t)4 * 1024 * 1024;
    char *body = malloc(length);
    struct json *event = NULL;
    struct buffer decoded;
    struct view encoded;

    (void)state;
    assert_non_null(body);
    for (size_t i = 0; i < length; i++)
        body[i] = (char)(i * 131 + i / 256);
    request.body = view_from(body, length);
    assert_int_equal(event_encode(EVENT_2_0, &request, &out), ERROR_NONE);
    assert_int_equal(json_parse(buffer_view(&out), 20, &event, NULL), ERROR_NONE);
    assert_true(json_get_string(event, "body", &encoded));
    buffer_init(&decoded, length);
    assert_int_equal(base64_decode(&decoded, encoded), ERROR_NONE);
    assert_int_equal(decoded.length, length);
    assert_memory_equal(decoded.data, body, length);
    buffer_release(&decoded);
    json_free(event);
    free(body);
}

/* 200,000 different names would take 20 billion comparisons if each were compared with each. */
static void a_query_of_very_many_names_takes_no_quadratic_time(void **state)
{
    struct event_request request = simple_request();
    struct buffer query;
    clock_t start;

    (void)state;
    buffer_init(&query, (size_t)4 * 1024 * 1024);
    for (unsigned i = 0; i < 200000; i++)
        buffer_append_format(&query, "%s%x", i ? "&" : "", i);
    request.raw_query = buffer_view(&query);
    start = clock();
    assert_int_equal(event_encode(EVENT_ALB, &request, &out), ERROR_NONE);
    assert_true(clock() - start < 10 * CLOCKS_PER_SEC); /* CPU time of this process */
    assert_true(contains(buffer_view(&out), "\"30d3f\":\"\"}"));
    buffer_release(&query);
}

static void text_is_told_from_binary_by_coding_type_and_bytes(void **state)
{
    struct view text = VIEW("text"), bytes = VIEW("\xC0\x80");

    (void)state;
    assert_false(event_body_is_binary(VIEW("text/css"), VIEW(""), text));
    assert_false(event_body_is_binary(VIEW(" APPLICATION/JSON ; charset=x"), VIEW(""), text));
    assert_false(event_body_is_binary(VIEW("application/ld+json"), VIEW(""), text));
    assert_false(event_body_is_binary(VIEW(""), VIEW(""), text));
    assert_false(event_body_is_binary(VIEW("text/css"), VIEW("Identity"), text));
    assert_true(event_body_is_binary(VIEW("text/css"), VIEW("br"), text));
    assert_true(event_body_is_binary(VIEW("text/css"), VIEW(""), bytes));
    assert_true(event_body_is_binary(VIEW(""), VIEW(""), bytes));
    assert_true(event_body_is_binary(VIEW("image/png"), VIEW(""), text));
    assert_true(event_body_is_binary(VIEW("text"), VIEW(""), text));
    assert_true(event_body_is_binary(VIEW("application/jsonx"), VIEW(""), text));
    assert_true(event_body_is_binary(VIEW("+json"), VIEW(""), text));
}

static void hop_by_hop_headers_and_those_that_connection_names_do_not_pass(void **state)
{
    static const char *const stay[] = {
        "connection", "Keep-Alive", "proxy-connection",   "TE", "Transfer-Encoding", "UPGRADE",
        "trailer",    "Expect",     "Proxy-Authorization"};

    (void)state;
    for (size_t i = 0; i < sizeof(stay) / sizeof(*stay); i++)
        assert_false(event_header_passes(view_of(stay[i]), VIEW("")));
    assert_true(event_header_passes(VIEW("Accept"), VIEW("close")));
    assert_true(event_header_passes(VIEW("Close2"), VIEW("close")));
    assert_false(event_header_passes(VIEW("X-Hop"), VIEW("close,\tx-hop ")));
    assert_false(event_header_passes(VIEW("X-Hop"), VIEW("X-HOP")));
    assert_true(event_header_passes(VIEW("Authorization"), (struct view){NULL, 0}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_case_gives_the_event_that_aws_would_send, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(an_event_is_appended_to_what_the_buffer_holds, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(an_event_beyond_the_ceiling_is_too_big, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_body_that_grows_beyond_the_ceiling_is_too_big, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            every_small_ceiling_ends_in_an_error_and_never_in_half_an_event, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_body_with_nul_is_escaped_when_it_is_text, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_large_binary_body_comes_back_byte_by_byte, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_query_of_very_many_names_takes_no_quadratic_time, set_up,
                                        tear_down),
        cmocka_unit_test(text_is_told_from_binary_by_coding_type_and_bytes),
        cmocka_unit_test(hop_by_hop_headers_and_those_that_connection_names_do_not_pass),
    };

    return cmocka_run_group_tests_name("contract/event", tests, NULL, NULL);
}
