/* SPDX-License-Identifier: MIT */
/*
 * Every state on every event: the table below has one line a cell, and says all that may come of it. A line
 * that is missing fails, so a new state or event cannot be forgotten.
 *
 * The moments: a token of an hour is asked for at T0, and there a second later; refreshing it is due at 1800
 * s; it is no longer handed out by default behind 3570 s.
 */
#include "states.h"

/* ---- the table ---- */

struct cell {
    bool is_listed;
    bool fetch;
    bool has_ended;
    enum verdict verdict;
    enum note note;
    enum profile_state next;
    usec_t wake_at; /* from T0 */
};

#define CELL(fetch, ended, verdict, note, next, wake)                                                        \
    {                                                                                                        \
        true, fetch, ended, VERDICT_##verdict, NOTE_##note, PROFILE_##next, wake                             \
    }

/* TOKEN: sent a second before, an hour long. FAILURE: a 503, retried after RetryMin. REQUEST: no min_ttl.
 * REJECTED: the first report. SETTINGS: the same ones (test_profile_settings.c has the changes). */
/* clang-format off */
static const struct cell cells[N_PROFILE_STATES][N_EVENT_KINDS] = {
    [PROFILE_EMPTY] = {
        [EVENT_START]    = CELL(true,  false, NONE,    NONE,           FETCHING,        NEVER),
        [EVENT_REQUEST]  = CELL(true,  false, WAIT,    NONE,           FETCHING,        NEVER),
        [EVENT_DEADLINE] = CELL(true,  false, NONE,    NONE,           FETCHING,        NEVER),
        [EVENT_REFRESH]  = CELL(true,  false, WAIT,    NONE,           FETCHING,        NEVER),
        [EVENT_REJECTED] = CELL(true,  false, WAIT,    NONE,           FETCHING,        NEVER),
        [EVENT_TOKEN]    = CELL(false, false, NONE,    NONE,           EMPTY,           NEVER),
        [EVENT_FAILURE]  = CELL(false, false, NONE,    NONE,           EMPTY,           NEVER),
        [EVENT_SETTINGS] = CELL(false, false, NONE,    NONE,           EMPTY,           NEVER),
    },
    [PROFILE_FETCHING] = {
        [EVENT_START]    = CELL(false, false, NONE,    NONE,           FETCHING,        NEVER),
        [EVENT_REQUEST]  = CELL(false, false, WAIT,    NONE,           FETCHING,        NEVER),
        [EVENT_DEADLINE] = CELL(false, false, NONE,    NONE,           FETCHING,        NEVER),
        [EVENT_REFRESH]  = CELL(false, false, WAIT,    NONE,           FETCHING,        NEVER),
        [EVENT_REJECTED] = CELL(false, false, WAIT,    NONE,           FETCHING,        NEVER),
        [EVENT_TOKEN]    = CELL(false, true,  NONE,    FETCHED,        FRESH,           SEC(1800)),
        [EVENT_FAILURE]  = CELL(false, true,  NONE,    FAILED,         FAILED,          SEC(2)),
        [EVENT_SETTINGS] = CELL(false, false, NONE,    NONE,           FETCHING,        NEVER),
    },
    [PROFILE_FRESH] = {
        [EVENT_START]    = CELL(false, false, NONE,    NONE,           FRESH,           SEC(1800)),
        [EVENT_REQUEST]  = CELL(false, false, TOKEN,   NONE,           FRESH,           SEC(1800)),
        [EVENT_DEADLINE] = CELL(false, false, NONE,    NONE,           FRESH,           SEC(1800)),
        [EVENT_REFRESH]  = CELL(true,  false, WAIT,    NONE,           REFRESHING,      UNUSABLE),
        [EVENT_REJECTED] = CELL(true,  false, WAIT,    NONE,           REFRESHING,      UNUSABLE),
        [EVENT_TOKEN]    = CELL(false, false, NONE,    NONE,           FRESH,           SEC(1800)),
        [EVENT_FAILURE]  = CELL(false, false, NONE,    NONE,           FRESH,           SEC(1800)),
        [EVENT_SETTINGS] = CELL(false, false, NONE,    NONE,           FRESH,           SEC(1800)),
    },
    [PROFILE_REFRESHING] = {
        [EVENT_START]    = CELL(false, false, NONE,    NONE,           REFRESHING,      UNUSABLE),
        [EVENT_REQUEST]  = CELL(false, false, TOKEN,   NONE,           REFRESHING,      UNUSABLE),
        [EVENT_DEADLINE] = CELL(false, false, NONE,    NONE,           REFRESHING,      UNUSABLE),
        [EVENT_REFRESH]  = CELL(false, false, WAIT,    NONE,           REFRESHING,      UNUSABLE),
        [EVENT_REJECTED] = CELL(false, false, WAIT,    NONE,           REFRESHING,      UNUSABLE),
        [EVENT_TOKEN]    = CELL(false, true,  NONE,    FETCHED,        FRESH,           SEC(3600)),
        [EVENT_FAILURE]  = CELL(false, true,  NONE,    REFRESH_FAILED, STALE,           SEC(1802)),
        [EVENT_SETTINGS] = CELL(false, false, NONE,    NONE,           REFRESHING,      UNUSABLE),
    },
    [PROFILE_STALE] = {
        [EVENT_START]    = CELL(false, false, NONE,    NONE,           STALE,           SEC(1803)),
        [EVENT_REQUEST]  = CELL(false, false, TOKEN,   NONE,           STALE,           SEC(1803)),
        [EVENT_DEADLINE] = CELL(false, false, NONE,    NONE,           STALE,           SEC(1803)),
        [EVENT_REFRESH]  = CELL(true,  false, WAIT,    NONE,           STALE_RETRYING,  UNUSABLE),
        [EVENT_REJECTED] = CELL(false, false, WAIT,    NONE,           STALE,           SEC(1803)),
        [EVENT_TOKEN]    = CELL(false, false, NONE,    NONE,           STALE,           SEC(1803)),
        [EVENT_FAILURE]  = CELL(false, false, NONE,    NONE,           STALE,           SEC(1803)),
        [EVENT_SETTINGS] = CELL(false, false, NONE,    NONE,           STALE,           SEC(1803)),
    },
    [PROFILE_STALE_RETRYING] = {
        [EVENT_START]    = CELL(false, false, NONE,    NONE,           STALE_RETRYING,  UNUSABLE),
        [EVENT_REQUEST]  = CELL(false, false, TOKEN,   NONE,           STALE_RETRYING,  UNUSABLE),
        [EVENT_DEADLINE] = CELL(false, false, NONE,    NONE,           STALE_RETRYING,  UNUSABLE),
        [EVENT_REFRESH]  = CELL(false, false, WAIT,    NONE,           STALE_RETRYING,  UNUSABLE),
        [EVENT_REJECTED] = CELL(false, false, WAIT,    NONE,           STALE_RETRYING,  UNUSABLE),
        [EVENT_TOKEN]    = CELL(false, true,  NONE,    RECOVERED,      FRESH,           SEC(3603)),
        [EVENT_FAILURE]  = CELL(false, true,  NONE,    REFRESH_FAILED, STALE,           SEC(1805)),
        [EVENT_SETTINGS] = CELL(false, false, NONE,    NONE,           STALE_RETRYING,  UNUSABLE),
    },
    [PROFILE_FAILED] = {
        [EVENT_START]    = CELL(false, false, NONE,    NONE,           FAILED,          SEC(3)),
        [EVENT_REQUEST]  = CELL(false, false, WAIT,    NONE,           FAILED,          SEC(3)),
        [EVENT_DEADLINE] = CELL(false, false, NONE,    NONE,           FAILED,          SEC(3)),
        [EVENT_REFRESH]  = CELL(true,  false, WAIT,    NONE,           FAILED_RETRYING, NEVER),
        [EVENT_REJECTED] = CELL(false, false, WAIT,    NONE,           FAILED,          SEC(3)),
        [EVENT_TOKEN]    = CELL(false, false, NONE,    NONE,           FAILED,          SEC(3)),
        [EVENT_FAILURE]  = CELL(false, false, NONE,    NONE,           FAILED,          SEC(3)),
        [EVENT_SETTINGS] = CELL(false, false, NONE,    NONE,           FAILED,          SEC(3)),
    },
    [PROFILE_FAILED_RETRYING] = {
        [EVENT_START]    = CELL(false, false, NONE,    NONE,           FAILED_RETRYING, NEVER),
        [EVENT_REQUEST]  = CELL(false, false, WAIT,    NONE,           FAILED_RETRYING, NEVER),
        [EVENT_DEADLINE] = CELL(false, false, NONE,    NONE,           FAILED_RETRYING, NEVER),
        [EVENT_REFRESH]  = CELL(false, false, WAIT,    NONE,           FAILED_RETRYING, NEVER),
        [EVENT_REJECTED] = CELL(false, false, WAIT,    NONE,           FAILED_RETRYING, NEVER),
        [EVENT_TOKEN]    = CELL(false, true,  NONE,    RECOVERED,      FRESH,           SEC(1803)),
        [EVENT_FAILURE]  = CELL(false, true,  NONE,    FAILED,         FAILED,          SEC(5)),
        [EVENT_SETTINGS] = CELL(false, false, NONE,    NONE,           FAILED_RETRYING, NEVER),
    },
    [PROFILE_IDLE] = {
        [EVENT_START]    = CELL(false, false, NONE,    NONE,           IDLE,            UNUSABLE),
        [EVENT_REQUEST]  = CELL(true,  false, TOKEN,   NONE,           REFRESHING,      UNUSABLE),
        [EVENT_DEADLINE] = CELL(false, false, NONE,    NONE,           IDLE,            UNUSABLE),
        [EVENT_REFRESH]  = CELL(true,  false, WAIT,    NONE,           REFRESHING,      UNUSABLE),
        [EVENT_REJECTED] = CELL(true,  false, WAIT,    NONE,           REFRESHING,      UNUSABLE),
        [EVENT_TOKEN]    = CELL(false, false, NONE,    NONE,           IDLE,            UNUSABLE),
        [EVENT_FAILURE]  = CELL(false, false, NONE,    NONE,           IDLE,            UNUSABLE),
        [EVENT_SETTINGS] = CELL(false, false, NONE,    NONE,           IDLE,            UNUSABLE),
    },
    [PROFILE_UNUSABLE] = {
        [EVENT_START]    = CELL(false, false, NONE,    NONE,           UNUSABLE,        NEVER),
        [EVENT_REQUEST]  = CELL(false, false, REFUSED, NONE,           UNUSABLE,        NEVER),
        [EVENT_DEADLINE] = CELL(false, false, NONE,    NONE,           UNUSABLE,        NEVER),
        [EVENT_REFRESH]  = CELL(false, false, REFUSED, NONE,           UNUSABLE,        NEVER),
        [EVENT_REJECTED] = CELL(false, false, REFUSED, NONE,           UNUSABLE,        NEVER),
        [EVENT_TOKEN]    = CELL(false, false, NONE,    NONE,           UNUSABLE,        NEVER),
        [EVENT_FAILURE]  = CELL(false, false, NONE,    NONE,           UNUSABLE,        NEVER),
        [EVENT_SETTINGS] = CELL(false, false, NONE,    NONE,           UNUSABLE,        NEVER),
    },
};
/* clang-format on */

