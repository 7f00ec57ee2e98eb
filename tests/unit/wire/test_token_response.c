/* SPDX-License-Identifier: MIT */
/* What comes of an answer: the token with its life, or the class, reason and words of each failure. */
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

static struct token_response read_body(int status, const char *content_type, const char *body)
{
    _cleanup_(profile_settings_done) struct profile_settings s = fixture_vipps();
    struct http_answer a = fixture_answer(status, content_type, body);
    return read_answer(&s, &a);
}

static void assert_failure(const struct token_response *r, enum failure_class class,
                           enum failure_reason reason, const char *message)
{
    assert_false(r->is_token);
    assert_string_equal(r->failure.message, message);
    assert_string_equal(failure_reason_name(r->failure.reason), failure_reason_name(reason));
    assert_int_equal(r->failure.class, class);
}

/* ---- tokens ---- */

/* The example of the guide, numbers as strings. */
static void test_the_answer_of_vipps(void **state)
{
    _cleanup_(token_response_done) struct token_response r =
        read_body(200, "application/json",
                  "{\"token_type\": \"Bearer\", \"expires_in\": \"86398\", \"ext_expires_in\": \"0\",\n"
                  " \"expires_on\": \"1700086398\", \"not_before\": \"1699999700\",\n"
                  " \"resource\": \"00000002-0000-0000-c000-000000000000\", \"access_token\": \"abc\"}");
    (void) state;

    assert_true(r.is_token);
    assert_string_equal(secret_peek(&r.token.value), "abc");
    assert_string_equal(r.token.type, "Bearer");
    assert_string_equal(r.token.fingerprint, "ba7816bf8f01cfea"); /* SHA-256 of "abc", FIPS 180 */
    assert_true(r.token.sent_at == 1000 * USEC_PER_SEC);
    assert_true(r.token.lifetime_for == 86398 * USEC_PER_SEC);
    assert_true(r.token.expires_at == 87398 * USEC_PER_SEC);
    assert_false(r.skew.is_seen);
}

static void test_forms_a_token_may_come_in(void **state)
{
    static const char *const bodies[] = {
        "{\"access_token\":\"abc\",\"token_type\":\"bearer\",\"expires_in\":900}",
        " {\"expires_in\":\"900\",\"token_type\":\"BEARER\",\"access_token\":\"\\u0061b\\u0063\",\"x\":{"
        "\"access_token\":1}}\n",
    };
    (void) state;

    for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
        _cleanup_(token_response_done) struct token_response r = read_body(200, "text/plain", bodies[i]);
        assert_true(r.is_token);
        assert_string_equal(secret_peek(&r.token.value), "abc");
        assert_string_equal(r.token.type, "Bearer");
        assert_true(r.token.lifetime_for == 900 * USEC_PER_SEC);
    }
}

