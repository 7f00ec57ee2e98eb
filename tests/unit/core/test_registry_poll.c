/* SPDX-License-Identifier: MIT */
/* Long polls and reports, as the callers see them: who is answered when, and with what. */
#include "world.h"

#define N_MANY 1000

static enum answer world_poll(struct world *w, struct waiter *waiter, uint64_t generation, usec_t wait_for)
{
    waiter_init(waiter);
    waiter->generation = generation;
    return registry_poll(&w->r, ENTRY(w, 0), waiter, wait_for, w->now);
}

static enum answer world_reject(struct world *w, struct waiter *waiter, uint32_t uid, const char *fingerprint)
{
    struct rejection rejection = {.fingerprint = fingerprint, .uid = uid, .wait_for = SEC(10)};

    waiter_init(waiter);
    return registry_reject(&w->r, ENTRY(w, 0), waiter, &rejection, w->now);
}

static const char *fingerprint_of(const struct world *w)
{
    return ENTRY(w, 0)->profile.token.fingerprint;
}

/* Each of them comes out, once, and nobody else. */
static void expect_all(struct world *w, struct waiter *waiters, size_t n, enum answer answer)
{
    size_t n_answered = 0;

    for (struct waiter *i; (i = registry_pop_answer(&w->r)); n_answered++) {
        assert_true(i >= waiters && i < waiters + n);
        assert_int_equal(i->answer, answer);
        assert_false(i->is_queued);
    }
    assert_int_equal(n_answered, n);
    assert_int_equal(w->r.n_waiters, 0);
}

/* ---- long polls ---- */

static void one_token_answers_a_thousand_pollers(void **state _unused_)
{
    static struct waiter waiters[N_MANY];
    _cleanup_(world_done) struct world w;

    world_init(&w, 16);
    world_start_fresh(&w);
    w.now = T0 + SEC(1790);
    for (size_t i = 0; i < N_MANY; i++)
        assert_int_equal(world_poll(&w, &waiters[i], 1, SEC(60)), ANSWER_NONE);
    assert_int_equal(world_pop_fetches(&w), 0);
    world_run_to(&w, T0 + SEC(1800));
    assert_null(registry_pop_answer(&w.r));
    world_end_token(&w, 0, SEC(3600));
    expect_all(&w, waiters, N_MANY, ANSWER_TOKEN);
    assert_int_equal(ENTRY(&w, 0)->profile.generation, 2);
}

/* A failure is no news, and neither is the one after it. */
static void no_failure_answers_a_poller(void **state _unused_)
{
    static struct waiter waiters[N_MANY];
    _cleanup_(world_done) struct world w;
    usec_t begin_at = T0 + SEC(1795);

    world_init(&w, 16);
    world_start_fresh(&w);
    w.now = begin_at;
    for (size_t i = 0; i < N_MANY; i++)
        assert_int_equal(world_poll(&w, &waiters[i], 1, SEC(60)), ANSWER_NONE);
    world_run_to(&w, T0 + SEC(1800));
    world_end_failure(&w, 0, UNAVAILABLE);
    world_run_to(&w, registry_next_at(&w.r));
    world_end_failure(&w, 0, WRONG_KEYS);
    assert_null(registry_pop_answer(&w.r));
    world_run_to(&w, begin_at + SEC(60) - 1);
    if (ENTRY(&w, 0)->profile.is_fetching)
        world_end_failure(&w, 0, WRONG_KEYS);
    assert_null(registry_pop_answer(&w.r));
    /* Their time is over, and what they have is still good. */
    world_run_to(&w, begin_at + SEC(60));
    expect_all(&w, waiters, N_MANY, ANSWER_UNCHANGED);
}

static void a_poll_with_an_old_token_is_answered_at_once(void **state _unused_)
{
    _cleanup_(world_done) struct world w;
    struct waiter waiter;

    world_init(&w, 16);
    world_start_fresh(&w);
    assert_int_equal(world_poll(&w, &waiter, 0, SEC(60)), ANSWER_TOKEN);
    assert_int_equal(world_poll(&w, &waiter, 77, SEC(60)), ANSWER_TOKEN);
    assert_int_equal(world_poll(&w, &waiter, 1, 0), ANSWER_UNCHANGED);
    assert_int_equal(world_pop_fetches(&w), 0);
    assert_int_equal(w.r.n_waiters, 0);
}

