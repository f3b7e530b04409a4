/* Writes structured lines: producers fill rings, one thread empties them into the two outputs. */
#include "common/base/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/escape.h"

#define RING_BYTES        ((size_t)256 * 1024) /* a power of two */
#define LINE_MAX_BYTES    ((size_t)32 * 1024)
#define PIPE_ATOMIC_BYTES 4096 /* a pipe that polls writable takes this much without blocking */
#define DRAIN_BYTES       ((size_t)128 * 1024)
#define STOP_LIMIT_US     2000000
/* Lines gather for so long: a wake and a write for each would cost a busy worker more than they do. */
#define GATHER_MS 2

/* What is in front of each line in a ring. */
struct record {
    uint32_t length;
    int32_t descriptor; /* STDOUT_FILENO or STDERR_FILENO */
};

/*
 * One thread's lines. The thread moves `head`, the writing thread moves `tail`; both only grow, the
 * difference is what is queued, so neither needs a lock.
 */
struct ring {
    struct ring *next;
    _Atomic size_t head;
    _Atomic size_t tail;
    _Atomic bool orphaned; /* its thread has ended */
    uint64_t unreported;   /* lines dropped since one fitted; the owning thread's alone */
    char bytes[RING_BYTES];
};

static struct {
    pthread_once_t once;
    pthread_key_t key;     /* tells when a thread ends */
    pthread_mutex_t mutex; /* rings, finished; never held while writing to an output */
    pthread_cond_t ended;
    struct ring *rings;
    pthread_t thread;
    int event; /* eventfd that wakes the writing thread */
    bool finished;
    const char *program;
    _Atomic bool running;
    _Atomic bool stopping;
    _Atomic bool sleeping;
    _Atomic bool gathering;
    _Atomic uint64_t stop_at_us;
    _Atomic uint64_t dropped;
    _Atomic int least;
} state = {
    .once = PTHREAD_ONCE_INIT, .mutex = PTHREAD_MUTEX_INITIALIZER, .event = -1, .least = LOG_INFO};

static _Thread_local struct ring *own_ring;

static const char *const level_names[] = {"debug", "info", "warn", "error"};

/* Real time: a frozen clock in a test must not stretch the limits. */
static uint64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void wake_writer(void)
{
    uint64_t one = 1;
    ssize_t wrote = write(state.event, &one, sizeof(one));

    (void)wrote; /* it fails only when the counter is full, and then the thread is awake */
}

/* Rings. */

static void orphan_ring(void *ring)
{
    atomic_store(&((struct ring *)ring)->orphaned, true);
}

static void prepare(void)
{
    pthread_condattr_t attributes;

    REQUIRE(pthread_key_create(&state.key, orphan_ring) == 0);
    REQUIRE(pthread_condattr_init(&attributes) == 0);
    REQUIRE(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
    REQUIRE(pthread_cond_init(&state.ended, &attributes) == 0);
    pthread_condattr_destroy(&attributes);
}

/* This thread's ring; its first line makes it. NULL when memory is out. */
static struct ring *ring_of_thread(void)
{
    struct ring *ring = own_ring;

    if (ring)
        return ring;
    ring = malloc(sizeof(*ring));
    if (!ring)
        return NULL;
    memset(ring, 0, offsetof(struct ring, bytes));
    pthread_mutex_lock(&state.mutex);
    ring->next = state.rings;
    state.rings = ring;
    pthread_mutex_unlock(&state.mutex);
    pthread_setspecific(state.key, ring);
    own_ring = ring;
    return ring;
}

static void ring_copy_in(struct ring *ring, size_t at, const void *data, size_t length)
{
    size_t place = at & (RING_BYTES - 1);
    size_t first = length < RING_BYTES - place ? length : RING_BYTES - place;

    memcpy(ring->bytes + place, data, first);
    memcpy(ring->bytes, (const char *)data + first, length - first);
}

static void ring_copy_out(const struct ring *ring, size_t at, void *data, size_t length)
{
    size_t place = at & (RING_BYTES - 1);
    size_t first = length < RING_BYTES - place ? length : RING_BYTES - place;

    memcpy(data, ring->bytes + place, first);
    memcpy((char *)data + first, ring->bytes, length - first);
}

static bool ring_push(struct ring *ring, int descriptor, struct view line)
{
    struct record record = {(uint32_t)line.length, descriptor};
    size_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    size_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);

    if (sizeof(record) + line.length > RING_BYTES - (head - tail))
        return false;
    ring_copy_in(ring, head, &record, sizeof(record));
    ring_copy_in(ring, head + sizeof(record), line.data, line.length);
    /* Sequentially consistent with `sleeping`: either the thread sees the line before it sleeps, or
     * we see that it sleeps. */
    atomic_store(&ring->head, head + sizeof(record) + line.length);
    return true;
}

