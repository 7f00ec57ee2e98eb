/* SPDX-License-Identifier: MIT */
/* Reports of rejected tokens: the first does what is needed, the budget is exact, and one user who reports
 * every token keeps nobody else from reporting. */
#include "story.h"

/* Of tokens of an hour: one each 180 s for a user, one each 90 s for all. */
#define INTERVAL     SEC(180)
#define INTERVAL_ALL SEC(90)

static void story_init_fresh(struct story *s)
{
    story_init(s);
    start(s);
    token_comes(s, "token", SEC(3600), 0);
    s->now += SEC(5);
}

static struct actions report(struct story *s, uint32_t uid)
{
    return story_step(s, (struct event){.kind = EVENT_REJECTED, .uid = uid});
}

/* One that is taken, and brings a token at once. */
static void expect_taken(struct story *s, uint32_t uid)
{
    struct actions a = report(s, uid);

    assert_int_equal(a.verdict, VERDICT_WAIT);
    assert_true(a.fetch);
    token_comes(s, "token", SEC(3600), 0);
    s->now += SEC(1);
}

static void expect_refused(struct story *s, uint32_t uid, usec_t allowed_at)
{
    uint64_t generation = s->p.generation;
    unsigned n_fetches = s->n_fetches;
    struct actions a = report(s, uid);

    assert_int_equal(a.verdict, VERDICT_TOO_OFTEN);
    assert_false(a.fetch);
    assert_int_equal(a.allowed_at, allowed_at);
    assert_int_equal(s->n_fetches, n_fetches);
    assert_int_equal(s->p.generation, generation);
    /* The token is handed out to others as before. */
    assert_int_equal(ask(s, MIN_TTL_DEFAULT), VERDICT_TOKEN);
}

static void a_thousand_reporters_set_off_one_fetch(void **state _unused_)
{
    _cleanup_(story_done) struct story s;

    story_init_fresh(&s);
    for (uint32_t uid = 0; uid < 1000; uid++)
        assert_int_equal(report(&s, uid).verdict, VERDICT_WAIT);
    assert_int_equal(s.n_fetches, 2);
    assert_int_equal(s.p.stats.reports, 1);
    assert_int_equal(s.p.stats.reports_refused, 0);
    /* Others get the current token until the new one is there. */
    assert_int_equal(ask(&s, MIN_TTL_DEFAULT), VERDICT_TOKEN);
    token_comes(&s, "new", SEC(3600), 0);
    assert_int_equal(s.p.generation, 2);
}

/* Within RetryMin of the last request: planned, once, for all of them. */
static void reports_keep_the_spacing(void **state _unused_)
{
    _cleanup_(story_done) struct story s;

    story_init(&s);
    start(&s);
    token_comes(&s, "token", SEC(3600), 0);
    for (uint32_t uid = 0; uid < 100; uid++) {
        s.now += 1000;
        struct actions a = report(&s, uid);
        assert_int_equal(a.verdict, VERDICT_WAIT);
        assert_false(a.fetch);
        assert_int_equal(a.wake_at, T0 + SEC(1));
    }
    assert_int_equal(s.p.stats.reports, 1);
    assert_true(sleep_to_deadline(&s));
    assert_int_equal(s.now, T0 + SEC(1));
    assert_int_equal(s.n_fetches, 2);
}

/* Three at once, then one each three minutes: counted to the microsecond. */
static void one_users_budget_is_exact(void **state _unused_)
{
    _cleanup_(story_done) struct story s;

    story_init_fresh(&s);
    usec_t first_at = s.now;
    for (unsigned i = 0; i < REJECTION_BURST; i++)
        expect_taken(&s, 33);
    for (unsigned i = 1; i <= 10; i++) {
        usec_t allowed_at = first_at + i * INTERVAL;
        expect_refused(&s, 33, allowed_at);
        s.now = allowed_at - 1;
        expect_refused(&s, 33, allowed_at);
        s.now = allowed_at;
        expect_taken(&s, 33);
    }
    assert_int_equal(s.p.stats.reports, REJECTION_BURST + 10);
    assert_int_equal(s.p.stats.reports_refused, 20);
    assert_int_equal(s.n_fetches, 1 + REJECTION_BURST + 10);
}

/* A pause fills the bucket, to the burst and no further. */
static void a_pause_gives_the_burst_back(void **state _unused_)
{
    _cleanup_(story_done) struct story s;

    story_init_fresh(&s);
    for (unsigned round = 0; round < 3; round++) {
        usec_t first_at = s.now;
        for (unsigned i = 0; i < REJECTION_BURST; i++)
            expect_taken(&s, 33);
        expect_refused(&s, 33, first_at + INTERVAL);
        s.now += SEC(1200);
    }
}

/* One reports every token for a day; whenever another does, it is taken at once. */
static void an_abuser_is_held_and_others_are_not(void **state _unused_)
{
    _cleanup_(story_done) struct story s;
    unsigned n_abuser = 0;

    story_init_fresh(&s);
    for (unsigned i = 0; i < 86400 / 10; i++) {
        struct actions a = report(&s, 666);
        if (a.fetch) {
            n_abuser++;
            token_comes(&s, "token", SEC(3600), 0);
        } else {
            assert_int_equal(a.verdict, VERDICT_TOO_OFTEN);
        }
        s.now += SEC(2);
        if (i % 360 == 0)
            expect_taken(&s, 33);
        s.now = T0 + SEC(5) + (i + 1) * SEC(10);
    }
    assert_in_range(n_abuser, REJECTION_BURST + 86400 / 180 - 2, REJECTION_BURST + 86400 / 180);
    assert_int_equal(s.p.stats.reports, n_abuser + 24);
}

/* However many users there are: six at once, and one each 90 s. Those pushed out of their place gain nothing.
 */
