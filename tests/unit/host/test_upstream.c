/* SPDX-License-Identifier: MIT */
/* Requests and answers over plain HTTP on loopback: what is sent, what is taken in, what is refused, what
 * ends how. */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/clock.h"
#include "upstream_fixture.h"

#define SAY(p, text) peer_write((p), (text), strlen(text))

static const struct exchange_params quick = {.timeout_for = 150 * USEC_PER_MSEC};

/* ---- what is sent ---- */

static void script_echo(struct peer *p)
{
    char request[65536];

    while (peer_read_request(p, request, sizeof(request)))
        peer_answer(p, request);
}

static void test_a_post_without_body_says_so(void **state)
{
    struct fixture *f = *state;
    struct outcome o = {0};

    fixture_serve(f, NULL, script_echo);
    fixture_add_header(f, "client_id: abc");
    fixture_add_header(f, "Ocp-Apim-Subscription-Key: 0123");
    fixture_exchange(f, NULL, &o);
    assert_int_equal(o.answer.outcome, HTTP_ANSWERED);
    assert_int_equal(o.answer.status, 200);
    const char *sent = buffer_peek(&o.answer.body);
    assert_ptr_equal(strstr(sent, "POST /token HTTP/1.1\r\n"), sent);
    assert_non_null(strstr(sent, "\r\nclient_id: abc\r\n"));
    assert_non_null(strstr(sent, "\r\nOcp-Apim-Subscription-Key: 0123\r\n"));
    assert_non_null(strstr(sent, "\r\nContent-Length: 0\r\n"));
    assert_null(strcasestr(sent, "Content-Type"));
    assert_null(strcasestr(sent, "Expect"));
    assert_null(strcasestr(sent, "Accept-Encoding"));
    assert_null(strcasestr(sent, "\r\nAuthorization"));
    outcome_done(&o);
}

/* Large enough for libcurl to ask "Expect: 100-continue" on its own. */
static void test_a_body_is_sent_whole(void **state)
{
    struct fixture *f = *state;
    struct outcome o = {0};
    char body[20000];

    memset(body, 'x', sizeof(body));
    fixture_serve(f, NULL, script_echo);
    fixture_add_header(f, "Content-Type: application/x-www-form-urlencoded");
    assert_int_equal(secret_set(&f->request.body, body, sizeof(body)), 0);
    fixture_exchange(f, NULL, &o);
    const char *sent = buffer_peek(&o.answer.body);
    assert_non_null(strstr(sent, "\r\nContent-Length: 20000\r\n"));
    assert_non_null(strstr(sent, "\r\nContent-Type: application/x-www-form-urlencoded\r\n"));
    assert_null(strcasestr(sent, "Expect"));
    const char *body_sent = strstr(sent, "\r\n\r\n") + 4;
    assert_int_equal(strspn(body_sent, "x"), sizeof(body));
    outcome_done(&o);
}

/* ---- what is taken in ---- */

static void script_answer_with_headers(struct peer *p)
{
    char request[4096];

    if (peer_read_request(p, request, sizeof(request)))
        SAY(p, "HTTP/1.1 100 Continue\r\nRetry-After: 1\r\n\r\n"
               "HTTP/1.1 103 Early Hints\r\nDate: never\r\n\r\n"
               "HTTP/1.1 429 Too Many\r\nRETRY-AFTER:  120 \r\ncontent-type: application/json\r\n"
               "Transfer-Encoding: chunked\r\nTrailer: Date\r\n\r\n"
               "5\r\nhello\r\n0\r\nDate: in a trailer\r\n\r\n");
}

static void test_headers_are_those_of_the_final_answer(void **state)
{
    struct fixture *f = *state;
    struct outcome o = {0};

    fixture_serve(f, NULL, script_answer_with_headers);
    usec_t before = clock_boottime();
    fixture_exchange(f, NULL, &o);
    assert_int_equal(o.answer.outcome, HTTP_ANSWERED);
    assert_int_equal(o.answer.status, 429);
    assert_string_equal(o.answer.retry_after, "120");
    assert_string_equal(o.answer.content_type, "application/json");
    assert_string_equal(o.answer.date, "");
    assert_string_equal(buffer_peek(&o.answer.body), "hello");
    assert_true(o.answer.body.is_secret);
    assert_in_range(o.answer.sent_at, before, clock_boottime());
    outcome_done(&o);
}

static void script_redirect_with_long_value(struct peer *p)
{
    char request[4096], head[512];

    (void) snprintf(
        head, sizeof(head),
        "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nRetry-After: %0*d\r\nContent-Length: 0\r\n\r\n",
        HTTP_VALUE_SIZE, 1);
    while (peer_read_request(p, request, sizeof(request)))
        SAY(p, strstr(request, "/elsewhere") ? "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" : head);
}

