/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "client/bearer-objects.h"
#include "client/explain.h"
#include "client/summary.h"

#define OUT_MAX ((size_t) 65536)

/* 2026-01-31T12:00:00Z */
#define NOW INT64_C(1769860800)

static const struct style ascii = {0};

static struct buffer body_of(const char *text)
{
    struct buffer body = BUFFER_INIT(OUT_MAX);

    buffer_append_string(&body, text);
    return body;
}

static void assert_text(struct buffer *out, const char *expected)
{
    assert_int_equal(buffer_error(out), 0);
    assert_string_equal(buffer_peek(out), expected);
    buffer_done(out);
}

/* ---- reload ---- */

static int parse_reload(const char *text, bool is_refused, struct bearer_reload_report **ret)
{
    struct buffer body = body_of(text);

    int r = bearer_reload_parse(&body, is_refused, ret);
    buffer_done(&body);
    return r;
}

static void assert_summary(const char *text, bool is_refused, const char *expected)
{
    struct buffer out = BUFFER_INIT(OUT_MAX);
    struct bearer_reload_report *r = NULL;

    assert_int_equal(parse_reload(text, is_refused, &r), 0);
    summary_append(&out, r);
    assert_text(&out, expected);
    bearer_reload_report_free(r);
}

static void reads_a_reload(void **state _unused_)
{
    static const char answer[] =
        "{\"outcome\":\"reloaded\",\"added\":[\"a\",\"b\"],\"removed\":[\"c\"],"
        "\"changed\":[{\"profile\":\"shop\",\"change\":\"keys\",\"proof\":\"failed\","
        "\"message\":\"vipps answered 401\"},{\"profile\":\"x\",\"change\":\"policy\",\"proof\":null}],"
        "\"unchanged\":12,\"problems\":[{\"place\":\"/etc/"
        "x:3\",\"severity\":\"warning\",\"message\":\"m\"}]}";
    struct bearer_reload_report *r = NULL;

    assert_int_equal(parse_reload(answer, false, &r), 0);
    assert_true(bearer_reload_is_in_force(r));
    assert_null(bearer_reload_message(r));
    assert_int_equal(bearer_reload_n_added(r), 2);
    assert_string_equal(bearer_reload_added(r, 1), "b");
    assert_null(bearer_reload_added(r, 2));
    assert_string_equal(bearer_reload_removed(r, 0), "c");
    assert_int_equal(bearer_reload_n_unchanged(r), 12);
    assert_int_equal(bearer_reload_n_changes(r), 2);
    const struct bearer_change *change = bearer_reload_change_at(r, 0);
    assert_string_equal(bearer_change_profile(change), "shop");
    assert_string_equal(bearer_change_what(change), "keys");
    assert_int_equal(bearer_change_proof(change), BEARER_PROOF_FAILED);
    assert_string_equal(bearer_change_message(change), "vipps answered 401");
    assert_int_equal(bearer_change_proof(bearer_reload_change_at(r, 1)), BEARER_PROOF_NONE);
    assert_null(bearer_reload_change_at(r, 2));
    const struct bearer_problem *problem = bearer_reload_problem_at(r, 0);
    assert_string_equal(bearer_problem_place(problem), "/etc/x:3");
    assert_true(bearer_problem_is_warning(problem));
    assert_string_equal(bearer_problem_message(problem), "m");
    assert_string_equal(bearer_reload_json(r), answer);
    bearer_reload_report_free(r);
}

static void refuses_what_is_no_reload(void **state _unused_)
{
    static const char *const answers[] = {
        "",
        "{}",
        "{\"outcome\":null}",
        "{\"outcome\":\"postponed\"}", /* a newer daemon's word is not taken for success */
        "{\"outcome\":\"reloaded\",\"added\":\"a\"}",
        "{\"outcome\":\"reloaded\",\"added\":[1]}",
        "{\"outcome\":\"reloaded\",\"added\":[\"a\\u0000b\"]}",
        "{\"outcome\":\"reloaded\",\"unchanged\":-1}",
        "{\"outcome\":\"reloaded\",\"changed\":[\"shop\"]}",
        "{\"outcome\":\"reloaded\",\"changed\":[{\"profile\":\"shop\"}]}",
        "{\"outcome\":\"reloaded\",\"problems\":[{\"place\":\"x\",\"severity\":\"error\"}]}",
        "{\"outcome\":\"reloaded\",\"problems\":{}}",
    };

    for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
        struct bearer_reload_report *r = NULL;
        if (parse_reload(answers[i], false, &r) != -EBADMSG)
            fail_msg("taken: %s", answers[i]);
        assert_null(r);
    }
}

