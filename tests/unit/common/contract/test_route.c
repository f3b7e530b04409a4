/* Tests of routes: the cases of tests/vectors/routing, failing look-ups, and traffic. */
#include "tests/unit/common/contract/vectors.h"

#include "common/contract/route.h"

#define MAX_PATHS 20

static struct arena arena;

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, (size_t)16 * 1024 * 1024);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_release(&arena);
    return 0;
}

/* Serves domains out of a case, and forgets an answer when the next one is asked for. */
struct domains {
    const struct json *json;
    struct route_domain_path paths[MAX_PATHS];
    unsigned asked;
};

static enum error find_domain(struct view key, const struct route_domain_path **paths,
                              size_t *count, void *context)
{
    struct domains *domains = context;
    char name[300];
    const struct json *list;

    domains->asked++;
    memset(domains->paths, 0, sizeof(domains->paths));
    assert_true(key.length < sizeof(name));
    memcpy(name, key.data, key.length);
    name[key.length] = '\0';
    list = json_get(domains->json, name);
    if (!list)
        return ERROR_NOT_FOUND;
    *count = 0;
    for (const struct json *path = json_first(list); path; path = json_next(path)) {
        struct route_domain_path *to = &domains->paths[(*count)++];

        assert_true(json_get_string(path, "prefix", &to->prefix));
        assert_true(json_get_string(path, "app", &to->app));
        json_get_bool(path, "strip", &to->strip);
    }
    *paths = domains->paths;
    return ERROR_NONE;
}

static const char *const by_names[] = {[ROUTE_BY_NOTHING] = "nothing",
                                       [ROUTE_BY_DOMAIN] = "domain",
                                       [ROUTE_BY_BASE_DOMAIN] = "base-domain",
                                       [ROUTE_BY_PATH] = "path"};

static void check_text(const char *case_name, const struct json *expected, const char *member,
                       struct view actual)
{
    struct view text;

    assert_true(json_get_string(expected, member, &text));
    if (!view_equal(text, actual))
        fail_msg("%s: %s is \"%.*s\", not \"%.*s\"", case_name, member, VIEW_FORMAT(actual),
                 VIEW_FORMAT(text));
}

static void check_found(const char *name, const struct json *expected,
                        const struct route_found *found)
{
    int64_t version = -1;

    check_text(name, expected, "by", view_of(by_names[found->by]));
    check_text(name, expected, "app", found->app);
    check_text(name, expected, "domain", found->domain);
    check_text(name, expected, "path", found->path);
    check_text(name, expected, "stripped", found->stripped);
    assert_true(json_get_integer(expected, "version", &version));
    if (version != found->version)
        fail_msg("%s: version %u", name, (unsigned)found->version);
}

static void check_case(const char *name, const char *path)
{
    struct json *json = vectors_read_json(&arena, path, NULL);
    struct domains domains = {.json = json_get(json, "domains")};
    struct view bases[8], failure = VIEW("none");
    struct route_rules rules = {.base_domains = bases};
    struct route_query query;
    struct route_found found;
    enum error error;

    for (const struct json *base = json_first(json_get(json, "baseDomains")); base;
         base = json_next(base))
        bases[rules.base_domain_count++] = json_string(base);
    assert_true(json_get_bool(json, "pathRouting", &rules.path_routing));
    assert_true(json_get_string(json, "host", &query.host));
    assert_true(json_get_string(json, "path", &query.path));
    error = route_find(&rules, &query, find_domain, &domains, &arena, &found);
    json_get_string(json, "error", &failure);
    if (!view_equal_string(failure, error_name(error)))
        fail_msg("%s: %s", name, error_name(error));
    memset(domains.paths, 0, sizeof(domains.paths)); /* what was found must not lean on it */
    if (error == ERROR_NONE)
        check_found(name, json_get(json, "found"), &found);
    json_free(json);
}

static void every_case_finds_its_app(void **state)
{
    (void)state;
    assert_true(vectors_each("routing", check_case) >= 40);
}

static enum error fail_with(struct view key, const struct route_domain_path **paths, size_t *count,
                            void *context)
{
    (void)key;
    (void)paths;
    (void)count;
    return *(enum error *)context;
}

static const struct view localhost = {"localhost", 9};
static const struct route_rules rules = {&localhost, 1, true};
static const struct route_query query = {{"hello.localhost", 15}, {"/a", 2}};

static void errors_of_the_look_up_pass_through(void **state)
{
    struct route_found found;
    enum error damaged = ERROR_DAMAGED, io = ERROR_IO;

    (void)state;
    assert_int_equal(route_find(&rules, &query, fail_with, &damaged, &arena, &found),
                     ERROR_DAMAGED);
    assert_int_equal(route_find(&rules, &query, fail_with, &io, &arena, &found), ERROR_IO);
}

static void without_a_look_up_there_are_no_domains(void **state)
{
    struct route_found found;

    (void)state;
    assert_int_equal(route_find(&rules, &query, NULL, NULL, &arena, &found), ERROR_NONE);
    assert_int_equal(found.by, ROUTE_BY_BASE_DOMAIN);
    assert_true(view_equal_string(found.app, "hello"));
}

static void an_arena_that_is_too_small_is_an_error(void **state)
{
    struct route_found found;
    struct arena small;

    (void)state;
    arena_init(&small, 100);
    assert_int_equal(route_find(&rules, &query, NULL, NULL, &small, &found), ERROR_TOO_BIG);
    arena_release(&small);
}

