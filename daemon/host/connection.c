/* SPDX-License-Identifier: MIT */
#include "host/connection.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "host/peer.h"
#include "wire/reply.h"

#define IDLE_MAX_FOR    (60 * USEC_PER_SEC)
#define READING_MAX_FOR (10 * USEC_PER_SEC)
#define SENDING_MAX_FOR (60 * USEC_PER_SEC)
#define LINGER_FOR      USEC_PER_SEC
/* Refused connections that are kept open for LINGER_FOR; half of what libmicrohttpd takes beyond our limit.
 */
#define LINGERING_MAX (REFUSED_MAX / 2)
/* The part of all connections that is for users with few, and how many are few. */
#define KEPT_FRACTION 8
#define FEW_FRACTION  64
/* Never over before SENDING_MAX_FOR is: it is there to be different, not to pass. */

usec_t phase_limit_for(enum phase phase)
{
    static const usec_t limits[N_PHASES] = {
        [PHASE_IDLE] = IDLE_MAX_FOR,       [PHASE_READING] = READING_MAX_FOR, [PHASE_WAITING] = USEC_INFINITY,
        [PHASE_SENDING] = SENDING_MAX_FOR, [PHASE_REFUSED] = LINGER_FOR,
    };
    return limits[phase];
}

void connection_enter(struct connection *c, enum phase phase)
{
    c->phase = phase;
    c->since_at = server_now(c->server);
    list_remove(&c->in_phase);
    list_append(&c->server->phases[phase], &c->in_phase);
    /* A phase that ends later than the timer is found when it fires: hot connections cost no system call
     * here. */
    if (usec_add(c->since_at, phase_limit_for(phase)) < c->server->timer_at)
        server_arm_timer(c->server);
}

/* ---- birth and death ---- */

/* Says why in HTTP, as far as the socket takes it at once. */
static void refuse(struct server *s, int fd, const struct peer *peer, const char *detail)
{
    _cleanup_(buffer_done) struct buffer body = BUFFER_INIT(1024), answer = BUFFER_INIT(2048);

    s->stats.n_refused_connections++;
    s->stats.api_requests[stats_code_of(429)]++;
    reply_write_problem(&body, PROBLEM_TOO_MANY_CONNECTIONS, detail, NULL, NULL, NULL);
    buffer_appendf(
        &answer,
        "HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/problem+json\r\n"
        "Cache-Control: no-store\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n",
        body.size);
    buffer_append(&answer, buffer_peek(&body), body.size);
    if (buffer_error(&answer) == 0)
        (void) send(fd, answer.data, answer.size, MSG_DONTWAIT | MSG_NOSIGNAL);
    log_debug(s->log, "connection of uid %u refused: %s", peer->uid, detail);
}

static struct connection *connection_new(struct server *s, struct MHD_Connection *mhd, int fd,
                                         const struct peer *peer)
{
    struct connection *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    c->server = s;
    c->mhd = mhd;
    c->fd = fd;
    c->request.peer = *peer;
    c->caller.pidfd = -1;
    waiter_init(&c->request.waiter);
    c->request.body = BUFFER_INIT_SECRET(REQUEST_BODY_MAX);
    list_init(&c->in_phase);
    list_init(&c->in_half_closed);
    return c;
}

static bool has_few(const struct user *user, const struct server_limits *limits)
{
    uint64_t few = limits->max_connections / FEW_FRACTION;
    return user->n_connections < (few > 0 ? few : 1);
}

/* The limit that keeps the user from another connection; N_LIMITS: none does. */
static enum connection_limit user_limit(const struct user *user, const struct server_limits *limits,
                                        uint64_t n_connections)
{
    uint64_t kept = limits->max_connections / KEPT_FRACTION;

    if (n_connections >= limits->max_connections)
        return LIMIT_CONNECTIONS;
    if (user->n_connections >= limits->max_connections_per_user)
        return LIMIT_CONNECTIONS_PER_USER;
    if (n_connections >= limits->max_connections - kept && !has_few(user, limits))
        return LIMIT_CONNECTIONS_KEPT;
    return N_LIMITS;
}

/*
 * Why this peer may not have another connection, or NULL: then *ret_user is its record. `s` is at its limit
 * for everybody, or the user is.
 */
