/* SPDX-License-Identifier: MIT */
/* What the service manager passes: by name, once, and nothing left open that nobody owns. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <systemd/sd-daemon.h>

#include "host/passed_fds.h"

static char said[512];

static void keep(struct log *log _unused_, const struct log_entry *entry)
{
    (void) snprintf(said, sizeof(said), "%s", entry->message);
}

static struct log test_log = {.max_level = LOG_LEVEL_DEBUG, .write = keep};

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static int listening(int type)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, type, 0);

    assert_int_equal(bind(fd, (struct sockaddr *) &address, sizeof(sa_family_t)), 0);
    if (type == SOCK_STREAM)
        assert_int_equal(listen(fd, 8), 0);
    return fd;
}

/*
 * Runs a story in a process of its own that was started with these descriptors, as 3, 4, ... (the numbers are
 * where this process has its own). `names` and `n` are what the manager says of them; NULL: nothing.
 */
static void run_with(const int *fds, size_t n_fds, const char *n, const char *names, void (*story)(void))
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        char pid[16];
        int high[8];
        for (size_t i = 0; i < n_fds; i++)
            high[i] = fcntl(fds[i], F_DUPFD, 100);
        for (int fd = SD_LISTEN_FDS_START; fd < 100; fd++)
            (void) close(fd);
        for (size_t i = 0; i < n_fds; i++) {
            (void) dup2(high[i], SD_LISTEN_FDS_START + (int) i);
            (void) close(high[i]);
        }
        (void) snprintf(pid, sizeof(pid), "%d", getpid());
        (void) setenv("LISTEN_PID", pid, 1);
        if (n)
            (void) setenv("LISTEN_FDS", n, 1);
        if (names)
            (void) setenv("LISTEN_FDNAMES", names, 1);
        story();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (status != 0)
        fail_msg("the story broke off at line %d", WEXITSTATUS(status));
}

/* In the child: the exit status is the line. */
#define CHECK(is_so)                                                                                         \
    do {                                                                                                     \
        if (!(is_so))                                                                                        \
            _exit(__LINE__ % 256);                                                                           \
    } while (0)

static void nothing_story(void)
{
    struct passed_fds p = {.n_items = 7};

    CHECK(passed_fds_read(&p) == 0);
    CHECK(p.n_items == 0 && !p.items);
    CHECK(passed_fds_take(&p, "x") == -1);
    CHECK(passed_fds_take_socket(&p) == -1);
    passed_fds_done(&p);
    passed_fds_done(NULL);
    CHECK(!said[0]);
}

static void without_a_manager_there_is_nothing(void **state _unused_)
{
    run_with(NULL, 0, NULL, NULL, nothing_story);
}

static void by_name_story(void)
{
    struct passed_fds p;

    CHECK(passed_fds_read(&p) == 0);
    CHECK(p.n_items == 4);
    /* Not to be found again by a child of ours, nor open in it. */
    CHECK(!getenv("LISTEN_FDS") && !getenv("LISTEN_PID") && !getenv("LISTEN_FDNAMES"));
    CHECK(fcntl(4, F_GETFD) == FD_CLOEXEC);
    CHECK(passed_fds_take(&p, "bearerd-state-0") == 4);
    /* Two of one name, as a manager may keep them. */
    CHECK(passed_fds_take(&p, "bearerd-state-0") == 6);
    CHECK(passed_fds_take(&p, "bearerd-state-0") == -1);
    CHECK(passed_fds_take_socket(&p) == 3);
    CHECK(passed_fds_take_socket(&p) == 5);
    CHECK(passed_fds_take_socket(&p) == -1);
    passed_fds_done(&p);
    CHECK(!said[0] && is_open(3) && is_open(4) && is_open(5) && is_open(6));
    passed_fds_done(&p);
}

static void each_is_taken_by_its_name_once(void **state _unused_)
{
    int fds[] = {listening(SOCK_STREAM), memfd_create("a", 0), listening(SOCK_STREAM), memfd_create("b", 0)};

    run_with(fds, 4, "4", "bearerd.socket:bearerd-state-0:second:bearerd-state-0", by_name_story);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        (void) close(fds[i]);
}

static bool is_told(int manager, const char *expected)
{
    char text[300] = "";

    return recv(manager, text, sizeof(text) - 1, 0) > 0 && strcmp(text, expected) == 0;
}

