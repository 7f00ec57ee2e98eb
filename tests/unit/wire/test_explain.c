/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "wire/explain.h"
#include "wire_fixture.h"

#define BODY_MAX ((size_t) 65536)
#define SEC(n)   ((usec_t) (n) *USEC_PER_SEC)

static struct profile_settings settings;
static struct profile p;
static struct access_list admin;
static struct json_object *answer;
static usec_t now;

/* Of rules "user:NUMBER" and "unit:NAME". */
static struct access_list make_list(size_t n, const char *const *texts)
{
    struct access_list list = {.rules = calloc(n + 1, sizeof(struct access_rule)), .n_rules = n};

    assert_non_null(list.rules);
    for (size_t i = 0; i < n; i++) {
        struct access_rule *rule = &list.rules[i];
        bool is_unit = strncmp(texts[i], "unit:", 5) == 0;
        *rule = (struct access_rule){.kind = is_unit ? ACCESS_UNIT : ACCESS_USER, .text = strdup(texts[i])};
        rule->unit = is_unit ? rule->text + 5 : NULL;
        rule->id = is_unit ? 0 : (uint32_t) strtoul(texts[i] + 5, NULL, 10);
    }
    return list;
}

static int set_up(void **state _unused_)
{
    settings = fixture_vipps();
    settings.is_preloaded = true;
    settings.refresh = (struct refresh_policy){
        .at_percent = 50, .retry_min_for = SEC(1), .retry_max_for = SEC(60), .timeout_for = SEC(15)};
    settings.allow = make_list(1, (const char *const[]){"user:33"});
    admin = make_list(1, (const char *const[]){"user:0"});
    profile_init(&p, &settings);
    now = SEC(1000);
    answer = NULL;
    return 0;
}

static int tear_down(void **state _unused_)
{
    json_object_put(answer);
    access_list_done(&admin);
    profile_done(&p);
    profile_settings_done(&settings);
    return 0;
}

static void explain(const struct explained_caller *caller)
{
    _cleanup_(buffer_done) struct buffer out = BUFFER_INIT(BODY_MAX);
    const struct reply_time t = {.now = now, .wall_now = SEC(1769860800) + now - SEC(1000)};

    explain_write(&out, &p, &admin, caller, &t);
    assert_int_equal(buffer_error(&out), 0);
    assert_int_equal(out.data[out.size - 1], '\n');
    assert_null(strstr(buffer_peek(&out), FIXTURE_SECRET));
    assert_null(strstr(buffer_peek(&out), FIXTURE_SUBSCRIPTION_KEY));
    assert_null(strstr(buffer_peek(&out), "the-token"));
    json_object_put(answer);
    answer = json_tokener_parse(buffer_peek(&out));
    assert_non_null(answer);
}

/* What stands at a path ("caller.why"), as JSON. Borrowed until the next one. */
static const char *at(const char *outer, const char *name)
{
    struct json_object *o = json_object_object_get(answer, outer);

    if (name)
        o = json_object_object_get(o, name);
    return json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
}

/* As the API fills it in. */
static void explain_peer(const struct peer *peer, const char *unit_problem)
{
    explain(&(struct explained_caller){.peer = peer,
                                       .unit_problem = unit_problem,
                                       .rule = access_list_find(p.allow, peer),
                                       .is_admin = access_list_admits(&admin, peer)});
}

static void attempt(enum event_kind kind, usec_t moment, const struct failure *failure)
{
    _cleanup_(token_done) struct token t = {
        .sent_at = moment, .lifetime_for = SEC(3600), .expires_at = moment + SEC(3600)};

    assert_int_equal(secret_set(&t.value, "the-token", 9), 0);
    now = moment;
    (void) profile_step(&p, &(struct event){.kind = EVENT_REFRESH}, now);
    (void) profile_step(&p, &(struct event){.kind = kind, .token = &t, .failure = failure}, now);
}

/* ---- stories ---- */

static void without_a_caller_it_is_about_the_profile(void **state _unused_)
{
    explain(NULL);
    assert_string_equal(at("caller", NULL), "null");
    assert_string_equal(at("profile", "name"), "\"shop\"");
    assert_string_equal(at("profile", "state"), "\"empty\"");
    assert_string_equal(at("profile", "allow"), "[\"user:33\"]");
    assert_string_equal(at("allow", NULL), "[\"user:33\"]");
    assert_string_equal(at("admin", NULL), "[\"user:0\"]");
    assert_string_equal(at("attempts", NULL), "[]");
    assert_int_equal(json_object_object_length(answer), 5);
}

