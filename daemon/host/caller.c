/* SPDX-License-Identifier: MIT */
#include "host/caller.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "host/connection.h"
#include "host/peer.h"
#include "host/proc.h"

/* pid_max is at most 2^22. */
#define PID_BITS 22

/* ---- the server's ---- */

void callers_init(struct callers *callers)
{
    *callers = (struct callers){.has_peer_pidfd = peer_has_pidfd()};
    pid_watch_init(&callers->pid_watch);
    unit_finder_init(&callers->unit_finder);
}

static void known_forget(struct known_process *k)
{
    if (k->pid != 0)
        (void) close(k->pidfd);
    *k = (struct known_process){0};
}

void callers_done(struct callers *callers)
{
    for (size_t i = 0; i < KNOWN_PROCESSES; i++)
        known_forget(&callers->known[i]);
    pid_watch_done(&callers->pid_watch);
    unit_finder_done(&callers->unit_finder);
}

void callers_note_accept(struct callers *callers)
{
    callers->has_accepted = true;
    callers->n_accepted++;
    pid_watch_note_accept(&callers->pid_watch);
}

void callers_end_turn(struct callers *callers, int listen_fd)
{
    if (!callers->has_peer_pidfd && callers->has_accepted && pid_watch_is_due(&callers->pid_watch))
        pid_watch_renew(&callers->pid_watch, listen_fd);
    callers->has_accepted = false;
}

bool callers_want_timer(const struct callers *callers)
{
    return callers->has_unit_rules && !callers->has_peer_pidfd;
}

unsigned server_files_per_connection(void)
{
    return peer_has_pidfd() ? 1 : 2;
}

/* ---- a connection's ---- */

void caller_init(struct caller *caller, struct callers *callers, int32_t pid)
{
    *caller = (struct caller){.pidfd = -1, .at_accept = UNIT_KNOWN, .accepted_as = callers->n_accepted};
    if (callers->has_peer_pidfd)
        return;
    int fd = pid > 0 ? pidfd_of(pid) : -ESRCH;
    if (fd < 0) {
        /* EINVAL: the number is now that of a thread. */
        caller->at_accept = fd == -ESRCH || fd == -EINVAL ? UNIT_GONE : UNIT_HIDDEN;
        return;
    }
    caller->pidfd = fd;
    if (!pid_watch_vouches(&callers->pid_watch, pid))
        caller->at_accept = UNIT_DOUBTFUL;
}

void caller_done(struct caller *caller)
{
    close_fd_p(&caller->pidfd);
    caller->pidfd = -1;
}

void caller_forget(struct caller *caller)
{
    caller->asked_in = 0;
}

/* A pidfd of the process that connected, to be closed; or -1, and why there is none. */
static int pin(struct connection *c, enum unit_answer *ret_problem)
{
    if (c->request.peer.pid <= 0) {
        *ret_problem = UNIT_NO_PID;
        return -1;
    }
    if (c->caller.at_accept != UNIT_KNOWN) {
        *ret_problem = c->caller.at_accept;
        return -1;
    }
    int fd = c->server->callers.has_peer_pidfd ? peer_open_pidfd(c->fd)
                                               : fcntl(c->caller.pidfd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0) {
        *ret_problem = fd == -ESRCH ? UNIT_GONE : UNIT_HIDDEN;
        return -1;
    }
    return fd;
}

void request_load_groups(struct request *r)
{
    struct connection *c = container_of(r, struct connection, request);

    if (c->has_groups)
        return;
    int k = peer_read_groups(c->fd, &c->groups, &r->peer.n_groups);
    c->has_groups = k != -ENOMEM;
    /* Without them a group rule admits by the primary group alone: less, never more. */
    if (k < 0)
        log_warning(c->server->log, "cannot read the groups of pid %d: %s", r->peer.pid, strerror(-k));
    r->peer.groups = c->groups;
}

static enum unit_answer find_unit(struct connection *c)
{
    enum unit_answer problem;
    _cleanup_fd_ int pidfd = pin(c, &problem);

