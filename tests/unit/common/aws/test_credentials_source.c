/* Keeps credentials fresh for several loops: asked ahead of their end, kept while the provider fails, dropped when they have expired. */
#include "common/aws/credentials_source.h"

#include "common/base/clock.h"

#include <event2/event.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];
static const char *rows[16]; /* "NAME=value" */

static const char *variable(const char *name)
{
    size_t length = strlen(name);

    for (size_t i = 0; rows[i]; i++)
        if (strncmp(rows[i], name, length) == 0 && rows[i][length] == '=')
            return rows[i] + length + 1;
    return NULL;
}

static void set_variables(const char *const *these)
{
    size_t i = 0;

    for (; these[i]; i++)
        rows[i] = these[i];
    rows[i++] = "AWS_EC2_METADATA_DISABLED=true";
    rows[i] = NULL;
}

struct scene {
    struct event_base *base;
    struct credentials_source *source;
    struct credentials_provider *provider;
    struct credentials *given;
    enum error error;
    unsigned told;
};

static void on_ready(struct credentials *credentials, enum error error, void *context)
{
    struct scene *scene = context;

    credentials_release(scene->given);
    scene->given = credentials;
    scene->error = error;
    scene->told++;
}

static void spin(struct scene *scene, int64_t ms)
{
    struct timeval time = {ms / 1000, ms % 1000 * 1000};

    event_base_loopexit(scene->base, &time);
    event_base_dispatch(scene->base);
}

static void spin_until_told(struct scene *scene, unsigned times)
{
    for (int i = 0; i < 200 && scene->told < times; i++)
        spin(scene, 20);
    assert_int_equal(scene->told, times);
}

static void open_scene(struct scene *scene)
{
    struct buffer problem;

    memset(scene, 0, sizeof *scene);
    buffer_init(&problem, 1024);
    scene->base = event_base_new();
    assert_int_equal(credentials_source_new(scene->base, variable, &scene->source, &problem),
                     ERROR_NONE);
    scene->provider = credentials_provider_new(scene->source, scene->base);
    buffer_release(&problem);
}

static void close_scene(struct scene *scene)
{
    credentials_release(scene->given);
    credentials_provider_free(scene->provider);
    credentials_source_free(scene->source);
    event_base_free(scene->base);
}

static void expect_key(struct scene *scene, const char *key)
{
    struct credentials *credentials = credentials_get(scene->provider, on_ready, scene);

    assert_non_null(credentials);
    assert_true(view_equal_string(credentials->access_key_id, key));
    credentials_release(credentials);
}

static void write_text(const char *name, const char *text)
{
    char path[128];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0 && fclose(file) == 0);
}

static char config_row[128];

/* A command that prints what the file "answer" holds, and counts its runs. */
static void use_process(const char *answer)
{
    char config[512];

    snprintf(config, sizeof config,
             "[default]\ncredential_process = /bin/sh -c 'echo run >> %s/runs; cat %s/answer'\n",
             folder, folder);
    write_text("config", config);
    write_text("answer", answer);
    write_text("runs", "");
    snprintf(config_row, sizeof config_row, "AWS_CONFIG_FILE=%s/config", folder);
    set_variables((const char *const[]){config_row, NULL});
}

static void answer_expires_in(int64_t ms, const char *key)
{
    char text[256], time[CLOCK_RFC3339_SIZE];

    clock_format_rfc3339(clock_wall_ms() + ms, time);
    snprintf(text, sizeof text,
             "{\"Version\": 1, \"AccessKeyId\": \"%s\", \"SecretAccessKey\": \"s\", "
             "\"SessionToken\": \"t\", \"Expiration\": \"%s\"}",
             key, time);
    write_text("answer", text);
}