static void each_caller_has_a_sentence(void **state _unused_)
{
    static const char *const user[] = {"user:33"}, *const both[] = {"user:33", "unit:shop-*.service"};
    static const struct {
        size_t n_rules;
        const char *const *rules;
        struct peer peer;
        const char *unit_problem;
        const char *why;
    } cases[] = {
        {1, user, {.uid = 33},                                     NULL, "\"admitted by Allow=user:33\""                                                         },
        {1, user, {.uid = 34},                                     NULL, "\"refused: no rule of Allow= names its user or groups\""                               },
        {1,
         user,    {.uid = 34, .pid = 5},
         "it runs in no unit",                                           "\"refused: no rule of Allow= names its user or groups\""                               },
        {0, NULL, {.uid = 33},                                     NULL, "\"refused: the profile has no Allow=, so nobody may use it\""                          },
        {2, both, {.uid = 33},                                     NULL, "\"admitted by Allow=user:33\""                                                         },
        {2,
         both,    {.uid = 34},
         NULL,                                                           "\"refused by its user and groups; a unit: rule could admit it, name a process to see\""},
        {2,
         both,    {.uid = 34, .pid = 5, .unit = "shop-1.service"},
         NULL,                                                           "\"admitted by Allow=unit:shop-*.service\""                                             },
        {2,
         both,    {.uid = 34, .pid = 5, .unit = "web.service"},
         NULL,                                                           "\"refused: no rule of Allow= names its user, groups or unit\""                         },
        {2,
         both,    {.uid = 34, .pid = 5},
         "it runs in no unit",                                           "\"refused: no rule names it, and its unit is not known: it runs in no unit\""          },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        access_list_done(&settings.allow);
        settings.allow = make_list(cases[i].n_rules, cases[i].rules);
        explain_peer(&cases[i].peer, cases[i].unit_problem);
        assert_string_equal(at("caller", "why"), cases[i].why);
        bool is_admitted = strncmp(cases[i].why, "\"admitted", 9) == 0;
        assert_string_equal(at("caller", "admitted"), is_admitted ? "true" : "false");
        assert_int_equal(strcmp(at("caller", "rule"), "null") != 0, is_admitted);
    }
}

static void a_caller_is_shown_as_far_as_it_is_known(void **state _unused_)
{
    explain_peer(&(struct peer){.uid = 0, .gid = 5, .pid = 7, .unit = "a\\x2db.service"}, NULL);
    assert_string_equal(at("caller", NULL),
                        "{\"uid\":0,\"gid\":5,\"pid\":7,\"unit\":\"a\\\\x2db.service\",\"unit_problem\":null,"
                        "\"admitted\":false,\"rule\":null,\"is_admin\":true,"
                        "\"why\":\"refused: no rule of Allow= names its user or groups\"}");
    explain_peer(&(struct peer){.uid = UINT32_MAX, .gid = UINT32_MAX, .pid = 7}, "it has ended");
    assert_string_equal(at("caller", "uid"), "null");
    assert_string_equal(at("caller", "gid"), "null");
    assert_string_equal(at("caller", "unit"), "null");
    assert_string_equal(at("caller", "unit_problem"), "\"it has ended\"");
    explain_peer(&(struct peer){.uid = 4294967294}, NULL);
    assert_string_equal(at("caller", "uid"), "4294967294");
    assert_string_equal(at("caller", "pid"), "null");
}

/* The newest first, as many as are remembered. */
static void attempts_are_told_from_the_newest_on(void **state _unused_)
{
    static const struct failure refused = {.class = FAILURE_PERMANENT,
                                           .reason = REASON_SUBSCRIPTION_KEY,
                                           .http_status = 401,
                                           .message = "401"},
                                unreachable = {
                                    .class = FAILURE_TRANSIENT, .reason = REASON_CONNECT, .message = "no"};

    attempt(EVENT_FAILURE, SEC(1000), &refused);
    attempt(EVENT_FAILURE, SEC(1001), &unreachable);
    attempt(EVENT_TOKEN, SEC(1002), NULL);
    explain(NULL);
    assert_string_equal(
        at("attempts", NULL),
        "[{\"at\":\"2026-01-31T12:00:02Z\",\"outcome\":\"token\",\"http_status\":200},"
        "{\"at\":\"2026-01-31T12:00:01Z\",\"outcome\":\"connect\",\"http_status\":null},"
        "{\"at\":\"2026-01-31T12:00:00Z\",\"outcome\":\"subscription-key\",\"http_status\":401}]");
    for (unsigned i = 0; i < 100; i++)
        attempt(EVENT_TOKEN, SEC(2000 + i), NULL);
    explain(NULL);
    assert_int_equal(json_object_array_length(json_object_object_get(answer, "attempts")),
                     PROFILE_ATTEMPTS_MAX);
    assert_string_equal(at("profile", "state"), "\"fresh\"");
}

static void an_unusable_profile_can_be_explained(void **state _unused_)
{
    const struct access_list nobody = {0};

    profile_done(&p);
    profile_init_unusable(
        &p, &(struct unusable_profile){.name = "broken", .message = "broken.conf:3: no", .allow = &nobody},
        now);
    explain_peer(&(struct peer){.uid = 33}, NULL);
    assert_string_equal(at("profile", "state"), "\"failed\"");
    assert_string_equal(at("allow", NULL), "[]");
    assert_string_equal(at("caller", "admitted"), "false");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_a_caller_it_is_about_the_profile), TEST(each_caller_has_a_sentence),
        TEST(a_caller_is_shown_as_far_as_it_is_known),  TEST(attempts_are_told_from_the_newest_on),
        TEST(an_unusable_profile_can_be_explained),
    };
    return cmocka_run_group_tests_name("explain", tests, NULL, NULL);
}
