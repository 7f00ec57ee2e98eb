/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "client/bearer-json.h"
#include "client/bearer-objects.h"

#define BODY_MAX ((size_t) 65536)

#define TOKEN_REST                                                                                           \
    ",\"token_type\":\"Bearer\",\"expires_in\":59,\"expires_at\":\"2026-01-31T12:00:00Z\","                  \
    "\"issued_at\":\"2026-01-31T11:00:00Z\",\"next_refresh_at\":null,\"generation\":3,"                      \
    "\"fingerprint\":\"0123456789abcdef\",\"profile\":\"shop\"}"

static struct buffer body_of(const char *text)
{
    struct buffer body = BUFFER_INIT(BODY_MAX);

    buffer_append_string(&body, text);
    return body;
}

static int parse_token(const char *text, struct bearer_token **ret)
{
    struct buffer body = body_of(text);

    int r = bearer_token_parse(&body, ret);
    buffer_done(&body);
    return r;
}

static void reads_a_token(void **state _unused_)
{
    static const char answer[] = "{\"access_token\":\"eyJ0.a-b_c.d==\"" TOKEN_REST;
    struct bearer_token *token = NULL;

    assert_int_equal(parse_token(answer, &token), 0);
    assert_string_equal(bearer_token_value(token), "eyJ0.a-b_c.d==");
    assert_string_equal(bearer_token_type(token), "Bearer");
    assert_int_equal(bearer_token_expires_in(token), 59);
    assert_int_equal(bearer_token_expires_at(token), 1769860800);
    assert_string_equal(bearer_token_fingerprint(token), "0123456789abcdef");
    assert_string_equal(bearer_token_json(token), answer);
    bearer_token_free(token);
}

static void refuses_what_is_no_token(void **state _unused_)
{
    static const char *const answers[] = {
        "",
        "null",
        "[]",
        "{}",
        "{\"access_token\":\"x\"}",
        "{\"access_token\":null" TOKEN_REST,
        "{\"access_token\":\"\"" TOKEN_REST,
        "{\"access_token\":42" TOKEN_REST,
        "{\"access_token\":\"a\\nX-Evil: 1\"" TOKEN_REST, /* would begin another header line */
        "{\"access_token\":\"a\\u0000b\"" TOKEN_REST,
        "{\"access_token\":\"bl\xc3\xa5\"" TOKEN_REST,
        "{\"access_token\":\"x\",\"expires_in\":\"59\"}",
        "{\"access_token\":\"x\",\"expires_in\":-1}",
        "{\"access_token\":\"x\",\"expires_in\":1.5}",
        "{\"access_token\":\"x\",\"expires_in\":59,\"expires_at\":\"soon\"}",
        "{\"access_token\":\"x\"" TOKEN_REST "{}",
        "{\"access_token\":\"x\"" TOKEN_REST "garbage",
        "{\"access_token\":\"x\",\"expires_in\":59",
        "{'access_token':'x','expires_in':59}",
        "<html>no</html>",
    };

    for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
        struct bearer_token *token = NULL;
        if (parse_token(answers[i], &token) != -EBADMSG)
            fail_msg("taken: %s", answers[i]);
        assert_null(token);
    }
}

static void allows_a_newline_behind_the_object(void **state _unused_)
{
    struct bearer_token *token = NULL;

    assert_int_equal(parse_token("{\"access_token\":\"x\"" TOKEN_REST "\n", &token), 0);
    bearer_token_free(token);
}

static int parse_headers(const char *text, enum bearer_headers_format format, struct bearer_headers **ret)
{
    struct buffer body = body_of(text);

    int r = bearer_headers_parse(&body, format, ret);
    buffer_done(&body);
    return r;
}

static void reads_header_lines(void **state _unused_)
{
    struct bearer_headers *h = NULL;

    assert_int_equal(
        parse_headers("Authorization: Bearer x\nVipps-System-Name: acme: shop\n", BEARER_HEADERS_LINES, &h),
        0);
    assert_int_equal(bearer_headers_n_lines(h), 2);
    assert_string_equal(bearer_headers_line(h, 0), "Authorization: Bearer x");
    assert_string_equal(bearer_headers_line(h, 1), "Vipps-System-Name: acme: shop");
    assert_null(bearer_headers_line(h, 2));
    assert_null(bearer_headers_json(h));
    bearer_headers_free(h);
}

static void refuses_lines_that_are_no_headers(void **state _unused_)
{
    static const char *const answers[] = {
        "",
        "\n",
        "Authorization: Bearer x",
        "Authorization: Bearer x\n\n",
        "no colon\n",
        ": no name\n",
        "A: b\r\n",
        "{}\n",
    };

    for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
        struct bearer_headers *h = NULL;
        if (parse_headers(answers[i], BEARER_HEADERS_LINES, &h) != -EBADMSG)
            fail_msg("taken: %s", answers[i]);
    }
}

