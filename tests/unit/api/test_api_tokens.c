/* SPDX-License-Identifier: MIT */
/* Asking for tokens over time: answers that are kept, waiting, failures, refreshes, the stop. */
#include "api_fixture.h"

#define TOKEN   "/v1/profiles/alpha/token"
#define HEADERS "/v1/profiles/alpha/headers"
#define REFRESH "/v1/profiles/alpha/refresh"

/* ---- answers that are kept ---- */

static void the_same_second_has_the_same_answer(void **state _unused_)
{
    all_fresh();
    f.n_made = 0;
    for (unsigned i = 0; i < 5; i++)
        assert_answer(ask(SHOP, "GET", TOKEN), 200, NULL);
    assert_int_equal(f.n_made, 1);
    assert_string_equal(member(ask(SHOP, "GET", TOKEN), "expires_in"), "3600");
    /* 3600 s left are shown at that moment alone; then 3599 for a whole second. */
    f.now += 1;
    assert_string_equal(member(ask(SHOP, "GET", TOKEN), "expires_in"), "3599");
    f.now += USEC_PER_SEC - 1;
    assert_string_equal(member(ask(SHOP, "HEAD", TOKEN), "expires_in"), "3599");
    assert_int_equal(f.n_made, 2);
    f.now += 1;
    assert_string_equal(member(ask(SHOP, "GET", TOKEN), "expires_in"), "3598");
    assert_int_equal(f.n_made, 3);
    /* What is kept counts all the same. */
    assert_int_equal(entry_of("alpha")->profile.stats.api_requests[STATS_200], 9);
}

static void what_is_kept_is_dropped_when_told_so(void **state _unused_)
{
    all_fresh();
    (void) ask(SHOP, "GET", TOKEN);
    f.n_made = 0;
    api_forget(&f.api);
    (void) ask(SHOP, "GET", TOKEN);
    assert_int_equal(f.n_made, 1);
    for (size_t i = 0; i < API_CACHE_SLOTS; i++)
        assert_true(!f.api.cache[i].response || f.api.cache[i].response->n_references == 2);
    api_done(&f.api);
    for (size_t i = 0; i < API_CACHE_SLOTS; i++)
        assert_null(f.api.cache[i].response);
}

/* Even in the same second and with the same time left: the generation tells them apart. */
static void a_new_token_is_never_hidden_by_an_old_answer(void **state _unused_)
{
    enum note note;

    all_fresh();
    assert_string_equal(member(ask(SHOP, "GET", TOKEN), "access_token"), "token-of-alpha");
    struct cached_reply kept[API_CACHE_SLOTS];
    memcpy(kept, f.api.cache, sizeof(kept));
    for (size_t i = 0; i < API_CACHE_SLOTS; i++) {
        if (kept[i].response)
            (void) response_ref(kept[i].response);
    }
    struct request r = make_request(ADMIN, "POST", REFRESH);
    assert_null(ask_with(&r));
    assert_int_equal(pop_fetches(), 1);
    end_with_token("alpha", "new-token", SEC(3600));
    assert_answer(finish_waiting(&r), 200, NULL);
    while (registry_pop_note(&f.registry, &note))
        ;
    /* As if nobody had said api_forget(). */
    api_forget(&f.api);
    memcpy(f.api.cache, kept, sizeof(kept));
    const struct response *answer = ask(SHOP, "GET", TOKEN);
    assert_string_equal(member(answer, "access_token"), "new-token");
    assert_string_equal(answer->etag, "\"g2\"");
}