static void test_a_redirect_is_an_answer(void **state)
{
    struct fixture *f = *state;
    struct outcome o = {0};

    fixture_serve(f, NULL, script_redirect_with_long_value);
    fixture_exchange(f, NULL, &o);
    assert_int_equal(o.answer.outcome, HTTP_ANSWERED);
    assert_int_equal(o.answer.status, 302);
    assert_string_equal(o.answer.retry_after, ""); /* too long: absent, not cut */
    outcome_done(&o);
}

static void say_body(struct peer *p, size_t size)
{
    char head[128];
    char *body = calloc(1, size);

    memset(body, 'b', size);
    int n = snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    peer_write(p, head, (size_t) n);
    peer_write(p, body, size);
    free(body);
}

static void script_largest_body(struct peer *p)
{
    char request[4096];

    if (peer_read_request(p, request, sizeof(request)))
        say_body(p, HTTP_BODY_MAX);
}

static void script_endless_body(struct peer *p)
{
    char request[4096];

    if (peer_read_request(p, request, sizeof(request)))
        say_body(p, HTTP_BODY_MAX + 1);
}

static void script_announces_too_much(struct peer *p)
{
    char request[4096];

    if (peer_read_request(p, request, sizeof(request)))
        SAY(p, "HTTP/1.1 200 OK\r\nContent-Length: 65537\r\n\r\n");
    (void) peer_read_request(p, request, sizeof(request));
}

static void script_endless_headers(struct peer *p)
{
    char request[4096];

    if (!peer_read_request(p, request, sizeof(request)))
        return;
    SAY(p, "HTTP/1.1 200 OK\r\n");
    for (unsigned i = 0; i < 10000; i++)
        SAY(p, "X: y\r\n");
}

static void script_endless_interim_answers(struct peer *p)
{
    char request[4096];

    if (!peer_read_request(p, request, sizeof(request)))
        return;
    for (unsigned i = 0; i < 10000; i++)
        SAY(p, "HTTP/1.1 102 Processing\r\n\r\n");
}

static void script_endless_header_line(struct peer *p)
{
    char request[4096];

    if (!peer_read_request(p, request, sizeof(request)))
        return;
    SAY(p, "HTTP/1.1 200 OK\r\nX: ");
    for (unsigned i = 0; i < 40000; i++)
        SAY(p, "long ");
}

static void test_a_body_of_the_maximum_is_whole(void **state)
{
    struct fixture *f = *state;
    struct outcome o = {0};

    fixture_serve(f, NULL, script_largest_body);
    fixture_exchange(f, NULL, &o);
    assert_int_equal(o.answer.outcome, HTTP_ANSWERED);
    assert_int_equal(o.answer.body.size, HTTP_BODY_MAX);
    outcome_done(&o);
}

/* ---- what ends how ---- */

static void script_hangs_up(struct peer *p)
{
    char request[4096];

    (void) peer_read_request(p, request, sizeof(request));
}

static void script_is_not_http(struct peer *p)
{
    char request[4096];

    if (peer_read_request(p, request, sizeof(request)))
        SAY(p, "SSH-2.0-OpenSSH_9.2\r\nhello\r\n");
}

static void script_cut_off(struct peer *p)
{
    char request[4096];

    if (peer_read_request(p, request, sizeof(request)))
        SAY(p, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"access_token\"");
}

