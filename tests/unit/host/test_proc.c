/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "host/clock.h"
#include "host/peer.h"
#include "host/pid_watch.h"
#include "host/proc.h"
#include "host/unit_finder.h"

#define FIELDS_4_TO_21 " 1 2 3 4 -1 4194560 8 9 10 11 12 13 14 15 20 0 1 0"

static void stat_is_read_behind_the_last_parenthesis(void **state _unused_)
{
    struct proc_stat s;

    assert_int_equal(proc_parse_stat("7 (cat) R" FIELDS_4_TO_21 " 12345 99 0", &s), 0);
    assert_int_equal(s.state, 'R');
    assert_int_equal(s.start_ticks, 12345);
    /* A process may call itself as it likes. */
    assert_int_equal(proc_parse_stat("7 (a) Z 1 (b)\n) S" FIELDS_4_TO_21 " 678 99 0", &s), 0);
    assert_int_equal(s.state, 'S');
    assert_int_equal(s.start_ticks, 678);
}

static void what_is_no_stat_is_refused(void **state _unused_)
{
    static const char *const samples[] = {
        "",
        "7",
        "7 (cat)",
        "7 (cat) ",
        "7 (cat) R",
        "7 (cat) R" FIELDS_4_TO_21,
        "7 (cat) R" FIELDS_4_TO_21 " ",
        "7 (cat) R" FIELDS_4_TO_21 " x 9",
        "7 (cat) R" FIELDS_4_TO_21 " 99999999999999999999 9",
        "7 (cat) R" FIELDS_4_TO_21 " 5",
    };
    struct proc_stat s = {.state = 'q', .start_ticks = 4};

    for (size_t i = 0; i < ARRAY_SIZE(samples); i++)
        assert_int_equal(proc_parse_stat(samples[i], &s), -EBADMSG);
    assert_int_equal(s.state, 'q');
    assert_int_equal(s.start_ticks, 4);
}

static void files_are_read_whole_or_not_at_all(void **state _unused_)
{
    char text[4096];
    struct proc_stat s;

    int size = proc_read_file("/proc/self/stat", text, sizeof(text));
    assert_true(size > 0);
    assert_int_equal(strlen(text), size);
    assert_int_equal(proc_read_file("/proc/self/stat", text, 8), -E2BIG);
    assert_int_equal(proc_read_file("/proc/self/nothing", text, sizeof(text)), -ENOENT);
    assert_int_equal(proc_read_stat(getpid(), &s), 0);
    assert_int_equal(s.state, 'R');
    assert_true(proc_is_ours());
}

static void a_program_is_named_by_its_path(void **state _unused_)
{
    char name[512], own[512], comm[32] = "", in_brackets[40];

    /* Its own name: valgrind's, under that. */
    (void) prctl(PR_GET_NAME, comm);
    (void) snprintf(in_brackets, sizeof(in_brackets), "(%s)", comm);
    ssize_t n = readlink("/proc/self/exe", own, sizeof(own) - 1);
    assert_true(n > 0);
    own[n] = '\0';
    assert_string_equal(proc_read_program(getpid(), name, sizeof(name)), own);
    /* What does not fit is not cut: the other name stands for it. */
    assert_string_equal(proc_read_program(getpid(), name, 20), in_brackets);
    assert_null(proc_read_program(getpid(), name, 4));
    assert_null(proc_read_program(1 << 22, name, sizeof(name)));
}

/* valgrind 3.19 does not know the call. */
static void skip_without_pidfds(void)
{
    _cleanup_fd_ int own = pidfd_of(getpid());

    if (own >= 0)
        return;
    print_message("skipped: pidfd_open(2) does not work here: %s\n", strerror(-own));
    skip();
}

static void a_pidfd_tells_of_the_end(void **state _unused_)
{
    skip_without_pidfds();
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        (void) pause();
        _exit(0);
    }
    _cleanup_fd_ int fd = pidfd_of(pid), again = pidfd_of(pid), own = pidfd_of(getpid());
    assert_true(fd >= 0 && again >= 0 && own >= 0);
    assert_true(pidfd_is_alive(fd));
    assert_int_equal(pidfd_identity(fd), pidfd_identity(again));
    if (pidfd_identity(fd) != 0)
        assert_int_not_equal(pidfd_identity(fd), pidfd_identity(own));
    (void) kill(pid, SIGKILL);
    /* Ended, and not waited for. */
    assert_int_equal(waitid(P_PID, (id_t) pid, &(siginfo_t){0}, WEXITED | WNOWAIT), 0);
    assert_false(pidfd_is_alive(fd));
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_false(pidfd_is_alive(fd));
    assert_int_equal(pidfd_of(pid), -ESRCH);
}

static void a_socket_tells_whose_it_is(void **state _unused_)
{
    int fds[2];

    skip_without_pidfds();
    if (!peer_has_pidfd()) {
        print_message("skipped: this kernel has no SO_PEERPIDFD\n");
        skip();
    }
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    _cleanup_fd_ int pidfd = peer_open_pidfd(fds[0]), own = pidfd_of(getpid());
    assert_true(pidfd >= 0);
    assert_int_equal(pidfd_identity(pidfd), pidfd_identity(own));
    assert_int_equal(peer_open_pidfd(-1), -EBADF);
    (void) close(fds[0]);
    (void) close(fds[1]);
}

