/* SPDX-License-Identifier: MIT */
#include "client/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "base/locked.h"
#include "host/key_catalog.h"

/* The kernel passes on no longer line (N_TTY_BUF_SIZE, 4096 with its newline), and drops the rest unsaid. */
#define LINE_MAX_TYPED ((size_t) 4094)
/* Two lines of one paste come closer together than this; what a person types does not. */
#define PASTE_GAP ((struct timespec){.tv_nsec = 50 * 1000 * 1000})

/* ---- signals that must not find the terminal without echo ---- */

/* Those that end us before those that stop us. After SIGCONT others may have used the terminal meanwhile, as
 * a shell does that sees us stopped (SIGSTOP cannot be caught): it is set anew. */
static const int watched[] = {SIGINT,  SIGTERM, SIGHUP,  SIGQUIT, SIGALRM, SIGUSR1,
                              SIGUSR2, SIGTSTP, SIGTTIN, SIGTTOU, SIGCONT};

/* Which of them came, for a handler has nowhere else to put it; and whether any did. */
static volatile sig_atomic_t came[NSIG];
static volatile sig_atomic_t caught;

static void catch (int number)
{
    came[number] = 1;
    caught = 1;
}

struct watch {
    struct sigaction before[ARRAY_SIZE(watched)];
    sigset_t mask; /* the one to wait with */
};

/* From here on they interrupt, unless they were ignored (nohup), which they stay. */
static void watch_begin(struct watch *w)
{
    struct sigaction action = {.sa_handler = catch}; /* without SA_RESTART */

    caught = 0;
    (void) sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < ARRAY_SIZE(watched); i++) {
        came[watched[i]] = 0;
        (void) sigaction(watched[i], NULL, &w->before[i]);
        if (w->before[i].sa_handler != SIG_IGN)
            (void) sigaction(watched[i], &action, NULL);
    }
    (void) sigprocmask(SIG_SETMASK, NULL, &w->mask);
}

/* Held back, so that none comes unseen between a look at `caught` and the wait. */
static void watch_hold(void)
{
    sigset_t set;

    (void) sigemptyset(&set);
    for (size_t i = 0; i < ARRAY_SIZE(watched); i++)
        (void) sigaddset(&set, watched[i]);
    (void) sigprocmask(SIG_BLOCK, &set, NULL);
}

static void watch_end(struct watch *w)
{
    (void) sigprocmask(SIG_SETMASK, &w->mask, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(watched); i++)
        (void) sigaction(watched[i], &w->before[i], NULL);
}

/* Nothing of ours is in their way any more: they end us, or stop us until we go on. */
static void watch_deliver(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(watched); i++)
        if (came[watched[i]])
            (void) raise(watched[i]);
}

/* ---- reading ---- */

/* What was read so far; it cleans up after itself. */
struct typed {
    char *data;
    size_t size;
    size_t max;
};

static void typed_done(struct typed *t)
{
    locked_free(t->data, t->max);
}

static int typed_init(struct typed *t)
{
    *t = (struct typed){.data = locked_alloc(CATALOG_KEY_MAX + 2), .max = CATALOG_KEY_MAX + 2};
    return t->data ? 0 : -ENOMEM;
}

/* Until there is input, for at most so long (NULL: without end). 0, -ETIMEDOUT, -EINTR or another -errno. */
static int wait_for_input(int fd, const struct watch *w, const struct timespec *at_most)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    if (caught)
        return -EINTR;
    int n = ppoll(&p, 1, at_most, &w->mask);
    if (n < 0)
        return -errno;
    return n == 0 ? -ETIMEDOUT : 0;
}

/* Appends one byte. 1, 0 at the end of input, or -errno. */
static int read_byte(int fd, const struct watch *w, struct typed *t)
{
    if (t->size == t->max)
        return -EMSGSIZE;
    int r = wait_for_input(fd, w, NULL);
    if (r < 0)
        return r;
    ssize_t n = read(fd, t->data + t->size, 1);
    if (n < 0)
        return -errno;
    t->size += (size_t) n;
    return (int) n;
}

/* Appends a line with its newline. 1, 0 at the end of input, or -errno. */
static int read_line(int fd, const struct watch *w, struct typed *t)
{
    size_t from = t->size;

    for (;;) {
        int r = read_byte(fd, w, t);
        if (r <= 0)
            return r;
        if (t->data[t->size - 1] == '\n')
            return 1;
        if (t->size - from > LINE_MAX_TYPED)
            return -EMSGSIZE;
    }
}

static bool is_end_of_pem(const char *line, size_t size)
{
    static const char begin[] = "-----END ", end[] = "PRIVATE KEY-----";

    return size > sizeof(begin) && !memcmp(line, begin, sizeof(begin) - 1) &&
           memmem(line, size, end, sizeof(end) - 1);
}

/* Empty lines do not count: text with CRLF is pasted with one behind each line. Alone, one is an answer. */
static int read_pem(int fd, const struct watch *w, struct typed *t)
{
    for (;;) {
        size_t from = t->size;
        int r = read_line(fd, w, t);
        if (r < 0)
            return r;
        if (r == 0 || is_end_of_pem(t->data + from, t->size - from))
            return 0;
        if (t->size - from > 1)
            continue;
        r = from == 0 ? wait_for_input(fd, w, &PASTE_GAP) : 0;
        if (r < 0)
            return r == -ETIMEDOUT ? 0 : r;
        t->size = from;
    }
}

