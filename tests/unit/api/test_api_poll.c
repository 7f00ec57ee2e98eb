/* SPDX-License-Identifier: MIT */
/* If-None-Match: conditional requests, and the long poll. */
#include "api_fixture.h"

#define TOKEN   "/v1/profiles/alpha/token"
#define HEADERS "/v1/profiles/alpha/headers"

static struct request make_poll(const char *target, const char *if_none_match)
{
    struct request r = make_request(SHOP, "GET", target);

    r.if_none_match = if_none_match;
    return r;
}

static void assert_unchanged(const struct response *answer, const char *etag)
{
    assert_non_null(answer);
    assert_int_equal(answer->status, 304);
    assert_string_equal(answer->etag, etag);
    assert_string_equal(answer->body, "");
    assert_string_equal(answer->content_type, "");
    assert_string_equal(answer->retry_after, "");
}

static void who_has_the_current_token_is_told_so_at_once(void **state _unused_)
{
    static const struct {
        const char *if_none_match;
        unsigned status;
    } cases[] = {
        {"\"g1\"",               304},
        {"W/\"g1\"",             304},
        {"*",                    304},
        {"\"x\", \"g1\"",        304},
        {"\"g0\" ,\tW/\"g1\" ,", 304},
        {"\"g0\"",               200},
        {"\"g2\"",               200},
        {"\"g11\"",              200},
        {"\"g1",                 200},
        {"g1",                   200},
        {"\"G1\"",               200},
        {"\"g1\"x",              200},
        {"",                     200},
        {"\"unknown\"",          200},
    };

    all_fresh();
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct request r = make_poll(TOKEN, cases[i].if_none_match);
        const struct response *answer = ask_with(&r);
        if (answer->status != cases[i].status)
            fail_msg("%s: %u", cases[i].if_none_match, answer->status);
        if (answer->status == 304)
            assert_unchanged(answer, "\"g1\"");
        else
            assert_string_equal(answer->etag, "\"g1\"");
    }
    assert_int_equal(entry_of("alpha")->profile.stats.api_requests[STATS_304], 5);
    assert_int_equal(f.registry.n_waiters, 0);
}

static void a_header_set_and_a_head_have_the_same_tag(void **state _unused_)
{
    all_fresh();
    struct request r = make_poll(HEADERS, "\"g1\"");
    r.accepts_text = true;
    assert_unchanged(ask_with(&r), "\"g1\"");
    r = make_poll(TOKEN, "\"g1\"");
    r.method = REQUEST_HEAD;
    assert_unchanged(ask_with(&r), "\"g1\"");
}

/* Nothing was handed out. */
static void unchanged_is_no_handout(void **state _unused_)
{
    struct request r = make_poll(TOKEN, "\"g1\"");

    all_fresh();
    assert_unchanged(ask_with(&r), "\"g1\"");
    assert_int_equal(f.n_logged, 0);
}

static void with_wait_it_is_held_until_the_next_token(void **state _unused_)
{
    struct request r = make_poll(TOKEN "?wait=60", "\"g1\"");

    all_fresh();
    f.now += SEC(1790);
    assert_null(ask_with(&r));
    assert_true(r.is_waiting);
    /* The loop must know of its deadline. */
    assert_int_equal(f.n_kicks, 1);
    assert_int_equal(pop_fetches(), 0);
    f.now += SEC(10);
    registry_advance(&f.registry, f.now);
    assert_int_equal(pop_fetches(), 3);
    assert_null(registry_pop_answer(&f.registry));
    end_with_token("alpha", "new-one", SEC(3600));
    const struct response *answer = finish_waiting(&r);
    assert_answer(answer, 200, NULL);
    assert_string_equal(answer->etag, "\"g2\"");
    assert_string_equal(member(answer, "access_token"), "new-one");
    /* And this one is. */
    assert_int_equal(f.n_events[LOG_EVENT_HANDOUT], 1);
    assert_non_null(strstr(f.fields, "HOW=waited"));
}

static void when_nothing_newer_comes_it_is_unchanged(void **state _unused_)
{
    struct request r = make_poll(TOKEN "?wait=5", "\"g1\"");

    all_fresh();
    assert_null(ask_with(&r));
    f.now += SEC(5) - 1;
    registry_advance(&f.registry, f.now);
    assert_null(registry_pop_answer(&f.registry));
    f.now += 1;
    registry_advance(&f.registry, f.now);
    assert_unchanged(finish_waiting(&r), "\"g1\"");
    assert_int_equal(f.registry.n_waiters, 0);
}

static void wait_zero_is_a_plain_condition(void **state _unused_)
{
    struct request r = make_poll(TOKEN "?wait=0", "\"g1\"");

    all_fresh();
    assert_unchanged(ask_with(&r), "\"g1\"");
}

/* An outage of the upstream is no news for who holds a token that is still good. */
static void failures_are_no_answer(void **state _unused_)
{
    struct request r = make_poll(TOKEN "?wait=60", "\"g1\"");

    all_fresh();
    f.now += SEC(1800);
    registry_advance(&f.registry, f.now);
    assert_int_equal(pop_fetches(), 3);
    assert_null(ask_with(&r));
    end_with_failure("alpha", FAILURE_PERMANENT, "vipps answered 401: no");
    assert_null(registry_pop_answer(&f.registry));
    f.now += SEC(60);
    registry_advance(&f.registry, f.now);
    assert_unchanged(finish_waiting(&r), "\"g1\"");
}

