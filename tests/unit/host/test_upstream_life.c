/* SPDX-License-Identifier: MIT */
/* Exchanges on the loop: when callbacks come, what may be done in them, reuse of connections, lookups that
 * hang. */

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../valgrind.h"
#include "host/clock.h"
#include "memory_scan.h"
#include "upstream_fixture.h"

/* Answers every request with the number of the connection that it came on. */
static void script_count_connections(struct peer *p)
{
    char request[8192], number[16];

    (void) snprintf(number, sizeof(number), "%u", p->nth);
    while (peer_read_request(p, request, sizeof(request)))
        peer_answer(p, number);
}

static void script_silent(struct peer *p)
{
    char request[4096];

    while (peer_read_request(p, request, sizeof(request)))
        continue;
}

/* ---- callbacks ---- */

struct relay {
    struct fixture *f;
    struct outcome first, second, third;
};

static void start_second_and_cancel(void *userdata)
{
    struct relay *r = userdata;

    exchange_cancel(r->first.exchange); /* its own: nothing happens */
    exchange_cancel(r->third.exchange);
    r->f->request.url = r->f->server.url;
    fixture_start(r->f, NULL, &r->second);
}

/* The first and the third have both ended when the first is told: the third waits in line behind it. */
static void test_a_callback_may_start_and_cancel(void **state)
{
    struct relay r = {.f = *state};

    r.first.then = start_second_and_cancel;
    r.first.userdata = &r;
    fixture_serve(r.f, NULL, script_count_connections);
    r.f->request.url = "ftp://127.0.0.1/";
    fixture_start(r.f, NULL, &r.first);
    fixture_start(r.f, NULL, &r.third);
    fixture_wait(r.f, &r.first);
    assert_int_equal(r.second.n_done, 0);
    fixture_wait(r.f, &r.second);
    assert_int_equal(r.first.answer.outcome, HTTP_NOT_SENT);
    assert_int_equal(r.second.answer.outcome, HTTP_ANSWERED);
    assert_int_equal(r.third.n_done, 0);
    outcome_done(&r.first);
    outcome_done(&r.second);
}

static void test_cancelled_and_freed_exchanges_say_nothing(void **state)
{
    struct fixture *f = *state;
    struct outcome cancelled = {0}, unsent = {0}, freed = {0}, witness = {0};

    fixture_serve(f, NULL, script_silent);
    fixture_start(f, NULL, &cancelled);
    fixture_start(f, NULL, &freed);
    struct exchange_params p = {.timeout_for = 50 * USEC_PER_MSEC};
    fixture_exchange(f, &p, &witness); /* all of them are under way */
    assert_int_equal(witness.answer.outcome, HTTP_TIMED_OUT);
    exchange_cancel(cancelled.exchange);
    f->request.url = "nonsense://";
    fixture_start(f, NULL, &unsent);
    f->upstream = upstream_free(f->upstream);
    assert_int_equal(sd_event_run(f->event, 0), 0); /* nothing of it is left on the loop */
    assert_int_equal(cancelled.n_done + unsent.n_done + freed.n_done, 0);
    outcome_done(&witness);
}

static void test_many_at_once(void **state)
{
    struct fixture *f = *state;
    struct outcome many[32] = {0};

    fixture_serve(f, NULL, script_count_connections);
    for (size_t i = 0; i < ARRAY_SIZE(many); i++)
        fixture_start(f, NULL, &many[i]);
    for (size_t i = 0; i < ARRAY_SIZE(many); i++) {
        fixture_wait(f, &many[i]);
        assert_int_equal(many[i].answer.outcome, HTTP_ANSWERED);
        outcome_done(&many[i]);
    }
}

/* ---- connections ---- */

static void test_an_idle_connection_costs_no_wakeup(void **state)
{
    struct fixture *f = *state;
    struct outcome first = {0}, second = {0};

    fixture_serve(f, NULL, script_count_connections);
    fixture_exchange(f, NULL, &first);
    while (sd_event_run(f->event, 0) > 0)
        continue;
    assert_int_equal(sd_event_run(f->event, 300 * USEC_PER_MSEC), 0);
    fixture_exchange(f, NULL, &second);
    assert_string_equal(buffer_peek(&first.answer.body), "1");
    assert_string_equal(buffer_peek(&second.answer.body), "1");
    outcome_done(&first);
    outcome_done(&second);
}