    return pidfd < 0 ? problem
                     : unit_finder_ask(&c->server->callers.unit_finder, pidfd, c->request.peer.pid,
                                       c->request.peer.uid, c->caller.unit);
}

void request_load_unit(struct request *r)
{
    struct connection *c = container_of(r, struct connection, request);
    uint64_t turn = 0;

    /* A list of a thousand profiles asks a thousand rules of one request, in one turn. */
    (void) sd_event_get_iteration(c->server->event, &turn);
    if (turn == 0 || c->caller.asked_in != turn)
        c->caller.answer = find_unit(c);
    c->caller.asked_in = turn;
    c->caller.is_to_reconnect = c->caller.answer == UNIT_DOUBTFUL && c->server->callers.has_unit_rules;
    r->peer.unit = c->caller.answer == UNIT_KNOWN ? c->caller.unit : NULL;
    r->unit_problem = unit_answer_text(c->caller.answer);
}

/* For kernels without pidfs: numbers come round, but not within a tick of the clock. */
static uint64_t identity_by_start(int32_t pid, int pidfd)
{
    struct proc_stat stat;

    if (proc_read_stat(pid, &stat) < 0 || !pidfd_is_alive(pidfd))
        return 0;
    return (stat.start_ticks + 1) << PID_BITS | (uint32_t) pid;
}

static uint64_t find_identity(struct connection *c, int *ret_pidfd)
{
    enum unit_answer problem;
    _cleanup_fd_ int pidfd = pin(c, &problem);

    if (pidfd < 0)
        return 0;
    uint64_t id = pidfd_identity(pidfd);
    if (id == 0 && c->server->callers.unit_finder.has_proc)
        id = identity_by_start(c->request.peer.pid, pidfd);
    if (id != 0)
        *ret_pidfd = TAKE_FD(pidfd);
    return id;
}

uint64_t request_process_id(struct request *r)
{
    struct connection *c = container_of(r, struct connection, request);
    struct callers *callers = &c->server->callers;
    struct known_process *k = &callers->known[(uint32_t) r->peer.pid % KNOWN_PROCESSES];
    int pidfd = -1;

    if (c->caller.process_id != 0)
        return c->caller.process_id;
    if (r->peer.pid > 0 && k->pid == r->peer.pid && c->caller.accepted_as > k->known_since &&
        c->caller.at_accept == UNIT_KNOWN && pidfd_is_alive(k->pidfd)) {
        c->caller.process_id = k->id;
        return k->id;
    }
    c->caller.process_id = find_identity(c, &pidfd);
    if (pidfd < 0)
        return c->caller.process_id;
    known_forget(k);
    *k = (struct known_process){
        .pid = r->peer.pid, .pidfd = pidfd, .id = c->caller.process_id, .known_since = callers->n_accepted};
    return c->caller.process_id;
}

const char *request_load_program(struct request *r, char *buffer, size_t size)
{
    struct connection *c = container_of(r, struct connection, request);
    enum unit_answer problem;
    _cleanup_fd_ int pidfd = pin(c, &problem);

    if (pidfd < 0 || !c->server->callers.unit_finder.has_proc)
        return NULL;
    const char *program = proc_read_program(r->peer.pid, buffer, size);
    return pidfd_is_alive(pidfd) ? program : NULL;
}

int server_find_unit(struct server *s, int32_t pid, char *ret, size_t size, const char **ret_problem)
{
    char unit[UNIT_NAME_SIZE];
    _cleanup_fd_ int pidfd = pid > 0 ? pidfd_of(pid) : -ESRCH;

    if (pidfd < 0) {
        *ret_problem = "there is no process of this number";
        return -ESRCH;
    }
    enum unit_answer answer = unit_finder_ask(&s->callers.unit_finder, pidfd, pid, 0, unit);
    if (answer != UNIT_KNOWN) {
        *ret_problem = unit_answer_text(answer);
        return -ENXIO;
    }
    if (strlen(unit) >= size) {
        *ret_problem = "its name is too long";
        return -EMSGSIZE;
    }
    memcpy(ret, unit, strlen(unit) + 1);
    return 0;
}
