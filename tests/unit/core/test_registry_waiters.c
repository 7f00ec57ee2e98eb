/* SPDX-License-Identifier: MIT */
#include "world.h"

#define N_WAITERS 500

/* All answers that are there, in order; each must be the next of `waiters`. */
static void expect_answers(struct world *w, struct waiter *waiters, size_t n, enum answer answer)
{
    for (size_t i = 0; i < n; i++) {
        struct waiter *got = registry_pop_answer(&w->r);
        assert_ptr_equal(got, &waiters[i]);
        assert_int_equal(got->answer, answer);
    }
    assert_null(registry_pop_answer(&w->r));
}

static void five_hundred_waiters_make_one_fetch(void **state _unused_)
{
    _cleanup_(world_done) struct world w;
    static struct waiter waiters[N_WAITERS];

    world_init(&w, 16);
    for (size_t i = 0; i < N_WAITERS; i++) {
        assert_int_equal(world_ask(&w, 0, &waiters[i], i % 2 ? MIN_TTL_DEFAULT : SEC(60), SEC(10)),
                         ANSWER_NONE);
        w.now += 1000;
    }
    assert_int_equal(w.r.n_waiters, N_WAITERS);
    assert_int_equal(world_pop_fetches(&w), 1);
    assert_null(registry_pop_answer(&w.r));
    world_end_token(&w, 0, SEC(3600));
    /* First come, first answered; and once. */
    expect_answers(&w, waiters, N_WAITERS, ANSWER_TOKEN);
    assert_int_equal(w.r.n_waiters, 0);
    world_run_to(&w, T0 + SEC(100));
    assert_null(registry_pop_answer(&w.r));
    assert_int_equal(w.n_fetches, 1);
}

static void a_usable_token_is_answered_at_once(void **state _unused_)
{
    _cleanup_(world_done) struct world w;
    struct waiter waiter;

    world_init(&w, 16);
    world_start_fresh(&w);
    assert_int_equal(world_ask(&w, 0, &waiter, MIN_TTL_DEFAULT, SEC(10)), ANSWER_TOKEN);
    world_run_to(&w, T0 + SEC(1800));
    /* The upstream hangs: nobody notices. */
    assert_int_equal(world_ask(&w, 0, &waiter, MIN_TTL_DEFAULT, SEC(10)), ANSWER_TOKEN);
    assert_int_equal(world_ask(&w, 0, &waiter, SEC(1800), 0), ANSWER_TOKEN);
    world_end_failure(&w, 0, UNAVAILABLE);
    assert_int_equal(world_ask(&w, 0, &waiter, MIN_TTL_DEFAULT, SEC(10)), ANSWER_TOKEN);
    assert_null(registry_pop_answer(&w.r));
    assert_int_equal(w.r.n_waiters, 0);
}

static void hanging_up_does_not_cancel_the_fetch(void **state _unused_)
{
    _cleanup_(world_done) struct world w;
    struct waiter waiter;

    world_init(&w, 16);
    assert_int_equal(world_ask(&w, 0, &waiter, MIN_TTL_DEFAULT, SEC(10)), ANSWER_NONE);
    registry_cancel(&w.r, &waiter);
    assert_int_equal(w.r.n_waiters, 0);
    assert_int_equal(world_pop_fetches(&w), 1);
    w.now += SEC(1);
    world_end_token(&w, 0, SEC(3600));
    assert_null(registry_pop_answer(&w.r));
    assert_int_equal(world_ask(&w, 0, &waiter, MIN_TTL_DEFAULT, 0), ANSWER_TOKEN);
    assert_int_equal(w.n_fetches, 1);
}

static void cancelled_waiters_are_not_answered(void **state _unused_)
{
    _cleanup_(world_done) struct world w;
    struct waiter waiters[4];

    world_init(&w, 16);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(world_ask(&w, 0, &waiters[i], MIN_TTL_DEFAULT, SEC(10)), ANSWER_NONE);
    (void) world_pop_fetches(&w);
    registry_cancel(&w.r, &waiters[0]);
    registry_cancel(&w.r, &waiters[0]);
    registry_cancel(&w.r, &waiters[2]);
    world_end_token(&w, 0, SEC(3600));
    /* One whose answer is ready but not yet picked up may hang up too. */
    registry_cancel(&w.r, &waiters[1]);
    expect_answers(&w, &waiters[3], 1, ANSWER_TOKEN);
    registry_cancel(&w.r, &waiters[3]);
    assert_int_equal(w.r.n_waiters, 0);

    struct waiter never_asked;
    waiter_init(&never_asked);
    registry_cancel(&w.r, &never_asked);
    assert_int_equal(w.r.n_waiters, 0);
}

