/* Counts the requests of each version, without a lock and in bounded memory. */
#include "proxyd/stats.h"

#include "common/base/json.h"

#include <stdatomic.h>
#include <stdlib.h>

#define PROBES       16 /* places where a version may lie */
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* Milliseconds, rising; a call counts in the first that it does not exceed. */
static const uint32_t bounds_ms[] = {
    1,    2,    3,    5,    7,    10,   15,    20,    30,    40,    50,     65,     80,
    100,  125,  150,  200,  250,  300,  400,   500,   650,   800,   1000,   1250,   1500,
    2000, 2500, 3000, 4000, 5000, 7500, 10000, 15000, 30000, 60000, 120000, 300000, 900000};
#define BUCKETS (COUNT(bounds_ms) + 1)

/* X(field, name): what a version has one number of. */
#define FIGURES(X)                                                                                 \
    X(requests, "requests")                                                                        \
    X(calls, "calls")                                                                              \
    X(errors, "errors")                                                                            \
    X(proxy_errors, "proxyErrors")

struct figures {
#define FIGURE(field, name) _Atomic uint64_t field;
    FIGURES(FIGURE)
#undef FIGURE
    _Atomic uint64_t statuses[6]; /* by the first digit */
    _Atomic uint64_t faults[CLASS_RAN + 1];
    _Atomic uint64_t buckets[BUCKETS]; /* of calls */
    _Atomic uint64_t sum_us;
};

/* Whose figures they are changes only while `owner` is 0. */
struct place {
    _Atomic uint64_t owner;        /* hash of the app's name; 0: nobody's */
    _Atomic uint64_t slot_version; /* tells apps of one hash apart, and versions */
    _Atomic uint64_t used_us;
    struct figures figures;
};

struct stats {
    struct place *_Atomic places[STATS_VERSIONS]; /* made when first needed, freed with the table */
    _Atomic uint64_t missed;
};

static void add(_Atomic uint64_t *figure, uint64_t more)
{
    atomic_fetch_add_explicit(figure, more, memory_order_relaxed);
}

static uint64_t look(const _Atomic uint64_t *figure)
{
    return atomic_load_explicit(figure, memory_order_relaxed);
}

/* FNV-1a; never 0. */
static uint64_t hash_of(struct view app)
{
    uint64_t hash = 14695981039346656037ull;

    for (size_t i = 0; i < app.length; i++)
        hash = (hash ^ (unsigned char)app.data[i]) * 1099511628211ull;
    return hash ? hash : 1;
}

struct stats *stats_new(void)
{
    struct stats *stats = calloc(1, sizeof *stats);

    REQUIRE(stats != NULL);
    return stats;
}

void stats_free(struct stats *stats)
{
    for (size_t i = 0; stats && i < STATS_VERSIONS; i++)
        free(atomic_load(&stats->places[i]));
    free(stats);
}

/* Gives the place to another version. A reader that is in the middle of the old figures sees the owner
 * change, and drops them. */
static void take_place(struct place *place, uint64_t owner, uint64_t slot_version)
{
    _Atomic uint64_t *figures = (_Atomic uint64_t *)&place->figures;

    atomic_store(&place->owner, 0);
    for (size_t i = 0; i < sizeof place->figures / sizeof *figures; i++)
        atomic_store(&figures[i], 0);
    atomic_store(&place->slot_version, slot_version);
    atomic_store(&place->owner, owner);
}

/* The version's place: its own, a new one, or that of the version which has been idle for longest; NULL:
 * all places that it may have are in use. */
static struct place *find_place(struct stats *stats, uint64_t owner, uint64_t slot_version,
                                uint64_t now_us)
{
    uint64_t first = (owner ^ slot_version * 0x9e3779b97f4a7c15ull) >> 17;
    struct place *oldest = NULL;

    for (unsigned i = 0; i < PROBES; i++) {
        size_t index = (size_t)((first + i) % STATS_VERSIONS);
        struct place *place = atomic_load_explicit(&stats->places[index], memory_order_relaxed);

        if (!place) {
            place = calloc(1, sizeof *place);
            REQUIRE(place != NULL);
            take_place(place, owner, slot_version);
            atomic_store_explicit(&stats->places[index], place, memory_order_release);
            return place;
        }
        if (look(&place->owner) == owner && look(&place->slot_version) == slot_version)
            return place;
        if (!oldest || look(&place->used_us) < look(&oldest->used_us))
            oldest = place;
    }
    if (look(&oldest->used_us) + STATS_IDLE_US > now_us)
        return NULL;
    take_place(oldest, owner, slot_version);
    return oldest;
}

