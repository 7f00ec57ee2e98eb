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
        {"GET",  V1 "/alpha/token",                SHOP,     200, NULL                },
        {"GET",  V1 "/alpha/token",                STRANGER, 404, "unknown-profile"   },
        {"GET",  V1 "/alpha/token",                ADMIN,    404, "unknown-profile"   }, /* admin never implies tokens */
        {"GET",  V1 "/nobody/token",               SHOP,     404, "unknown-profile"   },
        {"GET",  V1 "/nobody/token",               ADMIN,    404, "unknown-profile"   },
        {"GET",  V1 "/broken/token",               SHOP,     503, "no-usable-token"   },
        {"GET",  V1 "/broken/token",               STRANGER, 404, "unknown-profile"   },

        {"GET",  V1 "/alpha/headers",              SHOP,     200, NULL                },
        {"GET",  V1 "/alpha/headers",              STRANGER, 404, "unknown-profile"   },
        {"GET",  V1 "/alpha/headers",              ADMIN,    404, "unknown-profile"   },
        {"GET",  V1 "/nobody/headers",             SHOP,     404, "unknown-profile"   },
        {"GET",  V1 "/broken/headers",             SHOP,     503, "no-usable-token"   },

        {"GET",  V1 "/alpha",                      SHOP,     200, NULL                },
        {"GET",  V1 "/alpha",                      STRANGER, 404, "unknown-profile"   },
        {"GET",  V1 "/alpha",                      ADMIN,    200, NULL                },
        {"GET",  V1 "/nobody",                     ADMIN,    404, "unknown-profile"   },
        {"GET",  V1 "/broken",                     SHOP,     200, NULL                },
        {"GET",  V1 "/broken",                     ADMIN,    200, NULL                },

        {"POST", V1 "/alpha/refresh",              SHOP,     403, "forbidden"         },
        {"POST", V1 "/alpha/refresh",              STRANGER, 404, "unknown-profile"   },
        {"POST", V1 "/nobody/refresh",             SHOP,     404, "unknown-profile"   },
        {"POST", V1 "/nobody/refresh",             ADMIN,    404, "unknown-profile"   },
        {"POST", V1 "/broken/refresh",             ADMIN,    503, "refresh-failed"    },

        {"GET",  V1,                               SHOP,     200, NULL                },
        {"GET",  V1,                               STRANGER, 200, NULL                },
        {"GET",  V1,                               ADMIN,    200, NULL                },
        {"GET",  V1,                               99,       200, NULL                },
        {"GET",  "/healthz",                       99,       200, NULL                },
        {"GET",  "/readyz",                        99,       503, "not-ready"         }, /* broken never is */
        {"HEAD", V1 "/alpha/token",                SHOP,     200, NULL                },
        {"HEAD", V1 "/alpha/token",                STRANGER, 404, "unknown-profile"   },
        {"HEAD", "/healthz",                       99,       200, NULL                },
        {"GET",  "/",                              ADMIN,    404, "not-found"         },
        {"POST", "/nothing",                       ADMIN,    404, "not-found"         },
        {"GET",  V1 "/alpha/rejected",             SHOP,     405, "method-not-allowed"},
        {"POST", V1 "/alpha/rejected",             SHOP,     400, "bad-request"       },
        {"POST", V1 "/alpha/rejected",             STRANGER, 404, "unknown-profile"   },
        {"POST", V1 "/alpha/rejected",             ADMIN,    404, "unknown-profile"   },
        {"POST", V1 "/nobody/rejected",            SHOP,     404, "unknown-profile"   },
        {"GET",  V1 "/alpha/explain",              SHOP,     403, "forbidden"         },
        {"GET",  V1 "/alpha/explain",              STRANGER, 404, "unknown-profile"   },
        {"GET",  V1 "/alpha/explain",              ADMIN,    200, NULL                },
        {"GET",  V1 "/broken/explain",             ADMIN,    200, NULL                },
        {"GET",  V1 "/nobody/explain",             ADMIN,    404, "unknown-profile"   },
        {"POST", "/v1/reload",                     SHOP,     403, "forbidden"         },
        {"GET",  V1 "/alpha/token?wait=61",        SHOP,     400, "bad-request"       },
        {"GET",  V1 "/alpha/token?wait=61",        STRANGER, 400, "bad-request"       },
        {"GET",  V1 "/nobody/token?wait=61",       STRANGER, 400, "bad-request"       },
        {"GET",  V1 "/alpha/token?min_ttl=3600",   SHOP,     200, NULL                },
        {"GET",  V1 "/alpha/token?min_ttl=3601",   SHOP,     409, "min-ttl-too-long"  },
        {"GET",  V1 "/alpha/headers?min_ttl=3601", SHOP,     409, "min-ttl-too-long"  },
        {"GET",  V1 "/alpha/token?min_ttl=3601",   STRANGER, 404, "unknown-profile"   },
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
    static const struct {
        const char *method;
        const char *rest;
        const char *body;
    } cases[] = {
        {"GET",  "",                     ""                                      },
        {"GET",  "/token",               ""                                      },
        {"HEAD", "/token",               ""                                      },
        {"GET",  "/token?min_ttl=99999", ""                                      },
        {"GET",  "/token?wait=60",       ""                                      },
        {"GET",  "/headers",             ""                                      },
        {"POST", "/refresh",             ""                                      },
        {"GET",  "/explain?uid=44",      ""                                      },
        {"POST", "/rejected",            "{\"fingerprint\":\"0123456789abcdef\"}"},
        {"POST", "/rejected",            "not even JSON"                         },
    };

    all_fresh();
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char target[64], body[512];
        (void) snprintf(target, sizeof(target), V1 "/alphx%s", cases[i].rest);
        struct request r = make_post(STRANGER, target, cases[i].body);
        r.method = make_request(STRANGER, cases[i].method, target).method;
        r.if_none_match = "\"g1\"";
        (void) snprintf(body, sizeof(body), "%s", ask_with(&r)->body);
        char *x = strstr(body, "alphx");
        assert_non_null(x);
        x[4] = 'a';
        (void) snprintf(target, sizeof(target), V1 "/alpha%s", cases[i].rest);
        r = make_post(STRANGER, target, cases[i].body);
        r.method = make_request(STRANGER, cases[i].method, target).method;
        r.if_none_match = "\"g1\"";
        const struct response *answer = ask_with(&r);
        assert_int_equal(answer->status, 404);
        assert_string_equal(answer->body, body);
        assert_string_equal(answer->retry_after, "");
        assert_string_equal(answer->allow, "");
        assert_string_equal(answer->etag, "");
        assert_string_equal(answer->content_type, "application/problem+json");
    }
    assert_int_equal(pop_fetches(), 0);
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
        {V1,                   "GET, HEAD"},
        {V1 "/alpha",          "GET, HEAD"},
        {V1 "/alpha/token",    "GET, HEAD"},
        {V1 "/alpha/headers",  "GET, HEAD"},
        {V1 "/alpha/explain",  "GET, HEAD"},
        {V1 "/alpha/rejected", "POST"     },
        {"/v1/reload",         "POST"     },
        {"/healthz",           "GET, HEAD"},
        {"/readyz",            "GET, HEAD"},
        {"/metrics",           "GET, HEAD"},
        {V1 "/alpha/refresh",  "POST"     },
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

    set_rule(&f.settings.admin, ACCESS_GROUP, 600, "group:600");
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
    access_list_done(&f.profiles[0]->allow);
    access_list_done(&f.settings.admin);
    all_fresh();
    assert_answer(ask(SHOP, "GET", V1 "/alpha/token"), 404, "unknown-profile");
    assert_answer(ask(ADMIN, "GET", V1 "/alpha"), 404, "unknown-profile");
    assert_answer(ask(ADMIN, "POST", V1 "/alpha/refresh"), 404, "unknown-profile");
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
    assert_int_equal(registry_add(&f.registry, f.profiles[0]), 0);
    registry_start(&f.registry, f.now);
    assert_int_equal(pop_fetches(), 1);
    assert_int_equal(ask(99, "GET", "/readyz")->status, 503);
    end_with_token("alpha", "token-of-alpha", SEC(3600));
    const struct response *answer = ask(99, "GET", "/readyz");
    assert_answer(answer, 200, NULL);
    assert_string_equal(answer->body, "{\"status\":\"ready\"}\n");
}