static void deadlines_come_in_their_order(void **state _unused_)
{
    _cleanup_(world_done) struct world w;
    struct waiter waiters[3];
    static const unsigned order[] = {1, 2, 0}, waits[] = {30, 10, 20};

    world_init(&w, 16);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(world_ask(&w, 0, &waiters[i], MIN_TTL_DEFAULT, SEC(waits[i])), ANSWER_NONE);
    (void) world_pop_fetches(&w);
    for (size_t i = 0; i < 3; i++) {
        usec_t at = T0 + SEC(waits[order[i]]);
        assert_int_equal(registry_next_at(&w.r), at);
        world_run_to(&w, at - 1);
        assert_null(registry_pop_answer(&w.r));
        world_run_to(&w, at);
        expect_answers(&w, &waiters[order[i]], 1, ANSWER_TIMED_OUT);
    }
    world_end_token(&w, 0, SEC(3600));
    assert_null(registry_pop_answer(&w.r));
}

static void who_will_not_wait_is_told_at_once(void **state _unused_)
{
    _cleanup_(world_done) struct world w;
    struct waiter waiter;

    world_init(&w, 16);
    assert_int_equal(world_ask(&w, 0, &waiter, MIN_TTL_DEFAULT, 0), ANSWER_TIMED_OUT);
    assert_int_equal(world_pop_fetches(&w), 1);
    assert_int_equal(w.r.n_waiters, 0);
    world_end_failure(&w, 0, RATE_LIMITED(30));
    assert_int_equal(world_ask(&w, 0, &waiter, MIN_TTL_DEFAULT, 0), ANSWER_FAILED);
}

/* Waits for a retry only who can live to see it. */
static void nobody_waits_for_what_cannot_come(void **state _unused_)
{
    _cleanup_(world_done) struct world w;
    struct waiter waiters[4];

    world_init(&w, 16);
    assert_int_equal(world_ask(&w, 0, &waiters[0], MIN_TTL_DEFAULT, SEC(29)), ANSWER_NONE);
    assert_int_equal(world_ask(&w, 0, &waiters[1], MIN_TTL_DEFAULT, SEC(30)), ANSWER_NONE);
    (void) world_pop_fetches(&w);
    world_end_failure(&w, 0, RATE_LIMITED(30));
    expect_answers(&w, &waiters[0], 1, ANSWER_FAILED);
    assert_int_equal(world_ask(&w, 0, &waiters[2], MIN_TTL_DEFAULT, SEC(30) - 1), ANSWER_FAILED);
    assert_int_equal(world_ask(&w, 0, &waiters[3], MIN_TTL_DEFAULT, SEC(31)), ANSWER_NONE);
    world_run_to(&w, T0 + SEC(30));
    expect_answers(&w, &waiters[1], 1, ANSWER_TIMED_OUT);
    w.now += SEC(0.5);
    world_end_token(&w, 0, SEC(3600));
    expect_answers(&w, &waiters[3], 1, ANSWER_TOKEN);
    assert_int_equal(w.n_fetches, 2);
}

static void waiters_stay_for_the_next_attempt(void **state _unused_)
{
    _cleanup_(world_done) struct world w;
    struct waiter waiter;

    world_init(&w, 16);
    assert_int_equal(world_ask(&w, 0, &waiter, MIN_TTL_DEFAULT, SEC(60)), ANSWER_NONE);
    (void) world_pop_fetches(&w);
    for (unsigned i = 0; i < 3; i++) {
        world_end_failure(&w, 0, UNAVAILABLE);
        assert_null(registry_pop_answer(&w.r));
        world_run_to(&w, registry_next_at(&w.r));
    }
    world_end_token(&w, 0, SEC(3600));
    expect_answers(&w, &waiter, 1, ANSWER_TOKEN);
}

static void refused_keys_end_all_waiting(void **state _unused_)
{
    _cleanup_(world_done) struct world w;
    struct waiter waiters[3];

    world_init(&w, 16);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(world_ask(&w, 0, &waiters[i], MIN_TTL_DEFAULT, SEC(60)), ANSWER_NONE);
    (void) world_pop_fetches(&w);
    world_end_failure(&w, 0, WRONG_KEYS);
    expect_answers(&w, waiters, 2, ANSWER_FAILED);
    assert_int_equal(world_ask(&w, 0, &waiters[2], MIN_TTL_DEFAULT, SEC(60)), ANSWER_FAILED);
}

