/* Tests of operations against a Lambda of our own: order, failure, conflicts, and every way to stop
 * and go on. */
#include "tests/unit/managerd/scene.h"

#include "common/store/layout.h"
#include "common/store/route_record.h"
#include "managerd/operation.h"
#include "managerd/packages.h"
#include "managerd/plan.h"
#include "managerd/publish.h"
#include "managerd/quota.h"
#include "managerd/secrets.h"
#include "managerd/traffic.h"

#define CODE_SHA256 "n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg="

/* A Lambda that has one function, in place of lambda_control.c. */

static struct {
    bool there;
    char code[64], description[256];
    int versions;        /* published */
    char published[256]; /* description of the latest */
    bool broken;         /* State: Failed, until it is deleted */
    int calls;           /* so far */
    int stop_at;         /* the call whose answer never comes; 0: none */
    bool stopped;
    int wordless;             /* what fails says this status, and nothing else; 0: it says why */
    enum lambda_outcome fail; /* the operation below fails so */
    enum lambda_operation fail_operation;
    const char *reply;    /* of the function */
    void (*before)(void); /* called before each call */
} lambda;

struct lambda_call {
    struct event *timer;
    enum lambda_operation operation;
    struct json *body;
    char qualifier[32];
    void (*on_done)(const struct lambda_answer *answer, void *context);
    void *context;
};

enum error lambda_control_new(struct event_base *base, const char *(*variable)(const char *name),
                              const int64_t per_second[LAMBDA_QUOTA_COUNT],
                              struct lambda_control **control, struct buffer *problem)
{
    (void)base, (void)variable, (void)per_second, (void)control, (void)problem;
    return ERROR_UNSUPPORTED;
}

void lambda_control_free(struct lambda_control *control)
{
    (void)control;
}

struct credentials_provider *lambda_control_credentials(const struct lambda_control *control)
{
    (void)control;
    return NULL;
}

void lambda_control_credentials_status(const struct lambda_control *control,
                                       struct credentials_status *status)
{
    (void)control, (void)status;
}

const char *lambda_control_region(const struct lambda_control *control)
{
    (void)control;
    return "";
}

const char *lambda_control_endpoint(const struct lambda_control *control)
{
    (void)control;
    return "";
}

uint64_t lambda_control_attempts(const struct lambda_control *control,
                                 enum lambda_operation operation)
{
    (void)control, (void)operation;
    return 0;
}

void lambda_control_quota(const struct lambda_control *control, enum lambda_quota quota,
                          struct quota_figures *figures)
{
    (void)control, (void)quota;
    *figures = (struct quota_figures){0};
}

int lambda_control_retry_tokens(const struct lambda_control *control)
{
    (void)control;
    return 0;
}

uint64_t lambda_control_failures(const struct lambda_control *control,
                                 enum lambda_operation operation)
{
    (void)control, (void)operation;
    return 0;
}

static void call_free(struct lambda_call *call)
{
    event_free(call->timer);
    json_free(call->body);
    free(call);
}

static void copy_member(const struct json *body, const char *name, char *out, size_t size)
{
    struct view text;
    if (json_get_string(body, name, &text))
        snprintf(out, size, "%.*s", VIEW_FORMAT(text));
}

static struct json *configuration(void)
{
    struct json *answer = json_new_object();
    json_set_string(answer, "State", lambda.broken ? VIEW("Failed") : VIEW("Active"));
    json_set_string(answer, "LastUpdateStatus", VIEW("Successful"));
    json_set_string(answer, "CodeSha256", view_of(lambda.code));
    json_set_string(answer, "Description", view_of(lambda.description));
    return answer;
}

static struct json *get_function(void)
{
    struct json *answer = json_new_object(), *tags = json_new_object();
    json_set(answer, "Configuration", configuration());
    json_set_string(tags, "app-orchestrator:installation", VIEW("test"));
    json_set_string(tags, "app-orchestrator:app", VIEW("hello"));
    json_set(answer, "Tags", tags);
    return answer;
}