static void test_200_without_a_usable_token(void **state)
{
#define REST  ",\"token_type\":\"Bearer\",\"expires_in\":900}"
#define TOKEN "{\"access_token\":\"abc\",\"token_type\":\"Bearer\""
    /* clang-format off */
    static const char *const cases[][2] = {
        {"", "with an empty body"},
        {"  ", "with something that is not JSON"},
        {"OK", "with something that is not JSON"},
        {"<html>hello</html>", "with an HTML page"},
        {"{\"access_token\":\"abc", "with something that is not JSON"},
        {TOKEN ",\"expires_in\":900}{}", "with something that is not JSON"},
        {"[\"abc\"]", "with JSON that is not an object"},
        {"{}", "without an access_token"},
        {"{\"error\":\"invalid_client\",\"error_description\":\"no\"}",
         "without an access_token: invalid_client: no"},
        {"{\"access_token\":\"\"" REST, "with an access_token that is empty or not a string"},
        {"{\"access_token\":null" REST, "with an access_token that is empty or not a string"},
        {"{\"access_token\":17" REST, "with an access_token that is empty or not a string"},
        {"{\"access_token\":\"a b\"" REST, "with an access_token that cannot go into a header"},
        {"{\"access_token\":\"a\\r\\nX: y\"" REST, "with an access_token that cannot go into a header"},
        {"{\"access_token\":\"a\\u0000\"" REST, "with an access_token that cannot go into a header"},
        {"{\"access_token\":\"\xc3\xa6\"" REST, "with an access_token that cannot go into a header"},
        {"{\"access_token\":\"a\",\"access_token\":\"b\"" REST, "with the same member twice"},
        {"{\"access_token\":\"abc\",\"expires_in\":900}", "without a token_type"},
        {"{\"access_token\":\"abc\",\"token_type\":\"mac\",\"expires_in\":900}",
         "with a token_type other than Bearer, which cannot be used"},
        {"{\"access_token\":\"abc\",\"token_type\":\"DPoP\",\"expires_in\":900}",
         "with a token_type other than Bearer, which cannot be used"},
        {"{\"access_token\":\"abc\",\"token_type\":\"Bearer\\u0000\",\"expires_in\":900}",
         "with a token_type other than Bearer, which cannot be used"},
        {TOKEN "}", "without expires_in"},
        {TOKEN ",\"expires_in\":null}", "with an expires_in that is not whole seconds"},
        {TOKEN ",\"expires_in\":\"\"}", "with an expires_in that is not whole seconds"},
        {TOKEN ",\"expires_in\":\" 900\"}", "with an expires_in that is not whole seconds"},
        {TOKEN ",\"expires_in\":\"+900\"}", "with an expires_in that is not whole seconds"},
        {TOKEN ",\"expires_in\":-900}", "with an expires_in that is not whole seconds"},
        {TOKEN ",\"expires_in\":900.0}", "with an expires_in that is not whole seconds"},
        {TOKEN ",\"expires_in\":9e2}", "with an expires_in that is not whole seconds"},
        {TOKEN ",\"expires_in\":\"0x384\"}", "with an expires_in that is not whole seconds"},
        {TOKEN ",\"expires_in\":\"1h\"}", "with an expires_in that is not whole seconds"},
        {TOKEN ",\"expires_in\":[900]}", "with an expires_in that is not whole seconds"},
        {TOKEN ",\"expires_in\":\"000000000000000000000000000900\"}", "with an expires_in that is not whole seconds"},
        {TOKEN ",\"expires_in\":0}", "with an expires_in outside 1 second to 400 days"},
        {TOKEN ",\"expires_in\":34560001}", "with an expires_in outside 1 second to 400 days"},
        {TOKEN ",\"expires_in\":18446744073709551616}", "with an expires_in outside 1 second to 400 days"},
        {TOKEN ",\"expires_in\":18446744073709}", "with an expires_in outside 1 second to 400 days"},
    };
    /* clang-format on */
    (void) state;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char message[FAILURE_MESSAGE_SIZE];
        struct token_response r = read_body(200, "application/json", cases[i][0]);
        (void) snprintf(message, sizeof(message), "vipps answered 200 %s", cases[i][1]);
        assert_failure(&r, FAILURE_TRANSIENT, REASON_BAD_RESPONSE, message);
        assert_int_equal(r.failure.http_status, 200);
    }
}

/* A body that may be a bare token is not quoted, nor is any answer with an access_token in it. */
static void test_200_never_quotes_what_could_be_the_token(void **state)
{
    static const char *const bodies[] = {
        "hunter2-tok",
        "access_token=hunter2-tok&expires_in=900",
        "{\"access_token\":\"hunter2-tok\",\"message\":\"your token is hunter2-tok\"}",
        "{\"access_token\":\"hunter2-tok\",\"error\":{\"message\":\"hunter2-tok\"},\"x\"",
    };
    (void) state;

    for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
        struct token_response r = read_body(200, "text/plain", bodies[i]);
        assert_int_equal(r.failure.reason, REASON_BAD_RESPONSE);
        assert_null(strstr(r.failure.message, "hunter2"));
    }
}

