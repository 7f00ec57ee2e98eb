/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "wire/reply.h"
#include "wire_fixture.h"

#define BODY_MAX ((size_t) 65536)
/* 1000 s on CLOCK_BOOTTIME are 2026-01-31T12:00:00Z. */
#define BOOT_AT (1000 * USEC_PER_SEC)
#define WALL_AT (1769860800 * USEC_PER_SEC)
#define AT(n)   ((usec_t) (n) *USEC_PER_SEC)

static const struct refresh_policy exact_policy = {
    .at_percent = 50, .retry_min_for = AT(1), .retry_max_for = AT(60), .timeout_for = AT(15)};

static struct profile_settings settings;
static struct profile p;
static usec_t now;

static int set_up(void **state _unused_)
{
    settings = fixture_vipps();
    settings.refresh = exact_policy;
    fixture_set(&settings.description, "Web shop, \"unit\" 123456");
    profile_init(&p, &settings);
    now = BOOT_AT;
    return 0;
}

static int tear_down(void **state _unused_)
{
    profile_done(&p);
    profile_settings_done(&settings);
    return 0;
}

static struct reply_time both_clocks(void)
{
    return (struct reply_time){.now = now, .wall_now = WALL_AT + (now - BOOT_AT)};
}

/* ---- what happens to the profile ---- */

static void step(enum event_kind kind, unsigned at)
{
    now = AT(at);
    (void) profile_step(&p, &(struct event){.kind = kind, .min_ttl_for = MIN_TTL_DEFAULT}, now);
}

static void token_comes(const char *value, unsigned sent, unsigned at)
{
    _cleanup_(token_done) struct token t = {
        .sent_at = AT(sent), .lifetime_for = AT(3600), .expires_at = AT(sent + 3600)};

    assert_int_equal(secret_set(&t.value, value, strlen(value)), 0);
    (void) snprintf(t.type, sizeof(t.type), "Bearer");
    (void) snprintf(t.fingerprint, sizeof(t.fingerprint), "0123456789abcdef");
    now = AT(at);
    (void) profile_step(&p, &(struct event){.kind = EVENT_TOKEN, .token = &t}, now);
}

static void fetch_fails(const struct failure *failure, unsigned at)
{
    now = AT(at);
    (void) profile_step(&p, &(struct event){.kind = EVENT_FAILURE, .failure = failure}, now);
}

static const struct failure unreachable = {
    .class = FAILURE_TRANSIENT, .reason = REASON_CONNECT, .message = "vipps: Connection refused"};
static const struct failure wrong_keys = {.class = FAILURE_PERMANENT,
                                          .reason = REASON_INVALID_KEYS,
                                          .http_status = 401,
                                          .message = "vipps answered 401: \"no\""};

/* ---- looking at bodies ---- */

static struct json_object *parse(const char *text, size_t size)
{
    struct json_tokener *tokener = json_tokener_new();

    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    struct json_object *o = json_tokener_parse_ex(tokener, text, (int) size + 1);
    if (json_tokener_get_error(tokener) != json_tokener_success)
        fail_msg("no JSON: %s", text);
    json_tokener_free(tokener);
    return o;
}

/* The same members with the same types and values; `expected` is JSON with ' for ". */
static void assert_json(const struct buffer *body, const char *expected)
{
    char wanted[2048];

    assert_int_equal(buffer_error(body), 0);
    assert_true(strlen(expected) < sizeof(wanted));
    for (size_t i = 0; i <= strlen(expected); i++)
        wanted[i] = expected[i] == '\'' ? '"' : expected[i];
    struct json_object *a = parse(buffer_peek(body), body->size), *b = parse(wanted, strlen(wanted));
    if (!json_object_equal(a, b))
        fail_msg("got\n%s\ninstead of\n%s", buffer_peek(body), wanted);
    json_object_put(a);
    json_object_put(b);
}

static void assert_status(const char *expected)
{
    _cleanup_(buffer_done) struct buffer out = BUFFER_INIT(BODY_MAX);
    struct reply_time t = both_clocks();

    reply_write_status(&(struct json){.out = &out}, NULL, &p, &t);
    assert_json(&out, expected);
}