/*
 * Drops what comes along with a line in one paste, so that it is no answer to the next question. 0: newlines
 * at most; -EBADMSG: more, or another -errno. The beginning of a line is seen, too: the terminal no longer
 * waits for its end.
 */
static int drop_rest(int fd, const struct watch *w, struct typed *t, struct termios *hidden)
{
    int result = 0;

    hidden->c_lflag &= ~(tcflag_t) ICANON;
    hidden->c_cc[VMIN] = 1;
    hidden->c_cc[VTIME] = 0;
    if (tcsetattr(fd, TCSANOW, hidden) < 0)
        return -errno;
    for (;;) {
        int r = wait_for_input(fd, w, &PASTE_GAP);
        if (r < 0)
            return r == -ETIMEDOUT ? result : r;
        /* Into locked memory, as it may be of a key; a line leaves room for it. */
        char *byte = t->data + t->size;
        ssize_t n = read(fd, byte, 1);
        if (n <= 0)
            return n < 0 ? -errno : result;
        if (*byte != '\n' && *byte != '\r')
            result = -EBADMSG;
    }
}

static int read_text(int fd, const struct watch *w, struct typed *t, struct termios *hidden)
{
    int r = read_line(fd, w, t);
    if (r <= 0 && r != -EMSGSIZE)
        return r;
    int rest = drop_rest(fd, w, t, hidden);
    return r < 0 && (rest == 0 || rest == -EBADMSG) ? r : rest;
}

static void drop_newline(struct typed *t)
{
    if (t->size > 0 && t->data[t->size - 1] == '\n')
        t->size--;
    if (t->size > 0 && t->data[t->size - 1] == '\r')
        t->size--;
}

/* ---- asking ---- */

static void show(int fd, const char *text)
{
    /* A terminal that takes no prompt will give no answer either, and that is reported. */
    if (dprintf(fd, "%s", text) < 0)
        return;
}

static bool is_in_foreground(int fd)
{
    return tcgetpgrp(fd) == getpgrp();
}

/* Reads without echo. 0, -EINTR (a watched signal came) or another -errno. */
static int read_hidden(int fd, const struct watch *w, bool is_pem, struct typed *t)
{
    struct termios before, hidden;

    if (tcgetattr(fd, &before) < 0)
        return -errno;
    const bool was_ours = is_in_foreground(fd);
    hidden = before;
    hidden.c_lflag &= ~(tcflag_t) (ECHO | ECHOE | ECHOK | ECHONL);
    hidden.c_lflag |= ICANON | ISIG;
    /* In the background this stops us (SIGTTOU), as reading would. */
    if (tcsetattr(fd, TCSAFLUSH, &hidden) < 0)
        return -errno;
    watch_hold();
    int r = is_pem ? read_pem(fd, w, t) : read_text(fd, w, t, &hidden);
    /* Stopped, and continued in the background: the terminal is as its shell wants it by now. */
    if (was_ours && !is_in_foreground(fd))
        return r == 0 ? -EIO : r;
    show(fd, "\n"); /* the one that was not echoed */
    if (tcsetattr(fd, TCSAFLUSH, &before) < 0 && r == 0)
        r = -errno;
    return r;
}

static int ask_once(int fd, const char *prompt, bool is_pem, struct secret *ret)
{
    _cleanup_(typed_done) struct typed typed = {0};
    struct watch watch;

    int r = typed_init(&typed);
    if (r < 0)
        return r;
    watch_begin(&watch);
    show(fd, prompt);
    r = read_hidden(fd, &watch, is_pem, &typed);
    watch_end(&watch);
    if (caught) /* be it behind the answer: who pressed Ctrl-C did not want it taken */
        return -EINTR;
    if (r < 0)
        return r;
    if (typed.size == 0)
        return -ENODATA;
    drop_newline(&typed);
    return secret_set(ret, typed.data, typed.size);
}

int terminal_open(void)
{
    int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);

    return fd < 0 ? -errno : fd;
}

int terminal_ask(int fd, const char *prompt, bool is_pem, struct secret *ret)
{
    for (;;) {
        int r = ask_once(fd, prompt, is_pem, ret);
        if (r != -EINTR)
            return r;
        watch_deliver();
    }
}

int terminal_read_piped(int fd, struct secret *ret)
{
    _cleanup_(typed_done) struct typed typed = {0};
    ssize_t n;

    int r = typed_init(&typed);
    if (r < 0)
        return r;
    do {
        n = read(fd, typed.data + typed.size, typed.max - typed.size);
        if (n < 0 && errno != EINTR)
            return -errno;
        typed.size += n > 0 ? (size_t) n : 0;
        if (typed.size == typed.max)
            return -EMSGSIZE;
    } while (n != 0);
    drop_newline(&typed);
    return secret_set(ret, typed.data, typed.size);
}