/* A manager's socket in the same process, and the way to it: what is opened later is none of it. */
static int be_the_manager(struct supervisor **ret)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t size = sizeof(address);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    char name[sizeof(address.sun_path) + 1];

    /* The kernel picks a name. */
    CHECK(bind(fd, (struct sockaddr *) &address, sizeof(sa_family_t)) == 0);
    CHECK(getsockname(fd, (struct sockaddr *) &address, &size) == 0);
    (void) snprintf(name, sizeof(name), "@%.*s", (int) (size - sizeof(sa_family_t) - 1),
                    address.sun_path + 1);
    CHECK(setenv("NOTIFY_SOCKET", name, 1) == 0);
    CHECK(supervisor_new(ret, NULL, NULL, NULL) == 0);
    CHECK(supervisor_drop_fd(*ret, "x") == 0);
    CHECK(is_told(fd, "FDSTOREREMOVE=1\nFDNAME=x"));
    return fd;
}

static void stranger_story(void)
{
    struct supervisor *s;
    struct passed_fds p;

    CHECK(passed_fds_read(&p) == 0);
    int manager = be_the_manager(&s);
    CHECK(passed_fds_take_socket(&p) == -1);
    passed_fds_refuse(&p, s, &test_log);
    CHECK(strstr(said, "\"tcp\"") && strstr(said, "not one of ours"));
    for (int fd = 3; fd < 6; fd++)
        CHECK(!is_open(fd));
    /* Kept for ever, they would take the room that the state needs to grow. */
    CHECK(is_told(manager, "FDSTOREREMOVE=1\nFDNAME=datagrams"));
    CHECK(is_told(manager, "FDSTOREREMOVE=1\nFDNAME=connected"));
    CHECK(is_told(manager, "FDSTOREREMOVE=1\nFDNAME=tcp"));
    passed_fds_done(&p);
    (void) supervisor_free(s);
}

static void one_too_many_story(void)
{
    struct supervisor *s;
    struct passed_fds p;

    CHECK(passed_fds_read(&p) == 0);
    (void) be_the_manager(&s);
    CHECK(passed_fds_take_socket(&p) == 3);
    passed_fds_refuse(&p, s, &test_log);
    CHECK(strstr(said, "\"second\" is one more than are served"));
    CHECK(is_open(3) && !is_open(4));
    passed_fds_done(&p);
    (void) supervisor_free(s);
}

/* Only a listening stream socket of the Unix family has peers with credentials. */
static void what_is_none_of_ours_is_closed_and_said(void **state _unused_)
{
    int tcp = socket(AF_INET, SOCK_STREAM, 0), pair[2];

    assert_int_equal(listen(tcp, 1), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    int fds[] = {listening(SOCK_DGRAM), pair[0], tcp};
    run_with(fds, 3, "3", "datagrams:connected:tcp", stranger_story);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        (void) close(fds[i]);
    (void) close(pair[1]);
}

/* The manager goes on listening there: nobody else will say so. */
static void a_socket_too_many_is_said(void **state _unused_)
{
    int fds[] = {listening(SOCK_STREAM), listening(SOCK_STREAM)};

    run_with(fds, 2, "2", "first:second", one_too_many_story);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        (void) close(fds[i]);
}

static void nameless_story(void)
{
    struct passed_fds p;

    CHECK(passed_fds_read(&p) == 0);
    CHECK(p.n_items == 1 && passed_fds_take_socket(&p) == 3);
    passed_fds_done(&p);
}

static void names_may_be_missing(void **state _unused_)
{
    int fd = listening(SOCK_STREAM);

    run_with(&fd, 1, "1", NULL, nameless_story);
    (void) close(fd);
}

static void broken_story(void)
{
    struct passed_fds p = {.n_items = 7};

    CHECK(passed_fds_read(&p) < 0);
    CHECK(p.n_items == 0 && !p.items);
}

static void a_lie_about_them_is_an_error(void **state _unused_)
{
    run_with(NULL, 0, "3", NULL, broken_story);        /* they are not open */
    run_with(NULL, 0, "many", NULL, broken_story);     /* no number */
    run_with(NULL, 0, "99999999", NULL, broken_story); /* more than can be */
}

static void other_story(void)
{
    struct passed_fds p;

    (void) setenv("LISTEN_PID", "1", 1);
    CHECK(passed_fds_read(&p) == 0 && p.n_items == 0);
    CHECK(is_open(3));
}

static void what_is_for_another_process_is_left_alone(void **state _unused_)
{
    int fd = listening(SOCK_STREAM);

    run_with(&fd, 1, "1", "x", other_story);
    (void) close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_manager_there_is_nothing),
        cmocka_unit_test(each_is_taken_by_its_name_once),
        cmocka_unit_test(what_is_none_of_ours_is_closed_and_said),
        cmocka_unit_test(a_socket_too_many_is_said),
        cmocka_unit_test(names_may_be_missing),
        cmocka_unit_test(a_lie_about_them_is_an_error),
        cmocka_unit_test(what_is_for_another_process_is_left_alone),
    };
    return cmocka_run_group_tests_name("passed fds", tests, NULL, NULL);
}
