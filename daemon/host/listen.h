/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The Unix socket in the file system: made with the mode and group that are set, or not at all.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "core/settings.h"

struct listen_socket {
    int fd;     /* -1: none */
    char *path; /* owned; the caller's to unlink by listen_socket_done() */
    dev_t device;
    ino_t inode;
};

#define LISTEN_SOCKET_INIT ((struct listen_socket){.fd = -1})

/*
 * Binds and listens. A socket file nobody listens on is replaced, at once and without a gap; a live one, or
 * anything that is no socket, is left alone (-EADDRINUSE, -ENOTSOCK). Mode or group that cannot be set:
 * -EPERM and the like. What went wrong is logged with the remedy. 0 or -errno.
 */
_must_check_ int listen_socket_open(struct listen_socket *ret, const struct daemon_settings *settings,
                                    struct log *log);

/* Unlinks the socket file where it is still ours, closes the descriptor. Takes NULL. */
void listen_socket_done(struct listen_socket *l);