static void check_cell(enum profile_state state, enum event_kind kind)
{
    const struct cell *cell = &cells[state][kind];
    _cleanup_(profile_done) struct profile p;
    usec_t at = set_up(&p, state);
    _cleanup_(token_done) struct token token = make_token("another", T0 + at - SEC(1), LIFE);
    struct failure failure = UNAVAILABLE;
    struct event event = {.kind = kind, .min_ttl_for = MIN_TTL_DEFAULT, .token = &token, .failure = &failure};
    event.settings = p.settings;
    uint64_t generation = p.generation;
    unsigned n_failures = p.n_failures;

    assert_true(cell->is_listed);
    assert_int_equal(profile_state(&p, T0 + at), state);
    struct actions actions = profile_step(&p, &event, T0 + at);
    assert_int_equal(actions.fetch, cell->fetch);
    assert_int_equal(actions.has_ended, cell->has_ended);
    assert_int_equal(actions.verdict, cell->verdict);
    assert_int_equal(actions.note, cell->note);
    assert_int_equal(profile_state(&p, T0 + at), cell->next);
    assert_true(actions.wake_at == (cell->wake_at == NEVER ? NEVER : T0 + cell->wake_at));

    /* A token is taken, and counted, only where one was asked for; and only a failure counts as one. */
    bool is_taken = kind == EVENT_TOKEN && cell->has_ended;
    bool is_failure = kind == EVENT_FAILURE && cell->has_ended;
    assert_int_equal(token_is_set(&token), !is_taken);
    assert_int_equal(p.generation, generation + is_taken);
    assert_int_equal(p.n_failures, is_taken ? 0 : n_failures + is_failure);
}

