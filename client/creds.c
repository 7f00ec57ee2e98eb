/* SPDX-License-Identifier: MIT */
#include "client/creds.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROGRAM "systemd-creds"
/* Of what it says on standard error. */
#define WORDS_MAX ((size_t) 4096)

extern char **environ;

DEFINE_CLEANUP(posix_spawn_file_actions_t *, actions, posix_spawn_file_actions_destroy)
DEFINE_CLEANUP(posix_spawnattr_t *, attributes, posix_spawnattr_destroy)

/* The descriptors that become its standard ones. */
struct descriptors {
    int in, out, err;
};

/* What we ignore ourselves (SIGPIPE) it shall not. */
static int set_signals(posix_spawnattr_t *attributes)
{
    sigset_t defaults;

    (void) sigemptyset(&defaults);
    (void) sigaddset(&defaults, SIGPIPE);
    int r = posix_spawnattr_setsigdefault(attributes, &defaults);
    return r == 0 ? posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGDEF) : r;
}

/* Starts it. 0 or -errno. */
static int start(const char *const *argv, const struct descriptors *d, pid_t *ret)
{
    const int from[] = {d->in, d->out, d->err};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;

    if (posix_spawn_file_actions_init(&actions) != 0)
        return -ENOMEM;
    _cleanup_(actions_p) posix_spawn_file_actions_t *actions_owner _unused_ = &actions;
    if (posix_spawnattr_init(&attributes) != 0)
        return -ENOMEM;
    _cleanup_(attributes_p) posix_spawnattr_t *attributes_owner _unused_ = &attributes;
    int r = set_signals(&attributes);
    for (int fd = STDIN_FILENO; r == 0 && fd <= STDERR_FILENO; fd++)
        r = posix_spawn_file_actions_adddup2(&actions, from[fd], fd);
    if (r == 0)
        r = posix_spawnp(ret, PROGRAM, &actions, &attributes, (char *const *) argv, environ);
    return -r;
}

/* The last line of what it said. */
static void read_words(int fd, struct buffer *complaint)
{
    char words[WORDS_MAX + 1];
    off_t size = lseek(fd, 0, SEEK_END);

    ssize_t n = pread(fd, words, WORDS_MAX, size > (off_t) WORDS_MAX ? size - (off_t) WORDS_MAX : 0);
    if (n <= 0)
        return;
    while (n > 0 && words[n - 1] == '\n')
        n--;
    words[n] = '\0';
    const char *last = strrchr(words, '\n');
    buffer_append_string(complaint, last ? last + 1 : words);
}

/* Waits for its end. 0, -EBADMSG or -errno. */
static int finish(pid_t pid, int err, struct buffer *complaint)
{
    int status = 0;

    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    if (WIFSIGNALED(status)) {
        buffer_appendf(complaint, PROGRAM " was killed: %s", strsignal(WTERMSIG(status)));
        return -EIO;
    }
    read_words(err, complaint);
    if (complaint->size == 0)
        buffer_append_string(complaint, PROGRAM " failed");
    return -EBADMSG;
}

/* Writes all of it. That nobody reads on is no failure of ours: how the reader ended tells more. */
static void feed(int fd, const struct secret *text)
{
    size_t done = 0;

    while (done < text->size) {
        ssize_t n = write(fd, secret_peek(text) + done, text->size - done);
        if (n < 0 && errno != EINTR)
            return;
        done += n > 0 ? (size_t) n : 0;
    }
}

int creds_encrypt(const char *name, const struct secret *key, int *ret_fd, struct buffer *complaint)
{
    _cleanup_free_ char *name_option = NULL;
    _cleanup_fd_ int words = memfd_create("words", MFD_CLOEXEC);
    _cleanup_fd_ int encrypted = memfd_create("encrypted", MFD_CLOEXEC);
    _cleanup_fd_ int in = -1;
    int pipe_fds[2];
    pid_t pid;

    if (asprintf(&name_option, "--name=%s", name) < 0) {
        name_option = NULL;
        return -ENOMEM;
    }
    if (words < 0 || encrypted < 0 || pipe2(pipe_fds, O_CLOEXEC) < 0)
        return -errno;
    _cleanup_fd_ int out = pipe_fds[1];
    in = pipe_fds[0];
    const char *const argv[] = {PROGRAM, "encrypt", name_option, "--with-key=auto", "-", "-", NULL};
    const struct descriptors d = {.in = in, .out = encrypted, .err = words};
    int r = start(argv, &d, &pid);
    if (r < 0)
        return r;
    (void) close(TAKE_FD(in)); /* it is the only reader, so that its end is seen */
    feed(out, key);
    (void) close(TAKE_FD(out));
    r = finish(pid, words, complaint);
    if (r == 0)
        *ret_fd = TAKE_FD(encrypted);
    return r;
}

int creds_verify(const char *name, int fd, struct buffer *complaint)
{
    _cleanup_free_ char *name_option = NULL;
    _cleanup_fd_ int words = memfd_create("words", MFD_CLOEXEC);
    _cleanup_fd_ int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    pid_t pid;

    if (asprintf(&name_option, "--name=%s", name) < 0) {
        name_option = NULL;
        return -ENOMEM;
    }
    if (words < 0 || nowhere < 0 || lseek(fd, 0, SEEK_SET) < 0)
        return -errno;
    const char *const argv[] = {PROGRAM, "decrypt", name_option, "-", "-", NULL};
    const struct descriptors d = {.in = fd, .out = nowhere, .err = words};
    int r = start(argv, &d, &pid);
    return r < 0 ? r : finish(pid, words, complaint);
}
