/* Tests of the log: lines, levels, many threads, and readers that are slow, gone or never come. */
#include "tests/unit/common/base/check.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/log.h"

#define SAMPLE_MS INT64_C(1767323045678) /* 2026-01-02T03:04:05.678Z */
#define THREADS   4

/* While a test runs, both outputs are pipes whose reading ends it holds. */
static struct {
    int saved[2];
    int ends[2]; /* for standard output and standard error */
    struct buffer text[2];
    uint64_t dropped_before;
} capture;

enum { OUT, ERR };

static int start_capture(void **state)
{
    (void)state;
    fflush(NULL);
    for (int i = OUT; i <= ERR; i++) {
        int ends[2];

        if (pipe2(ends, O_CLOEXEC) != 0)
            return -1;
        capture.saved[i] = dup(STDOUT_FILENO + i);
        dup2(ends[1], STDOUT_FILENO + i);
        close(ends[1]);
        capture.ends[i] = ends[0];
        buffer_init(&capture.text[i], (size_t)64 * 1024 * 1024);
    }
    capture.dropped_before = log_dropped();
    return 0;
}

static int end_capture(void **state)
{
    (void)state;
    clock_thaw();
    for (int i = OUT; i <= ERR; i++) {
        if (capture.ends[i] >= 0)
            close(capture.ends[i]); /* first, so that log_stop waits for nobody */
    }
    log_stop();
    for (int i = OUT; i <= ERR; i++) {
        dup2(capture.saved[i], STDOUT_FILENO + i);
        close(capture.saved[i]);
        buffer_release(&capture.text[i]);
    }
    return 0;
}

/* So that standard error is full soon: one page, writable again only when it has been read. */
static void shrink_pipe(void)
{
    assert_true(fcntl(STDERR_FILENO, F_SETPIPE_SZ, 4096) >= 4096);
}

static uint64_t dropped(void)
{
    return log_dropped() - capture.dropped_before;
}

static unsigned lines_in(struct view text)
{
    unsigned lines = 0;

    for (size_t i = 0; i < text.length; i++)
        lines += text.data[i] == '\n';
    return lines;
}

/* Reads one output until it holds so many lines, or for at most `patience_ms` without news. */
static unsigned read_lines(int which, unsigned wanted, int patience_ms)
{
    unsigned lines = lines_in(buffer_view(&capture.text[which]));

    while (lines < wanted) {
        struct pollfd ask = {.fd = capture.ends[which], .events = POLLIN};
        char *room = buffer_reserve(&capture.text[which], 65536);
        ssize_t got;

        if (poll(&ask, 1, patience_ms) != 1)
            break;
        got = read(capture.ends[which], room, 65536);
        if (got <= 0)
            break;
        lines += lines_in(view_from(room, (size_t)got));
        buffer_commit(&capture.text[which], (size_t)got);
    }
    return lines;
}

static void lines_before_the_start_are_written_at_once(void **state)
{
    (void)state;
    clock_freeze(SAMPLE_MS, 0);
    log_write(LOG_WARN, "early");
    log_access(VIEW("{\"a\":1}"));
    assert_int_equal(read_lines(ERR, 1, 0), 1);
    assert_int_equal(read_lines(OUT, 1, 0), 1);
    check_buffer(
        &capture.text[ERR],
        "{\"time\":\"2026-01-02T03:04:05.678Z\",\"level\":\"warn\",\"event\":\"early\"}\n");
    check_buffer(&capture.text[OUT], "{\"a\":1}\n");
}

static void a_line_has_time_level_program_event_and_its_fields(void **state)
{
    (void)state;
    clock_freeze(SAMPLE_MS, 0);
    log_start("demo", LOG_INFO);
    log_write(LOG_INFO, "ready", LOG_STRING("listen", "127.0.0.1:80"), LOG_INTEGER("workers", -2),
              LOG_BOOL("tls", true), LOG_BOOL("test", false), LOG_RAW("list", VIEW("[1,2]")),
              LOG_VIEW("text", VIEW("a\"b\n\0\xFF")), LOG_STRING("none", NULL));
    log_access(VIEW("{\"status\":200}"));
    log_stop();
    assert_int_equal(read_lines(ERR, 1, 0), 1);
    assert_int_equal(read_lines(OUT, 1, 0), 1);
    check_buffer(&capture.text[ERR],
                 "{\"time\":\"2026-01-02T03:04:05.678Z\",\"level\":\"info\",\"program\":\"demo\","
                 "\"event\":\"ready\",\"listen\":\"127.0.0.1:80\",\"workers\":-2,\"tls\":true,"
                 "\"test\":false,\"list\":[1,2],\"text\":\"a\\\"b\\n\\u0000\xEF\xBF\xBD\","
                 "\"none\":\"\"}\n");
    check_buffer(&capture.text[OUT], "{\"status\":200}\n");
}