static struct json *publish_version(void)
{
    char version[16];
    struct json *answer = configuration();
    if (strcmp(lambda.published, lambda.description) != 0) {
        lambda.versions++;
        snprintf(lambda.published, sizeof lambda.published, "%s", lambda.description);
    }
    snprintf(version, sizeof version, "%d", lambda.versions);
    json_set_string(answer, "Version", view_of(version));
    return answer;
}

/* Does what is asked; NULL: there is no function. */
static struct json *perform(const struct lambda_call *call)
{
    if (call->operation != LAMBDA_CREATE_FUNCTION && !lambda.there)
        return NULL;
    switch (call->operation) {
    case LAMBDA_GET_FUNCTION:
        return get_function();
    case LAMBDA_CREATE_FUNCTION:
        lambda.there = true;
        copy_member(call->body, "Description", lambda.description, sizeof lambda.description);
        snprintf(lambda.code, sizeof lambda.code, "%s", CODE_SHA256);
        return configuration();
    case LAMBDA_UPDATE_CODE:
        snprintf(lambda.code, sizeof lambda.code, "%s", CODE_SHA256);
        return configuration();
    case LAMBDA_UPDATE_CONFIGURATION:
        copy_member(call->body, "Description", lambda.description, sizeof lambda.description);
        return configuration();
    case LAMBDA_PUBLISH_VERSION:
        return publish_version();
    case LAMBDA_DELETE_FUNCTION:
        lambda.there = call->qualifier[0] != 0;
        lambda.broken = false;
        return json_new_object();
    case LAMBDA_GET_ACCOUNT_SETTINGS:
    case LAMBDA_LIST_FUNCTIONS:
    case LAMBDA_LIST_VERSIONS:
    case LAMBDA_LIST_ALIASES:
    case LAMBDA_PUT_CONCURRENCY:
    case LAMBDA_DELETE_CONCURRENCY:
    case LAMBDA_PUT_PROVISIONED:
    case LAMBDA_LIST_PROVISIONED:
    case LAMBDA_DELETE_PROVISIONED:
    case LAMBDA_TAG_RESOURCE:
    case LAMBDA_UNTAG_RESOURCE:
    case LAMBDA_LIST_TAGS:
    case LAMBDA_GET_POLICY:
    case LAMBDA_GET_URL:
    case LAMBDA_INVOKE:
    case LAMBDA_INVOKE_STREAM:
    case LAMBDA_OPERATION_COUNT:
        break;
    }
    return json_new_object();
}

static void on_turn(evutil_socket_t fd, short what, void *context)
{
    struct lambda_call *call = context;
    struct lambda_answer answer = {.outcome = LAMBDA_OK,
                                   .status = 200,
                                   .code = VIEW(""),
                                   .message = VIEW(""),
                                   .request_id = VIEW(""),
                                   .body = VIEW("")};
    (void)fd, (void)what;
    if (lambda.before)
        lambda.before();
    struct json *json = NULL;
    if (lambda.fail != LAMBDA_OK && lambda.fail_operation == call->operation) {
        answer.outcome = lambda.fail;
        answer.code = lambda.wordless ? VIEW("") : VIEW("SomeException");
        answer.message = lambda.wordless ? VIEW("") : VIEW("because");
        answer.status = lambda.wordless ? lambda.wordless : 400;
    } else {
        json = perform(call);
        if (!json)
            answer.outcome = LAMBDA_NOT_FOUND;
    }
    answer.json = json;
    if (call->operation == LAMBDA_INVOKE)
        answer.body = view_of(lambda.reply);
    if (++lambda.calls == lambda.stop_at)
        lambda.stopped = true; /* done, but nobody is told */
    else
        call->on_done(&answer, call->context);
    if (!lambda.stopped)
        call_free(call);
    json_free(json);
}

static void read_stream(struct lambda_stream *stream, struct json **body)
{
    char text[4096];
    size_t length = 0, got = 1;
    assert_true(stream->length < sizeof text);
    while (length < stream->length && got) {
        got = stream->read(stream, length, text + length, 7);
        length += got;
    }
    assert_int_equal(length, stream->length);
    assert_int_equal(json_parse(view_from(text, length), 20, body, NULL), ERROR_NONE);
    stream->free(stream);
}