static void whoever_asks_first_waits_and_the_next_does_not(void **state)
{
    struct scene scene;

    (void)state;
    set_variables((const char *const[]){"AWS_ACCESS_KEY_ID=AKID", "AWS_SECRET_ACCESS_KEY=s", NULL});
    open_scene(&scene);
    assert_null(credentials_get(scene.provider, on_ready, &scene));
    spin_until_told(&scene, 1);
    assert_true(scene.given && view_equal_string(scene.given->access_key_id, "AKID"));
    expect_key(&scene, "AKID");
    close_scene(&scene);
}

static void whoever_was_forgotten_is_not_called(void **state)
{
    struct scene scene, other = {0};

    (void)state;
    set_variables((const char *const[]){"AWS_ACCESS_KEY_ID=AKID", "AWS_SECRET_ACCESS_KEY=s", NULL});
    open_scene(&scene);
    assert_null(credentials_get(scene.provider, on_ready, &other));
    assert_null(credentials_get(scene.provider, on_ready, &scene));
    credentials_forget(scene.provider, &other);
    spin_until_told(&scene, 1);
    assert_int_equal(other.told, 0);
    close_scene(&scene);
}

static void a_source_that_is_freed_at_once_leaves_nothing(void **state)
{
    struct scene scene;

    (void)state;
    use_process("");
    write_text("config", "[default]\ncredential_process = /bin/sleep 100\n");
    open_scene(&scene);
    assert_null(credentials_get(scene.provider, on_ready, &scene));
    spin(&scene, 20);
    close_scene(&scene);
    assert_int_equal(scene.told, 0);
}

static void short_lives_are_renewed_before_their_end(void **state)
{
    struct scene scene;

    (void)state;
    use_process("");
    answer_expires_in(1000, "FIRST");
    open_scene(&scene);
    assert_null(credentials_get(scene.provider, on_ready, &scene));
    spin_until_told(&scene, 1);
    expect_key(&scene, "FIRST");
    answer_expires_in(60000, "SECOND");
    spin(&scene, 800);
    expect_key(&scene, "SECOND");
    close_scene(&scene);
}

static void a_failing_provider_leaves_the_last_until_they_expire(void **state)
{
    struct credentials_status status;
    struct scene scene;

    (void)state;
    use_process("");
    answer_expires_in(1200, "FIRST");
    open_scene(&scene);
    assert_null(credentials_get(scene.provider, on_ready, &scene));
    spin_until_told(&scene, 1);
    write_text("answer", "{}");
    spin(&scene, 900);
    expect_key(&scene, "FIRST");
    credentials_source_status(scene.source, &status);
    assert_true(status.failures > 0 && status.present);
    assert_non_null(strstr(status.problem, "\"process\" gave no \"Version\": 1"));
    spin(&scene, 500);
    assert_null(credentials_get(scene.provider, on_ready, &scene));
    spin_until_told(&scene, 2);
    assert_int_equal(scene.error, ERROR_UNREACHABLE);
    answer_expires_in(60000, "SECOND");
    for (int i = 0; i < 10 && scene.error; i++) {
        spin(&scene, 500);
        unsigned told = scene.told;
        struct credentials *held = credentials_get(scene.provider, on_ready, &scene);
        if (held)
            on_ready(held, ERROR_NONE, &scene);
        else
            spin_until_told(&scene, told + 1);
    }
    expect_key(&scene, "SECOND");
    close_scene(&scene);
}

static void what_is_given_as_current_serves_even_when_it_looks_expired(void **state)
{
    struct scene scene;

    (void)state;
    use_process("");
    answer_expires_in(-60000, "STALE");
    open_scene(&scene);
    assert_null(credentials_get(scene.provider, on_ready, &scene));
    spin_until_told(&scene, 1);
    spin(&scene, 100);
    expect_key(&scene, "STALE");
    close_scene(&scene);
}