static void every_cell(void **state _unused_)
{
    for (enum profile_state i = 0; i < N_PROFILE_STATES; i++) {
        for (enum event_kind k = 0; k < N_EVENT_KINDS; k++) {
            print_message("%s (%d) on event %d\n", profile_state_name(i), i, k);
            check_cell(i, k);
        }
    }
}

/* ---- cells with more than one outcome ---- */

static void deadlines_that_are_due(void **state _unused_)
{
    static const struct {
        enum profile_state state;
        usec_t at;
        enum profile_state next;
    } cases[] = {
        {PROFILE_FRESH,  SEC(1800), PROFILE_REFRESHING     },
        {PROFILE_STALE,  SEC(1803), PROFILE_STALE_RETRYING },
        {PROFILE_FAILED, SEC(3),    PROFILE_FAILED_RETRYING},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_(profile_done) struct profile p;
        set_up(&p, cases[i].state);
        assert_false(step(&p, EVENT_DEADLINE, cases[i].at - 1).fetch);
        assert_true(step(&p, EVENT_DEADLINE, cases[i].at).fetch);
        assert_int_equal(profile_state(&p, T0 + cases[i].at), cases[i].next);
        assert_false(step(&p, EVENT_DEADLINE, cases[i].at).fetch);
    }
}