static void test_token_size_limit(void **state)
{
    static char body[TOKEN_VALUE_MAX + 256];
    (void) state;

    for (size_t extra = 0; extra < 2; extra++) {
        size_t size = (size_t) snprintf(body, sizeof(body), "{\"access_token\":\"");
        memset(body + size, 'x', TOKEN_VALUE_MAX + extra);
        (void) snprintf(body + size + TOKEN_VALUE_MAX + extra, 200, "\"" REST);
        _cleanup_(token_response_done) struct token_response r = read_body(200, "application/json", body);
        assert_int_equal(r.is_token, extra == 0);
        if (extra)
            assert_failure(&r, FAILURE_TRANSIENT, REASON_BAD_RESPONSE,
                           "vipps answered 200 with an access_token over 16 KiB");
    }
}

/* Sent at 1000 s, here at 1002 s. */
static void test_life_counts_from_when_the_request_was_sent(void **state)
{
    struct token_response late = read_body(200, "", TOKEN ",\"expires_in\":2}");
    _cleanup_(token_response_done) struct token_response r = read_body(200, "", TOKEN ",\"expires_in\":3}");
    (void) state;

    assert_failure(&late, FAILURE_TRANSIENT, REASON_EXPIRED_ON_ARRIVAL,
                   "vipps answered 200 with a token whose life was over when it came");
    assert_true(r.is_token);
    assert_true(token_left_for(&r.token, NOW) == USEC_PER_SEC);
}

/* ---- other answers ---- */

static void test_statuses(void **state)
{
    /* clang-format off */
    static const struct {
        int status;
        enum failure_class class;
        enum failure_reason reason;
        const char *message;
    } cases[] = {
        {100, FAILURE_TRANSIENT, REASON_BAD_RESPONSE, "vipps answered 100"},
        {201, FAILURE_TRANSIENT, REASON_BAD_RESPONSE, "vipps answered 201"},
        {204, FAILURE_TRANSIENT, REASON_BAD_RESPONSE, "vipps answered 204"},
        {301, FAILURE_PERMANENT, REASON_WRONG_URL,
         "vipps answered 301; redirects are not followed with credentials; is the URL right?"},
        {302, FAILURE_PERMANENT, REASON_WRONG_URL,
         "vipps answered 302; redirects are not followed with credentials; is the URL right?"},
        {400, FAILURE_PERMANENT, REASON_BAD_REQUEST, "vipps answered 400"},
        {401, FAILURE_PERMANENT, REASON_INVALID_KEYS,
         "vipps answered 401; are these keys for the other environment?"},
        {403, FAILURE_PERMANENT, REASON_FORBIDDEN, "vipps answered 403"},
        {404, FAILURE_PERMANENT, REASON_WRONG_URL, "vipps answered 404; is the URL right?"},
        {405, FAILURE_PERMANENT, REASON_WRONG_URL, "vipps answered 405; is the URL right?"},
        {408, FAILURE_TRANSIENT, REASON_SERVER_ERROR, "vipps answered 408"},
        {418, FAILURE_PERMANENT, REASON_BAD_REQUEST, "vipps answered 418"},
        {425, FAILURE_TRANSIENT, REASON_SERVER_ERROR, "vipps answered 425"},
        {429, FAILURE_TRANSIENT, REASON_RATE_LIMITED, "vipps answered 429"},
        {500, FAILURE_TRANSIENT, REASON_SERVER_ERROR, "vipps answered 500"},
        {503, FAILURE_TRANSIENT, REASON_SERVER_ERROR, "vipps answered 503"},
        {599, FAILURE_TRANSIENT, REASON_SERVER_ERROR, "vipps answered 599"},
        {999, FAILURE_TRANSIENT, REASON_BAD_RESPONSE, "vipps answered 999"},
    };
    /* clang-format on */
    (void) state;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct token_response r = read_body(cases[i].status, "", "");
        assert_failure(&r, cases[i].class, cases[i].reason, cases[i].message);
        assert_int_equal(r.failure.http_status, cases[i].status);
    }
}

