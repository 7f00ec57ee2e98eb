/* SPDX-License-Identifier: MIT */
/* Who was handed a token and who was denied one: what the log is told. */
#include "api_fixture.h"

#define TOKEN "/v1/profiles/alpha/token"

static void window_ends(void)
{
    f.now += SEC(60);
    tell_summaries();
}

/* ---- handouts ---- */

static void the_first_is_told_and_the_rest_summed_up(void **state _unused_)
{
    char expected[512];

    f.unit = "shop.service";
    f.program = "/usr/bin/php";
    all_fresh();
    for (unsigned i = 0; i < 100; i++)
        assert_answer(ask(SHOP, "GET", TOKEN), 200, NULL);
    assert_int_equal(f.n_logged, 1);
    assert_int_equal(f.n_events[LOG_EVENT_HANDOUT], 1);
    assert_int_equal(f.level, LOG_LEVEL_INFO);
    (void) snprintf(
        expected, sizeof(expected),
        "alpha: generation 1 (%s) handed to uid 33, pid 7 of shop.service (/usr/bin/php), from the cache",
        fingerprint_of("token-of-alpha"));
    assert_string_equal(f.said, expected);
    (void) snprintf(expected, sizeof(expected),
                    "PROFILE=alpha FINGERPRINT=%s GENERATION=1 HOW=cache PEER_UID=33 PEER_PID=7 "
                    "PEER_UNIT=shop.service PEER_EXE=/usr/bin/php",
                    fingerprint_of("token-of-alpha"));
    assert_string_equal(f.fields, expected);
    /* Its unit and program were looked up once. */
    assert_int_equal(f.n_unit_loads, 1);
    assert_true(f.n_audit_kicks > 0);

    window_ends();
    assert_int_equal(f.n_events[LOG_EVENT_HANDOUTS], 1);
    assert_string_equal(f.said, "alpha: 99 more tokens handed to uid 33, pid 7 of shop.service "
                                "(/usr/bin/php) within 1min: 99 from the cache, 0 after waiting");
    assert_non_null(strstr(f.fields, "N_CACHE=99 N_WAITED=0"));
    tell_summaries();
    assert_int_equal(f.n_logged, 2);
}

static void every_is_every(void **state _unused_)
{
    all_fresh();
    set_audit(AUDIT_EVERY);
    for (unsigned i = 0; i < 10; i++)
        (void) ask(SHOP, "GET", "/v1/profiles/alpha/headers");
    assert_int_equal(f.n_events[LOG_EVENT_HANDOUT], 10);
    window_ends();
    assert_int_equal(f.n_events[LOG_EVENT_HANDOUTS], 0);
}

static void off_looks_nobody_up(void **state _unused_)
{
    all_fresh();
    set_audit(AUDIT_OFF);
    for (unsigned i = 0; i < 10; i++)
        assert_answer(ask(SHOP, "GET", TOKEN), 200, NULL);
    window_ends();
    assert_int_equal(f.n_logged, 0);
    assert_int_equal(f.n_unit_loads, 0);
    /* Denials are told all the same. */
    (void) ask(STRANGER, "GET", TOKEN);
    assert_int_equal(f.n_events[LOG_EVENT_ACCESS_DENIED], 1);
}

static void a_head_hands_out_nothing(void **state _unused_)
{
    all_fresh();
    set_audit(AUDIT_EVERY);
    assert_answer(ask(SHOP, "HEAD", TOKEN), 200, NULL);
    assert_answer(ask(SHOP, "GET", TOKEN "?min_ttl=9999"), 409, "min-ttl-too-long");
    assert_answer(ask(SHOP, "GET", "/v1/profiles/alpha"), 200, NULL);
    assert_answer(ask(ADMIN, "GET", "/v1/profiles"), 200, NULL);
    assert_int_equal(f.n_logged, 0);
}

