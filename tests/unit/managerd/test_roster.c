/* Tests of the lists that are kept in memory: apps, operations, and what a record's text tells unparsed. */
#include "tests/unit/managerd/scene.h"

#include "common/base/clock.h"
#include "managerd/logbook.h"
#include "managerd/roster.h"

static struct scene scene;
static struct roster *roster;
static struct logbook *logbook;

static void open_lists(void)
{
    assert_int_equal(roster_new(scene.state, &roster), ERROR_NONE);
    assert_int_equal(logbook_new(scene.state, &logbook), ERROR_NONE);
}

static void close_lists(void)
{
    roster_free(roster);
    logbook_free(logbook);
    roster = NULL;
    logbook = NULL;
}

static int set_up(void **state)
{
    (void)state;
    scene_new(&scene);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    close_lists();
    scene_remove(&scene);
    return 0;
}

static void put(const char *key_text, const char *value_text)
{
    struct key key;
    struct json *value = scene_parse(value_text);
    snprintf(key.text, sizeof key.text, "%s", key_text);
    scene_put(&scene, key, value);
    json_free(value);
}

static void on_committed(enum error error, uint64_t revision, void *context)
{
    (void)revision, (void)context;
    assert_int_equal(error, ERROR_NONE);
}

static void drop(const char *key)
{
    struct change change;
    change_init(&change);
    change_remove(&change, key);
    state_commit(scene.state, &change, on_committed, NULL);
    change_release(&change);
    scene_drain(&scene);
}

/* The apps with this label, in order, with blanks between. */
static const char *with_label(const char *label, const char *value)
{
    static char names[512];
    struct view after = VIEW("");
    const char *name;
    names[0] = 0;
    while ((name = roster_next(roster, after, view_of(label), view_of(value)))) {
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", names[0] ? " " : "",
                 name);
        after = view_of(name);
    }
    return names;
}

static void apps_are_found_by_their_labels(void **state)
{
    (void)state;
    put("apps/c", "{\"name\":\"c\",\"labels\":{\"team\":\"web\",\"tier\":\"1\"}}");
    put("apps/a", "{\"name\":\"a\",\"internal\":{\"x\":[1,{}]},\"labels\":{\"team\":\"web\"}}");
    put("apps/b", "{\"name\":\"b\",\"labels\":{\"team\":\"we\\\"b\"}}");
    put("apps/d", "{\"name\":\"d\"}");
    open_lists();
    assert_string_equal(with_label("", ""), "a b c d");
    assert_string_equal(with_label("team", "web"), "a c");
    assert_string_equal(with_label("team", "we\"b"), "b");
    assert_string_equal(with_label("tier", "1"), "c");
    assert_string_equal(with_label("web", "tier"), "");
    assert_string_equal(with_label("team", ""), "");
    assert_int_equal(roster_apps(roster), 4);
}

static void what_is_committed_is_seen_at_once(void **state)
{
    (void)state;
    open_lists();
    assert_null(roster_next(roster, VIEW(""), VIEW(""), VIEW("")));
    put("versions/b/0000000001", "{}");
    put("apps/b", "{\"labels\":{\"team\":\"web\"}}");
    put("apps/a", "{\"labels\":{}}");
    assert_string_equal(with_label("team", "web"), "b");
    put("apps/b", "{\"labels\":{\"team\":\"ops\"}}");
    assert_string_equal(with_label("team", "web"), "");
    assert_string_equal(with_label("team", "ops"), "b");
    assert_int_equal(roster_versions(roster), 1);
    assert_null(roster_next_of_many(roster, VIEW("")));
    put("versions/b/0000000002", "{}");
    put("versions/b/0000000002", "{}");
    assert_int_equal(roster_versions(roster), 2);
    assert_string_equal(roster_next_of_many(roster, VIEW("")), "b");
    assert_null(roster_next_of_many(roster, VIEW("b")));
    drop("versions/b/0000000001");
    assert_int_equal(roster_versions(roster), 1);
    drop("apps/b");
    assert_int_equal(roster_versions(roster), 0);
    assert_string_equal(with_label("", ""), "a");
    close_lists();
    open_lists();
    assert_string_equal(with_label("", ""), "a");
    assert_int_equal(roster_versions(roster), 0);
}