/* Only a 200 can be a token, whatever the body says. */
static void test_a_token_in_another_status_is_none(void **state)
{
    static const int statuses[] = {201, 206, 302, 400, 500};
    (void) state;

    for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
        struct token_response r = read_body(statuses[i], "application/json", TOKEN ",\"expires_in\":900}");
        assert_false(r.is_token);
        assert_null(strstr(r.failure.message, "abc"));
    }
}

static void test_what_bodies_say(void **state)
{
    /* clang-format off */
    static const struct {
        int status;
        enum failure_class class;
        enum failure_reason reason;
        const char *type, *body, *message;
    } cases[] = {
        {401, FAILURE_PERMANENT, REASON_SUBSCRIPTION_KEY, "application/json",
         "{\"statusCode\":401,\"message\":\"Access denied due to invalid subscription key. Make sure to provide a valid "
         "key for an active subscription.\"}",
         "vipps answered 401: Access denied due to invalid subscription key. Make sure to provide a valid key for an "
         "active subscription; are these keys for the other environment?"},
        {400, FAILURE_PERMANENT, REASON_INVALID_KEYS, "application/json",
         "{\"error\":\"unauthorized_client\",\"error_description\":\"AADSTS70001: Application with identifier "
         "'" FIXTURE_CLIENT_ID "' was not found in the directory testapivipps.no\\r\\nTrace ID: "
         "4b8e3c1a-2f6d-4c3b-9a77-0d5f1c2b3a4e\\r\\n\",\"error_codes\":[70001]}",
         "vipps answered 400: unauthorized_client: AADSTS70001: Application with identifier "
         "'" FIXTURE_CLIENT_ID "' was not found in the directory testapivipps.no; are these keys for the other "
         "environment?"},
        {401, FAILURE_PERMANENT, REASON_INVALID_KEYS, "application/json",
         "{\"error\":\"invalid_client\",\"error_description\":\"AADSTS7000215: Invalid client secret provided.\"}",
         "vipps answered 401: invalid_client: AADSTS7000215: Invalid client secret provided; are these keys for the "
         "other environment?"},
        {400, FAILURE_PERMANENT, REASON_BAD_REQUEST, "application/json", "{\"error\":\"invalid_scope\"}",
         "vipps answered 400: invalid_scope"},
        {400, FAILURE_TRANSIENT, REASON_SERVER_ERROR, "application/json", "{\"error\":\"temporarily_unavailable\"}",
         "vipps answered 400: temporarily_unavailable"},
        {403, FAILURE_PERMANENT, REASON_FORBIDDEN, "application/json", "{\"error\":\"temporarily_unavailable\"}",
         "vipps answered 403: temporarily_unavailable"},
        {400, FAILURE_PERMANENT, REASON_BAD_REQUEST, "application/problem+json",
         "{\"title\":\"Bad Request\",\"status\":400,\"detail\":\"Merchant-Serial-Number must be 4 to 7 digits\"}",
         "vipps answered 400: Bad Request: Merchant-Serial-Number must be 4 to 7 digits"},
        {500, FAILURE_TRANSIENT, REASON_SERVER_ERROR, "application/json",
         "{\"error\":{\"code\":\"Oops\",\"message\":\"try later\"}}", "vipps answered 500: try later"},
        {503, FAILURE_TRANSIENT, REASON_SERVER_ERROR, "text/plain; charset=utf-8", "\n upstream connect error\nmore",
         "vipps answered 503: upstream connect error"},
        {502, FAILURE_TRANSIENT, REASON_SERVER_ERROR, "text/html", "<html>Bad gateway at 10.0.0.1</html>",
         "vipps answered 502 with an HTML page"},
        {404, FAILURE_PERMANENT, REASON_WRONG_URL, "", "<!DOCTYPE html>",
         "vipps answered 404 with an HTML page; is the URL right?"},
        {500, FAILURE_TRANSIENT, REASON_SERVER_ERROR, "application/json", "{\"message\":\"cut o",
         "vipps answered 500"},
        {500, FAILURE_TRANSIENT, REASON_SERVER_ERROR, "application/octet-stream", "binary", "vipps answered 500"},
        {500, FAILURE_TRANSIENT, REASON_SERVER_ERROR, "application/json", "{\"message\":17}", "vipps answered 500"},
    };
    /* clang-format on */
    (void) state;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct token_response r = read_body(cases[i].status, cases[i].type, cases[i].body);
        assert_failure(&r, cases[i].class, cases[i].reason, cases[i].message);
    }
}