static void sums_a_reload_up(void **state _unused_)
{
    assert_summary("{\"outcome\":\"reloaded\",\"unchanged\":3}", false, "reloaded: 3 unchanged");
    assert_summary("{\"outcome\":\"reloaded\",\"added\":[\"a\",\"b\"],\"removed\":[\"c\"],\"changed\":["
                   "{\"profile\":\"shop\",\"change\":\"keys\",\"proof\":\"proven\"},"
                   "{\"profile\":\"x\",\"change\":\"keys\",\"proof\":\"pending\"},"
                   "{\"profile\":\"a\",\"change\":\"added\",\"proof\":\"proven\"},"
                   "{\"profile\":\"y\",\"change\":\"access\",\"proof\":null}],\"unchanged\":0}",
                   false,
                   "reloaded: 2 added (a, b), 1 removed (c), 3 changed (shop: keys, proven; x: keys, not "
                   "proven yet; y: access), 0 unchanged");
}

/* Even where a refusal says "reloaded", for whatever reason, it is one. */
static void sums_a_refusal_up(void **state _unused_)
{
    assert_summary("{\"type\":\"t\",\"detail\":\"d\",\"outcome\":\"reloaded\",\"problems\":["
                   "{\"place\":\"a:1\",\"severity\":\"error\",\"message\":\"m\"},"
                   "{\"place\":null,\"severity\":\"warning\",\"message\":\"m\"},"
                   "{\"place\":\"a:2\",\"severity\":\"warning\",\"message\":\"m\"}]}",
                   true, "not reloaded: 1 error, 2 warnings; the old settings stay in force");
    assert_summary("{\"detail\":\"memory ran out\"}", true,
                   "not reloaded: memory ran out; the old settings stay in force");
}

/* ---- explain ---- */

static struct bearer_explanation *explanation_of(const char *text)
{
    struct buffer body = body_of(text);
    struct bearer_explanation *e = NULL;

    int r = bearer_explanation_parse(&body, &e);
    buffer_done(&body);
    return r < 0 ? NULL : e;
}

#define PROFILE                                                                                              \
    "\"profile\":{\"name\":\"shop\",\"state\":\"fresh\",\"expires_in\":1800,"                                \
    "\"issued_at\":\"2026-01-31T11:30:00Z\",\"expires_at\":\"2026-01-31T12:30:00Z\","                        \
    "\"next_refresh_at\":\"2026-01-31T12:10:00Z\",\"client_secret\":\"current\","                            \
    "\"subscription_key\":\"primary\"}"

