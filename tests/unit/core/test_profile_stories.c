/* SPDX-License-Identifier: MIT */
/*
 * Stories of one profile, for failings that token caches have shown in the field. Each begins at T0 and goes
 * on by `now += ...`; nobody else knows the time.
 */
#include "story.h"

/* ---- a back-off that is computed and thrown away ---- */

static void an_outage_of_an_hour_costs_few_requests(void **state _unused_)
{
    _cleanup_(story_done) struct story s;

    story_init(&s);
    start(&s);
    fetch_fails(&s, UNAVAILABLE);
    while (s.now < T0 + USEC_PER_HOUR) {
        /* A hundred callers a second beat on it, and each of them is told to wait. */
        for (unsigned i = 0; i < 100 && s.now < s.wake_at; i++) {
            assert_int_equal(ask(&s, i % 2 ? MIN_TTL_DEFAULT : SEC(i)), VERDICT_WAIT);
            assert_false(s.p.is_fetching);
            s.now += 10 * USEC_PER_MSEC;
        }
        s.now = usec_max(s.now, s.wake_at);
        assert_true(story_step(&s, (struct event){.kind = EVENT_DEADLINE}).fetch);
        fetch_fails(&s, UNAVAILABLE);
    }
    /* The mean of [1 s, 60 s] makes 118; without a back-off it would be thousands. */
    assert_true(s.n_fetches > 60 && s.n_fetches < 240);
    assert_int_equal(s.p.n_failures, s.n_fetches);
    assert_int_equal(s.p.stats.upstream_failed[REASON_SERVER_ERROR], s.n_fetches);
}

static void success_resets_the_back_off_and_failure_does_not(void **state _unused_)
{
    _cleanup_(story_done) struct story s;

    story_init(&s);
    start(&s);
    for (unsigned i = 1; i <= 20; i++) {
        fetch_fails(&s, UNAVAILABLE);
        assert_int_equal(s.p.n_failures, i);
        assert_true(s.wake_at >= s.now + SEC(1));
        assert_true(s.wake_at <= s.now + usec_min(SEC(60), SEC(1) << i));
        sleep_to_fetch(&s);
    }
    token_comes(&s, "t", SEC(3600), 0);
    assert_int_equal(s.note, NOTE_RECOVERED);
    assert_int_equal(s.p.n_failures, 0);
    sleep_to_fetch(&s);
    fetch_fails(&s, UNAVAILABLE);
    assert_int_equal(s.p.n_failures, 1);
    assert_true(s.wake_at <= s.now + SEC(2));
}

/* ---- a failed refresh and a token that is still good ---- */

static void a_failed_refresh_keeps_the_token_to_its_end(void **state _unused_)
{
    _cleanup_(story_done) struct story s;
    unsigned n_expired = 0;

    story_init(&s);
    start(&s);
    token_comes(&s, "the good one", SEC(3600), 0);
    usec_t expires_at = s.p.token.expires_at;
    sleep_to_fetch(&s);
    while (s.now < T0 + SEC(3500)) {
        fetch_fails(&s, UNAVAILABLE);
        assert_int_equal(s.note, NOTE_REFRESH_FAILED);
        assert_int_equal(ask(&s, MIN_TTL_DEFAULT), VERDICT_TOKEN);
        assert_string_equal(secret_peek(&s.p.token.value), "the good one");
        assert_int_equal(s.p.token.expires_at, expires_at);
        assert_int_equal(s.p.generation, 1);
        sleep_to_fetch(&s);
    }
    fetch_fails(&s, RATE_LIMITED(600));
    /* Not for ever: its end is noticed without a caller, and said once. */
    while (s.now <= expires_at) {
        bool is_usable = profile_is_usable_for(&s.p, MIN_TTL_DEFAULT, s.now);
        assert_int_equal(ask(&s, MIN_TTL_DEFAULT) == VERDICT_TOKEN, is_usable);
        if (s.p.is_fetching)
            fetch_fails(&s, RATE_LIMITED(600));
        (void) sleep_to_deadline(&s);
        n_expired += s.note == NOTE_EXPIRED;
    }
    assert_false(token_is_set(&s.p.token));
    assert_int_equal(n_expired, 1);
}