static enum verdict request(struct profile *p, usec_t min_ttl_for, usec_t at, bool *ret_fetch)
{
    struct actions a =
        profile_step(p, &(struct event){.kind = EVENT_REQUEST, .min_ttl_for = min_ttl_for}, T0 + at);
    *ret_fetch = a.fetch;
    return a.verdict;
}

/* A caller that names a min_ttl, in each state. The token had 3599 s left when it came. */
static void requests_with_a_min_ttl(void **state _unused_)
{
    static const struct {
        enum profile_state state;
        usec_t at, min_ttl_for;
        enum verdict verdict;
        bool fetch;
    } cases[] = {
  /* Nothing here yet: nobody knows how long the upstream's tokens live. */
        {PROFILE_EMPTY,           SEC(0),    SEC(99999),      VERDICT_WAIT,     true },
        {PROFILE_FETCHING,        SEC(1),    SEC(99999),      VERDICT_WAIT,     false},
        {PROFILE_FRESH,           SEC(100),  0,               VERDICT_TOKEN,    false},
        {PROFILE_FRESH,           SEC(100),  SEC(3500),       VERDICT_TOKEN,    false},
        {PROFILE_FRESH,           SEC(100),  SEC(3500) + 1,   VERDICT_WAIT,     true },
        {PROFILE_FRESH,           SEC(100),  SEC(3599),       VERDICT_WAIT,     true },
        {PROFILE_FRESH,           SEC(100),  SEC(3599) + 1,   VERDICT_TOO_LONG, false},
        {PROFILE_REFRESHING,      SEC(1801), SEC(1799),       VERDICT_TOKEN,    false},
        {PROFILE_REFRESHING,      SEC(1801), SEC(1800),       VERDICT_WAIT,     false},
        {PROFILE_REFRESHING,      SEC(1801), SEC(3600),       VERDICT_TOO_LONG, false},
 /* In the last 30 s only one who asks for little gets it. */
        {PROFILE_REFRESHING,      SEC(3590), SEC(10),         VERDICT_TOKEN,    false},
        {PROFILE_REFRESHING,      SEC(3590), SEC(11),         VERDICT_WAIT,     false},
        {PROFILE_FRESH,           SEC(3590), SEC(10),         VERDICT_TOKEN,    false},
        {PROFILE_FRESH,           SEC(3590), SEC(11),         VERDICT_WAIT,     true },
        {PROFILE_FRESH,           SEC(3590), SEC(3600),       VERDICT_TOO_LONG, false},
        {PROFILE_FRESH,           SEC(3600), 0,               VERDICT_WAIT,     true },
        {PROFILE_STALE,           SEC(1802), SEC(1798),       VERDICT_TOKEN,    false},
        {PROFILE_STALE,           SEC(1802), SEC(1799),       VERDICT_WAIT,     false},
        {PROFILE_STALE,           SEC(1803), SEC(1799),       VERDICT_WAIT,     true },
        {PROFILE_STALE,           SEC(1802), SEC(3600),       VERDICT_TOO_LONG, false},
        {PROFILE_STALE_RETRYING,  SEC(1804), SEC(1796),       VERDICT_TOKEN,    false},
        {PROFILE_STALE_RETRYING,  SEC(1804), SEC(1797),       VERDICT_WAIT,     false},
        {PROFILE_STALE_RETRYING,  SEC(3590), 0,               VERDICT_TOKEN,    false},
        {PROFILE_FAILED,          SEC(2),    0,               VERDICT_WAIT,     false},
        {PROFILE_FAILED,          SEC(3),    0,               VERDICT_WAIT,     true },
        {PROFILE_FAILED_RETRYING, SEC(4),    0,               VERDICT_WAIT,     false},
 /* Whatever it asks for, an idle profile wakes. */
        {PROFILE_IDLE,            SEC(1801), SEC(1799),       VERDICT_TOKEN,    true },
        {PROFILE_IDLE,            SEC(1801), SEC(1800),       VERDICT_WAIT,     true },
        {PROFILE_IDLE,            SEC(1801), SEC(3600),       VERDICT_TOO_LONG, true },
        {PROFILE_IDLE,            SEC(3590), MIN_TTL_DEFAULT, VERDICT_WAIT,     true },
        {PROFILE_IDLE,            SEC(3601), 0,               VERDICT_WAIT,     true },
        {PROFILE_UNUSABLE,        SEC(1),    0,               VERDICT_REFUSED,  false},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_(profile_done) struct profile p;
        bool fetch;
        print_message("case %zu\n", i);
        set_up(&p, cases[i].state);
        assert_int_equal(request(&p, cases[i].min_ttl_for, cases[i].at, &fetch), cases[i].verdict);
        assert_int_equal(fetch, cases[i].fetch);
    }
}

