/* Opens and closes the circuit of each version that Lambda fails to start. */
#include "proxyd/breaker.h"

#include <stdatomic.h>
#include <stdlib.h>

#define SETS         2048
#define WAYS         8      /* a version has its place in one set */
#define HALF_LIFE_MS 30000  /* without a failure: half of them are forgotten */
#define PROBE_MS     10000  /* a probe that took longer has started, most likely: one more may go */
#define FORGET_MS    600000 /* untouched for so long: its place may be taken */
#define REACHED_MS   100    /* how exactly it is known when Lambda was last reached */
#define TRIPS_MOST   20     /* doublings of the pause */

enum phase { CLOSED, OPEN, HALF_OPEN };

/* A breaker, unpacked. */
struct state {
    enum phase phase;
    enum breaker_reason reason; /* of the last failure */
    unsigned trips;             /* probes that failed one after the other */
    unsigned score;             /* failures in a row, as far as they are not forgotten */
    uint64_t since_ms;          /* closed: the last failure; else: when the phase began */
};

struct breaker {
    _Atomic uint64_t key; /* 0: a free place */
    _Atomic uint64_t word;
};

struct breakers {
    struct breakers_options options;
    _Atomic uint64_t reached_ms; /* Lambda answered something, to anyone */
    _Atomic uint64_t opened, closed, probes;
    struct breaker sets[SETS][WAYS];
};

static uint64_t pack(const struct state *state)
{
    return (uint64_t)state->phase | (uint64_t)state->reason << 2 | (uint64_t)state->trips << 3 |
           (uint64_t)state->score << 8 | state->since_ms << 20;
}

static struct state unpack(uint64_t word)
{
    return (struct state){
        .phase = (enum phase)(word & 3),
        .reason = (enum breaker_reason)(word >> 2 & 1),
        .trips = (unsigned)(word >> 3 & 31),
        .score = (unsigned)(word >> 8 & 4095),
        .since_ms = word >> 20,
    };
}

struct breakers *breakers_new(const struct breakers_options *options)
{
    struct breakers *breakers = calloc(1, sizeof *breakers);

    REQUIRE(breakers != NULL && options->failures >= 1 && options->failures <= 1000);
    breakers->options = *options;
    REQUIRE(options->pause_ms >= 1);
    if (options->pause_most_ms < options->pause_ms)
        breakers->options.pause_most_ms = options->pause_ms;
    return breakers;
}

void breakers_free(struct breakers *breakers)
{
    free(breakers);
}

const char *breaker_reason_name(enum breaker_reason reason)
{
    return reason == BREAKER_UNREACHABLE ? "unreachable" : "lambda-not-ready";
}

/* ---- the table ---- */

/* splitmix64's last steps: spreads neighbours. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static uint64_t key_of(uint32_t slot, uint32_t version)
{
    return ((uint64_t)slot + 1) << 32 | version;
}

static struct breaker *set_of(struct breakers *breakers, uint64_t key)
{
    return breakers->sets[mix(key) % SETS];
}

static struct breaker *find(struct breakers *breakers, uint64_t key)
{
    struct breaker *set = set_of(breakers, key);

    for (size_t i = 0; i < WAYS; i++) {
        if (atomic_load_explicit(&set[i].key, memory_order_relaxed) == key)
            return &set[i];
    }
    return NULL;
}

/* Takes a place whose version nobody has asked for in a long time. Who still holds the old one may
 * add its last failure to the new: one of many. */
static bool take_place(struct breaker *breaker, uint64_t key, uint64_t now_ms)
{
    uint64_t word = atomic_load_explicit(&breaker->word, memory_order_relaxed);
    uint64_t holder = atomic_load_explicit(&breaker->key, memory_order_relaxed);

    if (holder == key)
        return true;
    if (holder != 0 && now_ms - unpack(word).since_ms < FORGET_MS)
        return false;
    if (!atomic_compare_exchange_strong_explicit(&breaker->key, &holder, key, memory_order_relaxed,
                                                 memory_order_relaxed))
        return holder == key;
    atomic_compare_exchange_strong_explicit(&breaker->word, &word, 0, memory_order_relaxed,
                                            memory_order_relaxed);
    return true;
}

