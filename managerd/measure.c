/* Adds up what proxies measured of a version, and judges it. */
#include "managerd/measure.h"

#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define MAX_DEPTH   10
#define BEYOND_LAST 1e12

/* Reading. */

static bool read_count(const struct json *object, const char *name, uint64_t *out)
{
    int64_t value = -1;
    if (!json_get_integer(object, name, &value) || value < 0)
        return false;
    *out = (uint64_t)value;
    return true;
}

static bool read_bounds(const struct json *list, struct measure_answer *answer)
{
    for (const struct json *one = json_first(list); one; one = json_next(one)) {
        int64_t bound = 0;
        uint32_t before = answer->bound_count ? answer->bounds_ms[answer->bound_count - 1] : 0;
        if (answer->bound_count == MEASURE_BOUNDS || !json_integer(one, &bound) ||
            bound <= before || bound > UINT32_MAX)
            return false;
        answer->bounds_ms[answer->bound_count++] = (uint32_t)bound;
    }
    return answer->bound_count > 0;
}

static bool read_counts(const struct json *list, struct measure_answer *answer)
{
    size_t index = 0;
    for (const struct json *one = json_first(list); one; one = json_next(one), index++) {
        int64_t count = -1;
        if (index > answer->bound_count || !json_integer(one, &count) || count < 0)
            return false;
        answer->figures.counts[index] = (uint64_t)count;
    }
    return index == answer->bound_count + 1;
}

static bool read_version(const struct json *one, struct measure_answer *answer)
{
    struct measure_figures *figures = &answer->figures;
    return read_count(one, "calls", &figures->calls) &&
           read_count(one, "errors", &figures->errors) &&
           read_count(one, "proxyErrors", &figures->proxy_errors) &&
           read_counts(json_get(json_get(one, "latency"), "counts"), answer);
}

static bool read_answer(const struct json *json, int64_t version, struct measure_answer *answer)
{
    struct view start;
    const struct json *versions = json_get(json, "versions");
    if (!json_get_string(json, "start", &start) || start.length == 0 ||
        start.length >= sizeof answer->start || json_type_of(versions) != JSON_ARRAY ||
        !read_bounds(json_get(json, "boundsMs"), answer))
        return false;
    snprintf(answer->start, sizeof answer->start, "%.*s", VIEW_FORMAT(start));
    for (const struct json *one = json_first(versions); one; one = json_next(one)) {
        int64_t number = 0;
        if (json_get_integer(one, "version", &number) && number == version)
            return read_version(one, answer);
    }
    return true;
}

enum error measure_read(struct view body, int64_t version, struct measure_answer *answer)
{
    struct json *json = NULL;
    memset(answer, 0, sizeof *answer);
    if (json_parse(body, MAX_DEPTH, &json, NULL))
        return ERROR_INVALID;
    bool good = read_answer(json, version, answer);
    json_free(json);
    return good ? ERROR_NONE : ERROR_INVALID;
}

/* Adding up. */

void measure_begin(struct measure *measure)
{
    memset(measure, 0, offsetof(struct measure, processes));
}

void measure_begin_round(struct measure *measure)
{
    measure->round++;
    measure->answered = measure->silent = 0;
    measure->silent_one[0] = 0;
}

/* False: one of them is less than it was, so these are not the figures that go on from there. */
static bool add_since(struct measure_figures *sum, const struct measure_figures *last,
                      const struct measure_figures *now)
{
    bool rising = now->calls >= last->calls && now->errors >= last->errors &&
                  now->proxy_errors >= last->proxy_errors;
    for (size_t i = 0; i <= MEASURE_BOUNDS; i++)
        rising = rising && now->counts[i] >= last->counts[i];
    if (!rising)
        return false;
    sum->calls += now->calls - last->calls;
    sum->errors += now->errors - last->errors;
    sum->proxy_errors += now->proxy_errors - last->proxy_errors;
    for (size_t i = 0; i <= MEASURE_BOUNDS; i++)
        sum->counts[i] += now->counts[i] - last->counts[i];
    return true;
}

static bool same_bounds(struct measure *measure, const struct measure_answer *answer)
{
    if (measure->bound_count == 0) {
        measure->bound_count = answer->bound_count;
        memcpy(measure->bounds_ms, answer->bounds_ms, sizeof measure->bounds_ms);
    }
    return measure->bound_count == answer->bound_count &&
           memcmp(measure->bounds_ms, answer->bounds_ms, sizeof measure->bounds_ms) == 0;
}

/* The process of that start, new or known; NULL: there are too many. */
static struct measure_process *find_process(struct measure *measure, const char *start, bool *known)
{
    for (size_t i = 0; i < measure->process_count; i++)
        if (strcmp(measure->processes[i].start, start) == 0) {
            *known = true;
            return &measure->processes[i];
        }
    *known = false;
    if (measure->process_count == MEASURE_PROCESSES)
        return NULL;
    struct measure_process *process = &measure->processes[measure->process_count++];
    memset(process, 0, sizeof *process);
    snprintf(process->start, sizeof process->start, "%s", start);
    measure->began_later += measure->round > 1;
    return process;
}

