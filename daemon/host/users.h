/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * How many connections each user has, for the limits of host/server.h. A user is in the table while it has
 * any.
 */

#include <stdint.h>

struct user {
    uint32_t uid;
    uint64_t n_connections;
};

struct users {
    void *tree; /* tsearch(3) by uid */
};

/* The user's record, made when it is new; NULL when memory is out. Give it back with users_put(). */
struct user *users_get(struct users *users, uint32_t uid);

/* Forgets the user when it has no connections left. */
void users_put(struct users *users, struct user *user);