struct lambda_call *lambda_send(struct lambda_control *control,
                                const struct lambda_request *request,
                                void (*on_done)(const struct lambda_answer *answer, void *context),
                                void *context)
{
    struct lambda_call *call = calloc(1, sizeof *call);
    struct timeval now = {0, 0};
    call->operation = request->operation;
    call->on_done = on_done;
    call->context = context;
    snprintf(call->qualifier, sizeof call->qualifier, "%.*s", VIEW_FORMAT(request->qualifier));
    if (request->body && request->operation != LAMBDA_INVOKE)
        assert_int_equal(json_parse(buffer_view(request->body), 20, &call->body, NULL), ERROR_NONE);
    if (request->stream)
        read_stream(request->stream, &call->body);
    /* The test's loop stands in for the control. */
    call->timer = evtimer_new((struct event_base *)control, on_turn, call);
    evtimer_add(call->timer, &now);
    return call;
}

void lambda_cancel(struct lambda_call *call)
{
    if (call)
        call_free(call);
}

/* The rest of the world. */

static struct scene scene;
static struct publisher *publisher;
static struct packages *packages;
static struct secrets *secrets;
static struct operations *operations;

static void open_world(void)
{
    static const char *const domains[] = {"localhost"};
    struct buffer problem;
    buffer_init(&problem, 4096);
    char *routes = strdup(scene_path(&scene, "routes"));
    struct publish_options options = {.base = scene.base,
                                      .state = scene.state,
                                      .store_thread = scene.store_thread,
                                      .folder = routes,
                                      .map_bytes = SCENE_MAP,
                                      .base_domains = domains,
                                      .base_domain_count = 1,
                                      .public_url = "http://localhost:8080",
                                      .installation = "test"};
    assert_int_equal(publish_open(&options, &publisher, &problem), ERROR_NONE);
    packages = packages_new(scene_path(&scene, "packages"), scene.pool, 1000);
    assert_int_equal(secrets_open(NULL, scene_path(&scene, "key"), &secrets, &problem), ERROR_NONE);
    struct operation_environment environment = {.base = scene.base,
                                                .state = scene.state,
                                                .publisher = publisher,
                                                .control = (struct lambda_control *)scene.base,
                                                .packages = packages,
                                                .secrets = secrets,
                                                .installation = "test",
                                                .default_role = "arn:aws:iam::0:role/x",
                                                .drain_ms = 0,
                                                .max_running = 4};
    operations = operations_new(&environment);
    assert_int_equal(operations_resume(operations, &problem), ERROR_NONE);
    buffer_release(&problem);
    free(routes);
}

static void close_world(void)
{
    operations_stop(operations);
    scene_drain(&scene);
    operations_free(operations);
    publish_close(publisher);
    packages_free(packages);
    secrets_free(secrets);
}

/* As after a crash: what was committed is there, what was in memory is not. */
static void start_again(void)
{
    close_world();
    scene_close(&scene);
    lambda.stopped = false;
    lambda.stop_at = 0;
    scene_open(&scene);
    open_world();
}

static int set_up(void **state)
{
    (void)state;
    memset(&lambda, 0, sizeof lambda);
    lambda.reply = "{\"statusCode\":200,\"body\":\"x\"}";
    scene_new(&scene);
    char name[128];
    snprintf(name, sizeof name, "packages/%s.zip", SCENE_SHA256);
    assert_int_equal(file_write(scene_path(&scene, name), VIEW("test"), 0600), ERROR_NONE);
    open_world();
    struct json *app = app_new(VIEW("hello"), scene_settings("hello"), 0, 1700000000000);
    scene_put(&scene, key_app(VIEW("hello")), app);
    json_free(app);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    close_world();
    scene_remove(&scene);
    return 0;
}

static void read(struct key key, struct record *record)
{
    assert_int_equal(record_read(scene.state, key.text, record), ERROR_NONE);
}

static uint64_t accepted_revision;

static void on_accepted(enum error error, uint64_t revision, void *context)
{
    (void)context;
    assert_int_equal(error, ERROR_NONE);
    accepted_revision = revision;
}

