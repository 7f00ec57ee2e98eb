/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

#include "host/supervisor.h"

/* How often the watchdog of these tests wants to hear something, in microseconds. */
#define WATCHDOG_USEC "20000"
#define PING_FOR      ((usec_t) 10000)
/* Far more than anything here takes. */
#define PATIENCE_FOR (5 * USEC_PER_SEC)

static int manager; /* the service manager's end */
static sd_event *event;
static struct supervisor *s;
static bool is_well;
static unsigned n_asked;

static bool is_healthy(void *userdata)
{
    assert_ptr_equal(userdata, &n_asked);
    n_asked++;
    return is_well;
}

/* Binds to a name that the kernel picks, in no file system. */
static int set_up(void **state _unused_)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t size = sizeof(sa_family_t);
    char name[sizeof(address.sun_path) + 1];

    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(manager, (struct sockaddr *) &address, size), 0);
    size = sizeof(address);
    assert_int_equal(getsockname(manager, (struct sockaddr *) &address, &size), 0);
    (void) snprintf(name, sizeof(name), "@%.*s", (int) (size - sizeof(sa_family_t) - 1),
                    address.sun_path + 1);
    assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
    assert_int_equal(sd_event_new(&event), 0);
    is_well = true;
    n_asked = 0;
    return 0;
}

static int tear_down(void **state _unused_)
{
    s = supervisor_free(s);
    event = sd_event_unref(event);
    (void) close(manager);
    (void) unsetenv("NOTIFY_SOCKET");
    (void) unsetenv("WATCHDOG_USEC");
    (void) unsetenv("WATCHDOG_PID");
    return 0;
}

static void start(void)
{
    assert_int_equal(supervisor_new(&s, event, is_healthy, &n_asked), 0);
}

static void start_watched(void)
{
    char pid[16];

    (void) snprintf(pid, sizeof(pid), "%d", getpid());
    assert_int_equal(setenv("WATCHDOG_USEC", WATCHDOG_USEC, 1), 0);
    assert_int_equal(setenv("WATCHDOG_PID", pid, 1), 0);
    start();
}

/* The next thing the manager was told; "" when there is nothing. */
static const char *told(void)
{
    static char text[1024];
    ssize_t n = recv(manager, text, sizeof(text) - 1, 0);

    text[n > 0 ? n : 0] = '\0';
    return text;
}

static void ready_is_told_once(void **state _unused_)
{
    start();
    assert_string_equal(told(), "");
    assert_false(supervisor_is_ready(s));
    supervisor_ready(s);
    supervisor_ready(s);
    assert_true(supervisor_is_ready(s));
    assert_string_equal(told(), "READY=1");
    assert_string_equal(told(), "");
}

static void a_status_is_told_when_it_changes(void **state _unused_)
{
    char longer[2000];

    start();
    supervisor_status(s, "2 profiles: 2 fresh");
    supervisor_status(s, "2 profiles: 2 fresh");
    supervisor_status(s, "2 profiles: 1 fresh, 1 failed: 100%s %n");
    supervisor_status(s, "2 profiles: 2 fresh");
    assert_string_equal(told(), "STATUS=2 profiles: 2 fresh");
    assert_string_equal(told(), "STATUS=2 profiles: 1 fresh, 1 failed: 100%s %n");
    assert_string_equal(told(), "STATUS=2 profiles: 2 fresh");
    assert_string_equal(told(), "");

    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    supervisor_status(s, longer);
    supervisor_status(s, longer);
    assert_int_equal(strncmp(told(), "STATUS=xxx", 10), 0);
    assert_string_equal(told(), "");
}

static void stopping_is_told_with_a_status(void **state _unused_)
{
    start();
    supervisor_status(s, "2 profiles: 2 fresh");
    (void) told();
    supervisor_stopping(s);
    assert_string_equal(told(), "STOPPING=1\nSTATUS=Stopping: answering the last requests");
}

static void a_long_start_is_announced(void **state _unused_)
{
    start();
    supervisor_extend_start(s, 45 * USEC_PER_SEC);
    assert_string_equal(told(), "EXTEND_TIMEOUT_USEC=45000000");
}

