/* Finds packages that no version names, a few versions and files at a time, and removes them. */
#include "managerd/package_sweep.h"

#include "common/base/crypto.h"
#include "common/base/escape.h"
#include "common/base/log.h"
#include "managerd/jobs.h"
#include "managerd/names.h"
#include "managerd/packages.h"
#include "managerd/records.h"
#include "managerd/state_record.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#define FOLDER          "versions/"
#define WANTED          "apply/" /* what documents that are being applied are to deploy */
#define VERSIONS_A_TURN 500
#define FILES_A_TURN    100
#define HASH_TEXT       (2 * SHA256_BYTES)
#define FIRST_MS        1000 /* what goes at once goes by one sweep */
#define LATER_MS        100  /* a package is being stored: it may be one that is here already */

enum stage { IDLE, NOTING, LISTING, REMOVING };

struct package_sweep {
    struct state *state;
    struct packages *packages;
    struct jobs *pool;
    struct event *turn;
    struct state_follower *follower, *wanted_follower;
    enum stage stage;
    bool again;
    char next[KEY_SIZE];           /* the version to go on with */
    unsigned seen;                 /* in this turn */
    uint8_t (*used)[SHA256_BYTES]; /* open addressing; all zeros: free */
    size_t used_count, used_size;
    struct names files; /* the pool's while it lists */
    size_t file, removed;
};

/* ---- what is used ---- */

static uint8_t *place_of(const struct package_sweep *sweep, const uint8_t hash[SHA256_BYTES])
{
    static const uint8_t none[SHA256_BYTES];
    size_t place;
    memcpy(&place, hash, sizeof place);
    for (place &= sweep->used_size - 1; memcmp(sweep->used[place], none, SHA256_BYTES) != 0 &&
                                        memcmp(sweep->used[place], hash, SHA256_BYTES) != 0;)
        place = (place + 1) & (sweep->used_size - 1);
    return sweep->used[place];
}

static bool is_used(const struct package_sweep *sweep, const uint8_t hash[SHA256_BYTES])
{
    return memcmp(place_of(sweep, hash), hash, SHA256_BYTES) == 0;
}

static void add(struct package_sweep *sweep, const uint8_t hash[SHA256_BYTES])
{
    if (is_used(sweep, hash))
        return;
    memcpy(place_of(sweep, hash), hash, SHA256_BYTES);
    sweep->used_count++;
}

static void make_room(struct package_sweep *sweep)
{
    uint8_t(*before)[SHA256_BYTES] = sweep->used;
    size_t size = sweep->used_size;
    static const uint8_t none[SHA256_BYTES];
    if (2 * sweep->used_count < size)
        return;
    sweep->used_size = size ? 2 * size : 256;
    sweep->used = calloc(sweep->used_size, SHA256_BYTES);
    REQUIRE(sweep->used);
    sweep->used_count = 0;
    for (size_t i = 0; i < size; i++)
        if (memcmp(before[i], none, SHA256_BYTES) != 0)
            add(sweep, before[i]);
    free(before);
}

static bool read_hash(struct view text, uint8_t hash[SHA256_BYTES])
{
    struct buffer bytes;
    buffer_init(&bytes, SHA256_BYTES);
    bool good = text.length == HASH_TEXT && !hex_decode(&bytes, text);
    if (good)
        memcpy(hash, bytes.data, SHA256_BYTES);
    buffer_release(&bytes);
    return good;
}

/* A version's record, or that of a change to be applied, names its package as "sha256":"…". */
static void note_version(struct package_sweep *sweep, struct view record)
{
    static const char member[] = "\"sha256\":\"";
    uint8_t hash[SHA256_BYTES];
    const char *found = memmem(record.data, record.length, member, sizeof member - 1);
    size_t start = found ? (size_t)(found - record.data) + sizeof member - 1 : 0;
    if (!found || !read_hash(view_slice(record, start, HASH_TEXT), hash))
        return;
    make_room(sweep);
    add(sweep, hash);
}

static bool on_version(struct view key, struct view value, uint64_t revision, void *context)
{
    struct package_sweep *sweep = context;
    (void)revision;
    if (sweep->seen++ == VERSIONS_A_TURN) {
        snprintf(sweep->next, sizeof sweep->next, "%.*s", VIEW_FORMAT(key));
        return false;
    }
    note_version(sweep, value);
    return true;
}

static bool on_wanted(struct view key, struct view value, uint64_t revision, void *context)
{
    (void)key, (void)revision;
    note_version(context, value);
    return true;
}

