/* SPDX-License-Identifier: MIT */
#include "host/server.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "host/connection.h"
#include "host/server_sockets.h"

/* What libmicrohttpd may use for a connection's request and the headers of its answer. */
#define CONNECTION_MEMORY 8192
/* How many events are looked at in one go. */
#define WATCH_BATCH 64

/* First bytes are noticed before libmicrohttpd reads them. */
#define PRIORITY_WATCH (SD_EVENT_PRIORITY_NORMAL - 20)

usec_t server_now(const struct server *s)
{
    uint64_t now = 0;

    (void) sd_event_now(s->event, CLOCK_BOOTTIME, &now);
    return now;
}

void server_run(struct server *s)
{
    unsigned long long timeout;

    s->has_closed = false;
    (void) MHD_run(s->mhd);
    server_sockets_arm(s);
    callers_end_turn(&s->callers, s->queues_fd);
    /* Its epoll is edge-triggered: what it has not finished, it tells by a time-out of zero and in no other
     * way. And where it has stopped accepting because of a limit, it looks whether there is room again only
     * when a run begins, but makes room when one ends. */
    bool has_more = s->has_closed || !list_is_empty(&s->half_closed) ||
                    (MHD_get_timeout(s->mhd, &timeout) == MHD_YES && timeout == 0);
    (void) sd_event_source_set_enabled(s->again_source, has_more ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
}

/* ---- deadlines ---- */

void server_arm_timer(struct server *s)
{
    usec_t next_at = USEC_INFINITY;

    for (unsigned i = 0; i < N_PHASES; i++) {
        if (list_is_empty(&s->phases[i]))
            continue;
        struct connection *oldest = container_of(s->phases[i].next, struct connection, in_phase);
        next_at = usec_min(next_at, usec_add(oldest->since_at, phase_limit_for((enum phase) i)));
    }
    s->timer_at = next_at;
    (void) sd_event_source_set_time(s->timer, next_at);
    (void) sd_event_source_set_enabled(s->timer, next_at == USEC_INFINITY ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
}

static int on_timer(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata)
{
    struct server *s = userdata;
    usec_t now = server_now(s);

    for (unsigned i = 0; i < N_PHASES; i++) {
        while (!list_is_empty(&s->phases[i])) {
            struct connection *oldest = container_of(s->phases[i].next, struct connection, in_phase);
            if (usec_add(oldest->since_at, phase_limit_for((enum phase) i)) > now)
                break;
            connection_expire(oldest);
        }
    }
    server_arm_timer(s);
    return 0;
}

/* ---- who calls ---- */

static int on_callers_timer(sd_event_source *source, uint64_t usec _unused_, void *userdata)
{
    struct server *s = userdata;

    if (!callers_want_timer(&s->callers) || s->is_stopping)
        return 0;
    pid_watch_renew(&s->callers.pid_watch, s->queues_fd);
    usec_t interval_for = pid_watch_interval_for(&s->callers.pid_watch);
    (void) sd_event_source_set_time_accuracy(source, interval_for / 2);
    (void) sd_event_source_set_time_relative(source, interval_for);
    (void) sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
    return 0;
}

/* Nothing is certain about those who came while no rule asked for it; the next one can be sure. */
static void close_doubtful(struct server *s)
{
    list_foreach_safe(i, &s->phases[PHASE_IDLE])
    {
        struct connection *c = container_of(i, struct connection, in_phase);
        if (c->caller.at_accept == UNIT_DOUBTFUL)
            (void) shutdown(c->fd, SHUT_RDWR);
    }
}

void server_set_unit_rules(struct server *s, bool has_unit_rules)
{
    bool is_first = has_unit_rules && !s->callers.has_unit_rules;

    s->callers.has_unit_rules = has_unit_rules;
    if (!is_first || !callers_want_timer(&s->callers))
        return;
    close_doubtful(s);
    int r = s->callers_timer ? sd_event_source_set_enabled(s->callers_timer, SD_EVENT_ONESHOT)
                             : sd_event_add_time(s->event, &s->callers_timer, CLOCK_BOOTTIME, 0,
                                                 USEC_PER_MSEC, on_callers_timer, s);
    if (r < 0)
        log_warning(s->log, "cannot set a timer for unit: rules: %s; some callers may be refused",
                    strerror(-r));
}

/* ---- connections ---- */

/*
 * No connection is freed while the batch is looked at: what connection_notice() sets off (a resume, a
 * shutdown) reaches libmicrohttpd in the run after it. So the pointers of the batch stay good.
 */
static int on_watch(sd_event_source *source _unused_, int fd, uint32_t revents _unused_, void *userdata)
{
    struct server *s = userdata;
    struct epoll_event events[WATCH_BATCH];
    int n;

    do {
        n = epoll_wait(fd, events, WATCH_BATCH, 0);
        for (int i = 0; i < n; i++)
            connection_notice(events[i].data.ptr, events[i].events);
    } while (n == WATCH_BATCH);
    /* What was noticed is there to be read: now, and not after another turn of the loop. */
    server_run(s);
    return 0;
}

static int on_mhd(sd_event_source *source _unused_, int fd _unused_, uint32_t revents _unused_,
                  void *userdata)
{
    server_run(userdata);
    return 0;
}

static int on_again(sd_event_source *source _unused_, void *userdata)
{
    struct server *s = userdata;
    struct list *first;

    server_run(s);
    /* Closing the half that is closed already makes the kernel tell of it anew: see note_half_closed(). */
    while ((first = list_pop(&s->half_closed)))
        (void) shutdown(container_of(first, struct connection, in_half_closed)->fd, SHUT_RD);
    return 0;
}

static void on_connection(void *userdata, struct MHD_Connection *mhd, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct server *s = userdata;

    switch (code) {
    case MHD_CONNECTION_NOTIFY_STARTED:
        *socket_context = connection_admit(
            s, mhd, MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd);
        break;
    case MHD_CONNECTION_NOTIFY_CLOSED:
        s->has_closed = true;
        if (*socket_context)
            connection_free(*socket_context);
        if (s->is_stopping && s->stats.n_connections == 0)
            (void) sd_event_source_set_time(s->grace_timer, 0);
        break;
    }
}

/* libmicrohttpd's own words: about clients that misbehave, so never louder than debug, and only its fixed
 * texts. */
_printf_(2, 0) static void on_mhd_log(void *userdata, const char *format, va_list args)
{
    struct server *s = userdata;
    char text[256];

    if (!s->log || s->log->max_level < LOG_LEVEL_DEBUG)
        return;
    (void) vsnprintf(text, sizeof(text), format, args);
    text[strcspn(text, "\n")] = '\0';
    log_debug(s->log, "http: %s", text);
}

/* ---- start and stop ---- */

/* Takes the descriptor when it succeeds. */
static int start_mhd(struct server *s, int listen_fd)
{
    /*
     * libmicrohttpd accepts itself: of descriptors from MHD_add_connection() 0.9.75 does not know that they
     * are no TCP sockets, and tries three socket options on each answer. With MHD_USE_TURBO it reads a
     * connection in the run that accepts it, since the request is mostly there by then: one connection a
     * request costs an eighth less.
     */
    /* clang-format off */
    s->mhd = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_USE_TURBO | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL,
        connection_handle_request, s,
        /* First, so that it sees the words about the others. */
        MHD_OPTION_EXTERNAL_LOGGER, on_mhd_log, s,
        MHD_OPTION_LISTEN_SOCKET, listen_fd,
        MHD_OPTION_URI_LOG_CALLBACK, connection_handle_target, s,
        MHD_OPTION_NOTIFY_COMPLETED, connection_handle_completed, s,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, s,
        /* Ours is checked as a connection comes; beyond this one they wait in the socket's queue. */
        MHD_OPTION_CONNECTION_LIMIT, (unsigned) (s->limits.max_connections + REFUSED_MAX),
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t) CONNECTION_MEMORY,
        MHD_OPTION_CONNECTION_TIMEOUT, 0u,
        /* Malformed requests are refused, not repaired. */
        MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_END);
    /* clang-format on */
    return s->mhd ? 0 : -ENOMEM;
}

