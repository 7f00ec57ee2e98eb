/* SPDX-License-Identifier: MIT */
/* How long a connection may take for what, and how it all ends. The limits are seconds: here the past is
 * moved. */
#include "server_fixture.h"

#include <errno.h>
#include <sys/socket.h>

#define SEC(n) ((usec_t) (n) *USEC_PER_SEC)
/* More than a socket's buffer takes. */
#define LARGE ((size_t) 1 << 20)

static unsigned n_drained;

static void count_drained(void *userdata)
{
    assert_ptr_equal(userdata, &n_drained);
    n_drained++;
}

static int set_up(void **state)
{
    n_drained = 0;
    return server_set_up(state);
}

/* However long a busy machine takes, the last call goes on until a test says otherwise. */
static void hold_last_call(void)
{
    assert_int_equal(sd_event_source_set_time(server->last_call_timer, USEC_INFINITY), 0);
}

static void stop(usec_t grace_for)
{
    server_stop(server, grace_for, count_drained, &n_drained);
    hold_last_call();
}

/* The first time for those who have asked before, then for all. */
static void last_call_is_over(void)
{
    assert_int_equal(sd_event_source_set_time(server->last_call_timer, 0), 0);
    loop_settle();
    hold_last_call();
}

static bool is_closed(int fd)
{
    bool is_end;

    (void) client_read(fd, &is_end);
    return is_end;
}

/* ---- deadlines ---- */

static void an_idle_connection_is_closed_after_a_minute(void **state _unused_)
{
    _cleanup_fd_ int fresh = client_connect(), used = client_connect();

    (void) client_ask(used, GET_TOKEN);
    assert_int_equal(count_phase(PHASE_IDLE), 2);
    phases_are_old(SEC(59));
    assert_false(is_closed(fresh) || is_closed(used));
    phases_grow_older(SEC(1) + 1);
    assert_true(is_closed(fresh) && is_closed(used));
    assert_int_equal(server_get_stats(server)->n_connections, 0);
    /* Nothing worth a line in the log. */
    assert_int_equal(api.n_said, 0);
}

static void a_request_must_be_whole_within_ten_seconds(void **state _unused_)
{
    static const char *const parts[] = {"G", "GET /healthz HTTP/1.1\r\nHost:",
                                        "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345"};

    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        _cleanup_fd_ int slow = client_connect();
        bool is_end;
        assert_string_equal(client_ask(slow, parts[i]), "");
        assert_int_equal(count_phase(PHASE_READING), 1);
        phases_are_old(SEC(9));
        assert_false(is_closed(slow));
        /* More bytes buy no more time. */
        assert_int_equal(client_send(slow, i == 0 ? "E" : "1"), 0);
        loop_settle();
        phases_grow_older(SEC(1) + 1);
        assert_int_equal(strncmp(client_read(slow, &is_end), "HTTP/1.1 408 ", 13), 0);
        assert_true(is_end);
        assert_int_equal(api.n_said, i + 1);
        assert_non_null(strstr(api.said, "no whole request within 10s"));
    }
    assert_int_equal(api.n_calls, 0);
    assert_int_equal(server_get_stats(server)->n_connections, 0);
}

static void a_request_that_waits_has_no_deadline_here(void **state _unused_)
{
    _cleanup_fd_ int fd = client_connect();

    api.does_wait = true;
    (void) client_ask(fd, GET_TOKEN);
    phases_grow_older(SEC(600));
    assert_false(is_closed(fd));
    assert_int_equal(api.n_hang_ups, 0);
    server_answer(api.waiting[0], make_response(0));
    loop_settle();
    assert_int_equal(count_text(client_read(fd, NULL), "hello"), 1);
}

static void an_answer_must_be_taken_within_a_minute(void **state _unused_)
{
    _cleanup_fd_ int slow = client_connect(), other = client_connect();

    api.body_size = LARGE;
    assert_int_equal(client_send(slow, GET_TOKEN), 0);
    loop_settle();
    assert_int_equal(count_phase(PHASE_SENDING), 1);
    api.body_size = 0;
    assert_int_equal(count_text(client_ask(other, GET_TOKEN), "hello"), 1);
    phases_grow_older(SEC(60) + 1);
    assert_true(strlen(client_read(slow, NULL)) < LARGE);
    assert_true(is_closed(slow));
    assert_non_null(strstr(api.said, "the answer was not read within 60s"));
    loop_settle();
    assert_int_equal(server_get_stats(server)->n_connections, 0);
}

/* The timer follows the oldest of all, also when that one ends. */
static void the_deadline_is_that_of_the_oldest(void **state _unused_)
{
    int old = client_connect();

    loop_settle();
    phases_grow_older(SEC(30));
    _cleanup_fd_ int young = client_connect();
    loop_settle();
    phases_grow_older(SEC(20));
    (void) close(old);
    loop_settle();
    phases_grow_older(SEC(15));
    assert_false(is_closed(young));
    phases_grow_older(SEC(26));
    assert_true(is_closed(young));
}

