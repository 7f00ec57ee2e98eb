/* SPDX-License-Identifier: MIT */
/* What a restart keeps: nothing is asked for twice, nothing is given away, and nobody is silenced. */
#include "story.h"

#include "core/saved.h"

/* The process ends at this moment, and the next one starts `off_for` later. `was_sent`: with a request out.
 */
static void restart(struct story *s, bool was_sent, usec_t off_for)
{
    _cleanup_(saved_profile_done) struct saved_profile saved = {0};

    assert_int_equal(profile_save(&s->p, &saved), 0);
    saved.was_sent = was_sent && saved.was_fetching;
    profile_done(&s->p);
    s->now += off_for;
    profile_init(&s->p, &s->settings);
    profile_restore(&s->p, &saved, s->now, s->random);
}

/* As registry_start(): true when that asks the upstream. */
static bool begins_to_fetch(struct story *s)
{
    return story_step(s, (struct event){.kind = EVENT_START}).fetch;
}

/* ---- tokens ---- */

static void a_token_goes_on_as_it_was(void **state _unused_)
{
    struct story s;

    story_init(&s);
    start(&s);
    s.now += SEC(2);
    token_comes(&s, "one", SEC(3600), SEC(2));
    usec_t refresh_at = s.p.refresh_at;
    s.now += SEC(100);
    restart(&s, false, SEC(3));
    assert_false(begins_to_fetch(&s));
    assert_int_equal(profile_state(&s.p, s.now), PROFILE_FRESH);
    assert_string_equal(secret_peek(&s.p.token.value), "one");
    assert_string_equal(s.p.token.fingerprint, "0000000000000003");
    assert_int_equal(s.p.generation, 1);
    assert_int_equal(s.p.arrived_at, T0 + SEC(2));
    assert_ptr_equal(s.p.token_settings, &s.settings);
    assert_int_equal(s.p.refresh_at, refresh_at);
    assert_int_equal(ask(&s, MIN_TTL_DEFAULT), VERDICT_TOKEN);
    sleep_to_fetch(&s);
    assert_int_equal(s.now, refresh_at);
    token_comes(&s, "next", SEC(3600), 0);
    assert_int_equal(s.p.generation, 2);
    story_done(&s);
}

static void a_token_that_ran_out_meanwhile_is_fetched_anew(void **state _unused_)
{
    struct story s;

    story_init(&s);
    start(&s);
    token_comes(&s, "one", SEC(3600), 0);
    restart(&s, false, SEC(3600));
    assert_false(token_is_set(&s.p.token));
    assert_int_equal(s.p.generation, 1);
    assert_true(begins_to_fetch(&s));
    story_done(&s);
}

/* The refresh that was due while nobody was there is made at once, and it alone. */
static void a_refresh_that_was_missed_is_made_at_once(void **state _unused_)
{
    struct story s;

    story_init(&s);
    start(&s);
    token_comes(&s, "one", SEC(3600), 0);
    restart(&s, false, SEC(2000));
    assert_false(begins_to_fetch(&s));
    assert_true(s.wake_at <= s.now);
    assert_true(story_step(&s, (struct event){.kind = EVENT_DEADLINE}).fetch);
    assert_int_equal(ask(&s, MIN_TTL_DEFAULT), VERDICT_TOKEN);
    assert_int_equal(s.n_fetches, 2);
    story_done(&s);
}

/* A reload has brought other keys, and they have not proven themselves: the token is of the old ones. */
static void a_token_of_replaced_keys_is_left_behind(void **state _unused_)
{
    _cleanup_(saved_profile_done) struct saved_profile saved = {0};
    struct profile_settings other;
    struct story s;

    story_init(&s);
    start(&s);
    token_comes(&s, "one", SEC(3600), 0);
    other = s.settings;
    assert_true(
        story_step(&s, (struct event){.kind = EVENT_SETTINGS, .settings = &other, .change = CHANGE_KEYS})
            .fetch);
    fetch_fails(&s, WRONG_KEYS);
    assert_true(profile_is_usable_for(&s.p, MIN_TTL_DEFAULT, s.now));
    assert_int_equal(profile_save(&s.p, &saved), 0);
    assert_false(token_is_set(&saved.token));
    assert_int_equal(saved.generation, 1);
    assert_int_equal(saved.n_failures, 1);
    story_done(&s);
}