#define NO_TOKEN "'issued_at': null, 'expires_at': null, 'expires_in': null, 'fingerprint': null"
#define WHO      "'name': 'shop', 'description': 'Web shop, \\'unit\\' 123456', 'provider': 'vipps'"
#define NAMED    "'name': 'shop', 'description': 'Web shop', 'provider': 'vipps'"
/* A token that was sent for at 1000 s. */
#define TOKEN_OF_1000                                                                                        \
    "'generation': 1, 'fingerprint': '0123456789abcdef', 'issued_at': '2026-01-31T12:00:00Z', "              \
    "'expires_at': '2026-01-31T13:00:00Z'"

/* ---- status ---- */

static void status_of_one_without_a_token(void **state _unused_)
{
    fixture_set(&settings.description, "Web shop");
    p.description = settings.description;
    assert_status("{" NAMED ", 'state': 'empty', 'generation': 0, " NO_TOKEN
                  ", 'next_refresh_at': null, 'consecutive_failures': 0, 'last_error': null}");
    step(EVENT_START, 1000);
    assert_status("{" NAMED ", 'state': 'fetching', 'generation': 0, " NO_TOKEN
                  ", 'next_refresh_at': null, 'consecutive_failures': 0, 'last_error': null}");
}

static void status_of_fresh_and_refreshing(void **state _unused_)
{
    fixture_set(&settings.description, NULL);
    p.description = NULL;
    step(EVENT_START, 1000);
    token_comes("secret", 1000, 1002);
    now += 1;
    /* The lifetime counts from when it was sent for, and seconds left are rounded down. */
    assert_status(
        "{'name': 'shop', 'description': null, 'provider': 'vipps', 'state': 'fresh', " TOKEN_OF_1000
        ", 'expires_in': 3597, 'next_refresh_at': '2026-01-31T12:30:00Z', 'consecutive_failures': 0, "
        "'last_error': null}");
    step(EVENT_DEADLINE, 2800);
    assert_status(
        "{'name': 'shop', 'description': null, 'provider': 'vipps', 'state': 'refreshing', " TOKEN_OF_1000
        ", 'expires_in': 1800, 'next_refresh_at': null, 'consecutive_failures': 0, 'last_error': null}");
}

#define REFUSED_AT_2801                                                                                      \
    "'consecutive_failures': 1, 'last_error': {'at': '2026-01-31T12:30:01Z', 'reason': 'connect', "          \
    "'http_status': null, 'message': 'vipps: Connection refused'}"

static void status_of_stale(void **state _unused_)
{
    fixture_set(&settings.description, "Web shop");
    p.description = settings.description;
    step(EVENT_START, 1000);
    token_comes("secret", 1000, 1000);
    step(EVENT_DEADLINE, 2800);
    fetch_fails(&unreachable, 2801);
    assert_status("{" NAMED ", 'state': 'stale', " TOKEN_OF_1000
                  ", 'expires_in': 1799, 'next_refresh_at': '2026-01-31T12:30:02Z', " REFUSED_AT_2801 "}");
    step(EVENT_DEADLINE, 2802);
    assert_status("{" NAMED ", 'state': 'stale', " TOKEN_OF_1000
                  ", 'expires_in': 1798, 'next_refresh_at': null, " REFUSED_AT_2801 "}");
    /* Time alone ends it, though nothing stepped. */
    now = AT(4600);
    assert_status("{" NAMED ", 'state': 'failed', 'generation': 1, " NO_TOKEN
                  ", 'next_refresh_at': null, " REFUSED_AT_2801 "}");
}

