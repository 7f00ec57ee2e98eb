/* SPDX-License-Identifier: MIT */
/* /v1/reload, and what new settings mean for those who wait. */
#include "api_fixture.h"

#include <stdlib.h>

#define TOKEN    "/v1/profiles/alpha/token"
#define UNKNOWN  "/v1/profiles/alphx/token"
#define RELOAD   "/v1/reload"
#define RELOADED "{\"outcome\":\"reloaded\"}\n"

/* ---- asking for a reload ---- */

static void only_admins_reload(void **state _unused_)
{
    const struct response *answer = ask(SHOP, "POST", RELOAD);

    assert_answer(answer, 403, "forbidden");
    assert_int_equal(f.n_reloads, 0);
    assert_int_equal(f.registry.n_waiters, 0);
    assert_int_equal(f.stats.api_requests[STATS_403], 1);
}

static void who_reloads_waits_for_the_outcome(void **state _unused_)
{
    struct request r = make_request(ADMIN, "POST", RELOAD);

    all_fresh();
    f.outcome = RELOADED;
    f.outcome_status = 200;
    assert_null(ask_with(&r));
    assert_true(r.is_waiting);
    assert_int_equal(f.n_reloads, 1);
    assert_int_equal(f.n_kicks, 1);
    /* Nobody else does. */
    assert_answer(ask(SHOP, "GET", TOKEN), 200, NULL);
    end_reload();
    const struct response *answer = finish_waiting(&r);
    assert_answer(answer, 200, NULL);
    assert_string_equal(answer->body, RELOADED);
}

/* While the last requests to upstreams end, the registry goes on as ever. */
static void what_is_not_read_any_more_is_not_said_to_be(void **state _unused_)
{
    f.is_stopping = true;
    f.outcome = RELOADED;
    f.outcome_status = 200;
    assert_answer(ask(ADMIN, "POST", RELOAD), 503, "stopping");
    assert_int_equal(f.n_reloads, 0);
    assert_int_equal(f.registry.n_waiters, 0);
}

static void a_refused_reload_is_a_problem(void **state _unused_)
{
    struct request r = make_request(ADMIN, "POST", RELOAD);

    f.outcome = "{\"type\":\"urn:bearerd:problem:reload-refused\",\"status\":409,\"detail\":\"no\"}\n";
    f.outcome_status = 409;
    assert_null(ask_with(&r));
    end_reload();
    assert_answer(finish_waiting(&r), 409, "reload-refused");
    assert_int_equal(f.stats.api_requests[STATS_409], 1);
}

/* The reading is over, and new keys are being proven: that belongs to the outcome. */
static void it_waits_for_the_proof_of_new_keys(void **state _unused_)
{
    struct request r = make_request(ADMIN, "POST", RELOAD);

    all_fresh();
    f.outcome = RELOADED;
    f.outcome_status = 200;
    assert_null(ask_with(&r));
    /* The client of the old settings is another than that of the new ones. */
    free(f.profiles[0]->client_id);
    f.profiles[0]->client_id = strdup("another");
    reload_without(NULL);
    end_reload();
    assert_null(registry_pop_answer(&f.registry));
    assert_int_equal(pop_fetches(), 1);
    end_with_token("alpha", "new-one", SEC(3600));
    assert_answer(finish_waiting(&r), 200, NULL);
}

static void several_have_the_same_outcome(void **state _unused_)
{
    struct request r[3];

    f.outcome = RELOADED;
    f.outcome_status = 200;
    for (size_t i = 0; i < ARRAY_SIZE(r); i++) {
        r[i] = make_request(ADMIN, "POST", RELOAD);
        assert_null(ask_with(&r[i]));
    }
    end_reload();
    for (size_t i = 0; i < ARRAY_SIZE(r); i++)
        assert_string_equal(finish_waiting(&r[i])->body, RELOADED);
}

static void a_reading_that_takes_long_goes_on(void **state _unused_)
{
    struct request r = make_request(ADMIN, "POST", RELOAD);

    assert_null(ask_with(&r));
    f.now += SEC(60);
    registry_advance(&f.registry, f.now);
    const struct response *answer = finish_waiting(&r);
    assert_answer(answer, 503, "reload-timed-out");
    assert_string_equal(answer->retry_after, "1");
    assert_true(f.is_reading);
}