static void each_form_is_kept_for_itself(void **state _unused_)
{
    struct request text = make_request(SHOP, "GET", HEADERS);

    text.accepts_text = true;
    all_fresh();
    for (unsigned i = 0; i < 2; i++) {
        const struct response *answer = ask(SHOP, "GET", TOKEN);
        assert_answer(answer, 200, NULL);
        assert_string_equal(member(answer, "access_token"), "token-of-alpha");
        assert_string_equal(answer->etag, "\"g1\"");
        assert_true(answer->is_secret);

        answer = ask(SHOP, "GET", HEADERS);
        assert_answer(answer, 200, NULL);
        assert_string_equal(answer->body, "{\"Authorization\":\"Bearer token-of-alpha\"}\n");
        assert_string_equal(answer->etag, "\"g1\"");
        assert_true(answer->is_secret);

        answer = ask_with(&text);
        assert_string_equal(answer->content_type, "text/plain; charset=utf-8");
        assert_string_equal(answer->body, "Authorization: Bearer token-of-alpha\n");
        assert_string_equal(answer->etag, "\"g1\"");
        assert_true(answer->is_secret);
    }
    /* /token has one form: Accept does not change it. */
    struct request r = make_request(SHOP, "GET", TOKEN);
    r.accepts_text = true;
    assert_answer(ask_with(&r), 200, NULL);
    /* One tenant's answer is not another's, whoever asks next. */
    assert_string_equal(member(ask(STRANGER, "GET", "/v1/profiles/other/token"), "access_token"),
                        "token-of-other");
    assert_string_equal(member(ask(SHOP, "GET", TOKEN), "access_token"), "token-of-alpha");
}

static void what_is_kept_is_not_for_strangers(void **state _unused_)
{
    all_fresh();
    (void) ask(SHOP, "GET", TOKEN);
    assert_answer(ask(STRANGER, "GET", TOKEN), 404, "unknown-profile");
    assert_answer(ask(ADMIN, "GET", TOKEN), 404, "unknown-profile");
}

/* Nor is it for longer than the token: a second before the end it is gone for callers with the default. */
static void a_kept_answer_does_not_outlive_the_token(void **state _unused_)
{
    all_fresh();
    f.now += SEC(3600) - 1;
    struct request r = make_request(SHOP, "GET", TOKEN "?min_ttl=0");
    assert_answer(ask_with(&r), 200, NULL);
    assert_string_equal(member(ask_with(&r), "expires_in"), "0");
    f.now += 1;
    assert_answer(ask(SHOP, "GET", TOKEN "?wait=0"), 503, "no-usable-token");
}

/* ---- waiting ---- */

static void a_caller_waits_for_the_fetch_in_flight(void **state _unused_)
{
    struct request r = make_request(SHOP, "GET", TOKEN);

    registry_start(&f.registry, f.now);
    assert_int_equal(pop_fetches(), 3);
    assert_null(ask_with(&r));
    assert_true(r.is_waiting);
    /* Nothing is to be started or answered, but its deadline is a new moment to wake at. */
    assert_false(registry_has_work(&f.registry));
    assert_int_equal(f.n_kicks, 1);
    assert_int_equal(f.registry.n_waiters, 1);
    end_with_token("alpha", "token-of-alpha", SEC(3600));
    assert_answer(finish_waiting(&r), 200, NULL);
    assert_int_equal(f.registry.n_waiters, 0);
    assert_int_equal(entry_of("alpha")->profile.stats.api_requests[STATS_200], 1);
}

static void a_token_at_hand_kicks_nobody(void **state _unused_)
{
    all_fresh();
    assert_answer(ask(SHOP, "GET", TOKEN), 200, NULL);
    assert_int_equal(f.n_kicks, 0);
}

static void a_caller_that_leaves_is_forgotten(void **state _unused_)
{
    struct request r = make_request(SHOP, "GET", TOKEN);

    registry_start(&f.registry, f.now);
    assert_int_equal(pop_fetches(), 3);
    assert_null(ask_with(&r));
    api_hang_up(&f.api, &r);
    assert_int_equal(f.registry.n_waiters, 0);
    end_with_token("alpha", "token-of-alpha", SEC(3600));
    assert_null(registry_pop_answer(&f.registry));
    /* The fetch was the profile's: its token is here. */
    assert_answer(ask(SHOP, "GET", TOKEN), 200, NULL);
}