static void status_of_failed(void **state _unused_)
{
    fixture_set(&settings.description, "Web shop");
    p.description = settings.description;
    step(EVENT_START, 1000);
    fetch_fails(&wrong_keys, 1001);
    p.refresh_at = AT(1060);
#define LAST_ERROR                                                                                           \
    "'consecutive_failures': 1, 'last_error': {'at': '2026-01-31T12:00:01Z', 'reason': 'invalid-keys', "     \
    "'http_status': 401, 'message': 'vipps answered 401: \\'no\\''}"
    assert_status("{" NAMED ", 'state': 'failed', 'generation': 0, " NO_TOKEN
                  ", 'next_refresh_at': '2026-01-31T12:01:00Z', " LAST_ERROR "}");
    step(EVENT_REFRESH, 1002);
    assert_status("{" NAMED ", 'state': 'failed', 'generation': 0, " NO_TOKEN
                  ", 'next_refresh_at': null, " LAST_ERROR "}");
}

/* The last error stays to be seen after a success; that there were failures in a row does not. */
static void status_of_one_that_recovered(void **state _unused_)
{
    step(EVENT_START, 1000);
    fetch_fails(&unreachable, 1001);
    step(EVENT_REFRESH, 1001);
    token_comes("secret", 1000, 1002);
    assert_status(
        "{" WHO ", 'state': 'fresh', " TOKEN_OF_1000
        ", 'expires_in': 3598, 'next_refresh_at': '2026-01-31T12:30:00Z', 'consecutive_failures': 0, "
        "'last_error': {'at': '2026-01-31T12:00:01Z', 'reason': 'connect', 'http_status': null, "
        "'message': 'vipps: Connection refused'}}");
}

static void status_of_an_unusable_one(void **state _unused_)
{
    const struct access_list nobody = {0};

    profile_init_unusable(
        &p, &(struct unusable_profile){.name = "broken", .message = "broken.conf:3: no", .allow = &nobody},
        AT(1000));
    now = AT(1500);
    assert_status("{'name': 'broken', 'description': null, 'provider': null, 'state': 'failed', "
                  "'generation': 0, " NO_TOKEN
                  ", 'next_refresh_at': null, 'consecutive_failures': 1, 'last_error': {"
                  "'at': '2026-01-31T12:00:00Z', 'reason': 'settings', 'http_status': null, "
                  "'message': 'broken.conf:3: no'}}");
}

static void a_status_never_shows_the_token(void **state _unused_)
{
    _cleanup_(buffer_done) struct buffer out = BUFFER_INIT(BODY_MAX);
    struct reply_time t = both_clocks();
    struct json j = {.out = &out};

    step(EVENT_START, 1000);
    token_comes("the-secret-value", 1000, 1000);
    json_open(&j, NULL, '{');
    reply_write_status(&j, "shop", &p, &t);
    reply_write_status(&j, "again", &p, &t);
    json_close(&j, '}');
    struct json_object *o = parse(buffer_peek(&out), out.size);
    assert_int_equal(json_object_object_length(o), 2);
    json_object_put(o);
    assert_null(strstr(buffer_peek(&out), "the-secret-value"));
}

/* ---- moments ---- */

static void moments_are_shown_on_the_wall_clock_of_now(void **state _unused_)
{
    const struct reply_time t = {.now = AT(1000), .wall_now = WALL_AT};

    assert_true(reply_wall_at(&t, AT(1000)) == WALL_AT);
    assert_true(reply_wall_at(&t, AT(1001)) == WALL_AT + AT(1));
    assert_true(reply_wall_at(&t, AT(400)) == WALL_AT - AT(600));
    assert_true(reply_wall_at(&t, 0) == WALL_AT - AT(1000));
    assert_true(reply_wall_at(&t, USEC_INFINITY) == USEC_INFINITY);
    assert_true(reply_wall_at(&t, USEC_INFINITY - 1) == USEC_INFINITY);
    /* A machine without a clock battery believes in 1970 for a while: no wrap into the far future. */
    const struct reply_time unset = {.now = AT(1000), .wall_now = AT(5)};
    assert_true(reply_wall_at(&unset, AT(400)) == 0);
}

/* ---- token ---- */