static void nobody_is_offered_a_slot_that_is_taken_or_offered(void **state)
{
    bool seen[200] = {false};
    (void)state;
    put("slots/0000000000", "{}");
    put("slots/0000000002", "{}");
    put("slots/0000000070", "{}");
    open_lists();
    for (int i = 0; i < 150; i++) {
        uint32_t slot = roster_offer_slot(roster);
        assert_true(slot < 200 && !seen[slot]);
        assert_true(slot != 0 && slot != 2 && slot != 70);
        seen[slot] = true;
    }
    assert_true(seen[1] && seen[3] && seen[152]);
}

static void a_slot_is_free_again_when_its_app_is_gone(void **state)
{
    (void)state;
    clock_freeze(1700000000000, 5000000);
    put("slots/0000000000", "{}");
    open_lists();
    assert_int_equal(roster_offer_slot(roster), 1);
    put("slots/0000000001", "{}");
    assert_int_equal(roster_offer_slot(roster), 2);
    drop("slots/0000000000");
    assert_int_equal(roster_offer_slot(roster), 0);
    assert_int_equal(roster_offer_slot(roster), 3);
    clock_advance_ms(2000); /* nobody took them */
    assert_int_equal(roster_offer_slot(roster), 0);
    clock_thaw();
}

#define ID(N) "018bcfe5-6800-7000-8000-00000000000" #N

static bool only_shop(struct view app, void *context)
{
    (void)context;
    return view_equal(app, VIEW("shop"));
}

/* The last digits of the ids that the filter takes. */
static const char *digits(const char *app, const char *state, bool scoped)
{
    static char found[64];
    struct logbook_filter filter = {view_of(app), view_of(state), scoped ? only_shop : NULL, NULL};
    char id[ID_SIZE] = "";
    size_t count = 0;
    while (count < sizeof found - 1 && logbook_next(logbook, view_of(id), &filter, id))
        found[count++] = id[ID_SIZE - 2];
    found[count] = 0;
    return found;
}

static void operations_are_found_by_app_and_state(void **state)
{
    (void)state;
    put("operations/" ID(2), "{\"app\":\"shop\",\"state\":\"failed\",\"steps\":[]}");
    put("operations/" ID(1), "{\"app\":\"api\",\"state\":\"succeeded\",\"steps\":[]}");
    put("operations/" ID(5),
        "{\"steps\":[{\"state\":\"x\"}],\"state\":\"running\",\"app\":\"shop\"}");
    put("operations/" ID(7), "{\"app\":\"\",\"state\":\"paused\"}"); /* of a younger release */
    open_lists();
    assert_string_equal(digits("", "", false), "1257");
    assert_string_equal(digits("shop", "", false), "25");
    assert_string_equal(digits("shop", "running", false), "5");
    assert_string_equal(digits("", "succeeded", false), "1");
    assert_string_equal(digits("nobody", "", false), "");
    assert_string_equal(digits("", "", true), "25");
    assert_int_equal(logbook_count(logbook), 4);
    put("operations/" ID(5), "{\"app\":\"shop\",\"state\":\"succeeded\"}");
    put("operations/" ID(9), "{\"app\":\"new\",\"state\":\"queued\"}");
    put("operations/" ID(3), "{\"app\":\"new\",\"state\":\"queued\"}");
    drop("operations/" ID(1));
    assert_string_equal(digits("", "running", false), "");
    assert_string_equal(digits("", "succeeded", false), "5");
    assert_string_equal(digits("new", "", false), "39");
    assert_string_equal(digits("", "", false), "23579");
    assert_int_equal(logbook_count(logbook), 5);
    close_lists();
    open_lists();
    assert_string_equal(digits("", "", false), "23579");
}

