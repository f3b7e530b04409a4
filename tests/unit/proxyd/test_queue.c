/* Who waits for a place gets it: in order, once, on whatever worker, and nobody beyond the limit. */
#include "proxyd/queue.h"

#include "common/base/clock.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define SLOT 42

struct scene {
    struct limits *limits;
    struct queue *queue;
};

struct person {
    struct queue_waiter waiter;
    unsigned *served; /* counts those before it */
    unsigned place;   /* when it was served; 0: not yet */
};

static void on_place(struct queue_waiter *waiter)
{
    struct person *person = (struct person *)(void *)waiter;

    person->place = ++*person->served;
}

static struct scene set_scene(uint32_t process, unsigned workers)
{
    struct scene scene = {.limits = limits_new(process)};

    scene.queue = queue_new(scene.limits, workers);
    return scene;
}

static void end_scene(struct scene *scene)
{
    queue_free(scene->queue);
    limits_free(scene->limits);
}

static enum queue_verdict come(struct scene *scene, unsigned worker, uint32_t most,
                               struct person *person, unsigned *served)
{
    struct queue_ask ask = {
        .worker = worker, .slot = SLOT, .max_in_flight = most, .max_waiting = 3};

    *person = (struct person){.waiter.on_place = on_place, .served = served};
    return queue_enter(scene->queue, &ask, &person->waiter);
}

static bool is_woken(struct scene *scene, unsigned worker)
{
    int fd = queue_descriptor(scene->queue, worker);
    uint64_t count;

    return read(fd, &count, sizeof count) == sizeof count;
}

static void who_waits_longest_is_next_on_whatever_worker(void **state)
{
    struct scene scene = set_scene(100, 3);
    struct person people[6];
    unsigned served = 0;

    (void)state;
    assert_int_equal(come(&scene, 0, 1, &people[0], &served), QUEUE_ENTERED);
    for (unsigned i = 1; i < 6; i++) /* workers 1, 2, 0, 1, 2 */
        assert_int_equal(come(&scene, i % 3, 1, &people[i], &served), QUEUE_WAITS);
    for (unsigned i = 1; i < 6; i++) {
        queue_leave(scene.queue, (i - 1) % 3, SLOT);
        assert_int_equal(limits_app_in_flight(scene.limits, SLOT), 1);
        for (unsigned worker = 0; worker < 3; worker++)
            assert_int_equal(is_woken(&scene, worker), worker == i % 3);
        queue_collect(scene.queue, i % 3);
        assert_int_equal(people[i].place, i);
    }
    queue_leave(scene.queue, 2, SLOT);
    assert_int_equal(limits_in_flight(scene.limits), 0);
    end_scene(&scene);
}

static void a_worker_that_collects_is_not_woken_for_its_own(void **state)
{
    struct scene scene = set_scene(100, 2);
    struct person people[2];
    unsigned served = 0;

    (void)state;
    assert_int_equal(come(&scene, 0, 1, &people[0], &served), QUEUE_ENTERED);
    assert_int_equal(come(&scene, 0, 1, &people[1], &served), QUEUE_WAITS);
    queue_leave(scene.queue, 0, SLOT);
    assert_false(is_woken(&scene, 0));
    queue_collect(scene.queue, 0);
    assert_int_equal(people[1].place, 1);
    queue_leave(scene.queue, 0, SLOT);
    end_scene(&scene);
}

static void a_newcomer_does_not_overtake(void **state)
{
    struct scene scene = set_scene(100, 2);
    struct person people[4];
    unsigned served = 0;

    (void)state;
    assert_int_equal(come(&scene, 0, 1, &people[0], &served), QUEUE_ENTERED);
    assert_int_equal(come(&scene, 0, 1, &people[1], &served), QUEUE_WAITS);
    /* The limit was raised: there is a place, and it is for who came first. */
    assert_int_equal(come(&scene, 1, 2, &people[2], &served), QUEUE_WAITS);
    assert_true(is_woken(&scene, 0));
    queue_collect(scene.queue, 0);
    assert_int_equal(people[1].place, 1);
    assert_int_equal(people[2].place, 0);
    queue_leave(scene.queue, 0, SLOT);
    queue_collect(scene.queue, 1);
    assert_int_equal(people[2].place, 2);
    assert_int_equal(limits_app_in_flight(scene.limits, SLOT), 2);
    /* It was lowered: nobody gets the place of who leaves. */
    assert_int_equal(come(&scene, 1, 1, &people[3], &served), QUEUE_WAITS);
    queue_leave(scene.queue, 0, SLOT);
    queue_collect(scene.queue, 1);
    assert_int_equal(people[3].place, 0);
    queue_leave(scene.queue, 1, SLOT);
    queue_collect(scene.queue, 1);
    assert_int_equal(people[3].place, 3);
    queue_leave(scene.queue, 1, SLOT);
    end_scene(&scene);
}