/* The proofs take longer than anybody waits: what is known by then is told. */
static void proofs_that_take_long_are_told_as_they_stand(void **state _unused_)
{
    struct request r = make_request(ADMIN, "POST", RELOAD);

    f.outcome = RELOADED;
    f.outcome_status = 200;
    assert_null(ask_with(&r));
    registry_hold_proofs(&f.registry);
    end_reload();
    assert_null(registry_pop_answer(&f.registry));
    f.now += SEC(60);
    registry_advance(&f.registry, f.now);
    assert_string_equal(finish_waiting(&r)->body, RELOADED);
}

static void at_the_stop_a_reload_is_over(void **state _unused_)
{
    struct request r = make_request(ADMIN, "POST", RELOAD);

    assert_null(ask_with(&r));
    registry_stop(&f.registry, f.now);
    assert_answer(finish_waiting(&r), 503, "stopping");
    assert_answer(ask(ADMIN, "POST", RELOAD), 503, "stopping");
}

static void who_reloads_may_leave(void **state _unused_)
{
    struct request r = make_request(ADMIN, "POST", RELOAD);

    assert_null(ask_with(&r));
    api_hang_up(&f.api, &r);
    assert_int_equal(f.registry.n_waiters, 0);
    end_reload();
    assert_null(registry_pop_answer(&f.registry));
}

/* ---- those who wait ---- */

/* What an unknown name gets, with the name of the real one in it. */
static void read_unknown(char *ret, size_t size)
{
    (void) snprintf(ret, size, "%s", ask(SHOP, "GET", UNKNOWN)->body);
    strstr(ret, "alphx")[4] = 'a';
}

static void a_profile_that_goes_is_unknown_to_who_waits_for_it(void **state _unused_)
{
    struct request waits = make_request(SHOP, "GET", TOKEN), reports, polls, refreshes;
    struct request *all[] = {&waits, &reports, &polls, &refreshes};
    char unknown[512], body[64];

    read_unknown(unknown, sizeof(unknown));
    all_fresh();
    f.now += SEC(60);
    waits = make_request(SHOP, "GET", TOKEN "?min_ttl=3550");
    (void) snprintf(body, sizeof(body), "{\"fingerprint\":\"%s\"}", fingerprint_of("token-of-alpha"));
    reports = make_post(SHOP, "/v1/profiles/alpha/rejected", body);
    polls = make_request(SHOP, "GET", TOKEN "?wait=60");
    polls.if_none_match = "\"g1\"";
    refreshes = make_request(ADMIN, "POST", "/v1/profiles/alpha/refresh");
    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        assert_null(ask_with(all[i]));
        assert_true(all[i]->is_waiting);
    }
    /* The entry is freed by this; what the requests know of it must not be looked at. */
    reload_without("alpha");
    uint64_t n_before = f.stats.api_requests[STATS_404];
    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        const struct response *answer = finish_waiting(all[i]);
        assert_answer(answer, 404, "unknown-profile");
        assert_string_equal(answer->body, unknown);
        assert_string_equal(answer->retry_after, "");
        assert_string_equal(answer->etag, "");
    }
    assert_int_equal(f.stats.api_requests[STATS_404], n_before + ARRAY_SIZE(all));
    assert_answer(ask(SHOP, "GET", TOKEN), 404, "unknown-profile");
}

/* Its answer lay ready when the profile went: the token is not given any more. */
static void an_answer_that_lay_ready_is_looked_at_again(void **state _unused_)
{
    struct request r = make_request(SHOP, "GET", TOKEN);

    registry_start(&f.registry, f.now);
    assert_int_equal(pop_fetches(), 3);
    assert_null(ask_with(&r));
    end_with_token("alpha", "token-of-alpha", SEC(3600));
    reload_without("alpha");
    assert_answer(finish_waiting(&r), 404, "unknown-profile");
}

static void a_right_that_goes_is_gone_for_who_waits(void **state _unused_)
{
    struct request r = make_request(SHOP, "GET", TOKEN);
    char unknown[512];

    read_unknown(unknown, sizeof(unknown));
    registry_start(&f.registry, f.now);
    assert_int_equal(pop_fetches(), 3);
    assert_null(ask_with(&r));
    end_with_token("alpha", "token-of-alpha", SEC(3600));
    set_rule(&f.profiles[0]->allow, ACCESS_USER, STRANGER, "user:44");
    reload_without(NULL);
    uint64_t n_denied = entry_of("alpha")->profile.stats.denied;
    f.n_logged = 0;
    const struct response *answer = finish_waiting(&r);
    assert_answer(answer, 404, "unknown-profile");
    assert_string_equal(answer->body, unknown);
    assert_int_equal(entry_of("alpha")->profile.stats.denied, n_denied + 1);
    assert_int_equal(f.n_events[LOG_EVENT_HANDOUT], 0);
    assert_string_equal(f.said, "alpha: uid 33, pid 7 is not admitted by any Allow= rule");
    /* And whoever has it now, has it at once. */
    assert_answer(ask(STRANGER, "GET", TOKEN), 200, NULL);
}

