/* SPDX-License-Identifier: MIT */
#include "server_fixture.h"

#include <errno.h>
#include <sys/socket.h>

static void a_request_is_handled_once_and_answered(void **state _unused_)
{
    _cleanup_fd_ int fd = client_connect();
    const char *answer = client_ask(fd, GET_TOKEN);

    assert_int_equal(api.n_calls, 1);
    assert_int_equal(strncmp(answer, "HTTP/1.1 200 OK\r\n", 17), 0);
    assert_non_null(strstr(answer, "\r\nContent-Type: text/plain\r\n"));
    assert_non_null(strstr(answer, "\r\nCache-Control: no-store\r\n"));
    assert_non_null(strstr(answer, "\r\nContent-Length: 6\r\n"));
    assert_non_null(strstr(answer, "\r\nX-One: 1\r\n"));
    assert_null(strstr(answer, "X-No"));
    assert_string_equal(strstr(answer, "\r\n\r\n"), "\r\n\r\nhello\n");
    assert_int_equal(api.last.route.endpoint, ENDPOINT_TOKEN);
    assert_string_equal(api.last.route.profile, "shop");
    assert_int_equal(api.last.method, REQUEST_GET);
    assert_int_equal(api.last.peer.uid, geteuid());
    assert_int_equal(api.last.peer.gid, getegid());
    assert_int_equal(api.last.peer.pid, getpid());
    assert_int_equal(api.n_said, 0);
}

static void a_connection_takes_one_request_after_another(void **state _unused_)
{
    _cleanup_fd_ int fd = client_connect();

    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(count_text(client_ask(fd, GET_TOKEN), "HTTP/1.1 200"), 1);
        assert_int_equal(api.n_calls, i);
    }
    /* Sent at once, without waiting for the first answer. */
    assert_int_equal(count_text(client_ask(fd, GET_TOKEN GET_HEALTH GET_TOKEN), "HTTP/1.1 200"), 3);
    assert_int_equal(api.n_calls, 6);
    assert_int_equal(server_get_stats(server)->n_connections, 1);
    assert_int_equal(count_phase(PHASE_IDLE), 1);
}

static void a_request_may_come_byte_by_byte(void **state _unused_)
{
    _cleanup_fd_ int fd = client_connect();

    for (const char *c = GET_TOKEN; *c; c++) {
        assert_int_equal(api.n_calls, 0);
        assert_int_equal(client_send(fd, (char[]){*c, '\0'}), 0);
        loop_settle();
        if (c[1]) {
            assert_int_equal(count_phase(PHASE_READING), 1);
            assert_string_equal(client_read(fd, NULL), "");
        }
    }
    assert_int_equal(api.n_calls, 1);
    assert_int_equal(count_text(client_read(fd, NULL), "HTTP/1.1 200"), 1);
}

static void methods_and_accept_are_read(void **state _unused_)
{
    static const struct {
        const char *head;
        int method;
        bool accepts_text;
    } cases[] = {
        {"GET /healthz HTTP/1.1\r\nAccept: text/plain\r\n",                   REQUEST_GET,   true },
        {"GET /healthz HTTP/1.1\r\nAccept: Text/Plain; q=0.5\r\n",            REQUEST_GET,   true },
        {"GET /healthz HTTP/1.1\r\naccept: text/html, text/plain\r\n",        REQUEST_GET,   true },
        {"GET /healthz HTTP/1.1\r\nAccept: */*\r\n",                          REQUEST_GET,   false},
        {"GET /healthz HTTP/1.1\r\n",                                         REQUEST_GET,   false},
        {"GET /healthz HTTP/1.1\r\nAccept: application/json, text/plain\r\n", REQUEST_GET,   false},
        {"HEAD /healthz HTTP/1.1\r\n",                                        REQUEST_HEAD,  false},
        {"POST /healthz HTTP/1.1\r\nContent-Length: 0\r\n",                   REQUEST_POST,  false},
        {"PUT /healthz HTTP/1.1\r\nContent-Length: 0\r\n",                    REQUEST_OTHER, false},
        {"DELETE /healthz HTTP/1.1\r\n",                                      REQUEST_OTHER, false},
        {"get /healthz HTTP/1.1\r\n",                                         REQUEST_OTHER, false},
    };
    _cleanup_fd_ int fd = client_connect();

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char request[256];
        (void) snprintf(request, sizeof(request), "%sHost: x\r\n\r\n", cases[i].head);
        const char *answer = client_ask(fd, request);
        assert_int_equal(api.n_calls, i + 1);
        assert_int_equal(api.last.method, cases[i].method);
        assert_int_equal(api.last.accepts_text, cases[i].accepts_text);
        assert_int_equal(count_text(answer, "hello"), cases[i].method != REQUEST_HEAD);
        assert_int_equal(count_text(answer, "Content-Length: 6"), 1);
    }
}

