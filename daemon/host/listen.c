/* SPDX-License-Identifier: MIT */
#include "host/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/parse.h"

/* As many as the kernel allows (net.core.somaxconn cuts it down): a burst of callers must not be refused. */
#define BACKLOG 4096
/* How often the lock may be taken away between opening and locking it. */
#define LOCK_TRIES 100

static int address_make(struct sockaddr_un *ret, const char *path)
{
    if (strlen(path) >= sizeof(ret->sun_path))
        return -ENAMETOOLONG;
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(ret->sun_path, path, strlen(path) + 1);
    return 0;
}

/* 0: nobody listens there (or nothing is there); -EADDRINUSE: somebody does; -ENOTSOCK: it is something else.
 */
static int check_vacant(const char *path)
{
    struct sockaddr_un address;
    struct stat st;

    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(st.st_mode))
        return -ENOTSOCK;
    int r = address_make(&address, path);
    if (r < 0)
        return r;
    _cleanup_fd_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (struct sockaddr *) &address, sizeof(address)) == 0 || errno == EAGAIN)
        return -EADDRINUSE;
    return errno == ECONNREFUSED || errno == ENOENT ? 0 : -errno;
}

/* The gid of SocketGroup=, or (gid_t) -1 to leave it as it is. */
static int resolve_group(const struct daemon_settings *s, struct log *log, gid_t *ret)
{
    uint64_t gid;

    if (parse_u64_max(s->socket_group, UINT32_MAX - 1, &gid) == 0) {
        *ret = (gid_t) gid;
        return 0;
    }
    errno = 0;
    struct group *group = getgrnam(s->socket_group);
    if (group) {
        *ret = group->gr_gid;
        return 0;
    }
    if (s->is_socket_group_set) {
        log_error(log, "SocketGroup=%s: there is no such group; create it, or name another in bearerd.conf",
                  s->socket_group);
        return -ESRCH;
    }
    /* Only the built-in default is missing: the socket keeps the daemon's own group, which lets in fewer, not
     * more. */
    log_warning(
        log,
        "there is no group \"%s\": the socket keeps the daemon's own group; create the group (groupadd "
        "--system %s) or set SocketGroup=",
        s->socket_group, s->socket_group);
    *ret = (gid_t) -1;
    return 0;
}

/* Gives the socket file its mode and group, and looks whether it has them. */
static int apply_access(const char *path, const struct daemon_settings *s, gid_t gid, struct log *log)
{
    struct stat st;

    if (gid != (gid_t) -1 && chown(path, (uid_t) -1, gid) < 0) {
        int r = -errno;
        log_error(
            log,
            "%s: cannot give the socket to group %s: %s; run as root or as a member of that group, or set "
            "SocketGroup=",
            s->socket_path, s->socket_group, strerror(-r));
        return r;
    }
    if (chmod(path, (mode_t) s->socket_mode) < 0 || lstat(path, &st) < 0) {
        int r = -errno;
        log_error(log, "%s: cannot set mode %04o: %s", s->socket_path, s->socket_mode, strerror(-r));
        return r;
    }
    if ((st.st_mode & 07777) != s->socket_mode || (gid != (gid_t) -1 && st.st_gid != gid)) {
        log_error(log, "%s: mode or group did not take effect on this file system", s->socket_path);
        return -EPERM;
    }
    return 0;
}

static void unlink_p(char **path)
{
    if (*path)
        (void) unlink(*path);
    free(*path);
}

/* Binds under a name of our own, makes it ready, and only then moves it into place: nobody meets half a
 * socket. */
static int bind_and_move(struct listen_socket *l, const struct daemon_settings *s, struct log *log)
{
    _cleanup_(unlink_p) char *own_path = NULL;
    struct sockaddr_un address;
    struct stat st;
    gid_t gid;

    int r = resolve_group(s, log, &gid);
    if (r < 0)
        return r;
    const char *slash = strrchr(s->socket_path, '/');
    int folder_size = slash ? (int) (slash + 1 - s->socket_path) : 0;
    if (asprintf(&own_path, "%.*s.b%d", folder_size, s->socket_path, getpid() % 100000) < 0) {
        own_path = NULL;
        return -ENOMEM;
    }
    /* Both: rename() would move it to a path that no client can give to connect(). */
    r = address_make(&address, s->socket_path);
    if (r == 0)
        r = address_make(&address, own_path);
    if (r < 0) {
        log_error(log, "%s: the path is too long for a socket; set a shorter Socket=", s->socket_path);
        return r;
    }
    (void) unlink(own_path);
    mode_t old_mask = umask(0177);
    r = bind(l->fd, (struct sockaddr *) &address, sizeof(address)) < 0 ? -errno : 0;
    (void) umask(old_mask);
    if (r < 0) {
        log_error(log, "%s: cannot bind: %s", s->socket_path, strerror(-r));
        return r;
    }
    r = apply_access(own_path, s, gid, log);
    if (r < 0)
        return r;
    if (listen(l->fd, BACKLOG) < 0 || lstat(own_path, &st) < 0 || rename(own_path, s->socket_path) < 0) {
        r = -errno;
        log_error(log, "%s: cannot listen: %s", s->socket_path, strerror(-r));
        return r;
    }
    l->device = st.st_dev;
    l->inode = st.st_ino;
    return 0;
}

