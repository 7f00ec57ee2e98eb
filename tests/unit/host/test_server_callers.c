/* SPDX-License-Identifier: MIT */
#include "server_fixture.h"

#include <errno.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/unit.h"
#include "host/proc.h"

static size_t connect_all(int *fds, size_t n_fds)
{
    size_t n_before = server_get_stats(server)->n_connections;

    for (size_t i = 0; i < n_fds; i++)
        fds[i] = client_connect();
    loop_settle();
    return server_get_stats(server)->n_connections - n_before;
}

static void close_all(const int *fds, size_t n_fds)
{
    for (size_t i = 0; i < n_fds; i++)
        (void) close(fds[i]);
    loop_settle();
}

static uint64_t n_limited(enum connection_limit limit)
{
    return server_get_stats(server)->n_limited[uid_class_of(getuid())][limit];
}

/* Of 128 connections 16 are for those who have fewer than 2: one user gets 112, and no matter who is first.
 */
static void the_last_eighth_is_kept_for_those_with_few(void **state _unused_)
{
    int fds[120];

    server_restart(128, 128);
    assert_int_equal(connect_all(fds, ARRAY_SIZE(fds)), 112);
    assert_int_equal(n_limited(LIMIT_CONNECTIONS_KEPT), 8);
    assert_int_equal(server_get_stats(server)->n_refused_connections, 8);
    assert_int_equal(count_text(client_read(fds[112], NULL), "is kept for users with few"), 1);
    close_all(fds, ARRAY_SIZE(fds));
    assert_int_equal(server_get_stats(server)->n_connections, 0);
    assert_int_equal(connect_all(fds, 1), 1);
    close_all(fds, 1);
}

static void refusals_are_counted_by_limit(void **state _unused_)
{
    int fds[6];

    server_restart(128, 4);
    assert_int_equal(connect_all(fds, ARRAY_SIZE(fds)), 4);
    assert_int_equal(n_limited(LIMIT_CONNECTIONS_PER_USER), 2);
    close_all(fds, ARRAY_SIZE(fds));
    server_restart(4, 128);
    assert_int_equal(connect_all(fds, ARRAY_SIZE(fds)), 4);
    assert_int_equal(n_limited(LIMIT_CONNECTIONS), 2);
    assert_int_equal(n_limited(LIMIT_CONNECTIONS_PER_USER), 0);
    close_all(fds, ARRAY_SIZE(fds));
}

/* Whoever hung up before it was its turn takes no place, and none of the few for those that are refused. */
static void who_is_gone_already_counts_for_nothing(void **state _unused_)
{
    int fds[2];

    server_restart(2, 2);
    assert_int_equal(connect_all(fds, ARRAY_SIZE(fds)), 2);
    for (unsigned i = 0; i < 100; i++)
        (void) close(client_connect());
    int asks = client_connect();
    assert_int_equal(client_send(asks, GET_TOKEN), 0);
    /* Its answer is written to nobody, but what it asked has come. */
    (void) close(asks);
    loop_settle();
    assert_int_equal(server_get_stats(server)->n_connections, 2);
    assert_int_equal(server_get_stats(server)->n_refused_connections, 1);
    assert_int_equal(n_limited(LIMIT_CONNECTIONS), 1);
    assert_int_equal(count_text(client_ask(fds[0], GET_TOKEN), "hello"), 1);
    close_all(fds, ARRAY_SIZE(fds));
}

/* They are for connections to come; those that are there stay. */
static void limits_can_change(void **state _unused_)
{
    int fds[6], more[6];

    server_restart(6, 6);
    assert_int_equal(connect_all(fds, 4), 4);
    server_set_limits(server, &(struct server_limits){6, 2});
    assert_int_equal(connect_all(more, 1), 0);
    assert_int_equal(count_text(client_ask(fds[0], GET_TOKEN), "hello"), 1);
    server_set_limits(server, &(struct server_limits){3, 6});
    assert_int_equal(connect_all(more + 1, 1), 0);
    assert_int_equal(n_limited(LIMIT_CONNECTIONS), 1);
    /* Back, and no further than libmicrohttpd was told. */
    server_set_limits(server, &(struct server_limits){1000, 1000});
    assert_int_equal(connect_all(more + 2, 3), 2);
    close_all(fds, 4);
    close_all(more, 5);
}

/* valgrind 3.19 does not know the call that tells of processes. */
static void skip_without_pidfds(void)
{
    _cleanup_fd_ int own = pidfd_of(getpid());

    if (own >= 0)
        return;
    print_message("skipped: pidfd_open(2) does not work here: %s\n", strerror(-own));
    skip();
}

/* A handler that asks for all there is to know. */
static struct request *wait_with_request(int *ret_fd)
{
    api.does_wait = true;
    *ret_fd = client_connect();
    assert_int_equal(client_send(*ret_fd, GET_TOKEN), 0);
    loop_settle();
    assert_int_equal(api.n_waiting, 1);
    return api.waiting[0];
}

static void the_caller_is_this_process(void **state _unused_)
{
    char program[256], own[256], unit[UNIT_NAME_SIZE];
    const char *problem = NULL;
    int fd;

    skip_without_pidfds();
    struct request *r = wait_with_request(&fd);
    request_load_unit(r);
    int k = server_find_unit(server, getpid(), unit, sizeof(unit), &problem);
    /* In a unit or in none: it depends on where the test runs, and both ways say the same. */
    if (k == 0)
        assert_string_equal(r->peer.unit, unit);
    else
        assert_string_equal(r->unit_problem, problem);
    assert_true((r->peer.unit != NULL) == (r->unit_problem == NULL));
    assert_int_not_equal(request_process_id(r), 0);
    assert_int_equal(request_process_id(r), request_process_id(r));
    ssize_t n = readlink("/proc/self/exe", own, sizeof(own) - 1);
    assert_true(n > 0);
    own[n] = '\0';
    assert_string_equal(request_load_program(r, program, sizeof(program)), own);
    server_answer(r, make_response(0));
    api.n_waiting = 0;
    loop_settle();
    (void) close(fd);
}