/* ---- an expired token handed out ---- */

static void life_counts_from_the_request(void **state _unused_)
{
    _cleanup_(story_done) struct story s;

    story_init(&s);
    start(&s);
    s.now += SEC(14);
    token_comes(&s, "slow", SEC(60), SEC(14));
    assert_int_equal(s.p.token.expires_at, T0 + SEC(60));
    s.now = T0 + SEC(60) - 1;
    assert_true(profile_is_usable_for(&s.p, 0, s.now));
    s.now = T0 + SEC(60);
    assert_false(profile_is_usable_for(&s.p, 0, s.now));
    assert_int_equal(ask(&s, 0), VERDICT_WAIT);
}

static void a_suspend_past_the_expiry_is_noticed_by_the_first_caller(void **state _unused_)
{
    _cleanup_(story_done) struct story s;

    story_init(&s);
    start(&s);
    token_comes(&s, "before the lid was closed", SEC(3600), 0);
    s.now += 9 * USEC_PER_HOUR;
    /* The caller is faster than the timer. */
    assert_int_equal(ask(&s, 0), VERDICT_WAIT);
    assert_false(token_is_set(&s.p.token));
    assert_int_equal(s.n_fetches, 2);
    assert_int_equal(profile_state(&s.p, s.now), PROFILE_FETCHING);
    /* And the timer, when it comes, sets off no other. */
    assert_false(story_step(&s, (struct event){.kind = EVENT_DEADLINE}).fetch);
}

static void a_suspend_in_a_fetch_cannot_make_its_token_look_alive(void **state _unused_)
{
    _cleanup_(story_done) struct story s;

    story_init(&s);
    start(&s);
    s.now += 2 * USEC_PER_HOUR;
    token_comes(&s, "old", SEC(3600), 2 * USEC_PER_HOUR);
    assert_false(token_is_set(&s.p.token));
    assert_int_equal(s.note, NOTE_FAILED);
    assert_int_equal(s.p.failure.reason, REASON_EXPIRED_ON_ARRIVAL);
    assert_int_equal(s.p.generation, 0);
    assert_true(s.wake_at >= s.now + SEC(1));
}

/* A token in its last tenth is of no use to most callers: counted as a failure, so that the retries slow
 * down. */
static void a_token_that_is_nearly_over_counts_as_a_failure(void **state _unused_)
{
    _cleanup_(story_done) struct story s;

    story_init(&s);
    start(&s);
    for (unsigned i = 1; i <= 10; i++) {
        s.now += SEC(55);
        token_comes(&s, "late", SEC(60), SEC(55));
        assert_int_equal(s.p.n_failures, i);
        sleep_to_fetch(&s);
    }
    s.now += SEC(54);
    token_comes(&s, "just in time", SEC(60), SEC(54));
    assert_int_equal(s.p.n_failures, 0);
    assert_int_equal(ask(&s, MIN_TTL_DEFAULT), VERDICT_TOKEN);
}

/* A useless token does not push out one that is good. */
static void a_late_token_does_not_replace_a_good_one(void **state _unused_)
{
    _cleanup_(story_done) struct story s;

    story_init(&s);
    start(&s);
    token_comes(&s, "good", SEC(3600), 0);
    sleep_to_fetch(&s);
    s.now += SEC(10);
    token_comes(&s, "late", SEC(10), SEC(10));
    assert_string_equal(secret_peek(&s.p.token.value), "good");
    assert_int_equal(s.note, NOTE_REFRESH_FAILED);
    assert_int_equal(ask(&s, MIN_TTL_DEFAULT), VERDICT_TOKEN);
}

/* ---- broken until restart ---- */