static void without_a_watchdog_nothing_is_pinged(void **state _unused_)
{
    start();
    assert_int_equal(sd_event_run(event, 0), 0);
    assert_string_equal(told(), "");
    assert_int_equal(n_asked, 0);
    /* What is meant for another process is not for us. */
    s = supervisor_free(s);
    assert_int_equal(setenv("WATCHDOG_USEC", WATCHDOG_USEC, 1), 0);
    assert_int_equal(setenv("WATCHDOG_PID", "1", 1), 0);
    start();
    assert_int_equal(sd_event_run(event, 0), 0);
    assert_int_equal(n_asked, 0);
}

static void a_healthy_daemon_pings_again_and_again(void **state _unused_)
{
    start_watched();
    assert_null(getenv("WATCHDOG_USEC"));
    assert_null(getenv("WATCHDOG_PID"));
    for (unsigned i = 1; i <= 3; i++) {
        assert_true(sd_event_run(event, PATIENCE_FOR) > 0);
        assert_int_equal(n_asked, i);
        assert_string_equal(told(), "WATCHDOG=1");
        assert_string_equal(told(), "");
    }
}

/* A watchdog that pings without asking cannot bite. */
static void a_sick_one_stays_silent_and_may_recover(void **state _unused_)
{
    start_watched();
    is_well = false;
    for (unsigned i = 1; i <= 2; i++) {
        assert_true(sd_event_run(event, PATIENCE_FOR) > 0);
        assert_int_equal(n_asked, i);
        assert_string_equal(told(), "");
    }
    is_well = true;
    assert_true(sd_event_run(event, PATIENCE_FOR) > 0);
    assert_string_equal(told(), "WATCHDOG=1");
}

/* The shortest distance between two of the next questions; what holds up the loop makes none shorter. */
static usec_t shortest_interval_of(unsigned n_questions)
{
    uint64_t before = 0, now = 0;
    usec_t shortest = USEC_INFINITY;

    for (unsigned i = 0; i < n_questions; i++) {
        assert_true(sd_event_run(event, PATIENCE_FOR) > 0);
        assert_int_equal(sd_event_now(event, CLOCK_MONOTONIC, &now), 0);
        if (i > 0)
            shortest = usec_min(shortest, now - before);
        before = now;
    }
    assert_int_equal(n_asked, n_questions);
    return shortest;
}

/* A single bad moment is not the end: who is sick is asked more often, so that the next ping comes in time.
 */
static void who_is_sick_is_asked_more_often(void **state _unused_)
{
    start_watched();
    assert_true(shortest_interval_of(4) >= PING_FOR);
    is_well = false;
    n_asked = 0;
    assert_true(shortest_interval_of(40) < PING_FOR / 2);
}

/* ---- reload ---- */

static void a_reload_is_announced_with_its_moment_and_ended(void **state _unused_)
{
    unsigned long long at = 0;
    uint64_t before = 0;
    char rest;

    start();
    supervisor_ready(s);
    supervisor_status(s, "2 profiles: 2 fresh");
    (void) told();
    (void) told();
    assert_true(sd_event_now(event, CLOCK_MONOTONIC, &before) >= 0);
    supervisor_reloading(s);
    /* Nothing but these two, and a moment that is not before the manager's own. */
    assert_int_equal(sscanf(told(), "RELOADING=1\nMONOTONIC_USEC=%llu%c", &at, &rest), 1);
    assert_true(at >= before && at < before + PATIENCE_FOR);
    supervisor_reloaded(s);
    assert_string_equal(told(), "READY=1\nSTATUS=2 profiles: 2 fresh");
    assert_string_equal(told(), "");
    assert_true(supervisor_is_ready(s));
}

/* ---- a manager that does not read ---- */

/* Fills the manager's queue as another service would. */
static void fill_the_queue(void)
{
    struct sockaddr_un address;
    socklen_t size = sizeof(address);
    int other = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    assert_int_equal(getsockname(manager, (struct sockaddr *) &address, &size), 0);
    assert_int_equal(connect(other, (struct sockaddr *) &address, size), 0);
    while (send(other, "FLOOD=1", 7, 0) == 7)
        continue;
    assert_int_equal(errno, EAGAIN);
    (void) close(other);
}