static void a_line_has_an_end(void **state)
{
    struct scene scene = set_scene(100, 2);
    struct person people[6];
    unsigned served = 0;

    (void)state;
    assert_int_equal(come(&scene, 0, 1, &people[0], &served), QUEUE_ENTERED);
    for (unsigned i = 1; i < 4; i++)
        assert_int_equal(come(&scene, 0, 1, &people[i], &served), QUEUE_WAITS);
    assert_int_equal(come(&scene, 0, 1, &people[4], &served), QUEUE_APP_FULL);
    assert_int_equal(come(&scene, 1, 1, &people[5], &served), QUEUE_WAITS); /* it has its own */
    for (unsigned i = 1; i < 4; i++)
        queue_give_up(scene.queue, &people[i].waiter);
    queue_give_up(scene.queue, &people[5].waiter);
    queue_leave(scene.queue, 0, SLOT);
    assert_int_equal(limits_in_flight(scene.limits), 0);
    end_scene(&scene);
}

static void a_place_for_who_gave_up_goes_to_the_next(void **state)
{
    struct scene scene = set_scene(100, 2);
    struct person people[4];
    unsigned served = 0;

    (void)state;
    assert_int_equal(come(&scene, 0, 1, &people[0], &served), QUEUE_ENTERED);
    assert_int_equal(come(&scene, 1, 1, &people[1], &served), QUEUE_WAITS);
    assert_int_equal(come(&scene, 0, 1, &people[2], &served), QUEUE_WAITS);
    queue_leave(scene.queue, 0, SLOT); /* on its way to worker 1 */
    queue_give_up(scene.queue, &people[1].waiter);
    assert_false(queue_settled(scene.queue, 1));
    queue_collect(scene.queue, 1);
    assert_true(queue_settled(scene.queue, 1));
    queue_collect(scene.queue, 0);
    assert_int_equal(people[2].place, 1);
    assert_int_equal(people[1].place, 0);
    queue_leave(scene.queue, 0, SLOT); /* nobody waits: it is free */
    assert_int_equal(limits_in_flight(scene.limits), 0);
    end_scene(&scene);
}

static void who_comes_after_one_that_gave_up_takes_the_place_on_its_way(void **state)
{
    struct scene scene = set_scene(100, 2);
    struct person people[3];
    unsigned served = 0;

    (void)state;
    assert_int_equal(come(&scene, 0, 1, &people[0], &served), QUEUE_ENTERED);
    assert_int_equal(come(&scene, 1, 1, &people[1], &served), QUEUE_WAITS);
    queue_leave(scene.queue, 0, SLOT);
    queue_give_up(scene.queue, &people[1].waiter);
    assert_int_equal(come(&scene, 1, 1, &people[2], &served), QUEUE_WAITS);
    queue_collect(scene.queue, 1);
    assert_int_equal(people[2].place, 1);
    assert_true(queue_settled(scene.queue, 1));
    queue_leave(scene.queue, 1, SLOT);
    assert_int_equal(limits_in_flight(scene.limits), 0);
    end_scene(&scene);
}

static void a_full_process_refuses_and_lets_nobody_wait(void **state)
{
    struct scene scene = set_scene(1, 1);
    struct person people[2];
    unsigned served = 0;

    (void)state;
    assert_int_equal(come(&scene, 0, 5, &people[0], &served), QUEUE_ENTERED);
    assert_int_equal(come(&scene, 0, 5, &people[1], &served), QUEUE_PROCESS_FULL);
    queue_leave(scene.queue, 0, SLOT);
    end_scene(&scene);
}

/* ---- any order of things ---- */

#define PLAY_WORKERS 3
#define PLAY_PEOPLE  24
#define PLAY_STEPS   400
#define PLAY_ROUNDS  300