static void a_body_is_read_up_to_its_limit(void **state _unused_)
{
    static char request[8192];
    _cleanup_fd_ int fd = client_connect();

    for (unsigned size = REQUEST_BODY_MAX - 1; size <= REQUEST_BODY_MAX; size++) {
        (void) snprintf(request, sizeof(request),
                        "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: %u\r\n\r\n%*d", size, (int) size, 1);
        assert_int_equal(count_text(client_ask(fd, request), "HTTP/1.1 200"), 1);
        assert_false(api.last.is_body_too_large);
    }
    /* The next request on the connection begins with nothing counted. */
    (void) client_ask(fd, GET_TOKEN);
    assert_false(api.last.is_body_too_large);
    assert_int_equal(api.n_calls, 3);
}

static void a_body_too_large_is_said_so(void **state _unused_)
{
    static const char *const announced[] = {"4097", "999999999", "99999999999", "18446744073709551615"};
    static char request[8192];

    for (size_t i = 0; i < ARRAY_SIZE(announced); i++) {
        _cleanup_fd_ int fd = client_connect();
        /* Answered though not a byte of it was sent. */
        (void) snprintf(request, sizeof(request), "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: %s\r\n\r\n",
                        announced[i]);
        assert_int_equal(count_text(client_ask(fd, request), "HTTP/1.1 200"), 1);
        assert_int_equal(api.n_calls, i + 1);
        assert_true(api.last.is_body_too_large);
    }
    /* In chunks nobody says how much it will be. */
    _cleanup_fd_ int fd = client_connect();
    (void) snprintf(
        request, sizeof(request),
        "POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1001\r\n%*d\r\n0\r\n\r\n", 4097, 1);
    assert_int_equal(count_text(client_ask(fd, request), "HTTP/1.1 200"), 1);
    assert_int_equal(api.n_calls, ARRAY_SIZE(announced) + 1);
    assert_true(api.last.is_body_too_large);
}

static void what_is_no_request_never_gets_to_the_handler(void **state _unused_)
{
    static char endless[16384];
    static const char *const texts[] = {
        "\r\n\r\nnonsense\r\n\r\n",
        "GET\r\n\r\n",
        "\x16\x03\x01\x02\x01\x01\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nno colon\r\n\r\n",
        "GET /healthz HTTP/1.1\r\n\r\n", /* without Host */
        "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
        "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 5x\r\n\r\n",
        endless,
    };

    (void) snprintf(endless, sizeof(endless), "GET /%*d HTTP/1.1\r\nHost: x\r\n\r\n", 10000, 1);
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        bool is_end;
        _cleanup_fd_ int fd = client_connect();
        assert_int_equal(client_send(fd, texts[i]), 0);
        loop_settle();
        const char *answer = client_read(fd, &is_end);
        if (*answer && strncmp(answer, "HTTP/1.1 4", 10) != 0)
            fail_msg("%s: answered %s", texts[i], answer);
        assert_true(is_end);
        assert_int_equal(api.n_calls, 0);
    }
    loop_settle();
    assert_int_equal(server_get_stats(server)->n_connections, 0);
}

/* ---- waiting ---- */

static void a_request_that_waits_holds_up_nobody(void **state _unused_)
{
    _cleanup_fd_ int slow = client_connect(), fast = client_connect();

    api.does_wait = true;
    assert_string_equal(client_ask(slow, GET_TOKEN), "");
    assert_int_equal(count_phase(PHASE_WAITING), 1);
    api.does_wait = false;
    assert_int_equal(count_text(client_ask(fast, GET_TOKEN), "hello"), 1);
    assert_string_equal(client_read(slow, NULL), "");

    server_answer(api.waiting[0], make_response(0));
    loop_settle();
    assert_int_equal(count_text(client_read(slow, NULL), "hello"), 1);
    assert_int_equal(api.n_calls, 2);
    assert_int_equal(api.n_hang_ups, 0);
    /* And the connection goes on, with no time-out left over from the waking. */
    const struct connection *c = container_of(server->phases[PHASE_IDLE].prev, struct connection, in_phase);
    assert_int_equal(
        MHD_get_connection_info(c->mhd, MHD_CONNECTION_INFO_CONNECTION_TIMEOUT)->connection_timeout, 0);
    assert_int_equal(count_text(client_ask(slow, GET_TOKEN), "hello"), 1);
    assert_int_equal(count_phase(PHASE_IDLE), 2);
}

