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