/* Whether the answer tells of the version: it ran, or it was the one that could not be started. What the
 * proxy refuses for reasons of its own, the client's or of Lambda as a whole says nothing of it. */
static bool is_call(enum fault fault)
{
    return fault == FAULT_NONE || fault == FAULT_LAMBDA_NOT_READY ||
           fault == FAULT_LAMBDA_REFUSED || fault == FAULT_BREAKER_OPEN ||
           fault_row(fault)->class == CLASS_RAN ||
           (fault_row(fault)->class == CLASS_UNKNOWN && fault != FAULT_STOPPED);
}

static size_t bucket_of(uint64_t duration_us)
{
    size_t bucket = 0;

    while (bucket < COUNT(bounds_ms) && duration_us > bounds_ms[bucket] * 1000ull)
        bucket++;
    return bucket;
}

void stats_count(struct stats *stats, const struct stats_request *request, uint64_t now_us)
{
    uint64_t slot_version = (uint64_t)request->slot << 32 | request->version;
    struct place *place = find_place(stats, hash_of(request->app), slot_version, now_us);
    bool failed = request->status >= 500;

    if (!place) {
        add(&stats->missed, 1);
        return;
    }
    struct figures *figures = &place->figures;
    atomic_store_explicit(&place->used_us, now_us, memory_order_relaxed);
    add(&figures->requests, 1);
    add(&figures->statuses[request->status / 100], 1);
    if (request->fault != FAULT_NONE)
        add(&figures->faults[fault_row(request->fault)->class], 1);
    if (is_call(request->fault)) {
        add(&figures->calls, 1);
        add(&figures->sum_us, request->duration_us);
        add(&figures->buckets[bucket_of(request->duration_us)], 1);
        if (failed)
            add(&figures->errors, 1);
    } else if (failed) {
        add(&figures->proxy_errors, 1);
    }
}

/* Reading. */

/* One version's figures, added up. */
struct sum {
    uint32_t version;
#define FIGURE(field, name) uint64_t field;
    FIGURES(FIGURE)
#undef FIGURE
    uint64_t statuses[6], faults[CLASS_RAN + 1], buckets[BUCKETS], sum_us;
};

struct sums {
    struct sum *list;
    size_t count;
    uint64_t missed;
    bool cut; /* there are more versions than are shown */
};

static struct sum *sum_of(struct sums *sums, uint32_t version)
{
    for (size_t i = 0; i < sums->count; i++)
        if (sums->list[i].version == version)
            return &sums->list[i];
    if (sums->count == STATS_SHOWN) {
        sums->cut = true;
        return NULL;
    }
    if ((sums->count & (sums->count - 1)) == 0) {
        size_t room = sums->count ? 2 * sums->count : 1;
        sums->list = realloc(sums->list, room * sizeof *sums->list);
        REQUIRE(sums->list != NULL);
    }
    struct sum *sum = &sums->list[sums->count++];
    *sum = (struct sum){.version = version};
    return sum;
}

static void add_up(struct sum *sum, const struct sum *more)
{
#define FIGURE(field, name) sum->field += more->field;
    FIGURES(FIGURE)
#undef FIGURE
    for (size_t i = 0; i < COUNT(sum->statuses); i++)
        sum->statuses[i] += more->statuses[i];
    for (size_t i = 0; i < COUNT(sum->faults); i++)
        sum->faults[i] += more->faults[i];
    for (size_t i = 0; i < BUCKETS; i++)
        sum->buckets[i] += more->buckets[i];
    sum->sum_us += more->sum_us;
}

