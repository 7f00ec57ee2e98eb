/* SPDX-License-Identifier: MIT */
/* Who gets which answer from which endpoint. */
#include "api_fixture.h"

#include <json-c/json.h>

#define V1 "/v1/profiles"

static void each_endpoint_answers_each_caller(void **state _unused_)
{
    static const struct {
        const char *method;
        const char *target;
        uint32_t uid;
        unsigned status;
        const char *type; /* NULL: a plain answer */
    } cases[] = {
        {"GET",  V1 "/alpha/token",                SHOP,     200, NULL              },
        {"GET",  V1 "/alpha/token",                STRANGER, 404, "unknown-profile" },
        {"GET",  V1 "/alpha/token",                ADMIN,    404, "unknown-profile" }, /* admin never implies tokens */
        {"GET",  V1 "/nobody/token",               SHOP,     404, "unknown-profile" },
        {"GET",  V1 "/nobody/token",               ADMIN,    404, "unknown-profile" },
        {"GET",  V1 "/broken/token",               SHOP,     503, "no-usable-token" },
        {"GET",  V1 "/broken/token",               STRANGER, 404, "unknown-profile" },

        {"GET",  V1 "/alpha/headers",              SHOP,     200, NULL              },
        {"GET",  V1 "/alpha/headers",              STRANGER, 404, "unknown-profile" },
        {"GET",  V1 "/alpha/headers",              ADMIN,    404, "unknown-profile" },
        {"GET",  V1 "/nobody/headers",             SHOP,     404, "unknown-profile" },
        {"GET",  V1 "/broken/headers",             SHOP,     503, "no-usable-token" },

        {"GET",  V1 "/alpha",                      SHOP,     200, NULL              },
        {"GET",  V1 "/alpha",                      STRANGER, 404, "unknown-profile" },
        {"GET",  V1 "/alpha",                      ADMIN,    200, NULL              },
        {"GET",  V1 "/nobody",                     ADMIN,    404, "unknown-profile" },
        {"GET",  V1 "/broken",                     SHOP,     200, NULL              },
        {"GET",  V1 "/broken",                     ADMIN,    200, NULL              },

        {"POST", V1 "/alpha/refresh",              SHOP,     403, "forbidden"       },
        {"POST", V1 "/alpha/refresh",              STRANGER, 404, "unknown-profile" },
        {"POST", V1 "/nobody/refresh",             SHOP,     404, "unknown-profile" },
        {"POST", V1 "/nobody/refresh",             ADMIN,    404, "unknown-profile" },
        {"POST", V1 "/broken/refresh",             ADMIN,    503, "refresh-failed"  },

        {"GET",  V1,                               SHOP,     200, NULL              },
        {"GET",  V1,                               STRANGER, 200, NULL              },
        {"GET",  V1,                               ADMIN,    200, NULL              },
        {"GET",  V1,                               99,       200, NULL              },
        {"GET",  "/healthz",                       99,       200, NULL              },
        {"GET",  "/readyz",                        99,       503, "not-ready"       }, /* broken never is */
        {"HEAD", V1 "/alpha/token",                SHOP,     200, NULL              },
        {"HEAD", V1 "/alpha/token",                STRANGER, 404, "unknown-profile" },
        {"HEAD", "/healthz",                       99,       200, NULL              },
        {"GET",  "/",                              ADMIN,    404, "not-found"       },
        {"POST", "/nothing",                       ADMIN,    404, "not-found"       },
        {"GET",  V1 "/alpha/rejected",             SHOP,     404, "not-found"       },
        {"GET",  V1 "/alpha/token?wait=61",        SHOP,     400, "bad-request"     },
        {"GET",  V1 "/alpha/token?wait=61",        STRANGER, 400, "bad-request"     },
        {"GET",  V1 "/nobody/token?wait=61",       STRANGER, 400, "bad-request"     },
        {"GET",  V1 "/alpha/token?min_ttl=3600",   SHOP,     200, NULL              },
        {"GET",  V1 "/alpha/token?min_ttl=3601",   SHOP,     409, "min-ttl-too-long"},
        {"GET",  V1 "/alpha/headers?min_ttl=3601", SHOP,     409, "min-ttl-too-long"},
        {"GET",  V1 "/alpha/token?min_ttl=3601",   STRANGER, 404, "unknown-profile" },
    };

    all_fresh();
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct response *answer = ask(cases[i].uid, cases[i].method, cases[i].target);
        if (answer->status != cases[i].status)
            fail_msg("%s %s by %u: %u", cases[i].method, cases[i].target, cases[i].uid, answer->status);
        assert_answer(answer, cases[i].status, cases[i].type);
        /* Tokens lie in memory of their own, and are nowhere else. */
        if (!answer->is_secret)
            assert_null(strstr(answer->body, "token-of"));
    }
    /* None of these was worth an upstream request. */
    assert_int_equal(pop_fetches(), 0);
}