static void time_is_up_while_the_upstream_is_silent(void **state _unused_)
{
    struct request r = make_request(SHOP, "GET", TOKEN "?wait=3");

    registry_start(&f.registry, f.now);
    assert_int_equal(pop_fetches(), 3);
    assert_answer(ask(SHOP, "GET", TOKEN "?wait=0"), 503, "no-usable-token");
    assert_null(ask_with(&r));
    f.now += SEC(3);
    registry_advance(&f.registry, f.now);
    const struct response *answer = finish_waiting(&r);
    assert_answer(answer, 503, "no-usable-token");
    assert_string_equal(answer->retry_after, "1");
    assert_string_equal(member(answer, "state"), "fetching");
    assert_string_equal(member(answer, "profile"), "alpha");
    assert_string_equal(member(answer, "last_error"), "");
    assert_non_null(strstr(member(answer, "detail"), "has not answered yet"));
}

/* ---- failures ---- */

static void a_failure_is_told_in_its_own_words(void **state _unused_)
{
    struct request r = make_request(SHOP, "GET", TOKEN);

    registry_start(&f.registry, f.now);
    assert_int_equal(pop_fetches(), 3);
    assert_null(ask_with(&r));
    end_with_failure("alpha", FAILURE_PERMANENT, "vipps answered 401: wrong keys");
    const struct response *answer = finish_waiting(&r);
    assert_answer(answer, 503, "no-usable-token");
    assert_string_equal(member(answer, "detail"), "vipps answered 401: wrong keys");
    assert_string_equal(member(answer, "state"), "failed");
    assert_non_null(strstr(member(answer, "last_error"), "server-error"));
    /* And to those who come later, at once. */
    answer = ask(SHOP, "GET", TOKEN);
    assert_answer(answer, 503, "no-usable-token");
    assert_string_equal(member(answer, "detail"), "vipps answered 401: wrong keys");
    assert_int_equal(pop_fetches(), 0);
    assert_int_equal(entry_of("alpha")->profile.stats.api_requests[STATS_503], 2);
}

static void retry_after_is_the_next_attempt_rounded_up(void **state _unused_)
{
    static const struct {
        usec_t in;
        const char *header;
    } cases[] = {
        {0,                "1"   },
        {1,                "1"   },
        {USEC_PER_SEC,     "1"   },
        {USEC_PER_SEC + 1, "2"   },
        {SEC(59) + 999999, "60"  },
        {SEC(60),          "60"  },
        {SEC(3600),        "3600"},
        {USEC_INFINITY,    "60"  }, /* nothing is planned */
    };
    struct profile *p = &entry_of("alpha")->profile;

    registry_start(&f.registry, f.now);
    assert_int_equal(pop_fetches(), 3);
    end_with_failure("alpha", FAILURE_PERMANENT, "no");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct request r = make_request(SHOP, "GET", TOKEN);
        r.entry = entry_of("alpha");
        r.waiter.answer = ANSWER_FAILED;
        p->refresh_at = usec_add(f.now, cases[i].in);
        struct response *answer = api_finish(&f.api, &r);
        assert_string_equal(answer->retry_after, cases[i].header);
        (void) response_unref(answer);
    }
    /* Settings that cannot be used are not mended by asking. */
    const struct response *answer = ask(SHOP, "GET", "/v1/profiles/broken/token");
    assert_string_equal(answer->retry_after, "60");
    assert_string_equal(member(answer, "detail"), "broken.conf:3: no such file");
}

static void too_much_life_is_explained(void **state _unused_)
{
    all_fresh();
    const struct response *answer = ask(SHOP, "GET", TOKEN "?min_ttl=7200");
    assert_answer(answer, 409, "min-ttl-too-long");
    assert_string_equal(member(answer, "detail"),
                        "min_ttl=7200 is more than a token of this issuer has left even when it is new: "
                        "the current one was granted for 3600 s");
    assert_string_equal(member(answer, "state"), "fresh");
    assert_string_equal(answer->retry_after, "");
    assert_int_equal(pop_fetches(), 0);
}

/* No memory is not "later": nobody would ever come back to it. */
static void without_memory_nothing_waits(void **state _unused_)
{
    struct request r = make_request(SHOP, "GET", TOKEN);

    all_fresh();
    f.has_no_memory = true;
    assert_null(ask_with(&r));
    assert_false(r.is_waiting);
    r = make_request(STRANGER, "GET", TOKEN);
    assert_null(ask_with(&r));
    assert_false(r.is_waiting);
    f.has_no_memory = false;
    assert_answer(ask(SHOP, "GET", TOKEN), 200, NULL);
}