/* An idle daemon sleeps. */
static void without_connections_no_timer_runs(void **state _unused_)
{
    int fds[3], is_enabled = -1;

    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        fds[i] = client_connect();
        (void) client_ask(fds[i], GET_TOKEN);
    }
    assert_true(sd_event_source_get_enabled(server->timer, &is_enabled) > 0);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        (void) close(fds[i]);
    loop_settle();
    assert_int_equal(sd_event_source_get_enabled(server->timer, &is_enabled), 0);
    assert_true(server->timer_at == USEC_INFINITY);
}

/* ---- stop ---- */

static void what_was_sent_before_the_stop_is_answered(void **state _unused_)
{
    _cleanup_fd_ int known = client_connect();
    assert_int_equal(count_text(client_ask(known, GET_TOKEN), "hello"), 1);

    /* One on a known connection, one still in the queue of the socket. */
    _cleanup_fd_ int queued = client_connect();
    assert_int_equal(client_send(known, GET_TOKEN), 0);
    assert_int_equal(client_send(queued, GET_TOKEN), 0);
    stop(SEC(60));
    assert_int_equal(n_drained, 0);
    loop_settle();
    assert_int_equal(count_text(client_read(known, NULL), "hello"), 1);
    assert_int_equal(count_text(client_read(queued, NULL), "hello"), 1);
    assert_true(is_closed(known) && is_closed(queued));
    assert_int_equal(api.n_calls, 3);
    assert_int_equal(n_drained, 1);
    assert_int_equal(api.n_said, 0);
}

/* As the daemon stops: those who wait are answered in the turn of the stop. */
static void who_waits_at_the_stop_is_answered(void **state _unused_)
{
    int fds[4];

    api.does_wait = true;
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        fds[i] = client_connect();
        (void) client_ask(fds[i], GET_TOKEN);
    }
    stop(SEC(60));
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        server_answer(api.waiting[i], make_response(0));
    loop_settle();
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        assert_int_equal(count_text(client_read(fds[i], NULL), "hello"), 1);
        assert_true(is_closed(fds[i]));
        (void) close(fds[i]);
    }
    assert_int_equal(api.n_hang_ups, 0);
    assert_int_equal(n_drained, 1);
}

/* A client whose write fails knows that nobody read it, and may ask the next daemon. */
static void what_comes_after_the_stop_fails_at_the_sender(void **state _unused_)
{
    _cleanup_fd_ int idle = client_connect(), waiting = client_connect(), later = -1;

    (void) client_ask(idle, GET_HEALTH);
    phases_grow_older(SEC(2));
    api.does_wait = true;
    (void) client_ask(waiting, GET_TOKEN);
    stop(SEC(60));
    assert_int_equal(client_send(idle, GET_TOKEN), -EPIPE);
    assert_int_equal(client_send(waiting, GET_TOKEN), -EPIPE);
    assert_int_equal(client_try_connect(&later), -ECONNREFUSED);
    loop_settle();
    assert_true(is_closed(idle));
    assert_int_equal(n_drained, 0);
    assert_int_equal(api.n_calls, 2);
    server_answer(api.waiting[0], make_response(0));
    loop_settle();
    assert_int_equal(count_text(client_read(waiting, NULL), "hello"), 1);
    assert_true(is_closed(waiting));
    assert_int_equal(n_drained, 1);
}

static void without_connections_it_is_drained_at_once(void **state _unused_)
{
    stop(SEC(60));
    assert_int_equal(n_drained, 0); /* from the loop, not from within */
    loop_settle();
    assert_int_equal(n_drained, 1);
    loop_settle();
    assert_int_equal(n_drained, 1);
}

/* It could not know: who has just connected, or is in the middle of asking, is answered. */
static void whose_request_is_on_its_way_at_the_stop_is_answered(void **state _unused_)
{
    _cleanup_fd_ int fresh = client_connect(), half = client_connect();

    (void) client_ask(half, "GET /healthz HTTP/1.1\r\n");
    stop(SEC(60));
    loop_settle();
    assert_int_equal(n_drained, 0);
    const char *answer = client_ask(fresh, GET_HEALTH);
    assert_int_equal(count_text(answer, "hello"), 1);
    /* But once. */
    assert_int_equal(count_text(answer, "Connection: close"), 1);
    answer = client_ask(half, "Host: x\r\n\r\n");
    assert_int_equal(count_text(answer, "hello"), 1);
    assert_int_equal(count_text(answer, "Connection: close"), 1);
    assert_true(is_closed(fresh) && is_closed(half));
    assert_int_equal(n_drained, 1);
}

/* A client that asks again and again on its connection sees the end in an answer, not in a failure. */
static void who_asked_a_moment_ago_may_ask_once_more(void **state _unused_)
{
    _cleanup_fd_ int busy = client_connect(), resting = client_connect(), old = client_connect();

    (void) client_ask(old, GET_HEALTH);
    phases_grow_older(SEC(2));
    assert_int_equal(count_text(client_ask(busy, GET_HEALTH), "Connection: close"), 0);
    (void) client_ask(resting, GET_HEALTH);
    stop(SEC(60));
    loop_settle();
    assert_true(is_closed(old));
    assert_int_equal(count_text(client_ask(busy, GET_HEALTH), "Connection: close"), 1);
    assert_true(is_closed(busy));
    assert_int_equal(n_drained, 0);
    /* Not for long. */
    last_call_is_over();
    assert_true(is_closed(resting));
    assert_int_equal(n_drained, 1);
}

