/* Tests of the client behind proxies: the cases of tests/vectors/forwarded, and networks. */
#include "tests/unit/common/contract/vectors.h"

#include "common/contract/forwarded.h"

#define MAX_NETWORKS 8

static struct arena arena;

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, (size_t)1024 * 1024);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_release(&arena);
    return 0;
}

static const char *const schemes[] = {"", "http", "https"};

static void check_case(const char *name, const char *path)
{
    struct json *json = vectors_read_json(&arena, path, NULL);
    const struct json *expected = json_get(json, "expected");
    struct forwarded_network networks[MAX_NETWORKS];
    struct forwarded_ask ask = {.trusted = networks};
    struct forwarded_sender sender;
    struct view client, scheme;
    bool trusted;
    int64_t port;

    for (const struct json *one = json_first(json_get(json, "trusted")); one; one = json_next(one))
        assert_int_equal(forwarded_network_parse(json_string(one), &networks[ask.trusted_count++]),
                         ERROR_NONE);
    assert_true(json_get_string(json, "peer", &ask.peer));
    json_get_string(json, "for", &ask.chain);
    json_get_string(json, "proto", &ask.proto);
    json_get_string(json, "port", &ask.port);
    forwarded_read(&ask, &sender);
    assert_true(json_get_bool(expected, "trusted", &trusted));
    assert_true(json_get_string(expected, "client", &client));
    assert_true(json_get_string(expected, "scheme", &scheme));
    assert_true(json_get_integer(expected, "port", &port));
    if (sender.trusted != trusted || !view_equal_string(client, sender.client) ||
        !view_equal_string(scheme, schemes[sender.scheme]) || sender.port != port)
        fail_msg("%s: trusted %d, client %s, scheme %s, port %u", name, sender.trusted,
                 sender.client, schemes[sender.scheme], sender.port);
    json_free(json);
}

static void every_case_finds_its_client(void **state)
{
    (void)state;
    assert_true(vectors_each("forwarded", check_case) >= 40);
}

static void what_is_no_network_is_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "/",
        "10.0.0.0/",
        "10.0.0.0/33",
        "10.0.0.0/-1",
        "10.0.0.0/8/8",
        "10.0.0.1/8",
        "10.0.0/8",
        "fd00::/129",
        "fd00::1/8",
        "localhost",
        "[::1]",
        "10.0.0.0/ 8",
        " 10.0.0.0/8",
        "10.0.0.0/08x",
        "1.2.3.4:80",
        "*",
    };
    struct forwarded_network network;

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        if (forwarded_network_parse(view_of(texts[i]), &network) != ERROR_INVALID)
            fail_msg("%s was taken", texts[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_case_finds_its_client, set_up, tear_down),
        cmocka_unit_test(what_is_no_network_is_refused),
    };

    return cmocka_run_group_tests_name("forwarded", tests, NULL, NULL);
}