/* Makes the last part of the socket's folder where it is missing. */
static int make_directory(const char *path, struct log *log)
{
    _cleanup_free_ char *copy = strdup(path);
    if (!copy)
        return -ENOMEM;
    const char *directory = dirname(copy);

    /* Not left to the umask: who may connect is the socket's own mode to say, and they must get there. */
    if (access(directory, F_OK) == 0 || (mkdir(directory, 0755) == 0 && chmod(directory, 0755) == 0))
        return 0;
    int r = -errno;
    log_error(log, "%s: cannot make the socket's folder: %s", directory, strerror(-r));
    return r;
}

/*
 * Two daemons that start at once would each find the other's socket stale. What is locked is a file beside
 * the socket that nobody else may open: the folder itself could be locked, and the start stopped, by every
 * user of the machine.
 */
struct setup_lock {
    char *path;
    int fd;
};

/* Taken away before it is unlocked, so that nothing is left behind; lock_once() knows. */
static void setup_lock_done(struct setup_lock *l)
{
    if (l->fd >= 0) {
        (void) unlink(l->path);
        (void) close(l->fd);
    }
    free(l->path);
}

/* 0, -EBUSY (held by another), -EAGAIN (taken away since it was opened) or -errno. */
static int lock_once(struct setup_lock *l)
{
    struct stat st;
    _cleanup_fd_ int fd = open(l->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        return -errno;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK ? -EBUSY : -errno;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (st.st_nlink == 0)
        return -EAGAIN;
    l->fd = TAKE_FD(fd);
    return 0;
}

static int setup_lock_take(struct setup_lock *l, const char *path, struct log *log)
{
    const char *slash = strrchr(path, '/');
    int r = -EAGAIN;

    if (asprintf(&l->path, "%.*s.%s.lock", slash ? (int) (slash + 1 - path) : 0, path,
                 slash ? slash + 1 : path) < 0) {
        l->path = NULL;
        return -ENOMEM;
    }
    for (unsigned tries = 0; r == -EAGAIN && tries < LOCK_TRIES; tries++)
        r = lock_once(l);
    if (r == -EBUSY || r == -EAGAIN) {
        log_error(log, "%s: another daemon is setting up this socket at this moment (%s is locked)", path,
                  l->path);
        return -EADDRINUSE;
    }
    if (r < 0)
        log_error(log, "%s: cannot lock %s: %s", path, l->path, strerror(-r));
    return r;
}

int listen_socket_open(struct listen_socket *ret, const struct daemon_settings *settings, struct log *log)
{
    _cleanup_(listen_socket_done) struct listen_socket l = LISTEN_SOCKET_INIT;
    _cleanup_(setup_lock_done) struct setup_lock lock = {.fd = -1};

    int r = make_directory(settings->socket_path, log);
    if (r >= 0)
        r = setup_lock_take(&lock, settings->socket_path, log);
    if (r < 0)
        return r;
    r = check_vacant(settings->socket_path);
    if (r == -EADDRINUSE)
        log_error(log, "%s: another process serves this socket; stop it, or set another Socket=",
                  settings->socket_path);
    else if (r == -ENOTSOCK)
        log_error(log, "%s: is there and is no socket; move it away, or set another Socket=",
                  settings->socket_path);
    else if (r < 0)
        log_error(log, "%s: cannot look at the socket: %s", settings->socket_path, strerror(-r));
    if (r < 0)
        return r;

    l.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (l.fd < 0)
        return -errno;
    r = bind_and_move(&l, settings, log);
    if (r < 0)
        return r;
    l.path = strdup(settings->socket_path);
    if (!l.path) {
        (void) unlink(settings->socket_path);
        return -ENOMEM;
    }
    *ret = l;
    l = LISTEN_SOCKET_INIT;
    return 0;
}

void listen_socket_done(struct listen_socket *l)
{
    struct stat st;

    if (!l)
        return;
    if (l->path && lstat(l->path, &st) == 0 && st.st_dev == l->device && st.st_ino == l->inode)
        (void) unlink(l->path);
    free(l->path);
    if (l->fd >= 0)
        (void) close(l->fd);
    *l = LISTEN_SOCKET_INIT;
}
