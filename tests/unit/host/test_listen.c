/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "host/listen.h"

#define PATH_SIZE 256

static char directory[PATH_SIZE / 2];
static char path[PATH_SIZE];
static char group[16];
static struct daemon_settings settings;
static struct listen_socket l;

/* The last line that was logged. */
static char said[512];
static unsigned n_said;

static void keep(struct log *log _unused_, const struct log_entry *entry)
{
    n_said++;
    (void) snprintf(said, sizeof(said), "%s", entry->message);
}

static struct log test_log = {.max_level = LOG_LEVEL_DEBUG, .write = keep};

static int set_up(void **state _unused_)
{
    const char *base = getenv("TMPDIR");

    (void) snprintf(directory, sizeof(directory), "%s/bearerd-listen-XXXXXX", base ? base : "/tmp");
    assert_non_null(mkdtemp(directory));
    (void) snprintf(path, sizeof(path), "%s/s", directory);
    (void) snprintf(group, sizeof(group), "%u", getegid());
    settings = (struct daemon_settings){
        .socket_path = path, .socket_mode = 0660, .socket_group = group, .is_socket_group_set = true};
    l = LISTEN_SOCKET_INIT;
    n_said = 0;
    said[0] = '\0';
    return 0;
}

static int tear_down(void **state _unused_)
{
    char command[PATH_SIZE];

    listen_socket_done(&l);
    (void) snprintf(command, sizeof(command), "rm -rf '%s'", directory);
    return system(command);
}

static int open_it(void)
{
    return listen_socket_open(&l, &settings, &test_log);
}

/* A client's connect(): 0 or -errno; it does not wait for a place in the queue. */
static int try_connect(const char *to)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    _cleanup_fd_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    assert_true(fd >= 0);
    assert_true(strlen(to) < sizeof(address.sun_path));
    memcpy(address.sun_path, to, strlen(to));
    return connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0 ? -errno : 0;
}

/* A socket of somebody else at `path`; its descriptor. */
static int bind_other(int type, bool is_live)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    (void) snprintf(address.sun_path, sizeof(address.sun_path), "%.100s", path);
    assert_int_equal(bind(fd, (struct sockaddr *) &address, sizeof(address)), 0);
    if (is_live && type == SOCK_STREAM)
        assert_int_equal(listen(fd, 0), 0);
    return fd;
}

static struct stat stat_of(const char *file)
{
    struct stat st;

    assert_int_equal(lstat(file, &st), 0);
    return st;
}

/* No half-made socket stays behind: `n` names in the folder. */
static void assert_names(unsigned n)
{
    char command[PATH_SIZE];

    (void) snprintf(command, sizeof(command), "exit $(ls -A '%s' | wc -l)", directory);
    assert_int_equal(WEXITSTATUS(system(command)), n);
}