static struct breaker *find_or_make(struct breakers *breakers, uint64_t key, uint64_t now_ms)
{
    struct breaker *found = find(breakers, key), *set = set_of(breakers, key);

    for (size_t i = 0; i < WAYS && !found; i++) {
        if (take_place(&set[i], key, now_ms))
            found = &set[i];
    }
    return found;
}

/* ---- asking ---- */

/* Between half of the pause and all of it, so that many breakers do not probe in step; the same for
 * everyone who asks. */
static uint64_t jittered(uint64_t pause_ms, uint64_t key, uint64_t since_ms)
{
    return pause_ms - mix(key ^ since_ms) % (pause_ms / 2 + 1);
}

static uint64_t due_ms(const struct breakers *breakers, uint64_t key, const struct state *state)
{
    uint64_t most_ms = breakers->options.pause_most_ms;
    uint64_t pause_ms = (uint64_t)breakers->options.pause_ms << state->trips;

    /* Lambda has answered someone since: what kept it from us is over, for all at once. */
    if (state->reason == BREAKER_UNREACHABLE &&
        atomic_load_explicit(&breakers->reached_ms, memory_order_relaxed) > state->since_ms)
        pause_ms = breakers->options.pause_ms;
    return state->since_ms +
           jittered(pause_ms < most_ms ? pause_ms : most_ms, key, state->since_ms);
}

struct breaker_answer breaker_ask(struct breakers *breakers, uint32_t slot, uint32_t version,
                                  uint64_t now_us)
{
    const struct breaker_answer pass = {.verdict = BREAKER_PASS};
    uint64_t key = key_of(slot, version), now_ms = now_us / 1000;
    struct breaker *breaker = breakers ? find(breakers, key) : NULL;

    if (!breaker)
        return pass;
    uint64_t word = atomic_load_explicit(&breaker->word, memory_order_relaxed);
    for (;;) {
        struct state state = unpack(word);
        if (state.phase == CLOSED)
            return pass;
        uint64_t due =
            state.phase == OPEN ? due_ms(breakers, key, &state) : state.since_ms + PROBE_MS;
        if (now_ms < due)
            return (struct breaker_answer){.verdict = BREAKER_REFUSED,
                                           .wait_ms = state.phase == OPEN ? due - now_ms : 0,
                                           .reason = state.reason};
        state.phase = HALF_OPEN;
        state.since_ms = now_ms;
        if (atomic_compare_exchange_weak_explicit(&breaker->word, &word, pack(&state),
                                                  memory_order_relaxed, memory_order_relaxed)) {
            atomic_fetch_add_explicit(&breakers->probes, 1, memory_order_relaxed);
            return (struct breaker_answer){.verdict = BREAKER_PROBE};
        }
    }
}

/* ---- telling ---- */

static void open_again(struct state *state, unsigned trips, uint64_t now_ms)
{
    state->phase = OPEN;
    state->trips = trips < TRIPS_MOST ? trips : TRIPS_MOST;
    state->since_ms = now_ms;
}

static void fail(const struct breakers *breakers, struct state *state, uint64_t now_ms)
{
    if (state->phase == HALF_OPEN) {
        open_again(state, state->trips + 1, now_ms);
        return;
    }
    uint64_t half_lives = now_ms > state->since_ms ? (now_ms - state->since_ms) / HALF_LIFE_MS : 0;
    if (half_lives > 0)
        state->trips = 0;
    state->score = half_lives < 12 ? state->score >> half_lives : 0;
    state->score++;
    state->since_ms = now_ms;
    if (state->score >= breakers->options.failures)
        open_again(state, state->trips, now_ms);
}

