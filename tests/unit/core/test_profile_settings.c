/* SPDX-License-Identifier: MIT */
/*
 * New settings in every state: the table below has a line for each, with a column for each change, and with
 * the fetch in flight called off where the host does that. The moments are those of states.h.
 */
#include "states.h"

/* What a profile does, and what is left of what it knew. */
struct outcome {
    bool is_listed;
    bool fetch;
    enum profile_state next;
    usec_t wake_at; /* from T0 */
};

#define TO(fetch, next, wake)                                                                                \
    {                                                                                                        \
        true, fetch, PROFILE_##next, wake                                                                    \
    }
#define N_CHANGES (CHANGE_IDENTITY + 1)

/* Nobody waits. The new settings are preloaded, but for the state that only others can come to. */
/* clang-format off */
static const struct outcome outcomes[N_PROFILE_STATES][N_CHANGES] = {
    [PROFILE_EMPTY] = {
        [CHANGE_NONE]     = TO(false, EMPTY,           NEVER),
        [CHANGE_ACCESS]   = TO(false, EMPTY,           NEVER),
        [CHANGE_POLICY]   = TO(true,  FETCHING,        NEVER),
        [CHANGE_KEYS]     = TO(true,  FETCHING,        NEVER),
        [CHANGE_IDENTITY] = TO(true,  FETCHING,        NEVER),
    },
    [PROFILE_FETCHING] = {
        [CHANGE_NONE]     = TO(false, FETCHING,        NEVER),
        [CHANGE_ACCESS]   = TO(false, FETCHING,        NEVER),
        [CHANGE_POLICY]   = TO(false, FETCHING,        NEVER),
        [CHANGE_KEYS]     = TO(true,  FETCHING,        NEVER),
        [CHANGE_IDENTITY] = TO(true,  FETCHING,        NEVER),
    },
    [PROFILE_FRESH] = {
        [CHANGE_NONE]     = TO(false, FRESH,           SEC(1800)),
        [CHANGE_ACCESS]   = TO(false, FRESH,           SEC(1800)),
        [CHANGE_POLICY]   = TO(false, FRESH,           SEC(900)),
        [CHANGE_KEYS]     = TO(true,  REFRESHING,      UNUSABLE),
        [CHANGE_IDENTITY] = TO(true,  FETCHING,        NEVER),
    },
    [PROFILE_REFRESHING] = {
        [CHANGE_NONE]     = TO(false, REFRESHING,      UNUSABLE),
        [CHANGE_ACCESS]   = TO(false, REFRESHING,      UNUSABLE),
        [CHANGE_POLICY]   = TO(false, REFRESHING,      UNUSABLE),
        [CHANGE_KEYS]     = TO(true,  REFRESHING,      UNUSABLE),
        [CHANGE_IDENTITY] = TO(true,  FETCHING,        NEVER),
    },
    [PROFILE_STALE] = {
        [CHANGE_NONE]     = TO(false, STALE,           SEC(1803)),
        [CHANGE_ACCESS]   = TO(false, STALE,           SEC(1803)),
        [CHANGE_POLICY]   = TO(false, STALE,           SEC(1803)),
        [CHANGE_KEYS]     = TO(true,  STALE_RETRYING,  UNUSABLE),
        [CHANGE_IDENTITY] = TO(true,  FETCHING,        NEVER),
    },
    [PROFILE_STALE_RETRYING] = {
        [CHANGE_NONE]     = TO(false, STALE_RETRYING,  UNUSABLE),
        [CHANGE_ACCESS]   = TO(false, STALE_RETRYING,  UNUSABLE),
        [CHANGE_POLICY]   = TO(false, STALE_RETRYING,  UNUSABLE),
        [CHANGE_KEYS]     = TO(true,  STALE_RETRYING,  UNUSABLE),
        [CHANGE_IDENTITY] = TO(true,  FETCHING,        NEVER),
    },
    [PROFILE_FAILED] = {
        [CHANGE_NONE]     = TO(false, FAILED,          SEC(3)),
        [CHANGE_ACCESS]   = TO(false, FAILED,          SEC(3)),
        [CHANGE_POLICY]   = TO(false, FAILED,          SEC(3)),
        [CHANGE_KEYS]     = TO(true,  FAILED_RETRYING, NEVER),
        [CHANGE_IDENTITY] = TO(true,  FETCHING,        NEVER),
    },
    [PROFILE_FAILED_RETRYING] = {
        [CHANGE_NONE]     = TO(false, FAILED_RETRYING, NEVER),
        [CHANGE_ACCESS]   = TO(false, FAILED_RETRYING, NEVER),
        [CHANGE_POLICY]   = TO(false, FAILED_RETRYING, NEVER),
        [CHANGE_KEYS]     = TO(true,  FAILED_RETRYING, NEVER),
        [CHANGE_IDENTITY] = TO(true,  FETCHING,        NEVER),
    },
    [PROFILE_IDLE] = {
        [CHANGE_NONE]     = TO(false, IDLE,            UNUSABLE),
        [CHANGE_ACCESS]   = TO(false, IDLE,            UNUSABLE),
        [CHANGE_POLICY]   = TO(false, IDLE,            UNUSABLE),
        [CHANGE_KEYS]     = TO(false, IDLE,            UNUSABLE),
        [CHANGE_IDENTITY] = TO(false, EMPTY,           NEVER),
    },
    [PROFILE_UNUSABLE] = {
        [CHANGE_NONE]     = TO(false, UNUSABLE,        NEVER),
        [CHANGE_ACCESS]   = TO(false, UNUSABLE,        NEVER),
        [CHANGE_POLICY]   = TO(false, UNUSABLE,        NEVER),
        [CHANGE_KEYS]     = TO(false, UNUSABLE,        NEVER),
        [CHANGE_IDENTITY] = TO(false, UNUSABLE,        NEVER),
    },
};
/* clang-format on */