/* Another issuer is called by its host, and gets no hint about Vipps' two environments. */
static void test_other_issuers_are_called_by_their_host(void **state)
{
    static const char *const urls[] = {"https://issuer.example/oauth2/token", "https://u:p@issuer.example?x",
                                       "https://issuer.example"};
    (void) state;

    for (size_t i = 0; i < ARRAY_SIZE(urls); i++) {
        _cleanup_(profile_settings_done) struct profile_settings s = fixture_oauth2();
        struct http_answer a = fixture_answer(401, "application/json", "{\"error\":\"invalid_client\"}");
        fixture_set(&s.token_url, urls[i]);
        struct token_response r = read_answer(&s, &a);
        assert_failure(&r, FAILURE_PERMANENT, REASON_INVALID_KEYS,
                       "issuer.example answered 401: invalid_client");
    }
}

/* A host and words as long as they come, and still the hint is whole. */
static void test_the_message_has_room_for_all(void **state)
{
    _cleanup_(profile_settings_done) struct profile_settings s = fixture_oauth2();
    char url[300] = "https://",
         body[1200] = "{\"error\":\"invalid_client\",\"error_description\":\"AADSTS70001 ";
    (void) state;

    memset(url + 8, 'h', 250);
    for (size_t i = strlen(body); i < 1000; i++)
        body[i] = i % 7 ? 'w' : ' ';
    (void) snprintf(body + 1000, 100, "\"}");
    fixture_set(&s.token_url, url);
    struct http_answer a = fixture_answer(400, "application/json", body);
    struct token_response r = read_answer(&s, &a);
    const char *end = strstr(r.failure.message, "...; are these keys for the other environment?");
    assert_non_null(end);
    assert_string_equal(end, "...; are these keys for the other environment?");
}

/* What was sent, echoed in each shape of body there is. */
static void test_echoed_keys_never_come_through(void **state)
{
    static const char *const echoes[] = {
        FIXTURE_SECRET,
        FIXTURE_SUBSCRIPTION_KEY,
        "Y8Kteew6GE",
        "\\u0059\\u0038Kteew6GE3Zmeyc",
        "Y8Kteew6GE3ZmeycEt6egg\\u003d=",
        "Basic ZmI0OTJiNWUtNzkwNy00ZDgzLWJhMjAtYzdmYjYwY2EzNWRlOlk4S3RlZXc2R0UzWm1leWNFdDZlZ2c9PQ==",
        "0F14EBCAB0EB4B29AE0C",
    };
    static const char *const shapes[] = {
        "{\"error\":\"%s\"}",
        "{\"error\":\"invalid_client\",\"error_description\":\"secret %s\"}",
        "{\"statusCode\":401,\"message\":\"subscription key %s\"}",
        "{\"title\":\"%s\",\"detail\":\"%s\"}",
        "{\"error\":{\"message\":\"%s\"}}",
        "bad key %s",
        "%s",
        "<html>%s</html>",
        "{\"message\":\"%s",
    };
    static const int statuses[] = {200, 302, 400, 401, 403, 429, 500};
    (void) state;

    for (size_t i = 0; i < ARRAY_SIZE(echoes) * ARRAY_SIZE(shapes) * ARRAY_SIZE(statuses); i++) {
        char body[1024], *at = body;
        const char *echo = echoes[i % ARRAY_SIZE(echoes)];
        for (const char *p = shapes[i / ARRAY_SIZE(echoes) % ARRAY_SIZE(shapes)]; *p; p++) {
            bool is_echo = p[0] == '%' && p[1] == 's';
            at += snprintf(at, (size_t) (body + sizeof(body) - at), "%.*s", is_echo ? 1000 : 1,
                           is_echo ? echo : p);
            p += is_echo;
        }
        struct token_response r = read_body(statuses[i / ARRAY_SIZE(echoes) / ARRAY_SIZE(shapes)], "", body);
        assert_false(r.is_token);
        assert_null(strcasestr(r.failure.message, "Kteew6"));
        assert_null(strcasestr(r.failure.message, "0f14eb"));
        assert_null(strstr(r.failure.message, "ZmI0OT"));
        assert_null(strcasestr(r.failure.message, "u0059"));
    }
}