/* A success forgets half of what failed, so that failures among many successes open nothing; that of
 * a probe forgets all. What is unclear lets requests through again, under suspicion. */
static void pass(const struct breakers *breakers, struct state *state, bool started,
                 uint64_t now_ms)
{
    bool was_closed = state->phase == CLOSED;

    state->phase = CLOSED;
    if (started) {
        state->trips = 0;
        state->score = was_closed ? state->score / 2 : 0;
    } else if (!was_closed) {
        state->score = breakers->options.failures / 2;
        state->since_ms = now_ms;
    }
}

static void note_reached(struct breakers *breakers, uint64_t now_ms)
{
    uint64_t last_ms = atomic_load_explicit(&breakers->reached_ms, memory_order_relaxed);

    if (now_ms >= last_ms + REACHED_MS) /* not with each call: workers share the cache line */
        atomic_store_explicit(&breakers->reached_ms, now_ms, memory_order_relaxed);
}

static enum breaker_change count_change(struct breakers *breakers, enum phase before,
                                        enum phase after)
{
    if (before == CLOSED && after == OPEN) {
        atomic_fetch_add_explicit(&breakers->opened, 1, memory_order_relaxed);
        return BREAKER_OPENED;
    }
    if (before != CLOSED && after == CLOSED) {
        atomic_fetch_add_explicit(&breakers->closed, 1, memory_order_relaxed);
        return BREAKER_CLOSED;
    }
    return BREAKER_SAME;
}

enum breaker_change breaker_tell(struct breakers *breakers, const struct breaker_report *report)
{
    bool failed = report->finding == FINDING_UNREACHABLE || report->finding == FINDING_NOT_READY;
    uint64_t key = key_of(report->slot, report->version), now_ms = report->now_us / 1000;

    if (!breakers)
        return BREAKER_SAME;
    if (report->finding != FINDING_UNREACHABLE)
        note_reached(breakers, now_ms);
    struct breaker *breaker = failed ? find_or_make(breakers, key, now_ms) : find(breakers, key);
    if (!breaker)
        return BREAKER_SAME;
    uint64_t word = atomic_load_explicit(&breaker->word, memory_order_relaxed);
    for (;;) {
        struct state state = unpack(word);
        enum phase before = state.phase;
        /* What was sent before it opened says nothing new; nor does a probe that was overtaken. */
        if (before != CLOSED && (!report->probe || (failed && before == OPEN)))
            return BREAKER_SAME;
        if (failed) {
            state.reason =
                report->finding == FINDING_UNREACHABLE ? BREAKER_UNREACHABLE : BREAKER_NOT_READY;
            fail(breakers, &state, now_ms);
        } else {
            pass(breakers, &state, report->finding == FINDING_STARTED, now_ms);
        }
        if (pack(&state) == word)
            return BREAKER_SAME;
        if (atomic_compare_exchange_weak_explicit(&breaker->word, &word, pack(&state),
                                                  memory_order_relaxed, memory_order_relaxed))
            return count_change(breakers, before, state.phase);
    }
}

void breakers_count(const struct breakers *breakers, uint64_t now_us, struct breaker_counts *counts)
{
    uint64_t now_ms = now_us / 1000;

    *counts = (struct breaker_counts){0};
    if (!breakers)
        return;
    for (size_t i = 0; i < SETS * WAYS; i++) {
        uint64_t word =
            atomic_load_explicit(&breakers->sets[i / WAYS][i % WAYS].word, memory_order_relaxed);
        struct state state = unpack(word);
        bool fresh = state.since_ms + FORGET_MS > now_ms;
        counts->open += fresh && state.phase == OPEN;
        counts->half_open += fresh && state.phase == HALF_OPEN;
    }
    counts->opened = atomic_load_explicit(&breakers->opened, memory_order_relaxed);
    counts->closed = atomic_load_explicit(&breakers->closed, memory_order_relaxed);
    counts->probes = atomic_load_explicit(&breakers->probes, memory_order_relaxed);
}