static void many_that_go_leave_the_others_in_order(void **state)
{
    char key[64];
    struct change change;
    (void)state;
    open_lists();
    for (int part = 0; part < 2; part++) {
        change_init(&change);
        change.urgent = true; /* the map is a small one */
        struct json *value = scene_parse("{\"app\":\"shop\",\"state\":\"failed\"}");
        for (int i = 0; i < 3000; i++) {
            snprintf(key, sizeof key, "operations/018bcfe5-6800-7000-8000-%012x", i);
            if (part == 0)
                change_put(&change, key, value);
            else if (i % 3)
                change_remove(&change, key);
        }
        state_commit(scene.state, &change, on_committed, NULL);
        change_release(&change);
        json_free(value);
        scene_drain(&scene);
    }
    struct logbook_filter filter = {VIEW("shop"), VIEW("failed"), NULL, NULL};
    char id[ID_SIZE] = "", wanted[ID_SIZE];
    for (int i = 0; i < 3000; i += 3) {
        assert_true(logbook_next(logbook, view_of(id), &filter, id));
        snprintf(wanted, sizeof wanted, "018bcfe5-6800-7000-8000-%012x", i);
        assert_string_equal(id, wanted);
    }
    assert_false(logbook_next(logbook, view_of(id), &filter, id));
    assert_int_equal(logbook_count(logbook), 1000);
}

static void a_records_text_tells_what_parsing_would(void **state)
{
    static const struct {
        const char *record, *member, *value; /* NULL: to be parsed */
    } cases[] = {
        {"{\"app\":\"shop\"}", "app", "shop"},
        {"{\"a\":1,\"b\":null,\"c\":true,\"app\":\"shop\",\"z\":2}", "app", "shop"},
        {"{\"a\":{\"app\":\"no\"},\"b\":[{\"app\":\"no\"},\"]\"],\"app\":\"yes\"}", "app", "yes"},
        {"{\"a\":\"\\\",\\\"app\\\":\\\"no\",\"app\":\"yes\"}", "app", "yes"},
        {"{\"a\":\"\\\\\",\"app\":\"yes\"}", "app", "yes"},
        {"{\"who\":{\"id\":\"a}\"},\"app\":\"\"}", "who", "{\"id\":\"a}\"}"},
        {"{\"app\":\"\"}", "app", ""},
        {"{\"app\":\"a\\nb\"}", "app", NULL},
        {"{\"app\":null}", "app", NULL},
        {"{\"app\":[1]}", "app", NULL},
        {"{\"b\":\"app\"}", "app", NULL},
        {"{}", "app", NULL},
        {"", "app", NULL},
        {"{", "app", NULL},
        {"{\"app", "app", NULL},
        {"{\"app\":\"x", "app", NULL},
        {"{\"app\":\"x\\", "app", NULL},
        {"{\"a\":{\"b\":[\"", "app", NULL},
        {"[1]", "app", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        /* A copy to the byte, so that reading beyond it is seen. */
        size_t length = strlen(cases[i].record);
        char *text = malloc(length + (length == 0));
        struct view value = VIEW("");
        memcpy(text, cases[i].record, length);
        bool told = record_peek(view_from(text, length), cases[i].member, &value);
        if (told != (cases[i].value != NULL) || (told && !view_equal_string(value, cases[i].value)))
            fail_msg("%s: %d, %.*s", cases[i].record, told, VIEW_FORMAT(value));
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(apps_are_found_by_their_labels, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_committed_is_seen_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nobody_is_offered_a_slot_that_is_taken_or_offered, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_slot_is_free_again_when_its_app_is_gone, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(operations_are_found_by_app_and_state, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_that_go_leave_the_others_in_order, set_up, tear_down),
        cmocka_unit_test(a_records_text_tells_what_parsing_would),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