static void with_other_keys_only_the_number_goes_on(void **state _unused_)
{
    _cleanup_(saved_profile_done) struct saved_profile saved = {0};
    struct story s;

    story_init(&s);
    start(&s);
    token_comes(&s, "one", SEC(3600), 0);
    assert_int_equal(profile_save(&s.p, &saved), 0);
    profile_done(&s.p);
    profile_init(&s.p, &s.settings);
    profile_restore_generation(&s.p, &saved);
    assert_false(token_is_set(&s.p.token));
    assert_true(begins_to_fetch(&s));
    token_comes(&s, "two", SEC(3600), 0);
    assert_int_equal(s.p.generation, 2);
    story_done(&s);
}

/* ---- back-off ---- */

static void a_back_off_is_not_shortened(void **state _unused_)
{
    struct story s;

    story_init(&s);
    start(&s);
    for (unsigned i = 0; i < 5; i++) {
        fetch_fails(&s, UNAVAILABLE);
        usec_t retry_at = s.p.refresh_at;
        restart(&s, false, 0);
        assert_false(begins_to_fetch(&s));
        assert_int_equal(s.p.refresh_at, retry_at);
        assert_int_equal(s.p.n_failures, i + 1);
        assert_int_equal(s.p.failure.http_status, 503);
        assert_int_equal(profile_state(&s.p, s.now), PROFILE_FAILED);
        assert_int_equal(ask(&s, MIN_TTL_DEFAULT), retry_at <= s.now ? VERDICT_NONE : VERDICT_WAIT);
        sleep_to_fetch(&s);
        assert_int_equal(s.now, retry_at);
    }
    token_comes(&s, "one", SEC(3600), 0);
    assert_int_equal(s.note, NOTE_RECOVERED);
    story_done(&s);
}

static void a_long_retry_after_is_kept(void **state _unused_)
{
    struct story s;

    story_init(&s);
    start(&s);
    fetch_fails(&s, RATE_LIMITED(3000));
    restart(&s, false, SEC(10));
    assert_false(begins_to_fetch(&s));
    assert_int_equal(s.p.refresh_at, T0 + SEC(3000));
    story_done(&s);
}

/* A request whose answer nobody saw: the first costs no wait, a row of them is no flood. */
static void interruptions_in_a_row_slow_down(void **state _unused_)
{
    usec_t longest_for = 0;
    struct story s;

    story_init(&s);
    start(&s);
    restart(&s, true, 0);
    assert_true(begins_to_fetch(&s));
    for (unsigned i = 2; i < 40; i++) {
        restart(&s, true, 0);
        assert_false(begins_to_fetch(&s));
        usec_t distance_for = s.p.refresh_at - s.now;
        assert_in_range(distance_for, SEC(1), SEC(60));
        longest_for = usec_max(longest_for, distance_for);
        sleep_to_fetch(&s);
    }
    assert_true(longest_for > SEC(10));
    token_comes(&s, "one", SEC(3600), 0);
    assert_int_equal(s.p.n_interrupted, 0);
    sleep_to_fetch(&s);
    restart(&s, true, 0);
    assert_int_equal(s.p.refresh_at, s.now);
    story_done(&s);
}