/* With keys that are refused nobody waits for the next probe, nor sets off another; the token that is left is
 * given. */
static void requests_while_keys_are_refused(void **state _unused_)
{
    _cleanup_(profile_done) struct profile p, q;
    bool fetch;

    set_up(&p, PROFILE_FETCHING);
    step_failure(&p, WRONG_KEYS, SEC(1));
    assert_int_equal(request(&p, MIN_TTL_DEFAULT, SEC(2), &fetch), VERDICT_REFUSED);
    assert_false(fetch);
    assert_int_equal(profile_next_attempt_at(&p), T0 + SEC(4));
    assert_int_equal(request(&p, MIN_TTL_DEFAULT, SEC(4), &fetch), VERDICT_WAIT);
    assert_true(fetch);

    set_up(&q, PROFILE_REFRESHING);
    step_failure(&q, WRONG_KEYS, SEC(1801));
    assert_int_equal(request(&q, MIN_TTL_DEFAULT, SEC(1802), &fetch), VERDICT_TOKEN);
    assert_int_equal(request(&q, SEC(2000), SEC(1802), &fetch), VERDICT_REFUSED);
    assert_false(fetch);
}

/* The token's last 30 s after failures: FAILED, but a caller who asks for little is served. */
static void the_rest_of_a_token_is_served_while_failed(void **state _unused_)
{
    _cleanup_(profile_done) struct profile p;
    bool fetch;

    set_up(&p, PROFILE_STALE_RETRYING);
    step_failure(&p, RATE_LIMITED(60), SEC(3575));
    assert_int_equal(profile_state(&p, T0 + SEC(3580)), PROFILE_FAILED);
    assert_int_equal(request(&p, SEC(5), SEC(3580), &fetch), VERDICT_TOKEN);
    assert_int_equal(request(&p, MIN_TTL_DEFAULT, SEC(3580), &fetch), VERDICT_WAIT);
    assert_int_equal(request(&p, SEC(21), SEC(3580), &fetch), VERDICT_WAIT);
    assert_false(fetch);
}

static void an_unusable_profile_keeps_its_words(void **state _unused_)
{
    _cleanup_(profile_done) struct profile p;
    char words[FAILURE_MESSAGE_SIZE + 100];

    memset(words, 'w', sizeof(words));
    words[sizeof(words) - 1] = '\0';
    profile_init_unusable(&p, &(struct unusable_profile){.name = shop, .message = words}, T0);
    assert_int_equal(strlen(p.failure.message), FAILURE_MESSAGE_SIZE - 1);
    set_up(&p, PROFILE_UNUSABLE);
    assert_string_equal(p.failure.message, "shop.conf:3: no ClientSecretFile=");
    assert_int_equal(p.failure.reason, REASON_SETTINGS);
    assert_int_equal(p.failed_at, T0);
    assert_true(profile_next_attempt_at(&p) == USEC_INFINITY);
    assert_false(profile_is_worth_waiting(&p, USEC_INFINITY - 1));
}

static void each_public_name_is_listed(void **state _unused_)
{
    for (enum profile_state i = 0; i < N_PROFILE_STATES; i++) {
        size_t n = 0;
        for (size_t k = 0; k < N_PROFILE_STATE_NAMES; k++)
            n += strcmp(profile_state_name(i), profile_state_names[k]) == 0;
        assert_int_equal(n, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cell),
        cmocka_unit_test(deadlines_that_are_due),
        cmocka_unit_test(requests_with_a_min_ttl),
        cmocka_unit_test(requests_while_keys_are_refused),
        cmocka_unit_test(the_rest_of_a_token_is_served_while_failed),
        cmocka_unit_test(an_unusable_profile_keeps_its_words),
        cmocka_unit_test(each_public_name_is_listed),
    };
    return cmocka_run_group_tests_name("profile_step", tests, NULL, NULL);
}
