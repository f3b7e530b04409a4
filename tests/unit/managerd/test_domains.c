/* Tests of hosts in normal form, of paths, and of the record that is published for a domain. */
#include "tests/unit/managerd/scene.h"

#include "common/store/route_record.h"
#include "managerd/domains.h"

static const char *normal(const char *host)
{
    static char text[300];
    struct buffer out;
    buffer_init(&out, 300);
    enum error error = domain_normalize_host(view_of(host), &out);
    snprintf(text, sizeof text, "%.*s", VIEW_FORMAT(buffer_view(&out)));
    buffer_release(&out);
    return error ? "refused" : text;
}

static void hosts_have_one_spelling(void **state)
{
    (void)state;
    assert_string_equal(normal("Shop.EXAMPLE.com"), "shop.example.com");
    assert_string_equal(normal("shop.example.com."), "shop.example.com");
    assert_string_equal(normal("*.Example.com"), "*.example.com");
    assert_string_equal(normal("xn--bcher-kva.example"), "xn--bcher-kva.example");
}

static void what_is_no_host_is_refused(void **state)
{
    (void)state;
    static const char *const hosts[] = {
        "",        ".",          "a..b",         "*.com", "*",        "a.*.com",
        "*a.b.co", "shop.com:1", "b\xc3\xbc.de", "a b.c", "shop.c..", "-a.example"};
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++)
        assert_string_equal(normal(hosts[i]), "refused");
    char longest[256];
    memset(longest, 'a', sizeof longest);
    longest[255] = 0;
    assert_string_equal(normal(longest), "refused");
}

static void a_domain_must_not_take_hosts_of_the_base_domain(void **state)
{
    (void)state;
    struct view base = VIEW("apps.example.com");
    assert_true(domain_takes_base(VIEW("apps.example.com"), base));
    assert_true(domain_takes_base(VIEW("hello.apps.example.com"), base));
    assert_true(domain_takes_base(VIEW("a.b.apps.example.com"), base));
    assert_true(domain_takes_base(VIEW("*.apps.example.com"), base));
    assert_true(domain_takes_base(VIEW("*.example.com"), base));
    assert_false(domain_takes_base(VIEW("example.com"), base));
    assert_false(domain_takes_base(VIEW("myapps.example.com"), base));
    assert_false(domain_takes_base(VIEW("*.other.com"), base));
    assert_false(domain_takes_base(VIEW("*.ample.com"), base));
    assert_false(domain_takes_base(VIEW("anything.com"), VIEW("*")));
}

static struct json *parse(const char *text)
{
    struct json *json = NULL;
    assert_int_equal(json_parse(view_of(text), 10, &json, NULL), ERROR_NONE);
    return json;
}

static struct json *paths_of(const char *text, struct faults *faults)
{
    struct json *given = parse(text), *paths = domain_paths(given, faults);
    json_free(given);
    return paths;
}

static void paths_are_completed_and_their_prefixes_normalised(void **state)
{
    (void)state;
    struct arena arena;
    struct faults faults;
    arena_init(&arena, 65536);
    faults_init(&faults, &arena);
    struct json *paths = paths_of("[{\"app\":\"a\"},{\"app\":\"b\",\"prefix\":\"/%61pi/\"},"
                                  "{\"app\":\"b\",\"prefix\":\"/\xc3\xbc\",\"stripPrefix\":true}]",
                                  &faults);
    struct json *wanted = parse("[{\"prefix\":\"/\",\"app\":\"a\",\"stripPrefix\":false},"
                                "{\"prefix\":\"/api\",\"app\":\"b\",\"stripPrefix\":false},"
                                "{\"prefix\":\"/%C3%BC\",\"app\":\"b\",\"stripPrefix\":true}]");
    assert_int_equal(faults.count, 0);
    assert_true(json_equal(paths, wanted));
    json_free(paths);
    json_free(wanted);
    arena_release(&arena);
}