static const char *find_refusal(struct server *s, const struct peer *peer, struct user **ret_user)
{
    static const char *const details[N_LIMITS] = {
        [LIMIT_CONNECTIONS] = "the daemon serves MaxConnections= connections already",
        [LIMIT_CONNECTIONS_PER_USER] = "this user has MaxConnectionsPerUser= connections already",
        [LIMIT_CONNECTIONS_KEPT] = "an eighth of MaxConnections= is kept for users with few connections",
    };
    struct user *user = users_get(&s->users, peer->uid);

    if (!user)
        return "out of memory";
    enum connection_limit limit = user_limit(user, &s->limits, s->stats.n_connections);
    if (limit == N_LIMITS) {
        *ret_user = user;
        return NULL;
    }
    users_put(&s->users, user);
    s->stats.n_limited[uid_class_of(peer->uid)][limit]++;
    return details[limit];
}

/*
 * Keeps a refused connection open for a moment, so that its client can send its request and read the answer
 * that is there already; closed at once it would only see that it cannot write. Few at a time: they hold
 * places at libmicrohttpd's limit, too.
 */
static void linger(struct connection *c)
{
    c->server->n_lingering++;
    connection_enter(c, PHASE_REFUSED);
    (void) shutdown(c->fd, SHUT_WR);
}

struct connection *connection_admit(struct server *s, struct MHD_Connection *mhd, int fd)
{
    struct user *user = NULL;
    struct peer peer;
    char first;

    callers_note_accept(&s->callers);
    /* libmicrohttpd reads next, before the watch below can tell of anything. */
    ssize_t n = recv(fd, &first, 1, MSG_PEEK | MSG_DONTWAIT);
    if (n == 0)
        return NULL; /* gone without a word; whoever makes such by the thousand costs the others little */
    int r = peer_read(fd, &peer);
    if (r < 0) {
        log_warning(s->log, "cannot tell who connects: %s; refused", strerror(-r));
        (void) shutdown(fd, SHUT_RDWR);
        return NULL;
    }
    const char *refusal = find_refusal(s, &peer, &user);
    if (refusal)
        refuse(s, fd, &peer, refusal);
    struct connection *c =
        refusal && s->n_lingering >= LINGERING_MAX ? NULL : connection_new(s, mhd, fd, &peer);
    if (!c) {
        if (user)
            users_put(&s->users, user);
        (void) shutdown(fd, SHUT_RDWR);
        return NULL;
    }
    if (refusal) {
        linger(c);
        return c;
    }
    caller_init(&c->caller, &s->callers, peer.pid);
    c->user = user;
    user->n_connections++;
    s->stats.n_connections++;
    connection_enter(c, n > 0 ? PHASE_READING : PHASE_IDLE);
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.ptr = c};
    if (epoll_ctl(s->watch_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
        log_warning(s->log, "cannot watch a connection: %s", strerror(errno));
        (void) shutdown(fd, SHUT_RDWR);
    }
    return c;
}

/*
 * Takes the connection out of what counts for the limits and the metrics: at its end, or as soon as the
 * client is seen to be gone, since libmicrohttpd may accept the next one first.
 */
static void connection_uncount(struct connection *c)
{
    struct server *s = c->server;

    if (!c->user)
        return;
    c->user->n_connections--;
    users_put(&s->users, TAKE_PTR(c->user));
    s->stats.n_connections--;
}

void connection_free(struct connection *c)
{
    struct server *s = c->server;

    if (c->phase == PHASE_WAITING && !c->response)
        s->handler.hang_up(s->handler.userdata, &c->request);
    (void) response_unref(c->response);
    list_remove(&c->in_phase);
    list_remove(&c->in_half_closed);
    if (c->phase == PHASE_REFUSED)
        s->n_lingering--;
    connection_uncount(c);
    /* Nobody there, nothing to wake up for. */
    if (s->stats.n_connections == 0)
        server_arm_timer(s);
    buffer_done(&c->request.body);
    caller_done(&c->caller);
    free(c->groups);
    free(c);
}

/* ---- requests ---- */

/* NULL for a connection that was refused and does not linger. */
static struct connection *connection_of(struct MHD_Connection *mhd)
{
    return MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

void *connection_handle_target(void *userdata _unused_, const char *target, struct MHD_Connection *mhd)
{
    struct connection *c = connection_of(mhd);

    if (!c || c->phase == PHASE_REFUSED)
        return NULL;
    if (c->phase == PHASE_IDLE)
        connection_enter(c, PHASE_READING);
    route_parse(target, &c->request.route);
    c->request.is_body_too_large = false;
    caller_forget(&c->caller);
    buffer_done(&c->request.body);
    /* NULL marks the first of libmicrohttpd's calls for this request. */
    return NULL;
}

static void read_method(struct connection *c, const char *method)
{
    static const struct {
        const char *name;
        int method;
    } methods[] = {
        {"GET",  REQUEST_GET },
        {"HEAD", REQUEST_HEAD},
        {"POST", REQUEST_POST}
    };

    c->request.method = REQUEST_OTHER;
    for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
        if (strcmp(method, methods[i].name) == 0)
            c->request.method = methods[i].method;
    }
}

