/* SPDX-License-Identifier: MIT */
#include "core/pid_reuse.h"

/* A pid is not given out in less time than this. */
#define USEC_PER_PID ((usec_t) 1)
/* Of a cycle. */
#define WINDOW_FRACTION 32

/* How many steps the cycle makes from one id to another. */
static uint32_t steps(const struct pid_baseline *b, uint32_t from, uint32_t to)
{
    return to >= from ? to - from : b->pid_max - from + to;
}

static bool is_id(const struct pid_baseline *b, uint32_t pid)
{
    return pid > 0 && pid < b->pid_max;
}

usec_t pid_baseline_max_age(const struct pid_baseline *b)
{
    return b->pid_max / 2 * USEC_PER_PID;
}

uint32_t pid_baseline_window(const struct pid_baseline *b)
{
    uint32_t window = b->pid_max / WINDOW_FRACTION;
    return window < PID_WINDOW ? window : PID_WINDOW;
}

bool pid_baseline_is_spent(const struct pid_baseline *b, uint32_t last_pid)
{
    return !b->is_set || !is_id(b, last_pid) ||
           steps(b, b->window_from, last_pid) >= pid_baseline_window(b) / 2;
}

bool pid_baseline_vouches(const struct pid_baseline *b, uint32_t pid, uint32_t last_pid, usec_t now)
{
    if (!b->is_set || !is_id(b, pid) || !is_id(b, last_pid))
        return false;
    if (now < b->taken_at || now - b->taken_at > pid_baseline_max_age(b))
        return false;
    uint32_t n_given = steps(b, b->last_pid, last_pid), position = steps(b, b->last_pid, pid);
    if (n_given > b->pid_max / 2)
        return false;
    if (position == 0 || position > n_given)
        return true;
    uint32_t i = steps(b, b->window_from, pid);
    return i < pid_baseline_window(b) && !(b->used[i / 8] & (1u << (i % 8)));
}
