/* Tests of host names: their one form, lawful names, and app hosts. */
#include "tests/unit/common/base/check.h"

#include "common/contract/host.h"

static void check_normal(const char *host, const char *expected)
{
    struct buffer out;
    enum error error;

    buffer_init(&out, HOST_MAX_BYTES);
    error = host_normalize(view_of(host), &out);
    if (error != (expected ? ERROR_NONE : ERROR_INVALID))
        fail_msg("%s: %s", host, error_name(error));
    if (expected && !view_equal_string(buffer_view(&out), expected))
        fail_msg("%s became %s", host, out.data);
    buffer_release(&out);
}

static void hosts_have_one_form(void **state)
{
    (void)state;
    check_normal("example.com", "example.com");
    check_normal("EXAMPLE.Com", "example.com");
    check_normal("example.com.", "example.com");
    check_normal("example.com:8080", "example.com");
    check_normal("example.com.:443", "example.com");
    check_normal("example.com:", "example.com");
    check_normal("localhost", "localhost");
    check_normal("a_b.example.com", "a_b.example.com");
    check_normal("127.0.0.1:80", "127.0.0.1");
    check_normal("xn--mnchen-3ya.de", "xn--mnchen-3ya.de");
    check_normal("[::1]", "[::1]");
    check_normal("[::1]:", "[::1]");
    check_normal("[2001:DB8::A]:8443", "[2001:db8::a]");
    check_normal("[::ffff:10.0.0.1]", "[::ffff:10.0.0.1]");
}

static void unlawful_hosts_are_refused(void **state)
{
    static const char *const hosts[] = {
        "",          ".",       "..",    ".a",      "a..b",        "a..",       ":80",
        "a:b",       "a:65536", "a:-1",  "a:80:80", "a:+80",       "a%2eb",     "a b",
        " a",        "a/",      "a\\b",  "a@b",     "a,b",         "a\tb",      "\xC3\xA9",
        "[",         "[]",      "[::1",  "[::1]x",  "[::1]:x",     "[::1%25]",  "[::1%eth0]",
        "[1.2.3.4]", "[v1.a]",  "[:::]", "::1",     "[::1]:99999", "[12345::]", "a#b",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(hosts) / sizeof(*hosts); i++)
        check_normal(hosts[i], NULL);
}

static void a_nul_in_a_host_is_refused(void **state)
{
    struct buffer out;

    (void)state;
    buffer_init(&out, HOST_MAX_BYTES);
    assert_int_equal(host_normalize(VIEW("a\0b"), &out), ERROR_INVALID);
    assert_int_equal(host_normalize(VIEW("[::1\0]"), &out), ERROR_INVALID);
    assert_int_equal(host_normalize((struct view){NULL, 0}, &out), ERROR_INVALID);
    buffer_release(&out);
}

static void the_longest_host_fits_and_one_more_byte_does_not(void **state)
{
    char host[HOST_MAX_BYTES + 4];

    (void)state;
    memset(host, 'a', sizeof(host));
    host[HOST_MAX_BYTES] = '\0';
    check_normal(host, host);
    host[HOST_MAX_BYTES] = 'a';
    host[HOST_MAX_BYTES + 1] = '\0';
    check_normal(host, NULL);
}

static void app_names_are_dns_labels_without_two_dashes(void **state)
{
    static const char *const lawful[] = {"a", "a1", "hello", "a-b-c", "x9-0"};
    static const char *const unlawful[] = {"",  "1a",  "-a",  "a-",  "a--b",
                                           "A", "a_b", "a.b", "a b", "\xC3\xA9"};
    char longest[APP_NAME_MAX + 2];

    (void)state;
    for (size_t i = 0; i < sizeof(lawful) / sizeof(*lawful); i++)
        assert_true(app_name_valid(view_of(lawful[i])));
    for (size_t i = 0; i < sizeof(unlawful) / sizeof(*unlawful); i++)
        if (app_name_valid(view_of(unlawful[i])))
            fail_msg("\"%s\" passed", unlawful[i]);
    memset(longest, 'a', sizeof(longest));
    assert_true(app_name_valid(view_from(longest, APP_NAME_MAX)));
    assert_false(app_name_valid(view_from(longest, APP_NAME_MAX + 1)));
}