static void lines_below_the_least_level_are_left_out(void **state)
{
    (void)state;
    log_start("demo", LOG_WARN);
    assert_false(log_enabled(LOG_INFO));
    assert_true(log_enabled(LOG_WARN));
    log_write(LOG_DEBUG, "one");
    log_write(LOG_INFO, "two");
    log_write(LOG_WARN, "three");
    log_write(LOG_ERROR, "four");
    log_access(VIEW("{}")); /* access lines have no level */
    log_stop();
    assert_int_equal(read_lines(ERR, 3, 0), 2);
    assert_non_null(
        strstr(capture.text[ERR].data, "\"error\",\"program\":\"demo\",\"event\":\"four\""));
    assert_int_equal(read_lines(OUT, 2, 0), 1);
}

static void levels_are_parsed_by_name(void **state)
{
    enum log_level level = LOG_ERROR;

    (void)state;
    assert_true(log_level_parse(VIEW("debug"), &level) && level == LOG_DEBUG);
    assert_true(log_level_parse(VIEW("warn"), &level) && level == LOG_WARN);
    assert_false(log_level_parse(VIEW("WARN"), &level));
    assert_false(log_level_parse(VIEW(""), &level));
    assert_int_equal(level, LOG_WARN);
}

static void a_line_that_is_too_long_keeps_its_head(void **state)
{
    static char large[40000];

    (void)state;
    memset(large, 'x', sizeof(large));
    log_start("demo", LOG_INFO);
    log_write(LOG_INFO, "large", LOG_VIEW("text", view_from(large, sizeof(large))));
    log_access(view_from(large, sizeof(large)));
    log_stop();
    assert_int_equal(read_lines(ERR, 1, 0), 1);
    assert_non_null(strstr(capture.text[ERR].data, "\"event\":\"large\",\"truncated\":true}\n"));
    assert_int_equal(read_lines(OUT, 1, 0), 0);
    assert_int_equal(dropped(), 1);
}

static void *write_many(void *context)
{
    int thread = *(int *)context;

    for (int i = 0; i < 2000; i++) {
        log_write(LOG_INFO, "tick", LOG_INTEGER("thread", thread), LOG_INTEGER("number", i));
        if (i % 50 == 0)
            usleep(500);
    }
    return NULL;
}

/* Each line is whole, each thread's lines are in order, and each line is written or counted. */
static void check_ticks(struct view text)
{
    int64_t last[THREADS] = {-1, -1, -1, -1};
    uint64_t ticks = 0, reported = 0;
    struct view line;

    text.length -= text.length ? 1 : 0; /* the last line end begins no line */
    while (text.length && view_split(&text, '\n', &line)) {
        struct json *value = NULL;
        int64_t thread = 0, number = 0;

        assert_int_equal(json_parse(line, 5, &value, NULL), ERROR_NONE);
        if (json_get_integer(value, "count", &number)) {
            reported += (uint64_t)number;
        } else {
            assert_true(json_get_integer(value, "thread", &thread));
            assert_true(json_get_integer(value, "number", &number));
            assert_true(number > last[thread]);
            last[thread] = number;
            ticks++;
        }
        json_free(value);
    }
    assert_int_equal(ticks + dropped(), THREADS * 2000);
    assert_true(reported <= dropped());
}

static void lines_of_many_threads_arrive_whole_and_in_their_order(void **state)
{
    pthread_t threads[THREADS];
    int numbers[THREADS];

    (void)state;
    shrink_pipe();
    log_start("demo", LOG_INFO);
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, &numbers[i]), 0);
    }
    read_lines(ERR, THREADS * 2000, 1000); /* until all are there, or a second brings none */
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    log_stop();
    read_lines(ERR, UINT32_MAX, 0);
    assert_true(capture.text[ERR].length > 0);
    check_ticks(buffer_view(&capture.text[ERR]));
}

static void *write_one(void *context)
{
    log_write(LOG_INFO, "from-a-thread", LOG_STRING("name", context));
    return NULL;
}

static void lines_of_threads_that_ended_are_not_lost(void **state)
{
    (void)state;
    log_start("demo", LOG_INFO);
    for (int i = 0; i < 50; i++) { /* more rings than live at once */
        pthread_t thread;

        assert_int_equal(pthread_create(&thread, NULL, write_one, (void *)"x"), 0);
        pthread_join(thread, NULL);
        if (i % 10 == 9)
            read_lines(ERR, (unsigned)i + 1, 2000);
    }
    log_stop();
    assert_int_equal(read_lines(ERR, 50, 0), 50);
}