/* Lines. */

static void append_member(struct buffer *out, const char *name, struct view text)
{
    buffer_append_string(out, ",\"");
    buffer_append_string(out, name);
    buffer_append_string(out, "\":\"");
    json_escape(out, text);
    buffer_append_byte(out, '"');
}

static void append_start(struct buffer *out, enum log_level level, const char *event)
{
    char time[CLOCK_RFC3339_SIZE];

    clock_format_rfc3339(clock_wall_ms(), time);
    buffer_append_string(out, "{\"time\":\"");
    buffer_append_string(out, time);
    buffer_append_byte(out, '"');
    append_member(out, "level", view_of(level_names[level]));
    if (state.program)
        append_member(out, "program", view_of(state.program));
    append_member(out, "event", view_of(event));
}

static void append_field(struct buffer *out, const struct log_field *field)
{
    if (field->type == LOG_FIELD_STRING) {
        append_member(out, field->name, field->string);
        return;
    }
    buffer_append_string(out, ",\"");
    buffer_append_string(out, field->name);
    buffer_append_string(out, "\":");
    if (field->type == LOG_FIELD_INTEGER)
        buffer_append_i64(out, field->integer);
    else if (field->type == LOG_FIELD_BOOL)
        buffer_append_string(out, field->integer ? "true" : "false");
    else
        buffer_append_view(out, field->string);
}

static void write_at_once(int descriptor, struct view line)
{
    while (line.length) {
        ssize_t wrote = write(descriptor, line.data, line.length);

        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0) {
            atomic_fetch_add(&state.dropped, 1);
            return;
        }
        line = view_slice(line, (size_t)wrote, SIZE_MAX);
    }
}

static bool ring_is_half_full(const struct ring *ring)
{
    return atomic_load_explicit(&ring->head, memory_order_relaxed) -
               atomic_load_explicit(&ring->tail, memory_order_relaxed) >
           RING_BYTES / 2;
}

/* Says how many lines were dropped, as soon as one fits again. */
static void report_dropped(struct ring *ring)
{
    struct buffer line;

    buffer_init(&line, 512);
    append_start(&line, LOG_WARN, "log-lines-dropped");
    append_field(&line, &LOG_INTEGER("count", ring->unreported));
    buffer_append_string(&line, "}\n");
    if (line.error == ERROR_NONE && ring_push(ring, STDERR_FILENO, buffer_view(&line)))
        ring->unreported = 0;
    buffer_release(&line);
}

/* Queues one line (with its line end), or writes it when nobody empties the rings. */
static void emit(int descriptor, struct view line)
{
    struct ring *ring;

    if (!atomic_load(&state.running)) {
        write_at_once(descriptor, line);
        return;
    }
    ring = ring_of_thread();
    if (ring && ring->unreported)
        report_dropped(ring);
    if (!ring || ring->unreported || !ring_push(ring, descriptor, line)) {
        atomic_fetch_add_explicit(&state.dropped, 1, memory_order_relaxed);
        if (ring)
            ring->unreported++;
    }
    bool urgent = descriptor == STDERR_FILENO || (ring && ring_is_half_full(ring));
    if (atomic_exchange(&state.sleeping, false) ||
        (urgent && atomic_load_explicit(&state.gathering, memory_order_relaxed) &&
         atomic_exchange(&state.gathering, false)))
        wake_writer();
}

void log_write_fields(enum log_level level, const char *event, const struct log_field *fields,
                      size_t count)
{
    struct buffer line;

    if (!log_enabled(level))
        return;
    buffer_init(&line, LINE_MAX_BYTES);
    append_start(&line, level, event);
    for (size_t i = 1; i < count; i++)
        append_field(&line, &fields[i]);
    buffer_append_string(&line, "}\n");
    if (line.error == ERROR_TOO_BIG) { /* a line without its fields says more than no line */
        buffer_clear(&line);
        append_start(&line, level, event);
        buffer_append_string(&line, ",\"truncated\":true}\n");
    }
    if (line.error == ERROR_NONE)
        emit(STDERR_FILENO, buffer_view(&line));
    else
        atomic_fetch_add(&state.dropped, 1);
    buffer_release(&line);
}

void log_access(struct view line)
{
    char small[2048];
    char *text = line.length < sizeof(small) ? small : malloc(line.length + 1);

    if (!text || line.length >= LINE_MAX_BYTES) {
        atomic_fetch_add(&state.dropped, 1);
    } else {
        memcpy(text, line.data, line.length);
        text[line.length] = '\n';
        emit(STDOUT_FILENO, (struct view){text, line.length + 1});
    }
    if (text != small)
        free(text);
}