/* A process that was moved out of its unit while it waited. */
static void a_unit_is_looked_up_again_for_who_has_waited(void **state _unused_)
{
    struct request stays = make_request(SHOP, "GET", TOKEN), leaves = make_request(77, "GET", TOKEN);

    set_rule(&f.profiles[0]->allow, ACCESS_UNIT, 0, "unit:shop-*.service");
    f.unit = "shop-1.service";
    registry_start(&f.registry, f.now);
    assert_int_equal(pop_fetches(), 3);
    assert_null(ask_with(&stays));
    assert_null(ask_with(&leaves));
    end_with_token("alpha", "token-of-alpha", SEC(3600));
    assert_answer(finish_waiting(&stays), 200, NULL);
    f.unit = "other.service";
    assert_answer(finish_waiting(&leaves), 404, "unknown-profile");
}

static void an_admin_of_then_is_none_now(void **state _unused_)
{
    struct request r = make_request(ADMIN, "POST", "/v1/profiles/alpha/refresh");

    all_fresh();
    assert_null(ask_with(&r));
    assert_int_equal(pop_fetches(), 1);
    set_rule(&f.settings.admin, ACCESS_USER, 99, "user:99");
    end_with_token("alpha", "new-one", SEC(3600));
    assert_answer(finish_waiting(&r), 404, "unknown-profile");
}

static void who_waits_for_what_stays_goes_on_waiting(void **state _unused_)
{
    struct request r = make_request(SHOP, "GET", TOKEN);

    registry_start(&f.registry, f.now);
    assert_int_equal(pop_fetches(), 3);
    assert_null(ask_with(&r));
    reload_without("other");
    assert_null(registry_pop_answer(&f.registry));
    end_with_token("alpha", "token-of-alpha", SEC(3600));
    assert_answer(finish_waiting(&r), 200, NULL);
}

/* A name that goes and comes again is another profile: no answer of the old one is kept for it. */
static void what_was_kept_of_a_profile_goes_with_it(void **state _unused_)
{
    all_fresh();
    assert_string_equal(member(ask(SHOP, "GET", TOKEN), "access_token"), "token-of-alpha");
    reload_without("alpha");
    reload_without(NULL);
    assert_int_equal(pop_fetches(), 1);
    assert_answer(ask(SHOP, "GET", TOKEN "?wait=0"), 503, "no-usable-token");
    end_with_token("alpha", "new-one", SEC(3600));
    const struct response *answer = ask(SHOP, "GET", TOKEN);
    assert_string_equal(member(answer, "access_token"), "new-one");
    /* Nor does a client with the old tag hold the new token for the old one. */
    assert_string_equal(answer->etag, "\"g2\"");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, api_set_up, api_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(only_admins_reload),
        TEST(who_reloads_waits_for_the_outcome),
        TEST(what_is_not_read_any_more_is_not_said_to_be),
        TEST(a_refused_reload_is_a_problem),
        TEST(it_waits_for_the_proof_of_new_keys),
        TEST(several_have_the_same_outcome),
        TEST(a_reading_that_takes_long_goes_on),
        TEST(proofs_that_take_long_are_told_as_they_stand),
        TEST(at_the_stop_a_reload_is_over),
        TEST(who_reloads_may_leave),
        TEST(a_profile_that_goes_is_unknown_to_who_waits_for_it),
        TEST(an_answer_that_lay_ready_is_looked_at_again),
        TEST(a_right_that_goes_is_gone_for_who_waits),
        TEST(a_unit_is_looked_up_again_for_who_has_waited),
        TEST(an_admin_of_then_is_none_now),
        TEST(who_waits_for_what_stays_goes_on_waiting),
        TEST(what_was_kept_of_a_profile_goes_with_it),
    };
    return cmocka_run_group_tests_name("api, reload", tests, NULL, NULL);
}
