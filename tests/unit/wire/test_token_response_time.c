/* SPDX-License-Identifier: MIT */
/* What an answer says about time: Retry-After, and clocks that disagree. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "wire/base64.h"
#include "wire/token_response.h"
#include "wire_fixture.h"

#define NOW      (1002 * USEC_PER_SEC)       /* the fixture sends at 1000 s */
#define WALL_NOW (1700000000 * USEC_PER_SEC) /* Tue, 14 Nov 2023 22:13:20 GMT */
#define TODAY    "Tue, 14 Nov 2023 22:13:20 GMT"

static struct token_response read_answer(const struct profile_settings *s, struct http_answer *a)
{
    const struct asked asked = {.settings = s, .now = NOW, .wall_now = WALL_NOW};
    struct token_response r;
    token_response_read(&asked, a, &r);
    assert_null(a->body.data);
    assert_int_equal(r.is_token, token_is_set(&r.token));
    assert_int_equal(r.is_token, r.failure.message[0] == '\0');
    http_answer_done(a);
    return r;
}

/* ---- times ---- */

static void test_retry_after(void **state)
{
    /* clang-format off */
    static const struct {
        const char *retry_after, *date;
        usec_t wanted;
    } cases[] = {
        {"", "", 0},
        {"120", "", 120 * USEC_PER_SEC},
        {"0", "", 0},
        {"-1", "", 0},
        {"1.5", "", 0},
        {"soon", "", 0},
        {"31622401", "", 366 * USEC_PER_DAY},
        {"18446744073709551615", "", 366 * USEC_PER_DAY},
        {"99999999999999999999999", "", 366 * USEC_PER_DAY},
        {"Tue, 14 Nov 2023 22:14:20 GMT", "", 60 * USEC_PER_SEC},
        {"Tue, 14 Nov 2023 22:12:20 GMT", "", 0},
        /* by the issuer's own clock, which is an hour ahead of ours, or by ours when it tells none */
        {"Tue, 14 Nov 2023 23:14:20 GMT", "Tue, 14 Nov 2023 23:13:20 GMT", 60 * USEC_PER_SEC},
        {"Tue, 14 Nov 2023 22:14:20 GMT", "yesterday", 60 * USEC_PER_SEC},
        {"Fri, 31 Dec 9999 23:59:59 GMT", TODAY, 366 * USEC_PER_DAY},
    };
    /* clang-format on */
    (void) state;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_(profile_settings_done) struct profile_settings s = fixture_vipps();
        struct http_answer a = fixture_answer(429, "", "");
        (void) snprintf(a.retry_after, sizeof(a.retry_after), "%s", cases[i].retry_after);
        (void) snprintf(a.date, sizeof(a.date), "%s", cases[i].date);
        struct token_response r = read_answer(&s, &a);
        assert_true(r.failure.retry_after_for == cases[i].wanted);
    }
}

static struct clock_skew skew_of(const char *date, const char *members, const char *claims)
{
    _cleanup_(profile_settings_done) struct profile_settings s = fixture_vipps();
    _cleanup_(buffer_done) struct buffer token = BUFFER_INIT(1024);
    char body[2048];

    buffer_append_string(&token, "e30.");
    base64url_append(&token, claims, strlen(claims));
    (void) snprintf(body, sizeof(body),
                    "{\"token_type\":\"Bearer\",\"expires_in\":900,%s\"access_token\":\"%s.sig\"}", members,
                    buffer_peek(&token));
    struct http_answer a = fixture_answer(200, "", body);
    (void) snprintf(a.date, sizeof(a.date), "%s", date);
    _cleanup_(token_response_done) struct token_response r = read_answer(&s, &a);
    assert_true(r.is_token);
    assert_true(r.token.expires_at == 1900 * USEC_PER_SEC); /* never touched by any of this */
    return r.skew;
}

static void test_clock_skew_is_told_and_changes_nothing(void **state)
{
    /* clang-format off */
    static const struct {
        const char *date, *members, *claims, *source; /* source NULL: none seen */
        int64_t seconds;
    } cases[] = {
        {TODAY, "", "{}", NULL, 0},
        {"Tue, 14 Nov 2023 22:14:20 GMT", "", "{}", NULL, 0}, /* 60 s: not more than that */
        {"Tue, 14 Nov 2023 22:14:21 GMT", "", "{}", "Date", 61},
        {"Tue, 14 Nov 2023 22:12:19 GMT", "", "{}", "Date", -61},
        {"never", "", "{}", NULL, 0},
        {"Thu, 01 Jan 1970 00:00:00 GMT", "", "{}", "Date", -1700000000},
        {"", "\"expires_on\":\"1700000900\",", "{}", NULL, 0},
        {"", "\"expires_on\":\"1700004500\",", "{}", "expires_on", 3600},
        {"", "\"expires_on\":1699997300,", "{}", "expires_on", -3600},
        {"", "\"expires_on\":\"soon\",", "{}", NULL, 0},
        {"", "\"expires_on\":99999999999999999999,", "{}", NULL, 0},
        {"", "\"not_before\":\"1699990000\",", "{}", NULL, 0}, /* dated back, as usual */
        {"", "\"not_before\":\"1700003600\",", "{}", "not_before", 3600},
        {"", "", "{\"exp\":1700000900,\"nbf\":1699999700,\"iat\":1699999700}", NULL, 0},
        {"", "", "{\"exp\":1700000100}", "JWT exp", -800},
        {"", "", "{\"exp\":1700086400}", NULL, 0}, /* may live longer than it says */
        {"", "", "{\"iat\":1700003600}", "JWT iat", 3600},
        {"", "", "{\"nbf\":1700003600}", "JWT nbf", 3600},
        {"", "", "{\"exp\":1.7e9,\"iat\":null,\"nbf\":[]}", NULL, 0},
        {"", "", "not JSON", NULL, 0},
        {"Tue, 14 Nov 2023 23:13:20 GMT", "\"expires_on\":1699997300,", "{\"iat\":1700003600}", "Date", 3600},
    };
    /* clang-format on */
    (void) state;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct clock_skew skew = skew_of(cases[i].date, cases[i].members, cases[i].claims);
        assert_int_equal(skew.is_seen, cases[i].source != NULL);
        assert_true(skew.usec == cases[i].seconds * (int64_t) USEC_PER_SEC);
        if (cases[i].source)
            assert_string_equal(skew.source, cases[i].source);
    }
}

/* A clock that is wrong makes client assertions fail: then the skew is what people need to know. */
static void test_clock_skew_is_told_with_a_failure_too(void **state)
{
    _cleanup_(profile_settings_done) struct profile_settings s = fixture_vipps();
    struct http_answer a = fixture_answer(401, "", "");
    (void) state;

    (void) snprintf(a.date, sizeof(a.date), "Tue, 14 Nov 2023 23:13:20 GMT");
    struct token_response r = read_answer(&s, &a);
    assert_true(r.skew.is_seen);
    assert_false(r.is_token);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_retry_after),
        cmocka_unit_test(test_clock_skew_is_told_and_changes_nothing),
        cmocka_unit_test(test_clock_skew_is_told_with_a_failure_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