static void explains_why_somebody_may(void **state _unused_)
{
    const uint32_t groups[] = {4, 33};
    const struct bearer_caller caller = {33, 33, 71, groups, 2};
    const struct explained about = {.user = "www-data", .caller = &caller};
    struct buffer out = BUFFER_INIT(OUT_MAX);
    struct bearer_explanation *e = explanation_of(
        "{" PROFILE ",\"allow\":[\"user:bob\",\"unit:shop-*.service\"],\"admin\":[\"user:root\"],"
        "\"caller\":{\"uid\":33,\"gid\":33,\"pid\":71,\"unit\":\"shop-1.service\",\"unit_problem\":null,"
        "\"admitted\":true,\"rule\":\"unit:shop-*.service\",\"is_admin\":false,\"why\":\"because\"},"
        "\"attempts\":[{\"at\":\"2026-01-31T11:58:00Z\",\"outcome\":\"token\",\"http_status\":200},"
        "{\"at\":\"2026-01-31T10:00:00Z\",\"outcome\":\"timeout\",\"http_status\":null}]}");

    assert_non_null(e);
    explain_append(&out, e, &about, NOW, &ascii);
    assert_text(&out, "     Profile: shop\n"
                      "      Caller: www-data: uid 33, gid 33, groups 4 33, process 71\n"
                      "        Unit: shop-1.service\n"
                      "  May use it: yes, by the rule unit:shop-*.service\n"
                      "         Why: because\n"
                      "       Allow: user:bob\n"
                      "              unit:shop-*.service\n"
                      "       Admin: user:root\n"
                      "       State: fresh\n"
                      "        Left: #####----- 30min\n"
                      "      Issued: 2026-01-31T11:30:00Z (30min ago)\n"
                      "     Expires: 2026-01-31T12:30:00Z (in 30min)\n"
                      "Next refresh: 2026-01-31T12:10:00Z (in 10min)\n"
                      " Keys in use: current client secret, primary subscription key\n"
                      "    Attempts: 2min ago  token, HTTP 200\n"
                      "              2h ago    timeout\n");
    bearer_explanation_free(e);
}

static void explains_why_an_admin_may_not(void **state _unused_)
{
    const struct bearer_caller caller = {.uid = 0, .gid = BEARER_ABSENT, .pid = 71};
    const struct explained about = {.caller = &caller};
    struct buffer out = BUFFER_INIT(OUT_MAX);
    struct bearer_explanation *e = explanation_of(
        "{\"profile\":{\"name\":\"shop\",\"state\":\"empty\",\"preload\":false},\"allow\":[],\"admin\":[],"
        "\"caller\":{\"admitted\":false,\"is_admin\":true,\"rule\":null,\"why\":\"a\\u001b[31mb\","
        "\"unit\":null,\"unit_problem\":\"no pidfd\"},\"attempts\":[]}");

    assert_non_null(e);
    explain_append(&out, e, &about, NOW, &ascii);
    assert_text(&out, "     Profile: shop\n"
                      "      Caller: uid 0, process 71\n"
                      "        Unit: not known: no pidfd\n"
                      "  May use it: no\n"
                      "         Why: a?[31mb\n"
                      "    Is admin: yes: may see the status and force a refresh; that gives no token\n"
                      "       Allow: nobody: there is no rule\n"
                      "       State: empty\n"
                      "        Left: -\n"
                      "Next refresh: at the first request (Preload=no)\n"
                      "    Attempts: none yet\n");
    bearer_explanation_free(e);
}

/* Whoever is not sure to be admitted is not, and half an answer is none. */
static void refuses_what_is_no_explanation(void **state _unused_)
{
    assert_null(explanation_of("{}"));
    assert_null(explanation_of("{" PROFILE "}"));
    assert_null(explanation_of("{\"profile\":{},\"allow\":[],\"admin\":[]}"));
    assert_null(explanation_of("{" PROFILE ",\"allow\":[],\"admin\":[],\"caller\":{}}"));
    assert_null(explanation_of("{" PROFILE ",\"allow\":[],\"admin\":[],\"caller\":{\"admitted\":1}}"));
    assert_null(explanation_of("{" PROFILE ",\"allow\":[],\"admin\":[],\"caller\":{\"admitted\":\"yes\"}}"));
    assert_null(explanation_of("{" PROFILE ",\"allow\":[],\"admin\":[],\"attempts\":[{}]}"));
    struct bearer_explanation *e = explanation_of("{" PROFILE ",\"allow\":[],\"admin\":[],\"caller\":null}");
    assert_non_null(e);
    assert_false(bearer_explanation_has_caller(e));
    assert_false(bearer_explanation_is_admitted(e));
    bearer_explanation_free(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_reload),
        cmocka_unit_test(refuses_what_is_no_reload),
        cmocka_unit_test(sums_a_reload_up),
        cmocka_unit_test(sums_a_refusal_up),
        cmocka_unit_test(explains_why_somebody_may),
        cmocka_unit_test(explains_why_an_admin_may_not),
        cmocka_unit_test(refuses_what_is_no_explanation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