static void a_token_body_has_all_of_it(void **state _unused_)
{
    _cleanup_(buffer_done) struct buffer out = BUFFER_INIT_SECRET(BODY_MAX);

    step(EVENT_START, 1000);
    token_comes("eyJ.a-b_c", 1000, 1000);
    now = AT(1010) + 1;
    struct reply_time t = both_clocks();
    reply_write_token(&out, &p, &t);
    assert_json(&out,
                "{'access_token': 'eyJ.a-b_c', 'token_type': 'Bearer', 'expires_in': 3589, " TOKEN_OF_1000
                ", 'next_refresh_at': '2026-01-31T12:30:00Z', 'profile': 'shop'}");
    assert_int_equal(out.data[out.size - 1], '\n');
}

static void tokens_with_quotes_come_out_as_they_are(void **state _unused_)
{
    static const char value[] = "a\"b\\c\\\\d\"";
    _cleanup_(buffer_done) struct buffer token = BUFFER_INIT_SECRET(BODY_MAX),
                                         headers = BUFFER_INIT_SECRET(BODY_MAX),
                                         text = BUFFER_INIT_SECRET(BODY_MAX);

    step(EVENT_START, 1000);
    token_comes(value, 1000, 1000);
    struct reply_time t = both_clocks();
    reply_write_token(&token, &p, &t);
    reply_write_headers_json(&headers, &p);
    reply_write_headers_text(&text, &p);
    struct json_object *o = parse(buffer_peek(&token), token.size);
    assert_string_equal(json_object_get_string(json_object_object_get(o, "access_token")), value);
    json_object_put(o);
    o = parse(buffer_peek(&headers), headers.size);
    assert_string_equal(json_object_get_string(json_object_object_get(o, "Authorization")),
                        "Bearer a\"b\\c\\\\d\"");
    json_object_put(o);
    assert_non_null(strstr(buffer_peek(&text), "Authorization: Bearer a\"b\\c\\\\d\"\n"));
}

/* The longest token there is, of the characters that take the most room. */
static void the_longest_token_fits(void **state _unused_)
{
    static char value[TOKEN_VALUE_MAX + 1];
    _cleanup_(buffer_done) struct buffer token = BUFFER_INIT_SECRET(BODY_MAX),
                                         headers = BUFFER_INIT_SECRET(BODY_MAX);

    memset(value, '"', TOKEN_VALUE_MAX);
    step(EVENT_START, 1000);
    token_comes(value, 1000, 1000);
    memset(p.token.type, 'T', TOKEN_TYPE_SIZE - 1);
    struct reply_time t = both_clocks();
    reply_write_token(&token, &p, &t);
    reply_write_headers_json(&headers, &p);
    assert_int_equal(buffer_error(&token), 0);
    assert_int_equal(buffer_error(&headers), 0);
    struct json_object *o = parse(buffer_peek(&headers), headers.size);
    assert_int_equal(json_object_get_string_len(json_object_object_get(o, "Authorization")),
                     TOKEN_VALUE_MAX + TOKEN_TYPE_SIZE);
    json_object_put(o);
}

static void a_body_that_does_not_fit_is_none(void **state _unused_)
{
    _cleanup_(buffer_done) struct buffer token = BUFFER_INIT_SECRET(64), headers = BUFFER_INIT_SECRET(16),
                                         text = BUFFER_INIT_SECRET(16);

    step(EVENT_START, 1000);
    token_comes("secret", 1000, 1000);
    struct reply_time t = both_clocks();
    reply_write_token(&token, &p, &t);
    reply_write_headers_json(&headers, &p);
    reply_write_headers_text(&text, &p);
    assert_int_equal(buffer_error(&token), -EMSGSIZE);
    assert_int_equal(buffer_error(&headers), -EMSGSIZE);
    assert_int_equal(buffer_error(&text), -EMSGSIZE);
}

/* ---- header sets ---- */

static void assert_headers(const char *json, const char *text)
{
    _cleanup_(buffer_done) struct buffer a = BUFFER_INIT_SECRET(BODY_MAX), b = BUFFER_INIT_SECRET(BODY_MAX);

    reply_write_headers_json(&a, &p);
    reply_write_headers_text(&b, &p);
    assert_json(&a, json);
    assert_string_equal(buffer_peek(&b), text);
}

