/* The table of faults: its document reads well, and docs/faults.md shows the same table. */
#include "common/base/file.h"
#include "common/base/json.h"
#include "proxyd/fault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void a_problem_names_fault_status_and_request(void **state)
{
    struct buffer out;
    struct json *problem = NULL;
    struct view text;
    int64_t status;

    (void)state;
    buffer_init(&out, 4096);
    fault_problem(&out, FAULT_THROTTLED, 0, NULL, "01890000-0000-7000-8000-000000000001");
    assert_int_equal(json_parse(buffer_view(&out), 5, &problem, NULL), ERROR_NONE);
    assert_true(json_get_string(problem, "type", &text));
    assert_true(view_equal_string(text, "urn:app-orchestrator:fault:throttled"));
    assert_true(json_get_string(problem, "title", &text));
    assert_true(view_equal_string(text, "Too Many Requests"));
    assert_true(json_get_integer(problem, "status", &status));
    assert_int_equal(status, 429);
    assert_true(json_get_string(problem, "instance", &text));
    assert_true(view_equal_string(text, "urn:uuid:01890000-0000-7000-8000-000000000001"));
    assert_true(json_get_string(problem, "detail", &text));
    assert_true(text.length > 10);
    json_free(problem);
    buffer_release(&out);
}

static void a_refusal_keeps_its_own_status(void **state)
{
    struct buffer out;

    (void)state;
    buffer_init(&out, 4096);
    fault_problem(&out, FAULT_REFUSED, 431, "Too long.", "x");
    assert_non_null(strstr(out.data, "\"status\":431"));
    assert_non_null(strstr(out.data, "\"title\":\"Request Header Fields Too Large\""));
    assert_non_null(strstr(out.data, "\"detail\":\"Too long.\""));
    buffer_release(&out);
}

static void names_are_unique_and_statuses_are_no_successes(void **state)
{
    (void)state;
    for (int i = FAULT_NONE + 1; i < FAULT_COUNT; i++) {
        assert_in_range(fault_row((enum fault)i)->status, 300, 599);
        for (int j = 0; j < i; j++)
            assert_string_not_equal(fault_row((enum fault)i)->name, fault_row((enum fault)j)->name);
    }
}

static void append_row(struct buffer *out, const struct fault_row *row)
{
    const char *class = fault_class_name(row->class);

    buffer_append_format(out, "| `%s` | %d | %s | %s | ", row->name, row->status,
                         class[0] ? class : "–", row->retried ? "yes" : "no");
    if (row->retry_after_s)
        buffer_append_format(out, "%u", row->retry_after_s);
    else
        buffer_append_string(out, "–");
    buffer_append_format(out, " | %s |\n", row->sentence);
}

static void the_page_shows_this_table(void **state)
{
    struct buffer page, row;

    (void)state;
    buffer_init(&page, 1024 * 1024);
    buffer_init(&row, 4096);
    assert_int_equal(file_read(DOCS_DIR "/faults.md", &page), ERROR_NONE);
    for (int i = FAULT_NONE + 1; i < FAULT_COUNT; i++) {
        buffer_clear(&row);
        append_row(&row, fault_row((enum fault)i));
        if (!strstr(page.data, row.data))
            print_message("docs/faults.md lacks this row:\n%s", row.data);
        assert_non_null(strstr(page.data, row.data));
    }
    buffer_release(&page);
    buffer_release(&row);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_problem_names_fault_status_and_request),
        cmocka_unit_test(a_refusal_keeps_its_own_status),
        cmocka_unit_test(names_are_unique_and_statuses_are_no_successes),
        cmocka_unit_test(the_page_shows_this_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
