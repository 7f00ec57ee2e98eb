/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * HTTP over the Unix socket: libmicrohttpd on the sd-event loop. It knows connections, their limits and
 * deadlines, and hands each whole request to the handler; what the answer is, api.c decides.
 *
 * One connection goes round through these phases, each with a deadline of its own, so that no client can hold
 * a place for ever:
 *
 *     IDLE      no request; at most 60 s
 *     READING   the first byte of a request came; all of it within 10 s
 *     WAITING   the handler has not answered yet; its waiter's deadline bounds that
 *     SENDING   the answer is on its way; at most 60 s
 *     REFUSED   over a limit: it has its 429, and a second to read it; nothing it sent is looked at
 *
 * libmicrohttpd tells neither of first bytes nor of clients that leave while their request waits, so each
 * connection is watched by an edge-triggered epoll of the server's own as well. It is looked at before
 * libmicrohttpd reads; where a byte still slips through, the request counts as idle and gets 60 s instead
 * of 10.
 */

#include <systemd/sd-event.h>

#include "base/buffer.h"
#include "base/list.h"
#include "base/log.h"
#include "core/access.h"
#include "core/registry.h"
#include "wire/metrics.h"
#include "wire/route.h"

struct server;
struct response;

/* The most of a request body that is read. */
#define REQUEST_BODY_MAX ((size_t) 4096)

/* A token that went out with the answer. */
struct handout {
    bool is_pending; /* there is one, and nobody was told of it */
    bool has_waited;
    uint64_t generation;
    char fingerprint[FINGERPRINT_SIZE];
};

/* One request, valid from the handler's call until it is answered or hung up. */
struct request {
    struct route route;
    enum {
        REQUEST_GET,
        REQUEST_HEAD,
        REQUEST_POST,
        REQUEST_OTHER,
    } method;
    bool accepts_text;         /* Accept: text/plain, and not JSON */
    bool is_body_too_large;    /* over REQUEST_BODY_MAX: answer 413 */
    struct buffer body;        /* whole, unless it is too large; may hold what nobody meant to send */
    const char *if_none_match; /* the field value, for the time of the handler's call; or NULL */
    struct peer peer; /* groups and unit: not there until request_load_groups() and request_load_unit() */
    const char *unit_problem; /* after request_load_unit(): why there is no unit, or NULL; static */
    struct waiter waiter;     /* the handler's, for a request that waits */
    struct entry *entry;      /* the handler's */
    struct handout handout;   /* the handler's: what answered() is to tell */
    bool is_waiting; /* the handler's: its NULL means that the answer comes later, not that memory is out */
};

struct server_handler {
    /* A whole request is here. Returns its answer (a reference that is consumed), or NULL: it will come
     * through server_answer() when the handler has set `is_waiting`, else there never will be one and the
     * connection is closed. */
    struct response *(*handle)(void *userdata, struct request *r);
    /* The client of a request that waits has left, or the server stops: forget the request. */
    void (*hang_up)(void *userdata, struct request *r);
    /* The answer is on its way, or nobody is there to take it: the last that is heard of the request. What
     * can wait until here makes nobody wait. May be NULL. */
    void (*answered)(void *userdata, struct request *r);
    void *userdata;
};

/*
 * So that no user can keep another out: one user has at most MaxConnectionsPerUser=, and the last eighth of
 * MaxConnections= is for those who have few, which is fewer than a 64th of it (at least one), so that several
 * users together cannot either. Whoever is over a limit gets 429 and is counted in
 * server_stats.n_limited.
 */
struct server_limits {
    uint64_t max_connections;
    uint64_t max_connections_per_user;
};

/* A socket to serve on. */
struct listener {
    int fd;            /* taken */
    bool is_inherited; /* passed by the service manager, who keeps it: never shut down, only closed */
};

/* More than anybody has units for. */
#define SERVER_SOCKETS_MAX 8

struct listeners {
    struct listener items[SERVER_SOCKETS_MAX];
    size_t n_items;
};