/* Also not by those who ask: a daemon that dies of an answer is asked for one at once when it is back. */
static void callers_do_not_shorten_the_distance(void **state _unused_)
{
    struct story s;

    story_init(&s);
    s.settings.is_preloaded = false;
    assert_int_equal(ask(&s, MIN_TTL_DEFAULT), VERDICT_WAIT);
    for (unsigned i = 1; i < 20; i++) {
        restart(&s, true, 0);
        /* Once more before it is due: that changes nothing. */
        restart(&s, false, 0);
        assert_false(begins_to_fetch(&s));
        usec_t retry_at = s.p.refresh_at;
        assert_true(i == 1 || retry_at >= s.now + SEC(1));
        for (unsigned k = 0; k < 3; k++) {
            if (s.p.is_fetching)
                break;
            assert_int_equal(ask(&s, MIN_TTL_DEFAULT), VERDICT_WAIT);
            assert_int_equal(s.p.is_fetching, i == 1);
        }
        if (!s.p.is_fetching)
            sleep_to_fetch(&s);
        assert_int_equal(s.now, retry_at);
    }
    token_comes(&s, "one", SEC(3600), 0);
    sleep_to_fetch(&s);
    restart(&s, true, 0);
    (void) begins_to_fetch(&s);
    assert_true(story_step(&s, (struct event){.kind = EVENT_DEADLINE}).fetch);
    restart(&s, true, 0);
    (void) begins_to_fetch(&s);
    /* Nor by those who report its token as rejected. */
    usec_t retry_at = s.p.refresh_at;
    assert_true(retry_at >= s.now + SEC(1));
    assert_false(story_step(&s, (struct event){.kind = EVENT_REJECTED, .uid = 33}).fetch);
    sleep_to_fetch(&s);
    assert_int_equal(s.now, retry_at);
    story_done(&s);
}

/* What is left of the token bounds the distance, as after a failure. */
static void interrupted_refreshes_come_before_the_token_ends(void **state _unused_)
{
    struct story s;

    story_init(&s);
    start(&s);
    token_comes(&s, "one", SEC(40), 0);
    sleep_to_fetch(&s);
    for (unsigned i = 0; i < 3; i++) {
        restart(&s, true, 0);
        (void) begins_to_fetch(&s);
        assert_true(profile_is_usable_for(&s.p, MIN_TTL_DEFAULT, s.p.refresh_at));
        s.now = s.p.refresh_at;
        assert_true(story_step(&s, (struct event){.kind = EVENT_DEADLINE}).fetch);
    }
    story_done(&s);
}

/* A token that runs out before the distance is over does not shorten it, and neither does another end. */
static void the_end_of_a_token_does_not_shorten_the_distance(void **state _unused_)
{
    struct story s;

    story_init(&s);
    start(&s);
    token_comes(&s, "one", SEC(300), 0);
    sleep_to_fetch(&s);
    s.now = T0 + SEC(280); /* less is left than a caller gets by default */
    s.p.n_interrupted = 10;
    s.random = SEC(50);
    restart(&s, true, 0);
    usec_t retry_at = s.p.refresh_at;
    assert_true(retry_at > s.p.token.expires_at);
    restart(&s, false, 0);
    assert_false(begins_to_fetch(&s));
    assert_int_equal(s.p.refresh_at, retry_at);
    assert_int_equal(s.wake_at, s.p.token.expires_at);
    assert_false(sleep_to_deadline(&s));
    assert_false(token_is_set(&s.p.token));
    sleep_to_fetch(&s);
    assert_int_equal(s.now, retry_at);
    story_done(&s);
}

/* What it dies of is another client's answer: this one is asked for at once. */
static void another_client_does_not_inherit_the_distance(void **state _unused_)
{
    struct profile_settings other;
    struct story s;

    story_init(&s);
    s.settings.is_preloaded = false;
    assert_int_equal(ask(&s, MIN_TTL_DEFAULT), VERDICT_WAIT);
    s.p.n_interrupted = 10;
    restart(&s, true, 0);
    assert_false(begins_to_fetch(&s));
    assert_true(s.p.refresh_at > s.now);
    other = s.settings;
    assert_false(
        story_step(&s, (struct event){.kind = EVENT_SETTINGS, .settings = &other, .change = CHANGE_IDENTITY})
            .fetch);
    assert_int_equal(ask(&s, MIN_TTL_DEFAULT), VERDICT_WAIT);
    assert_true(s.p.is_fetching);
    story_done(&s);
}