/* The token runs out while they wait: at the end they are told what everybody is told. */
static void a_poll_past_the_end_of_the_token_fails(void **state _unused_)
{
    _cleanup_(world_done) struct world w;
    struct waiter a, b, c;

    world_init(&w, 16);
    world_start_fresh(&w);
    world_run_to(&w, T0 + SEC(1800));
    world_end_failure(&w, 0, RATE_LIMITED(3600));
    w.now = T0 + SEC(3560);
    ENTRY(&w, 0)->profile.refresh_at = T0 + SEC(7000);
    registry_advance(&w.r, w.now);
    assert_int_equal(world_poll(&w, &a, 1, SEC(5)), ANSWER_NONE);
    assert_int_equal(world_poll(&w, &b, 1, SEC(60)), ANSWER_NONE);
    world_run_to(&w, T0 + SEC(3565));
    assert_ptr_equal(registry_pop_answer(&w.r), &a);
    assert_int_equal(a.answer, ANSWER_UNCHANGED);
    world_run_to(&w, T0 + SEC(3620));
    assert_ptr_equal(registry_pop_answer(&w.r), &b);
    assert_int_equal(b.answer, ANSWER_FAILED);
    assert_int_equal(world_poll(&w, &c, 1, 0), ANSWER_FAILED);
}

/* More life than the token has left: the poller's own demand, and its answer the token that comes. */
static void a_poll_may_want_more_life(void **state _unused_)
{
    _cleanup_(world_done) struct world w;
    struct waiter a, b;

    world_init(&w, 16);
    world_start_fresh(&w);
    w.now += SEC(100);
    waiter_init(&a);
    a.generation = 1;
    a.min_ttl_for = SEC(3590);
    assert_int_equal(registry_poll(&w.r, ENTRY(&w, 0), &a, SEC(60), w.now), ANSWER_NONE);
    assert_int_equal(world_pop_fetches(&w), 1);
    waiter_init(&b);
    b.generation = 1;
    b.min_ttl_for = SEC(3601);
    assert_int_equal(registry_poll(&w.r, ENTRY(&w, 0), &b, SEC(60), w.now), ANSWER_TOO_LONG);
    world_end_token(&w, 0, SEC(3600));
    expect_all(&w, &a, 1, ANSWER_TOKEN);
}

static void pollers_hang_up_one_by_one(void **state _unused_)
{
    static struct waiter waiters[N_MANY];
    _cleanup_(world_done) struct world w;

    world_init(&w, 16);
    world_start_fresh(&w);
    w.now += SEC(1);
    for (size_t i = 0; i < N_MANY; i++)
        assert_int_equal(world_poll(&w, &waiters[i], 1, SEC(60)), ANSWER_NONE);
    for (size_t i = 0; i < N_MANY; i++)
        registry_cancel(&w.r, &waiters[(i * 7) % N_MANY]);
    assert_int_equal(w.r.n_waiters, 0);
    world_run_to(&w, T0 + SEC(120));
    assert_null(registry_pop_answer(&w.r));
}

/* What they have is good when the daemon goes down: nothing new. The others hear that it goes. */
static void stopping_tells_pollers_that_nothing_is_new(void **state _unused_)
{
    _cleanup_(world_done) struct world w;
    struct waiter waiters[3], late;

    world_init(&w, 16);
    world_start_fresh(&w);
    w.now += SEC(1);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(world_poll(&w, &waiters[i], 1, SEC(60)), ANSWER_NONE);
    registry_stop(&w.r, w.now);
    expect_all(&w, waiters, 3, ANSWER_UNCHANGED);
    assert_int_equal(world_poll(&w, &late, 1, SEC(60)), ANSWER_UNCHANGED);
    assert_int_equal(world_poll(&w, &late, 0, SEC(60)), ANSWER_TOKEN);
    w.now += SEC(3600);
    assert_int_equal(world_poll(&w, &late, 1, SEC(60)), ANSWER_STOPPING);
}

