/* SPDX-License-Identifier: MIT */
/* Several sockets, and such as a service manager passes: it holds them, too, and the next server goes on. */
#include "../valgrind.h"
#include "server_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static unsigned n_drained;
/* The manager's own descriptors. */
static int kept[N_SOCKETS_MAX];

static void count_drained(void *userdata)
{
    assert_ptr_equal(userdata, &n_drained);
    n_drained++;
}

/* The manager starts a server with what it keeps. */
static void activate(uint64_t max_connections)
{
    struct listeners listeners = {.n_items = N_SOCKETS_MAX};

    for (size_t i = 0; i < N_SOCKETS_MAX; i++)
        listeners.items[i] =
            (struct listener){.fd = fcntl(kept[i], F_DUPFD_CLOEXEC, 3), .is_inherited = true};
    server_restart_at(&listeners, max_connections, max_connections);
}

static int set_up(void **state)
{
    n_drained = 0;
    int r = server_set_up(state);
    for (size_t i = 0; i < N_SOCKETS_MAX; i++)
        kept[i] = listen_at(i);
    activate(16);
    return r;
}

static int tear_down(void **state)
{
    int r = server_tear_down(state);

    for (size_t i = 0; i < N_SOCKETS_MAX; i++)
        (void) close(kept[i]);
    return r;
}

static void stop(void)
{
    server_stop(server, 60 * USEC_PER_SEC, count_drained, &n_drained);
}

static void each_socket_is_served(void **state _unused_)
{
    int fds[40];

    for (size_t i = 0; i < 14; i++)
        fds[i] = client_connect_to(i % 2);
    loop_settle();
    for (size_t i = 0; i < 14; i++) {
        assert_int_equal(count_text(client_ask(fds[i], GET_TOKEN), "hello"), 1);
        /* Kept for the next request. */
        assert_int_equal(count_text(client_ask(fds[i], GET_TOKEN), "hello"), 1);
        assert_int_equal(api.last.peer.pid, getpid());
        (void) close(fds[i]);
    }
    loop_settle();
    assert_int_equal(server_get_stats(server)->n_connections, 0);
}

static void what_comes_in_passes_blocking_or_not(void **state _unused_)
{
    /* A blocking socket that one client has left again would make the loop wait in accept(). */
    int flags = fcntl(kept[1], F_GETFL);
    assert_true(flags & O_NONBLOCK);
    int fd = client_connect_to(1);
    (void) close(fd);
    loop_settle();
}

/* At each socket alike: told so, and no busy loop while many more wait. */
static void limits_hold_at_each_socket(void **state _unused_)
{
    int fds[60];
    unsigned n_served = 0, n_refused = 0;

    activate(8);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        fds[i] = client_connect_to(1);
    loop_settle();
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        (void) client_send(fds[i], GET_TOKEN);
        loop_settle();
        const char *text = client_read(fds[i], NULL);
        n_served += count_text(text, "hello");
        n_refused += count_text(text, "429 Too Many");
    }
    assert_int_equal(n_served, 7); /* an eighth is for users with few */
    assert_true(n_refused > 0);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        (void) close(fds[i]);
    loop_settle();
    phases_grow_older(2 * USEC_PER_SEC);
    _cleanup_fd_ int fd = client_connect_to(1);
    loop_settle();
    assert_int_equal(count_text(client_ask(fd, GET_TOKEN), "hello"), 1);
}

/* Who cannot be accepted waits, the loop sleeps, and room is noticed. */
static void without_descriptors_callers_wait(void **state _unused_)
{
    struct rlimit before, none;
    int fds[3];

    if (is_under_valgrind()) {
        print_message("skipped: valgrind accepts what is over the limit, and closes it\n");
        skip();
    }
    _cleanup_fd_ int first = client_connect_to(1);
    assert_int_equal(count_text(client_ask(first, GET_TOKEN), "hello"), 1);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        fds[i] = client_connect_to(1);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 3;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    loop_settle();
    assert_int_equal(server_get_stats(server)->n_connections, 1);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    (void) close(first);
    first = -1;
    loop_settle();
    assert_int_equal(server_get_stats(server)->n_connections, 3);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        assert_int_equal(count_text(client_ask(fds[i], GET_TOKEN), "hello"), 1);
        (void) close(fds[i]);
    }
}