static void who_has_waited_is_told_from_who_has_not(void **state _unused_)
{
    struct request r = make_request(SHOP, "GET", TOKEN);

    registry_start(&f.registry, f.now);
    assert_int_equal(pop_fetches(), 3);
    assert_null(ask_with(&r));
    assert_int_equal(f.n_logged, 0);
    end_with_token("alpha", "token-of-alpha", SEC(3600));
    assert_answer(finish_waiting(&r), 200, NULL);
    assert_non_null(strstr(f.fields, "HOW=waited"));
    assert_non_null(strstr(f.said, ", from the upstream"));
    (void) ask(SHOP, "GET", TOKEN);
    (void) ask(SHOP, "GET", TOKEN);
    window_ends();
    assert_non_null(strstr(f.fields, "N_CACHE=2 N_WAITED=0"));
}

static void without_memory_nothing_was_handed_out(void **state _unused_)
{
    struct request r = make_request(SHOP, "GET", TOKEN);

    all_fresh();
    f.has_no_memory = true;
    assert_null(ask_with(&r));
    assert_int_equal(f.n_logged, 0);
}

/* What is not known is left out, and takes nothing else with it. */
static void an_unknown_process_is_told_as_far_as_it_is_known(void **state _unused_)
{
    struct request r = make_request(SHOP, "GET", TOKEN);

    all_fresh();
    f.has_no_process_id = true;
    r.peer.pid = 0;
    for (unsigned i = 0; i < 3; i++)
        assert_answer(ask_with(&r), 200, NULL);
    assert_int_equal(f.n_logged, 1);
    assert_non_null(strstr(f.said, " handed to uid 33, from the cache"));
    assert_null(strstr(f.fields, "PEER_PID"));
    assert_null(strstr(f.fields, "PEER_UNIT"));
    window_ends();
    assert_non_null(strstr(f.said, "alpha: 2 more tokens handed to uid 33 within"));
}

/* The record of a process is found by its entry's address; another profile may get the same. */
static void a_reload_does_not_mix_up_profiles(void **state _unused_)
{
    all_fresh();
    set_rule(&f.profiles[2]->allow, ACCESS_ANY, 0, "any");
    assert_answer(ask(SHOP, "GET", TOKEN), 200, NULL);
    reload_without("alpha");
    assert_answer(ask(SHOP, "GET", "/v1/profiles/other/token"), 200, NULL);
    assert_non_null(strstr(f.fields, "PROFILE=other"));
    assert_int_equal(f.n_events[LOG_EVENT_HANDOUT], 2);
}

/* ---- denials ---- */

static void a_denial_is_logged_and_counted(void **state _unused_)
{
    f.unit = "other.service";
    f.program = "(curl)";
    (void) ask(STRANGER, "GET", TOKEN);
    assert_int_equal(f.n_logged, 1);
    assert_int_equal(f.n_events[LOG_EVENT_ACCESS_DENIED], 1);
    assert_int_equal(f.level, LOG_LEVEL_NOTICE);
    assert_string_equal(f.fields, "PROFILE=alpha PROFILE_ASKED=alpha PEER_UID=44 PEER_PID=7 "
                                  "PEER_UNIT=other.service PEER_EXE=(curl)");
    assert_string_equal(f.said,
                        "alpha: uid 44, pid 7 of other.service ((curl)) is not admitted by any Allow= rule");
    assert_int_equal(entry_of("alpha")->profile.stats.denied, 1);
    /* For the metrics of the profile it did not happen: else its owner sees the probing of others as his own
     * errors. */
    assert_int_equal(entry_of("alpha")->profile.stats.api_requests[STATS_404], 0);
    assert_int_equal(f.stats.api_requests[STATS_404], 1);
}

/* To the caller the two look alike; to the operator they must not. */
static void a_name_that_is_not_there_is_told_as_such(void **state _unused_)
{
    (void) ask(STRANGER, "GET", "/v1/profiles/no%22body%c3%a6/token");
    assert_int_equal(f.n_events[LOG_EVENT_ACCESS_DENIED], 1);
    assert_string_equal(f.fields, "PROFILE_ASKED=no\"body?? PEER_UID=44 PEER_PID=7");
    assert_string_equal(f.said, "no\"body??: uid 44, pid 7 asked for a profile that is not there");
    assert_int_equal(f.stats.api_requests[STATS_404], 1);
}