/* As the host does it: what the change calls for is called off before. */
static struct actions change(struct profile *p, const struct profile_settings *to,
                             enum settings_change change, usec_t at)
{
    struct event event = {.kind = EVENT_SETTINGS, .settings = to, .change = change};

    if (change >= CHANGE_KEYS)
        profile_abort_fetch(p);
    return profile_step(p, &event, T0 + at);
}

static void check_outcome(enum profile_state state, enum settings_change how)
{
    const struct outcome *o = &outcomes[state][how];
    _cleanup_(profile_done) struct profile p;
    usec_t at = set_up(&p, state);
    struct profile_settings to = state == PROFILE_IDLE ? lazy_settings : settings;
    uint64_t generation = p.generation;
    unsigned n_failures = p.n_failures;
    bool is_set = token_is_set(&p.token);

    to.refresh.at_percent = 25;
    assert_true(o->is_listed);
    struct actions actions = change(&p, &to, how, at);
    assert_int_equal(actions.fetch, o->fetch);
    assert_int_equal(profile_state(&p, T0 + at), o->next);
    assert_true(actions.wake_at == (o->wake_at == NEVER ? NEVER : T0 + o->wake_at));
    assert_int_equal(actions.note, NOTE_NONE);
    assert_false(actions.has_ended);
    assert_false(p.is_fetching && p.is_idle);
    if (state == PROFILE_UNUSABLE)
        return;

    /* Only another identity costs the token and what is known of the upstream; nothing goes back a
     * generation. */
    assert_ptr_equal(p.settings, &to);
    assert_int_equal(p.generation, generation);
    assert_int_equal(token_is_set(&p.token), is_set && how != CHANGE_IDENTITY);
    assert_int_equal(p.n_failures, how == CHANGE_IDENTITY ? 0 : n_failures);
    assert_int_equal(p.has_failed_ever, how != CHANGE_IDENTITY && n_failures > 0);
}

static void every_change_in_every_state(void **state _unused_)
{
    for (enum profile_state i = 0; i < N_PROFILE_STATES; i++) {
        for (enum settings_change k = 0; k < N_CHANGES; k++) {
            print_message("%s (%d), %s changes\n", profile_state_name(i), i, settings_change_name(k));
            check_outcome(i, k);
        }
    }
}

/* Of a profile that is not preloaded, changed keys are tried where it is in use or somebody waits. */
static void lazy_profiles_ask_only_in_use(void **state _unused_)
{
    static const struct {
        enum profile_state state;
        bool is_asked_alone, is_asked_for_waiters;
    } cases[] = {
        {PROFILE_EMPTY,           false, true},
        {PROFILE_FETCHING,        false, true},
        {PROFILE_FRESH,           true,  true},
        {PROFILE_REFRESHING,      true,  true},
        {PROFILE_STALE,           true,  true},
        {PROFILE_STALE_RETRYING,  true,  true},
        {PROFILE_FAILED,          true,  true},
        {PROFILE_FAILED_RETRYING, true,  true},
        {PROFILE_IDLE,            false, true},
    };

    for (size_t i = 0; i < 4 * ARRAY_SIZE(cases); i++) {
        _cleanup_(profile_done) struct profile p;
        bool is_wanted = i % 2;
        enum settings_change how = i / 2 % 2 ? CHANGE_IDENTITY : CHANGE_KEYS;
        usec_t at = set_up(&p, cases[i / 4].state);
        struct event event = {
            .kind = EVENT_SETTINGS, .settings = &lazy_settings, .change = how, .is_wanted = is_wanted};
        print_message("%s, %s, wanted %d\n", profile_state_name(cases[i / 4].state),
                      settings_change_name(how), is_wanted);
        profile_abort_fetch(&p);
        struct actions actions = profile_step(&p, &event, T0 + at);
        assert_int_equal(actions.fetch,
                         is_wanted ? cases[i / 4].is_asked_for_waiters : cases[i / 4].is_asked_alone);
        assert_int_equal(p.is_fetching, actions.fetch);
        /* Asked for or not, the first caller is not left standing. */
        struct actions next =
            profile_step(&p, &(struct event){.kind = EVENT_REQUEST, .min_ttl_for = MIN_TTL_DEFAULT}, T0 + at);
        assert_true(p.is_fetching || next.verdict == VERDICT_TOKEN);
    }
}