/* Half a request that will never be whole: nothing waits for it for long. */
static void half_a_request_does_not_hold_up_the_end(void **state _unused_)
{
    _cleanup_fd_ int fd = client_connect(), silent = client_connect();

    (void) client_ask(fd, "GET /healthz HTTP/1.1\r\n");
    stop(SEC(60));
    loop_settle();
    assert_int_equal(n_drained, 0);
    last_call_is_over();
    assert_int_equal(n_drained, 0);
    last_call_is_over();
    assert_true(is_closed(fd) && is_closed(silent));
    assert_int_equal(n_drained, 1);
}

static void who_does_not_take_the_answer_is_waited_for_until_the_grace_is_over(void **state _unused_)
{
    _cleanup_fd_ int slow = client_connect();

    api.body_size = LARGE;
    assert_int_equal(client_send(slow, GET_TOKEN), 0);
    loop_settle();
    stop(SEC(60));
    loop_settle();
    assert_int_equal(n_drained, 0);
    assert_int_equal(sd_event_source_set_time(server->grace_timer, 0), 0);
    loop_settle();
    assert_int_equal(n_drained, 1);
    assert_non_null(strstr(api.said, "1 connections did not take their answers in time"));
    /* The last one leaving after that is no second end. */
    (void) client_read(slow, NULL);
    (void) close(slow);
    slow = -1;
    loop_settle();
    assert_int_equal(n_drained, 1);
}

static void a_slow_reader_within_the_grace_gets_all(void **state _unused_)
{
    _cleanup_fd_ int slow = client_connect();
    size_t size = 0;

    api.body_size = LARGE;
    assert_int_equal(client_send(slow, GET_TOKEN), 0);
    loop_settle();
    stop(SEC(60));
    for (unsigned i = 0; i < 1000 && n_drained == 0; i++) {
        size += strlen(client_read(slow, NULL));
        loop_settle();
    }
    size += strlen(client_read(slow, NULL));
    assert_true(size > LARGE);
    assert_int_equal(n_drained, 1);
}

/* ---- the end ---- */

static void what_waits_is_taken_back_when_it_all_ends(void **state _unused_)
{
    int fds[5];

    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        fds[i] = client_connect();
    loop_settle();
    (void) client_ask(fds[1], "GET /");
    api.does_wait = true;
    (void) client_ask(fds[2], GET_TOKEN);
    (void) client_ask(fds[3], GET_TOKEN);
    (void) client_ask(fds[4], GET_TOKEN);
    /* One of them has its answer, which does not get out any more. */
    server_answer(api.waiting[0], make_response(0));
    api.waiting[0] = api.waiting[--api.n_waiting];
    server = server_free(server);
    assert_int_equal(api.n_hang_ups, 2);
    assert_int_equal(api.n_waiting, 0);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        assert_true(is_closed(fds[i]));
        (void) close(fds[i]);
    }
    assert_null(server_free(NULL));
}

static void groups_are_loaded_once(void **state _unused_)
{
    _cleanup_fd_ int fd = client_connect();
    gid_t expected[256];

    api.does_wait = true;
    (void) client_ask(fd, GET_TOKEN);
    struct request *r = api.waiting[0];
    assert_int_equal(r->peer.n_groups, 0);
    request_load_groups(r);
    const uint32_t *groups = r->peer.groups;
    assert_non_null(groups);
    assert_int_equal(r->peer.n_groups, getgroups(ARRAY_SIZE(expected), expected));
    for (size_t i = 0; i < r->peer.n_groups; i++)
        assert_int_equal(groups[i], expected[i]);
    request_load_groups(r);
    assert_ptr_equal(r->peer.groups, groups);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, server_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_idle_connection_is_closed_after_a_minute),
        TEST(a_request_must_be_whole_within_ten_seconds),
        TEST(a_request_that_waits_has_no_deadline_here),
        TEST(an_answer_must_be_taken_within_a_minute),
        TEST(the_deadline_is_that_of_the_oldest),
        TEST(without_connections_no_timer_runs),
        TEST(what_was_sent_before_the_stop_is_answered),
        TEST(who_waits_at_the_stop_is_answered),
        TEST(what_comes_after_the_stop_fails_at_the_sender),
        TEST(without_connections_it_is_drained_at_once),
        TEST(whose_request_is_on_its_way_at_the_stop_is_answered),
        TEST(who_asked_a_moment_ago_may_ask_once_more),
        TEST(half_a_request_does_not_hold_up_the_end),
        TEST(who_does_not_take_the_answer_is_waited_for_until_the_grace_is_over),
        TEST(a_slow_reader_within_the_grace_gets_all),
        TEST(what_waits_is_taken_back_when_it_all_ends),
        TEST(groups_are_loaded_once),
    };
    return cmocka_run_group_tests_name("server, life", tests, NULL, NULL);
}
