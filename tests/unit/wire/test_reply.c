/* SPDX-License-Identifier: MIT */
#include "reply_fixture.h"

#include <errno.h>

/* ---- moments ---- */

static void a_moment_that_never_comes_is_null(void **state _unused_)
{
    _cleanup_(buffer_done) struct buffer out = BUFFER_INIT(BODY_MAX);
    const struct reply_time t = {.now = AT(1000), .wall_now = WALL_AT};
    struct json j = {.out = &out};

    json_open(&j, NULL, '{');
    reply_write_moment(&j, "never", &t, USEC_INFINITY);
    reply_write_moment(&j, "soon", &t, AT(1001));
    json_close(&j, '}');
    assert_json(&out, "{'never': null, 'soon': '2026-01-31T12:00:01Z'}");
}

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

/* ---- problems ---- */

static void a_problem_can_have_members_of_its_own(void **state _unused_)
{
    _cleanup_(buffer_done) struct buffer out = BUFFER_INIT(BODY_MAX);
    struct json j = {.out = &out};

    reply_open_problem(&j, PROBLEM_RELOAD_REFUSED, "no");
    json_open(&j, "problems", '[');
    json_string(&j, NULL, "a");
    json_close(&j, ']');
    reply_close(&j);
    assert_json(&out,
                "{'type': 'urn:bearerd:problem:reload-refused', 'title': 'The new settings were refused', "
                "'status': 409, 'detail': 'no', 'problems': ['a']}");
    assert_int_equal(out.data[out.size - 1], '\n');
}

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
        [PROBLEM_REJECTED_TOO_OFTEN] = {429, "rejected-too-often"  },
        [PROBLEM_RELOAD_REFUSED] = {409, "reload-refused"      },
        [PROBLEM_RELOAD_TIMED_OUT] = {503, "reload-timed-out"    },
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_moment_that_never_comes_is_null),
        TEST(moments_are_shown_on_the_wall_clock_of_now),
        TEST(a_token_body_has_all_of_it),
        TEST(tokens_with_quotes_come_out_as_they_are),
        TEST(the_longest_token_fits),
        TEST(a_body_that_does_not_fit_is_none),
        TEST(a_problem_can_have_members_of_its_own),
        TEST(each_problem_has_its_own_type),
        TEST(a_problem_tells_of_the_profile_only_whom_it_is_given),
    };
    return cmocka_run_group_tests_name("reply", tests, NULL, NULL);
}