/* But to hold one that has run out is to hold none: 304 would be a lie. */
static void a_token_that_ran_out_meanwhile_is_not_unchanged(void **state _unused_)
{
    struct request r = make_poll(TOKEN "?wait=60", "\"g1\"");

    all_fresh();
    f.now += SEC(1800);
    registry_advance(&f.registry, f.now);
    assert_int_equal(pop_fetches(), 3);
    end_with_failure("alpha", FAILURE_PERMANENT, "vipps answered 401: no");
    f.now += SEC(1750);
    assert_null(ask_with(&r));
    f.now += SEC(60);
    registry_advance(&f.registry, f.now);
    const struct response *answer = finish_waiting(&r);
    assert_answer(answer, 503, "no-usable-token");
    assert_true(*answer->retry_after != '\0');
    assert_string_equal(answer->etag, "");
}

/* Who names no wait= wants what any caller gets: with a token that has run out, a new one. */
static void a_condition_does_not_turn_a_wait_into_a_refusal(void **state _unused_)
{
    struct request r = make_poll(TOKEN, "\"g1\""), any = make_poll(TOKEN, "*");

    all_fresh();
    f.now += SEC(3600);
    assert_null(ask_with(&r));
    assert_true(r.is_waiting);
    assert_null(ask_with(&any));
    assert_int_equal(pop_fetches(), 1);
    end_with_token("alpha", "new-one", SEC(3600));
    assert_string_equal(finish_waiting(&r)->etag, "\"g2\"");
    assert_string_equal(finish_waiting(&any)->etag, "\"g2\"");
}

static void a_token_with_too_little_left_is_not_unchanged(void **state _unused_)
{
    struct request r = make_poll(TOKEN "?min_ttl=3000", "\"g1\"");

    all_fresh();
    f.now += SEC(1000);
    assert_null(ask_with(&r));
    assert_int_equal(pop_fetches(), 1);
    end_with_token("alpha", "new-one", SEC(3600));
    assert_string_equal(finish_waiting(&r)->etag, "\"g2\"");
    r = make_poll(TOKEN "?min_ttl=9000&wait=60", "\"g2\"");
    assert_answer(ask_with(&r), 409, "min-ttl-too-long");
}

static void a_poll_with_an_old_tag_is_answered_at_once(void **state _unused_)
{
    struct request r = make_poll(TOKEN "?wait=60", "\"g0\"");

    all_fresh();
    assert_answer(ask_with(&r), 200, NULL);
}

static void who_leaves_is_forgotten(void **state _unused_)
{
    struct request r = make_poll(TOKEN "?wait=60", "\"g1\"");

    all_fresh();
    assert_null(ask_with(&r));
    api_hang_up(&f.api, &r);
    assert_int_equal(f.registry.n_waiters, 0);
    f.now += SEC(60);
    registry_advance(&f.registry, f.now);
    assert_null(registry_pop_answer(&f.registry));
}

static void at_the_stop_nothing_newer_has_come(void **state _unused_)
{
    struct request r = make_poll(TOKEN "?wait=60", "\"g1\"");

    all_fresh();
    assert_null(ask_with(&r));
    registry_stop(&f.registry, f.now);
    assert_unchanged(finish_waiting(&r), "\"g1\"");
    assert_unchanged(ask_with(&r), "\"g1\"");
    r.if_none_match = "\"g0\"";
    assert_answer(ask_with(&r), 200, NULL);
}

/* A thousand pollers cost one answer, and no request upstream. */
static void many_poll_for_the_price_of_one(void **state _unused_)
{
    static struct request r[1000];

    all_fresh();
    for (size_t i = 0; i < ARRAY_SIZE(r); i++) {
        r[i] = make_poll(TOKEN "?wait=60", "\"g1\"");
        assert_null(ask_with(&r[i]));
    }
    assert_int_equal(pop_fetches(), 0);
    struct request refresh = make_request(ADMIN, "POST", "/v1/profiles/alpha/refresh");
    assert_null(ask_with(&refresh));
    assert_int_equal(pop_fetches(), 1);
    f.now += SEC(1);
    end_with_token("alpha", "new-one", SEC(3600));
    f.n_made = 0;
    for (size_t i = 0; i < ARRAY_SIZE(r); i++)
        assert_string_equal(finish_waiting(&r[i])->etag, "\"g2\"");
    assert_int_equal(f.n_made, 1);
    assert_answer(finish_waiting(&refresh), 200, NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, api_set_up, api_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(who_has_the_current_token_is_told_so_at_once),
        TEST(a_header_set_and_a_head_have_the_same_tag),
        TEST(unchanged_is_no_handout),
        TEST(with_wait_it_is_held_until_the_next_token),
        TEST(when_nothing_newer_comes_it_is_unchanged),
        TEST(wait_zero_is_a_plain_condition),
        TEST(failures_are_no_answer),
        TEST(a_token_that_ran_out_meanwhile_is_not_unchanged),
        TEST(a_condition_does_not_turn_a_wait_into_a_refusal),
        TEST(a_token_with_too_little_left_is_not_unchanged),
        TEST(a_poll_with_an_old_tag_is_answered_at_once),
        TEST(who_leaves_is_forgotten),
        TEST(at_the_stop_nothing_newer_has_come),
        TEST(many_poll_for_the_price_of_one),
    };
    return cmocka_run_group_tests_name("api, poll", tests, NULL, NULL);
}