enum role { OUTSIDE, WAITING, INSIDE };

struct player {
    struct queue_waiter waiter;
    struct play *play;
    enum role role;
    unsigned worker;
    uint64_t came; /* the how many-th to wait */
};

struct play {
    struct scene scene;
    struct player players[PLAY_PEOPLE];
    uint64_t random, came, last[PLAY_WORKERS]; /* last: who was served last, on each worker */
    uint32_t most;
};

static uint32_t draw(struct play *play, uint32_t below)
{
    play->random = play->random * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (uint32_t)(play->random >> 33) % below;
}

static void on_player_place(struct queue_waiter *waiter)
{
    struct player *player = (struct player *)(void *)waiter;

    assert_int_equal(player->role, WAITING);
    assert_true(player->came > player->play->last[player->worker]); /* in order */
    player->play->last[player->worker] = player->came;
    player->role = INSIDE;
}

static void move(struct play *play, struct player *player)
{
    struct queue_ask ask = {.slot = SLOT, .max_in_flight = play->most, .max_waiting = PLAY_PEOPLE};

    switch (player->role) {
    case OUTSIDE:
        player->worker = ask.worker = draw(play, PLAY_WORKERS);
        player->came = ++play->came;
        player->role = WAITING;
        if (queue_enter(play->scene.queue, &ask, &player->waiter) == QUEUE_ENTERED)
            player->role = INSIDE;
        break;
    case WAITING:
        if (draw(play, 3) == 0) {
            queue_give_up(play->scene.queue, &player->waiter);
            player->role = OUTSIDE;
        }
        break;
    case INSIDE:
        queue_leave(play->scene.queue, player->worker, SLOT);
        player->role = OUTSIDE;
        break;
    }
}

static unsigned count_role(const struct play *play, enum role role)
{
    unsigned count = 0;

    for (size_t i = 0; i < PLAY_PEOPLE; i++)
        count += play->players[i].role == role;
    return count;
}

static void collect_all(struct play *play)
{
    /* What one worker has too much goes on to the next, and so at most once around. */
    for (unsigned i = 0; i < 2 * PLAY_WORKERS * PLAY_PEOPLE; i++)
        queue_collect(play->scene.queue, i % PLAY_WORKERS);
}

static void play_one(uint64_t seed)
{
    struct play play = {.scene = set_scene(1000, PLAY_WORKERS), .random = seed};

    play.most = 1 + draw(&play, 6);
    for (size_t i = 0; i < PLAY_PEOPLE; i++)
        play.players[i] = (struct player){.waiter.on_place = on_player_place, .play = &play};
    for (unsigned step = 0; step < PLAY_STEPS; step++) {
        if (draw(&play, 4) == 0)
            queue_collect(play.scene.queue, draw(&play, PLAY_WORKERS));
        else
            move(&play, &play.players[draw(&play, PLAY_PEOPLE)]);
        assert_in_range(limits_app_in_flight(play.scene.limits, SLOT), 0, play.most);
        assert_true(count_role(&play, INSIDE) <= play.most);
    }
    for (unsigned round = 0; round < PLAY_PEOPLE; round++) { /* all leave, nobody gives up */
        collect_all(&play);
        assert_int_equal(limits_app_in_flight(play.scene.limits, SLOT), count_role(&play, INSIDE));
        assert_true(count_role(&play, WAITING) == 0 || count_role(&play, INSIDE) == play.most);
        for (size_t i = 0; i < PLAY_PEOPLE; i++)
            if (play.players[i].role == INSIDE)
                move(&play, &play.players[i]);
    }
    assert_int_equal(count_role(&play, OUTSIDE), PLAY_PEOPLE);
    assert_int_equal(limits_in_flight(play.scene.limits), 0);
    for (unsigned i = 0; i < PLAY_WORKERS; i++)
        assert_true(queue_settled(play.scene.queue, i));
    end_scene(&play.scene);
}

static void whatever_happens_in_whatever_order_the_line_keeps_its_promises(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= PLAY_ROUNDS; seed++)
        play_one(seed);
}

/* ---- threads ---- */

#define CROWD_WORKERS 4
#define CROWD_TURNS   4000
#define CROWD_AT_ONCE 8
#define CROWD_MOST    3