/* Asks on a new connection, or on one that is there; the answer is sent. */
static uint64_t ask_process_id(void)
{
    int fd;
    struct request *r = wait_with_request(&fd);
    uint64_t id = request_process_id(r);

    server_answer(r, make_response(0));
    api.n_waiting = 0;
    loop_settle();
    (void) close(fd);
    loop_settle();
    return id;
}

static int pidfd_of_the_dead(void)
{
    pid_t child = fork();

    if (child == 0)
        _exit(0);
    int fd = (int) syscall(SYS_pidfd_open, child, 0);
    assert_true(fd >= 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    return fd;
}

/* What is remembered of a process holds for connections that came later, while it lives. */
static void a_process_is_known_again_while_it_lives(void **state _unused_)
{
    struct known_process *k = &server->callers.known[(uint32_t) getpid() % KNOWN_PROCESSES];

    skip_without_pidfds();
    uint64_t id = ask_process_id(), made_up = id + 1;
    assert_int_not_equal(id, 0);
    assert_int_equal(k->pid, getpid());
    assert_int_equal(k->id, id);
    k->id = made_up;
    assert_int_equal(ask_process_id(), made_up);
    /* A connection that came before it was known could be of an earlier process of that number. */
    k->known_since += 2;
    assert_int_equal(ask_process_id(), id);
    /* One that has ended: the number is another's by now. */
    k->id = made_up;
    (void) close(k->pidfd);
    k->pidfd = pidfd_of_the_dead();
    assert_int_equal(ask_process_id(), id);
    assert_int_equal(k->id, id);
    /* Another process with the same last digits has the place. */
    k->id = made_up;
    k->pid += KNOWN_PROCESSES;
    assert_int_equal(ask_process_id(), id);
}

static void a_process_that_is_not_there_has_no_unit(void **state _unused_)
{
    const char *problem = NULL;
    char unit[UNIT_NAME_SIZE] = "untouched";

    assert_int_equal(server_find_unit(server, 1 << 22, unit, sizeof(unit), &problem), -ESRCH);
    assert_non_null(problem);
    assert_int_equal(server_find_unit(server, 0, unit, sizeof(unit), &problem), -ESRCH);
    assert_int_equal(server_find_unit(server, -1, unit, sizeof(unit), &problem), -ESRCH);
    assert_string_equal(unit, "untouched");
}

/* ---- as on a kernel without SO_PEERPIDFD ---- */

static void forget_peer_pidfd(void)
{
    server->callers.has_peer_pidfd = false;
    server->callers.pid_watch.baseline.is_set = false;
}

/* Nobody knows of the first connection whose it is: it is closed behind its answer, and the next is certain.
 */
static void who_is_in_doubt_has_to_connect_anew(void **state _unused_)
{
    bool is_end = false;
    int fd;

    skip_without_pidfds();
    forget_peer_pidfd();
    server_set_unit_rules(server, true);
    struct request *r = wait_with_request(&fd);
    request_load_unit(r);
    assert_null(r->peer.unit);
    assert_non_null(strstr(r->unit_problem, "a new connection helps"));
    assert_int_equal(request_process_id(r), 0);
    server_answer(r, make_response(0));
    api.n_waiting = 0;
    loop_settle();
    assert_int_equal(count_text(client_read(fd, &is_end), "hello"), 1);
    assert_true(is_end);
    (void) close(fd);
    loop_settle();

    r = wait_with_request(&fd);
    request_load_unit(r);
    assert_true(!r->unit_problem || !strstr(r->unit_problem, "a new connection helps"));
    assert_int_not_equal(request_process_id(r), 0);
    server_answer(r, make_response(0));
    api.n_waiting = 0;
    loop_settle();
    assert_int_equal(count_text(client_read(fd, &is_end), "hello"), 1);
    assert_false(is_end);
    (void) close(fd);
}

/* The first unit rule after a reload: kept connections of which nothing is known are not to be refused later.
 */
static void idle_connections_in_doubt_are_closed_with_the_first_rule(void **state _unused_)
{
    bool is_end = false;

    skip_without_pidfds();
    forget_peer_pidfd();
    int fd = client_connect();
    assert_int_equal(count_text(client_ask(fd, GET_TOKEN), "hello"), 1);
    (void) client_read(fd, &is_end);
    assert_false(is_end);
    server_set_unit_rules(server, true);
    loop_settle();
    (void) client_read(fd, &is_end);
    assert_true(is_end);
    (void) close(fd);
    loop_settle();
    /* Not those of whom all is known. */
    fd = client_connect();
    assert_int_equal(count_text(client_ask(fd, GET_TOKEN), "hello"), 1);
    server_set_unit_rules(server, false);
    server_set_unit_rules(server, true);
    loop_settle();
    (void) client_read(fd, &is_end);
    assert_false(is_end);
    (void) close(fd);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, server_set_up, server_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(the_last_eighth_is_kept_for_those_with_few),
        TEST(refusals_are_counted_by_limit),
        TEST(who_is_gone_already_counts_for_nothing),
        TEST(limits_can_change),
        TEST(the_caller_is_this_process),
        TEST(a_process_is_known_again_while_it_lives),
        TEST(a_process_that_is_not_there_has_no_unit),
        TEST(who_is_in_doubt_has_to_connect_anew),
        TEST(idle_connections_in_doubt_are_closed_with_the_first_rule),
    };
    return cmocka_run_group_tests_name("server_callers", tests, NULL, NULL);
}