/* Text only when it is named and JSON is not: curl's and browsers' "anything" means the default. */
static void read_accept(struct connection *c)
{
    const char *accept = MHD_lookup_connection_value(c->mhd, MHD_HEADER_KIND, "Accept");
    c->request.accepts_text =
        accept && strcasestr(accept, "text/plain") && !strcasestr(accept, "application/json");
}

static void take_body(struct connection *c, const char *data, size_t size)
{
    struct buffer *body = &c->request.body;

    buffer_append(body, data, size);
    /* The error sticks. Out of memory counts as too large: it is refused either way, and nothing is cut. */
    if (buffer_error(body) < 0)
        c->request.is_body_too_large = true;
}

/* True when a Content-Length announces more than is read: answered before the body is. */
static bool announces_too_much(struct connection *c)
{
    const char *length = MHD_lookup_connection_value(c->mhd, MHD_HEADER_KIND, "Content-Length");
    return length && (strlen(length) > 9 || strtoul(length, NULL, 10) > REQUEST_BODY_MAX);
}

static enum MHD_Result send_response(struct connection *c, struct response *response)
{
    connection_enter(c, PHASE_SENDING);
    if (!response) {
        log_error(c->server->log, "no memory for an answer: the connection is closed");
        return MHD_NO;
    }
    /* So that the client does not ask again on it. Others may have the same answer: theirs is the last as
     * well. */
    if (c->server->is_stopping)
        (void) MHD_add_response_header(response->mhd, MHD_HTTP_HEADER_CONNECTION, "close");
    enum MHD_Result r = MHD_queue_response(c->mhd, response->status, response->mhd);
    (void) response_unref(response);
    return r;
}

/* Asks the handler. Without an answer yet the request waits, and libmicrohttpd calls again in its next run.
 */
static enum MHD_Result dispatch(struct connection *c)
{
    struct server *s = c->server;

    connection_enter(c, PHASE_WAITING);
    c->has_asked = true;
    c->request.is_waiting = false;
    struct response *response = s->handler.handle(s->handler.userdata, &c->request);
    return response || !c->request.is_waiting ? send_response(c, response) : MHD_YES;
}

/*
 * Puts a request that waits to sleep, until server_answer() wakes it. Not in the call that dispatched it but
 * in the next: a connection that is suspended while libmicrohttpd (0.9.75) still means to read is read again
 * when it is resumed, before its answer is asked for, and a client that has closed its sending half (or whom
 * server_stop() lets send no more) is then dropped without one. After a call that queued nothing it means to
 * read no more.
 */
static enum MHD_Result sleep_on(struct connection *c)
{
    MHD_suspend_connection(c->mhd);
    c->is_suspended = true;
    return MHD_YES;
}

enum MHD_Result connection_handle_request(void *userdata _unused_, struct MHD_Connection *mhd,
                                          const char *url _unused_, const char *method,
                                          const char *version _unused_, const char *upload_data,
                                          size_t *upload_data_size, void **request_context)
{
    struct connection *c = connection_of(mhd);

    if (!c || c->phase == PHASE_REFUSED)
        return MHD_NO;
    if (!*request_context) {
        *request_context = c;
        read_method(c, method);
        read_accept(c);
        c->request.if_none_match = MHD_lookup_connection_value(c->mhd, MHD_HEADER_KIND, "If-None-Match");
        if (!announces_too_much(c))
            return MHD_YES;
        c->request.is_body_too_large = true;
        return dispatch(c);
    }
    if (*upload_data_size > 0) {
        take_body(c, upload_data, *upload_data_size);
        *upload_data_size = 0;
        return MHD_YES;
    }
    /* Called again after server_answer(): the answer is there. */
    if (c->is_aborted)
        return MHD_NO;
    if (c->response)
        return send_response(c, TAKE_PTR(c->response));
    return c->phase == PHASE_WAITING ? sleep_on(c) : dispatch(c);
}

void connection_handle_completed(void *userdata _unused_, struct MHD_Connection *mhd, void **request_context,
                                 enum MHD_RequestTerminationCode how _unused_)
{
    struct connection *c = connection_of(mhd);

