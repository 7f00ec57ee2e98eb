/* SPDX-License-Identifier: MIT */
#include "host/peer.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

/* asm-generic/socket.h; Debian 12 has the headers of Linux 6.1. */
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

int peer_read(int fd, struct peer *ret)
{
    struct ucred credentials;
    socklen_t size = sizeof(credentials);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0)
        return -errno;
    *ret = (struct peer){.uid = credentials.uid, .gid = credentials.gid, .pid = credentials.pid};
    return 0;
}

int peer_read_groups(int fd, uint32_t **ret_groups, size_t *ret_n_groups)
{
    socklen_t size = 64 * sizeof(uint32_t);

    /* At most two rounds: the first failure tells the size, which cannot change after the connect. */
    for (unsigned round = 0; round < 2; round++) {
        _cleanup_free_ uint32_t *groups = malloc(size ? size : 1);
        if (!groups)
            return -ENOMEM;
        if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) == 0) {
            *ret_groups = TAKE_PTR(groups);
            *ret_n_groups = size / sizeof(uint32_t);
            return 0;
        }
        if (errno != ERANGE)
            return -errno;
    }
    return -ERANGE;
}

int peer_open_pidfd(int fd)
{
    int pidfd = -1;
    socklen_t size = sizeof(pidfd);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) == 0)
        return pidfd;
    /* What kernels have said of a process that is gone. */
    return errno == EINVAL || errno == ENODATA ? -ESRCH : -errno;
}

bool peer_has_pidfd(void)
{
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
        return false;
    _cleanup_fd_ int pidfd = peer_open_pidfd(fds[0]);
    (void) close(fds[0]);
    (void) close(fds[1]);
    return pidfd >= 0;
}
