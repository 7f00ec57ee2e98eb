/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <grp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "host/peer.h"

#define N_MANY 300

static void the_kernel_tells_who_connected(void **state _unused_)
{
    struct peer peer = {.n_groups = 7};
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(peer_read(fds[0], &peer), 0);
    assert_int_equal(peer.uid, geteuid());
    assert_int_equal(peer.gid, getegid());
    assert_int_equal(peer.pid, getpid());
    assert_int_equal(peer.n_groups, 0);
    assert_null(peer.groups);
    /* Also when the peer has left. */
    (void) close(fds[1]);
    assert_int_equal(peer_read(fds[0], &peer), 0);
    assert_int_equal(peer.uid, geteuid());
    (void) close(fds[0]);
}

/* The groups of a socket that this process makes are those that getgroups(2) tells. */
static int compare_groups(void)
{
    int fds[2], n_expected = getgroups(0, NULL);
    _cleanup_free_ uint32_t *groups = NULL;
    size_t n_groups = SIZE_MAX;

    _cleanup_free_ gid_t *expected = calloc((size_t) n_expected + 1, sizeof(gid_t));
    if (!expected || getgroups(n_expected, expected) != n_expected ||
        socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0)
        return 2;
    int r = peer_read_groups(fds[0], &groups, &n_groups);
    (void) close(fds[0]);
    (void) close(fds[1]);
    if (r < 0 || !groups || n_groups != (size_t) n_expected)
        return 3;
    for (size_t i = 0; i < n_groups; i++) {
        if (groups[i] != expected[i])
            return 4;
    }
    return 0;
}

static void supplementary_groups_are_all_there(void **state _unused_)
{
    assert_int_equal(compare_groups(), 0);
}

/* More than fit into the first guess, and none: in a child, because it is for root to change them. */
static void however_many_there_are(void **state _unused_)
{
    static const size_t sizes[] = {0, 1, 63, 64, 65, N_MANY};
    gid_t many[N_MANY];

    if (geteuid() != 0) {
        print_message("skipped: only root can have any number of groups\n");
        skip();
    }
    for (gid_t i = 0; i < N_MANY; i++)
        many[i] = 1000 + i;
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        int status;
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
            _exit(setgroups(sizes[i], many) < 0 ? 77 : compare_groups());
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        /* A root without the right to do that (a container) has nothing to test. */
        if (WEXITSTATUS(status) == 77) {
            print_message("skipped: this root may not set its groups\n");
            skip();
        }
        assert_int_equal(WEXITSTATUS(status), 0);
    }
}

static void what_is_no_socket_has_no_peer(void **state _unused_)
{
    uint32_t *groups = (uint32_t *) 8;
    struct peer peer = {.uid = 4242};
    size_t n_groups = 9;
    int fds[2];

    assert_int_equal(pipe(fds), 0);
    assert_int_equal(peer_read(fds[0], &peer), -ENOTSOCK);
    assert_int_equal(peer_read(-1, &peer), -EBADF);
    assert_int_equal(peer_read_groups(fds[0], &groups, &n_groups), -ENOTSOCK);
    assert_int_equal(peer.uid, 4242);
    assert_ptr_equal(groups, (uint32_t *) 8);
    assert_int_equal(n_groups, 9);
    (void) close(fds[0]);
    (void) close(fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_kernel_tells_who_connected),
        cmocka_unit_test(supplementary_groups_are_all_there),
        cmocka_unit_test(however_many_there_are),
        cmocka_unit_test(what_is_no_socket_has_no_peer),
    };
    return cmocka_run_group_tests_name("peer", tests, NULL, NULL);
}