static void a_reload_chooses_anew_and_a_bad_choice_changes_nothing(void **state)
{
    struct buffer problem;
    struct scene scene;

    (void)state;
    buffer_init(&problem, 1024);
    set_variables((const char *const[]){"AWS_ACCESS_KEY_ID=A", "AWS_SECRET_ACCESS_KEY=s", NULL});
    open_scene(&scene);
    assert_null(credentials_get(scene.provider, on_ready, &scene));
    spin_until_told(&scene, 1);
    set_variables((const char *const[]){"AWS_ACCESS_KEY_ID=B", NULL});
    assert_int_equal(credentials_source_reload(scene.source, &problem), ERROR_INVALID);
    assert_non_null(strstr(problem.data, "AWS_SECRET_ACCESS_KEY is not"));
    spin(&scene, 20);
    expect_key(&scene, "A");
    set_variables((const char *const[]){"AWS_ACCESS_KEY_ID=B", "AWS_SECRET_ACCESS_KEY=s", NULL});
    assert_int_equal(credentials_source_reload(scene.source, &problem), ERROR_NONE);
    spin(&scene, 20);
    expect_key(&scene, "B");
    buffer_release(&problem);
    close_scene(&scene);
}

static void credentials_that_AWS_refused_are_looked_for_anew_once(void **state)
{
    struct scene scene;

    (void)state;
    set_variables((const char *const[]){"AWS_ACCESS_KEY_ID=A", "AWS_SECRET_ACCESS_KEY=s", NULL});
    open_scene(&scene);
    assert_null(credentials_get(scene.provider, on_ready, &scene));
    spin_until_told(&scene, 1);
    set_variables((const char *const[]){"AWS_ACCESS_KEY_ID=B", "AWS_SECRET_ACCESS_KEY=s", NULL});
    struct credentials *a = credentials_get(scene.provider, on_ready, &scene);
    assert_false(credentials_refused(scene.provider, a, VIEW("ExpiredTokenException"), VIEW("")));
    spin(&scene, 20);
    expect_key(&scene, "B");
    set_variables((const char *const[]){"AWS_ACCESS_KEY_ID=C", "AWS_SECRET_ACCESS_KEY=s", NULL});
    assert_true(credentials_refused(scene.provider, a, VIEW("ExpiredTokenException"), VIEW("")));
    struct credentials *b = credentials_get(scene.provider, on_ready, &scene);
    assert_false(credentials_refused(scene.provider, b, VIEW("ExpiredTokenException"),
                                     VIEW(""))); /* looked for too soon */
    spin(&scene, 20);
    expect_key(&scene, "B");
    credentials_release(a);
    credentials_release(b);
    close_scene(&scene);
}