/* Whatever this test runs in, each way of asking says the same. */
static void the_unit_of_this_process(void **state _unused_)
{
    _cleanup_(unit_finder_done) struct unit_finder f;
    _cleanup_fd_ int own = pidfd_of(getpid());
    char unit[UNIT_NAME_SIZE] = "none", other[UNIT_NAME_SIZE] = "none";

    unit_finder_init(&f);
    assert_true(f.has_proc);
    enum unit_answer answer = unit_finder_ask(&f, own, getpid(), getuid(), unit);
    assert_true(answer == UNIT_KNOWN || answer == UNIT_NONE);
    assert_int_equal(unit_finder_ask(&f, own, 0, 0, unit), UNIT_NO_PID);
    f.has_proc = false;
    if (f.tree_fd < 0) {
        assert_int_equal(unit_finder_ask(&f, own, getpid(), getuid(), other), UNIT_HIDDEN);
        return;
    }
    /* The second time from what is remembered. */
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(unit_finder_ask(&f, own, getpid(), getuid(), other), answer);
        assert_string_equal(unit, other);
    }
}

static void searches_are_limited(void **state _unused_)
{
    _cleanup_(unit_finder_done) struct unit_finder f;
    _cleanup_fd_ int own = pidfd_of(getpid());
    const unsigned n_asked = 5 * UNIT_FINDER_BURST;
    unsigned n_searched = 0;
    char unit[UNIT_NAME_SIZE];

    unit_finder_init(&f);
    if (f.tree_fd < 0) {
        print_message("skipped: no unified cgroup hierarchy\n");
        skip();
    }
    f.has_proc = false;
    /* A number that no process has is never found, so never remembered. */
    usec_t began_at = clock_boottime();
    for (unsigned i = 0; i < n_asked; i++) {
        enum unit_answer answer = unit_finder_ask(&f, own, (1 << 22) + 1, 1000, unit);
        assert_true(answer == UNIT_HIDDEN || answer == UNIT_BUSY);
        n_searched += answer == UNIT_HIDDEN;
    }
    /* Beyond the first ones, what was allowed again meanwhile. */
    usec_t took_for = clock_boottime() - began_at;
    assert_in_range(n_searched, UNIT_FINDER_BURST, UNIT_FINDER_BURST + took_for / UNIT_FINDER_INTERVAL_FOR);
    assert_true(n_searched < n_asked);
    /* Another user's are not used up. */
    assert_int_equal(unit_finder_ask(&f, own, (1 << 22) + 1, 1001, unit), UNIT_HIDDEN);
}

static void connect_to(const struct sockaddr_storage *address, socklen_t size, int *ret)
{
    *ret = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(*ret, (const struct sockaddr *) address, size), 0);
}

/* Those who waited before a baseline are not told by it, those who came later are. */
static void a_baseline_is_for_those_who_come_later(void **state _unused_)
{
    struct sockaddr_storage address = {.ss_family = AF_UNIX};
    socklen_t size = sizeof(address);
    _cleanup_fd_ int listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), first = -1, accepted = -1;
    _cleanup_(pid_watch_done) struct pid_watch w;

    assert_int_equal(bind(listen_fd, (struct sockaddr *) &address, sizeof(sa_family_t)), 0);
    assert_int_equal(getsockname(listen_fd, (struct sockaddr *) &address, &size), 0);
    assert_int_equal(listen(listen_fd, 8), 0);
    pid_watch_init(&w);
    assert_false(pid_watch_vouches(&w, getpid()));
    assert_true(pid_watch_is_due(&w));

    connect_to(&address, size, &first);
    pid_watch_renew(&w, listen_fd);
    assert_false(w.baseline.is_set);
    assert_true(w.next.is_set);
    accepted = accept(listen_fd, NULL, NULL);
    pid_watch_note_accept(&w);
    assert_false(pid_watch_vouches(&w, getpid()));
    /* With nobody waiting it serves at once; and when as many have come through as can have waited. */
    struct pid_watch crowded = w;
    pid_watch_renew(&w, listen_fd);
    assert_true(w.baseline.is_set);
    assert_false(w.next.is_set);
    assert_true(pid_watch_vouches(&w, getpid()));
    assert_false(pid_watch_vouches(&w, 0));
    assert_true(pid_watch_interval_for(&w) > 0 && pid_watch_interval_for(&w) <= USEC_PER_SEC);
    uint64_t n_left = crowded.n_before_next;
    assert_true(n_left >= 4096);
    for (uint64_t i = 0; i < n_left; i++)
        pid_watch_note_accept(&crowded);
    assert_false(crowded.baseline.is_set);
    pid_watch_note_accept(&crowded);
    assert_true(crowded.baseline.is_set);
    assert_true(pid_watch_vouches(&crowded, getpid()));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stat_is_read_behind_the_last_parenthesis),
        cmocka_unit_test(what_is_no_stat_is_refused),
        cmocka_unit_test(files_are_read_whole_or_not_at_all),
        cmocka_unit_test(a_program_is_named_by_its_path),
        cmocka_unit_test(a_pidfd_tells_of_the_end),
        cmocka_unit_test(a_socket_tells_whose_it_is),
        cmocka_unit_test(the_unit_of_this_process),
        cmocka_unit_test(searches_are_limited),
        cmocka_unit_test(a_baseline_is_for_those_who_come_later),
    };
    return cmocka_run_group_tests_name("proc", tests, NULL, NULL);
}
