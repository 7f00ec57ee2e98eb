/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Users and processes as the numbers that the daemon judges: uid, gid and supplementary groups. Users come
 * from the name service, processes from /proc, with their effective ids, as a socket's other end sees them.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "client/bearer.h"

struct identity {
    char *user;       /* the name; NULL: the uid has none */
    uint32_t *groups; /* what `caller` points to */
    struct bearer_caller caller;
};

#define IDENTITY_INIT ((struct identity){.caller = BEARER_CALLER_INIT})

void identity_done(struct identity *identity);

/*
 * By name, or by number where `user` has digits only. A number without an entry has no gid and no groups.
 * Returns 0, -ENOENT (no such user) or -errno.
 */
int identity_of_user(const char *user, struct identity *ret);

/* Returns 0, -ESRCH (no such process, or not to be seen by us) or -errno. */
int identity_of_process(uint64_t pid, struct identity *ret);

/* Reads uid, gid and groups from the text of /proc/PID/status. Returns 0, -EBADMSG or -ENOMEM. */
int identity_read_process(const char *text, struct identity *ret);