/* Byte for byte, apart from the name that was asked for. */
static void an_unknown_profile_and_one_that_is_not_ours_look_alike(void **state _unused_)
{
    static const char *const rests[] = {"", "/token", "/headers", "/refresh", "/token?min_ttl=99999"};

    all_fresh();
    for (size_t i = 0; i < ARRAY_SIZE(rests); i++) {
        const char *method = i == 3 ? "POST" : "GET";
        char target[64], body[512];
        (void) snprintf(target, sizeof(target), V1 "/alphx%s", rests[i]);
        const struct response *answer = ask(STRANGER, method, target);
        (void) snprintf(body, sizeof(body), "%s", answer->body);
        char *x = strstr(body, "alphx");
        assert_non_null(x);
        x[4] = 'a';
        (void) snprintf(target, sizeof(target), V1 "/alpha%s", rests[i]);
        answer = ask(STRANGER, method, target);
        assert_int_equal(answer->status, 404);
        assert_string_equal(answer->body, body);
        assert_string_equal(answer->retry_after, "");
        assert_string_equal(answer->allow, "");
        assert_string_equal(answer->etag, "");
        assert_string_equal(answer->content_type, "application/problem+json");
    }
    /* A state that shows in other ways shows not here either. */
    const struct response *answer = ask(STRANGER, "GET", V1 "/broken/token");
    assert_string_equal(member(answer, "state"), "");
    assert_null(strstr(answer->body, "broken.conf"));
}

static void the_wrong_method_is_told_the_right_one(void **state _unused_)
{
    static const struct {
        const char *target;
        const char *allow;
    } cases[] = {
        {V1,                  "GET, HEAD"},
        {V1 "/alpha",         "GET, HEAD"},
        {V1 "/alpha/token",   "GET, HEAD"},
        {V1 "/alpha/headers", "GET, HEAD"},
        {"/healthz",          "GET, HEAD"},
        {"/readyz",           "GET, HEAD"},
        {"/metrics",          "GET, HEAD"},
        {V1 "/alpha/refresh", "POST"     },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        bool is_post = strcmp(cases[i].allow, "POST") == 0;
        const struct response *answer = ask(ADMIN, is_post ? "GET" : "POST", cases[i].target);
        assert_answer(answer, 405, "method-not-allowed");
        assert_string_equal(answer->allow, cases[i].allow);
        assert_int_equal(ask(STRANGER, "DELETE", cases[i].target)->status, 405);
    }
    assert_int_equal(ask(ADMIN, "HEAD", V1 "/alpha/refresh")->status, 405);
}

static void a_body_too_large_is_refused_before_anything_is_done(void **state _unused_)
{
    struct request r = make_request(ADMIN, "POST", V1 "/alpha/refresh");

    all_fresh();
    r.is_body_too_large = true;
    assert_answer(ask_with(&r), 413, "body-too-large");
    assert_int_equal(pop_fetches(), 0);
    r = make_request(SHOP, "GET", V1 "/alpha/token");
    r.is_body_too_large = true;
    assert_answer(ask_with(&r), 413, "body-too-large");
}

/* The names in the answer of /v1/profiles. */
static void assert_listed(uint32_t uid, const char *names)
{
    char found[128] = "";
    struct json_object *o = json_tokener_parse(ask(uid, "GET", V1)->body);
    struct json_object *list = json_object_object_get(o, "profiles");

    for (size_t i = 0; i < json_object_array_length(list); i++) {
        size_t n = strlen(found);
        (void) snprintf(
            found + n, sizeof(found) - n, "%s ",
            json_object_get_string(json_object_object_get(json_object_array_get_idx(list, i), "name")));
    }
    json_object_put(o);
    assert_string_equal(found, names);
}

