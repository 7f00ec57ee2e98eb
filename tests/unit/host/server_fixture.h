/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A server on a socket without a name in any file system, its clients and its loop, all in one process: after
 * loop_settle() everything that was sent has been dealt with, so no test waits for time to pass. The handler
 * is one that does as `api` says and keeps what it was asked.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "host/connection.h"

#define GET_TOKEN     "GET /v1/profiles/shop/token HTTP/1.1\r\nHost: x\r\n\r\n"
#define GET_HEALTH    "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
#define N_WAITING_MAX 64

struct fake_api {
    /* What to do. */
    bool does_wait;     /* instead of an answer at once */
    bool has_no_memory; /* no answer, now or later */
    size_t body_size;   /* of answers; 0: "hello\n" */
    /* What was seen. */
    unsigned n_calls;
    unsigned n_hang_ups;
    struct request last; /* as it was when it came; its pointers are not to be followed */
    struct request *waiting[N_WAITING_MAX];
    size_t n_waiting;
    /* The log. */
    char said[512];
    unsigned n_said; /* at info and above */
};

extern struct fake_api api;
extern struct server *server;

/* For cmocka: a server that lets in 16 connections, 8 of one user. */
int server_set_up(void **state);
int server_tear_down(void **state);

/* The same with other limits, in place of the one that is there. */
void server_restart(uint64_t max_connections, uint64_t max_connections_per_user);

/* The number of sockets that a test can listen on. */
#define N_SOCKETS_MAX 2

/* A socket that is listened on, as a service manager passes it: blocking. Clients find it by its number. */
int listen_at(size_t i);

/* A server on these, in place of the one that is there. Takes the descriptors. */
void server_restart_at(const struct listeners *listeners, uint64_t max_connections,
                       uint64_t max_connections_per_user);

/* Turns the loop until there is nothing to do at this moment. Fails the test when that never is. */
void loop_settle(void);

/* A client that has connected; the server knows of it after loop_settle(). Close it with close(). */
int client_connect(void);

/* The same at the socket of that number; client_connect() goes to number 0. */
int client_connect_to(size_t i);

/* As client_connect(): 0 or -errno. */
int client_try_connect(int *ret_fd);

/* Sends it all. 0, or -errno. */
int client_send(int fd, const char *text);

/* All that has arrived, as text; *ret_is_end (or NULL) when the server has closed. */
const char *client_read(int fd, bool *ret_is_end);

/* client_send(), loop_settle(), client_read(). */
const char *client_ask(int fd, const char *text);

/* How many connections are in a phase. */
size_t count_phase(enum phase phase);

/* Lets all connections have been in their phase for that long, whatever time the test has taken. */
void phases_are_old(usec_t age);

/* Lets all connections have been in their phase for that much longer. */
void phases_grow_older(usec_t by);

/* "hello\n", or that many 'x'. */
struct response *make_response(size_t size);

/* Number of times that `part` is in `text`. */
unsigned count_text(const char *text, const char *part);