static void commands_fail_with_a_sentence(void **state)
{
    static const struct {
        const char *command, *sentence;
    } cases[] = {
        {"/bin/sh -c 'exit 3'", "ended with exit code 3"},
        {"/bin/sh -c 'kill -9 $$'", "was ended by a signal"},
        {"/nowhere/at/all", "cannot be run: No such file"},
        {"/bin/echo hidden-secret", "gave no JSON"},
        {"/bin/sh -c 'yes | head -c 70000'", "printed more than 64 KiB"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct credentials_status status;
        char config[256];
        struct scene scene;
        use_process("");
        snprintf(config, sizeof config, "[default]\ncredential_process = %s\n", cases[i].command);
        write_text("config", config);
        open_scene(&scene);
        assert_null(credentials_get(scene.provider, on_ready, &scene));
        spin_until_told(&scene, 1);
        assert_int_equal(scene.error, ERROR_UNREACHABLE);
        credentials_source_status(scene.source, &status);
        assert_non_null(strstr(status.problem, cases[i].sentence));
        assert_null(strstr(status.problem, "hidden"));
        close_scene(&scene);
    }
}

static void the_start_is_refused_when_nothing_can_be_had(void **state)
{
    struct buffer problem;

    (void)state;
    buffer_init(&problem, 1024);
    set_variables((const char *const[]){NULL});
    assert_int_equal(credentials_check(variable, 2000, &problem), ERROR_NOT_FOUND);
    assert_non_null(strstr(problem.data, "There are no AWS credentials"));
    buffer_clear(&problem);
    set_variables((const char *const[]){"AWS_ACCESS_KEY_ID=a b", "AWS_SECRET_ACCESS_KEY=s", NULL});
    assert_int_equal(credentials_check(variable, 2000, &problem), ERROR_INVALID);
    assert_non_null(strstr(problem.data, "byte that no key has"));
    buffer_clear(&problem);
    rows[0] = "AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:1";
    rows[1] = NULL;
    assert_int_equal(credentials_check(variable, 2000, &problem), ERROR_NOT_FOUND);
    assert_non_null(strstr(problem.data, "\"instance\" cannot be asked"));
    assert_non_null(strstr(problem.data, "No other AWS credentials are configured"));
    buffer_clear(&problem);
    use_process("nonsense");
    assert_int_equal(credentials_check(variable, 2000, &problem), ERROR_NONE);
    set_variables((const char *const[]){"AWS_ACCESS_KEY_ID=A", "AWS_SECRET_ACCESS_KEY=s", NULL});
    assert_int_equal(credentials_check(variable, 2000, &problem), ERROR_NONE);
    assert_int_equal(problem.length, 0);
    buffer_release(&problem);
}

/* ---- threads ---- */

struct loop {
    pthread_t thread;
    struct credentials_source *source;
    atomic_bool ready;
    bool second_seen;
};

static void ignore(struct credentials *credentials, enum error error, void *context)
{
    (void)error;
    (void)context;
    credentials_release(credentials);
}

static void *run_loop(void *argument)
{
    struct loop *loop = argument;
    struct event_base *base = event_base_new();
    struct credentials_provider *provider = credentials_provider_new(loop->source, base);
    struct timeval pause = {0, 2000};

    for (int i = 0; i < 2000 && !loop->second_seen; i++) {
        struct credentials *credentials = credentials_get(provider, ignore, loop);
        if (credentials && credentials->access_key_id.length)
            atomic_store(&loop->ready, true);
        loop->second_seen = credentials && view_equal_string(credentials->access_key_id, "SECOND");
        credentials_release(credentials);
        event_base_loopexit(base, &pause);
        event_base_dispatch(base);
    }
    credentials_provider_free(provider);
    event_base_free(base);
    return NULL;
}

static void several_loops_get_each_renewal(void **state)
{
    struct loop loops[4] = {0};
    struct scene scene;
    bool all = false;

    (void)state;
    use_process("");
    answer_expires_in(1500, "FIRST");
    open_scene(&scene);
    for (size_t i = 0; i < 4; i++) {
        loops[i].source = scene.source;
        assert_int_equal(pthread_create(&loops[i].thread, NULL, run_loop, &loops[i]), 0);
    }
    for (int i = 0; i < 100 && !all; i++) {
        spin(&scene, 10);
        all = true;
        for (size_t k = 0; k < 4; k++)
            all = all && atomic_load(&loops[k].ready);
    }
    answer_expires_in(60000, "SECOND");
    spin(&scene, 1500);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(loops[i].thread, NULL), 0);
        assert_true(loops[i].second_seen);
    }
    close_scene(&scene);
}

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/test_credentials.XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    static const char *const names[] = {"config", "answer", "runs"};
    char path[128];

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whoever_asks_first_waits_and_the_next_does_not),
        cmocka_unit_test(whoever_was_forgotten_is_not_called),
        cmocka_unit_test(a_source_that_is_freed_at_once_leaves_nothing),
        cmocka_unit_test(short_lives_are_renewed_before_their_end),
        cmocka_unit_test(a_failing_provider_leaves_the_last_until_they_expire),
        cmocka_unit_test(what_is_given_as_current_serves_even_when_it_looks_expired),
        cmocka_unit_test(a_reload_chooses_anew_and_a_bad_choice_changes_nothing),
        cmocka_unit_test(credentials_that_AWS_refused_are_looked_for_anew_once),
        cmocka_unit_test(commands_fail_with_a_sentence),
        cmocka_unit_test(the_start_is_refused_when_nothing_can_be_had),
        cmocka_unit_test(several_loops_get_each_renewal),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
