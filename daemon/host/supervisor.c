/* SPDX-License-Identifier: MIT */
#include "host/supervisor.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>

#include "host/clock.h"

#define STATUS_SIZE  512
#define MESSAGE_SIZE (STATUS_SIZE + 64)

/* What the manager is told, in the order in which a service goes through it. */
enum state {
    STATE_ALIVE, /* for the watchdog; before the rest, since the manager kills without it */
    STATE_EXTENDED,
    STATE_READY,
    STATE_RELOADING,
    STATE_RELOADED,
    STATE_STATUS,
    STATE_STOPPING,
    N_STATES,
};

struct supervisor {
    struct sockaddr_un address;
    socklen_t address_size;   /* 0: there is no manager */
    int fd;                   /* connected to the manager; -1: not */
    sd_event *event;          /* borrowed: supervisor_free() comes before the loop ends */
    sd_event_source *room;    /* the socket takes messages again; NULL while nothing waits for that */
    bool is_unsent[N_STATES]; /* to be told */
    usec_t extended_by;
    usec_t reloading_at; /* CLOCK_MONOTONIC, as the manager counts */
    sd_event_source *watchdog;
    usec_t ping_for;
    supervisor_health *is_healthy;
    void *userdata;
    bool is_ready;
    char status[STATUS_SIZE];
};

/* ---- the socket ---- */

/* A path, or an abstract name behind '@'; anything else is no socket that we can reach, and ignored. */
static void read_address(struct supervisor *s, const char *name)
{
    size_t size = name ? strlen(name) : 0;
    bool is_abstract = size > 1 && name[0] == '@', is_path = size > 1 && name[0] == '/';

    if (!is_abstract && !is_path)
        return;
    /* A path needs its NUL; an abstract name may fill everything. */
    if (size + (is_path ? 1 : 0) > sizeof(s->address.sun_path))
        return;
    s->address.sun_family = AF_UNIX;
    memcpy(s->address.sun_path, name, size);
    if (is_abstract)
        s->address.sun_path[0] = '\0';
    s->address_size = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + size + (is_path ? 1 : 0));
}

static void disconnect(struct supervisor *s)
{
    s->room = sd_event_source_disable_unref(s->room);
    if (s->fd >= 0)
        (void) close(s->fd);
    s->fd = -1;
}

/* Connected, since only then the kernel tells when the queue of the receiver has room again. */
static int reconnect(struct supervisor *s)
{
    disconnect(s);
    _cleanup_fd_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *) &s->address, s->address_size) < 0)
        return -errno;
    s->fd = TAKE_FD(fd);
    return 0;
}