/*
 * Serves on all of `listeners` (1 to SERVER_SOCKETS_MAX; their descriptors are taken, also on failure). `log`
 * is borrowed. 0 or -errno.
 */
_must_check_ int server_new(struct server **ret, sd_event *event, const struct listeners *listeners,
                            const struct server_limits *limits, const struct server_handler *handler,
                            struct log *log);

/* Descriptors that each connection holds: on kernels before 6.5 one for the process at its other end, too. */
unsigned server_files_per_connection(void);

/*
 * Other limits, for connections to come; those that are there stay. libmicrohttpd's own limit is that of the
 * start: a larger max_connections counts as that one, until the daemon is restarted.
 */
void server_set_limits(struct server *s, const struct server_limits *limits);

/*
 * Whether the settings have any unit rule. On kernels before 6.5 there is then some work now and then while
 * nobody connects, and idle connections about whose process nothing is certain are closed.
 */
void server_set_unit_rules(struct server *s, bool has_unit_rules);

/* Closes everything at once. Takes NULL; returns NULL. */
struct server *server_free(struct server *s);
DEFINE_CLEANUP(struct server *, server_free, server_free)

/* The answer to a request whose handler returned NULL; the reference is consumed. NULL (no memory) closes. */
void server_answer(struct request *r, struct response *response);

/*
 * Takes what has been sent and nothing more: accepts what waits at a socket of our own, closes it, and lets
 * no connection send another request (a request that was sent is answered, one that comes later fails at the
 * sender, which knows that it was not read). Whoever has connected and not asked yet, or is in the middle of
 * asking, has another second for it; whoever had an answer a moment ago, a quarter of one. Each answer says
 * that it is the last of its connection: of several requests that a client has sent there without waiting for
 * their answers, the others are not looked at, and may be sent again. At an inherited socket nobody is turned
 * away: who is not accepted yet waits there for the next process. `drained` is called, from the loop, when
 * the last connection is gone, and after `grace_for` anyway.
 */
void server_stop(struct server *s, usec_t grace_for, void (*drained)(void *userdata), void *userdata);

/* Counters; n_connections is the number open now. Borrowed. */
struct server_stats *server_get_stats(struct server *s);

/* ---- callers: see host/caller.h for who that is ---- */

/* Loads the supplementary groups of the peer, once; needed before a group rule is asked. */
void request_load_groups(struct request *r);

/*
 * Finds out the unit of the process that connected, as it is at this moment; needed for each request in which
 * a unit rule is asked, and cheap when it was asked for this request in the same turn of the loop. Sets
 * r->peer.unit (valid until the next call or the end of the connection), or that to NULL and r->unit_problem
 * to the reason.
 */
void request_load_unit(struct request *r);

/* A number that no other process has had since boot; 0 when none can be told. Cheap after the first call. */
uint64_t request_process_id(struct request *r);

/* The program of the process for the log: a path, or "(comm)" when the path may not be known. In `buffer`, or
 * NULL. Printable; the process can have chosen it as it likes. */
const char *request_load_program(struct request *r, char *buffer, size_t size);

/* The unit of any process, by the same means. 0, or -errno and the reason (static). UNIT_NAME_SIZE fits. */
_must_check_ int server_find_unit(struct server *s, int32_t pid, char *ret, size_t size,
                                  const char **ret_problem);

/* ---- answers ---- */

struct response_header {
    const char *name;
    const char *value;
};

/*
 * An answer that can be sent any number of times. The body is taken out of `body_take`, which is then empty;
 * it is wiped with the last reference. NULL when memory is out, or when the buffer had failed.
 */
struct response *response_new(unsigned status, const char *content_type, struct buffer *body_take,
                              const struct response_header *headers, size_t n_headers);
struct response *response_ref(struct response *r);

/* Takes NULL; returns NULL. */
struct response *response_unref(struct response *r);
DEFINE_CLEANUP(struct response *, response_unref, response_unref)

unsigned response_status(const struct response *r);