struct crowd {
    struct scene scene;
    atomic_uint inside, most, served, gave_up, refused;
};

struct member {
    struct queue_waiter waiter;
    struct crowd_worker *worker;
    bool waits, inside;
};

struct crowd_worker {
    struct crowd *crowd;
    unsigned number;
    uint64_t random;
    struct member members[CROWD_AT_ONCE];
};

static uint32_t chance(struct crowd_worker *worker, uint32_t below)
{
    worker->random = worker->random * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (uint32_t)(worker->random >> 33) % below;
}

static void step_inside(struct member *member)
{
    struct crowd *crowd = member->worker->crowd;
    unsigned inside = atomic_fetch_add(&crowd->inside, 1) + 1, most = atomic_load(&crowd->most);

    while (inside > most && !atomic_compare_exchange_weak(&crowd->most, &most, inside))
        ;
    member->waits = false;
    member->inside = true;
    atomic_fetch_add(&crowd->served, 1);
}

static void on_member_place(struct queue_waiter *waiter)
{
    step_inside((struct member *)(void *)waiter);
}

static void step_outside(struct member *member)
{
    struct crowd_worker *worker = member->worker;

    member->inside = false;
    atomic_fetch_sub(&worker->crowd->inside, 1);
    queue_leave(worker->crowd->scene.queue, worker->number, SLOT);
    queue_collect(worker->crowd->scene.queue, worker->number);
}

static void enter(struct member *member)
{
    struct crowd_worker *worker = member->worker;
    struct queue_ask ask = {.worker = worker->number,
                            .slot = SLOT,
                            .max_in_flight = CROWD_MOST,
                            .max_waiting = CROWD_AT_ONCE - 2};

    switch (queue_enter(worker->crowd->scene.queue, &ask, &member->waiter)) {
    case QUEUE_ENTERED:
        step_inside(member);
        break;
    case QUEUE_WAITS:
        member->waits = true;
        break;
    case QUEUE_APP_FULL:
    case QUEUE_PROCESS_FULL:
        atomic_fetch_add(&worker->crowd->refused, 1);
        break;
    }
}

static void act(struct member *member)
{
    struct crowd *crowd = member->worker->crowd;

    if (member->inside) {
        step_outside(member);
    } else if (!member->waits) {
        enter(member);
    } else if (chance(member->worker, 4) == 0) {
        queue_give_up(crowd->scene.queue, &member->waiter);
        member->waits = false;
        atomic_fetch_add(&crowd->gave_up, 1);
    }
}

static bool all_are_through(const struct crowd_worker *worker)
{
    for (size_t i = 0; i < CROWD_AT_ONCE; i++) {
        if (worker->members[i].waits || worker->members[i].inside)
            return false;
    }
    return queue_settled(worker->crowd->scene.queue, worker->number);
}

/* Those inside leave at once, those who wait do not give up: each must get its place. */
static bool finish(struct crowd_worker *worker)
{
    struct queue *queue = worker->crowd->scene.queue;
    struct pollfd wake = {.fd = queue_descriptor(queue, worker->number), .events = POLLIN};
    uint64_t deadline_us = clock_monotonic_us() + 20000000, count;

    while (!all_are_through(worker)) {
        bool acted = false;

        if (clock_monotonic_us() > deadline_us)
            return false;
        for (size_t i = 0; i < CROWD_AT_ONCE; i++) {
            acted |= worker->members[i].inside;
            if (worker->members[i].inside)
                step_outside(&worker->members[i]);
        }
        if (!acted && poll(&wake, 1, 100) == 1 && read(wake.fd, &count, sizeof count) > 0)
            queue_collect(queue, worker->number);
    }
    return true;
}

static void *work(void *context)
{
    struct crowd_worker *worker = context;
    struct queue *queue = worker->crowd->scene.queue;
    int fd = queue_descriptor(queue, worker->number);
    uint64_t count;

    for (size_t i = 0; i < CROWD_AT_ONCE; i++)
        worker->members[i] = (struct member){.waiter.on_place = on_member_place, .worker = worker};
    for (unsigned turn = 0; turn < CROWD_TURNS; turn++) {
        act(&worker->members[chance(worker, CROWD_AT_ONCE)]);
        if (read(fd, &count, sizeof count) > 0)
            queue_collect(queue, worker->number);
        if (turn % 16 == 0)
            sched_yield(); /* who is inside must get on, on few cores too */
    }
    return finish(worker) ? worker : NULL;
}