static void a_fresh_one_is_made_and_unlinked(void **state _unused_)
{
    assert_int_equal(open_it(), 0);
    assert_int_equal(n_said, 0);
    assert_int_equal(try_connect(path), 0);
    assert_int_equal(fcntl(l.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(fcntl(l.fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    assert_string_equal(l.path, path);
    assert_names(1);
    listen_socket_done(&l);
    assert_names(0);
    assert_int_equal(l.fd, -1);
    listen_socket_done(&l);
    listen_socket_done(NULL);
}

/* As after a power cut: the file is there, and nobody listens. */
static void a_stale_one_is_replaced(void **state _unused_)
{
    (void) close(bind_other(SOCK_STREAM, true));
    assert_int_equal(try_connect(path), -ECONNREFUSED);
    assert_int_equal(open_it(), 0);
    assert_int_equal(try_connect(path), 0);
    assert_names(1);
}

static void a_live_one_is_left_alone(void **state _unused_)
{
    _cleanup_fd_ _unused_ int other = bind_other(SOCK_STREAM, true);
    ino_t inode = stat_of(path).st_ino;

    assert_int_equal(open_it(), -EADDRINUSE);
    assert_non_null(strstr(said, "another process serves this socket"));
    assert_int_equal(l.fd, -1);
    /* With its queue full it is still alive. */
    int r;
    do
        r = try_connect(path);
    while (r == 0);
    assert_int_equal(r, -EAGAIN);
    assert_int_equal(open_it(), -EADDRINUSE);
    assert_true(stat_of(path).st_ino == inode);
    assert_names(1);
}

static void a_live_one_of_another_kind_is_left_alone(void **state _unused_)
{
    _cleanup_fd_ _unused_ int other = bind_other(SOCK_DGRAM, true);
    ino_t inode = stat_of(path).st_ino;

    assert_true(open_it() < 0);
    assert_int_equal(n_said, 1);
    assert_true(stat_of(path).st_ino == inode);
}

static void what_is_no_socket_is_left_alone(void **state _unused_)
{
    char target[PATH_SIZE + 8];

    _cleanup_fd_ int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, "mine", 4), 4);
    assert_int_equal(open_it(), -ENOTSOCK);
    assert_non_null(strstr(said, "is no socket"));
    assert_int_equal(stat_of(path).st_size, 4);
    assert_int_equal(unlink(path), 0);

    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(open_it(), -ENOTSOCK);
    assert_int_equal(rmdir(path), 0);

    /* A link is not followed, not even to a stale socket. */
    (void) close(bind_other(SOCK_STREAM, true));
    (void) snprintf(target, sizeof(target), "%s.old", path);
    assert_int_equal(rename(path, target), 0);
    assert_int_equal(symlink(target, path), 0);
    assert_int_equal(open_it(), -ENOTSOCK);
    assert_true(S_ISLNK(stat_of(path).st_mode));
}

static void mode_and_group_are_applied_whatever_the_umask(void **state _unused_)
{
    static const unsigned modes[] = {0660, 0600, 0666, 0777, 0000};
    /* Root may give it to anybody, others to their own groups. */
    gid_t gid = geteuid() == 0 ? 12345 : getegid();
    mode_t old_mask = umask(0077);

    (void) snprintf(group, sizeof(group), "%u", gid);
    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        settings.socket_mode = modes[i];
        assert_int_equal(open_it(), 0);
        assert_int_equal(stat_of(path).st_mode & 07777, modes[i]);
        assert_int_equal(stat_of(path).st_gid, gid);
        listen_socket_done(&l);
    }
    /* And the umask is as it was. */
    assert_int_equal(umask(old_mask), 0077);
}

static void a_group_that_may_not_be_given_is_refused(void **state _unused_)
{
    if (geteuid() == 0) {
        print_message("skipped: root may give the socket to every group\n");
        skip();
    }
    (void) snprintf(group, sizeof(group), "0");
    assert_int_equal(open_it(), -EPERM);
    assert_non_null(strstr(said, "SocketGroup="));
    assert_names(0);
}

static void a_group_that_is_set_must_exist(void **state _unused_)
{
    settings.socket_group = (char[]){"no-such-group-here"};
    assert_int_equal(open_it(), -ESRCH);
    assert_non_null(strstr(said, "SocketGroup=no-such-group-here: there is no such group"));
    assert_int_equal(l.fd, -1);
    assert_names(0);
}

/* Only the built-in one may be missing: then fewer can connect, not more. */
static void the_default_group_may_be_missing(void **state _unused_)
{
    settings.socket_group = (char[]){"no-such-group-here"};
    settings.is_socket_group_set = false;
    assert_int_equal(open_it(), 0);
    assert_int_equal(n_said, 1);
    assert_non_null(strstr(said, "keeps the daemon's own group"));
    assert_int_equal(stat_of(path).st_gid, getegid());
    assert_int_equal(stat_of(path).st_mode & 07777, 0660);
}

static void make_path(size_t size)
{
    (void) snprintf(path, sizeof(path), "%s/", directory);
    memset(path + strlen(path), 'x', size - strlen(directory) - 1);
    path[size] = '\0';
}

static void a_path_too_long_is_refused_and_not_cut(void **state _unused_)
{
    struct sockaddr_un address;
    size_t limit = sizeof(address.sun_path) - 1;

    make_path(limit);
    assert_int_equal(open_it(), 0);
    assert_int_equal(try_connect(path), 0);
    listen_socket_done(&l);

    make_path(limit + 1);
    assert_int_equal(open_it(), -ENAMETOOLONG);
    assert_int_equal(n_said, 1);
    assert_non_null(strstr(said, "too long"));
    assert_names(0);
}

/* A successor that took the path over keeps it. */
static void only_our_own_is_unlinked(void **state _unused_)
{
    assert_int_equal(open_it(), 0);
    assert_int_equal(unlink(path), 0);
    _cleanup_fd_ _unused_ int other = bind_other(SOCK_STREAM, true);
    listen_socket_done(&l);
    assert_int_equal(try_connect(path), 0);

    assert_int_equal(unlink(path), 0);
    assert_int_equal(open_it(), 0);
    assert_int_equal(unlink(path), 0);
    listen_socket_done(&l);
    assert_names(0);
}

static void a_missing_folder_is_made_for_all_to_enter(void **state _unused_)
{
    char parent[PATH_SIZE];
    mode_t old_mask = umask(0077);

    (void) snprintf(path, sizeof(path), "%s/run/s", directory);
    (void) snprintf(parent, sizeof(parent), "%s/run", directory);
    assert_int_equal(open_it(), 0);
    (void) umask(old_mask);
    assert_int_equal(stat_of(parent).st_mode & 07777, 0755);
    assert_int_equal(try_connect(path), 0);
    listen_socket_done(&l);

    /* One that is there keeps its mode. */
    assert_int_equal(chmod(parent, 0700), 0);
    assert_int_equal(open_it(), 0);
    assert_int_equal(stat_of(parent).st_mode & 07777, 0700);
    listen_socket_done(&l);

    (void) snprintf(path, sizeof(path), "%s/not/there/s", directory);
    assert_int_equal(open_it(), -ENOENT);
    assert_non_null(strstr(said, "cannot make the socket's folder"));
}

/* 0: the lock beside the socket was free, -ENOENT: it is not there. */
static int try_lock(void)
{
    char lock_path[sizeof(path) + 8];

    (void) snprintf(lock_path, sizeof(lock_path), "%s/.s.lock", directory);
    _cleanup_fd_ int fd = open(lock_path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return flock(fd, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
}

static int lock_when_logged;

static void lock_it(struct log *log _unused_, const struct log_entry *entry _unused_)
{
    lock_when_logged = try_lock();
}

/* The warning about the group comes between the look and the move. */
static void others_are_locked_out_meanwhile(void **state _unused_)
{
    struct log looking = {.max_level = LOG_LEVEL_DEBUG, .write = lock_it};

    settings.socket_group = (char[]){"no-such-group-here"};
    settings.is_socket_group_set = false;
    lock_when_logged = 1;
    assert_int_equal(listen_socket_open(&l, &settings, &looking), 0);
    assert_int_equal(lock_when_logged, -EWOULDBLOCK);
    assert_int_equal(try_lock(), -ENOENT);
}

/* Anybody may lock the folder, since anybody may open it; that stops nobody's start. */
static void a_locked_folder_stops_nobody(void **state _unused_)
{
    _cleanup_fd_ int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(flock(fd, LOCK_SH), 0);
    assert_int_equal(open_it(), 0);
}

#define N_RACERS 8

/* One of several daemons that start at once: tells how it went and keeps what it has until the end. */
static void race(int begin_fd, int result_fd, int end_fd)
{
    struct listen_socket mine = LISTEN_SOCKET_INIT;
    char c;

    if (read(begin_fd, &c, 1) != 0)
        _exit(1);
    int r = listen_socket_open(&mine, &settings, NULL);
    if (write(result_fd, &r, sizeof(r)) != sizeof(r))
        _exit(1);
    _exit((int) read(end_fd, &c, 1));
}

static void of_several_at_once_one_wins(void **state _unused_)
{
    int begin[2], result[2], end[2], n_won = 0, n_refused = 0, r;

    (void) close(bind_other(SOCK_STREAM, true)); /* all find a stale one */
    assert_true(pipe(begin) == 0 && pipe(result) == 0 && pipe(end) == 0);
    for (int i = 0; i < N_RACERS; i++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            (void) close(begin[1]);
            (void) close(end[1]);
            race(begin[0], result[1], end[0]);
        }
    }
    (void) close(begin[1]);
    for (int i = 0; i < N_RACERS; i++) {
        assert_int_equal(read(result[0], &r, sizeof(r)), sizeof(r));
        n_won += r == 0;
        n_refused += r == -EADDRINUSE;
    }
    int connected = try_connect(path);
    (void) close(end[1]);
    for (int i = 0; i < N_RACERS; i++)
        (void) wait(NULL);
    (void) close(begin[0]);
    (void) close(result[0]);
    (void) close(result[1]);
    (void) close(end[0]);
    assert_int_equal(n_won, 1);
    assert_int_equal(n_refused, N_RACERS - 1);
    assert_int_equal(connected, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_fresh_one_is_made_and_unlinked),
        TEST(a_stale_one_is_replaced),
        TEST(a_live_one_is_left_alone),
        TEST(a_live_one_of_another_kind_is_left_alone),
        TEST(what_is_no_socket_is_left_alone),
        TEST(mode_and_group_are_applied_whatever_the_umask),
        TEST(a_group_that_may_not_be_given_is_refused),
        TEST(a_group_that_is_set_must_exist),
        TEST(the_default_group_may_be_missing),
        TEST(a_path_too_long_is_refused_and_not_cut),
        TEST(only_our_own_is_unlinked),
        TEST(a_missing_folder_is_made_for_all_to_enter),
        TEST(others_are_locked_out_meanwhile),
        TEST(a_locked_folder_stops_nobody),
        TEST(of_several_at_once_one_wins),
    };
    return cmocka_run_group_tests_name("listen", tests, NULL, NULL);
}