/* One that is fetched on first use is not missed before. */
static void ready_does_not_ask_for_what_is_not_preloaded(void **state _unused_)
{
    f.profiles[0]->is_preloaded = false;
    f.profiles[2]->is_preloaded = false;
    registry_start(&f.registry, f.now);
    assert_int_equal(pop_fetches(), 1);
    assert_string_equal(member(ask(ADMIN, "GET", "/readyz"), "detail"),
                        "2 of 4 profiles have no usable token: broken (failed), group (fetching)");
    end_with_token("group", "token-of-group", SEC(3600));
    assert_string_equal(member(ask(ADMIN, "GET", "/readyz"), "detail"),
                        "1 of 4 profiles have no usable token: broken (failed)");
}

/* A detail is not cut in the middle of a name. */
static void ready_names_some_and_counts_the_rest(void **state _unused_)
{
    char name[PROFILE_NAME_MAX + 1];
    struct profile_settings *many[20];

    registry_done(&f.registry);
    registry_init(&f.registry, 16, 1);
    for (size_t i = 0; i < ARRAY_SIZE(many); i++) {
        (void) snprintf(name, sizeof(name), "%020zu%043d", i, 0);
        many[i] = calloc(1, sizeof(struct profile_settings));
        assert_non_null(many[i]);
        *many[i] = (struct profile_settings){
            .name = strdup(name), .token_url = strdup("https://one.example"), .is_preloaded = true};
        assert_int_equal(registry_add(&f.registry, many[i]), 0);
        profile_settings_free(many[i]);
    }
    const char *detail = member(ask(ADMIN, "GET", "/readyz"), "detail");
    assert_non_null(strstr(detail, "20 of 20 profiles have no usable token: 00000000000000000000"));
    assert_non_null(strstr(detail, " (empty) and 16 more"));
    assert_string_equal(detail + strlen(detail) - strlen(" and 16 more"), " and 16 more");
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
        TEST(health_can_fail),
        TEST(ready_is_when_all_have_a_token),
        TEST(ready_is_two_hundred_without_a_broken_one),
        TEST(ready_does_not_ask_for_what_is_not_preloaded),
        TEST(ready_names_some_and_counts_the_rest),
        TEST(metrics_show_each_what_he_may_see),
    };
    return cmocka_run_group_tests_name("api", tests, NULL, NULL);
}