static int add_sources(struct server *s)
{
    int r = sd_event_add_io(s->event, &s->watch_source, s->watch_fd, EPOLLIN, on_watch, s);
    if (r >= 0)
        r = sd_event_source_set_priority(s->watch_source, PRIORITY_WATCH);
    if (r >= 0)
        r = sd_event_add_io(s->event, &s->mhd_source,
                            MHD_get_daemon_info(s->mhd, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd, EPOLLIN, on_mhd,
                            s);
    if (r >= 0)
        r = sd_event_add_defer(s->event, &s->again_source, on_again, s);
    if (r >= 0)
        r = sd_event_source_set_enabled(s->again_source, SD_EVENT_OFF);
    if (r >= 0)
        r = sd_event_add_time(s->event, &s->timer, CLOCK_BOOTTIME, USEC_INFINITY, USEC_PER_MSEC, on_timer, s);
    return r < 0 ? r : 0;
}

static void listeners_close(const struct listeners *listeners)
{
    for (size_t i = 0; i < listeners->n_items; i++)
        (void) close(listeners->items[i].fd);
}

int server_new(struct server **ret, sd_event *event, const struct listeners *listeners,
               const struct server_limits *limits, const struct server_handler *handler, struct log *log)
{
    _cleanup_(server_free_p) struct server *s = calloc(1, sizeof(*s));

    if (!s) {
        listeners_close(listeners);
        return -ENOMEM;
    }
    *s = (struct server){.event = sd_event_ref(event),
                         .log = log,
                         .limits = *limits,
                         .handler = *handler,
                         .watch_fd = -1,
                         .queues_fd = -1,
                         .max_connections_at_start = limits->max_connections,
                         .timer_at = USEC_INFINITY};
    for (unsigned i = 0; i < N_PHASES; i++)
        list_init(&s->phases[i]);
    list_init(&s->half_closed);
    server_sockets_init(s, listeners);
    callers_init(&s->callers);
    s->callers.pid_watch.has_one_queue = listeners->n_items == 1;
    s->watch_fd = epoll_create1(EPOLL_CLOEXEC);
    if (s->watch_fd < 0)
        return -errno;
    int r = start_mhd(s, s->sockets[0].fd);
    if (r >= 0)
        r = server_sockets_watch(s);
    if (r < 0)
        return r;
    s->callers.has_accepted = true;
    callers_end_turn(&s->callers, s->queues_fd);
    r = add_sources(s);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(s);
    return 0;
}

void server_set_limits(struct server *s, const struct server_limits *limits)
{
    s->limits = *limits;
    if (s->limits.max_connections > s->max_connections_at_start)
        s->limits.max_connections = s->max_connections_at_start;
}

struct server_stats *server_get_stats(struct server *s)
{
    return &s->stats;
}

static int on_grace_over(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata)
{
    struct server *s = userdata;

    if (s->stats.n_connections > 0)
        log_warning(s->log, "%lu connections did not take their answers in time",
                    (unsigned long) s->stats.n_connections);
    s->drained(s->drained_userdata);
    return 0;
}

/* Whoever has had so long for the next request has it no longer. */
static void stop_reading(struct server *s, usec_t waited_for)
{
    for (unsigned i = 0; i < N_PHASES; i++) {
        list_foreach(item, &s->phases[i])
        {
            struct connection *c = container_of(item, struct connection, in_phase);
            if (connection_last_call_for(c, s->stopped_at) <= waited_for)
                connection_stop_reading(c);
        }
    }
}

static int on_last_call_over(sd_event_source *source, uint64_t usec _unused_, void *userdata)
{
    struct server *s = userdata;

    stop_reading(s, s->last_call_for);
    if (s->last_call_for == LAST_CALL_FOR)
        return 0;
    s->last_call_for = LAST_CALL_FOR;
    int r = sd_event_source_set_time(source, usec_add(s->stopped_at, LAST_CALL_FOR));
    return r < 0 ? r : sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

void server_stop(struct server *s, usec_t grace_for, void (*drained)(void *userdata), void *userdata)
{
    s->is_stopping = true;
    s->stopped_at = server_now(s);
    s->drained = drained;
    s->drained_userdata = userdata;
    server_sockets_close(s);
    stop_reading(s, 0);
    s->last_call_for = KEPT_CALL_FOR;
    if (sd_event_add_time(s->event, &s->last_call_timer, CLOCK_BOOTTIME,
                          usec_add(s->stopped_at, KEPT_CALL_FOR), USEC_PER_MSEC, on_last_call_over, s) < 0)
        stop_reading(s, LAST_CALL_FOR);
    usec_t until = s->stats.n_connections == 0 ? 0 : usec_add(s->stopped_at, grace_for);
    if (sd_event_add_time(s->event, &s->grace_timer, CLOCK_BOOTTIME, until, USEC_PER_MSEC, on_grace_over, s) <
        0)
        drained(userdata);
    server_run(s);
}

/* libmicrohttpd cannot stop while connections sleep. */
static void wake_all(struct server *s)
{
    list_foreach_safe(i, &s->phases[PHASE_WAITING])
        connection_hang_up(container_of(i, struct connection, in_phase));
    (void) MHD_run(s->mhd);
}

struct server *server_free(struct server *s)
{
    if (!s)
        return NULL;
    s->is_stopping = false;
    if (s->mhd) {
        wake_all(s);
        MHD_stop_daemon(s->mhd);
        /* With its socket, where it still had one. */
        s->sockets[0].fd = -1;
    }
    sd_event_source *sources[] = {s->watch_source, s->mhd_source,    s->again_source,   s->timer,
                                  s->grace_timer,  s->callers_timer, s->last_call_timer};
    for (size_t i = 0; i < ARRAY_SIZE(sources); i++)
        (void) sd_event_source_disable_unref(sources[i]);
    server_sockets_done(s);
    if (s->watch_fd >= 0)
        (void) close(s->watch_fd);
    callers_done(&s->callers);
    (void) sd_event_unref(s->event);
    free(s);
    return NULL;
}