static void a_crowd_is_held_by_the_budget_of_all(void **state _unused_)
{
    _cleanup_(story_done) struct story s;
    unsigned n = 0;
    uint32_t uid = 0;

    story_init_fresh(&s);
    usec_t first_at = s.now;
    for (unsigned i = 0; i < REJECTION_BURST_ALL; i++)
        expect_taken(&s, ++uid);
    expect_refused(&s, ++uid, first_at + INTERVAL_ALL);
    while (s.now < first_at + SEC(9000)) {
        struct actions a = report(&s, ++uid);
        if (a.fetch) {
            n++;
            token_comes(&s, "token", SEC(3600), 0);
        }
        s.now += SEC(1.5);
    }
    assert_in_range(n, 9000 / 90 - 1, 9000 / 90);
}

/* The user id 0 is one like others, though a place that is free has it too. */
static void root_has_a_bucket_of_its_own(void **state _unused_)
{
    _cleanup_(story_done) struct story s;

    story_init_fresh(&s);
    usec_t first_at = s.now;
    for (unsigned i = 0; i < REJECTION_BURST; i++)
        expect_taken(&s, 0);
    expect_refused(&s, 0, first_at + INTERVAL);
    expect_taken(&s, 1);
    expect_refused(&s, 0, first_at + INTERVAL);
}

static void the_interval_follows_the_lifetime(void **state _unused_)
{
    static const struct {
        usec_t lifetime_for, interval_for;
    } cases[] = {
        {SEC(5),       SEC(1)  },
        {SEC(60),      SEC(3)  },
        {SEC(3600),    SEC(180)},
        {SEC(86400),   SEC(600)},
        {SEC(8640000), SEC(600)},
    };
    struct refresh_policy policy = EXACT_POLICY;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_int_equal(policy_rejection_interval_for(&policy, cases[i].lifetime_for),
                         cases[i].interval_for);
    policy.retry_min_for = SEC(1000);
    assert_int_equal(policy_rejection_interval_for(&policy, SEC(3600)), SEC(1000));
}

/* ---- together with everything else ---- */

/* While attempts fail, a report waits for the retry, or is told that keys are refused; it costs no budget. */
static void reports_do_not_shorten_the_back_off(void **state _unused_)
{
    _cleanup_(story_done) struct story s;

    story_init_fresh(&s);
    assert_true(report(&s, 33).fetch);
    fetch_fails(&s, RATE_LIMITED(30));
    for (unsigned i = 0; i < 100; i++) {
        struct actions a = report(&s, 33);
        assert_int_equal(a.verdict, VERDICT_WAIT);
        assert_false(a.fetch);
    }
    assert_int_equal(s.p.stats.reports, 1);
    s.now = s.wake_at;
    assert_true(report(&s, 33).fetch);
    fetch_fails(&s, WRONG_KEYS);
    assert_int_equal(report(&s, 33).verdict, VERDICT_REFUSED);
    assert_int_equal(ask(&s, MIN_TTL_DEFAULT), VERDICT_TOKEN);
}

/* A long min_ttl has planned a request behind its own budget, minutes away: a revoked token does not stay
 * until then. */
static void a_far_demand_does_not_swallow_a_report(void **state _unused_)
{
    _cleanup_(story_done) struct story s;

    story_init_fresh(&s);
    for (unsigned i = 0; i < DEMAND_BURST; i++) {
        assert_int_equal(ask(&s, SEC(3599.9)), VERDICT_WAIT);
        token_comes(&s, "token", SEC(3600), 0);
        s.now += SEC(2);
    }
    assert_int_equal(ask(&s, SEC(3599.9)), VERDICT_WAIT);
    assert_true(s.p.demand_at > s.now + SEC(100));
    expect_taken(&s, 33);
    assert_true(s.p.demand_at == USEC_INFINITY);
}

/* In the spacing the earlier of the two counts, and once. */
static void a_report_joins_a_near_demand(void **state _unused_)
{
    _cleanup_(story_done) struct story s;

    story_init(&s);
    start(&s);
    token_comes(&s, "token", SEC(3600), 0);
    s.now += SEC(0.5);
    assert_int_equal(ask(&s, SEC(3599.9)), VERDICT_WAIT);
    assert_int_equal(report(&s, 33).verdict, VERDICT_WAIT);
    assert_int_equal(s.p.stats.reports, 0);
    assert_true(sleep_to_deadline(&s));
    assert_int_equal(s.now, T0 + SEC(1));
}

/* Seconds before its end, when the refresh that was due is late. */
static void the_rest_of_a_token_can_be_reported(void **state _unused_)
{
    _cleanup_(story_done) struct story s;

    story_init_fresh(&s);
    s.now = T0 + SEC(3580);
    assert_int_equal(profile_state(&s.p, s.now), PROFILE_EMPTY);
    expect_taken(&s, 33);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thousand_reporters_set_off_one_fetch),
        cmocka_unit_test(reports_keep_the_spacing),
        cmocka_unit_test(one_users_budget_is_exact),
        cmocka_unit_test(a_pause_gives_the_burst_back),
        cmocka_unit_test(an_abuser_is_held_and_others_are_not),
        cmocka_unit_test(a_crowd_is_held_by_the_budget_of_all),
        cmocka_unit_test(root_has_a_bucket_of_its_own),
        cmocka_unit_test(the_interval_follows_the_lifetime),
        cmocka_unit_test(reports_do_not_shorten_the_back_off),
        cmocka_unit_test(a_far_demand_does_not_swallow_a_report),
        cmocka_unit_test(a_report_joins_a_near_demand),
        cmocka_unit_test(the_rest_of_a_token_can_be_reported),
    };
    return cmocka_run_group_tests_name("profile_reports", tests, NULL, NULL);
}