/* A profile that nobody had asked for: the poll wakes it, and its refresh is the news. */
static void a_poll_wakes_an_idle_profile(void **state _unused_)
{
    _cleanup_(world_done) struct world w;
    struct waiter waiter;

    world_init(&w, 16);
    w.settings[0].is_preloaded = false;
    registry_start(&w.r, w.now);
    assert_int_equal(world_pop_fetches(&w), 2);
    assert_int_equal(world_poll(&w, &waiter, 5, SEC(60)), ANSWER_NONE);
    assert_int_equal(world_pop_fetches(&w), 1);
    world_end_token(&w, 0, SEC(36000));
    expect_all(&w, &waiter, 1, ANSWER_TOKEN);
    world_end_token(&w, 1, SEC(360000));
    world_end_token(&w, 2, SEC(360000));
    world_run_to(&w, T0 + SEC(18000));
    assert_int_equal(profile_state(&ENTRY(&w, 0)->profile, w.now), PROFILE_IDLE);
    assert_int_equal(world_poll(&w, &waiter, 1, SEC(60)), ANSWER_NONE);
    assert_int_equal(world_pop_fetches(&w), 1);
    world_end_token(&w, 0, SEC(36000));
    expect_all(&w, &waiter, 1, ANSWER_TOKEN);
}

/* ---- reports ---- */

static void a_thousand_reports_make_one_fetch(void **state _unused_)
{
    static struct waiter waiters[N_MANY];
    _cleanup_(world_done) struct world w;
    struct waiter other;

    world_init(&w, 16);
    world_start_fresh(&w);
    w.now += SEC(5);
    for (uint32_t i = 0; i < N_MANY; i++)
        assert_int_equal(world_reject(&w, &waiters[i], i % 7, fingerprint_of(&w)), ANSWER_NONE);
    assert_int_equal(world_pop_fetches(&w), 1);
    /* Nobody else is kept waiting. */
    assert_int_equal(world_ask(&w, 0, &other, MIN_TTL_DEFAULT, SEC(10)), ANSWER_TOKEN);
    world_end_token(&w, 0, SEC(3600));
    expect_all(&w, waiters, N_MANY, ANSWER_TOKEN);
    assert_int_equal(ENTRY(&w, 0)->profile.generation, 2);
}

/* Ten who report the token of before get the new one, and cost nothing. */
static void a_stale_report_is_a_request(void **state _unused_)
{
    _cleanup_(world_done) struct world w;
    struct waiter waiter;
    static const char *const stale[] = {"0123456789abcdef", "", "0000000000000004"};

    world_init(&w, 16);
    world_start_fresh(&w);
    w.now += SEC(5);
    for (unsigned i = 0; i < 30; i++)
        assert_int_equal(world_reject(&w, &waiter, 33, stale[i % 3]), ANSWER_TOKEN);
    assert_int_equal(world_pop_fetches(&w), 0);
    assert_int_equal(ENTRY(&w, 0)->profile.stats.reports, 0);
}

/* The reported token itself is no answer to its reporter, whatever becomes of the fetch. */
static void a_reporter_is_not_given_the_reported_token(void **state _unused_)
{
    _cleanup_(world_done) struct world w;
    struct waiter waiters[3];

    world_init(&w, 16);
    world_start_fresh(&w);
    w.now += SEC(5);
    assert_int_equal(world_reject(&w, &waiters[0], 33, fingerprint_of(&w)), ANSWER_NONE);
    assert_int_equal(world_pop_fetches(&w), 1);
    world_end_failure(&w, 0, RATE_LIMITED(3));
    assert_null(registry_pop_answer(&w.r));
    world_run_to(&w, T0 + SEC(8));
    world_end_failure(&w, 0, WRONG_KEYS);
    expect_all(&w, waiters, 1, ANSWER_FAILED);
    assert_int_equal(world_reject(&w, &waiters[1], 33, fingerprint_of(&w)), ANSWER_FAILED);
    /* Others still get it. */
    assert_int_equal(world_ask(&w, 0, &waiters[2], MIN_TTL_DEFAULT, SEC(10)), ANSWER_TOKEN);
    registry_stop(&w.r, w.now);
    assert_int_equal(world_reject(&w, &waiters[1], 33, fingerprint_of(&w)), ANSWER_STOPPING);
    assert_int_equal(world_reject(&w, &waiters[1], 33, "other"), ANSWER_TOKEN);
}