static void the_list_has_what_the_caller_may_use_or_see(void **state _unused_)
{
    assert_listed(ADMIN, "alpha broken group other ");
    assert_listed(SHOP, "alpha broken ");
    assert_listed(STRANGER, "other ");
    assert_listed(55, "group ");
    assert_listed(99, "");
    assert_string_equal(ask(99, "GET", V1)->body, "{\"profiles\":[]}\n");
    /* Looking is no attempt to use. */
    assert_int_equal(f.n_logged, 0);
    assert_int_equal(entry_of("alpha")->profile.stats.denied, 0);
}

static void group_rules_load_the_groups_and_others_do_not(void **state _unused_)
{
    all_fresh();
    assert_answer(ask(SHOP, "GET", V1 "/alpha/token"), 200, NULL);
    assert_int_equal(f.n_groups_loads, 0);
    assert_answer(ask(55, "GET", V1 "/group/token"), 200, NULL);
    assert_true(f.n_groups_loads > 0);
    assert_answer(ask(56, "GET", V1 "/group/token"), 404, "unknown-profile");
    /* The primary group is known without. */
    struct request r = make_request(57, "GET", V1 "/group/token");
    r.peer.gid = 500;
    assert_answer(ask_with(&r), 200, NULL);

    access_list_done(&f.settings.admin);
    f.settings.admin = (struct access_list){.rules = calloc(1, sizeof(struct access_rule)), .n_rules = 1};
    assert_non_null(f.settings.admin.rules);
    f.settings.admin.rules[0] = (struct access_rule){.kind = ACCESS_GROUP, .id = 600};
    assert_answer(ask(55, "GET", V1 "/other"), 200, NULL);
    assert_answer(ask(ADMIN, "GET", V1 "/other"), 404, "unknown-profile");
}

/* Who may use it may know why; who may not gets 404 and nothing else. */
static void a_refusal_tells_a_user_of_the_state(void **state _unused_)
{
    all_fresh();
    const struct response *answer = ask(SHOP, "POST", V1 "/alpha/refresh");
    assert_answer(answer, 403, "forbidden");
    assert_string_equal(member(answer, "profile"), "alpha");
    assert_string_equal(member(answer, "state"), "fresh");
    assert_int_equal(entry_of("alpha")->profile.stats.api_requests[STATS_403], 1);
    assert_int_equal(f.n_logged, 0);
}

/* An empty Allow= is nobody, not everybody. */
static void without_rules_nobody_may(void **state _unused_)
{
    access_list_done(&f.profiles[0].allow);
    access_list_done(&f.settings.admin);
    all_fresh();
    assert_answer(ask(SHOP, "GET", V1 "/alpha/token"), 404, "unknown-profile");
    assert_answer(ask(ADMIN, "GET", V1 "/alpha"), 404, "unknown-profile");
    assert_answer(ask(ADMIN, "POST", V1 "/alpha/refresh"), 404, "unknown-profile");
}

/* ---- denials ---- */

static void a_denial_is_logged_and_counted(void **state _unused_)
{
    (void) ask(STRANGER, "GET", V1 "/alpha/token");
    assert_int_equal(f.n_logged, 1);
    assert_string_equal(f.fields, "PROFILE=alpha PEER_UID=44 PEER_PID=7");
    assert_string_equal(f.said, "alpha: uid 44, pid 7 is not admitted by any Allow= rule");
    assert_int_equal(entry_of("alpha")->profile.stats.denied, 1);
    /* For the metrics of the profile it did not happen: else its owner sees the probing of others as his own
     * errors. */
    assert_int_equal(entry_of("alpha")->profile.stats.api_requests[STATS_404], 0);
    assert_int_equal(f.stats.api_requests[STATS_404], 1);
    /* A name that is not there is nobody's denial. */
    (void) ask(STRANGER, "GET", V1 "/nobody/token");
    assert_int_equal(f.n_logged, 1);
    assert_int_equal(f.stats.api_requests[STATS_404], 2);
}

static void who_knocks_all_day_does_not_fill_the_journal(void **state _unused_)
{
    for (unsigned i = 0; i < 1000; i++)
        (void) ask(STRANGER, "GET", V1 "/alpha/token");
    assert_int_equal(f.n_logged, 20);
    assert_int_equal(entry_of("alpha")->profile.stats.denied, 1000);
    /* One a second from there on, with the number of those left out. */
    f.now += SEC(1);
    for (unsigned i = 0; i < 10; i++)
        (void) ask(STRANGER, "GET", V1 "/alpha/token");
    assert_int_equal(f.n_logged, 21);
    assert_non_null(strstr(f.said, "(980 more not logged)"));
    f.now += SEC(1);
    (void) ask(STRANGER, "GET", V1 "/alpha/token");
    assert_int_equal(f.n_logged, 22);
    assert_non_null(strstr(f.said, "(9 more not logged)"));
    /* After a quiet time the burst is there again, and no more than it. */
    f.now += SEC(86400);
    for (unsigned i = 0; i < 100; i++)
        (void) ask(STRANGER, "GET", V1 "/alpha/token");
    assert_int_equal(f.n_logged, 42);
}

