/* SPDX-License-Identifier: MIT */
#include "fixtures.h"

#include <stdlib.h>

#include "core/pid_reuse.h"

#define PID_MAX  UINT32_C(4194304)
#define RESERVED UINT32_C(300)

/* Taken at T0, when 5000 was given out last and of the ids that follow only 5010 was in use. */
static struct pid_baseline make_baseline(void)
{
    struct pid_baseline b = {
        .is_set = true, .pid_max = PID_MAX, .last_pid = 5000, .taken_at = T0, .window_from = 5001};

    b.used[9 / 8] |= 1u << 9 % 8;
    return b;
}

#define VOUCHES(pid, last) pid_baseline_vouches(&b, (pid), (last), T0 + USEC_PER_SEC)

static void a_process_from_before_is_certain(void **state _unused_)
{
    const struct pid_baseline b = make_baseline();

    assert_true(VOUCHES(4999, 5000));
    assert_true(VOUCHES(5000, 5000));
    assert_true(VOUCHES(5001, 5000));
    assert_true(VOUCHES(300, 5100));
    assert_true(VOUCHES(PID_MAX - 1, 5100));
    /* In use then, and not passed yet. */
    assert_true(VOUCHES(5010, 5009));
}

static void a_new_process_is_certain_where_the_id_was_free(void **state _unused_)
{
    const struct pid_baseline b = make_baseline();

    assert_true(VOUCHES(5001, 5001));
    assert_true(VOUCHES(5009, 5020));
    assert_true(VOUCHES(5011, 5020));
    assert_true(VOUCHES(5000 + PID_WINDOW, 5000 + PID_WINDOW));
}

/* The old process that connected with it may be gone, and this be the next. */
static void an_id_that_was_in_use_and_passed_is_not(void **state _unused_)
{
    const struct pid_baseline b = make_baseline();

    assert_false(VOUCHES(5010, 5010));
    assert_false(VOUCHES(5010, 6000));
}

static void what_was_not_looked_at_is_not(void **state _unused_)
{
    const struct pid_baseline b = make_baseline();

    assert_false(VOUCHES(5001 + PID_WINDOW, 5001 + PID_WINDOW));
    assert_false(VOUCHES(5001 + PID_WINDOW, 100000));
    assert_true(VOUCHES(5001 + PID_WINDOW, 5000 + PID_WINDOW));
}

static void nothing_is_when_the_ids_may_have_come_round(void **state _unused_)
{
    const struct pid_baseline b = make_baseline();
    usec_t max_age = pid_baseline_max_age(&b);

    assert_true(max_age > 2 * USEC_PER_SEC && max_age < 3 * USEC_PER_SEC);
    assert_true(pid_baseline_vouches(&b, 4999, 5000, T0 + max_age));
    assert_false(pid_baseline_vouches(&b, 4999, 5000, T0 + max_age + 1));
    assert_false(pid_baseline_vouches(&b, 4999, 5000, T0 - 1));
    /* Half a turn, or a step back, which is a whole one. */
    assert_false(VOUCHES(300, 5002 + PID_MAX / 2));
    assert_false(VOUCHES(6000, 4999));
}

static void without_a_baseline_nothing_is(void **state _unused_)
{
    struct pid_baseline b = make_baseline();

    assert_false(VOUCHES(0, 5000));
    assert_false(VOUCHES(PID_MAX, 5000));
    assert_false(VOUCHES(5000, 0));
    assert_false(VOUCHES(5000, PID_MAX));
    b.is_set = false;
    assert_false(VOUCHES(4999, 5000));
    assert_true(pid_baseline_is_spent(&b, 5000));
}

static void the_cycle_goes_on_at_its_end(void **state _unused_)
{
    struct pid_baseline b = make_baseline();

    b.last_pid = PID_MAX - 3;
    b.window_from = PID_MAX - 2;
    b.used[9 / 8] = 0;
    /* PID_MAX - 2, PID_MAX - 1, 0, and from 300 on. */
    b.used[302 / 8] |= 1u << 302 % 8;
    assert_true(VOUCHES(PID_MAX - 1, 310));
    assert_true(VOUCHES(301, 310));
    assert_false(VOUCHES(300, 310));
    assert_true(VOUCHES(300, 299));
    assert_false(pid_baseline_is_spent(&b, 310));
    assert_true(pid_baseline_is_spent(&b, 2100));
}

static void a_short_cycle_has_a_short_window(void **state _unused_)
{
    const struct pid_baseline b = {.pid_max = 32768};

    assert_int_equal(pid_baseline_window(&b), 1024);
    assert_int_equal(pid_baseline_window(&(struct pid_baseline){.pid_max = PID_MAX}), PID_WINDOW);
}

