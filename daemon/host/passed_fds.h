/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Descriptors that the service manager passes at the start (sd_listen_fds(3)): sockets of socket units, and
 * what it keeps in its descriptor store. Each has a name (FileDescriptorName=, FDNAME=) and one owner.
 */

#include <stddef.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "host/supervisor.h"

struct passed_fd {
    int fd; /* -1: taken */
    char *name;
};

struct passed_fds {
    struct passed_fd *items;
    size_t n_items;
};

/*
 * Takes them out of the environment, once. None is no error. 0 or -errno (a broken $LISTEN_FDS among them).
 */
_must_check_ int passed_fds_read(struct passed_fds *ret);

/* The descriptor with this name, which is then the caller's; -1 when there is none. */
int passed_fds_take(struct passed_fds *p, const char *name);

/* The next one that is a listening stream socket of the Unix family; -1 when there is none. */
int passed_fds_take_socket(struct passed_fds *p);

/*
 * Closes what nobody took, with a line in the log for each. What the manager keeps by such a name it is to
 * keep no longer: another version of the daemon has left it, it is out of date by now, and it takes the room
 * that our own state needs to grow (FileDescriptorStoreMax=).
 */
void passed_fds_refuse(struct passed_fds *p, struct supervisor *s, struct log *log);

/* Closes what nobody took. Takes NULL. */
void passed_fds_done(struct passed_fds *p);
