/* SPDX-License-Identifier: MIT */
/* "The upstream refused this token": what a report sets off, and what it cannot. */
#include "api_fixture.h"

#define TOKEN    "/v1/profiles/alpha/token"
#define REJECTED "/v1/profiles/alpha/rejected"

/* A report of the token with this value. */
static struct request report_of(uint32_t uid, const char *target, const char *value)
{
    char body[64];

    (void) snprintf(body, sizeof(body), "{\"fingerprint\": \"%s\"}", fingerprint_of(value));
    return make_post(uid, target, body);
}

/* All have a token, and long enough for the next request to start at once. */
static void all_fresh_for_long(void)
{
    all_fresh();
    f.now += SEC(60);
}

static void a_report_of_the_current_token_brings_a_new_one(void **state _unused_)
{
    struct request r = report_of(SHOP, REJECTED, "token-of-alpha");

    f.unit = "shop.service";
    f.program = "/usr/bin/php";
    all_fresh_for_long();
    assert_null(ask_with(&r));
    assert_true(r.is_waiting);
    assert_true(f.n_kicks > 0);
    assert_int_equal(pop_fetches(), 1);
    assert_int_equal(f.n_events[LOG_EVENT_REJECTED], 1);
    assert_int_equal(f.level, LOG_LEVEL_WARNING);
    char said[512];
    (void) snprintf(said, sizeof(said),
                    "alpha: uid 33, pid 7 of shop.service (/usr/bin/php) says that the upstream refused the "
                    "current token (%s); a new one is asked for",
                    fingerprint_of("token-of-alpha"));
    assert_string_equal(f.said, said);
    (void) snprintf(
        said, sizeof(said),
        "PROFILE=alpha FINGERPRINT=%s PEER_UID=33 PEER_PID=7 PEER_UNIT=shop.service PEER_EXE=/usr/bin/php",
        fingerprint_of("token-of-alpha"));
    assert_string_equal(f.fields, said);
    /* The others get the current one meanwhile: it may be good for them. */
    assert_string_equal(member(ask(SHOP, "GET", TOKEN), "access_token"), "token-of-alpha");

    end_with_token("alpha", "new-one", SEC(3600));
    const struct response *answer = finish_waiting(&r);
    assert_answer(answer, 200, NULL);
    assert_string_equal(member(answer, "access_token"), "new-one");
    assert_string_equal(member(answer, "generation"), "2");
    assert_string_equal(answer->etag, "\"g2\"");
    assert_true(answer->is_secret);
    assert_string_equal(member(ask(SHOP, "GET", TOKEN), "access_token"), "new-one");
}

/* Ten clients see the same 401; nine of them report it when the new token is already there. */
static void a_stale_report_costs_nothing_upstream(void **state _unused_)
{
    static const char *const stale[] = {"token-before-that", "", "token-of-other"};

    all_fresh_for_long();
    for (size_t i = 0; i < ARRAY_SIZE(stale); i++) {
        struct request r = report_of(SHOP, REJECTED, stale[i]);
        const struct response *answer = ask_with(&r);
        assert_answer(answer, 200, NULL);
        assert_string_equal(member(answer, "access_token"), "token-of-alpha");
    }
    assert_int_equal(pop_fetches(), 0);
    assert_int_equal(f.n_events[LOG_EVENT_REJECTED], 0);
    assert_int_equal(entry_of("alpha")->profile.stats.reports, 0);
    assert_false(registry_next_at(&f.registry) <= f.now);
}

static void the_same_report_twice_is_one(void **state _unused_)
{
    struct request first = report_of(SHOP, REJECTED, "token-of-alpha"),
                   again = report_of(SHOP, REJECTED, "token-of-alpha");

    all_fresh_for_long();
    assert_null(ask_with(&first));
    assert_int_equal(pop_fetches(), 1);
    end_with_token("alpha", "new-one", SEC(3600));
    assert_answer(finish_waiting(&first), 200, NULL);
    assert_string_equal(member(ask_with(&again), "access_token"), "new-one");
    assert_int_equal(pop_fetches(), 0);
    assert_int_equal(f.n_events[LOG_EVENT_REJECTED], 1);
}