static void passes_header_json_on(void **state _unused_)
{
    struct bearer_headers *h = NULL;

    assert_int_equal(parse_headers("{\"Authorization\":\"Bearer x\"}", BEARER_HEADERS_JSON, &h), 0);
    assert_string_equal(bearer_headers_json(h), "{\"Authorization\":\"Bearer x\"}");
    assert_int_equal(bearer_headers_n_lines(h), 0);
    bearer_headers_free(h);
    h = NULL;
    assert_int_equal(parse_headers("{\"Authorization\":1}", BEARER_HEADERS_JSON, &h), -EBADMSG);
    assert_int_equal(parse_headers("{}", BEARER_HEADERS_JSON, &h), -EBADMSG);
    assert_int_equal(parse_headers("A: b\n", BEARER_HEADERS_JSON, &h), -EBADMSG);
}

static struct bearer_status_list *list_of(const char *text)
{
    struct buffer body = body_of(text);
    struct bearer_status_list *l = NULL;

    int r = bearer_status_list_parse(&body, &l);
    buffer_done(&body);
    return r < 0 ? NULL : l;
}

static void reads_a_list(void **state _unused_)
{
    struct bearer_status_list *l =
        list_of("{\"profiles\":[{\"name\":\"a\",\"state\":\"fresh\",\"expires_in\":5},"
                "{\"name\":\"b\",\"state\":\"failed\",\"last_error\":{\"at\":\"2026-01-31T12:00:00Z\","
                "\"reason\":\"connect\",\"http_status\":null,\"message\":\"refused\"}},"
                "{\"name\":\"c\",\"state\":\"hibernating\"}]}");

    assert_non_null(l);
    assert_int_equal(bearer_status_list_size(l), 3);
    const struct bearer_status *a = bearer_status_list_at(l, 0), *b = bearer_status_list_at(l, 1);
    assert_string_equal(bearer_status_name(a), "a");
    assert_true(bearer_status_is_usable(a));
    assert_int_equal(bearer_status_expires_in(a), 5);
    assert_null(bearer_status_error_message(a));
    assert_int_equal(bearer_status_generation(a), BEARER_ABSENT);
    assert_false(bearer_status_is_usable(b));
    assert_string_equal(bearer_status_error_message(b), "refused");
    assert_int_equal(bearer_status_error_at(b), 1769860800);
    assert_int_equal(bearer_status_error_http_status(b), BEARER_ABSENT);
    /* A state that a newer daemon has is shown, and is not taken for usable. */
    assert_int_equal(bearer_status_state(bearer_status_list_at(l, 2)), BEARER_STATE_UNKNOWN);
    assert_string_equal(bearer_status_state_name(bearer_status_list_at(l, 2)), "hibernating");
    assert_false(bearer_status_is_usable(bearer_status_list_at(l, 2)));
    assert_null(bearer_status_list_at(l, 3));
    bearer_status_list_free(l);
}

static void knows_an_empty_list_from_none(void **state _unused_)
{
    struct bearer_status_list *l = list_of("{\"profiles\":[]}");

    assert_non_null(l);
    assert_int_equal(bearer_status_list_size(l), 0);
    bearer_status_list_free(l);
    assert_null(list_of("{}"));
    assert_null(list_of("{\"profiles\":null}"));
    assert_null(list_of("{\"profiles\":[null]}"));
    assert_null(list_of("{\"profiles\":[{\"name\":\"a\"}]}"));
    assert_null(list_of("{\"profiles\":[{\"name\":\"a\",\"state\":\"fresh\",\"last_error\":\"x\"}]}"));
}

static void reads_moments_of_one_form(void **state _unused_)
{
    static const char *const refused[] = {
        "",
        "2026-01-31",
        "2026-01-31 12:00:00Z",
        "2026-01-31T12:00:00",
        "2026-01-31T12:00:00+01:00",
        "2026-13-31T12:00:00Z",
        "2026-01-31T12:00:00.5Z",
        " 026-01-31T12:00:00Z",
        "2026-01-31T25:00:00Z",
    };
    int64_t at = -7;

    for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
        assert_int_equal(bearer_moment_parse(refused[i], &at), -EBADMSG);
    assert_int_equal(at, -7);
    assert_int_equal(bearer_moment_parse("1970-01-01T00:00:01Z", &at), 0);
    assert_int_equal(at, 1);
}

static struct bearer_error problem_of(int status, bool is_problem, const char *text)
{
    struct bearer_answer answer = {
        .status = status, .is_problem = is_problem, .retry_after = BEARER_ABSENT, .body = body_of(text)};
    struct bearer_error e = {0};