static void a_window_serves_until_half_of_it_is_used_up(void **state _unused_)
{
    struct pid_baseline b = make_baseline();

    assert_false(pid_baseline_is_spent(&b, 5001));
    assert_false(pid_baseline_is_spent(&b, 5000 + PID_WINDOW / 2));
    assert_true(pid_baseline_is_spent(&b, 5001 + PID_WINDOW / 2));
    /* A later baseline with the same window. */
    b.last_pid = 5100;
    assert_true(VOUCHES(5010, 5200));
    assert_true(VOUCHES(5150, 5200));
    assert_false(VOUCHES(5101 + PID_WINDOW, 5101 + PID_WINDOW));
}

/* ---- a kernel in small ---- */

#define KERNEL_PID_MAX 40000u
#define N_LIVE         6000
#define N_ROUNDS       30000

/* Who has an id: the number of the process, counted from 1 as they are made; 0: nobody. */
struct kernel {
    uint32_t owner[KERNEL_PID_MAX];
    uint32_t last_pid;
    uint32_t n_made;
};

static uint32_t kernel_fork(struct kernel *k)
{
    do {
        k->last_pid = k->last_pid + 1 < KERNEL_PID_MAX ? k->last_pid + 1 : RESERVED;
    } while (k->owner[k->last_pid] != 0);
    k->owner[k->last_pid] = ++k->n_made;
    return k->last_pid;
}

static uint32_t draw(uint32_t *seed, uint32_t below)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (uint32_t) ((uint64_t) (*seed >> 8) * below >> 24);
}

static uint32_t some_process(const struct kernel *k, uint32_t *seed)
{
    uint32_t pid;

    do
        pid = draw(seed, KERNEL_PID_MAX);
    while (k->owner[pid] == 0);
    return pid;
}

static void kernel_live_on(struct kernel *k, uint32_t *seed, uint32_t n_forks)
{
    for (uint32_t i = 0; i < n_forks; i++) {
        k->owner[some_process(k, seed)] = 0;
        (void) kernel_fork(k);
    }
}

static void look(struct pid_baseline *b, const struct kernel *k)
{
    if (pid_baseline_is_spent(b, k->last_pid)) {
        *b = (struct pid_baseline){.pid_max = KERNEL_PID_MAX, .window_from = k->last_pid + 1};
        for (uint32_t i = 0; i < pid_baseline_window(b); i++) {
            if (k->owner[(b->window_from + i) % KERNEL_PID_MAX] != 0)
                b->used[i / 8] |= (uint8_t) (1u << i % 8);
        }
    }
    b->is_set = true;
    b->last_pid = k->last_pid;
    b->taken_at = T0;
}

/*
 * Processes come and go at random, one connects, and its id is looked at some forks later: whenever it is
 * called certain, it is the same process's. And most of the honest ones are.
 */
static void it_is_never_wrong(void **state _unused_)
{
    static struct kernel k;
    struct pid_baseline b = {0};
    uint32_t seed = 42, n_reused = 0, n_caught = 0, n_certain = 0;

    k.last_pid = RESERVED;
    for (unsigned i = 0; i < N_LIVE; i++)
        (void) kernel_fork(&k);
    for (unsigned i = 0; i < N_ROUNDS; i++) {
        look(&b, &k);
        kernel_live_on(&k, &seed, draw(&seed, 50));
        /* Old or new, or just in front of the cycle. */
        uint32_t pid = i % 2 == 0 ? some_process(&k, &seed) : kernel_fork(&k), who = k.owner[pid];
        if (i % 3 == 0) {
            for (uint32_t ahead = 1; ahead < 30; ahead++) {
                uint32_t next = (k.last_pid + ahead) % KERNEL_PID_MAX;
                if (k.owner[next] != 0) {
                    pid = next;
                    who = k.owner[pid];
                }
            }
            k.owner[pid] = 0;
        }
        kernel_live_on(&k, &seed, draw(&seed, 100));
        if (k.owner[pid] == 0)
            continue;
        bool is_certain = pid_baseline_vouches(&b, pid, k.last_pid, T0 + 1), is_same = k.owner[pid] == who;
        n_reused += !is_same;
        n_caught += !is_same && !is_certain;
        n_certain += is_same && is_certain;
    }
    assert_true(n_reused > 100);
    assert_int_equal(n_caught, n_reused);
    assert_true(n_certain > N_ROUNDS / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_process_from_before_is_certain),
        cmocka_unit_test(a_new_process_is_certain_where_the_id_was_free),
        cmocka_unit_test(an_id_that_was_in_use_and_passed_is_not),
        cmocka_unit_test(what_was_not_looked_at_is_not),
        cmocka_unit_test(nothing_is_when_the_ids_may_have_come_round),
        cmocka_unit_test(without_a_baseline_nothing_is),
        cmocka_unit_test(the_cycle_goes_on_at_its_end),
        cmocka_unit_test(a_short_cycle_has_a_short_window),
        cmocka_unit_test(a_window_serves_until_half_of_it_is_used_up),
        cmocka_unit_test(it_is_never_wrong),
    };
    return cmocka_run_group_tests_name("pid_reuse", tests, NULL, NULL);
}