void measure_take(struct measure *measure, const char *address, const struct measure_answer *answer)
{
    bool known = false;
    struct measure_process *process = NULL;
    if (answer && same_bounds(measure, answer))
        process = find_process(measure, answer->start, &known);
    if (!process) {
        if (measure->silent++ == 0)
            snprintf(measure->silent_one, sizeof measure->silent_one, "%s", address);
        return;
    }
    if (known && process->round == measure->round)
        return; /* two addresses of one process */
    if (known && !add_since(&measure->sum, &process->last, &answer->figures))
        measure->began_later++;
    process->last = answer->figures;
    process->round = measure->round;
    measure->answered++;
}

void measure_take_all(struct measure *measure)
{
    static const struct measure_figures nothing;
    memset(&measure->sum, 0, sizeof measure->sum);
    for (size_t i = 0; i < measure->process_count; i++)
        REQUIRE(add_since(&measure->sum, &nothing, &measure->processes[i].last));
}

/* Judging. */

static double p99_ms(const struct measure *measure)
{
    uint64_t total = 0, below = 0;
    for (size_t i = 0; i <= measure->bound_count; i++)
        total += measure->sum.counts[i];
    if (total == 0)
        return 0;
    double rank = ceil(0.99 * (double)total);
    for (size_t i = 0; i < measure->bound_count; i++) {
        uint64_t count = measure->sum.counts[i];
        if (count && (double)(below + count) >= rank) {
            double low = i ? measure->bounds_ms[i - 1] : 0, high = measure->bounds_ms[i];
            return low + (high - low) * (rank - (double)below) / (double)count;
        }
        below += count;
    }
    return BEYOND_LAST;
}

double measure_p99_ms(const struct measure *measure)
{
    double p99 = p99_ms(measure);
    return p99 >= BEYOND_LAST ? measure->bounds_ms[measure->bound_count - 1] : p99;
}

static int64_t calls_needed(const struct measure_limits *limits)
{
    return limits->max_p99_ms && limits->min_calls < MEASURE_P99_CALLS ? MEASURE_P99_CALLS
                                                                       : limits->min_calls;
}

static void PRINTF_LIKE(2, 3) say(char why[MEASURE_WHY], const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, MEASURE_WHY, format, arguments);
    va_end(arguments);
}

/* Errors that would be too many even if every call up to the fewest that are judged went well are too
 * many now. */
static bool is_crossed(const struct measure *measure, const struct measure_limits *limits,
                       char why[MEASURE_WHY])
{
    double calls = (double)measure->sum.calls, errors = (double)measure->sum.errors;
    double judged = calls < (double)limits->min_calls ? (double)limits->min_calls : calls;
    if (errors > limits->max_error_rate * judged) {
        say(why, "%.0f of %.0f calls failed, more than %.4g %%.", errors, calls,
            100 * limits->max_error_rate);
        return true;
    }
    if (limits->max_p99_ms && calls >= (double)calls_needed(limits) &&
        p99_ms(measure) > (double)limits->max_p99_ms) {
        say(why, "One call in a hundred took longer than %.0f ms, the limit is %lld ms.",
            measure_p99_ms(measure), (long long)limits->max_p99_ms);
        return true;
    }
    return false;
}

/* What the figures leave open; false: nothing. */
static bool is_unclear(const struct measure *measure, const struct measure_limits *limits,
                       char why[MEASURE_WHY])
{
    if (measure->silent)
        say(why, "The proxy at %s gives no figures.", measure->silent_one);
    else if (measure->answered == 0)
        say(why, "No proxy gives figures: MANAGERD_PROXIES names none.");
    else if ((int64_t)measure->sum.calls < calls_needed(limits))
        say(why, "Too few calls to judge by: fewer than %lld.", (long long)calls_needed(limits));
    return why[0] != 0;
}

enum measure_verdict measure_judge(const struct measure *measure,
                                   const struct measure_limits *limits, int64_t elapsed_ms,
                                   char why[MEASURE_WHY])
{
    char missing[MEASURE_WHY - 100] = "";
    why[0] = 0;
    if (is_crossed(measure, limits, why))
        return MEASURE_BACK;
    if (elapsed_ms < limits->interval_ms)
        return MEASURE_GO_ON;
    if (!is_unclear(measure, limits, why))
        return MEASURE_ADVANCE;
    if (!limits->max_hold_ms || elapsed_ms < limits->interval_ms + limits->max_hold_ms)
        return MEASURE_HOLD;
    snprintf(missing, sizeof missing, "%.*s", (int)sizeof missing - 1, why);
    say(why, "It held for %lld s, and could not be judged. %s",
        (long long)(elapsed_ms - limits->interval_ms) / 1000, missing);
    return MEASURE_BACK;
}

struct json *measure_show(const struct measure *measure, int64_t elapsed_ms)
{
    struct json *shown = json_new_object();
    double calls = (double)measure->sum.calls, errors = (double)measure->sum.errors;
    json_set_integer(shown, "calls", (int64_t)measure->sum.calls);
    json_set_integer(shown, "errors", (int64_t)measure->sum.errors);
    json_set(shown, "errorRate",
             json_new_number(calls > 0 ? round(10000 * errors / calls) / 10000 : 0));
    json_set_integer(shown, "proxyErrors", (int64_t)measure->sum.proxy_errors);
    json_set(shown, "latencyP99Ms", json_new_number(round(10 * measure_p99_ms(measure)) / 10));
    json_set_integer(shown, "proxies", (int64_t)measure->answered);
    json_set_integer(shown, "silent", (int64_t)measure->silent);
    json_set_integer(shown, "restarts", (int64_t)measure->began_later);
    json_set(shown, "seconds", json_new_number(round((double)elapsed_ms / 100) / 10));
    return shown;
}
