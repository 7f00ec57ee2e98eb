/* SPDX-License-Identifier: MIT */
/* Preload=no: nothing is asked until somebody asks, and nothing any more when nobody does. */
#include "story.h"

static void story_init_lazy(struct story *s, usec_t idle_after_for)
{
    story_init(s);
    s->settings.is_preloaded = false;
    s->settings.idle_after_for = idle_after_for;
    assert_false(story_step(s, (struct event){.kind = EVENT_START}).fetch);
}

/* Sleeps until nothing is due any more; the requests that were made answer with a token of an hour. */
static void sleep_until_quiet(struct story *s)
{
    while (s->wake_at != USEC_INFINITY) {
        if (sleep_to_deadline(s))
            token_comes(s, "token", SEC(3600), 0);
        assert_false(s->p.is_idle && s->p.is_fetching);
    }
}

static void nothing_is_asked_before_the_first_request(void **state _unused_)
{
    _cleanup_(story_done) struct story s;

    story_init_lazy(&s, USEC_PER_HOUR);
    assert_true(s.wake_at == USEC_INFINITY);
    assert_int_equal(profile_state(&s.p, s.now), PROFILE_EMPTY);
    s.now += 30 * USEC_PER_DAY;
    assert_int_equal(ask(&s, MIN_TTL_DEFAULT), VERDICT_WAIT);
    assert_int_equal(s.n_fetches, 1);
    token_comes(&s, "token", SEC(3600), 0);
    assert_int_equal(ask(&s, MIN_TTL_DEFAULT), VERDICT_TOKEN);
}

/* One request, and then silence: refreshed while IdleAfter= lasts, and not once more. */
static void refreshing_stops_when_nobody_asks(void **state _unused_)
{
    static const struct {
        usec_t idle_after_for;
        unsigned n_fetches;
    } cases[] = {
        {SEC(60),       1 },
        {SEC(1800),     1 },
        {SEC(1800) + 1, 2 },
        {SEC(3600),     2 },
        {SEC(3601),     3 },
        {SEC(36000),    20},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_(story_done) struct story s;
        story_init_lazy(&s, cases[i].idle_after_for);
        assert_int_equal(ask(&s, MIN_TTL_DEFAULT), VERDICT_WAIT);
        token_comes(&s, "token", SEC(3600), 0);
        sleep_until_quiet(&s);
        assert_int_equal(s.n_fetches, cases[i].n_fetches);
        assert_int_equal(profile_state(&s.p, s.now), PROFILE_IDLE);
        /* The token that was left has been wiped at its end. */
        assert_false(token_is_set(&s.p.token));
    }
}

static void who_asks_now_and_then_keeps_it_fresh(void **state _unused_)
{
    _cleanup_(story_done) struct story s;

    story_init_lazy(&s, SEC(3600));
    assert_int_equal(ask(&s, MIN_TTL_DEFAULT), VERDICT_WAIT);
    token_comes(&s, "token", SEC(3600), 0);
    for (usec_t at = T0; at < T0 + USEC_PER_DAY; at += SEC(1000)) {
        while (s.wake_at <= at) {
            if (sleep_to_deadline(&s))
                token_comes(&s, "token", SEC(3600), 0);
        }
        s.now = at;
        assert_int_equal(ask(&s, MIN_TTL_DEFAULT), VERDICT_TOKEN);
    }
    assert_int_equal(s.n_fetches, 48);
}

/* Idle is said once; what is left of the token serves the caller who wakes it. */
static void the_first_request_wakes_it_and_is_served(void **state _unused_)
{
    _cleanup_(story_done) struct story s;

    story_init_lazy(&s, SEC(60));
    (void) ask(&s, MIN_TTL_DEFAULT);
    token_comes(&s, "token", SEC(3600), 0);
    assert_false(sleep_to_deadline(&s));
    assert_int_equal(s.note, NOTE_IDLE);
    assert_true(profile_next_attempt_at(&s.p) == USEC_INFINITY);
    for (unsigned i = 0; i < 100; i++) {
        s.now += SEC(10);
        struct actions a = story_step(&s, (struct event){.kind = EVENT_DEADLINE});
        assert_int_equal(a.note, NOTE_NONE);
        assert_false(a.fetch);
    }
    assert_int_equal(ask(&s, MIN_TTL_DEFAULT), VERDICT_TOKEN);
    assert_int_equal(s.n_fetches, 2);
    assert_int_equal(profile_state(&s.p, s.now), PROFILE_REFRESHING);
    assert_int_equal(ask(&s, MIN_TTL_DEFAULT), VERDICT_TOKEN);
    assert_int_equal(s.n_fetches, 2);
    token_comes(&s, "token", SEC(3600), 0);
    assert_int_equal(s.wake_at, s.now + SEC(1800));
}

/* Reports and admins wake it as well; only looking at it does not. */
static void everything_that_wants_a_token_wakes_it(void **state _unused_)
{
    static const enum event_kind kinds[] = {EVENT_REQUEST, EVENT_REJECTED, EVENT_REFRESH};

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        _cleanup_(story_done) struct story s;
        story_init_lazy(&s, SEC(60));
        (void) ask(&s, MIN_TTL_DEFAULT);
        token_comes(&s, "token", SEC(3600), 0);
        assert_false(sleep_to_deadline(&s));
        (void) profile_state(&s.p, s.now);
        assert_true(s.p.is_idle);
        assert_true(story_step(&s, (struct event){.kind = kinds[i], .min_ttl_for = MIN_TTL_DEFAULT}).fetch);
        assert_false(s.p.is_idle);
        assert_true(s.p.demand_at == USEC_INFINITY);
    }
}

