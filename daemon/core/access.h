/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Who may ask. Deny by default: an empty list admits nobody, and admin rights never imply tokens.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/settings.h"

/* Who is at the other end of a connection, as the kernel said when it connected. */
struct peer {
    uint32_t uid;
    uint32_t gid;
    int32_t pid;            /* 0: not in our pid namespace */
    const uint32_t *groups; /* supplementary groups; borrowed */
    size_t n_groups;
};

/* True when a rule of the list names the peer. */
bool access_list_admits(const struct access_list *list, const struct peer *peer);
