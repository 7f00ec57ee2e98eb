/* SPDX-License-Identifier: MIT */
/* Who may know what of a profile: explanations, and the members of a status. */
#include "api_fixture.h"

#include <json-c/json.h>

#define EXPLAIN "/v1/profiles/alpha/explain"

/* A member of a member ("caller", "why"). Borrowed until the next call. */
static const char *inner(const struct response *answer, const char *outer, const char *name)
{
    static char text[512];
    struct json_object *o = json_tokener_parse(answer->body);
    struct json_object *value = json_object_object_get(json_object_object_get(o, outer), name);

    (void) snprintf(text, sizeof(text), "%s", value ? json_object_get_string(value) : "null");
    json_object_put(o);
    return text;
}

static void an_explanation_has_all_that_there_is_to_know(void **state _unused_)
{
    all_fresh();
    const struct response *answer = ask(ADMIN, "GET", EXPLAIN);
    assert_answer(answer, 200, NULL);
    assert_string_equal(inner(answer, "profile", "name"), "alpha");
    assert_string_equal(inner(answer, "profile", "state"), "fresh");
    assert_string_equal(member(answer, "allow"), "[ \"user:33\" ]");
    assert_string_equal(member(answer, "admin"), "[ \"user:root\" ]");
    assert_string_equal(member(answer, "caller"), "");
    assert_non_null(strstr(member(answer, "attempts"), "\"outcome\": \"token\", \"http_status\": 200"));
    assert_null(strstr(answer->body, "token-of-alpha"));
    /* To ask is no attempt to use. */
    assert_int_equal(f.n_logged, 0);
}

static void it_is_for_admins_alone(void **state _unused_)
{
    all_fresh();
    const struct response *answer = ask(SHOP, "GET", EXPLAIN "?uid=44");
    assert_answer(answer, 403, "forbidden");
    assert_null(strstr(answer->body, "user:"));
    answer = ask(STRANGER, "GET", EXPLAIN);
    assert_answer(answer, 404, "unknown-profile");
    assert_null(strstr(answer->body, "user:"));
}

static void subjects_are_judged_as_callers_are(void **state _unused_)
{
    static const struct {
        const char *query;
        const char *admitted;
        const char *why;
    } cases[] = {
        {"alpha/explain?uid=33",                   "true",  "admitted by Allow=user:33"                          },
        {"alpha/explain?uid=33&gid=1&groups=2,3",  "true",  "admitted by Allow=user:33"                          },
        {"alpha/explain?uid=44",                   "false", "refused: no rule of Allow= names its user or groups"},
        {"alpha/explain?uid=0",                    "false", "refused: no rule of Allow= names its user or groups"},
        {"alpha/explain?gid=33",                   "false", "refused: no rule of Allow= names its user or groups"},
        {"group/explain?uid=5&gid=500",            "true",  "admitted by Allow=group:500"                        },
        {"group/explain?uid=5&gid=6&groups=7,500", "true",  "admitted by Allow=group:500"                        },
        {"group/explain?groups=500",               "true",  "admitted by Allow=group:500"                        },
        {"group/explain?uid=5&gid=6&groups=7",     "false",
         "refused: no rule of Allow= names its user or groups"                                                   },
        {"other/explain?uid=44",                   "false",
         "refused by its user and groups; a unit: rule could admit it, name a process to see"                    },
        {"other/explain?uid=44&pid=7",             "true",  "admitted by Allow=unit:shop-*.service"              },
    };

    set_rule(&f.profiles[2]->allow, ACCESS_UNIT, 0, "unit:shop-*.service");
    f.unit = "shop-7.service";
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char target[128];
        (void) snprintf(target, sizeof(target), "/v1/profiles/%s", cases[i].query);
        const struct response *answer = ask(ADMIN, "GET", target);
        assert_answer(answer, 200, NULL);
        if (strcmp(inner(answer, "caller", "why"), cases[i].why) != 0)
            fail_msg("%s: %s", cases[i].query, inner(answer, "caller", "why"));
        assert_string_equal(inner(answer, "caller", "admitted"), cases[i].admitted);
    }
}

static void what_was_not_asked_about_is_null(void **state _unused_)
{
    f.unit = "shop.service";
    const struct response *answer = ask(ADMIN, "GET", EXPLAIN "?pid=7");
    assert_string_equal(inner(answer, "caller", "uid"), "null");
    assert_string_equal(inner(answer, "caller", "gid"), "null");
    assert_string_equal(inner(answer, "caller", "pid"), "7");
    assert_string_equal(inner(answer, "caller", "unit"), "shop.service");
    assert_string_equal(inner(answer, "caller", "unit_problem"), "null");
    answer = ask(ADMIN, "GET", EXPLAIN "?uid=33&gid=34");
    assert_string_equal(inner(answer, "caller", "uid"), "33");
    assert_string_equal(inner(answer, "caller", "gid"), "34");
    assert_string_equal(inner(answer, "caller", "pid"), "null");
    assert_string_equal(inner(answer, "caller", "unit"), "null");
    assert_string_equal(inner(answer, "caller", "rule"), "user:33");
    assert_string_equal(inner(answer, "caller", "is_admin"), "false");
    assert_string_equal(inner(ask(ADMIN, "GET", EXPLAIN "?uid=0"), "caller", "is_admin"), "true");
}