static void a_reporter_times_out_while_the_fetch_goes_on(void **state _unused_)
{
    _cleanup_(world_done) struct world w;
    struct waiter waiter;

    world_init(&w, 16);
    world_start_fresh(&w);
    w.now += SEC(5);
    assert_int_equal(world_reject(&w, &waiter, 33, fingerprint_of(&w)), ANSWER_NONE);
    assert_int_equal(world_pop_fetches(&w), 1);
    world_run_to(&w, T0 + SEC(15));
    expect_all(&w, &waiter, 1, ANSWER_TIMED_OUT);
    world_end_token(&w, 0, SEC(3600));
    assert_null(registry_pop_answer(&w.r));
}

/* Over the budget, one is told when; another user's report is taken in the same moment. */
static void too_many_reports_are_refused_with_a_moment(void **state _unused_)
{
    _cleanup_(world_done) struct world w;
    struct waiter waiter;
    usec_t first_at = T0 + SEC(5);

    world_init(&w, 16);
    world_start_fresh(&w);
    w.now = first_at;
    for (unsigned i = 0; i < REJECTION_BURST; i++) {
        assert_int_equal(world_reject(&w, &waiter, 33, fingerprint_of(&w)), ANSWER_NONE);
        assert_int_equal(world_pop_fetches(&w), 1);
        world_end_token(&w, 0, SEC(3600));
        expect_all(&w, &waiter, 1, ANSWER_TOKEN);
        w.now += SEC(1);
    }
    assert_int_equal(world_reject(&w, &waiter, 33, fingerprint_of(&w)), ANSWER_TOO_OFTEN);
    assert_int_equal(waiter.allowed_at, first_at + SEC(180));
    assert_int_equal(world_pop_fetches(&w), 0);
    assert_int_equal(world_reject(&w, &waiter, 34, fingerprint_of(&w)), ANSWER_NONE);
    assert_int_equal(world_pop_fetches(&w), 1);
    /* While that one is in flight, the first may wait for it with the others. */
    struct waiter again;
    assert_int_equal(world_reject(&w, &again, 33, fingerprint_of(&w)), ANSWER_NONE);
    world_end_token(&w, 0, SEC(3600));
    assert_ptr_equal(registry_pop_answer(&w.r), &waiter);
    assert_ptr_equal(registry_pop_answer(&w.r), &again);
}

/* An expired token cannot be reported: what is asked for then is simply a token. */
static void a_report_of_an_expired_token_is_a_request(void **state _unused_)
{
    _cleanup_(world_done) struct world w;
    struct waiter waiter;

    world_init(&w, 16);
    world_start_fresh(&w);
    w.now += SEC(3600);
    assert_int_equal(world_reject(&w, &waiter, 33, fingerprint_of(&w)), ANSWER_NONE);
    assert_int_equal(waiter.kind, WAIT_FOR_TOKEN);
    assert_int_equal(ENTRY(&w, 0)->profile.stats.reports, 0);
    assert_int_equal(world_pop_fetches(&w), 1);
    world_end_token(&w, 0, SEC(3600));
    expect_all(&w, &waiter, 1, ANSWER_TOKEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_token_answers_a_thousand_pollers),
        cmocka_unit_test(no_failure_answers_a_poller),
        cmocka_unit_test(a_poll_with_an_old_token_is_answered_at_once),
        cmocka_unit_test(a_poll_past_the_end_of_the_token_fails),
        cmocka_unit_test(a_poll_may_want_more_life),
        cmocka_unit_test(pollers_hang_up_one_by_one),
        cmocka_unit_test(stopping_tells_pollers_that_nothing_is_new),
        cmocka_unit_test(a_poll_wakes_an_idle_profile),
        cmocka_unit_test(a_thousand_reports_make_one_fetch),
        cmocka_unit_test(a_stale_report_is_a_request),
        cmocka_unit_test(a_reporter_is_not_given_the_reported_token),
        cmocka_unit_test(a_reporter_times_out_while_the_fetch_goes_on),
        cmocka_unit_test(too_many_reports_are_refused_with_a_moment),
        cmocka_unit_test(a_report_of_an_expired_token_is_a_request),
    };
    return cmocka_run_group_tests_name("registry_poll", tests, NULL, NULL);
}