    *request_context = NULL;
    if (!c || c->phase == PHASE_REFUSED)
        return;
    /* The connection broke while its request waited. */
    if (c->phase == PHASE_WAITING && !c->response)
        c->server->handler.hang_up(c->server->handler.userdata, &c->request);
    else if (c->server->handler.answered)
        c->server->handler.answered(c->server->handler.userdata, &c->request);
    c->response = response_unref(c->response);
    connection_enter(c, PHASE_IDLE);
    /* What was sent is still read. */
    if (c->caller.is_to_reconnect)
        (void) shutdown(c->fd, SHUT_RDWR);
    else if (c->server->is_stopping)
        connection_stop_reading(c);
}

/*
 * Wakes a sleeping connection: libmicrohttpd calls connection_handle_request() again, in its next run. It has
 * no thread to be woken, so nothing but us brings that run about.
 */
static void connection_resume(struct connection *c)
{
    if (c->is_suspended)
        MHD_resume_connection(c->mhd);
    c->is_suspended = false;
    (void) sd_event_source_set_enabled(c->server->again_source, SD_EVENT_ONESHOT);
}

/* The request that waits ends without an answer. */
static void connection_abort(struct connection *c)
{
    c->is_aborted = true;
    (void) shutdown(c->fd, SHUT_RDWR);
    connection_enter(c, PHASE_SENDING);
    connection_resume(c);
}

void connection_hang_up(struct connection *c)
{
    struct server *s = c->server;

    if (c->phase != PHASE_WAITING || c->response)
        return;
    s->handler.hang_up(s->handler.userdata, &c->request);
    connection_abort(c);
}

void server_answer(struct request *r, struct response *response)
{
    struct connection *c = container_of(r, struct connection, request);

    if (!response) {
        log_error(c->server->log, "no memory for an answer: the connection is closed");
        connection_abort(c);
        return;
    }
    c->response = response;
    connection_resume(c);
}

/* ---- what the connection is seen to do ---- */

/*
 * The client sends no more. libmicrohttpd takes a short read for the last that can be had now, and with
 * edge-triggered events is never told of an end that came together with the bytes before it.
 */
static void note_half_closed(struct connection *c)
{
    if (c->is_half_closed)
        return;
    c->is_half_closed = true;
    list_append(&c->server->half_closed, &c->in_half_closed);
    (void) sd_event_source_set_enabled(c->server->again_source, SD_EVENT_ONESHOT);
}

void connection_notice(struct connection *c, uint32_t epoll_events)
{
    if (epoll_events & EPOLLHUP)
        connection_uncount(c);
    else if (epoll_events & EPOLLRDHUP)
        note_half_closed(c);
    switch (c->phase) {
    case PHASE_IDLE:
        if (epoll_events & EPOLLIN)
            connection_enter(c, PHASE_READING);
        return;
    case PHASE_WAITING:
        /* Hung up wholly (a client that closed only its sending half still reads). */
        if (epoll_events & (EPOLLHUP | EPOLLERR))
            connection_hang_up(c);
        return;
    case PHASE_READING:
    case PHASE_SENDING:
    case PHASE_REFUSED:
        return;
    }
}

void connection_stop_reading(struct connection *c)
{
    (void) shutdown(c->fd, SHUT_RD);
}

usec_t connection_last_call_for(const struct connection *c, usec_t stopped_at)
{
    if (c->phase == PHASE_READING || (c->phase == PHASE_IDLE && !c->has_asked))
        return LAST_CALL_FOR;
    return c->phase == PHASE_IDLE && usec_add(c->since_at, KEPT_RECENT_FOR) > stopped_at ? KEPT_CALL_FOR : 0;
}

void connection_expire(struct connection *c)
{
    static const char timed_out[] =
        "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

    if (c->phase == PHASE_READING)
        (void) send(c->fd, timed_out, sizeof(timed_out) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (c->phase == PHASE_READING || c->phase == PHASE_SENDING)
        log_with(c->server->log, LOG_LEVEL_INFO, LOG_EVENT_CLIENT_DROPPED, (FIELD("REASON", "too-slow")),
                 "dropped a connection of uid %u, pid %d: %s", c->request.peer.uid, c->request.peer.pid,
                 c->phase == PHASE_READING ? "no whole request within 10s"
                                           : "the answer was not read within 60s");
    /* libmicrohttpd sees the end of the stream and closes; to be noticed once, the phase starts over. */
    (void) shutdown(c->fd, SHUT_RDWR);
    connection_enter(c, c->phase == PHASE_REFUSED ? PHASE_REFUSED : PHASE_IDLE);
}