/* More than the issuer's tokens ever have: known when there is one, found out when it comes. */
static void a_min_ttl_that_cannot_be_is_refused(void **state _unused_)
{
    _cleanup_(world_done) struct world w;
    struct waiter waiters[3];

    world_init(&w, 16);
    assert_int_equal(world_ask(&w, 0, &waiters[0], SEC(3601), SEC(60)), ANSWER_NONE);
    assert_int_equal(world_ask(&w, 0, &waiters[1], SEC(3600), SEC(60)), ANSWER_NONE);
    (void) world_pop_fetches(&w);
    world_end_token(&w, 0, SEC(3600));
    assert_ptr_equal(registry_pop_answer(&w.r), &waiters[0]);
    assert_int_equal(waiters[0].answer, ANSWER_TOO_LONG);
    assert_ptr_equal(registry_pop_answer(&w.r), &waiters[1]);
    assert_int_equal(waiters[1].answer, ANSWER_TOKEN);
    assert_int_equal(world_ask(&w, 0, &waiters[2], SEC(3600) + 1, SEC(60)), ANSWER_TOO_LONG);
    assert_int_equal(world_ask(&w, 0, &waiters[2], USEC_INFINITY - 1, SEC(60)), ANSWER_TOO_LONG);
    assert_int_equal(world_pop_fetches(&w), 0);
}

/* Callers with a long min_ttl, four a second: the upstream sees ten in a row, and then one each 180 s. */
static void greedy_callers_are_held_to_a_budget(void **state _unused_)
{
    _cleanup_(world_done) struct world w;
    struct waiter waiter;

    world_init(&w, 16);
    world_start_fresh(&w);
    while (w.now < T0 + SEC(1700)) {
        world_run_to(&w, w.now + SEC(0.25));
        if (world_ask(&w, 0, &waiter, SEC(3599.9), SEC(5)) == ANSWER_NONE)
            registry_cancel(&w.r, &waiter);
        (void) world_pop_fetches(&w);
        if (ENTRY(&w, 0)->profile.is_fetching)
            world_end_token(&w, 0, SEC(3600));
    }
    unsigned n = (unsigned) ENTRY(&w, 0)->profile.generation - 1;
    assert_true(n >= DEMAND_BURST + 8 && n <= DEMAND_BURST + 10);
}

/* Over the budget, and no attempt in time: told so at once. */
static void over_the_budget_nobody_waits(void **state _unused_)
{
    _cleanup_(world_done) struct world w;
    struct waiter waiter;

    world_init(&w, 16);
    world_start_fresh(&w);
    for (unsigned i = 0; i < DEMAND_BURST; i++) {
        w.now += SEC(2);
        assert_int_equal(world_ask(&w, 0, &waiter, SEC(3599.5), SEC(5)), ANSWER_NONE);
        assert_int_equal(world_pop_fetches(&w), 1);
        world_end_token(&w, 0, SEC(3600));
        expect_answers(&w, &waiter, 1, ANSWER_TOKEN);
    }
    w.now += SEC(2);
    assert_int_equal(world_ask(&w, 0, &waiter, SEC(3599.5), SEC(60)), ANSWER_FAILED);
    assert_int_equal(world_pop_fetches(&w), 0);
    assert_int_equal(world_ask(&w, 0, &waiter, MIN_TTL_DEFAULT, SEC(60)), ANSWER_TOKEN);
}

static void a_forced_refresh_fetches_and_waits_for_the_outcome(void **state _unused_)
{
    _cleanup_(world_done) struct world w;
    struct waiter waiter;

    world_init(&w, 16);
    world_start_fresh(&w);
    w.now += SEC(5);
    assert_int_equal(world_force(&w, 0, &waiter, SEC(60)), ANSWER_NONE);
    assert_int_equal(world_pop_fetches(&w), 1);
    world_end_failure(&w, 0, UNAVAILABLE);
    /* It wanted this outcome, not the next. */
    expect_answers(&w, &waiter, 1, ANSWER_FAILED);
    assert_int_equal(world_force(&w, 0, &waiter, SEC(60)), ANSWER_NONE);
    assert_int_equal(world_pop_fetches(&w), 1);
    world_end_token(&w, 0, SEC(3600));
    expect_answers(&w, &waiter, 1, ANSWER_TOKEN);
}

