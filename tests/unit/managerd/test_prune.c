/* Which old versions go, and which never do. */
#include "managerd/prune.h"

#include "common/base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define NOW 1000000

static struct prune_version versions[12];
static int64_t chosen[PRUNE_AT_ONCE];

static int set_up(void **state)
{
    (void)state;
    memset(versions, 0, sizeof versions);
    for (int i = 0; i < 12; i++) {
        versions[i].number = i + 1;
        versions[i].made_ms = 1000 * i;
        snprintf(versions[i].lambda_version, sizeof versions[i].lambda_version, "%d", i + 1);
    }
    return 0;
}

/* "1,2,3" */
static void expect(const char *internal, size_t count, int64_t keep, int64_t before_ms,
                   const char *wanted)
{
    char found[100] = "";
    struct json *json = NULL;
    assert_int_equal(json_parse(view_of(internal), 10, &json, NULL), ERROR_NONE);
    size_t number = prune_choose(json, versions, count, keep, before_ms, chosen);
    for (size_t i = 0; i < number; i++)
        snprintf(found + strlen(found), sizeof found - strlen(found), "%s%lld", i ? "," : "",
                 (long long)chosen[i]);
    assert_string_equal(found, wanted);
    json_free(json);
}

#define SERVES(n) "\"traffic\":{\"versions\":[{\"version\":" n ",\"percent\":100}]}"

static void the_newest_stay_and_so_do_the_young(void **state)
{
    (void)state;
    expect("{" SERVES("5") "}", 5, 3, NOW, "1,2");
    expect("{" SERVES("5") "}", 5, 5, NOW, "");
    expect("{" SERVES("5") "}", 5, 1, NOW, "1,2,3,4");
    expect("{" SERVES("5") "}", 5, 1, 1500, "1,2");
    expect("{" SERVES("5") "}", 5, 0, NOW, "");
    expect("{}", 0, 1, NOW, "");
}

static void what_is_needed_stays_however_old(void **state)
{
    (void)state;
    expect("{" SERVES("1") "}", 5, 1, NOW, "2,3,4");
    expect("{" SERVES("5") ",\"previousTraffic\":{\"versions\":[{\"version\":2,\"percent\":40},"
                           "{\"version\":3,\"percent\":60}]}}",
           5, 1, NOW, "1,4");
    expect("{" SERVES("5") ",\"canary\":{\"version\":2,\"percent\":0,\"before\":{\"versions\":["
                           "{\"version\":1,\"percent\":100}]}}}",
           5, 1, NOW, "3,4");
    versions[2].busy = true;
    expect("{" SERVES("5") "}", 5, 1, NOW, "1,2,4");
}

static void what_shares_its_lambda_version_with_a_needed_one_stays(void **state)
{
    (void)state;
    snprintf(versions[1].lambda_version, sizeof versions[1].lambda_version, "5");
    expect("{" SERVES("5") "}", 5, 1, NOW, "1,3,4");
    /* Versions that never were one share nothing. */
    versions[1].lambda_version[0] = versions[4].lambda_version[0] = 0;
    expect("{" SERVES("5") "}", 5, 1, NOW, "1,2,3,4");
}

static void a_bounded_number_goes_at_once(void **state)
{
    (void)state;
    expect("{" SERVES("12") "}", 12, 1, NOW, "1,2,3,4,5,6,7,8,9,10");
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_newest_stay_and_so_do_the_young),
        TEST(what_is_needed_stays_however_old),
        TEST(what_shares_its_lambda_version_with_a_needed_one_stays),
        TEST(a_bounded_number_goes_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