static void an_unknown_unit_is_explained(void **state _unused_)
{
    set_rule(&f.profiles[0]->allow, ACCESS_UNIT, 0, "unit:shop.service");
    f.unit_problem = "there is no process of this number";
    const struct response *answer = ask(ADMIN, "GET", EXPLAIN "?pid=7");
    assert_string_equal(
        inner(answer, "caller", "why"),
        "refused: no rule names it, and its unit is not known: there is no process of this number");
    assert_string_equal(inner(answer, "caller", "unit_problem"), "there is no process of this number");
    f.unit = "other.service";
    answer = ask(ADMIN, "GET", EXPLAIN "?uid=5&pid=7");
    assert_string_equal(inner(answer, "caller", "why"),
                        "refused: no rule of Allow= names its user, groups or unit");
}

static void a_profile_for_nobody_says_so(void **state _unused_)
{
    access_list_done(&f.profiles[0]->allow);
    assert_string_equal(inner(ask(ADMIN, "GET", EXPLAIN "?uid=33"), "caller", "why"),
                        "refused: the profile has no Allow=, so nobody may use it");
}

static void an_unusable_profile_is_explained_too(void **state _unused_)
{
    const struct response *answer = ask(ADMIN, "GET", "/v1/profiles/broken/explain?uid=33");
    assert_answer(answer, 200, NULL);
    assert_string_equal(inner(answer, "profile", "state"), "failed");
    assert_string_equal(inner(answer, "profile", "preload"), "null");
    assert_string_equal(inner(answer, "caller", "admitted"), "true");
    assert_string_equal(member(answer, "attempts"), "[ ]");
}

/* ---- states ---- */

static void who_may_ask_is_for_admins_to_know(void **state _unused_)
{
    all_fresh();
    assert_string_equal(member(ask(ADMIN, "GET", "/v1/profiles/alpha"), "allow"), "[ \"user:33\" ]");
    assert_string_equal(member(ask(SHOP, "GET", "/v1/profiles/alpha"), "allow"), "");
    assert_non_null(strstr(ask(ADMIN, "GET", "/v1/profiles")->body, "\"allow\":[\"group:500\"]"));
    assert_null(strstr(ask(SHOP, "GET", "/v1/profiles")->body, "allow"));
    /* The answer to a refresh is a status, too. */
    struct request r = make_request(ADMIN, "POST", "/v1/profiles/alpha/refresh");
    assert_null(ask_with(&r));
    assert_int_equal(pop_fetches(), 1);
    end_with_token("alpha", "new-one", SEC(3600));
    assert_string_equal(member(finish_waiting(&r), "allow"), "[ \"user:33\" ]");
}

static void a_status_says_which_keys_are_in_use_and_never_what_they_are(void **state _unused_)
{
    struct profile_settings *s = f.profiles[0];

    assert_int_equal(secret_set(&s->keys[KEY_CLIENT_SECRET], "first-secret", 12), 0);
    assert_int_equal(secret_set(&s->keys[KEY_SUBSCRIPTION], "first-key", 9), 0);
    assert_int_equal(secret_set(&s->keys[KEY_SECONDARY_SUBSCRIPTION], "second-key", 10), 0);
    all_fresh();
    entry_of("alpha")->profile.token_choice.is_secondary_subscription = true;
    const struct response *answer = ask(SHOP, "GET", "/v1/profiles/alpha");
    assert_string_equal(member(answer, "client_secret"), "current");
    assert_string_equal(member(answer, "subscription_key"), "secondary");
    assert_string_equal(member(answer, "preload"), "true");
    assert_null(strstr(answer->body, "first-"));
    assert_null(strstr(answer->body, "second-key"));
    answer = ask(ADMIN, "GET", EXPLAIN);
    assert_null(strstr(answer->body, "first-"));
    assert_null(strstr(answer->body, "second-key"));
    /* The header set has the key that the token was got with. */
    assert_non_null(strstr(ask(SHOP, "GET", "/v1/profiles/alpha/headers")->body, "second-key"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, api_set_up, api_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_explanation_has_all_that_there_is_to_know),
        TEST(it_is_for_admins_alone),
        TEST(subjects_are_judged_as_callers_are),
        TEST(what_was_not_asked_about_is_null),
        TEST(an_unknown_unit_is_explained),
        TEST(a_profile_for_nobody_says_so),
        TEST(an_unusable_profile_is_explained_too),
        TEST(who_may_ask_is_for_admins_to_know),
        TEST(a_status_says_which_keys_are_in_use_and_never_what_they_are),
    };
    return cmocka_run_group_tests_name("api, explain", tests, NULL, NULL);
}
