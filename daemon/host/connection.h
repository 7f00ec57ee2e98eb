/* SPDX-License-Identifier: MIT */
#pragma once

/* The inside of a connection and of the server, for server.c and connection.c alone. */

#include <microhttpd.h>

#include "host/caller.h"
#include "host/response.h"
#include "host/server.h"
#include "host/users.h"

enum phase {
    PHASE_IDLE,
    PHASE_READING,
    PHASE_WAITING,
    PHASE_SENDING,
    PHASE_REFUSED, /* over a limit, told so, and not counted: see linger() */
};
#define N_PHASES (PHASE_REFUSED + 1)

/* At a stop, how long a request is waited for: of one that has connected and not asked, and of one that has
 * asked and been answered a short time ago. While the second time runs, new callers wait for the next
 * process. */
#define LAST_CALL_FOR   USEC_PER_SEC
#define KEPT_CALL_FOR   (250 * USEC_PER_MSEC)
#define KEPT_RECENT_FOR USEC_PER_SEC

/* Connections beyond the limit that can be told so at the same time. */
#define REFUSED_MAX 16

struct connection {
    struct request request;
    struct server *server;
    struct MHD_Connection *mhd;
    struct caller caller;
    struct user *user; /* NULL when it is not counted: in PHASE_REFUSED, and when the client is gone */
    int fd;            /* libmicrohttpd's to close */
    enum phase phase;
    struct list in_phase;       /* in server->phases[phase], the longest there first */
    usec_t since_at;            /* when the phase began */
    struct response *response;  /* of a WAITING request that was answered, until it is queued */
    uint32_t *groups;           /* loaded, owned */
    struct list in_half_closed; /* in server->half_closed, until libmicrohttpd is told */
    bool is_half_closed; /* the client has closed its sending half; libmicrohttpd has been or is to be told */
    bool is_suspended;   /* by MHD_suspend_connection() */
    bool has_groups;
    bool has_asked;  /* a whole request has come on it */
    bool is_aborted; /* nobody is there any more, or no memory for an answer: close */
};

/* One socket that is listened on. */
struct server_socket {
    struct server *server;
    int fd;
    bool is_inherited;       /* the service manager's: it goes on listening there when we end */
    sd_event_source *source; /* NULL for libmicrohttpd's own */
    bool is_stuck;           /* accepting failed for want of something: until a connection ends */
};

struct server {
    sd_event *event;
    struct log *log;
    struct server_limits limits;
    struct server_handler handler;
    struct server_stats stats;
    struct MHD_Daemon *mhd;
    int watch_fd; /* our own epoll over all connections */
    sd_event_source *watch_source;
    sd_event_source *mhd_source;
    sd_event_source *again_source; /* libmicrohttpd has more to do than its epoll tells */
    sd_event_source *timer;        /* the next deadline of a phase */
    usec_t timer_at;               /* what it is set to; USEC_INFINITY when off */
    struct list phases[N_PHASES];
    struct list half_closed; /* connections whose end of stream libmicrohttpd may have missed */
    bool has_closed;         /* a connection, in this run of libmicrohttpd */
    struct users users;
    struct callers callers;
    sd_event_source *callers_timer; /* renews what callers know while nobody connects; NULL: never wanted */
    int queues_fd; /* an epoll over all sockets that are listened on: readable while anybody waits */
    struct server_socket sockets[SERVER_SOCKETS_MAX]; /* the first is libmicrohttpd's; fd -1: closed */
    size_t n_sockets;
    uint64_t max_connections_at_start; /* what libmicrohttpd has room for */
    size_t n_lingering;                /* in PHASE_REFUSED */
    bool is_stopping;
    sd_event_source *grace_timer;
    usec_t stopped_at;
    sd_event_source *last_call_timer; /* while stopping: for those whose request has not come */
    usec_t last_call_for;             /* who is waited for no longer when it fires */
    void (*drained)(void *userdata);
    void *drained_userdata;
};

/* "Now" of this turn of the loop, CLOCK_BOOTTIME. */
usec_t server_now(const struct server *s);

/* Begins a phase. */
void connection_enter(struct connection *c, enum phase phase);

/* When a phase has lasted too long; USEC_INFINITY for WAITING, which the waiter's deadline bounds. */
usec_t phase_limit_for(enum phase phase);

/* Sets or re-sets the timer to the earliest deadline of all phases. */
void server_arm_timer(struct server *s);

/* Lets libmicrohttpd work, and comes back for more where it has more. */
void server_run(struct server *s);

/* libmicrohttpd's callbacks, installed by server_new(). */
enum MHD_Result connection_handle_request(void *userdata, struct MHD_Connection *mhd, const char *url,
                                          const char *method, const char *version, const char *upload_data,
                                          size_t *upload_data_size, void **request_context);
void *connection_handle_target(void *userdata, const char *target, struct MHD_Connection *mhd);
void connection_handle_completed(void *userdata, struct MHD_Connection *mhd, void **request_context,
                                 enum MHD_RequestTerminationCode how);

/* A new connection: its object, or NULL when it was refused (and told so). */
struct connection *connection_admit(struct server *s, struct MHD_Connection *mhd, int fd);

/* The end of a connection: libmicrohttpd closes the descriptor after this. */
void connection_free(struct connection *c);

/* Something happened on the descriptor: the first byte of a request, or the client has left. */
void connection_notice(struct connection *c, uint32_t epoll_events);

/* Takes a request that waits back from the handler and closes. Does nothing in other phases. */
void connection_hang_up(struct connection *c);

/* The server stops: what was sent is still read, and what is sent after this fails at the sender. */
void connection_stop_reading(struct connection *c);

/*
 * At a stop: how long its next request is waited for. Whoever has connected sends one at once; so does, as
 * like as not, whoever has just had an answer, and could not know that it was the last. 0: none is expected.
 */
usec_t connection_last_call_for(const struct connection *c, usec_t stopped_at);

/* Its phase has lasted too long: ends it, with 408 where a request had begun. */
void connection_expire(struct connection *c);
