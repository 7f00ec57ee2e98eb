/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Who is at the other end of a Unix socket, as the kernel recorded it when the peer connected (SO_PEERCRED,
 * SO_PEERGROUPS: unix(7), socket(7)). Later changes of the process do not change it.
 */

#include "core/access.h"

/* Fills in uid, gid and pid. 0 or -errno. */
_must_check_ int peer_read(int fd, struct peer *ret);

/* The supplementary groups, allocated; to be freed. 0 or -errno. A kernel without SO_PEERGROUPS:
 * -ENOPROTOOPT. */
_must_check_ int peer_read_groups(int fd, uint32_t **ret_groups, size_t *ret_n_groups);

/*
 * A pidfd of the process that connected, or -errno: SO_PEERPIDFD, since Linux 6.5. -ENOPROTOOPT on an older
 * kernel; when the process is gone, either -ESRCH or a pidfd that is not alive.
 */
_must_check_ int peer_open_pidfd(int fd);

/* Whether the kernel can do that. */
bool peer_has_pidfd(void);