/* What a client sends while its request waits is read after the answer, in its turn. */
static void a_second_request_behind_one_that_waits(void **state _unused_)
{
    _cleanup_fd_ int fd = client_connect();

    api.does_wait = true;
    (void) client_ask(fd, GET_TOKEN);
    api.does_wait = false;
    (void) client_ask(fd, GET_HEALTH);
    assert_int_equal(api.n_calls, 1);
    server_answer(api.waiting[0], make_response(0));
    loop_settle();
    assert_int_equal(api.n_calls, 2);
    assert_int_equal(api.last.route.endpoint, ENDPOINT_HEALTHZ);
    assert_int_equal(count_text(client_read(fd, NULL), "hello"), 2);
}

static void one_answer_goes_to_many(void **state _unused_)
{
    int fds[8];
    struct response *answer = make_response(0);

    api.does_wait = true;
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        fds[i] = client_connect();
        (void) client_ask(fds[i], GET_TOKEN);
    }
    assert_int_equal(api.n_waiting, ARRAY_SIZE(fds));
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        server_answer(api.waiting[i], response_ref(answer));
    answer = response_unref(answer);
    loop_settle();
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        assert_int_equal(count_text(client_read(fds[i], NULL), "hello"), 1);
        (void) close(fds[i]);
    }
}

static void a_client_that_leaves_is_noticed_while_it_waits(void **state _unused_)
{
    int fd = client_connect();

    api.does_wait = true;
    (void) client_ask(fd, GET_TOKEN);
    (void) close(fd);
    loop_settle();
    assert_int_equal(api.n_hang_ups, 1);
    assert_int_equal(api.n_waiting, 0);
    assert_int_equal(server_get_stats(server)->n_connections, 0);
}

/* As `nc` and some proxies do: nothing more to say, but still listening. */
static void a_client_that_only_stops_sending_is_answered(void **state _unused_)
{
    _cleanup_fd_ int fd = client_connect();

    api.does_wait = true;
    assert_int_equal(client_send(fd, GET_TOKEN), 0);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    loop_settle();
    assert_int_equal(api.n_hang_ups, 0);
    assert_int_equal(api.n_waiting, 1);
    server_answer(api.waiting[0], make_response(0));
    loop_settle();
    assert_int_equal(count_text(client_read(fd, NULL), "hello"), 1);
}

static void a_client_may_stop_sending_while_it_waits(void **state _unused_)
{
    for (unsigned turn = 0; turn < 2; turn++) {
        _cleanup_fd_ int fd = client_connect();
        api.does_wait = true;
        api.n_waiting = 0;
        (void) client_ask(fd, GET_TOKEN);
        assert_int_equal(shutdown(fd, SHUT_WR), 0);
        /* Seen before the answer is there, and in the same turn. */
        if (turn == 0)
            loop_settle();
        assert_int_equal(api.n_hang_ups, 0);
        server_answer(api.waiting[0], make_response(0));
        loop_settle();
        assert_int_equal(count_text(client_read(fd, NULL), "hello"), 1);
        assert_int_equal(server_get_stats(server)->n_connections, 0);
    }
}

/* Answered and gone in the same turn: what was answered is not taken back. */
static void an_answer_and_a_hang_up_may_cross(void **state _unused_)
{
    int fd = client_connect();

    api.does_wait = true;
    (void) client_ask(fd, GET_TOKEN);
    server_answer(api.waiting[0], make_response(0));
    (void) close(fd);
    loop_settle();
    assert_int_equal(api.n_hang_ups, 0);
    assert_int_equal(server_get_stats(server)->n_connections, 0);
}

static void without_memory_for_an_answer_the_connection_ends(void **state _unused_)
{
    _cleanup_fd_ int at_once = client_connect(), later = client_connect();
    bool is_end;

    api.has_no_memory = true;
    (void) client_ask(at_once, GET_TOKEN);
    assert_string_equal(client_read(at_once, &is_end), "");
    assert_true(is_end);
    assert_int_equal(api.n_said, 1);

    api.has_no_memory = false;
    api.does_wait = true;
    (void) client_ask(later, GET_TOKEN);
    server_answer(api.waiting[0], NULL);
    loop_settle();
    assert_string_equal(client_read(later, &is_end), "");
    assert_true(is_end);
    assert_int_equal(api.n_said, 2);
    assert_int_equal(api.n_hang_ups, 0);
    assert_int_equal(server_get_stats(server)->n_connections, 0);
}

/* A body that was cut off is not sent as if it were whole. */
static void a_buffer_that_failed_makes_no_answer(void **state _unused_)
{
    _cleanup_(buffer_done) struct buffer body = BUFFER_INIT_SECRET(4);

    buffer_append_string(&body, "too long");
    assert_null(response_new(200, "text/plain", &body, NULL, 0));
    assert_int_equal(body.size, 0);
    assert_int_equal(buffer_error(&body), 0);
}

/* ---- limits ---- */