    enum bearer_result result = bearer_problem_read(&answer, &e);
    assert_int_equal(result, e.result);
    bearer_answer_done(&answer);
    return e;
}

static void tells_refused_from_failed(void **state _unused_)
{
    struct bearer_error e = problem_of(
        404, true, "{\"type\":\"about:blank\",\"title\":\"Not Found\",\"detail\":\"no profile shop\"}");

    assert_int_equal(bearer_error_result(&e), BEARER_REFUSED);
    assert_string_equal(bearer_error_title(&e), "Not Found");
    assert_string_equal(bearer_error_message(&e), "no profile shop");
    assert_int_equal(bearer_error_http_status(&e), 404);

    e = problem_of(503, true, "{\"detail\":\"vipps answered 401\",\"state\":\"failed\",\"last_error\":{}}");
    assert_int_equal(bearer_error_result(&e), BEARER_FAILED);
    assert_int_equal(bearer_error_state(&e), BEARER_STATE_FAILED);
    assert_null(bearer_error_title(&e));

    e = problem_of(429, true, "{\"detail\":\"too many connections\"}");
    assert_int_equal(bearer_error_result(&e), BEARER_FAILED);
}

/* Time ran out while the first fetch was in flight: nobody refused, and nothing has failed. */
static void tells_timed_out_from_failed(void **state _unused_)
{
    struct bearer_error e =
        problem_of(503, true, "{\"detail\":\"d\",\"state\":\"fetching\",\"last_error\":null}");
    assert_int_equal(bearer_error_result(&e), BEARER_TIMED_OUT);
    e = problem_of(503, true,
                   "{\"detail\":\"d\",\"state\":\"fetching\",\"last_error\":{\"reason\":\"timeout\"}}");
    assert_int_equal(bearer_error_result(&e), BEARER_FAILED);
}

/* The settings are still being read: nobody has refused them yet. */
static void tells_a_slow_reload_from_a_refused_one(void **state _unused_)
{
    struct bearer_error e =
        problem_of(503, true, "{\"type\":\"urn:bearerd:problem:reload-timed-out\",\"detail\":\"d\"}");
    assert_int_equal(bearer_error_result(&e), BEARER_TIMED_OUT);
    e = problem_of(409, true, "{\"type\":\"urn:bearerd:problem:reload-refused\",\"detail\":\"d\"}");
    assert_int_equal(bearer_error_result(&e), BEARER_REFUSED);
}

static void makes_do_without_a_problem_document(void **state _unused_)
{
    struct bearer_error e = problem_of(500, false, "<html>oops</html>");
    assert_int_equal(bearer_error_result(&e), BEARER_FAILED);
    assert_non_null(strstr(bearer_error_message(&e), "500"));
    e = problem_of(403, true, "not json");
    assert_int_equal(bearer_error_result(&e), BEARER_REFUSED);
    e = problem_of(400, true, "{}");
    assert_non_null(strstr(bearer_error_message(&e), "400"));
    e = problem_of(302, false, "");
    assert_int_equal(bearer_error_result(&e), BEARER_PROTOCOL);
}

static void keeps_messages_to_one_clean_line(void **state _unused_)
{
    struct bearer_error e = problem_of(503, true, "{\"detail\":\"a\\nb\\u001b[31m\\u007f\"}");
    assert_string_equal(bearer_error_message(&e), "a?b?[31m?");

    char words[3 * BEARER_MESSAGE_SIZE];
    memset(words, 'x', sizeof(words) - 1);
    words[sizeof(words) - 1] = '\0';
    (void) bearer_error_set(&e, BEARER_FAILED, "%s", words);
    assert_int_equal(strlen(bearer_error_message(&e)), BEARER_MESSAGE_SIZE - 1);
    assert_string_equal(bearer_error_message(&e) + BEARER_MESSAGE_SIZE - 4, "...");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_token),
        cmocka_unit_test(refuses_what_is_no_token),
        cmocka_unit_test(allows_a_newline_behind_the_object),
        cmocka_unit_test(reads_header_lines),
        cmocka_unit_test(refuses_lines_that_are_no_headers),
        cmocka_unit_test(passes_header_json_on),
        cmocka_unit_test(reads_a_list),
        cmocka_unit_test(knows_an_empty_list_from_none),
        cmocka_unit_test(reads_moments_of_one_form),
        cmocka_unit_test(tells_refused_from_failed),
        cmocka_unit_test(tells_timed_out_from_failed),
        cmocka_unit_test(tells_a_slow_reload_from_a_refused_one),
        cmocka_unit_test(makes_do_without_a_problem_document),
        cmocka_unit_test(keeps_messages_to_one_clean_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
