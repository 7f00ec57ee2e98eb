/* SPDX-License-Identifier: MIT */
#include "host/pid_watch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/parse.h"
#include "host/clock.h"
#include "host/proc.h"

/* The largest that Linux can be set to. */
#define PID_MAX_LIMIT (UINT32_C(4) << 20)
/* somaxconn since Linux 5.4 (listen(2)). */
#define BACKLOG_DEFAULT  4096
#define INTERVAL_MAX_FOR USEC_PER_SEC
/* A baseline is a few system calls, so not for each connection. */
#define RENEW_AFTER (100 * USEC_PER_MSEC)

/* A number that is a file of its own; 0 when it cannot be read. */
static uint64_t read_number(const char *path, uint64_t max)
{
    char text[32];
    uint64_t value;

    if (proc_read_file(path, text, sizeof(text)) < 0)
        return 0;
    text[strcspn(text, "\n")] = '\0';
    return parse_u64_max(text, max, &value) < 0 ? 0 : value;
}

void pid_watch_init(struct pid_watch *w)
{
    long ticks = sysconf(_SC_CLK_TCK);

    *w = (struct pid_watch){
        .loadavg_fd = open("/proc/loadavg", O_RDONLY | O_CLOEXEC),
        .ticks_per_sec = ticks > 0 ? (uint64_t) ticks : 1,
        .has_one_queue = true,
    };
}

void pid_watch_done(struct pid_watch *w)
{
    if (w->loadavg_fd >= 0)
        (void) close(w->loadavg_fd);
    w->loadavg_fd = -1;
}

/* The last id given out in our pid namespace: the last of five words. 0 when it cannot be told. */
static uint32_t read_last_pid(const struct pid_watch *w)
{
    char text[128];
    uint64_t value;

    ssize_t n = pread(w->loadavg_fd, text, sizeof(text) - 1, 0);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    text[strcspn(text, "\n")] = '\0';
    const char *word = strrchr(text, ' ');
    return !word || parse_u64_max(word + 1, PID_MAX_LIMIT, &value) < 0 ? 0 : (uint32_t) value;
}

/* By processes and threads alike. Works for those that /proc hides, and needs no right: EPERM says yes. */
static bool is_in_use(uint32_t pid)
{
    return pid > 0 && (kill((pid_t) pid, 0) == 0 || errno != ESRCH);
}

static void look_ahead(struct pid_baseline *b, uint32_t last_pid)
{
    b->window_from = (last_pid + 1) % b->pid_max;
    memset(b->used, 0, sizeof(b->used));
    for (uint32_t i = 0; i < pid_baseline_window(b); i++) {
        if (is_in_use((b->window_from + i) % b->pid_max))
            b->used[i / 8] |= (uint8_t) (1u << (i % 8));
    }
}

/* What is to be known of the ids now; not set when it cannot be found out. */
static void take_baseline(const struct pid_watch *w, struct pid_baseline *ret)
{
    usec_t now = clock_boottime();
    uint32_t last_pid = read_last_pid(w);

    *ret = w->baseline;
    ret->pid_max = (uint32_t) read_number("/proc/sys/kernel/pid_max", PID_MAX_LIMIT);
    ret->is_set = last_pid > 0 && last_pid < ret->pid_max;
    if (!ret->is_set)
        return;
    /* What was free stays so until the cycle reaches it, so a window serves for more than one baseline, as
     * long as none is so old that the cycle can have come round unseen. */
    if (!w->baseline.is_set || ret->pid_max != w->baseline.pid_max ||
        usec_sub(now, ret->taken_at) > pid_baseline_max_age(ret) || pid_baseline_is_spent(ret, last_pid))
        look_ahead(ret, last_pid);
    /* Ids that were given out while we looked count as given out before: whoever connects with one later is
     * whoever had it then. */
    ret->last_pid = read_last_pid(w);
    ret->taken_at = now;
}

static bool is_queue_empty(int listen_fd)
{
    struct pollfd queue = {.fd = listen_fd, .events = POLLIN};
    return poll(&queue, 1, 0) == 0;
}

bool pid_watch_is_due(const struct pid_watch *w)
{
    usec_t age = usec_sub(clock_boottime(), w->baseline.taken_at);
    return !w->baseline.is_set || age > usec_min(RENEW_AFTER, pid_baseline_max_age(&w->baseline) / 4);
}

void pid_watch_renew(struct pid_watch *w, int listen_fd)
{
    struct pid_baseline b;

    if (w->next.is_set && !is_queue_empty(listen_fd))
        return;
    take_baseline(w, &b);
    if (is_queue_empty(listen_fd)) {
        w->baseline = b;
        w->next.is_set = false;
        return;
    }
    if (!w->has_one_queue)
        return;
    w->next = b;
    /* The kernel cuts every backlog to somaxconn, which may have been larger once, and lets in one more. */
    uint64_t backlog = read_number("/proc/sys/net/core/somaxconn", UINT32_MAX);
    w->n_before_next = (backlog > BACKLOG_DEFAULT ? backlog : BACKLOG_DEFAULT) + 1;
}

void pid_watch_note_accept(struct pid_watch *w)
{
    if (!w->next.is_set || w->n_before_next-- > 0)
        return;
    w->baseline = w->next;
    w->next.is_set = false;
}

/* A process that is known to be older than the baseline had its id then, whatever was given out since. */
static bool is_older_than_baseline(const struct pid_watch *w, int32_t pid)
{
    struct proc_stat stat;

    if (!w->baseline.is_set || proc_read_stat(pid, &stat) < 0)
        return false;
    /* Ticks are rounded down: it may have started at the end of its tick. */
    return usec_scale(stat.start_ticks + 1, USEC_PER_SEC, w->ticks_per_sec) < w->baseline.taken_at;
}

bool pid_watch_vouches(const struct pid_watch *w, int32_t pid)
{
    uint32_t last_pid = read_last_pid(w);
    return pid > 0 && (pid_baseline_vouches(&w->baseline, (uint32_t) pid, last_pid, clock_boottime()) ||
                       is_older_than_baseline(w, pid));
}

usec_t pid_watch_interval_for(const struct pid_watch *w)
{
    usec_t half = pid_baseline_max_age(&w->baseline) / 2;
    return w->baseline.is_set ? usec_min(half, INTERVAL_MAX_FOR) : INTERVAL_MAX_FOR;
}
