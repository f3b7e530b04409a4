/* Removes stored answers that have expired, and operations and changes of long ago. */
#include "managerd/retention.h"

#include "common/base/id.h"
#include "managerd/history.h"
#include "managerd/operation.h"
#include "managerd/records.h"

#include <stdio.h>
#include <string.h>

#define OPERATION_KEPT_MS (30ll * 24 * 3600 * 1000)
#define REMOVAL_KEPT_MS   (10ll * 1000) /* when space is short: long enough to be told of its end */
#define TRIAL_PUTS        12
#define SWEEP_AT_ONCE     500 /* removed in one commit */
#define ANSWERS_AT_ONCE   500 /* looked at */
#define SWEEP_EACH_MS     (3600ll * 1000)
#define HISTORY_AT_ONCE   5000

struct sweep {
    struct change change;
    int64_t now_ms;
    bool pressed;
};

int64_t retention_id_ms(struct view id)
{
    int64_t ms = 0;
    unsigned digits = 0;
    for (size_t i = 0; i < id.length && digits < 12; i++) {
        char c = id.data[i];
        if (c == '-')
            continue;
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0)
            return -1;
        ms = ms << 4 | digit;
        digits++;
    }
    return digits == 12 ? ms : -1;
}

static void remove_key(struct sweep *sweep, struct view key)
{
    char text[KEY_SIZE];
    if (key.length >= sizeof text)
        return;
    memcpy(text, key.data, key.length);
    text[key.length] = 0;
    change_remove(&sweep->change, text);
}

/* What there may be a lot of is walked a part at a time. */
struct walk {
    struct sweep *sweep;
    char next[KEY_SIZE]; /* where to go on; empty: from the start */
    unsigned seen;
};

/* True: this part ends before the key. */
static bool part_ends(struct walk *walk, unsigned most, struct view key)
{
    if (walk->seen++ < most && walk->sweep->change.write_count < SWEEP_AT_ONCE)
        return false;
    snprintf(walk->next, sizeof walk->next, "%.*s", VIEW_FORMAT(key));
    return true;
}

static bool on_answer(struct view key, struct view value, uint64_t revision, void *context)
{
    struct walk *walk = context;
    struct json *kept = NULL;
    (void)revision;
    if (part_ends(walk, ANSWERS_AT_ONCE, key))
        return false;
    if (record_parse(value, &kept) || integer_of(kept, "expiresAtMs") <= walk->sweep->now_ms)
        remove_key(walk->sweep, key);
    json_free(kept);
    return true;
}

/* Whether it has ended; `removal`: it leads nowhere, an Idempotency-Key never names it. */
static bool has_ended(struct view record, bool *removal)
{
    struct view state, type;
    struct json *operation = NULL;
    if (!record_peek(record, "state", &state) || !record_peek(record, "type", &type)) {
        if (record_parse(record, &operation))
            return false;
        state = text_of(operation, "state");
        type = text_of(operation, "type");
    }
    *removal = view_equal_string(type, delete_type.name) ||
               view_equal_string(type, delete_version_type.name);
    bool ended = !view_equal(state, VIEW("queued")) && !view_equal(state, VIEW("running"));
    json_free(operation);
    return ended;
}

/* Ids sort by time, so the walk ends at the first that is young. */
static bool on_operation(struct view key, struct view value, uint64_t revision, void *context)
{
    struct walk *walk = context;
    struct sweep *sweep = walk->sweep;
    bool removal = false;
    int64_t made_ms = retention_id_ms(view_slice(key, sizeof "operations/" - 1, SIZE_MAX));
    (void)revision;
    if (made_ms > sweep->now_ms - (sweep->pressed ? REMOVAL_KEPT_MS : OPERATION_KEPT_MS) ||
        part_ends(walk, UINT32_MAX, key))
        return false;
    if (has_ended(value, &removal) && (made_ms <= sweep->now_ms - OPERATION_KEPT_MS || removal))
        remove_key(sweep, key);
    return true;
}

static void on_swept(enum error error, uint64_t revision, void *context)
{
    (void)error, (void)revision, (void)context; /* what stays is swept the next time */
}

/* While space is short history goes first, but no more of it than a part takes. */
static bool on_change(struct view key, struct view value, uint64_t revision, void *context)
{
    struct walk *walk = context;
    (void)value, (void)revision;
    if (part_ends(walk, HISTORY_AT_ONCE, key))
        return false;
    size_t id = key.length < ID_SIZE ? 0 : key.length - (ID_SIZE - 1);
    int64_t kept_ms = walk->sweep->pressed ? REMOVAL_KEPT_MS : HISTORY_KEPT_MS;
    if (retention_id_ms(view_slice(key, id, SIZE_MAX)) < walk->sweep->now_ms - kept_ms)
        remove_key(walk->sweep, key);
    return true;
}

/* One part below `folder`, from where the one before it ended; whether there is more of it. */
static bool sweep_part(struct state *state, struct sweep *sweep, const char *folder,
                       char place[KEY_SIZE], state_visit visit)
{
    struct walk walk = {.sweep = sweep};
    struct change *change = &sweep->change;
    change_init(change);
    change->urgent = true;
    if (state_range(state, view_of(folder), view_of(place), visit, &walk))
        walk.next[0] = 0;
    memcpy(place, walk.next, KEY_SIZE);
    if (change->write_count)
        state_commit(state, change, on_swept, NULL);
    change_release(change);
    return place[0] != 0;
}

bool retention_sweep(struct state *state, int64_t now_ms)
{
    static char answers[KEY_SIZE], changes[KEY_SIZE];
    char operations[KEY_SIZE] = ""; /* always the oldest */
    struct sweep sweep = {.now_ms = now_ms, .pressed = state_full(state)};
    bool more = sweep_part(state, &sweep, "idempotency/", answers, on_answer);
    more |= sweep_part(state, &sweep, "operations/", operations, on_operation);
    more |= sweep_part(state, &sweep, "history/", changes, on_change);
    return more;
}

static void on_tried(enum error error, uint64_t revision, void *context)
{
    (void)error, (void)revision, (void)context; /* state itself keeps what came of it */
}

static void put_trial(struct state *state, int64_t now_ms, unsigned puts, bool urgent)
{
    struct change change;
    struct json *mark = json_new_object();
    set_time(mark, "triedAt", now_ms);
    change_init(&change);
    change.urgent = urgent;
    while (puts--)
        change_put(&change, "trial", mark);
    state_commit(state, &change, on_tried, NULL);
    change_release(&change);
    json_free(mark);
}

/* Puts more than a change, its history and its record in the audit do, so that who is told of room finds
 * it. LMDB uses pages again that were freed two transactions before: the first is only there to be one. */
static void try_writing(struct state *state, int64_t now_ms)
{
    put_trial(state, now_ms, 1, true);
    put_trial(state, now_ms, TRIAL_PUTS, false);
}

void retention_look(struct state *state, int64_t now_ms, int64_t *swept_ms)
{
    bool pressed = state_full(state);
    /* What the look before this one has swept is room now. */
    if (!state_writable(state))
        try_writing(state, now_ms);
    if (pressed || now_ms - *swept_ms >= SWEEP_EACH_MS || now_ms < *swept_ms) {
        if (!retention_sweep(state, now_ms))
            *swept_ms = now_ms;
    }
}
