/* SPDX-License-Identifier: MIT */
/*
 * Two subscription keys and two client secrets, told against an issuer that takes some of them and blames the
 * others: callers notice nothing as long as one of each kind is good.
 */
#include "story.h"

/* Which keys the issuer takes at the moment. */
struct issuer {
    bool takes_primary, takes_secondary, takes_current, takes_next;
    bool is_down; /* 503 to whatever it would take */
};

#define GOOD_ISSUER                                                                                          \
    ((struct issuer){                                                                                        \
        .takes_primary = true, .takes_secondary = true, .takes_current = true, .takes_next = true})

static void story_init_keys(struct story *s, bool has_secondary, bool has_next)
{
    story_init(s);
    set_key(&s->settings, KEY_CLIENT_SECRET, "current");
    set_key(&s->settings, KEY_SUBSCRIPTION, "primary");
    if (has_secondary)
        set_key(&s->settings, KEY_SECONDARY_SUBSCRIPTION, "secondary");
    if (has_next)
        set_key(&s->settings, KEY_NEXT_CLIENT_SECRET, "next");
}

/* The issuer answers one request; a gateway looks at the subscription key before anybody sees the secret. */
static struct actions answer(struct story *s, const struct issuer *issuer)
{
    struct key_choice c = s->p.choice;
    struct failure failure = UNAVAILABLE;

    if (!(c.is_secondary_subscription ? issuer->takes_secondary : issuer->takes_primary)) {
        failure = BLAMES_SUBSCRIPTION;
    } else if (!issuer->is_down) {
        if (c.is_next_secret ? issuer->takes_next : issuer->takes_current) {
            _cleanup_(token_done) struct token t = make_token("token", s->now, SEC(3600));
            return story_step(s, (struct event){.kind = EVENT_TOKEN, .token = &t});
        }
        failure = BLAMES_SECRET;
    }
    return story_step(s, (struct event){.kind = EVENT_FAILURE, .failure = &failure});
}

/* Answers until the attempt has ended; how many requests it had. The profile is in flight all the time. */
static unsigned run_attempt(struct story *s, const struct issuer *issuer, struct actions *ret_last)
{
    for (unsigned n = 1;; n++) {
        uint64_t n_attempts = s->p.n_attempts;
        assert_true(s->p.is_fetching);
        *ret_last = answer(s, issuer);
        assert_int_equal(ret_last->has_ended, !ret_last->fetch);
        assert_int_equal(s->p.n_attempts, n_attempts + ret_last->has_ended);
        if (ret_last->has_ended)
            return n;
    }
}

static void expect_attempt(struct story *s, const struct issuer *issuer, unsigned n_requests, enum note note)
{
    struct actions last;

    assert_int_equal(run_attempt(s, issuer, &last), n_requests);
    assert_int_equal(last.note, note);
}

/* A table of what the issuer takes: requests of the first attempt, and whether it got a token. */
static void one_good_key_of_each_kind_is_found(void **state _unused_)
{
    for (unsigned i = 0; i < 16; i++) {
        _cleanup_(story_done) struct story s;
        struct issuer issuer = {i & 1, i & 2, i & 4, i & 8, false};
        bool is_good = (i & 3) && (i & 12);
        struct actions last;
        print_message("case %u\n", i);
        story_init_keys(&s, true, true);
        start(&s);
        unsigned n = run_attempt(&s, &issuer, &last);
        unsigned n_expected = 1 + !issuer.takes_primary;
        if (i & 3)
            n_expected += !issuer.takes_current;
        assert_int_equal(n, n_expected);
        assert_int_equal(last.note, is_good ? NOTE_FETCHED : NOTE_FAILED);
        assert_int_equal(last.has_changed_keys, is_good && !(issuer.takes_primary && issuer.takes_current));
        assert_int_equal(s.p.n_failures, !is_good);
        assert_int_equal(s.n_fetches, n);
        if (is_good) {
            assert_int_equal(s.p.token_choice.is_secondary_subscription, !issuer.takes_primary);
            assert_int_equal(s.p.token_choice.is_next_secret, !issuer.takes_current);
        } else {
            assert_false(s.p.choice.is_secondary_subscription || s.p.choice.is_next_secret);
        }
        /* Each request that failed is counted, and the attempt is remembered once, as what it came to. */
        assert_int_equal(s.p.stats.upstream_ok + s.p.stats.upstream_failed[REASON_SUBSCRIPTION_KEY] +
                             s.p.stats.upstream_failed[REASON_INVALID_KEYS],
                         n);
        assert_int_equal(profile_attempt(&s.p, 0)->is_token, is_good);
    }
}