static void a_forced_refresh_joins_the_fetch_in_flight(void **state _unused_)
{
    _cleanup_(world_done) struct world w;
    struct waiter waiters[5];

    world_init(&w, 16);
    registry_start(&w.r, w.now);
    (void) world_pop_fetches(&w);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(world_force(&w, 0, &waiters[i], SEC(60)), ANSWER_NONE);
    assert_int_equal(world_pop_fetches(&w), 0);
    world_end_token(&w, 0, SEC(3600));
    expect_answers(&w, waiters, 5, ANSWER_TOKEN);
    assert_int_equal(w.n_fetches, 3);
}

static void a_forced_refresh_without_patience_goes_on(void **state _unused_)
{
    _cleanup_(world_done) struct world w;
    struct waiter waiter;

    world_init(&w, 16);
    world_start_fresh(&w);
    assert_int_equal(world_force(&w, 0, &waiter, 0), ANSWER_TIMED_OUT);
    assert_int_equal(world_pop_fetches(&w), 1);
}

static void stopping_answers_everybody(void **state _unused_)
{
    _cleanup_(world_done) struct world w;
    struct waiter waiters[4], late;

    world_init(&w, 2);
    registry_start(&w.r, w.now);
    assert_int_equal(world_ask(&w, 0, &waiters[0], MIN_TTL_DEFAULT, SEC(10)), ANSWER_NONE);
    assert_int_equal(world_force(&w, 1, &waiters[1], SEC(60)), ANSWER_NONE);
    assert_int_equal(world_ask(&w, 2, &waiters[2], SEC(5), SEC(20)), ANSWER_NONE);
    /* One who would wait for ever is answered all the same. */
    assert_int_equal(world_ask(&w, 2, &waiters[3], SEC(5), USEC_INFINITY), ANSWER_NONE);
    (void) world_pop_fetches(&w);
    registry_stop(&w.r, w.now);
    expect_answers(&w, waiters, 4, ANSWER_STOPPING);
    assert_int_equal(w.r.n_waiters, 0);
    assert_int_equal(world_ask(&w, 0, &late, 0, SEC(10)), ANSWER_STOPPING);

    /* What is in flight may still end; nothing starts any more. */
    world_end_token(&w, 0, SEC(3600));
    world_end_failure(&w, 2, UNAVAILABLE);
    assert_int_equal(world_pop_fetches(&w), 0);
    w.now += USEC_PER_DAY;
    registry_advance(&w.r, w.now);
    assert_int_equal(world_pop_fetches(&w), 0);
    assert_null(registry_pop_answer(&w.r));
    assert_true(registry_next_at(&w.r) == USEC_INFINITY);
    registry_stop(&w.r, w.now);
}

static void profiles_do_not_answer_for_each_other(void **state _unused_)
{
    _cleanup_(world_done) struct world w;
    struct waiter a, b;

    world_init(&w, 16);
    assert_int_equal(world_ask(&w, 0, &a, MIN_TTL_DEFAULT, SEC(10)), ANSWER_NONE);
    assert_int_equal(world_ask(&w, 1, &b, MIN_TTL_DEFAULT, SEC(10)), ANSWER_NONE);
    assert_int_equal(world_pop_fetches(&w), 2);
    world_end_token(&w, 1, SEC(3600));
    expect_answers(&w, &b, 1, ANSWER_TOKEN);
    world_end_failure(&w, 0, WRONG_KEYS);
    expect_answers(&w, &a, 1, ANSWER_FAILED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(five_hundred_waiters_make_one_fetch),
        cmocka_unit_test(a_usable_token_is_answered_at_once),
        cmocka_unit_test(hanging_up_does_not_cancel_the_fetch),
        cmocka_unit_test(cancelled_waiters_are_not_answered),
        cmocka_unit_test(deadlines_come_in_their_order),
        cmocka_unit_test(who_will_not_wait_is_told_at_once),
        cmocka_unit_test(nobody_waits_for_what_cannot_come),
        cmocka_unit_test(waiters_stay_for_the_next_attempt),
        cmocka_unit_test(refused_keys_end_all_waiting),
        cmocka_unit_test(a_min_ttl_that_cannot_be_is_refused),
        cmocka_unit_test(greedy_callers_are_held_to_a_budget),
        cmocka_unit_test(over_the_budget_nobody_waits),
        cmocka_unit_test(a_forced_refresh_fetches_and_waits_for_the_outcome),
        cmocka_unit_test(a_forced_refresh_joins_the_fetch_in_flight),
        cmocka_unit_test(a_forced_refresh_without_patience_goes_on),
        cmocka_unit_test(stopping_answers_everybody),
        cmocka_unit_test(profiles_do_not_answer_for_each_other),
    };
    return cmocka_run_group_tests_name("registry_waiters", tests, NULL, NULL);
}
