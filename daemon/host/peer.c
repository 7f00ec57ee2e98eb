/* SPDX-License-Identifier: MIT */
#include "host/peer.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

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