static void assert_refusal(const char *answer, const char *words)
{
    assert_int_equal(strncmp(answer, "HTTP/1.1 429 Too Many Requests\r\n", 32), 0);
    assert_non_null(strstr(answer, "\r\nRetry-After: 1\r\n"));
    assert_non_null(strstr(answer, "\r\nConnection: close\r\n"));
    assert_non_null(strstr(answer, "urn:bearerd:problem:too-many-connections"));
    assert_non_null(strstr(answer, words));
    /* The length is right, or a client would wait for more. */
    unsigned length = 0;
    assert_int_equal(sscanf(strstr(answer, "Content-Length: "), "Content-Length: %u", &length), 1);
    assert_int_equal(strlen(strstr(answer, "\r\n\r\n") + 4), length);
}

static void connections_over_a_limit_are_refused(uint64_t max, uint64_t max_per_user, const char *words)
{
    bool is_end;

    server_restart(max, max_per_user);
    _cleanup_fd_ int first = client_connect(), second = client_connect(), third = client_connect();
    assert_int_equal(client_send(third, GET_TOKEN), 0);
    loop_settle();
    assert_refusal(client_read(third, &is_end), words);
    assert_true(is_end);
    assert_int_equal(api.n_calls, 0);
    assert_int_equal(server_get_stats(server)->n_connections, 2);
    assert_int_equal(server_get_stats(server)->n_refused_connections, 1);
    assert_int_equal(server_get_stats(server)->api_requests[STATS_429], 1);
    assert_int_equal(count_text(client_ask(first, GET_TOKEN), "hello"), 1);

    /* One leaves, and there is room again. */
    (void) close(second);
    second = -1;
    loop_settle();
    second = client_connect();
    assert_int_equal(count_text(client_ask(second, GET_TOKEN), "hello"), 1);
}

static void one_user_has_a_limit(void **state _unused_)
{
    connections_over_a_limit_are_refused(8, 2, "MaxConnectionsPerUser=");
}

static void all_together_have_a_limit(void **state _unused_)
{
    connections_over_a_limit_are_refused(2, 8, "MaxConnections=");
}

/* A crowd at the door: everybody gets a word, and the places are used. */
static void many_more_than_fit_are_all_told(void **state _unused_)
{
    int fds[60];
    unsigned n_served = 0;

    server_restart(4, 4);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        fds[i] = client_connect();
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        (void) client_send(fds[i], GET_TOKEN);
    loop_settle();
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        const char *answer = client_read(fds[i], NULL);
        if (count_text(answer, "hello") == 1)
            n_served++;
        else
            assert_refusal(answer, "");
    }
    assert_int_equal(n_served, 4);
    assert_int_equal(server_get_stats(server)->n_refused_connections, ARRAY_SIZE(fds) - 4);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        (void) close(fds[i]);
}

/* Who says nothing is told as well, however many: none stays in the queue until somebody else comes. */
static void silent_ones_over_the_limit_are_told_too(void **state _unused_)
{
    int fds[64];
    bool is_end;

    for (size_t n = 5; n <= ARRAY_SIZE(fds); n++) {
        server_restart(4, 4);
        for (size_t i = 0; i < n; i++)
            fds[i] = client_connect();
        loop_settle();
        for (size_t i = 0; i < n; i++) {
            const char *answer = client_read(fds[i], &is_end);
            assert_int_equal(is_end, i >= 4);
            if (i >= 4)
                assert_refusal(answer, "");
            (void) close(fds[i]);
        }
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, server_set_up, server_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_request_is_handled_once_and_answered),
        TEST(a_connection_takes_one_request_after_another),
        TEST(a_request_may_come_byte_by_byte),
        TEST(methods_and_accept_are_read),
        TEST(a_body_is_read_up_to_its_limit),
        TEST(a_body_too_large_is_said_so),
        TEST(what_is_no_request_never_gets_to_the_handler),
        TEST(a_request_that_waits_holds_up_nobody),
        TEST(a_second_request_behind_one_that_waits),
        TEST(one_answer_goes_to_many),
        TEST(a_client_that_leaves_is_noticed_while_it_waits),
        TEST(a_client_that_only_stops_sending_is_answered),
        TEST(a_client_may_stop_sending_while_it_waits),
        TEST(an_answer_and_a_hang_up_may_cross),
        TEST(without_memory_for_an_answer_the_connection_ends),
        TEST(a_buffer_that_failed_makes_no_answer),
        TEST(one_user_has_a_limit),
        TEST(all_together_have_a_limit),
        TEST(many_more_than_fit_are_all_told),
        TEST(silent_ones_over_the_limit_are_told_too),
    };
    return cmocka_run_group_tests_name("server", tests, NULL, NULL);
}