static void read_the_flood(void)
{
    const char *text;

    do
        text = told();
    while (strcmp(text, "FLOOD=1") == 0);
    assert_string_equal(text, "");
}

/* The next thing the manager is told once the loop runs. */
static const char *told_later(void)
{
    const char *text = told();

    if (*text == '\0') {
        assert_true(sd_event_run(event, PATIENCE_FOR) > 0);
        text = told();
    }
    return text;
}

static void a_manager_that_does_not_read_blocks_nothing(void **state _unused_)
{
    start();
    fill_the_queue();
    supervisor_extend_start(s, 45 * USEC_PER_SEC);
    supervisor_status(s, "starting");
    supervisor_ready(s);
    for (unsigned i = 0; i < 1000; i++) {
        char text[32];
        (void) snprintf(text, sizeof(text), "status %u", i);
        supervisor_status(s, text);
    }
    assert_true(supervisor_is_ready(s));
    /* The loop is not woken as long as there is no room. */
    assert_int_equal(sd_event_run(event, 0), 0);
    read_the_flood();
    assert_string_equal(told_later(), "EXTEND_TIMEOUT_USEC=45000000");
    assert_string_equal(told_later(), "READY=1");
    assert_string_equal(told_later(), "STATUS=status 999");
    assert_string_equal(told(), "");
    /* And not woken for ever afterwards. */
    assert_int_equal(sd_event_run(event, 0), 0);
    supervisor_status(s, "at once again");
    assert_string_equal(told(), "STATUS=at once again");
}

static void reloads_are_told_in_order_and_end_ready(void **state _unused_)
{
    start();
    supervisor_ready(s);
    supervisor_status(s, "1 profile");
    fill_the_queue();
    for (unsigned i = 0; i < 3; i++) {
        supervisor_reloading(s);
        supervisor_reloaded(s);
    }
    supervisor_status(s, "2 profiles");
    assert_string_equal(told(), "READY=1");
    assert_string_equal(told(), "STATUS=1 profile");
    read_the_flood();
    assert_int_equal(strncmp(told_later(), "RELOADING=1\nMONOTONIC_USEC=", 27), 0);
    assert_string_equal(told_later(), "READY=1\nSTATUS=2 profiles");
    assert_string_equal(told_later(), "STATUS=2 profiles");
    assert_string_equal(told(), "");
}

/* The end of a reload that was not told yet must not be taken for the end of the next one. */
static void nobody_is_ready_while_reloading(void **state _unused_)
{
    start();
    supervisor_ready(s);
    assert_string_equal(told(), "READY=1");
    fill_the_queue();
    supervisor_reloading(s);
    supervisor_reloaded(s);
    supervisor_reloading(s);
    read_the_flood();
    assert_int_equal(strncmp(told_later(), "RELOADING=1\n", 12), 0);
    assert_int_equal(sd_event_run(event, 0), 0);
    assert_string_equal(told(), "");
    supervisor_reloaded(s);
    assert_int_equal(strncmp(told(), "READY=1\n", 8), 0);
}

static void stopping_comes_last(void **state _unused_)
{
    start();
    fill_the_queue();
    supervisor_ready(s);
    supervisor_status(s, "1 profile");
    supervisor_stopping(s);
    read_the_flood();
    assert_string_equal(told_later(), "READY=1");
    assert_string_equal(told_later(), "STOPPING=1\nSTATUS=Stopping: answering the last requests");
    assert_string_equal(told(), "");
}

static void a_ping_waits_for_room_too(void **state _unused_)
{
    start_watched();
    fill_the_queue();
    while (n_asked == 0)
        assert_true(sd_event_run(event, PATIENCE_FOR) >= 0);
    read_the_flood();
    assert_string_equal(told_later(), "WATCHDOG=1");
    /* What waits is not sent by one who is no longer well. */
    fill_the_queue();
    unsigned n_before = n_asked;
    while (n_asked == n_before)
        assert_true(sd_event_run(event, PATIENCE_FOR) >= 0);
    is_well = false;
    n_before = n_asked;
    while (n_asked == n_before)
        assert_true(sd_event_run(event, PATIENCE_FOR) >= 0);
    read_the_flood();
    assert_int_equal(sd_event_run(event, 0), 0);
    assert_string_equal(told(), "");
}