/* Retries stop too: an issuer that is gone is not asked for ever on behalf of nobody. */
static void retries_stop_when_nobody_asks(void **state _unused_)
{
    _cleanup_(story_done) struct story s;

    story_init_lazy(&s, SEC(600));
    assert_int_equal(ask(&s, MIN_TTL_DEFAULT), VERDICT_WAIT);
    fetch_fails(&s, UNAVAILABLE);
    while (sleep_to_deadline(&s))
        fetch_fails(&s, UNAVAILABLE);
    assert_int_equal(s.note, NOTE_IDLE);
    assert_in_range(s.now, T0 + SEC(600), T0 + SEC(660));
    assert_true(s.wake_at == USEC_INFINITY);
    assert_int_equal(profile_state(&s.p, s.now), PROFILE_IDLE);
    /* Waking it tries at once, and a caller may wait for that. */
    s.now += USEC_PER_DAY;
    unsigned n_fetches = s.n_fetches;
    assert_int_equal(ask(&s, MIN_TTL_DEFAULT), VERDICT_WAIT);
    assert_int_equal(s.n_fetches, n_fetches + 1);
    assert_int_equal(profile_state(&s.p, s.now), PROFILE_FAILED_RETRYING);
    token_comes(&s, "token", SEC(3600), 0);
    assert_int_equal(s.note, NOTE_RECOVERED);
}

/* Who only reports what was refused is a user like others. */
static void a_report_counts_as_use(void **state _unused_)
{
    _cleanup_(story_done) struct story s;

    story_init_lazy(&s, SEC(1000));
    assert_int_equal(ask(&s, MIN_TTL_DEFAULT), VERDICT_WAIT);
    token_comes(&s, "token", SEC(3600), 0);
    s.now += SEC(1700);
    assert_true(story_step(&s, (struct event){.kind = EVENT_REJECTED, .uid = 33}).fetch);
    fetch_fails(&s, RATE_LIMITED(900));
    assert_true(sleep_to_deadline(&s));
}

/* It went idle while refreshes failed: that its last token runs out unused is nobody's alarm. */
static void an_idle_token_runs_out_without_an_alarm(void **state _unused_)
{
    _cleanup_(story_done) struct story s;

    story_init_lazy(&s, SEC(2000));
    assert_int_equal(ask(&s, MIN_TTL_DEFAULT), VERDICT_WAIT);
    token_comes(&s, "token", SEC(3600), 0);
    sleep_to_fetch(&s);
    fetch_fails(&s, UNAVAILABLE);
    while (sleep_to_deadline(&s))
        fetch_fails(&s, UNAVAILABLE);
    assert_int_equal(s.note, NOTE_IDLE);
    assert_true(token_is_set(&s.p.token));
    while (s.wake_at != USEC_INFINITY) {
        assert_false(sleep_to_deadline(&s));
        assert_int_equal(s.note, NOTE_NONE);
    }
    assert_false(token_is_set(&s.p.token));
}

/* The lid was closed when the refresh was due. */
static void a_suspend_ends_in_idle_or_a_fetch(void **state _unused_)
{
    for (unsigned is_asked = 0; is_asked < 2; is_asked++) {
        _cleanup_(story_done) struct story s;
        story_init_lazy(&s, SEC(3600));
        assert_int_equal(ask(&s, MIN_TTL_DEFAULT), VERDICT_WAIT);
        token_comes(&s, "token", SEC(3600), 0);
        s.now += USEC_PER_DAY;
        if (is_asked) {
            assert_int_equal(ask(&s, 0), VERDICT_WAIT);
            assert_true(s.p.is_fetching);
        } else {
            assert_int_equal(story_step(&s, (struct event){.kind = EVENT_DEADLINE}).note, NOTE_IDLE);
        }
        assert_int_equal(s.n_fetches, 1 + is_asked);
        assert_false(token_is_set(&s.p.token));
    }
}

/* A demand that was planned is a request that somebody made: it is not left out. */
static void a_planned_demand_is_made(void **state _unused_)
{
    _cleanup_(story_done) struct story s;

    story_init_lazy(&s, SEC(60));
    assert_int_equal(ask(&s, MIN_TTL_DEFAULT), VERDICT_WAIT);
    token_comes(&s, "token", SEC(3600), 0);
    s.now += SEC(0.5);
    assert_int_equal(ask(&s, SEC(3599.9)), VERDICT_WAIT);
    assert_true(sleep_to_deadline(&s));
    assert_int_equal(s.now, T0 + SEC(1));
}

static void a_preloaded_profile_never_idles(void **state _unused_)
{
    _cleanup_(story_done) struct story s;

    story_init(&s);
    s.settings.idle_after_for = SEC(60);
    start(&s);
    token_comes(&s, "token", SEC(3600), 0);
    while (s.now < T0 + 7 * USEC_PER_DAY) {
        sleep_to_fetch(&s);
        token_comes(&s, "token", SEC(3600), 0);
    }
    assert_int_equal(s.n_fetches, 1 + 7 * 48);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_asked_before_the_first_request),
        cmocka_unit_test(refreshing_stops_when_nobody_asks),
        cmocka_unit_test(who_asks_now_and_then_keeps_it_fresh),
        cmocka_unit_test(the_first_request_wakes_it_and_is_served),
        cmocka_unit_test(everything_that_wants_a_token_wakes_it),
        cmocka_unit_test(retries_stop_when_nobody_asks),
        cmocka_unit_test(a_report_counts_as_use),
        cmocka_unit_test(an_idle_token_runs_out_without_an_alarm),
        cmocka_unit_test(a_suspend_ends_in_idle_or_a_fetch),
        cmocka_unit_test(a_planned_demand_is_made),
        cmocka_unit_test(a_preloaded_profile_never_idles),
    };
    return cmocka_run_group_tests_name("profile_idle", tests, NULL, NULL);
}