static void script_broken_chunk(struct peer *p)
{
    char request[4096];

    if (peer_read_request(p, request, sizeof(request)))
        SAY(p, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n");
}

static void script_silent(struct peer *p)
{
    char request[4096];

    while (peer_read_request(p, request, sizeof(request)))
        continue;
}

static void script_slow_body(struct peer *p)
{
    char request[4096];

    if (peer_read_request(p, request, sizeof(request)))
        SAY(p, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\nRetry-After: 5\r\n\r\nbegin");
    (void) peer_read_request(p, request, sizeof(request));
}

static const struct {
    const char *story;
    server_script script;
    enum http_outcome outcome;
    const char *words; /* in the detail */
} endings[] = {
    {"hangs up",                   script_hangs_up,                HTTP_NOT_CONNECTED, "Empty reply from server"                },
    {"is not HTTP",                script_is_not_http,             HTTP_GARBLED,       "HTTP/0.9"                               },
    {"is cut off",                 script_cut_off,                 HTTP_GARBLED,       "bytes remaining to read"                },
    {"breaks a chunk",             script_broken_chunk,            HTTP_GARBLED,       "chunk"                                  },
    {"says nothing",               script_silent,                  HTTP_TIMED_OUT,     "timed out"                              },
    {"stops in the middle",        script_slow_body,               HTTP_TIMED_OUT,     "timed out"                              },
    {"sends without end",          script_endless_body,            HTTP_TOO_LARGE,     "(HTTP status 200) is larger than 64 KiB"},
    {"announces too much",         script_announces_too_much,      HTTP_TOO_LARGE,     "larger"                                 },
    {"has headers without end",    script_endless_headers,         HTTP_TOO_LARGE,     "larger"                                 },
    {"never gets to the point",    script_endless_interim_answers, HTTP_TOO_LARGE,     "larger"                                 },
    {"has one header without end", script_endless_header_line,     HTTP_TOO_LARGE,     "larger"                                 },
};

static void check_is_empty(const struct http_answer *a)
{
    assert_int_equal(a->status, 0);
    assert_int_equal(a->body.size, 0);
    assert_string_equal(a->retry_after, "");
}

static void test_a_server_that(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(endings); i++) {
        struct outcome o = {0};
        bool is_timeout = endings[i].outcome == HTTP_TIMED_OUT;
        fixture_serve(f, NULL, endings[i].script);
        fixture_exchange(f, is_timeout ? &quick : NULL, &o);
        if (o.answer.outcome != endings[i].outcome || !strstr(o.answer.detail, endings[i].words))
            fail_msg("a server that %s: %d, %s", endings[i].story, (int) o.answer.outcome, o.answer.detail);
        check_is_empty(&o.answer);
        assert_true(o.answer.sent_at > 0);
        outcome_done(&o);
        server_stop(&f->server);
        f->has_server = false;
    }
}

static void test_nobody_listens(void **state)
{
    struct fixture *f = *state;
    struct outcome o = {0};
    char url[64];

    (void) snprintf(url, sizeof(url), "http://127.0.0.1:%u/", port_unused());
    f->request.url = url;
    fixture_exchange(f, NULL, &o);
    assert_int_equal(o.answer.outcome, HTTP_NOT_CONNECTED);
    assert_ptr_equal(strstr(o.answer.detail, "Connection refused"), o.answer.detail);
    outcome_done(&o);
}

static const char *const bad_urls[] = {
    "http://upstream.example/",  /* plain HTTP leaves the machine */
    "http://localhost.example/", /* as does this */
    "http://128.0.0.1/",         /* and this */
    "ftp://127.0.0.1/",
    "file:///etc/passwd",
    "https://user:password@127.0.0.1/", /* a password in a settings file, and an Authorization header of its
                                           own */
    "https://",
    "",
};

static void test_bad_urls_are_not_sent(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(bad_urls); i++) {
        struct outcome o = {0};
        f->request.url = bad_urls[i];
        fixture_exchange(f, NULL, &o);
        if (o.answer.outcome != HTTP_NOT_SENT)
            fail_msg("%s: %d, %s", bad_urls[i], (int) o.answer.outcome, o.answer.detail);
        assert_null(strstr(o.answer.detail, "password"));
        assert_string_not_equal(o.answer.detail, "");
        outcome_done(&o);
    }
}

static void test_no_line_end_gets_into_a_header(void **state)
{
    struct fixture *f = *state;
    struct outcome o = {0};

    fixture_serve(f, NULL, script_echo);
    fixture_add_header(f, "X: y\r\nX-Smuggled: z");
    fixture_exchange(f, NULL, &o);
    assert_int_equal(o.answer.outcome, HTTP_NOT_SENT);
    outcome_done(&o);
}

/* The limit is lowered to what is open, so that no further descriptor can be had. */
static void test_out_of_descriptors(void **state)
{
    struct fixture *f = *state;
    struct outcome o = {0}, again = {0};
    struct rlimit was, low;

    fixture_serve(f, NULL, script_echo);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
    int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(next >= 0);
    (void) close(next);
    low = (struct rlimit){.rlim_cur = (rlim_t) next, .rlim_max = was.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    fixture_exchange(f, NULL, &o);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
    assert_int_equal(o.answer.outcome, HTTP_NOT_SENT);
    assert_non_null(strstr(o.answer.detail, "Too many open files"));
    /* And it is not broken for good. */
    fixture_exchange(f, NULL, &again);
    assert_int_equal(again.answer.outcome, HTTP_ANSWERED);
    outcome_done(&o);
    outcome_done(&again);
}

#define with_fixture(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_fixture(test_a_post_without_body_says_so),
        with_fixture(test_a_body_is_sent_whole),
        with_fixture(test_headers_are_those_of_the_final_answer),
        with_fixture(test_a_redirect_is_an_answer),
        with_fixture(test_a_body_of_the_maximum_is_whole),
        with_fixture(test_a_server_that),
        with_fixture(test_nobody_listens),
        with_fixture(test_bad_urls_are_not_sent),
        with_fixture(test_no_line_end_gets_into_a_header),
        with_fixture(test_out_of_descriptors),
    };

    return cmocka_run_group_tests_name("host/upstream", tests, NULL, NULL);
}