/* It only waited for a slot: nothing was sent. */
static void what_was_not_sent_costs_no_distance(void **state _unused_)
{
    struct story s;

    story_init(&s);
    start(&s);
    for (unsigned i = 0; i < 20; i++) {
        restart(&s, false, 0);
        assert_int_equal(s.p.n_interrupted, 0);
        assert_true(begins_to_fetch(&s));
    }
    story_done(&s);
}

static void an_interruption_after_many_failures_is_no_reset(void **state _unused_)
{
    struct story s;

    story_init(&s);
    start(&s);
    fetch_fails(&s, UNAVAILABLE);
    s.p.n_failures = UINT32_MAX;
    s.p.n_interrupted = UINT32_MAX;
    sleep_to_fetch(&s);
    s.random = UINT64_MAX / 3;
    restart(&s, true, 0);
    assert_in_range(s.p.refresh_at, s.now + SEC(1), s.now + SEC(60));
    assert_true(s.p.refresh_at > s.now + SEC(2)); /* the window of a first failure */
    story_done(&s);
}

/* ---- budgets ---- */

static void budgets_are_not_filled_up(void **state _unused_)
{
    struct actions a;
    struct story s;

    story_init(&s);
    start(&s);
    token_comes(&s, "one", SEC(3600), 0);
    for (unsigned i = 0; i < 3; i++) {
        s.now += SEC(2);
        a = story_step(&s, (struct event){.kind = EVENT_REJECTED, .uid = 33});
        assert_true(a.fetch);
        token_comes(&s, "again", SEC(3600), 0);
    }
    restart(&s, false, SEC(1));
    (void) begins_to_fetch(&s);
    s.now += SEC(1);
    a = story_step(&s, (struct event){.kind = EVENT_REJECTED, .uid = 33});
    assert_int_equal(a.verdict, VERDICT_TOO_OFTEN);
    /* Of another user it is taken. */
    assert_true(story_step(&s, (struct event){.kind = EVENT_REJECTED, .uid = 44}).fetch);
    story_done(&s);
}

/* ---- keys ---- */

static void the_key_that_worked_is_used_again(void **state _unused_)
{
    struct failure f = BLAMES_SUBSCRIPTION;
    struct story s;

    story_init(&s);
    set_key(&s.settings, KEY_SUBSCRIPTION, "a");
    set_key(&s.settings, KEY_SECONDARY_SUBSCRIPTION, "b");
    start(&s);
    assert_true(story_step(&s, (struct event){.kind = EVENT_FAILURE, .failure = &f}).fetch);
    token_comes(&s, "one", SEC(3600), 0);
    usec_t probe_at = s.p.probe_at;
    restart(&s, false, SEC(1));
    assert_true(s.p.choice.is_secondary_subscription && s.p.token_choice.is_secondary_subscription);
    assert_true(s.p.noted_choice.is_secondary_subscription);
    assert_int_equal(s.p.probe_at, probe_at);
    story_done(&s);
}

/* An attempt that was cut off while it tried the other key begins anew with the first. */
static void an_attempt_that_was_cut_off_begins_anew(void **state _unused_)
{
    struct failure f = BLAMES_SUBSCRIPTION;
    struct story s;

    story_init(&s);
    set_key(&s.settings, KEY_SUBSCRIPTION, "a");
    set_key(&s.settings, KEY_SECONDARY_SUBSCRIPTION, "b");
    start(&s);
    assert_true(story_step(&s, (struct event){.kind = EVENT_FAILURE, .failure = &f}).fetch);
    assert_true(s.p.choice.is_secondary_subscription);
    restart(&s, true, 0);
    assert_false(s.p.choice.is_secondary_subscription);
    story_done(&s);
}

/* ---- idleness ---- */

static void idle_in(struct story *s)
{
    story_init(s);
    s->settings.is_preloaded = false;
    assert_false(begins_to_fetch(s));
    assert_int_equal(ask(s, MIN_TTL_DEFAULT), VERDICT_WAIT);
    token_comes(s, "one", SEC(4 * 3600), 0);
    while (!s->p.is_idle)
        assert_false(sleep_to_deadline(s));
}