static void it_comes_back_after_an_outage_longer_than_a_life(void **state _unused_)
{
    _cleanup_(story_done) struct story s;

    story_init(&s);
    start(&s);
    token_comes(&s, "one", SEC(3600), 0);
    sleep_to_fetch(&s);
    while (s.now < T0 + 10 * USEC_PER_DAY) {
        fetch_fails(&s, s.now % 2 ? UNAVAILABLE : WRONG_KEYS);
        sleep_to_fetch(&s);
    }
    assert_int_equal(profile_state(&s.p, s.now), PROFILE_FAILED_RETRYING);
    token_comes(&s, "two", SEC(3600), 0);
    assert_int_equal(s.note, NOTE_RECOVERED);
    assert_int_equal(profile_state(&s.p, s.now), PROFILE_FRESH);
    assert_int_equal(ask(&s, MIN_TTL_DEFAULT), VERDICT_TOKEN);
    assert_int_equal(s.p.generation, 2);
}

/* ---- everybody in the same second; a lead that becomes zero ---- */

static void short_tokens_are_refreshed_before_they_end(void **state _unused_)
{
    static const usec_t lives[] = {SEC(1), SEC(2), SEC(5), SEC(10), SEC(30), SEC(60)};

    for (size_t i = 0; i < ARRAY_SIZE(lives); i++) {
        _cleanup_(story_done) struct story s;
        story_init(&s);
        s.settings.refresh.jitter_percent = 10;
        start(&s);
        for (unsigned k = 0; k < 100; k++) {
            s.now += SEC(0.05);
            token_comes(&s, "short", lives[i], SEC(0.05));
            usec_t sent_at = s.p.token.sent_at;
            sleep_to_fetch(&s);
            assert_true(s.now >= sent_at + policy_spacing_for(&s.settings.refresh, lives[i]));
            assert_true(s.now <= sent_at + lives[i] / 2);
            assert_int_equal(ask(&s, MIN_TTL_DEFAULT), VERDICT_TOKEN);
        }
    }
}

/* ---- Retry-After ---- */

static void retry_after_silences_for_an_hour_at_most(void **state _unused_)
{
    _cleanup_(story_done) struct story s;

    story_init(&s);
    start(&s);
    fetch_fails(&s, RATE_LIMITED(365 * 86400));
    assert_int_equal(s.wake_at, s.now + USEC_PER_HOUR);
    s.now += USEC_PER_HOUR - 1;
    assert_int_equal(ask(&s, MIN_TTL_DEFAULT), VERDICT_WAIT);
    assert_int_equal(s.n_fetches, 1);
    s.now++;
    assert_int_equal(ask(&s, MIN_TTL_DEFAULT), VERDICT_WAIT);
    assert_int_equal(s.n_fetches, 2);
}

static void retry_after_does_not_cost_a_good_token(void **state _unused_)
{
    _cleanup_(story_done) struct story s;

    story_init(&s);
    start(&s);
    token_comes(&s, "t", SEC(600), 0);
    sleep_to_fetch(&s);
    assert_int_equal(s.now, T0 + SEC(300));
    fetch_fails(&s, RATE_LIMITED(3600));
    /* Callers get it for 270 s more: half of that. */
    assert_int_equal(s.wake_at, s.now + SEC(135));
    unsigned n_before = s.n_fetches;
    while (s.now + SEC(2) < T0 + SEC(570)) {
        sleep_to_fetch(&s);
        fetch_fails(&s, RATE_LIMITED(3600));
    }
    assert_true(s.n_fetches - n_before <= 9);
}

/* ---- callers who ask for more life than is left ---- */

static void long_min_ttl_is_held_to_its_budget(void **state _unused_)
{
    _cleanup_(story_done) struct story s;

    story_init(&s);
    start(&s);
    token_comes(&s, "t", SEC(3600), 0);
    unsigned n_planned = 0, n_first_minute = 0;
    /* A caller each second for ten hours wants all but a second of the life. */
    for (usec_t end = s.now + 10 * USEC_PER_HOUR; s.now < end;) {
        s.now += SEC(1.01);
        if (s.wake_at <= s.now && !s.p.is_fetching)
            (void) story_step(&s, (struct event){.kind = EVENT_DEADLINE});
        if (!s.p.is_fetching)
            (void) ask(&s, SEC(3599));
        if (s.p.is_fetching)
            token_comes(&s, "t", SEC(3600), 0);
        n_first_minute = s.now < T0 + SEC(60) ? s.n_fetches - 1 : n_first_minute;
    }
    n_planned = s.n_fetches - 1;
    assert_true(n_first_minute >= DEMAND_BURST - 1 && n_first_minute <= DEMAND_BURST + 1);
    assert_true(n_planned <= DEMAND_BURST + 10 * 3600 / 180 + 1);
    assert_true(n_planned >= 10 * 3600 / 180 - 1);
}