/* The question of every night: it is the right unit, and yet. */
static void why_the_unit_is_not_known_is_told_where_it_matters(void **state _unused_)
{
    f.unit_problem = "its process has ended";
    (void) ask(STRANGER, "GET", TOKEN);
    assert_null(strstr(f.said, "its unit is not known"));
    set_rule(&f.profiles[0]->allow, ACCESS_UNIT, 0, "unit:shop.service");
    (void) ask(55, "GET", TOKEN);
    assert_string_equal(f.said, "alpha: uid 55, pid 7 is not admitted by any Allow= rule; its unit is not "
                                "known: its process has ended");
    f.unit = "other.service";
    (void) ask(56, "GET", TOKEN);
    assert_string_equal(f.said, "alpha: uid 56, pid 7 of other.service is not admitted by any Allow= rule");
}

static void a_unit_rule_admits_by_the_unit_of_now(void **state _unused_)
{
    set_rule(&f.profiles[0]->allow, ACCESS_UNIT, 0, "unit:shop-*.service");
    all_fresh();
    f.unit = "shop-7.service";
    assert_answer(ask(77, "GET", TOKEN), 200, NULL);
    /* The same connection, moved to another unit. */
    f.unit = "cron.service";
    assert_answer(ask(77, "GET", TOKEN), 404, "unknown-profile");
    f.unit = NULL;
    assert_answer(ask(77, "GET", TOKEN), 404, "unknown-profile");
    f.unit = "shop-7.service";
    assert_answer(ask(77, "GET", TOKEN), 200, NULL);
}

static void who_knocks_all_day_does_not_fill_the_journal(void **state _unused_)
{
    for (unsigned i = 0; i < 1000; i++)
        (void) ask(STRANGER, "GET", TOKEN);
    assert_int_equal(f.n_logged, 1);
    assert_int_equal(entry_of("alpha")->profile.stats.denied, 1000);
    window_ends();
    assert_int_equal(f.n_logged, 2);
    assert_int_equal(f.n_events[LOG_EVENT_DENIALS], 1);
    assert_string_equal(f.said, "alpha: 999 more requests of uid 44, pid 7 denied within 1min");
    assert_non_null(strstr(f.fields, "N_DENIED=999"));
}

/* A thousand names from a thousand processes of a user who wants to hide something in the noise. */
static void neither_do_many_processes(void **state _unused_)
{
    char program[32];

    f.program = program;
    for (int i = 1; i <= 1000; i++) {
        (void) snprintf(program, sizeof(program), "/tmp/%d", i);
        struct request r = make_request(STRANGER, "GET", "/v1/profiles/guess/token");
        r.peer.pid = i;
        assert_answer(ask_with(&r), 404, "unknown-profile");
    }
    assert_int_equal(f.n_logged, AUDIT_DENIAL_BURST);
    window_ends();
    assert_int_equal(f.n_logged, AUDIT_DENIAL_BURST + 1);
    assert_string_equal(f.said, "980 more requests of other callers denied within 1min");
    assert_null(strstr(f.fields, "PEER_"));
}

static void what_was_not_told_is_told_when_the_mode_changes(void **state _unused_)
{
    all_fresh();
    for (unsigned i = 0; i < 3; i++)
        (void) ask(SHOP, "GET", TOKEN);
    set_audit(AUDIT_OFF);
    tell_summaries();
    assert_int_equal(f.n_events[LOG_EVENT_HANDOUTS], 1);
    assert_non_null(strstr(f.fields, "N_CACHE=2"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, api_set_up, api_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_first_is_told_and_the_rest_summed_up),
        TEST(every_is_every),
        TEST(off_looks_nobody_up),
        TEST(a_head_hands_out_nothing),
        TEST(who_has_waited_is_told_from_who_has_not),
        TEST(without_memory_nothing_was_handed_out),
        TEST(an_unknown_process_is_told_as_far_as_it_is_known),
        TEST(a_reload_does_not_mix_up_profiles),
        TEST(a_denial_is_logged_and_counted),
        TEST(a_name_that_is_not_there_is_told_as_such),
        TEST(why_the_unit_is_not_known_is_told_where_it_matters),
        TEST(a_unit_rule_admits_by_the_unit_of_now),
        TEST(who_knocks_all_day_does_not_fill_the_journal),
        TEST(neither_do_many_processes),
        TEST(what_was_not_told_is_told_when_the_mode_changes),
    };
    return cmocka_run_group_tests_name("api, audit", tests, NULL, NULL);
}
