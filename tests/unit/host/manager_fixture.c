/* SPDX-License-Identifier: MIT */
#include "manager_fixture.h"
#include "../valgrind.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

char said[512];
unsigned n_said;

static void listen_in(struct log *log _unused_, const struct log_entry *entry)
{
    /* valgrind 3.19 has no mlock2(2). */
    if (is_under_valgrind() && strstr(entry->message, "could not be locked"))
        return;
    n_said++;
    (void) snprintf(said, sizeof(said), "%s", entry->message);
}

struct log test_log = {.max_level = LOG_LEVEL_DEBUG, .write = listen_in};

static bool is_healthy(void *userdata _unused_)
{
    return true;
}

void manager_init(struct manager *m)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t size = sizeof(address);
    char name[sizeof(address.sun_path) + 1];

    *m = (struct manager){.socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    /* The kernel picks a name. */
    assert_int_equal(bind(m->socket, (struct sockaddr *) &address, sizeof(sa_family_t)), 0);
    assert_int_equal(getsockname(m->socket, (struct sockaddr *) &address, &size), 0);
    (void) snprintf(name, sizeof(name), "@%.*s", (int) (size - sizeof(sa_family_t) - 1),
                    address.sun_path + 1);
    assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
    assert_int_equal(sd_event_new(&m->event), 0);
    assert_int_equal(supervisor_new(&m->supervisor, m->event, is_healthy, NULL), 0);
}

void manager_done(struct manager *m)
{
    m->supervisor = supervisor_free(m->supervisor);
    m->event = sd_event_unref(m->event);
    for (size_t i = 0; i < m->n_kept; i++) {
        (void) close(m->kept[i].fd);
        free(m->kept[i].name);
    }
    (void) close(m->socket);
    (void) unsetenv("NOTIFY_SOCKET");
}

static void keep(struct manager *m, int fd, const char *name)
{
    assert_true(fd >= 0 && m->n_kept < MANAGER_FDS_MAX);
    m->kept[m->n_kept++] = (struct passed_fd){.fd = fd, .name = strdup(name)};
    if (m->n_kept > m->max_kept)
        m->max_kept = m->n_kept;
}

/* All of that name, as sd_notify(3) says. */
static void drop(struct manager *m, const char *name)
{
    size_t n = 0;

    for (size_t i = 0; i < m->n_kept; i++) {
        if (strcmp(m->kept[i].name, name) != 0) {
            m->kept[n++] = m->kept[i];
            continue;
        }
        (void) close(m->kept[i].fd);
        free(m->kept[i].name);
    }
    m->n_kept = n;
}

static int fd_of(struct msghdr *message)
{
    struct cmsghdr *c = CMSG_FIRSTHDR(message);
    int fd = -1;

    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
        memcpy(&fd, CMSG_DATA(c), sizeof(fd));
    return fd;
}

/* One message; false when there is none. */
static bool take_one(struct manager *m)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    char text[1024];
    struct iovec iov = {.iov_base = text, .iov_len = sizeof(text) - 1};
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    ssize_t n = recvmsg(m->socket, &message, MSG_CMSG_CLOEXEC);

    if (n < 0)
        return false;
    text[n] = '\0';
    int fd = fd_of(&message);
    const char *name = strstr(text, "\nFDNAME=");
    if (strncmp(text, "FDSTORE=1\n", 10) == 0)
        keep(m, fd, name + 8);
    else if (strncmp(text, "FDSTOREREMOVE=1\n", 16) == 0)
        drop(m, name + 8);
    else
        assert_int_equal(fd, -1);
    return true;
}

void manager_take(struct manager *m)
{
    while (take_one(m))
        ;
}

void manager_be_busy(struct manager *m, size_t n_free)
{
    struct sockaddr_un address;
    socklen_t size = sizeof(address);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

    assert_int_equal(getsockname(m->socket, (struct sockaddr *) &address, &size), 0);
    while (sendto(fd, "STATUS=", 7, 0, (struct sockaddr *) &address, size) >= 0)
        ;
    assert_int_equal(errno, EAGAIN);
    (void) close(fd);
    for (size_t i = 0; i < n_free; i++)
        assert_true(take_one(m));
}

struct passed_fds manager_pass(struct manager *m)
{
    struct passed_fds p = {.items = calloc(m->n_kept + 1, sizeof(*p.items)), .n_items = m->n_kept};

    assert_non_null(p.items);
    for (size_t i = 0; i < m->n_kept; i++)
        p.items[i] = (struct passed_fd){.fd = fcntl(m->kept[i].fd, F_DUPFD_CLOEXEC, 3),
                                        .name = strdup(m->kept[i].name)};
    return p;
}

size_t manager_count(const struct manager *m, const char *name)
{
    size_t n = 0;

    for (size_t i = 0; i < m->n_kept; i++)
        n += strcmp(m->kept[i].name, name) == 0;
    return n;
}