/* Preload=yes to no and back: no request is made for it while there is a token, and it never stays idle. */
static void preload_goes_and_comes(void **state _unused_)
{
    _cleanup_(profile_done) struct profile p;
    usec_t at = set_up(&p, PROFILE_FRESH);

    assert_false(change(&p, &lazy_settings, CHANGE_POLICY, at).fetch);
    assert_int_equal(profile_state(&p, T0 + at), PROFILE_FRESH);
    /* Nobody has ever asked. */
    assert_int_equal(step(&p, EVENT_DEADLINE, SEC(1800)).note, NOTE_IDLE);
    assert_int_equal(profile_state(&p, T0 + SEC(1800)), PROFILE_IDLE);
    assert_true(change(&p, &settings, CHANGE_POLICY, SEC(1900)).fetch);
    assert_int_equal(profile_state(&p, T0 + SEC(1900)), PROFILE_REFRESHING);
    step_token(&p, SEC(1900), SEC(1901));
    assert_false(change(&p, &lazy_settings, CHANGE_POLICY, SEC(2000)).fetch);
    assert_false(change(&p, &settings, CHANGE_POLICY, SEC(2001)).fetch);
    assert_true(step(&p, EVENT_DEADLINE, SEC(3700)).fetch);
}

/* Another At=: the moment moves, but never before the spacing from now. */
static void another_policy_replans_the_refresh(void **state _unused_)
{
    static const struct {
        unsigned at_percent;
        usec_t at, wake_at;
    } cases[] = {
        {25, SEC(100),  SEC(900) },
        {80, SEC(100),  SEC(2880)},
        {25, SEC(1700), SEC(1701)},
        {99, SEC(100),  SEC(3564)},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_(profile_done) struct profile p;
        struct profile_settings to = settings;
        set_up(&p, PROFILE_FRESH);
        to.refresh.at_percent = cases[i].at_percent;
        assert_int_equal(change(&p, &to, CHANGE_POLICY, cases[i].at).wake_at, T0 + cases[i].wake_at);
        assert_true(step(&p, EVENT_DEADLINE, cases[i].wake_at).fetch);
    }
}

/* A demand and a budget that were planned by the old identity do not bind the new one. */
static void another_identity_begins_with_clean_hands(void **state _unused_)
{
    _cleanup_(profile_done) struct profile p;
    usec_t at = set_up(&p, PROFILE_FRESH);
    struct event report = {.kind = EVENT_REJECTED, .uid = 33};

    for (unsigned i = 0; i < REJECTION_BURST; i++) {
        assert_true(profile_step(&p, &report, T0 + at).fetch);
        step_token(&p, at, at + SEC(1));
        at += SEC(2);
    }
    assert_int_equal(profile_step(&p, &report, T0 + at).verdict, VERDICT_TOO_OFTEN);
    assert_non_null(profile_attempt(&p, 0));
    assert_true(change(&p, &settings, CHANGE_IDENTITY, at).fetch);
    assert_null(profile_attempt(&p, 0));
    step_token(&p, at, at + SEC(1));
    assert_true(profile_step(&p, &report, T0 + at + SEC(2)).fetch);
    assert_int_equal(p.generation, 2 + REJECTION_BURST);
}

/* The settings were repaired: as new, but for the counters. */
static void a_repaired_profile_begins_anew(void **state _unused_)
{
    _cleanup_(profile_done) struct profile p;
    usec_t at = set_up(&p, PROFILE_UNUSABLE);

    p.stats.denied = 7;
    p.generation = 3;
    profile_repair(&p, &settings);
    assert_int_equal(profile_state(&p, T0 + at), PROFILE_EMPTY);
    assert_int_equal(p.stats.denied, 7);
    assert_int_equal(p.generation, 3);
    assert_true(step(&p, EVENT_START, at).fetch);
}

/* A token that ran out unnoticed, before a suspend, is not kept by a reload after it. */
static void a_reload_after_a_suspend_sees_the_expiry(void **state _unused_)
{
    for (enum settings_change how = CHANGE_NONE; how < N_CHANGES; how++) {
        _cleanup_(profile_done) struct profile p;
        set_up(&p, PROFILE_FRESH);
        struct actions actions = change(&p, &settings, how, SEC(90000));
        assert_false(token_is_set(&p.token));
        assert_true(actions.fetch || actions.wake_at <= T0 + SEC(90000));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_change_in_every_state),
        cmocka_unit_test(lazy_profiles_ask_only_in_use),
        cmocka_unit_test(preload_goes_and_comes),
        cmocka_unit_test(another_policy_replans_the_refresh),
        cmocka_unit_test(another_identity_begins_with_clean_hands),
        cmocka_unit_test(a_repaired_profile_begins_anew),
        cmocka_unit_test(a_reload_after_a_suspend_sees_the_expiry),
    };
    return cmocka_run_group_tests_name("profile_settings", tests, NULL, NULL);
}