static void a_full_pipe_stops_no_producer_and_what_is_dropped_is_said(void **state)
{
    const unsigned written = 20000;
    uint64_t started = clock_monotonic_us(), floods = 0, reported = 0;
    struct view text, line;

    (void)state;
    shrink_pipe();
    log_start("demo", LOG_INFO);
    for (unsigned i = 0; i < written; i++)
        log_write(LOG_INFO, "flood", LOG_INTEGER("number", i));
    assert_true(clock_monotonic_us() - started < 5000000); /* nobody has read a byte */
    assert_true(dropped() > 0 && dropped() < written);
    read_lines(ERR, written - (unsigned)dropped(), 2000);
    assert_true(fcntl(STDERR_FILENO, F_SETPIPE_SZ, 65536) > 0); /* room for the rest */
    log_write(LOG_INFO, "after");
    log_stop();
    read_lines(ERR, UINT32_MAX, 0);
    text = buffer_view(&capture.text[ERR]);
    text.length--; /* the last line end begins no line */
    while (view_split(&text, '\n', &line)) {
        struct json *value = NULL;
        int64_t count = 0;

        assert_int_equal(json_parse(line, 5, &value, NULL), ERROR_NONE);
        if (json_get_integer(value, "count", &count))
            reported += (uint64_t)count;
        floods += json_get(value, "number") != NULL;
        json_free(value);
    }
    assert_true(strstr(line.data, "\"event\":\"after\"") != NULL);
    assert_int_equal(floods + dropped(), written);
    assert_int_equal(reported, dropped());
}

static void stopping_gives_up_after_two_seconds_when_nobody_reads(void **state)
{
    uint64_t started, took;

    (void)state;
    shrink_pipe();
    log_start("demo", LOG_INFO);
    for (int i = 0; i < 1000; i++)
        log_write(LOG_INFO, "flood", LOG_INTEGER("number", i));
    started = clock_monotonic_us();
    log_stop();
    took = clock_monotonic_us() - started;
    assert_true(took > 1000000 && took < 3000000);
    assert_true(dropped() > 0);
    assert_int_equal(read_lines(ERR, 1000, 0) + dropped(), 1000);
}

static void a_reader_that_left_costs_lines_not_the_process(void **state)
{
    uint64_t started;

    (void)state;
    close(capture.ends[ERR]);
    capture.ends[ERR] = -1;
    log_start("demo", LOG_INFO);
    log_write(LOG_INFO, "unread"); /* a SIGPIPE would end the test here */
    log_access(VIEW("{}"));
    started = clock_monotonic_us();
    log_stop();
    assert_true(clock_monotonic_us() - started < 1500000);
    assert_int_equal(dropped(), 1);
    assert_int_equal(read_lines(OUT, 1, 0), 1); /* the other output goes on */
}

static void a_normal_exit_writes_what_is_queued(void **state)
{
    int status;
    pid_t child;

    (void)state;
    fflush(NULL);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        log_start("demo", LOG_INFO);
        for (int i = 0; i < 200; i++)
            log_write(LOG_INFO, "last-words", LOG_INTEGER("number", i));
        exit(0);
    }
    assert_int_equal(read_lines(ERR, 200, 5000), 200);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void it_can_be_started_again(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        log_start("demo", LOG_INFO);
        log_write(LOG_INFO, "again");
        log_stop();
        log_stop(); /* once more does nothing */
    }
    assert_int_equal(read_lines(ERR, 3, 0), 3);
}

static void a_limit_allows_a_burst_each_second_and_counts_the_rest(void **state)
{
    struct log_limit limit = {0};
    unsigned suppressed = 99;

    (void)state;
    clock_freeze(0, 0);
    assert_true(log_allow(&limit, 2, &suppressed));
    assert_int_equal(suppressed, 0);
    assert_true(log_allow(&limit, 2, NULL));
    for (int i = 0; i < 5; i++)
        assert_false(log_allow(&limit, 2, &suppressed));
    clock_advance_ms(999);
    assert_false(log_allow(&limit, 2, &suppressed));
    clock_advance_ms(1);
    assert_true(log_allow(&limit, 2, &suppressed));
    assert_int_equal(suppressed, 6);
    assert_true(log_allow(&limit, 2, &suppressed));
    assert_int_equal(suppressed, 0);
}

#define CAPTURED(test) cmocka_unit_test_setup_teardown(test, start_capture, end_capture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CAPTURED(lines_before_the_start_are_written_at_once),
        CAPTURED(a_line_has_time_level_program_event_and_its_fields),
        CAPTURED(lines_below_the_least_level_are_left_out),
        CAPTURED(a_normal_exit_writes_what_is_queued),
        cmocka_unit_test(levels_are_parsed_by_name),
        CAPTURED(a_line_that_is_too_long_keeps_its_head),
        CAPTURED(lines_of_many_threads_arrive_whole_and_in_their_order),
        CAPTURED(lines_of_threads_that_ended_are_not_lost),
        CAPTURED(a_full_pipe_stops_no_producer_and_what_is_dropped_is_said),
        CAPTURED(stopping_gives_up_after_two_seconds_when_nobody_reads),
        CAPTURED(a_reader_that_left_costs_lines_not_the_process),
        CAPTURED(it_can_be_started_again),
        CAPTURED(a_limit_allows_a_burst_each_second_and_counts_the_rest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
