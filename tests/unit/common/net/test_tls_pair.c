/* Judges certificates and keys that are handed in: hosts, times, keys, and what is told of good ones. */
#include "common/net/tls_pair.h"

#include "common/base/clock.h"
#include "common/base/file.h"
#include "tests/unit/common/net/tls_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define DAY_S 86400

struct scene {
    struct buffer certificate, key, told;
    unsigned faults[2];
};

/* A self-signed one for *.shop.test and shop.test, of 30 days. */
static void make(struct scene *scene, const char *names)
{
    char path[2][64];

    for (size_t i = 0; i < 2; i++) {
        snprintf(path[i], sizeof(path[i]), "/tmp/test_tls_pair.XXXXXX");
        close(mkstemp(path[i]));
    }
    write_certificate(path[0], path[1], "shop", names, 30, NULL);
    buffer_clear(&scene->certificate);
    buffer_clear(&scene->key);
    assert_int_equal(file_read(path[0], &scene->certificate), ERROR_NONE);
    assert_int_equal(file_read(path[1], &scene->key), ERROR_NONE);
    unlink(path[0]);
    unlink(path[1]);
}

static int set_up(void **state)
{
    struct scene *scene = calloc(1, sizeof(*scene));

    buffer_init(&scene->certificate, 65536);
    buffer_init(&scene->key, 65536);
    buffer_init(&scene->told, 65536);
    make(scene, "DNS:Shop.Test,DNS:*.shop.test");
    *state = scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *scene = *state;

    buffer_release(&scene->certificate);
    buffer_release(&scene->key);
    buffer_release(&scene->told);
    free(scene);
    return 0;
}

static void note(enum tls_pair_part part, const char *sentence, void *context)
{
    struct scene *scene = context;

    scene->faults[part]++;
    buffer_append_string(&scene->told, sentence);
    buffer_append_byte(&scene->told, '\n');
}

static bool judge(struct scene *scene, const char *host, int64_t later_s, struct tls_pair *pair)
{
    struct tls_pair_wish wish = {buffer_view(&scene->certificate), buffer_view(&scene->key),
                                 view_of(host), clock_wall_ms() / 1000 + later_s};

    scene->faults[0] = scene->faults[1] = 0;
    buffer_clear(&scene->told);
    return tls_pair_check(&wish, pair, note, scene);
}

static bool good(struct scene *scene, const char *host, int64_t later_s)
{
    struct tls_pair pair;
    bool verdict = judge(scene, host, later_s, &pair);

    assert_true(verdict == (pair.pem.length > 0));
    tls_pair_release(&pair);
    return verdict;
}

static void a_good_pair_is_told_in_facts(void **state)
{
    struct scene *scene = *state;
    struct tls_pair pair;

    assert_true(judge(scene, "a.shop.test", 0, &pair));
    assert_true(view_equal(buffer_view(&pair.subject), VIEW("CN=shop")));
    assert_true(view_equal(buffer_view(&pair.issuer), VIEW("CN=shop")));
    assert_true(view_equal(buffer_view(&pair.names), VIEW("shop.test\n*.shop.test\n")));
    assert_string_equal(pair.key_type, "EC P-256");
    assert_int_equal(strlen(pair.fingerprint), 64);
    assert_in_range(pair.not_after_s - clock_wall_ms() / 1000, 30 * DAY_S - 60, 30 * DAY_S + 60);
    assert_non_null(strstr(pair.pem.data, "-----BEGIN CERTIFICATE-----"));
    tls_pair_release(&pair);
}

static void a_host_must_be_among_the_names(void **state)
{
    static const struct {
        const char *host;
        bool good;
    } rows[] = {{"shop.test", true},      {"a.shop.test", true},  {"*.shop.test", true},
                {"a.b.shop.test", false}, {".shop.test", false},  {"xshop.test", false},
                {"*.a.shop.test", false}, {"*.test", false},      {"test", false},
                {"shop.test.org", false}, {"a.shop.testx", false}};
    struct scene *scene = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (good(scene, rows[i].host, 0) != rows[i].good)
            fail_msg("%s: %s", rows[i].host, scene->told.length ? scene->told.data : "taken");
    make(scene, "DNS:a.shop.test"); /* a wildcard domain wants the wildcard */
    assert_false(good(scene, "*.shop.test", 0));
    assert_non_null(strstr(scene->told.data, "as it is; it is for a.shop.test"));
    make(scene, NULL);
    assert_false(good(scene, "shop", 0));
    assert_non_null(strstr(scene->told.data, "names no host"));
    make(scene, "IP:127.0.0.1,email:a@shop.test");
    assert_false(good(scene, "shop.test", 0));
}

static void times_are_looked_at(void **state)
{
    struct scene *scene = *state;

    assert_true(good(scene, "shop.test", 29 * DAY_S));
    assert_false(good(scene, "shop.test", 31 * DAY_S));
    assert_non_null(strstr(scene->told.data, "expired: its notAfter is 20"));
    assert_false(good(scene, "shop.test", -30 * DAY_S));
    assert_non_null(strstr(scene->told.data, "is not valid yet: its notBefore is 20"));
}

static void every_fault_is_told_at_once_and_for_its_part(void **state)
{
    struct scene *scene = *state;
    struct buffer kept = scene->certificate;

    buffer_init(&scene->certificate, 65536);
    make(scene, "DNS:else.test");
    buffer_release(&scene->certificate);
    scene->certificate = kept; /* with the key of another */
    assert_false(good(scene, "else.test", 31 * DAY_S));
    assert_int_equal(scene->faults[TLS_PAIR_CERTIFICATE], 2);
    assert_int_equal(scene->faults[TLS_PAIR_KEY], 1);
    buffer_clear(&scene->certificate);
    buffer_clear(&scene->key);
    assert_false(good(scene, "shop.test", 0));
    assert_int_equal(scene->faults[TLS_PAIR_CERTIFICATE], 1);
    assert_int_equal(scene->faults[TLS_PAIR_KEY], 1);
}

/* Cut anywhere, or with any byte changed, it is told and nothing breaks. */
static void what_is_cut_is_refused_everywhere(void **state)
{
    struct scene *scene = *state;
    size_t whole = scene->certificate.length;

    for (size_t length = 0; length + 30 < whole; length += 7) {
        scene->certificate.length = length;
        assert_false(good(scene, "shop.test", 0));
        assert_true(scene->faults[TLS_PAIR_CERTIFICATE] > 0);
    }
    scene->certificate.length = whole;
    for (size_t length = 0; length + 30 < scene->key.length; length += 7) {
        size_t before = scene->key.length;

        scene->key.length = length;
        assert_false(good(scene, "shop.test", 0));
        assert_true(scene->faults[TLS_PAIR_KEY] > 0 && scene->faults[TLS_PAIR_CERTIFICATE] == 0);
        scene->key.length = before;
    }
    assert_true(good(scene, "shop.test", 0));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_good_pair_is_told_in_facts),
        TEST(a_host_must_be_among_the_names),
        TEST(times_are_looked_at),
        TEST(every_fault_is_told_at_once_and_for_its_part),
        TEST(what_is_cut_is_refused_everywhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