static void check_app(const char *host, const char *base, const char *expected, uint32_t version)
{
    struct view app = VIEW("untouched");
    uint32_t found = 77;
    bool is_app = host_app(view_of(host), view_of(base), &app, &found);

    if (is_app != (expected != NULL))
        fail_msg("%s below %s: %d", host, base, is_app);
    if (!expected)
        return;
    assert_true(view_equal_string(app, expected));
    assert_int_equal(found, version);
}

static void one_label_before_the_base_domain_is_the_app(void **state)
{
    (void)state;
    check_app("hello.localhost", "localhost", "hello", 0);
    check_app("hello.apps.example.com", "apps.example.com", "hello", 0);
    check_app("hello.apps.example.com", "example.com", NULL, 0);
    check_app("hello.apps.example.com", "*", "hello", 0);
    check_app("localhost", "localhost", NULL, 0);
    check_app("localhost", "*", NULL, 0);
    check_app("hellolocalhost", "localhost", NULL, 0);
    check_app("hello.notlocalhost", "localhost", NULL, 0);
    check_app("", "localhost", NULL, 0);
    check_app("v3--hello.localhost", "localhost", "hello", 3);
    check_app("v3--a-b.localhost", "localhost", "a-b", 3);
    check_app("v--hello.localhost", "localhost", NULL, 0);
    check_app("v3--.localhost", "localhost", NULL, 0);
    check_app("v3--a--b.localhost", "localhost", NULL, 0);
    check_app("--hello.localhost", "localhost", NULL, 0);
    check_app("3--hello.localhost", "localhost", NULL, 0);
    check_app("v-3--hello.localhost", "localhost", NULL, 0);
}

static void domains_are_exact_or_a_star_before_two_labels(void **state)
{
    static const char *const lawful[] = {"example.com", "a.b.c.example.com", "*.example.com",
                                         "*.a.b.c",     "localhost",         "xn--mnchen-3ya.de",
                                         "1.example",   "127.0.0.1"};
    static const char *const unlawful[] = {"",          "*",        "*.",           "*.com",
                                           "a.*.com",   "**.a.com", "*a.b.com",     "Example.com",
                                           "a..b",      ".a",       "a.",           "-a.com",
                                           "a-.com",    "a_b.com",  "a.com:80",     "[::1]",
                                           "*.*.a.com", "a b.com",  "\xC3\xA9.com", "*.-a.com"};
    char label[70];

    (void)state;
    for (size_t i = 0; i < sizeof(lawful) / sizeof(*lawful); i++)
        assert_true(domain_host_valid(view_of(lawful[i])));
    for (size_t i = 0; i < sizeof(unlawful) / sizeof(*unlawful); i++)
        if (domain_host_valid(view_of(unlawful[i])))
            fail_msg("\"%s\" passed", unlawful[i]);
    memset(label, 'a', sizeof(label));
    assert_true(domain_host_valid(view_from(label, 63)));
    assert_false(domain_host_valid(view_from(label, 64)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hosts_have_one_form),
        cmocka_unit_test(unlawful_hosts_are_refused),
        cmocka_unit_test(a_nul_in_a_host_is_refused),
        cmocka_unit_test(the_longest_host_fits_and_one_more_byte_does_not),
        cmocka_unit_test(app_names_are_dns_labels_without_two_dashes),
        cmocka_unit_test(one_label_before_the_base_domain_is_the_app),
        cmocka_unit_test(domains_are_exact_or_a_star_before_two_labels),
    };

    return cmocka_run_group_tests_name("contract/host", tests, NULL, NULL);
}