bool log_enabled(enum log_level level)
{
    return (int)level >= atomic_load_explicit(&state.least, memory_order_relaxed);
}

bool log_level_parse(struct view text, enum log_level *level)
{
    for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
        if (view_equal_string(text, level_names[i])) {
            *level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

uint64_t log_dropped(void)
{
    return atomic_load_explicit(&state.dropped, memory_order_relaxed);
}

/* The writing thread. */

/* Lines taken from the rings for one output. */
struct batch {
    int descriptor;
    bool is_file; /* it takes any number of bytes at once, and never blocks for long */
    size_t length;
    uint64_t lines;
    char bytes[DRAIN_BYTES];
};

/* Moves lines of one ring into the batches while there is room; true when it is empty now. */
static bool drain_ring(struct ring *ring, struct batch *out, struct batch *err)
{
    size_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    size_t head = atomic_load(&ring->head);

    while (tail != head) {
        struct record record;
        struct batch *batch;

        ring_copy_out(ring, tail, &record, sizeof(record));
        batch = record.descriptor == STDOUT_FILENO ? out : err;
        if (record.length > sizeof(batch->bytes) - batch->length)
            break;
        ring_copy_out(ring, tail + sizeof(record), batch->bytes + batch->length, record.length);
        batch->length += record.length;
        batch->lines++;
        tail += sizeof(record) + record.length;
    }
    atomic_store_explicit(&ring->tail, tail, memory_order_release);
    return tail == head;
}

/* Fills the batches from all rings and frees the rings of threads that have ended; true when
 * nothing is left. */
static bool drain_rings(struct batch *out, struct batch *err)
{
    struct ring **link = &state.rings;
    bool empty = true;

    pthread_mutex_lock(&state.mutex);
    while (*link) {
        struct ring *ring = *link;
        bool orphaned = atomic_load(&ring->orphaned); /* before looking: no line comes after it */
        bool drained = drain_ring(ring, out, err);

        if (orphaned && drained) {
            *link = ring->next;
            free(ring);
        } else {
            link = &ring->next;
        }
        empty = empty && drained;
    }
    pthread_mutex_unlock(&state.mutex);
    return empty;
}

/* Waits until the output takes bytes; false when log_stop's time is up. Waits on the eventfd too,
 * so that log_stop is heard. */
static bool wait_writable(int descriptor)
{
    for (;;) {
        struct pollfd ask[2] = {{.fd = descriptor, .events = POLLOUT},
                                {.fd = state.event, .events = POLLIN}};
        bool stopping = atomic_load(&state.stopping);
        int timeout_ms = -1;

        if (stopping) {
            uint64_t now = now_us(), limit = atomic_load(&state.stop_at_us);

            if (now >= limit)
                return false;
            timeout_ms = (int)((limit - now) / 1000) + 1;
        }
        if (poll(ask, stopping ? 1 : 2, timeout_ms) < 0 && errno != EINTR)
            return false;
        if (ask[0].revents)
            return true;
        if (ask[1]
                .revents) { /* spent; what it announced is looked at when the output moves again */
            uint64_t count;
            ssize_t got = read(state.event, &count, sizeof(count));

            (void)got;
        }
    }
}

/* The next piece to write: whole lines up to what a pipe takes at once, or a part of a long one. */
static size_t piece_of(const char *bytes, size_t length)
{
    const char *end;

    if (length <= PIPE_ATOMIC_BYTES)
        return length;
    end = memrchr(bytes, '\n', PIPE_ATOMIC_BYTES);
    return end ? (size_t)(end - bytes) + 1 : PIPE_ATOMIC_BYTES;
}

/* Writes a batch out; what an output that is broken, or log_stop's end, leaves over is dropped. */
static void write_batch(struct batch *batch)
{
    size_t at = 0;

    while (at < batch->length) {
        ssize_t wrote;

        if (!batch->is_file && !wait_writable(batch->descriptor))
            break;
        size_t left = batch->length - at;
        wrote = write(batch->descriptor, batch->bytes + at,
                      batch->is_file ? left : piece_of(batch->bytes + at, left));
        if (wrote >= 0)
            at += (size_t)wrote;
        else if (errno != EINTR && errno != EAGAIN)
            break;
    }
    if (at < batch->length) {
        uint64_t lost = 0;

        for (; at < batch->length; at++)
            lost += batch->bytes[at] == '\n';
        atomic_fetch_add(&state.dropped, lost);
    }
    batch->length = 0;
    batch->lines = 0;
}

/* Until somebody wakes this thread; -1: however long that takes. */
static void sleep_until_woken(int most_ms)
{
    struct pollfd ask = {.fd = state.event, .events = POLLIN};
    uint64_t count;

    if (poll(&ask, 1, most_ms) > 0 && read(state.event, &count, sizeof(count)) < 0)
        return; /* another wake took it: as good */
}

/* Gives the workers time to log more; what is urgent ends it. */
static void gather(void)
{
    atomic_store(&state.gathering, true);
    if (!atomic_load(&state.stopping))
        sleep_until_woken(GATHER_MS);
    atomic_store(&state.gathering, false);
}

static bool time_is_up(void)
{
    return atomic_load(&state.stopping) && now_us() >= atomic_load(&state.stop_at_us);
}

/* Empties the rings without writing, so that a later start does not bring up old lines. */
static void discard_rings(struct batch *out, struct batch *err)
{
    bool empty;

    do {
        empty = drain_rings(out, err);
        atomic_fetch_add(&state.dropped, out->lines + err->lines);
        out->length = out->lines = 0;
        err->length = err->lines = 0;
    } while (!empty);
}

static bool is_file(int descriptor)
{
    struct stat status;

    return fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode);
}

static void *writer(void *context)
{
    static struct batch out = {.descriptor = STDOUT_FILENO};
    static struct batch err = {.descriptor = STDERR_FILENO};

    (void)context;
    out.is_file = is_file(STDOUT_FILENO);
    err.is_file = is_file(STDERR_FILENO);
    for (;;) {
        bool stopping = atomic_load(&state.stopping); /* before draining: then all is seen */
        bool empty;

        atomic_store(&state.sleeping, true);
        empty = drain_rings(&out, &err);
        if (empty && out.length == 0 && err.length == 0) {
            if (stopping)
                break;
            sleep_until_woken(-1);
            gather();
            continue;
        }
        atomic_store(&state.sleeping, false);
        write_batch(&err);
        write_batch(&out);
        if (time_is_up()) {
            discard_rings(&out, &err);
            break;
        }
        if (empty)
            gather();
    }
    pthread_mutex_lock(&state.mutex);
    state.finished = true;
    pthread_cond_signal(&state.ended);
    pthread_mutex_unlock(&state.mutex);
    return NULL;
}

void log_start(const char *program, enum log_level least)
{
    static bool registered;
    sigset_t all, before;

    REQUIRE(!atomic_load(&state.running));
    REQUIRE(pthread_once(&state.once, prepare) == 0);
    if (state.event < 0)
        state.event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    REQUIRE(state.event >= 0);
    if (!registered)
        registered = atexit(log_stop) == 0;
    state.program = program;
    state.finished = false;
    atomic_store(&state.least, (int)least);
    atomic_store(&state.stopping, false);
    /* Signals are the main thread's; and a broken pipe is an error here, not a signal. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    REQUIRE(pthread_create(&state.thread, NULL, writer, NULL) == 0);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    atomic_store(&state.running, true);
}

void log_stop(void)
{
    uint64_t limit = now_us() + STOP_LIMIT_US;
    struct timespec until = {.tv_sec = (time_t)(limit / 1000000),
                             .tv_nsec = (long)(limit % 1000000) * 1000};
    bool finished;
    int waited = 0;

    if (!atomic_exchange(&state.running, false))
        return;
    atomic_store(&state.stop_at_us, limit - STOP_LIMIT_US / 10);
    atomic_store(&state.stopping, true);
    wake_writer();
    pthread_mutex_lock(&state.mutex);
    while (!state.finished && waited == 0)
        waited = pthread_cond_timedwait(&state.ended, &state.mutex, &until);
    finished = state.finished;
    pthread_mutex_unlock(&state.mutex);
    if (finished)
        pthread_join(state.thread, NULL);
    else
        pthread_detach(state.thread); /* stuck in a write; it ends with the process */
}

/* Plain members, so atomic access by built-ins; a race at the turn of a second miscounts by a few
 * lines at worst. */
bool log_allow(struct log_limit *limit, unsigned burst, unsigned *suppressed)
{
    uint64_t second = clock_monotonic_us() / 1000000 + 1; /* 0 is a fresh limit */
    uint64_t window = __atomic_load_n(&limit->window, __ATOMIC_RELAXED);

    if (window != second && __atomic_compare_exchange_n(&limit->window, &window, second, false,
                                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        __atomic_store_n(&limit->used, 0, __ATOMIC_RELAXED);
    if (__atomic_fetch_add(&limit->used, 1, __ATOMIC_RELAXED) >= burst) {
        __atomic_fetch_sub(&limit->used, 1, __ATOMIC_RELAXED);
        __atomic_fetch_add(&limit->held, 1, __ATOMIC_RELAXED);
        return false;
    }
    if (suppressed)
        *suppressed = __atomic_exchange_n(&limit->held, 0, __ATOMIC_RELAXED);
    return true;
}