static void listen_again(const struct sockaddr_un *address, socklen_t size)
{
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(manager, (const struct sockaddr *) address, size), 0);
}

/* A manager that was started anew listens at the same place, on another socket. */
static void a_new_socket_of_the_manager_is_found(void **state _unused_)
{
    struct sockaddr_un address;
    socklen_t size = sizeof(address);

    assert_int_equal(getsockname(manager, (struct sockaddr *) &address, &size), 0);
    start();
    supervisor_status(s, "before");
    assert_string_equal(told(), "STATUS=before");
    (void) close(manager);
    listen_again(&address, size);
    supervisor_status(s, "after");
    assert_string_equal(told(), "STATUS=after");
    (void) close(manager);
    supervisor_status(s, "lost");
    listen_again(&address, size);
    supervisor_status(s, "found");
    assert_string_equal(told(), "STATUS=found");
}

static void a_manager_that_is_gone_leaves_nothing_to_wait_for(void **state _unused_)
{
    start();
    fill_the_queue();
    supervisor_status(s, "waits");
    (void) close(manager);
    manager = -1;
    assert_true(sd_event_run(event, PATIENCE_FOR) > 0);
    assert_int_equal(sd_event_run(event, 0), 0);
}

static void a_socket_in_the_file_system_is_one_too(void **state _unused_)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char directory[] = "/tmp/bearerd-notify-XXXXXX";

    assert_non_null(mkdtemp(directory));
    (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s/notify", directory);
    (void) close(manager);
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(manager, (struct sockaddr *) &address, sizeof(address)), 0);
    assert_int_equal(setenv("NOTIFY_SOCKET", address.sun_path, 1), 0);
    start();
    supervisor_ready(s);
    assert_string_equal(told(), "READY=1");
    (void) unlink(address.sun_path);
    (void) rmdir(directory);
}

static void addresses_that_are_none_are_ignored(void **state _unused_)
{
    char longer[200];

    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    longer[0] = '/';
    const char *const names[] = {"", "@", "/", "notify", "vsock:2:1234", "/nowhere/notify", longer};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        assert_int_equal(setenv("NOTIFY_SOCKET", names[i], 1), 0);
        start();
        supervisor_ready(s);
        supervisor_status(s, "x");
        assert_int_equal(sd_event_run(event, 0), 0);
        s = supervisor_free(s);
    }
}

static void without_a_manager_nothing_happens(void **state _unused_)
{
    assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
    start();
    supervisor_extend_start(s, USEC_PER_SEC);
    supervisor_ready(s);
    supervisor_status(s, "1 profile: 1 fresh");
    supervisor_reloading(s);
    supervisor_reloaded(s);
    supervisor_stopping(s);
    assert_true(supervisor_is_ready(s));
    assert_string_equal(told(), "");
    assert_null(supervisor_free(NULL));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(ready_is_told_once),
        TEST(a_status_is_told_when_it_changes),
        TEST(stopping_is_told_with_a_status),
        TEST(a_long_start_is_announced),
        TEST(without_a_watchdog_nothing_is_pinged),
        TEST(a_healthy_daemon_pings_again_and_again),
        TEST(a_sick_one_stays_silent_and_may_recover),
        TEST(who_is_sick_is_asked_more_often),
        TEST(a_reload_is_announced_with_its_moment_and_ended),
        TEST(a_manager_that_does_not_read_blocks_nothing),
        TEST(reloads_are_told_in_order_and_end_ready),
        TEST(nobody_is_ready_while_reloading),
        TEST(stopping_comes_last),
        TEST(a_ping_waits_for_room_too),
        TEST(a_new_socket_of_the_manager_is_found),
        TEST(a_manager_that_is_gone_leaves_nothing_to_wait_for),
        TEST(a_socket_in_the_file_system_is_one_too),
        TEST(addresses_that_are_none_are_ignored),
        TEST(without_a_manager_nothing_happens),
    };
    return cmocka_run_group_tests_name("supervisor", tests, NULL, NULL);
}