static void one_demand_serves_all_callers(void **state _unused_)
{
    _cleanup_(story_done) struct story s;

    story_init(&s);
    start(&s);
    token_comes(&s, "t", SEC(3600), 0);
    s.now += SEC(0.5);
    /* Within the spacing: planned, once, for all of them. */
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(ask(&s, SEC(3599.9)), VERDICT_WAIT);
        assert_int_equal(s.wake_at, T0 + SEC(1));
        assert_false(s.p.is_fetching);
        s.now += 1000;
    }
    sleep_to_fetch(&s);
    assert_int_equal(s.n_fetches, 2);
    token_comes(&s, "u", SEC(3600), 0);
    assert_int_equal(s.p.demand_debt_at, T0 + SEC(0.5) + SEC(180));
    assert_true(s.p.demand_at == USEC_INFINITY);
}

/* The spacing counts from when the request was sent, however long it had waited for a slot. */
static void a_demand_is_spaced_from_the_request_that_was_sent(void **state _unused_)
{
    _cleanup_(story_done) struct story s;

    story_init(&s);
    start(&s);
    s.now += SEC(20); /* in the queue */
    s.now += SEC(0.1);
    token_comes(&s, "t", SEC(3600), SEC(0.1));
    s.now += SEC(0.2);
    assert_int_equal(ask(&s, SEC(3599.85)), VERDICT_WAIT);
    assert_false(s.p.is_fetching);
    assert_int_equal(s.wake_at, T0 + SEC(21));
}

/* ---- decades ---- */

static void generations_go_on_for_decades(void **state _unused_)
{
    _cleanup_(story_done) struct story s;

    story_init(&s);
    s.settings.refresh.jitter_percent = 10;
    start(&s);
    token_comes(&s, "t", USEC_PER_HOUR, 0);
    while (s.now < T0 + 20 * 365 * USEC_PER_DAY) {
        uint64_t generation = s.p.generation;
        sleep_to_fetch(&s);
        s.now += 200 * USEC_PER_MSEC;
        token_comes(&s, "t", USEC_PER_HOUR, 200 * USEC_PER_MSEC);
        assert_int_equal(s.p.generation, generation + 1);
    }
    assert_true(s.n_fetches > 20 * 365 * 48 && s.n_fetches < 20 * 365 * 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_outage_of_an_hour_costs_few_requests),
        cmocka_unit_test(success_resets_the_back_off_and_failure_does_not),
        cmocka_unit_test(a_failed_refresh_keeps_the_token_to_its_end),
        cmocka_unit_test(life_counts_from_the_request),
        cmocka_unit_test(a_suspend_past_the_expiry_is_noticed_by_the_first_caller),
        cmocka_unit_test(a_suspend_in_a_fetch_cannot_make_its_token_look_alive),
        cmocka_unit_test(a_token_that_is_nearly_over_counts_as_a_failure),
        cmocka_unit_test(a_late_token_does_not_replace_a_good_one),
        cmocka_unit_test(it_comes_back_after_an_outage_longer_than_a_life),
        cmocka_unit_test(short_tokens_are_refreshed_before_they_end),
        cmocka_unit_test(retry_after_silences_for_an_hour_at_most),
        cmocka_unit_test(retry_after_does_not_cost_a_good_token),
        cmocka_unit_test(long_min_ttl_is_held_to_its_budget),
        cmocka_unit_test(one_demand_serves_all_callers),
        cmocka_unit_test(a_demand_is_spaced_from_the_request_that_was_sent),
        cmocka_unit_test(generations_go_on_for_decades),
    };
    return cmocka_run_group_tests_name("profile_stories", tests, NULL, NULL);
}