static void a_domain_without_a_covering_path_is_named(void **state)
{
    struct json *json = NULL;
    struct domains domains = {0};
    struct route_query other = {VIEW("d.test"), VIEW("/b")};
    struct route_found found;

    (void)state;
    assert_int_equal(
        json_parse(VIEW("{\"d.test\":[{\"prefix\":\"/a\",\"app\":\"one\"}]}"), 5, &json, NULL),
        ERROR_NONE);
    domains.json = json;
    assert_int_equal(route_find(&rules, &other, find_domain, &domains, &arena, &found),
                     ERROR_NOT_FOUND);
    assert_int_equal(found.by, ROUTE_BY_DOMAIN);
    assert_true(view_equal_string(found.domain, "d.test"));
    json_free(json);
}

/* a.b.c.d asks for itself, *.b.c.d and *.c.d, and never for *.d. */
static void look_ups_are_no_more_than_labels(void **state)
{
    struct domains domains = {0};
    struct route_query many = {VIEW("a.b.c.d"), VIEW("/")};
    struct route_found found;

    (void)state;
    assert_int_equal(route_find(&rules, &many, find_domain, &domains, &arena, &found),
                     ERROR_NOT_FOUND);
    assert_int_equal(domains.asked, 3);
}

static void an_address_is_asked_for_once(void **state)
{
    struct domains domains = {0};
    struct route_query address = {VIEW("[::ffff:10.0.0.1]"), VIEW("/")};
    struct route_found found;

    (void)state;
    assert_int_equal(route_find(&rules, &address, find_domain, &domains, &arena, &found),
                     ERROR_NOT_FOUND);
    assert_int_equal(domains.asked, 1);
}

static void each_bucket_falls_into_its_share(void **state)
{
    const uint16_t weights[] = {9000, 0, 999, 1};
    unsigned counts[4] = {0};

    (void)state;
    for (uint32_t bucket = 0; bucket < TRAFFIC_TOTAL; bucket++) {
        size_t picked = traffic_pick(weights, 4, bucket);

        assert_true(picked < 4);
        counts[picked]++;
    }
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(counts[i], weights[i]);
    assert_int_equal(traffic_pick(weights, 4, 8999), 0);
    assert_int_equal(traffic_pick(weights, 4, 9000), 2);
    assert_int_equal(traffic_pick(weights, 4, 9999), 3);
}

static void a_bucket_beyond_all_weights_picks_nothing(void **state)
{
    const uint16_t weights[] = {5000, 1000};

    (void)state;
    assert_int_equal(traffic_pick(weights, 2, 5999), 1);
    assert_true(traffic_pick(weights, 2, 6000) == SIZE_MAX);
    assert_true(traffic_pick(weights, 0, 0) == SIZE_MAX);
}

static void a_cookie_holds_a_bucket_or_nothing(void **state)
{
    static const struct {
        const char *cookies;
        int bucket; /* -1: none */
    } cases[] = {
        {"orchestrator_bucket=0", 0},
        {"a=b; orchestrator_bucket=9999; c=d", 9999},
        {"a=b;orchestrator_bucket=17", 17},
        {"orchestrator_bucket=x; orchestrator_bucket=18", 18},
        {"orchestrator_bucket=10000", -1},
        {"orchestrator_bucket=-1", -1},
        {"orchestrator_bucket=", -1},
        {"orchestrator_bucket", -1},
        {"xorchestrator_bucket=1", -1},
        {"Orchestrator_Bucket=1", -1},
        {"orchestrator_bucket=99999999999999999999999", -1},
        {"", -1},
        {";;=;", -1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t bucket = 12345;
        bool found = traffic_bucket_of_cookies(view_of(cases[i].cookies), &bucket);

        assert_int_equal(found, cases[i].bucket >= 0);
        assert_int_equal(bucket, found ? cases[i].bucket : 12345);
    }
}

static void neighbouring_addresses_are_spread_evenly_and_stay_where_they_are(void **state)
{
    const uint16_t weights[] = {9000, 1000};
    unsigned counts[2] = {0}, moved = 0;
    char address[32];

    (void)state;
    for (unsigned i = 0; i < 10000; i++) {
        snprintf(address, sizeof address, "10.0.%u.%u", i / 250, i % 250);
        uint32_t bucket = traffic_bucket_of_address(view_of(address), VIEW("hello"));

        assert_true(bucket < TRAFFIC_TOTAL);
        assert_int_equal(bucket, traffic_bucket_of_address(view_of(address), VIEW("hello")));
        moved += bucket != traffic_bucket_of_address(view_of(address), VIEW("other"));
        counts[traffic_pick(weights, 2, bucket)]++;
    }
    assert_in_range(counts[1], 900, 1100);
    assert_true(moved > 9900);
    /* Every release and every process must agree. */
    assert_int_equal(traffic_bucket_of_address(VIEW("127.0.0.1"), VIEW("hello")), 4633);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_case_finds_its_app, set_up, tear_down),
        cmocka_unit_test_setup_teardown(errors_of_the_look_up_pass_through, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_a_look_up_there_are_no_domains, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_arena_that_is_too_small_is_an_error, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_domain_without_a_covering_path_is_named, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(look_ups_are_no_more_than_labels, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_address_is_asked_for_once, set_up, tear_down),
        cmocka_unit_test(each_bucket_falls_into_its_share),
        cmocka_unit_test(a_bucket_beyond_all_weights_picks_nothing),
        cmocka_unit_test(a_cookie_holds_a_bucket_or_nothing),
        cmocka_unit_test(neighbouring_addresses_are_spread_evenly_and_stay_where_they_are),
    };

    return cmocka_run_group_tests_name("contract/route", tests, NULL, NULL);
}