static void vipps_headers_hold_a_subscription_key(void **state _unused_)
{
    step(EVENT_START, 1000);
    token_comes("tok", 1000, 1000);
    assert_headers("{'Authorization': 'Bearer tok', 'Ocp-Apim-Subscription-Key': '" FIXTURE_SUBSCRIPTION_KEY
                   "'}",
                   "Authorization: Bearer tok\nOcp-Apim-Subscription-Key: " FIXTURE_SUBSCRIPTION_KEY "\n");
    /* Old key sets have one for the API alone: it goes before the other. */
    fixture_set_key(&settings, KEY_API_SUBSCRIPTION, "of-the-api");
    assert_headers("{'Authorization': 'Bearer tok', 'Ocp-Apim-Subscription-Key': 'of-the-api'}",
                   "Authorization: Bearer tok\nOcp-Apim-Subscription-Key: of-the-api\n");
    secret_done(&settings.keys[KEY_API_SUBSCRIPTION]);
    secret_done(&settings.keys[KEY_SUBSCRIPTION]);
    assert_headers("{'Authorization': 'Bearer tok'}", "Authorization: Bearer tok\n");
}

static void other_providers_have_none(void **state _unused_)
{
    static const enum provider others[] = {PROVIDER_VIPPS_OAUTH, PROVIDER_OAUTH2};

    step(EVENT_START, 1000);
    token_comes("tok", 1000, 1000);
    fixture_set_key(&settings, KEY_API_SUBSCRIPTION, "of-the-api");
    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        settings.provider = others[i];
        assert_headers("{'Authorization': 'Bearer tok'}", "Authorization: Bearer tok\n");
    }
}

static void headers_of_the_operator_follow_in_their_order(void **state _unused_)
{
    settings.headers = calloc(2, sizeof(struct header_setting));
    settings.n_headers = 2;
    assert_non_null(settings.headers);
    fixture_set(&settings.headers[0].name, "Merchant-Serial-Number");
    fixture_set(&settings.headers[0].value, "123456");
    fixture_set(&settings.headers[1].name, "Vipps-System-Name");
    fixture_set(&settings.headers[1].value, "ac\"me");
    settings.provider = PROVIDER_VIPPS_OAUTH;
    step(EVENT_START, 1000);
    token_comes("tok", 1000, 1000);
    (void) snprintf(p.token.type, sizeof(p.token.type), "DPoP");
    assert_headers("{'Authorization': 'DPoP tok', 'Merchant-Serial-Number': '123456', "
                   "'Vipps-System-Name': 'ac\\'me'}",
                   "Authorization: DPoP tok\nMerchant-Serial-Number: 123456\nVipps-System-Name: ac\"me\n");
}

/* ---- problems ---- */

