/* SPDX-License-Identifier: MIT */
#include "host/server_sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/* Accepted in one turn: the others have their turn, too. */
#define ACCEPT_BATCH 32

/* Nobody is bound to the other end of a connection to us, and libmicrohttpd wants an address. */
static const struct sockaddr nameless = {AF_UNIX, {0}};

void server_sockets_init(struct server *s, const struct listeners *listeners)
{
    for (size_t i = 0; i < listeners->n_items; i++) {
        const struct listener *l = &listeners->items[i];
        s->sockets[i] = (struct server_socket){.server = s, .fd = l->fd, .is_inherited = l->is_inherited};
        /* What another process made need not be as we need it. */
        if (l->is_inherited)
            (void) fcntl(l->fd, F_SETFL, fcntl(l->fd, F_GETFL) | O_NONBLOCK);
    }
    s->n_sockets = listeners->n_items;
}

/* Hands `n` connections that wait to libmicrohttpd. Returns how many there were, or -errno. */
static int accept_some(struct server *s, int listen_fd, int n)
{
    for (int i = 0; i < n;) {
        int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            i++;
            (void) MHD_add_connection(s->mhd, fd, &nameless, sizeof(sa_family_t));
        } else if (errno != EINTR && errno != ECONNABORTED) {
            return errno == EAGAIN ? i : -errno;
        }
    }
    return n;
}

/* How many more libmicrohttpd takes: what is beyond would be closed without a word. */
static size_t room(const struct server *s)
{
    uint64_t limit = s->max_connections_at_start + REFUSED_MAX;
    uint64_t n = MHD_get_daemon_info(s->mhd, MHD_DAEMON_INFO_CURRENT_CONNECTIONS)->num_connections;

    return n < limit ? limit - n : 0;
}

static int on_socket(sd_event_source *source _unused_, int fd, uint32_t revents _unused_, void *userdata)
{
    struct server_socket *socket = userdata;
    size_t n = room(socket->server);

    socket->is_stuck = accept_some(socket->server, fd, n < ACCEPT_BATCH ? (int) n : ACCEPT_BATCH) < 0;
    server_run(socket->server);
    return 0;
}

void server_sockets_arm(struct server *s)
{
    for (size_t i = 1; i < s->n_sockets; i++) {
        struct server_socket *socket = &s->sockets[i];
        if (!socket->source)
            continue;
        /* As libmicrohttpd does at its own: where no descriptor is left, until a connection gives one back.
         */
        socket->is_stuck = socket->is_stuck && !s->has_closed && s->stats.n_connections > 0;
        bool is_on = !socket->is_stuck && room(s) > 0;
        (void) sd_event_source_set_enabled(socket->source, is_on ? SD_EVENT_ON : SD_EVENT_OFF);
    }
}

int server_sockets_watch(struct server *s)
{
    s->queues_fd = epoll_create1(EPOLL_CLOEXEC);
    if (s->queues_fd < 0)
        return -errno;
    for (size_t i = 0; i < s->n_sockets; i++) {
        struct server_socket *socket = &s->sockets[i];
        struct epoll_event event = {.events = EPOLLIN};
        if (epoll_ctl(s->queues_fd, EPOLL_CTL_ADD, socket->fd, &event) < 0)
            return -errno;
        int r =
            i == 0 ? 0 : sd_event_add_io(s->event, &socket->source, socket->fd, EPOLLIN, on_socket, socket);
        if (r < 0)
            return r;
    }
    return 0;
}

void server_sockets_close(struct server *s)
{
    int first = MHD_quiesce_daemon(s->mhd);

    for (size_t i = 0; i < s->n_sockets; i++) {
        struct server_socket *socket = &s->sockets[i];
        int fd = i == 0 ? first : socket->fd;
        socket->source = sd_event_source_disable_unref(socket->source);
        socket->fd = -1;
        if (fd < 0)
            continue;
        /* A close alone would not do it where the service manager has the socket, too. */
        (void) epoll_ctl(s->queues_fd, EPOLL_CTL_DEL, fd, NULL);
        /* From here on connect() fails: what waits is a finite number, and nobody gets in between the last
         * accept and the close. */
        if (!socket->is_inherited) {
            (void) shutdown(fd, SHUT_RD);
            (void) accept_some(s, fd, INT_MAX);
        }
        (void) close(fd);
    }
}

void server_sockets_done(struct server *s)
{
    for (size_t i = 0; i < s->n_sockets; i++) {
        (void) sd_event_source_disable_unref(s->sockets[i].source);
        if (s->sockets[i].fd >= 0)
            (void) close(s->sockets[i].fd);
    }
    if (s->queues_fd >= 0)
        (void) close(s->queues_fd);
}