/* The first connection dies of its second request: the server had closed it while that was on its way. */
static void script_dies_of_the_second(struct peer *p)
{
    char request[4096];

    if (p->nth > 1) {
        script_count_connections(p);
        return;
    }
    if (peer_read_request(p, request, sizeof(request)))
        peer_answer(p, "1");
    (void) peer_read_request(p, request, sizeof(request));
}

static void test_a_dead_connection_is_replaced(void **state)
{
    struct fixture *f = *state;
    struct outcome first = {0}, second = {0};

    fixture_serve(f, NULL, script_dies_of_the_second);
    fixture_exchange(f, NULL, &first);
    usec_t before = clock_boottime();
    fixture_exchange(f, NULL, &second);
    assert_int_equal(second.answer.outcome, HTTP_ANSWERED);
    assert_string_equal(buffer_peek(&second.answer.body), "2");
    assert_in_range(second.answer.sent_at, before, clock_boottime());
    outcome_done(&first);
    outcome_done(&second);
}

/* ---- time ---- */

#define LATE_FOR (100 * USEC_PER_MSEC)

static void script_late(struct peer *p)
{
    char request[4096];

    if (!peer_read_request(p, request, sizeof(request)))
        return;
    (void) usleep(LATE_FOR);
    peer_answer(p, "late");
}

/* The life of a token counts from the request, however long the answer takes. */
static void test_sent_at_is_when_it_was_sent(void **state)
{
    struct fixture *f = *state;
    struct outcome o = {0};

    fixture_serve(f, NULL, script_late);
    usec_t before = clock_boottime();
    fixture_exchange(f, NULL, &o);
    assert_int_equal(o.answer.outcome, HTTP_ANSWERED);
    /* The server waits when it has the request. */
    assert_in_range(o.answer.sent_at, before, clock_boottime() - LATE_FOR);
    outcome_done(&o);
}

/* How long one exchange takes that has 40 ms. */
static usec_t time_out(struct fixture *f)
{
    const struct exchange_params p = {.timeout_for = 40 * USEC_PER_MSEC};
    struct outcome late = {0};

    f->n_turns = 0;
    usec_t before = clock_boottime();
    fixture_exchange(f, &p, &late);
    usec_t took_for = clock_boottime() - before;
    assert_int_equal(late.answer.outcome, HTTP_TIMED_OUT);
    assert_in_range(f->n_turns, 1, 40); /* waiting is not spinning: the timer is a moment, not a length */
    assert_true(took_for >= p.timeout_for);
    outcome_done(&late);
    return took_for;
}

/* Not each time on a machine that is busy, but one that is late by itself is late each time. */
static void test_a_time_out_is_kept_closely(void **state)
{
    struct fixture *f = *state;
    unsigned n_tries = 1;

    fixture_serve(f, NULL, script_late);
    while (time_out(f) > 90 * USEC_PER_MSEC)
        assert_true(++n_tries <= 20);
}

/* ---- proxies ---- */

static void script_proxy(struct peer *p)
{
    char request[8192];

    if (!peer_read_request(p, request, sizeof(request)))
        return;
    (void) !write(p->seen_fd, request, strlen(request));
    peer_write(p, "HTTP/1.1 403 No\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n", 54);
}

static void test_a_proxy_sees_no_header_of_ours(void **state)
{
    struct fixture *f = *state;
    struct outcome o = {0};
    char proxy[64], seen[8192];

    fixture_serve(f, NULL, script_proxy);
    (void) snprintf(proxy, sizeof(proxy), "http://127.0.0.1:%u", f->server.port);
    assert_int_equal(setenv("https_proxy", proxy, 1), 0);
    assert_int_equal(unsetenv("no_proxy") + unsetenv("NO_PROXY"), 0);
    fixture_add_header(f, "client_secret: hidden");
    f->request.url = "https://upstream.example/accesstoken/get";
    fixture_exchange(f, NULL, &o);
    server_read_seen(&f->server, seen, sizeof(seen));
    assert_ptr_equal(strstr(seen, "CONNECT upstream.example:443 HTTP/1.1\r\n"), seen);
    assert_null(strstr(seen, "client_secret"));
    assert_int_equal(o.answer.outcome, HTTP_NOT_CONNECTED);
    assert_non_null(strstr(o.answer.detail, "403"));
    assert_string_equal(o.answer.retry_after, "");
    assert_int_equal(unsetenv("https_proxy"), 0);
    outcome_done(&o);
}

