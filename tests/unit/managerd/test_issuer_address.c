/* Tests of where keys of token issuers may lie. */
#include "managerd/issuer_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

static bool allowed(const char *text, bool loopback, bool link_local)
{
    struct sockaddr_storage address = {0};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address;
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        address.ss_family = AF_INET;
    } else {
        assert_int_equal(inet_pton(AF_INET6, text, &v6->sin6_addr), 1);
        address.ss_family = AF_INET6;
    }
    return issuer_address_allowed((const struct sockaddr *)&address, loopback, link_local);
}

static void each_address_is_what_it_is(void **state)
{
    static const char *const fine[] = {"10.0.0.1",          "192.168.1.1",   "172.16.0.1",
                                       "203.0.113.7",       "8.8.8.8",       "126.1.2.3",
                                       "128.0.0.1",         "169.253.0.1",   "169.255.0.1",
                                       "2001:db8::1",       "fd12::1",       "fec0::1",
                                       "::ffff:10.0.0.1",   "fd00:ec3::1",   "1::",
                                       "64:ff9b::10.0.0.1", "2002:a00:1::1", "fd20:ce::253",
                                       "100.100.100.201",   "168.63.129.17"};
    static const char *const local[] = {"127.0.0.1",        "127.255.255.255",    "::1",
                                        "::ffff:127.0.0.1", "64:ff9b::127.0.0.1", "::127.0.0.1",
                                        "2002:7f00:1::1"};
    static const char *const link[] = {"169.254.169.254",
                                       "169.254.0.1",
                                       "fe80::1",
                                       "febf::1",
                                       "::ffff:169.254.169.254",
                                       "64:ff9b::169.254.169.254",
                                       "fd00:ec2::254",
                                       "fd20:ce::254",
                                       "100.100.100.200",
                                       "192.0.0.192",
                                       "168.63.129.16",
                                       "2002:a9fe:a9fe::1",
                                       "::ffff:100.100.100.200"};
    static const char *const never[] = {"0.0.0.0", "0.1.2.3", "224.0.0.1",      "255.255.255.255",
                                        "::",      "ff02::1", "::ffff:0.0.0.0", "240.0.0.1"};
    (void)state;
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++)
        assert_true(allowed(fine[i], false, false));
    for (size_t i = 0; i < sizeof local / sizeof *local; i++) {
        assert_false(allowed(local[i], false, true));
        assert_true(allowed(local[i], true, false));
    }
    for (size_t i = 0; i < sizeof link / sizeof *link; i++) {
        assert_false(allowed(link[i], true, false));
        assert_true(allowed(link[i], false, true));
    }
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        assert_false(allowed(never[i], true, true));
}

static void no_other_kind_of_socket_is_an_address(void **state)
{
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    (void)state;
    assert_false(issuer_address_allowed((const struct sockaddr *)&local, true, true));
}

static void plain_http_is_for_this_machine_by_its_own_names(void **state)
{
    static const char *const local[] = {"http://localhost/",   "http://localhost:8080/a",
                                        "http://127.0.0.1:1/", "http://[::1]:8080/",
                                        "http://[::1]",        "http://127.1.2.3"};
    static const char *const never[] = {"http://example.com/",
                                        "http://127.evil.example/",
                                        "http://localhost.evil.example/",
                                        "ftp://localhost/",
                                        "file:///etc/passwd",
                                        "http://[::1].evil.example/",
                                        "http://10.0.0.1/",
                                        "http://",
                                        "",
                                        "http://localhost?x=/a",
                                        "HTTP://localhost/",
                                        "http://127.0.0.1x/"};
    (void)state;
    for (size_t i = 0; i < sizeof local / sizeof *local; i++) {
        assert_true(issuer_url_allowed(view_of(local[i]), true));
        assert_false(issuer_url_allowed(view_of(local[i]), false));
    }
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        assert_false(issuer_url_allowed(view_of(never[i]), true));
    assert_true(issuer_url_allowed(VIEW("https://example.com/"), false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_address_is_what_it_is),
        cmocka_unit_test(no_other_kind_of_socket_is_an_address),
        cmocka_unit_test(plain_http_is_for_this_machine_by_its_own_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