static void a_thousand_reports_are_one_request_and_one_line(void **state _unused_)
{
    static struct request r[1000];

    all_fresh_for_long();
    for (size_t i = 0; i < ARRAY_SIZE(r); i++) {
        r[i] = report_of(SHOP, REJECTED, "token-of-alpha");
        assert_null(ask_with(&r[i]));
        assert_true(r[i].is_waiting);
    }
    assert_int_equal(pop_fetches(), 1);
    assert_int_equal(f.registry.n_waiters, 1000);
    f.now += SEC(1);
    end_with_token("alpha", "new-one", SEC(3600));
    f.n_made = 0;
    for (size_t i = 0; i < ARRAY_SIZE(r); i++) {
        const struct response *answer = finish_waiting(&r[i]);
        assert_answer(answer, 200, NULL);
        assert_string_equal(answer->etag, "\"g2\"");
    }
    assert_int_equal(f.n_made, 1);
    assert_int_equal(pop_fetches(), 0);
    assert_int_equal(f.n_events[LOG_EVENT_REJECTED], 1);
    assert_int_equal(entry_of("alpha")->profile.stats.reports, 1);
}

/* Reports the current token, and gets a new one; the n-th is "token-n". */
static void spend_report(uint32_t uid, unsigned n)
{
    char value[32];

    (void) snprintf(value, sizeof(value), "token-%u", n - 1);
    struct request r = report_of(uid, REJECTED, n == 1 ? "token-of-alpha" : value);
    assert_null(ask_with(&r));
    assert_int_equal(pop_fetches(), 1);
    (void) snprintf(value, sizeof(value), "token-%u", n);
    end_with_token("alpha", value, SEC(3600));
    assert_answer(finish_waiting(&r), 200, NULL);
    f.now += SEC(2);
}

static void who_reports_every_token_is_stopped_and_told_so(void **state _unused_)
{
    all_fresh_for_long();
    for (unsigned i = 1; i <= REJECTION_BURST; i++)
        spend_report(SHOP, i);
    assert_int_equal(f.n_events[LOG_EVENT_REJECTED], REJECTION_BURST);
    for (unsigned i = 0; i < 1000; i++) {
        struct request r = report_of(SHOP, REJECTED, "token-3");
        const struct response *answer = ask_with(&r);
        assert_answer(answer, 429, "rejected-too-often");
        assert_false(r.is_waiting);
        if (i > 0)
            continue;
        const struct refresh_policy *policy = &f.profiles[0]->refresh;
        usec_t in = policy_rejection_interval_for(policy, SEC(3600)) - 3 * SEC(2);
        char text[32];
        (void) snprintf(text, sizeof(text), "%u", (unsigned) (in / USEC_PER_SEC));
        assert_string_equal(answer->retry_after, text);
        assert_non_null(
            strstr(member(answer, "detail"), "too many tokens of this profile have been reported"));
        assert_string_equal(member(answer, "state"), "fresh");
        assert_string_equal(member(answer, "access_token"), "");
    }
    assert_int_equal(pop_fetches(), 0);
    /* The journal is not filled either. */
    assert_int_equal(f.n_events[LOG_EVENT_REJECTED], REJECTION_BURST + 1);
    assert_int_equal(f.level, LOG_LEVEL_NOTICE);
    assert_non_null(strstr(f.said, "; too many have been reported, so nothing is done"));
    assert_int_equal(entry_of("alpha")->profile.stats.reports, REJECTION_BURST);
    assert_int_equal(entry_of("alpha")->profile.stats.reports_refused, 1000);
    assert_int_equal(entry_of("alpha")->profile.stats.api_requests[STATS_429], 1000);
    /* It goes on being served, and so does who did nothing. */
    assert_string_equal(member(ask(SHOP, "GET", TOKEN), "access_token"), "token-3");
}

static void one_users_reports_leave_room_for_anothers(void **state _unused_)
{
    set_rule(&f.profiles[0]->allow, ACCESS_ANY, 0, "any");
    all_fresh_for_long();
    for (unsigned i = 1; i <= REJECTION_BURST; i++)
        spend_report(SHOP, i);
    struct request r = report_of(SHOP, REJECTED, "token-3");
    assert_answer(ask_with(&r), 429, "rejected-too-often");
    spend_report(77, REJECTION_BURST + 1);
}