/* From the stop on, nobody is turned away and nobody is taken: the next server has them all. */
static void who_comes_during_the_stop_is_served_by_the_next(void **state _unused_)
{
    int fds[N_SOCKETS_MAX][3];

    _cleanup_fd_ int waiting = client_connect_to(0);
    api.does_wait = true;
    (void) client_ask(waiting, GET_TOKEN);
    for (size_t i = 0; i < N_SOCKETS_MAX; i++)
        fds[i][0] = client_connect_to(i); /* in the queue as it stops */
    stop();
    for (size_t i = 0; i < N_SOCKETS_MAX; i++) {
        fds[i][1] = client_connect_to(i);
        assert_int_equal(client_send(fds[i][1], GET_TOKEN), 0);
    }
    loop_settle();
    assert_int_equal(api.n_calls, 1);
    assert_int_equal(n_drained, 0);
    server_answer(api.waiting[0], make_response(0));
    api.n_waiting = 0;
    loop_settle();
    assert_int_equal(n_drained, 1);
    server = server_free(server);
    for (size_t i = 0; i < N_SOCKETS_MAX; i++)
        fds[i][2] = client_connect_to(i); /* and while there is none */

    api.does_wait = false;
    activate(16);
    loop_settle();
    for (size_t i = 0; i < N_SOCKETS_MAX; i++) {
        assert_int_equal(count_text(client_read(fds[i][1], NULL), "hello"), 1);
        assert_int_equal(count_text(client_ask(fds[i][0], GET_TOKEN), "hello"), 1);
        assert_int_equal(count_text(client_ask(fds[i][2], GET_TOKEN), "hello"), 1);
        for (size_t k = 0; k < 3; k++)
            (void) close(fds[i][k]);
    }
}

/* Also an end that is none, as after an error: the manager's sockets go on. */
static void an_end_without_a_stop_leaves_the_sockets_alone(void **state _unused_)
{
    server = server_free(server);
    for (size_t i = 0; i < N_SOCKETS_MAX; i++) {
        _cleanup_fd_ int fd = client_connect_to(i);
        assert_true(fd >= 0);
    }
    activate(16);
    loop_settle();
}

/* One of our own beside one that was passed: only ours is closed for good. */
static void a_socket_of_our_own_ends_with_the_server(void **state _unused_)
{
    struct listeners listeners = {.n_items = 2};
    int later = -1;

    listeners.items[0].fd = listen_at(0);
    listeners.items[1] = (struct listener){.fd = fcntl(kept[1], F_DUPFD_CLOEXEC, 3), .is_inherited = true};
    assert_int_equal(fcntl(listeners.items[0].fd, F_SETFL, O_NONBLOCK), 0);
    server_restart_at(&listeners, 16, 16);
    _cleanup_fd_ int queued = client_connect_to(0);
    stop();
    assert_int_equal(client_try_connect(&later), -ECONNREFUSED);
    assert_int_equal(count_text(client_ask(queued, GET_TOKEN), "hello"), 1);
    assert_int_equal(n_drained, 1);
    _cleanup_fd_ int other = client_connect_to(1);
    assert_true(other >= 0);
}

/* Baselines of who connects are counted by a queue; of several nobody knows which one moves. */
static void several_queues_are_not_counted_as_one(void **state _unused_)
{
    assert_false(server->callers.pid_watch.has_one_queue);
    server_restart(16, 8);
    assert_true(server->callers.pid_watch.has_one_queue);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_socket_is_served),
        TEST(what_comes_in_passes_blocking_or_not),
        TEST(limits_hold_at_each_socket),
        TEST(without_descriptors_callers_wait),
        TEST(who_comes_during_the_stop_is_served_by_the_next),
        TEST(an_end_without_a_stop_leaves_the_sockets_alone),
        TEST(a_socket_of_our_own_ends_with_the_server),
        TEST(several_queues_are_not_counted_as_one),
    };
    return cmocka_run_group_tests_name("server, sockets", tests, NULL, NULL);
}
