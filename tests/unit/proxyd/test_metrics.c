/* Figures of several workers add up, and docs/metrics.md names every family. */
#include "common/base/file.h"
#include "proxyd/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct metrics first, second;

static char *written(struct buffer *out)
{
    const struct metrics *const workers[] = {&first, &second};
    struct metrics_process process = {.generation = 7, .ready = true, .workers = 2};

    buffer_init(out, 1024 * 1024);
    metrics_write(out, workers, 2, &process);
    assert_int_equal(out->error, ERROR_NONE);
    return out->data;
}

static void samples_are_sums_over_the_workers(void **state)
{
    struct buffer out;

    (void)state;
    metrics_add(&first.requests[2], 3);
    metrics_add(&second.requests[2], 4);
    metrics_add(&second.faults[FAULT_DEADLINE], 5);
    metrics_add(&first.outcomes[METRICS_BROKEN], 1);
    metrics_set(&first.connections, 10);
    metrics_set(&second.connections, 11);
    char *text = written(&out);
    assert_non_null(strstr(text, "\nproxyd_requests_total{status=\"2xx\"} 7\n"));
    assert_non_null(
        strstr(text, "\nproxyd_faults_total{fault=\"deadline\",invocation=\"unknown\"} 5\n"));
    assert_non_null(strstr(text, "\nproxyd_invocations_total{outcome=\"broken\"} 1\n"));
    assert_non_null(strstr(text, "\nproxyd_client_connections 21\n"));
    assert_non_null(strstr(text, "\nproxyd_routes_generation 7\n"));
    buffer_release(&out);
}

static void a_duration_counts_in_its_bucket_and_all_above(void **state)
{
    struct buffer out;

    (void)state;
    metrics_observe(&first.duration, 3000);      /* 3 ms */
    metrics_observe(&second.duration, 5000);     /* exactly a bound */
    metrics_observe(&second.duration, 90000000); /* beyond the last */
    char *text = written(&out);
    assert_non_null(strstr(text, "proxyd_request_duration_seconds_bucket{le=\"0.0025\"} 0\n"));
    assert_non_null(strstr(text, "proxyd_request_duration_seconds_bucket{le=\"0.005\"} 2\n"));
    assert_non_null(strstr(text, "proxyd_request_duration_seconds_bucket{le=\"30\"} 2\n"));
    assert_non_null(strstr(text, "proxyd_request_duration_seconds_bucket{le=\"+Inf\"} 3\n"));
    assert_non_null(strstr(text, "proxyd_request_duration_seconds_count 3\n"));
    buffer_release(&out);
}

static void the_page_names_every_family(void **state)
{
    struct buffer out, page;
    struct view rest, line;
    unsigned families = 0;

    (void)state;
    written(&out);
    buffer_init(&page, 1024 * 1024);
    assert_int_equal(file_read(DOCS_DIR "/metrics.md", &page), ERROR_NONE);
    rest = buffer_view(&out);
    while (view_split(&rest, '\n', &line)) {
        char name[128];
        if (!view_starts_with(line, VIEW("# TYPE ")))
            continue;
        line = view_slice(line, 7, line.length);
        snprintf(name, sizeof name, "`%.*s`", (int)view_find(line, ' '), line.data);
        if (!strstr(page.data, name))
            print_message("docs/metrics.md lacks %s\n", name);
        assert_non_null(strstr(page.data, name));
        families++;
    }
    assert_true(families > 10);
    buffer_release(&out);
    buffer_release(&page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_are_sums_over_the_workers),
        cmocka_unit_test(a_duration_counts_in_its_bucket_and_all_above),
        cmocka_unit_test(the_page_names_every_family),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