static void on_written(struct view key, void *context)
{
    struct package_sweep *sweep = context;
    struct buffer value;
    if (sweep->stage == IDLE)
        return;
    buffer_init(&value, STATE_MAX_VALUE + STATE_RECORD_OVERHEAD);
    if (state_get(sweep->state, key, &value, NULL) == ERROR_NONE)
        note_version(sweep, buffer_view(&value));
    buffer_release(&value);
}

/* ---- turns ---- */

static void take_turn(struct package_sweep *sweep, int64_t delay_ms)
{
    struct timeval delay = {delay_ms / 1000, delay_ms % 1000 * 1000};
    REQUIRE(evtimer_add(sweep->turn, &delay) == 0);
}

static void begin(struct package_sweep *sweep)
{
    sweep->stage = NOTING;
    sweep->again = false;
    sweep->next[0] = 0;
    make_room(sweep);
    take_turn(sweep, FIRST_MS);
}

static void end(struct package_sweep *sweep)
{
    if (sweep->removed)
        log_write(LOG_INFO, "packages-removed", LOG_INTEGER("count", (int64_t)sweep->removed));
    names_release(&sweep->files);
    free(sweep->used);
    sweep->used = NULL;
    sweep->used_count = sweep->used_size = sweep->file = sweep->removed = 0;
    sweep->stage = IDLE;
    if (sweep->again)
        begin(sweep);
}

static void run_list(void *context)
{
    struct package_sweep *sweep = context;
    if (packages_list(sweep->packages, &sweep->files))
        names_release(&sweep->files);
}

static void on_listed(void *context)
{
    struct package_sweep *sweep = context;
    sweep->stage = REMOVING;
    take_turn(sweep, 0);
}

static void note_some(struct package_sweep *sweep)
{
    struct key from;
    memcpy(from.text, sweep->next, sizeof from.text);
    sweep->next[0] = 0;
    sweep->seen = 0;
    if (state_range(sweep->state, VIEW(FOLDER), view_of(from.text), on_version, sweep)) {
        end(sweep); /* nothing is removed on half the truth */
    } else if (sweep->next[0]) {
        take_turn(sweep, 0);
    } else if (state_range(sweep->state, VIEW(WANTED), VIEW(""), on_wanted, sweep)) {
        end(sweep);
    } else {
        sweep->stage = LISTING;
        jobs_submit(sweep->pool, run_list, on_listed, sweep);
    }
}

static void remove_some(struct package_sweep *sweep)
{
    for (unsigned i = 0; i < FILES_A_TURN && sweep->file < sweep->files.count; i++) {
        struct view name = view_of(sweep->files.list[sweep->file]);
        uint8_t hash[SHA256_BYTES];
        if (read_hash(name, hash) && !is_used(sweep, hash)) {
            if (packages_storing(sweep->packages)) {
                take_turn(sweep, LATER_MS);
                return;
            }
            sweep->removed += packages_remove(sweep->packages, name);
        }
        sweep->file++;
    }
    if (sweep->file < sweep->files.count)
        take_turn(sweep, 0);
    else
        end(sweep);
}

static void on_turn(evutil_socket_t fd, short what, void *context)
{
    struct package_sweep *sweep = context;
    (void)fd, (void)what;
    if (sweep->stage == NOTING)
        note_some(sweep);
    else
        remove_some(sweep);
}

struct package_sweep *package_sweep_new(struct event_base *base, struct state *state,
                                        struct packages *packages, struct jobs *pool)
{
    struct package_sweep *sweep = calloc(1, sizeof *sweep);
    REQUIRE(sweep);
    sweep->state = state;
    sweep->packages = packages;
    sweep->pool = pool;
    sweep->turn = evtimer_new(base, on_turn, sweep);
    REQUIRE(sweep->turn);
    sweep->follower = state_follow(state, FOLDER, on_written, sweep);
    sweep->wanted_follower = state_follow(state, WANTED, on_written, sweep);
    return sweep;
}

void package_sweep_soon(struct package_sweep *sweep)
{
    if (!sweep)
        return;
    if (sweep->stage == IDLE)
        begin(sweep);
    else
        sweep->again = true;
}

bool package_sweep_running(const struct package_sweep *sweep)
{
    return sweep->stage != IDLE;
}

void package_sweep_free(struct package_sweep *sweep)
{
    if (!sweep)
        return;
    state_unfollow(sweep->follower);
    state_unfollow(sweep->wanted_follower);
    event_free(sweep->turn);
    names_release(&sweep->files);
    free(sweep->used);
    free(sweep);
}