static void each_problem_has_its_own_type(void **state _unused_)
{
    static const struct {
        unsigned status;
        const char *type;
    } expected[N_PROBLEM_KINDS] = {
        [PROBLEM_BAD_REQUEST] = {400, "bad-request"         },
        [PROBLEM_FORBIDDEN] = {403, "forbidden"           },
        [PROBLEM_NOT_FOUND] = {404, "not-found"           },
        [PROBLEM_UNKNOWN_PROFILE] = {404, "unknown-profile"     },
        [PROBLEM_METHOD_NOT_ALLOWED] = {405, "method-not-allowed"  },
        [PROBLEM_MIN_TTL_TOO_LONG] = {409, "min-ttl-too-long"    },
        [PROBLEM_BODY_TOO_LARGE] = {413, "body-too-large"      },
        [PROBLEM_TOO_MANY_CONNECTIONS] = {429, "too-many-connections"},
        [PROBLEM_NO_USABLE_TOKEN] = {503, "no-usable-token"     },
        [PROBLEM_REFRESH_FAILED] = {503, "refresh-failed"      },
        [PROBLEM_NOT_READY] = {503, "not-ready"           },
        [PROBLEM_UNHEALTHY] = {503, "unhealthy"           },
        [PROBLEM_STOPPING] = {503, "stopping"            },
        [PROBLEM_INTERNAL] = {500, "internal"            },
    };

    for (enum problem_kind kind = 0; kind < N_PROBLEM_KINDS; kind++) {
        _cleanup_(buffer_done) struct buffer out = BUFFER_INIT(BODY_MAX);
        char type[64];

        reply_write_problem(&out, kind, "be\"cause", NULL, NULL, NULL);
        struct json_object *o = parse(buffer_peek(&out), out.size);
        (void) snprintf(type, sizeof(type), "urn:bearerd:problem:%s", expected[kind].type);
        assert_string_equal(json_object_get_string(json_object_object_get(o, "type")), type);
        assert_int_equal(json_object_get_int(json_object_object_get(o, "status")), expected[kind].status);
        assert_int_equal(problem_kind_status(kind), expected[kind].status);
        assert_true(json_object_get_string_len(json_object_object_get(o, "title")) > 0);
        assert_string_equal(json_object_get_string(json_object_object_get(o, "detail")), "be\"cause");
        assert_int_equal(json_object_object_length(o), 4);
        json_object_put(o);
    }
}

static void a_problem_tells_of_the_profile_only_whom_it_is_given(void **state _unused_)
{
    _cleanup_(buffer_done) struct buffer unknown = BUFFER_INIT(BODY_MAX), known = BUFFER_INIT(BODY_MAX),
                                         silent = BUFFER_INIT(BODY_MAX);

    struct reply_time t = both_clocks();
    reply_write_problem(&unknown, PROBLEM_UNKNOWN_PROFILE, "no", "sh\"op", NULL, &t);
    assert_json(&unknown,
                "{'type': 'urn:bearerd:problem:unknown-profile', 'title': 'Unknown profile', 'status': 404, "
                "'detail': 'no', 'profile': 'sh\\'op'}");
    reply_write_problem(&silent, PROBLEM_NO_USABLE_TOKEN, "no", "shop", &p, &t);
    assert_json(&silent,
                "{'type': 'urn:bearerd:problem:no-usable-token', 'title': 'No usable token', 'status': 503, "
                "'detail': 'no', 'profile': 'shop', 'state': 'empty', 'last_error': null}");
    step(EVENT_START, 1000);
    fetch_fails(&wrong_keys, 1001);
    t = both_clocks();
    reply_write_problem(&known, PROBLEM_NO_USABLE_TOKEN, p.failure.message, "shop", &p, &t);
    assert_json(&known,
                "{'type': 'urn:bearerd:problem:no-usable-token', 'title': 'No usable token', 'status': 503, "
                "'detail': 'vipps answered 401: \\'no\\'', 'profile': 'shop', 'state': 'failed', "
                "'last_error': {'at': '2026-01-31T12:00:01Z', 'reason': 'invalid-keys', 'http_status': 401, "
                "'message': 'vipps answered 401: \\'no\\''}}");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(status_of_one_without_a_token),
        TEST(status_of_fresh_and_refreshing),
        TEST(status_of_stale),
        TEST(status_of_failed),
        TEST(status_of_one_that_recovered),
        TEST(status_of_an_unusable_one),
        TEST(a_status_never_shows_the_token),
        TEST(moments_are_shown_on_the_wall_clock_of_now),
        TEST(a_token_body_has_all_of_it),
        TEST(tokens_with_quotes_come_out_as_they_are),
        TEST(the_longest_token_fits),
        TEST(a_body_that_does_not_fit_is_none),
        TEST(vipps_headers_hold_a_subscription_key),
        TEST(other_providers_have_none),
        TEST(headers_of_the_operator_follow_in_their_order),
        TEST(each_problem_has_its_own_type),
        TEST(a_problem_tells_of_the_profile_only_whom_it_is_given),
    };
    return cmocka_run_group_tests_name("reply", tests, NULL, NULL);
}