/* Accepts an operation as the API does; `version` 0: none is made. */
static void accept_now(struct json *operation, int64_t version, char id[ID_SIZE])
{
    struct change change;
    struct record app;
    read(key_app(VIEW("hello")), &app);
    struct key key = key_operation(view_of(id)), queue = key_queue(VIEW("hello"), view_of(id));
    struct json *mark = json_new_object();
    change_init(&change);
    change_put(&change, key.text, operation);
    change_put(&change, queue.text, mark);
    if (version) {
        struct key version_key = key_version(VIEW("hello"), version);
        struct json *record = version_new(app.json, version, scene_package(), VIEW(""), view_of(id),
                                          VIEW("admin"), 1700000000000);
        change_put(&change, version_key.text, record);
        json_free(record);
    }
    state_commit(scene.state, &change, on_accepted, NULL);
    jobs_drain(scene.store_thread);
    operations_accept(operations, operation, accepted_revision);
    change_release(&change);
    json_free(mark);
    json_free(operation);
    record_release(&app);
}

static void deploy(int64_t version, char id[ID_SIZE])
{
    id_make(id);
    struct plan_operation plan = {view_of(id), VIEW("hello"), VIEW("admin"), 1700000000000};
    accept_now(plan_deploy(&plan, version, (version > 1 ? PLAN_KNOWN : 0) | PLAN_PROBE, NULL, NULL),
               version, id);
}

/* Runs the loop until no operation is left, or Lambda fell silent. */
static void run(void)
{
    for (int i = 0; i < 20000; i++) {
        if (lambda.stopped || operations_running(operations) + operations_queued(operations) == 0)
            return;
        struct timeval little = {0, 2000};
        event_base_loopexit(scene.base, &little);
        event_base_dispatch(scene.base);
    }
    fail_msg("the operations did not end");
}

static void expect_state(const char *id, const char *wanted)
{
    struct record record;
    read(key_operation(view_of(id)), &record);
    char found[32];
    snprintf(found, sizeof found, "%.*s", VIEW_FORMAT(text_of(record.json, "state")));
    assert_string_equal(found, wanted);
    record_release(&record);
}

static int share_of(int64_t version)
{
    struct record app;
    read(key_app(VIEW("hello")), &app);
    int share = traffic_share(json_get(internal_of(app.json), "traffic"), version);
    record_release(&app);
    return share;
}

static void expect_version(int64_t version, const char *wanted)
{
    struct record record;
    read(key_version(VIEW("hello"), version), &record);
    assert_true(view_equal_string(text_of(record.json, "state"), wanted));
    record_release(&record);
}

static void a_deployment_runs_through_and_serves(void **state)
{
    (void)state;
    char id[ID_SIZE];
    deploy(1, id);
    run();
    expect_state(id, "succeeded");
    expect_version(1, "ready");
    assert_int_equal(share_of(1), 10000);
    assert_int_equal(lambda.versions, 1);
    assert_string_equal(lambda.description, "app-orchestrator test hello version 1");
}

static void each_deployment_publishes_a_version_of_its_own(void **state)
{
    (void)state;
    char id[ID_SIZE];
    for (int64_t version = 1; version <= 3; version++) {
        deploy(version, id);
        run();
        expect_state(id, "succeeded");
        assert_int_equal(lambda.versions, version); /* though code and configuration are the same */
        assert_int_equal(share_of(version), 10000);
    }
}

static void the_operations_of_one_app_wait_for_one_another(void **state)
{
    (void)state;
    char first[ID_SIZE], second[ID_SIZE];
    deploy(1, first);
    deploy(2, second);
    lambda.stop_at = 1;
    run();
    expect_state(first, "running");
    expect_state(second, "queued");
    start_again();
    run();
    expect_state(first, "succeeded");
    expect_state(second, "succeeded");
    assert_int_equal(share_of(2), 10000);
}

