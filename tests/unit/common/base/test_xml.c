/* Reads AWS's XML by paths, and refuses what AWS never sends. */
#include "common/base/xml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct buffer seen;
static unsigned most;

static bool note(struct view path, struct view text, void *context)
{
    unsigned *count = context;

    buffer_append_format(&seen, "%.*s=%.*s;", VIEW_FORMAT(path), VIEW_FORMAT(text));
    return ++*count < most;
}

static void expect_told(const char *document, enum error error, const char *told)
{
    unsigned count = 0;

    buffer_init(&seen, 65536);
    assert_int_equal(xml_read(view_of(document), note, &count), error);
    if (told)
        assert_string_equal(seen.data ? seen.data : "", told);
    buffer_release(&seen);
}

static int set_up(void **state)
{
    (void)state;
    most = 1000;
    return 0;
}

static void the_texts_of_leaves_are_told_by_their_paths(void **state)
{
    (void)state;
    expect_told(
        "<?xml version=\"1.0\"?>\n<R "
        "xmlns=\"https://example.com/\"><A>\n<B>1</B>\n<B>2</B></A><x:C xmlns:x=\"y\"/></R>",
        ERROR_NONE, "R/A/B=1;R/A/B=2;R/C=;");
}

static void escapes_and_quoted_parts_are_resolved(void **state)
{
    (void)state;
    expect_told("<R>a &amp; b&#43;<![CDATA[<c>]]> \xc3\xa4</R>", ERROR_NONE,
                "R=a & b+<c> \xc3\xa4;");
    expect_told("<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><R>\xe4</R>", ERROR_NONE,
                "R=\xc3\xa4;");
}

static void whoever_has_enough_stops(void **state)
{
    (void)state;
    most = 1;
    expect_told("<R><A>1</A><B>2</B></R>", ERROR_NONE, "R/A=1;");
}

static void what_is_not_well_formed_is_refused(void **state)
{
    (void)state;
    expect_told("", ERROR_INVALID, "");
    expect_told("<R>", ERROR_INVALID, "");
    expect_told("<R></S>", ERROR_INVALID, "");
    expect_told("<R/><R/>", ERROR_INVALID, NULL);
    expect_told("{\"json\": 1}", ERROR_INVALID, "");
    expect_told("<R>&unknown;</R>", ERROR_INVALID, "");
}

static void document_types_are_refused_with_all_their_entities(void **state)
{
    (void)state;
    expect_told("<!DOCTYPE R [<!ENTITY e \"x\">]><R>&e;</R>", ERROR_INVALID, "");
    expect_told("<!DOCTYPE R SYSTEM \"file:///etc/passwd\"><R/>", ERROR_INVALID, "");
}

static void elements_that_are_too_deep_are_refused(void **state)
{
    char document[XML_MAX_DEPTH * 7 + 16] = "";

    (void)state;
    for (int i = 0; i < XML_MAX_DEPTH; i++)
        strcat(document, "<a>");
    for (int i = 0; i < XML_MAX_DEPTH; i++)
        strcat(document, "</a>");
    expect_told(document, ERROR_NONE, NULL);
    document[0] = '\0';
    for (int i = 0; i < XML_MAX_DEPTH; i++)
        strcat(document, "<a>");
    strcat(document, "<b/>");
    expect_told(document, ERROR_INVALID, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_texts_of_leaves_are_told_by_their_paths, set_up),
        cmocka_unit_test_setup(escapes_and_quoted_parts_are_resolved, set_up),
        cmocka_unit_test_setup(whoever_has_enough_stops, set_up),
        cmocka_unit_test_setup(what_is_not_well_formed_is_refused, set_up),
        cmocka_unit_test_setup(document_types_are_refused_with_all_their_entities, set_up),
        cmocka_unit_test_setup(elements_that_are_too_deep_are_refused, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
