/* Tests of chained records: whole when whole, and every way of meddling found at its place. */
#include "managerd/chain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT 5

struct scene {
    struct buffer records[COUNT];
    struct chain_place end;
};

static void make(struct scene *scene)
{
    chain_begin(&scene->end);
    for (int i = 0; i < COUNT; i++) {
        char content[64];
        snprintf(content, sizeof content, "{\"who\":\"user %d\",\"hash\":\"decoy\"}", i);
        buffer_init(&scene->records[i], 1024);
        chain_append(&scene->end, view_of(content), &scene->records[i]);
    }
}

/* The number of records that follow each other from the start. */
static int followed(const struct scene *scene)
{
    struct chain_place at;
    int count = 0;
    chain_begin(&at);
    while (count < COUNT && !chain_follow(&at, buffer_view(&scene->records[count])))
        count++;
    if (count == COUNT)
        assert_string_equal(at.hash, scene->end.hash);
    return count;
}

static void release(struct scene *scene)
{
    for (int i = 0; i < COUNT; i++)
        buffer_release(&scene->records[i]);
}

static void what_was_chained_can_be_followed_to_its_end(void **state)
{
    (void)state;
    struct scene scene;
    make(&scene);
    assert_int_equal(followed(&scene), COUNT);
    assert_int_equal(scene.end.sequence, COUNT);
    assert_memory_equal(scene.records[0].data, "{\"sequence\":1,\"previous\":\"0000000000000000",
                        40);
    release(&scene);
}

static void any_other_byte_in_a_record_breaks_the_chain_there(void **state)
{
    (void)state;
    struct scene scene;
    make(&scene);
    for (size_t at = 0; at < scene.records[2].length; at++) {
        char *byte = &scene.records[2].data[at], kept = *byte;
        *byte = kept == 'a' ? 'b' : 'a';
        assert_int_equal(followed(&scene), 2);
        *byte = kept;
    }
    assert_int_equal(followed(&scene), COUNT);
    release(&scene);
}

static void a_record_taken_out_or_put_elsewhere_is_missed(void **state)
{
    (void)state;
    struct scene scene;
    make(&scene);
    struct buffer kept = scene.records[1];
    scene.records[1] = scene.records[2];
    assert_int_equal(followed(&scene), 1);
    scene.records[2] = kept;
    assert_int_equal(followed(&scene), 1);
    release(&scene);
}

static void a_record_made_anew_is_seen_by_the_one_after_it(void **state)
{
    (void)state;
    struct scene scene;
    struct chain_place at;
    make(&scene);
    chain_begin(&at);
    assert_null(chain_follow(&at, buffer_view(&scene.records[0])));
    buffer_clear(&scene.records[1]);
    chain_append(&at, VIEW("{\"who\":\"somebody else\"}"), &scene.records[1]);
    assert_int_equal(followed(&scene), 2);
    release(&scene);
}

static void what_is_no_record_is_refused(void **state)
{
    static const char *const texts[] = {"", "{}", "x", "null", "{\"hash\":\"\"}", ",\"hash\":\""};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct chain_place at;
        chain_begin(&at);
        assert_non_null(chain_follow(&at, view_of(texts[i])));
        assert_int_equal(at.sequence, 0);
    }
}

static void a_place_is_read_as_it_was_written(void **state)
{
    (void)state;
    struct scene scene;
    struct chain_place read;
    struct buffer text;
    make(&scene);
    buffer_init(&text, 1024);
    chain_place_write(&scene.end, &text);
    assert_int_equal(chain_place_read(buffer_view(&text), &read), ERROR_NONE);
    assert_int_equal(read.sequence, COUNT);
    assert_string_equal(read.hash, scene.end.hash);
    assert_int_equal(chain_place_read(VIEW("{\"sequence\":1,\"hash\":\"ab\"}"), &read),
                     ERROR_DAMAGED);
    assert_int_equal(chain_place_read(VIEW("{}"), &read), ERROR_DAMAGED);
    buffer_release(&text);
    release(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_chained_can_be_followed_to_its_end),
        cmocka_unit_test(any_other_byte_in_a_record_breaks_the_chain_there),
        cmocka_unit_test(a_record_taken_out_or_put_elsewhere_is_missed),
        cmocka_unit_test(a_record_made_anew_is_seen_by_the_one_after_it),
        cmocka_unit_test(what_is_no_record_is_refused),
        cmocka_unit_test(a_place_is_read_as_it_was_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