/* Stops after every call in turn, in two rounds: a first deployment, and one that replaces it. */
static void stopped_after_any_call_it_goes_on_and_does_nothing_twice(void **state)
{
    (void)state;
    char id[ID_SIZE];
    int64_t version = 0;
    for (int stop_at = 1;; stop_at++) {
        bool stopped;
        lambda.calls = 0;
        lambda.stop_at = stop_at;
        deploy(++version, id);
        run();
        stopped = lambda.stopped;
        if (stopped) {
            if (version > 1)
                assert_int_equal(share_of(version - 1), 10000); /* the old one serves */
            start_again();
            run();
        }
        expect_state(id, "succeeded");
        expect_version(version, "ready");
        assert_int_equal(share_of(version), 10000);
        assert_int_equal(lambda.versions, version);
        if (!stopped) {
            assert_true(stop_at > 5);
            return;
        }
    }
}

static void what_aws_refuses_fails_the_operation_with_its_reason(void **state)
{
    (void)state;
    static const enum lambda_operation calls[] = {LAMBDA_GET_FUNCTION, LAMBDA_UPDATE_CONFIGURATION,
                                                  LAMBDA_PUBLISH_VERSION, LAMBDA_INVOKE};
    char id[ID_SIZE];
    deploy(1, id);
    run();
    for (int i = 0; i < 4; i++) {
        struct record record;
        lambda.fail = LAMBDA_REFUSED;
        lambda.fail_operation = calls[i];
        deploy(2 + i, id);
        run();
        expect_state(id, "failed");
        expect_version(2 + i, "failed");
        read(key_operation(view_of(id)), &record);
        const struct json *aws = json_get(json_get(record.json, "problem"), "aws");
        assert_true(view_equal_string(text_of(aws, "code"), "SomeException"));
        assert_true(view_equal_string(text_of(aws, "message"), "because"));
        record_release(&record);
        assert_int_equal(share_of(1), 10000);
    }
    lambda.fail = LAMBDA_OK;
    deploy(6, id);
    run();
    expect_state(id, "succeeded");
}

static void a_version_that_answers_badly_gets_no_traffic(void **state)
{
    (void)state;
    char id[ID_SIZE];
    deploy(1, id);
    run();
    lambda.reply = "{\"statusCode\":503}";
    deploy(2, id);
    run();
    expect_state(id, "failed");
    assert_int_equal(share_of(1), 10000);
    assert_int_equal(share_of(2), 0);
    expect_version(2, "failed");
}

/* Somebody edits the app in the very moment in which the operation wants to. */
static void edit_app(void)
{
    struct record app;
    read(key_app(VIEW("hello")), &app);
    json_set_string(app.json, "description", VIEW("edited"));
    struct change change;
    struct key key = key_app(VIEW("hello"));
    change_init(&change);
    change_put(&change, key.text, app.json);
    state_commit(scene.state, &change, on_accepted, NULL);
    change_release(&change);
    record_release(&app);
}

static void changes_made_meanwhile_are_not_lost(void **state)
{
    (void)state;
    char id[ID_SIZE];
    struct record app;
    lambda.before = edit_app;
    deploy(1, id);
    run();
    expect_state(id, "succeeded");
    read(key_app(VIEW("hello")), &app);
    assert_true(view_equal_string(text_of(app.json, "description"), "edited"));
    record_release(&app);
    assert_int_equal(share_of(1), 10000);
}

static void a_function_that_failed_for_good_is_made_anew(void **state)
{
    (void)state;
    char id[ID_SIZE];
    lambda.fail = LAMBDA_REFUSED;
    lambda.fail_operation = LAMBDA_PUBLISH_VERSION;
    deploy(1, id);
    run();
    expect_state(id, "failed");
    lambda.fail = LAMBDA_OK;
    lambda.broken = true;
    deploy(2, id);
    run();
    expect_state(id, "succeeded");
    assert_false(lambda.broken);
    assert_int_equal(share_of(2), 10000);
    /* Not when a version serves that would go with it. */
    lambda.broken = true;
    deploy(3, id);
    run();
    expect_state(id, "failed");
    assert_true(lambda.there);
    assert_int_equal(share_of(2), 10000);
}

static void a_refusal_without_a_word_is_told_all_the_same(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *detail;
    } rows[] = {{413, "takes no package of this size"}, {418, "AWS answered 418."}};
    lambda.fail = LAMBDA_REFUSED;
    lambda.fail_operation = LAMBDA_CREATE_FUNCTION;
    for (int i = 0; i < 2; i++) {
        char id[ID_SIZE];
        struct record operation;
        lambda.wordless = rows[i].status;
        deploy(i + 1, id);
        run();
        expect_state(id, "failed");
        read(key_operation(view_of(id)), &operation);
        struct view detail = text_of(json_get(operation.json, "problem"), "detail");
        assert_non_null(memmem(detail.data, detail.length, rows[i].detail, strlen(rows[i].detail)));
        record_release(&operation);
    }
}