/* The token was fetched a moment ago: the next request keeps its distance, and who asks is told. */
static void a_report_right_after_a_fetch_waits_its_turn(void **state _unused_)
{
    struct request patient = report_of(SHOP, REJECTED, "token-of-alpha"),
                   hasty = report_of(SHOP, REJECTED "?wait=0", "token-of-alpha");

    all_fresh();
    assert_null(ask_with(&patient));
    assert_int_equal(pop_fetches(), 0);
    const struct response *answer = ask_with(&hasty);
    assert_answer(answer, 503, "no-usable-token");
    assert_string_equal(answer->retry_after, "1");
    assert_non_null(strstr(member(answer, "detail"), "until then /token goes on giving the one"));
    assert_true(f.n_kicks >= 2);
    f.now += SEC(1);
    registry_advance(&f.registry, f.now);
    assert_int_equal(pop_fetches(), 1);
    end_with_token("alpha", "new-one", SEC(3600));
    assert_answer(finish_waiting(&patient), 200, NULL);
}

static void a_failing_refresh_is_told_and_takes_nothing_away(void **state _unused_)
{
    struct request r = report_of(SHOP, REJECTED, "token-of-alpha"),
                   later = report_of(SHOP, REJECTED, "token-of-alpha");

    all_fresh_for_long();
    assert_null(ask_with(&r));
    assert_int_equal(pop_fetches(), 1);
    end_with_failure("alpha", FAILURE_PERMANENT, "vipps answered 401: wrong keys");
    const struct response *answer = finish_waiting(&r);
    assert_answer(answer, 503, "no-usable-token");
    assert_string_equal(member(answer, "detail"), "vipps answered 401: wrong keys");
    assert_string_equal(member(answer, "state"), "stale");
    assert_string_equal(member(ask(SHOP, "GET", TOKEN), "access_token"), "token-of-alpha");
    /* The back-off stands, whoever reports what. */
    assert_answer(ask_with(&later), 503, "no-usable-token");
    assert_int_equal(pop_fetches(), 0);
}

static void while_attempts_fail_the_line_says_so(void **state _unused_)
{
    struct request refresh = make_request(ADMIN, "POST", "/v1/profiles/alpha/refresh"),
                   r = report_of(SHOP, REJECTED, "token-of-alpha");

    all_fresh_for_long();
    assert_null(ask_with(&refresh));
    assert_int_equal(pop_fetches(), 1);
    end_with_failure("alpha", FAILURE_PERMANENT, "no");
    assert_answer(finish_waiting(&refresh), 503, "refresh-failed");
    assert_answer(ask_with(&r), 503, "no-usable-token");
    assert_int_equal(f.n_events[LOG_EVENT_REJECTED], 1);
    assert_non_null(strstr(f.said, "; the attempts to get a new one fail"));
}

static void bodies_that_are_none_are_refused(void **state _unused_)
{
    static const char *const bodies[] = {
        "",
        " ",
        "{}",
        "[]",
        "null",
        "\"0123456789abcdef\"",
        "0123456789abcdef",
        "{\"fingerprint\"}",
        "{\"fingerprint\":null}",
        "{\"fingerprint\":1234567890123456}",
        "{\"fingerprint\":\"\"}",
        "{\"fingerprint\":\"0123456789abcde\"}",
        "{\"fingerprint\":\"0123456789abcdef0\"}",
        "{\"fingerprint\":\"0123456789abcdeg\"}",
        "{\"fingerprint\":\"0123456789abcde\\u0000\"}",
        "{\"fingerprint\":[\"0123456789abcdef\"]}",
        "{\"Fingerprint\":\"0123456789abcdef\"}",
        "{\"fingerprint\":\"0123456789abcdef\"} x",
        "{\"fingerprint\":\"0123456789abcdef\"",
        "fingerprint=0123456789abcdef",
    };

    all_fresh_for_long();
    for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
        struct request r = make_post(SHOP, REJECTED, bodies[i]);
        const struct response *answer = ask_with(&r);
        if (answer->status != 400)
            fail_msg("%s: %u", bodies[i], answer->status);
        assert_answer(answer, 400, "bad-request");
        assert_non_null(strstr(member(answer, "detail"), "{\"fingerprint\": \"...\"}"));
        r = make_post(STRANGER, REJECTED, bodies[i]);
        assert_answer(ask_with(&r), 404, "unknown-profile");
    }
    assert_int_equal(pop_fetches(), 0);
    assert_int_equal(f.n_events[LOG_EVENT_REJECTED], 0);
}