/* ---- refresh ---- */

static void an_admin_forces_a_refresh_and_gets_the_status(void **state _unused_)
{
    struct request r = make_request(ADMIN, "POST", REFRESH);

    all_fresh();
    assert_null(ask_with(&r));
    assert_true(r.is_waiting);
    assert_int_equal(pop_fetches(), 1);
    /* Nobody else waits meanwhile. */
    assert_answer(ask(SHOP, "GET", TOKEN), 200, NULL);
    f.now += SEC(1);
    end_with_token("alpha", "new-token", SEC(3600));
    const struct response *answer = finish_waiting(&r);
    assert_answer(answer, 200, NULL);
    assert_string_equal(member(answer, "name"), "alpha");
    assert_string_equal(member(answer, "generation"), "2");
    assert_string_equal(member(answer, "access_token"), "");
    assert_null(strstr(answer->body, "new-token"));
}

static void a_refresh_that_fails_says_so_though_a_token_is_left(void **state _unused_)
{
    struct request r = make_request(ADMIN, "POST", REFRESH);

    all_fresh();
    assert_null(ask_with(&r));
    assert_int_equal(pop_fetches(), 1);
    end_with_failure("alpha", FAILURE_TRANSIENT, "vipps answered 503");
    const struct response *answer = finish_waiting(&r);
    assert_answer(answer, 503, "refresh-failed");
    assert_string_equal(member(answer, "detail"), "vipps answered 503");
    assert_string_equal(member(answer, "state"), "stale");
    assert_answer(ask(SHOP, "GET", TOKEN), 200, NULL);
}

/* ---- stop ---- */

static void at_the_stop_everybody_is_told(void **state _unused_)
{
    struct request r = make_request(SHOP, "GET", TOKEN);

    registry_start(&f.registry, f.now);
    assert_int_equal(pop_fetches(), 3);
    end_with_token("other", "token-of-other", SEC(3600));
    assert_null(ask_with(&r));
    registry_stop(&f.registry, f.now);
    const struct response *answer = finish_waiting(&r);
    assert_answer(answer, 503, "stopping");
    assert_string_equal(answer->retry_after, "1");
    assert_string_equal(member(answer, "profile"), "alpha");
    /* The last requests that came in: what is here is handed out, nothing is begun. */
    assert_answer(ask(SHOP, "GET", TOKEN), 503, "stopping");
    assert_answer(ask(STRANGER, "GET", "/v1/profiles/other/token"), 200, NULL);
    assert_answer(ask(ADMIN, "POST", "/v1/profiles/other/refresh"), 503, "stopping");
    assert_answer(ask(ADMIN, "GET", "/v1/profiles/other"), 200, NULL);
    assert_int_equal(pop_fetches(), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, api_set_up, api_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_same_second_has_the_same_answer),
        TEST(what_is_kept_is_dropped_when_told_so),
        TEST(a_new_token_is_never_hidden_by_an_old_answer),
        TEST(each_form_is_kept_for_itself),
        TEST(what_is_kept_is_not_for_strangers),
        TEST(a_kept_answer_does_not_outlive_the_token),
        TEST(a_caller_waits_for_the_fetch_in_flight),
        TEST(a_token_at_hand_kicks_nobody),
        TEST(a_caller_that_leaves_is_forgotten),
        TEST(time_is_up_while_the_upstream_is_silent),
        TEST(a_failure_is_told_in_its_own_words),
        TEST(retry_after_is_the_next_attempt_rounded_up),
        TEST(too_much_life_is_explained),
        TEST(without_memory_nothing_waits),
        TEST(an_admin_forces_a_refresh_and_gets_the_status),
        TEST(a_refresh_that_fails_says_so_though_a_token_is_left),
        TEST(at_the_stop_everybody_is_told),
    };
    return cmocka_run_group_tests_name("api, tokens", tests, NULL, NULL);
}