static void who_sleeps_goes_on_sleeping(void **state _unused_)
{
    struct story s;

    idle_in(&s);
    restart(&s, false, SEC(5));
    assert_false(begins_to_fetch(&s));
    assert_int_equal(profile_state(&s.p, s.now), PROFILE_IDLE);
    assert_int_equal(s.p.refresh_at, USEC_INFINITY);
    assert_int_equal(ask(&s, MIN_TTL_DEFAULT), VERDICT_TOKEN);
    assert_true(s.p.is_fetching);
    story_done(&s);
}

static void who_sleeps_is_woken_by_preload(void **state _unused_)
{
    struct story s;

    idle_in(&s);
    s.settings.is_preloaded = true;
    restart(&s, false, SEC(5));
    (void) begins_to_fetch(&s);
    assert_true(s.p.is_fetching || s.wake_at <= s.now);
    story_done(&s);
}

/* It slept after failures, so that nothing at all was planned. */
static void who_sleeps_after_failures_is_woken_by_preload(void **state _unused_)
{
    struct story s;

    idle_in(&s);
    assert_int_equal(ask(&s, MIN_TTL_DEFAULT), VERDICT_TOKEN);
    fetch_fails(&s, WRONG_KEYS);
    s.now += SEC(5 * 3600);
    assert_false(story_step(&s, (struct event){.kind = EVENT_DEADLINE}).fetch);
    assert_true(s.p.is_idle);
    s.settings.is_preloaded = true;
    restart(&s, false, SEC(5));
    (void) begins_to_fetch(&s);
    assert_true(s.p.is_fetching || s.wake_at <= s.now);
    story_done(&s);
}

static void a_profile_that_is_not_preloaded_any_more_goes_to_sleep(void **state _unused_)
{
    struct story s;

    story_init(&s);
    start(&s);
    token_comes(&s, "one", SEC(3600), 0);
    s.settings.is_preloaded = false;
    restart(&s, false, SEC(3601));
    assert_false(begins_to_fetch(&s));
    s.now = usec_max(s.now, s.wake_at);
    assert_false(story_step(&s, (struct event){.kind = EVENT_DEADLINE}).fetch);
    assert_int_equal(profile_state(&s.p, s.now), PROFILE_IDLE);
    story_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_goes_on_as_it_was),
        cmocka_unit_test(a_token_that_ran_out_meanwhile_is_fetched_anew),
        cmocka_unit_test(a_refresh_that_was_missed_is_made_at_once),
        cmocka_unit_test(a_token_of_replaced_keys_is_left_behind),
        cmocka_unit_test(with_other_keys_only_the_number_goes_on),
        cmocka_unit_test(a_back_off_is_not_shortened),
        cmocka_unit_test(a_long_retry_after_is_kept),
        cmocka_unit_test(interruptions_in_a_row_slow_down),
        cmocka_unit_test(callers_do_not_shorten_the_distance),
        cmocka_unit_test(interrupted_refreshes_come_before_the_token_ends),
        cmocka_unit_test(the_end_of_a_token_does_not_shorten_the_distance),
        cmocka_unit_test(another_client_does_not_inherit_the_distance),
        cmocka_unit_test(what_was_not_sent_costs_no_distance),
        cmocka_unit_test(an_interruption_after_many_failures_is_no_reset),
        cmocka_unit_test(budgets_are_not_filled_up),
        cmocka_unit_test(the_key_that_worked_is_used_again),
        cmocka_unit_test(an_attempt_that_was_cut_off_begins_anew),
        cmocka_unit_test(who_sleeps_goes_on_sleeping),
        cmocka_unit_test(who_sleeps_is_woken_by_preload),
        cmocka_unit_test(who_sleeps_after_failures_is_woken_by_preload),
        cmocka_unit_test(a_profile_that_is_not_preloaded_any_more_goes_to_sleep),
    };
    return cmocka_run_group_tests_name("saved", tests, NULL, NULL);
}