static void read_place(struct sums *sums, const struct place *place, uint64_t owner)
{
    struct sum read = {0};
    const struct figures *figures = &place->figures;

    if (atomic_load(&place->owner) != owner)
        return;
    uint64_t slot_version = atomic_load(&place->slot_version);
    read.version = (uint32_t)slot_version;
#define FIGURE(field, name) read.field = atomic_load(&figures->field);
    FIGURES(FIGURE)
#undef FIGURE
    for (size_t i = 0; i < COUNT(read.statuses); i++)
        read.statuses[i] = atomic_load(&figures->statuses[i]);
    for (size_t i = 0; i < COUNT(read.faults); i++)
        read.faults[i] = atomic_load(&figures->faults[i]);
    for (size_t i = 0; i < BUCKETS; i++)
        read.buckets[i] = atomic_load(&figures->buckets[i]);
    read.sum_us = atomic_load(&figures->sum_us);
    if (atomic_load(&place->owner) != owner || atomic_load(&place->slot_version) != slot_version)
        return; /* it was given away meanwhile */
    struct sum *sum = sum_of(sums, read.version);
    if (sum)
        add_up(sum, &read);
}

static int by_version(const void *a, const void *b)
{
    const struct sum *first = a, *second = b;

    return (first->version > second->version) - (first->version < second->version);
}

static void write_version(struct json_writer *w, const struct sum *sum)
{
    static const char *const statuses[] = {NULL, "1xx", "2xx", "3xx", "4xx", "5xx"};

    json_open_object(w, NULL);
    json_write_integer(w, "version", sum->version);
#define FIGURE(field, name) json_write_integer(w, name, (int64_t)sum->field);
    FIGURES(FIGURE)
#undef FIGURE
    json_open_object(w, "status");
    for (size_t i = 1; i < COUNT(statuses); i++)
        json_write_integer(w, statuses[i], (int64_t)sum->statuses[i]);
    json_close_object(w);
    json_open_object(w, "faults");
    for (enum fault_class class = CLASS_NOT_STARTED; class <= CLASS_RAN; class ++)
        json_write_integer(w, fault_class_name(class), (int64_t)sum->faults[class]);
    json_close_object(w);
    json_open_object(w, "latency");
    json_write_integer(w, "sumUs", (int64_t)sum->sum_us);
    json_open_array(w, "counts");
    for (size_t i = 0; i < BUCKETS; i++)
        json_write_integer(w, NULL, (int64_t)sum->buckets[i]);
    json_close_array(w);
    json_close_object(w);
    json_close_object(w);
}

static void write_sums(struct buffer *out, const struct sums *sums, struct view app,
                       const char *start)
{
    struct json_writer w;

    json_begin(&w, out);
    json_open_object(&w, NULL);
    json_write_string(&w, "app", app);
    json_write_string(&w, "start", view_of(start));
    json_write_integer(&w, "missed", (int64_t)sums->missed);
    json_write_bool(&w, "cut", sums->cut);
    json_open_array(&w, "boundsMs");
    for (size_t i = 0; i < COUNT(bounds_ms); i++)
        json_write_integer(&w, NULL, bounds_ms[i]);
    json_close_array(&w);
    json_open_array(&w, "versions");
    for (size_t i = 0; i < sums->count; i++)
        write_version(&w, &sums->list[i]);
    json_close_array(&w);
    json_close_object(&w);
}

void stats_write(struct buffer *out, const struct stats *const *workers, size_t count,
                 struct view app, const char *start)
{
    struct sums sums = {0};
    uint64_t owner = hash_of(app);

    for (size_t i = 0; i < count; i++) {
        sums.missed += look(&workers[i]->missed);
        for (size_t k = 0; k < STATS_VERSIONS; k++) {
            const struct place *place =
                atomic_load_explicit(&workers[i]->places[k], memory_order_acquire);
            if (place)
                read_place(&sums, place, owner);
        }
    }
    if (sums.count)
        qsort(sums.list, sums.count, sizeof *sums.list, by_version);
    write_sums(out, &sums, app, start);
    free(sums.list);
}