static void without_a_second_key_there_is_one_request(void **state _unused_)
{
    const struct issuer no_subscription = {.takes_current = true}, no_secret = {.takes_primary = true};

    for (unsigned i = 0; i < 2; i++) {
        _cleanup_(story_done) struct story s;
        story_init_keys(&s, i, !i);
        start(&s);
        expect_attempt(&s, i ? &no_secret : &no_subscription, 1, NOTE_FAILED);
    }
}

/* What blames no key sets off no other, though there is one. */
static void other_failures_try_no_other_key(void **state _unused_)
{
    for (enum failure_reason i = 0; i < N_FAILURE_REASONS; i++) {
        _cleanup_(story_done) struct story s;
        struct failure f = {.class = FAILURE_PERMANENT, .reason = i, .http_status = 403};
        bool is_blame = i == REASON_INVALID_KEYS || i == REASON_SUBSCRIPTION_KEY;
        story_init_keys(&s, true, true);
        start(&s);
        struct actions a = story_step(&s, (struct event){.kind = EVENT_FAILURE, .failure = &f});
        assert_int_equal(a.fetch, is_blame);
        assert_int_equal(a.has_ended, !is_blame);
        assert_int_equal(s.p.n_failures, !is_blame);
    }
}

/* Callers are served from the token while the keys are changed over, and hear of no failure. */
static void a_fallback_in_a_refresh_is_seen_by_nobody(void **state _unused_)
{
    _cleanup_(story_done) struct story s;
    struct issuer issuer = GOOD_ISSUER;

    story_init_keys(&s, true, false);
    start(&s);
    expect_attempt(&s, &issuer, 1, NOTE_FETCHED);
    issuer.takes_primary = false;
    sleep_to_fetch(&s);
    assert_true(answer(&s, &issuer).fetch);
    assert_int_equal(profile_state(&s.p, s.now), PROFILE_REFRESHING);
    assert_int_equal(ask(&s, MIN_TTL_DEFAULT), VERDICT_TOKEN);
    assert_false(s.p.token_choice.is_secondary_subscription);
    /* Whoever forces, reports or times out in the middle does not start another. */
    assert_false(story_step(&s, (struct event){.kind = EVENT_REFRESH}).fetch);
    assert_false(story_step(&s, (struct event){.kind = EVENT_REJECTED}).fetch);
    assert_false(story_step(&s, (struct event){.kind = EVENT_DEADLINE}).fetch);
    struct actions end = answer(&s, &issuer);
    assert_int_equal(end.note, NOTE_FETCHED);
    assert_true(end.has_changed_keys);
    assert_true(s.p.token_choice.is_secondary_subscription);
    assert_int_equal(s.p.n_failures, 0);
}

/* The secondary key stays for an hour, in which the primary one is not asked with once. */
static void the_primary_key_is_probed_after_an_hour(void **state _unused_)
{
    _cleanup_(story_done) struct story s;
    struct issuer issuer = GOOD_ISSUER;
    struct actions last;

    story_init_keys(&s, true, false);
    issuer.takes_primary = false;
    start(&s);
    expect_attempt(&s, &issuer, 2, NOTE_FETCHED);
    assert_int_equal(s.p.probe_at, T0 + KEY_PROBE_FOR);
    /* 1800 s: too early. 3600 s: probed, blamed. 5400 s: too early. 7200 s: probed, and good again. */
    for (unsigned i = 1; i <= 3; i++) {
        sleep_to_fetch(&s);
        assert_int_equal(s.now, T0 + i * SEC(1800));
        assert_int_equal(run_attempt(&s, &issuer, &last), i == 2 ? 2 : 1);
        assert_false(last.has_changed_keys);
        assert_true(s.p.token_choice.is_secondary_subscription);
    }
    issuer.takes_primary = true;
    sleep_to_fetch(&s);
    assert_int_equal(run_attempt(&s, &issuer, &last), 1);
    assert_true(last.has_changed_keys);
    assert_false(s.p.token_choice.is_secondary_subscription);
    sleep_to_fetch(&s);
    assert_false(s.p.choice.is_secondary_subscription);
}

/* While the issuer is down, the probe is not made again with each retry: the key that was in use is. */
static void a_probe_that_comes_to_nothing_is_not_repeated(void **state _unused_)
{
    _cleanup_(story_done) struct story s;
    struct issuer issuer = GOOD_ISSUER;
    struct actions last;
    unsigned n_primary = 0;

    story_init_keys(&s, true, false);
    issuer.takes_primary = false;
    start(&s);
    expect_attempt(&s, &issuer, 2, NOTE_FETCHED);
    sleep_to_fetch(&s);
    expect_attempt(&s, &issuer, 1, NOTE_FETCHED);
    issuer.is_down = true;
    sleep_to_fetch(&s);
    assert_int_equal(s.now, T0 + KEY_PROBE_FOR);
    while (s.now < T0 + 2 * KEY_PROBE_FOR) {
        n_primary += !s.p.choice.is_secondary_subscription;
        assert_in_range(run_attempt(&s, &issuer, &last), 1, 2);
        sleep_to_fetch(&s);
    }
    assert_int_equal(n_primary, 1);
}

