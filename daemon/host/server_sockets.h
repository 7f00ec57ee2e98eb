/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The sockets that a server listens on; the inside of server.c. libmicrohttpd accepts at the first by itself.
 * It has one for each of its daemons, so at the others we accept for it.
 *
 * At the end, a socket of our own is closed so that nobody is lost: whoever waits is accepted first, and who
 * comes later is told so by the kernel. One that the service manager passed is only let go of: it goes on
 * listening, and who waits there is served by the next process.
 */

#include "host/connection.h"

/* Takes the descriptors. */
void server_sockets_init(struct server *s, const struct listeners *listeners);

/* Begins to accept, once libmicrohttpd is there. 0 or -errno. */
_must_check_ int server_sockets_watch(struct server *s);

/* After each run of libmicrohttpd: whether it has room for more. */
void server_sockets_arm(struct server *s);

/* Accepts no more. */
void server_sockets_close(struct server *s);

/* Closes what is open. */
void server_sockets_done(struct server *s);