static void test_no_answer(void **state)
{
    /* clang-format off */
    static const struct {
        enum http_outcome outcome;
        enum failure_class class;
        enum failure_reason reason;
        const char *message;
    } cases[] = {
        {HTTP_NOT_CONNECTED, FAILURE_TRANSIENT, REASON_CONNECT, "vipps cannot be reached: Some detail"},
        {HTTP_TIMED_OUT, FAILURE_TRANSIENT, REASON_TIMEOUT, "vipps did not answer in time: Some detail"},
        {HTTP_TLS_FAILED, FAILURE_TRANSIENT, REASON_TLS, "vipps failed the TLS handshake: Some detail"},
        {HTTP_CERTIFICATE, FAILURE_PERMANENT, REASON_CERTIFICATE,
         "vipps has a certificate that does not verify: Some detail"},
        {HTTP_TOO_LARGE, FAILURE_TRANSIENT, REASON_RESPONSE_TOO_LARGE,
         "vipps answered with more than 64 KiB: Some detail"},
        {HTTP_GARBLED, FAILURE_TRANSIENT, REASON_PROTOCOL,
         "vipps answered with something that is not whole HTTP: Some detail"},
        {HTTP_NOT_SENT, FAILURE_TRANSIENT, REASON_INTERNAL,
         "vipps was not asked, for a fault of this machine: Some detail"},
    };
    /* clang-format on */
    (void) state;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_(profile_settings_done) struct profile_settings s = fixture_vipps();
        /* A cut-off token behind a failed transfer is still no token. */
        struct http_answer a = fixture_answer(0, "", TOKEN ",\"expires_in\":900}");
        a.outcome = cases[i].outcome;
        (void) snprintf(a.detail, sizeof(a.detail), "Some detail");
        struct token_response r = read_answer(&s, &a);
        assert_failure(&r, cases[i].class, cases[i].reason, cases[i].message);
        assert_int_equal(r.failure.http_status, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_answer_of_vipps),
        cmocka_unit_test(test_forms_a_token_may_come_in),
        cmocka_unit_test(test_200_without_a_usable_token),
        cmocka_unit_test(test_200_never_quotes_what_could_be_the_token),
        cmocka_unit_test(test_token_size_limit),
        cmocka_unit_test(test_life_counts_from_when_the_request_was_sent),
        cmocka_unit_test(test_statuses),
        cmocka_unit_test(test_a_token_in_another_status_is_none),
        cmocka_unit_test(test_what_bodies_say),
        cmocka_unit_test(test_other_issuers_are_called_by_their_host),
        cmocka_unit_test(test_the_message_has_room_for_all),
        cmocka_unit_test(test_echoed_keys_never_come_through),
        cmocka_unit_test(test_no_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