static void the_secondary_key_is_left_when_it_is_blamed(void **state _unused_)
{
    _cleanup_(story_done) struct story s;
    struct issuer issuer = GOOD_ISSUER;

    story_init_keys(&s, true, false);
    issuer.takes_primary = false;
    start(&s);
    expect_attempt(&s, &issuer, 2, NOTE_FETCHED);
    issuer.takes_primary = true;
    issuer.takes_secondary = false;
    sleep_to_fetch(&s);
    assert_true(s.p.choice.is_secondary_subscription);
    expect_attempt(&s, &issuer, 2, NOTE_FETCHED);
    assert_false(s.p.token_choice.is_secondary_subscription);
}

/* Both dead: two requests an attempt, and the back-off counts attempts, not requests. */
static void both_keys_blamed_is_one_failure(void **state _unused_)
{
    _cleanup_(story_done) struct story s;
    struct issuer issuer = {.takes_current = true, .takes_next = true};
    struct actions last;

    story_init_keys(&s, true, true);
    start(&s);
    for (unsigned i = 1; i <= 5; i++) {
        assert_int_equal(run_attempt(&s, &issuer, &last), 2);
        assert_int_equal(s.p.n_failures, i);
        assert_int_equal(s.p.failure.reason, REASON_SUBSCRIPTION_KEY);
        assert_true(s.wake_at >= s.now + SEC(1));
        assert_int_equal(ask(&s, MIN_TTL_DEFAULT), VERDICT_REFUSED);
        sleep_to_fetch(&s);
        assert_false(s.p.choice.is_secondary_subscription);
    }
    /* The portal's other key comes alive. */
    issuer.takes_secondary = true;
    expect_attempt(&s, &issuer, 2, NOTE_RECOVERED);
}

/* The other key's request meets an outage: a transient failure, and the next attempt begins as this one. */
static void a_transient_failure_in_the_middle_ends_the_attempt(void **state _unused_)
{
    _cleanup_(story_done) struct story s;
    struct issuer issuer = GOOD_ISSUER;
    struct actions last;

    story_init_keys(&s, true, true);
    issuer.takes_primary = false;
    issuer.is_down = true;
    start(&s);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(run_attempt(&s, &issuer, &last), 2);
        assert_int_equal(s.p.failure.class, FAILURE_TRANSIENT);
        sleep_to_fetch(&s);
        assert_false(s.p.choice.is_secondary_subscription);
    }
    issuer.is_down = false;
    expect_attempt(&s, &issuer, 2, NOTE_RECOVERED);
    assert_true(s.p.token_choice.is_secondary_subscription);
}

/* A token that comes too late to be of use is a failure, whatever key it was got with. */
static void a_late_token_proves_no_key(void **state _unused_)
{
    _cleanup_(story_done) struct story s;
    const struct issuer blames = {.takes_current = true};

    story_init_keys(&s, true, false);
    start(&s);
    assert_true(answer(&s, &blames).fetch);
    s.now += SEC(15);
    token_comes(&s, "late", SEC(16), SEC(15));
    assert_int_equal(s.p.failure.reason, REASON_EXPIRED_ON_ARRIVAL);
    assert_false(s.p.choice.is_secondary_subscription);
    assert_false(s.p.token_choice.is_secondary_subscription);
}

/* ---- rotating a secret ---- */

/* Next comes in by a reload, is proven, and becomes the current one by another; the old one goes in between.
 */
static void a_secret_is_rotated_without_an_outage(void **state _unused_)
{
    _cleanup_(story_done) struct story s;
    struct issuer issuer = GOOD_ISSUER;
    struct event reload = {.kind = EVENT_SETTINGS, .settings = &s.settings, .change = CHANGE_KEYS};

    story_init_keys(&s, false, false);
    start(&s);
    expect_attempt(&s, &issuer, 1, NOTE_FETCHED);
    set_key(&s.settings, KEY_NEXT_CLIENT_SECRET, "next");
    s.now += SEC(10);
    assert_true(story_step(&s, reload).fetch);
    assert_true(s.p.choice.is_next_secret);
    assert_int_equal(ask(&s, MIN_TTL_DEFAULT), VERDICT_TOKEN);
    expect_attempt(&s, &issuer, 1, NOTE_FETCHED);
    assert_true(s.p.token_choice.is_next_secret);
    issuer.takes_current = false;
    sleep_to_fetch(&s);
    expect_attempt(&s, &issuer, 1, NOTE_FETCHED);

    set_key(&s.settings, KEY_CLIENT_SECRET, "next");
    secret_done(&s.settings.keys[KEY_NEXT_CLIENT_SECRET]);
    issuer.takes_current = true;
    s.now += SEC(10);
    assert_true(story_step(&s, reload).fetch);
    assert_false(s.p.choice.is_next_secret);
    expect_attempt(&s, &issuer, 1, NOTE_FETCHED);
    assert_int_equal(s.p.stats.upstream_failed[REASON_INVALID_KEYS], 0);
}

