/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What is known of the process at the other end of a connection; its inside, for server.c and connection.c.
 * What others ask is in server.h: request_load_groups(), request_load_unit() and their neighbours.
 *
 * The caller is the process that *connected*: its number is in SO_PEERCRED. It is looked at anew each time,
 * so that a right ends with what it was for, and a socket that is handed on gives nobody the rights of the
 * one who handed it on and ended. What makes the number mean that process:
 *
 *     SO_PEERPIDFD (Linux 6.5)   the kernel itself gives a pidfd of it, at any time
 *     before                     a pidfd is opened by the number when the connection is accepted and kept;
 *                                host/pid_watch tells whether the number was still that process's then. When
 *                                it cannot be sure, the caller has no unit, and its connection is closed
 * after the answer: a new one starts out with a new baseline
 */

#include <stdbool.h>
#include <stdint.h>

#include "core/unit.h"
#include "host/pid_watch.h"
#include "host/unit_finder.h"

struct connection;
struct server;

/* Of a connection. */
struct caller {
    int pidfd;                  /* without SO_PEERPIDFD: kept from the accept on; else -1 */
    enum unit_answer at_accept; /* without SO_PEERPIDFD: UNIT_KNOWN, or why its process is not known */
    bool is_to_reconnect;       /* it was refused something because of that */
    uint64_t process_id;        /* request_process_id(), once asked */
    uint64_t accepted_as;       /* which of all connections */
    uint64_t asked_in; /* the turn of the loop in which `answer` was found for this request; 0: none */
    enum unit_answer answer;
    char unit[UNIT_NAME_SIZE]; /* what request->peer.unit points to */
};

/*
 * Processes that asked a moment ago: finding out a process's identity takes several times as long as an
 * answer, and one that opens a connection for each request would pay for it each time. While a process that
 * we hold a pidfd of lives, its number is nobody else's; so a connection that was accepted after we took hold
 * of it, from that number, is from it.
 */
struct known_process {
    int32_t pid; /* 0: free */
    int pidfd;
    uint64_t id;
    uint64_t known_since; /* in accepted connections */
};
#define KNOWN_PROCESSES 64

/* Of the server. */
struct callers {
    struct known_process known[KNOWN_PROCESSES]; /* by the last digits of the pid */
    uint64_t n_accepted;
    bool has_peer_pidfd;
    bool has_unit_rules;
    bool has_accepted; /* since the last callers_end_turn() */
    struct pid_watch pid_watch;
    struct unit_finder unit_finder;
};

void callers_init(struct callers *callers);
void callers_done(struct callers *callers);

/* A connection has been accepted: told of each, once, before caller_init(). */
void callers_note_accept(struct callers *callers);

/* After whatever was to be accepted has been. */
void callers_end_turn(struct callers *callers, int listen_fd);

/* True when pid_watch is to be renewed by a timer: there are unit rules, and no SO_PEERPIDFD. */
bool callers_want_timer(const struct callers *callers);

/* Who connected last, as `pid`. */
void caller_init(struct caller *caller, struct callers *callers, int32_t pid);
void caller_done(struct caller *caller);

/* Another request begins: nothing that was found out for the last one counts for it. */
void caller_forget(struct caller *caller);