static void every_fault_of_the_paths_is_told_with_its_place(void **state)
{
    (void)state;
    struct arena arena;
    struct faults faults;
    arena_init(&arena, 65536);
    faults_init(&faults, &arena);
    json_free(paths_of("[{\"app\":\"a\",\"prefix\":\"/a/../b\"},{\"app\":\"a\",\"prefix\":\"a\"},"
                       "{\"app\":\"a\",\"prefix\":\"/x\"},{\"app\":\"b\",\"prefix\":\"/x/\"},"
                       "{\"app\":\"b\",\"prefix\":\"/y?z\"}]",
                       &faults));
    assert_int_equal(faults.count, 4);
    assert_string_equal(faults.list[0].pointer, "/paths/0/prefix");
    assert_string_equal(faults.list[1].pointer, "/paths/1/prefix");
    assert_string_equal(faults.list[2].pointer, "/paths/3/prefix");
    assert_string_equal(faults.list[3].pointer, "/paths/4/prefix");
    arena_release(&arena);
}

static void a_domain_of_state_becomes_the_record_that_readers_decode(void **state)
{
    (void)state;
    struct arena arena;
    struct buffer out, problem;
    struct domain_record record;
    arena_init(&arena, 65536);
    buffer_init(&out, ROUTE_MAX_RECORD);
    buffer_init(&problem, 1024);
    struct json *domain = parse("{\"host\":\"shop.example.com\",\"paths\":["
                                "{\"prefix\":\"/\",\"app\":\"a\",\"stripPrefix\":false},"
                                "{\"prefix\":\"/api\",\"app\":\"b\",\"stripPrefix\":true}]}");
    assert_int_equal(domain_encode(domain, &out, &problem), ERROR_NONE);
    assert_int_equal(domain_record_decode(&arena, buffer_view(&out), &record), ERROR_NONE);
    assert_true(view_equal_string(record.host, "shop.example.com"));
    assert_int_equal(record.path_count, 2);
    assert_true(view_equal_string(record.paths[1].prefix, "/api"));
    assert_true(view_equal_string(record.paths[1].app, "b"));
    assert_true(record.paths[1].strip && !record.paths[0].strip);
    assert_true(domain_names(domain, VIEW("b")) && !domain_names(domain, VIEW("c")));
    json_set_string(domain, "host", VIEW("no host"));
    assert_int_equal(domain_encode(domain, &out, &problem), ERROR_INVALID);
    assert_true(problem.length > 0);
    json_free(domain);
    buffer_release(&out);
    buffer_release(&problem);
    arena_release(&arena);
}

static struct json *set(struct json *hosts, const char *host, bool present)
{
    struct json *changed = domain_hosts_set(hosts, view_of(host), present);
    json_free(hosts);
    return changed;
}

static void the_hosts_of_an_app_stay_in_order_and_single(void **state)
{
    (void)state;
    struct json *hosts = set(NULL, "m.example", true);
    hosts = set(hosts, "z.example", true);
    hosts = set(hosts, "a.example", true);
    hosts = set(hosts, "m.example", true);
    struct json *wanted = parse("[\"a.example\",\"m.example\",\"z.example\"]");
    assert_true(json_equal(hosts, wanted));
    hosts = set(hosts, "a.example", false);
    hosts = set(hosts, "z.example", false);
    hosts = set(hosts, "nobody.example", false);
    hosts = set(hosts, "m.example", false);
    assert_int_equal(json_count(hosts), 0);
    json_free(hosts);
    json_free(wanted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hosts_have_one_spelling),
        cmocka_unit_test(what_is_no_host_is_refused),
        cmocka_unit_test(a_domain_must_not_take_hosts_of_the_base_domain),
        cmocka_unit_test(paths_are_completed_and_their_prefixes_normalised),
        cmocka_unit_test(every_fault_of_the_paths_is_told_with_its_place),
        cmocka_unit_test(a_domain_of_state_becomes_the_record_that_readers_decode),
        cmocka_unit_test(the_hosts_of_an_app_stay_in_order_and_single),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