static void test_loopback_needs_no_proxy(void **state)
{
    struct fixture *f = *state;
    struct outcome o = {0};
    char proxy[64];

    fixture_serve(f, NULL, script_count_connections);
    (void) snprintf(proxy, sizeof(proxy), "http://127.0.0.1:%u", port_unused());
    assert_int_equal(setenv("http_proxy", proxy, 1) + setenv("all_proxy", proxy, 1), 0);
    fixture_exchange(f, NULL, &o);
    assert_int_equal(unsetenv("http_proxy") + unsetenv("all_proxy"), 0);
    assert_int_equal(o.answer.outcome, HTTP_ANSWERED);
    outcome_done(&o);
}

/* ---- names ---- */

/* Where the only nameserver is 127.0.0.1, in a network and a file system of our own. */
static bool enter_world_without_answers(void)
{
    static const char path[] = "/tmp/test-upstream-resolv.conf";
    static const char text[] = "nameserver 127.0.0.1\noptions timeout:30 attempts:5\n";

    if (geteuid() != 0 || unshare(CLONE_NEWNS | CLONE_NEWNET) < 0)
        return false;
    if (system("ip link set lo up 2>/dev/null") != 0) /* NOLINT: a fixed command of a test */
        return false;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t) strlen(text) || close(fd) < 0)
        return false;
    bool is_bound = mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
                    mount(path, "/etc/resolv.conf", NULL, MS_BIND, NULL) == 0;
    (void) unlink(path);
    return is_bound;
}

/* Opens 127.0.0.1:53 and never reads from it. */
static bool open_silent_nameserver(void)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(53), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return fd >= 0 && bind(fd, (struct sockaddr *) &address, sizeof(address)) == 0;
}

#define CHILD_SKIPPED 77
/* Far more than anything here takes, and less than the first try of the lookup. */
#define NOT_WAITED_FOR (20 * USEC_PER_SEC)

/* In a process of its own: 0 when nothing blocked, CHILD_SKIPPED, or the number of the check that failed. */
static int live_without_answers(void)
{
    struct fixture *f = NULL;
    struct outcome timed_out = {0}, cancelled = {0}, freed = {0};
    struct exchange_params p = {.timeout_for = 100 * USEC_PER_MSEC};

    if (!enter_world_without_answers() || !open_silent_nameserver())
        return CHILD_SKIPPED;
    (void) fixture_setup((void **) &f);
    f->request.url = "https://upstream.example/";
    usec_t began_at = clock_monotonic();
    fixture_start(f, NULL, &cancelled);
    fixture_start(f, NULL, &freed);
    fixture_exchange(f, &p, &timed_out);
    if (timed_out.answer.outcome != HTTP_TIMED_OUT || !strstr(timed_out.answer.detail, "Resolving timed out"))
        return 1;
    exchange_cancel(cancelled.exchange);
    f->upstream = upstream_free(f->upstream);
    if (cancelled.n_done + freed.n_done > 0)
        return 2;
    return clock_monotonic() - began_at < NOT_WAITED_FOR ? 0 : 3;
}

/* The lookup would take minutes. Neither the time-out, cancelling, freeing nor the end of the process waits
 * for it. */
static void test_a_lookup_that_hangs_blocks_nothing(void **state _unused_)
{
    int status = 0;

    if (is_under_valgrind()) {
        print_message("skipped: the thread left behind is a leak to valgrind\n");
        skip();
    }
    usec_t began_at = clock_monotonic();
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void) alarm(30);
        int result = live_without_answers();
        /* The thread that is left behind is a leak to a sanitizer. */
        if (!memory_can_scan())
            _exit(result);
        exit(result);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == CHILD_SKIPPED) {
        print_message("skipped: needs root, namespaces of its own and ip(8)\n");
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_true(clock_monotonic() - began_at < NOT_WAITED_FOR);
}

#define with_fixture(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_lookup_that_hangs_blocks_nothing),
        with_fixture(test_a_callback_may_start_and_cancel),
        with_fixture(test_cancelled_and_freed_exchanges_say_nothing),
        with_fixture(test_many_at_once),
        with_fixture(test_an_idle_connection_costs_no_wakeup),
        with_fixture(test_a_dead_connection_is_replaced),
        with_fixture(test_sent_at_is_when_it_was_sent),
        with_fixture(test_a_time_out_is_kept_closely),
        with_fixture(test_a_proxy_sees_no_header_of_ours),
        with_fixture(test_loopback_needs_no_proxy),
    };

    return cmocka_run_group_tests_name("host/upstream: life", tests, NULL, NULL);
}