/* The next secret is wrong, as with a slip of the pen: the current one goes on, in the same attempt. */
static void a_wrong_next_secret_costs_one_request(void **state _unused_)
{
    _cleanup_(story_done) struct story s;
    struct issuer issuer = GOOD_ISSUER;
    struct event reload = {.kind = EVENT_SETTINGS, .settings = &s.settings, .change = CHANGE_KEYS};

    story_init_keys(&s, false, false);
    start(&s);
    expect_attempt(&s, &issuer, 1, NOTE_FETCHED);
    set_key(&s.settings, KEY_NEXT_CLIENT_SECRET, "nxet");
    issuer.takes_next = false;
    s.now += SEC(10);
    assert_true(story_step(&s, reload).fetch);
    expect_attempt(&s, &issuer, 2, NOTE_FETCHED);
    assert_false(s.p.token_choice.is_next_secret);
    /* The next refresh begins with what works. */
    sleep_to_fetch(&s);
    expect_attempt(&s, &issuer, 1, NOTE_FETCHED);
}

/* A reload takes the key away that the token was got with: until there is a new token, it goes on with it. */
static void a_token_keeps_the_keys_it_came_with(void **state _unused_)
{
    _cleanup_(story_done) struct story s;
    struct issuer issuer = GOOD_ISSUER;
    struct profile_settings newer;
    struct event reload = {.kind = EVENT_SETTINGS, .settings = &newer, .change = CHANGE_KEYS};

    story_init_keys(&s, true, true);
    issuer.takes_primary = issuer.takes_current = false;
    start(&s);
    expect_attempt(&s, &issuer, 3, NOTE_FETCHED);
    assert_true(s.p.token_choice.is_secondary_subscription && s.p.token_choice.is_next_secret);
    assert_true(profile_has_fallen_back(&s.p));
    newer = s.settings;
    newer.keys[KEY_SECONDARY_SUBSCRIPTION] = newer.keys[KEY_NEXT_CLIENT_SECRET] = SECRET_INIT;
    assert_true(story_step(&s, reload).fetch);
    assert_ptr_equal(s.p.token_settings, &s.settings);
    assert_true(s.p.token_choice.is_secondary_subscription && s.p.token_choice.is_next_secret);
    issuer.takes_primary = issuer.takes_current = true;
    expect_attempt(&s, &issuer, 1, NOTE_FETCHED);
    assert_ptr_equal(s.p.token_settings, &newer);
    assert_false(s.p.token_choice.is_secondary_subscription || s.p.token_choice.is_next_secret);
    assert_false(profile_has_fallen_back(&s.p));
}

/* Called off between two requests of an attempt: as if it had not been made. */
static void a_fallback_can_be_called_off(void **state _unused_)
{
    _cleanup_(story_done) struct story s;
    const struct issuer blames = {.takes_current = true};

    story_init_keys(&s, true, false);
    start(&s);
    assert_true(answer(&s, &blames).fetch);
    profile_abort_fetch(&s.p);
    profile_abort_fetch(&s.p);
    assert_false(s.p.is_fetching);
    assert_false(s.p.choice.is_secondary_subscription);
    assert_int_equal(s.p.n_failures, 0);
    assert_int_equal(s.p.n_attempts, 0);
    assert_int_equal(profile_state(&s.p, s.now), PROFILE_EMPTY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_good_key_of_each_kind_is_found),
        cmocka_unit_test(without_a_second_key_there_is_one_request),
        cmocka_unit_test(other_failures_try_no_other_key),
        cmocka_unit_test(a_fallback_in_a_refresh_is_seen_by_nobody),
        cmocka_unit_test(the_primary_key_is_probed_after_an_hour),
        cmocka_unit_test(a_probe_that_comes_to_nothing_is_not_repeated),
        cmocka_unit_test(the_secondary_key_is_left_when_it_is_blamed),
        cmocka_unit_test(both_keys_blamed_is_one_failure),
        cmocka_unit_test(a_transient_failure_in_the_middle_ends_the_attempt),
        cmocka_unit_test(a_late_token_proves_no_key),
        cmocka_unit_test(a_secret_is_rotated_without_an_outage),
        cmocka_unit_test(a_wrong_next_secret_costs_one_request),
        cmocka_unit_test(a_token_keeps_the_keys_it_came_with),
        cmocka_unit_test(a_fallback_can_be_called_off),
    };
    return cmocka_run_group_tests_name("profile_keys", tests, NULL, NULL);
}