static void no_wake_up_is_lost_and_no_limit_passed_among_threads(void **state)
{
    struct crowd crowd = {.scene = set_scene(1000, CROWD_WORKERS)};
    struct crowd_worker *workers = calloc(CROWD_WORKERS, sizeof *workers);
    pthread_t threads[CROWD_WORKERS];

    (void)state;
    assert_non_null(workers);
    for (unsigned i = 0; i < CROWD_WORKERS; i++) {
        workers[i] = (struct crowd_worker){.crowd = &crowd, .number = i, .random = i + 1};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < CROWD_WORKERS; i++) {
        void *result = NULL;

        pthread_join(threads[i], &result);
        assert_non_null(result); /* NULL: one of its waiters was never served */
    }
    assert_int_equal(atomic_load(&crowd.most), CROWD_MOST);
    assert_true(atomic_load(&crowd.served) > 100);
    assert_true(atomic_load(&crowd.gave_up) > 10);
    assert_int_equal(limits_in_flight(crowd.scene.limits), 0);
    assert_int_equal(limits_app_in_flight(crowd.scene.limits, SLOT), 0);
    free(workers);
    end_scene(&crowd.scene);
}

/* One place, and each worker alone with it: whoever waits is served by somebody's leaving. */
static void *pass_the_place(void *context)
{
    struct crowd_worker *worker = context;
    struct queue *queue = worker->crowd->scene.queue;
    struct member *member = &worker->members[0];
    struct queue_ask ask = {
        .worker = worker->number, .slot = SLOT, .max_in_flight = 1, .max_waiting = 1};
    struct pollfd wake = {.fd = queue_descriptor(queue, worker->number), .events = POLLIN};
    uint64_t count;

    *member = (struct member){.waiter.on_place = on_member_place, .worker = worker};
    for (unsigned turn = 0; turn < 20 * CROWD_TURNS; turn++) {
        if (queue_enter(queue, &ask, &member->waiter) == QUEUE_ENTERED)
            step_inside(member);
        while (!member->inside) {
            if (poll(&wake, 1, 10000) != 1)
                return NULL;
            if (read(wake.fd, &count, sizeof count) > 0)
                queue_collect(queue, worker->number);
        }
        step_outside(member);
    }
    return worker;
}

static void the_last_place_is_not_lost_between_leaving_and_waiting(void **state)
{
    struct crowd crowd = {.scene = set_scene(1000, CROWD_WORKERS)};
    struct crowd_worker *workers = calloc(CROWD_WORKERS, sizeof *workers);
    pthread_t threads[CROWD_WORKERS];

    (void)state;
    assert_non_null(workers);
    for (unsigned i = 0; i < CROWD_WORKERS; i++) {
        workers[i] = (struct crowd_worker){.crowd = &crowd, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, pass_the_place, &workers[i]), 0);
    }
    for (unsigned i = 0; i < CROWD_WORKERS; i++) {
        void *result = NULL;

        pthread_join(threads[i], &result);
        assert_non_null(result); /* NULL: it waited for ten seconds */
    }
    assert_int_equal(atomic_load(&crowd.most), 1);
    assert_int_equal(limits_in_flight(crowd.scene.limits), 0);
    free(workers);
    end_scene(&crowd.scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_waits_longest_is_next_on_whatever_worker),
        cmocka_unit_test(a_worker_that_collects_is_not_woken_for_its_own),
        cmocka_unit_test(a_newcomer_does_not_overtake),
        cmocka_unit_test(a_line_has_an_end),
        cmocka_unit_test(a_place_for_who_gave_up_goes_to_the_next),
        cmocka_unit_test(who_comes_after_one_that_gave_up_takes_the_place_on_its_way),
        cmocka_unit_test(a_full_process_refuses_and_lets_nobody_wait),
        cmocka_unit_test(whatever_happens_in_whatever_order_the_line_keeps_its_promises),
        cmocka_unit_test(no_wake_up_is_lost_and_no_limit_passed_among_threads),
        cmocka_unit_test(the_last_place_is_not_lost_between_leaving_and_waiting),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