static void cancelled_before_it_began_it_changes_nothing(void **state)
{
    (void)state;
    char first[ID_SIZE], second[ID_SIZE];
    deploy(1, first);
    deploy(2, second);
    assert_int_equal(operations_cancel(operations, view_of(second)), ERROR_NONE);
    run();
    expect_state(first, "succeeded");
    expect_state(second, "cancelled");
    expect_version(2, "failed");
    assert_int_equal(share_of(1), 10000);
    assert_int_equal(operations_cancel(operations, view_of(second)), ERROR_NOT_FOUND);
}

static void an_end_removes_every_record_and_the_function(void **state)
{
    (void)state;
    char id[ID_SIZE];
    struct record record;
    deploy(1, id);
    run();
    read(key_app(VIEW("hello")), &record);
    json_set_string(object_in(record.json, "internal"), "deleting", VIEW("x"));
    scene_put(&scene, key_app(VIEW("hello")), record.json);
    record_release(&record);
    id_make(id);
    struct plan_operation plan = {view_of(id), VIEW("hello"), VIEW("admin"), 1700000000000};
    lambda.stop_at = lambda.calls + 2;
    accept_now(plan_delete(&plan, true), 0, id);
    run();
    assert_true(lambda.stopped);
    start_again();
    run();
    expect_state(id, "succeeded");
    assert_false(lambda.there);
    assert_int_equal(record_read(scene.state, key_app(VIEW("hello")).text, &record),
                     ERROR_NOT_FOUND);
    assert_int_equal(record_read(scene.state, key_version(VIEW("hello"), 1).text, &record),
                     ERROR_NOT_FOUND);
    assert_int_equal(record_read(scene.state, key_removed(VIEW("hello")).text, &record),
                     ERROR_NONE);
    record_release(&record);
}

static void end_version(int64_t version, char id[ID_SIZE])
{
    id_make(id);
    struct plan_operation plan = {view_of(id), VIEW("hello"), VIEW("admin"), 1700000000000};
    accept_now(plan_delete_version(&plan, version), 0, id);
    run();
    expect_state(id, "succeeded");
}

static void a_lambda_version_that_two_share_goes_with_the_last_of_them(void **state)
{
    char id[ID_SIZE];
    struct record record;
    (void)state;
    for (int64_t version = 1; version <= 2; version++)
        deploy(version, id);
    run();
    read(key_version(VIEW("hello"), 2), &record);
    json_set_string(record.json, "lambdaVersion", VIEW("1")); /* as version 1 has it */
    scene_put(&scene, key_version(VIEW("hello"), 2), record.json);
    record_release(&record);
    int calls = lambda.calls;
    end_version(2, id);
    assert_int_equal(lambda.calls, calls); /* version 1 still runs as it */
    assert_int_equal(record_read(scene.state, key_version(VIEW("hello"), 2).text, &record),
                     ERROR_NOT_FOUND);
    end_version(1, id);
    assert_int_equal(lambda.calls, calls + 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_deployment_runs_through_and_serves),
        TEST(each_deployment_publishes_a_version_of_its_own),
        TEST(the_operations_of_one_app_wait_for_one_another),
        TEST(stopped_after_any_call_it_goes_on_and_does_nothing_twice),
        TEST(what_aws_refuses_fails_the_operation_with_its_reason),
        TEST(a_version_that_answers_badly_gets_no_traffic),
        TEST(changes_made_meanwhile_are_not_lost),
        TEST(a_function_that_failed_for_good_is_made_anew),
        TEST(a_refusal_without_a_word_is_told_all_the_same),
        TEST(cancelled_before_it_began_it_changes_nothing),
        TEST(an_end_removes_every_record_and_the_function),
        TEST(a_lambda_version_that_two_share_goes_with_the_last_of_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