/* A stranger cannot find out by it which token is the current one, nor throw it away. */
static void strangers_report_nothing(void **state _unused_)
{
    all_fresh_for_long();
    struct request r = report_of(STRANGER, REJECTED, "token-of-alpha");
    assert_answer(ask_with(&r), 404, "unknown-profile");
    r = report_of(ADMIN, REJECTED, "token-of-alpha");
    assert_answer(ask_with(&r), 404, "unknown-profile");
    assert_int_equal(pop_fetches(), 0);
    assert_int_equal(f.n_events[LOG_EVENT_REJECTED], 0);
    assert_int_equal(f.n_events[LOG_EVENT_ACCESS_DENIED], 2);
}

static void a_report_of_a_token_that_ran_out_is_a_request_for_one(void **state _unused_)
{
    struct request r = report_of(SHOP, REJECTED, "token-of-alpha");

    all_fresh();
    f.now += SEC(3600);
    assert_null(ask_with(&r));
    assert_int_equal(pop_fetches(), 1);
    end_with_token("alpha", "new-one", SEC(3600));
    assert_string_equal(member(finish_waiting(&r), "access_token"), "new-one");
    assert_int_equal(f.n_events[LOG_EVENT_REJECTED], 0);
    assert_int_equal(entry_of("alpha")->profile.stats.reports, 0);
}

static void who_reports_and_leaves_is_forgotten(void **state _unused_)
{
    struct request r = report_of(SHOP, REJECTED, "token-of-alpha");

    all_fresh_for_long();
    assert_null(ask_with(&r));
    assert_int_equal(pop_fetches(), 1);
    api_hang_up(&f.api, &r);
    end_with_token("alpha", "new-one", SEC(3600));
    assert_null(registry_pop_answer(&f.registry));
    assert_string_equal(member(ask(SHOP, "GET", TOKEN), "access_token"), "new-one");
}

static void at_the_stop_a_report_is_not_taken(void **state _unused_)
{
    struct request waits = report_of(SHOP, REJECTED, "token-of-alpha"),
                   late = report_of(SHOP, REJECTED, "token-of-alpha");

    all_fresh_for_long();
    assert_null(ask_with(&waits));
    f.n_logged = 0;
    registry_stop(&f.registry, f.now);
    assert_answer(finish_waiting(&waits), 503, "stopping");
    assert_answer(ask_with(&late), 503, "stopping");
    assert_int_equal(f.n_logged, 0);
    assert_int_equal(pop_fetches(), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, api_set_up, api_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_report_of_the_current_token_brings_a_new_one),
        TEST(a_stale_report_costs_nothing_upstream),
        TEST(the_same_report_twice_is_one),
        TEST(a_thousand_reports_are_one_request_and_one_line),
        TEST(who_reports_every_token_is_stopped_and_told_so),
        TEST(one_users_reports_leave_room_for_anothers),
        TEST(a_report_right_after_a_fetch_waits_its_turn),
        TEST(a_failing_refresh_is_told_and_takes_nothing_away),
        TEST(while_attempts_fail_the_line_says_so),
        TEST(bodies_that_are_none_are_refused),
        TEST(strangers_report_nothing),
        TEST(a_report_of_a_token_that_ran_out_is_a_request_for_one),
        TEST(who_reports_and_leaves_is_forgotten),
        TEST(at_the_stop_a_report_is_not_taken),
    };
    return cmocka_run_group_tests_name("api, rejected", tests, NULL, NULL);
}