static int send_once(struct supervisor *s, const char *text)
{
    return send(s->fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/*
 * 0, or -EAGAIN where the manager takes nothing more for now. A socket that is gone is looked for once more,
 * for the manager may have made a new one; other failures have nobody to be told to.
 */
static int send_text(struct supervisor *s, const char *text)
{
    if (s->address_size == 0)
        return 0;
    int r = s->fd >= 0 ? send_once(s, text) : -ENOTCONN;
    if (r == -ECONNREFUSED || r == -ENOTCONN)
        r = reconnect(s) < 0 ? 0 : send_once(s, text);
    return r == -EAGAIN ? r : 0;
}

/* ---- states ---- */

static void write_message(const struct supervisor *s, enum state state, char *buf, size_t size)
{
    switch (state) {
    case STATE_ALIVE:
        (void) snprintf(buf, size, "WATCHDOG=1");
        return;
    case STATE_EXTENDED:
        (void) snprintf(buf, size, "EXTEND_TIMEOUT_USEC=%" PRIu64, s->extended_by);
        return;
    case STATE_READY:
        (void) snprintf(buf, size, "READY=1");
        return;
    case STATE_RELOADING:
        (void) snprintf(buf, size, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, s->reloading_at);
        return;
    case STATE_RELOADED:
        (void) snprintf(buf, size, "READY=1\nSTATUS=%s", s->status);
        return;
    case STATE_STATUS:
        (void) snprintf(buf, size, "STATUS=%s", s->status);
        return;
    case STATE_STOPPING:
        (void) snprintf(buf, size, "STOPPING=1\nSTATUS=%s", s->status);
        return;
    case N_STATES:
        break;
    }
    *buf = '\0';
}

static int on_room(sd_event_source *source, int fd, uint32_t revents, void *userdata);

/* Tells everything that is to be told, up to the first that has to wait; then the loop calls again. */
static void tell(struct supervisor *s)
{
    char text[MESSAGE_SIZE];
    int r = 0;

    for (enum state state = 0; state < N_STATES && r == 0; state++) {
        if (!s->is_unsent[state])
            continue;
        write_message(s, state, text, sizeof(text));
        r = send_text(s, text);
        s->is_unsent[state] = r < 0;
    }
    if (r == 0)
        s->room = sd_event_source_disable_unref(s->room);
    else if (!s->room)
        (void) sd_event_add_io(s->event, &s->room, s->fd, EPOLLOUT, on_room, s);
}

static int on_room(sd_event_source *source _unused_, int fd _unused_, uint32_t revents _unused_,
                   void *userdata)
{
    tell(userdata);
    return 0;
}

static void tell_state(struct supervisor *s, enum state state)
{
    s->is_unsent[state] = true;
    tell(s);
}

void supervisor_extend_start(struct supervisor *s, usec_t by)
{
    s->extended_by = by;
    tell_state(s, STATE_EXTENDED);
}

void supervisor_ready(struct supervisor *s)
{
    if (s->is_ready)
        return;
    s->is_ready = true;
    tell_state(s, STATE_READY);
}

void supervisor_status(struct supervisor *s, const char *status)
{
    if (strncmp(s->status, status, sizeof(s->status) - 1) == 0)
        return;
    (void) snprintf(s->status, sizeof(s->status), "%s", status);
    tell_state(s, STATE_STATUS);
}

void supervisor_reloading(struct supervisor *s)
{
    /* Before the first READY=1 all of it is the start. */
    if (!s->is_ready)
        return;
    /* An earlier reload whose end was not told yet ends together with this one. */
    s->is_unsent[STATE_RELOADED] = false;
    s->reloading_at = clock_monotonic();
    tell_state(s, STATE_RELOADING);
}

void supervisor_reloaded(struct supervisor *s)
{
    if (!s->is_ready)
        return;
    /* The status is part of the message. */
    s->is_unsent[STATE_STATUS] = false;
    tell_state(s, STATE_RELOADED);
}

void supervisor_stopping(struct supervisor *s)
{
    (void) snprintf(s->status, sizeof(s->status), "Stopping: answering the last requests");
    s->is_unsent[STATE_STATUS] = false;
    tell_state(s, STATE_STOPPING);
}

/* ---- descriptors ---- */

static int send_message(struct supervisor *s, const struct msghdr *message)
{
    return sendmsg(s->fd, message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int supervisor_store_fd(struct supervisor *s, int fd, const char *name)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    char text[MESSAGE_SIZE];

    if (!supervisor_is_there(s))
        return -ENOTCONN;
    int n = snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=%s", name);
    struct iovec iov = {.iov_base = text, .iov_len = (size_t) n};
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    int r = s->fd >= 0 ? send_message(s, &message) : -ENOTCONN;
    if (r != -ECONNREFUSED && r != -ENOTCONN)
        return r;
    r = reconnect(s);
    if (r < 0)
        return r;
    r = send_message(s, &message);
    /* What waited for room at the old socket. */
    tell(s);
    return r;
}

int supervisor_drop_fd(struct supervisor *s, const char *name)
{
    char text[MESSAGE_SIZE];

    (void) snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", name);
    return send_text(s, text);
}

bool supervisor_is_there(const struct supervisor *s)
{
    return s->address_size > 0;
}

bool supervisor_is_ready(const struct supervisor *s)
{
    return s->is_ready;
}

/* ---- the watchdog ---- */

/*
 * Who is no longer well does not send the ping that is waiting, either. It is asked again soon, still in the
 * manager's time: one that was only kept from its work, say as the machine stood still, catches up and lives.
 */
static int on_watchdog(sd_event_source *source, uint64_t usec _unused_, void *userdata)
{
    struct supervisor *s = userdata;

    bool is_well = s->is_healthy(s->userdata);
    s->is_unsent[STATE_ALIVE] = is_well;
    tell(s);
    int r = sd_event_source_set_time_relative(source, is_well ? s->ping_for : s->ping_for / 4);
    if (r >= 0)
        r = sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
    return r;
}

static int watch(struct supervisor *s)
{
    uint64_t watchdog_for = 0;

    if (sd_watchdog_enabled(1, &watchdog_for) <= 0)
        return 0;
    /* Half of the time, as sd_watchdog_enabled(3) advises; CLOCK_MONOTONIC, as the manager counts. */
    s->ping_for = watchdog_for / 2;
    int r = sd_event_add_time_relative(s->event, &s->watchdog, CLOCK_MONOTONIC, s->ping_for, s->ping_for / 8,
                                       on_watchdog, s);
    return r < 0 ? r : 0;
}

/* ---- the whole ---- */

int supervisor_new(struct supervisor **ret, sd_event *event, supervisor_health *is_healthy, void *userdata)
{
    _cleanup_(supervisor_free_p) struct supervisor *s = calloc(1, sizeof(*s));

    if (!s)
        return -ENOMEM;
    s->fd = -1;
    s->event = event;
    s->is_healthy = is_healthy;
    s->userdata = userdata;
    read_address(s, getenv("NOTIFY_SOCKET"));
    int r = watch(s);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(s);
    return 0;
}

struct supervisor *supervisor_free(struct supervisor *s)
{
    if (!s)
        return NULL;
    (void) sd_event_source_disable_unref(s->watchdog);
    disconnect(s);
    free(s);
    return NULL;
}