/* ---- health ---- */

static void health_can_fail(void **state _unused_)
{
    const struct response *answer = ask(99, "GET", "/healthz");
    assert_answer(answer, 200, NULL);
    assert_string_equal(answer->body, "{\"status\":\"ok\"}\n");
    f.is_sick = true;
    answer = ask(99, "GET", "/healthz");
    assert_answer(answer, 503, "unhealthy");
    assert_string_equal(answer->retry_after, "1");
}

static void ready_is_when_all_have_a_token(void **state _unused_)
{
    const struct response *answer = ask(99, "GET", "/readyz");
    assert_answer(answer, 503, "not-ready");
    assert_string_equal(answer->retry_after, "1");
    assert_string_equal(member(answer, "detail"), "4 of 4 profiles have no usable token");
    all_fresh();
    assert_string_equal(member(ask(99, "GET", "/readyz"), "detail"), "1 of 4 profiles have no usable token");
    /* Names are for admins. */
    assert_string_equal(member(ask(ADMIN, "GET", "/readyz"), "detail"),
                        "1 of 4 profiles have no usable token: broken (failed)");
    f.now += SEC(3600);
    assert_non_null(
        strstr(ask(ADMIN, "GET", "/readyz")->body, ": alpha (empty), broken (failed), group (empty)"));
}

static void ready_is_two_hundred_without_a_broken_one(void **state _unused_)
{
    registry_done(&f.registry);
    registry_init(&f.registry, 16, 1);
    assert_int_equal(registry_add(&f.registry, &f.profiles[0]), 0);
    registry_start(&f.registry, f.now);
    assert_int_equal(pop_fetches(), 1);
    assert_int_equal(ask(99, "GET", "/readyz")->status, 503);
    end_with_token("alpha", "token-of-alpha", SEC(3600));
    const struct response *answer = ask(99, "GET", "/readyz");
    assert_answer(answer, 200, NULL);
    assert_string_equal(answer->body, "{\"status\":\"ready\"}\n");
}

static void metrics_show_each_what_he_may_see(void **state _unused_)
{
    static const struct {
        uint32_t uid;
        bool sees_alpha, sees_other;
    } cases[] = {
        {ADMIN,    true,  true },
        {SHOP,     true,  false},
        {STRANGER, false, true },
        {99,       false, false},
    };

    all_fresh();
    (void) ask(SHOP, "GET", V1 "/alpha/token");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct response *answer = ask(cases[i].uid, "GET", "/metrics");
        assert_int_equal(answer->status, 200);
        assert_string_equal(answer->content_type, "text/plain; version=0.0.4; charset=utf-8");
        assert_int_equal(strstr(answer->body, "\"alpha\"") != NULL, cases[i].sees_alpha);
        assert_int_equal(strstr(answer->body, "\"other\"") != NULL, cases[i].sees_other);
        assert_non_null(strstr(answer->body, "\nbearerd_connections "));
    }
    assert_non_null(strstr(ask(ADMIN, "GET", "/metrics")->body,
                           "\nbearerd_api_requests_total{profile=\"alpha\",code=\"200\"} 1\n"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, api_set_up, api_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_endpoint_answers_each_caller),
        TEST(an_unknown_profile_and_one_that_is_not_ours_look_alike),
        TEST(the_wrong_method_is_told_the_right_one),
        TEST(a_body_too_large_is_refused_before_anything_is_done),
        TEST(the_list_has_what_the_caller_may_use_or_see),
        TEST(group_rules_load_the_groups_and_others_do_not),
        TEST(a_refusal_tells_a_user_of_the_state),
        TEST(without_rules_nobody_may),
        TEST(a_denial_is_logged_and_counted),
        TEST(who_knocks_all_day_does_not_fill_the_journal),
        TEST(health_can_fail),
        TEST(ready_is_when_all_have_a_token),
        TEST(ready_is_two_hundred_without_a_broken_one),
        TEST(metrics_show_each_what_he_may_see),
    };
    return cmocka_run_group_tests_name("api", tests, NULL, NULL);
}
