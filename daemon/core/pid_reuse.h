/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Does a process id still mean the process that connected with it? For kernels without SO_PEERPIDFD (before
 * 6.5): they tell the number of the process that connected, and it may have ended, and the number have been
 * given to another, before the connection is accepted. From then on a pidfd holds the process fast; this is
 * about the time before. Pure; host/pid_watch reads what it needs.
 *
 * Linux gives out ids in a cycle: the one behind the last, or the next behind it that is free
 * (kernel/pid.c, alloc_pid(), idr_alloc_cyclic()), and tells the last one in /proc/loadavg (proc(5)). From
 * time to time we take a baseline: the last id, and which of the next ids are in use. It serves for the
 * connections that came later. When one of these is accepted, its id is certain if
 *
 *     it was not given out since the baseline: whoever has it has had it since before the connect; or
 *     it was given out since, and was free at the baseline: it was given out once, so whoever connected with
 *     it is whoever has it now.
 *
 * It is not when it was in use at the baseline and the cycle has gone past it, when it lies beyond what was
 * looked at, or when the cycle can have come round. How many ids were given out cannot be read (the count of
 * forks in /proc/stat misses those that fail, and anybody can make forks fail, each of which uses up an id),
 * so time bounds that: we take it that no machine gives out ids faster than one a microsecond. (A clone()
 * that fails as early as it can took 9 us of a processor on Linux 6.18 in 2025, and one lock serialises them
 * all.) The baseline must be younger than half the cycle takes at that rate. With the pid_max of systemd's
 * sysctl.d on 64 bit, 4194304, that is 2 s. With the kernel's own, 32768, it is 16 ms: many wake-ups, and
 * whoever connects while the daemon is kept from running may be refused, unless it is seen by its start time
 * to be older than the baseline.
 *
 * Not covered: root choosing an id (clone3() with set_tid, ns_last_pid), since root needs no trick.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/usec.h"

/* How many ids ahead are looked at, at most: 0.3 us each, and at most twice for each id that is given out. */
#define PID_WINDOW 4096u

struct pid_baseline {
    bool is_set;
    uint32_t pid_max;             /* ids are smaller */
    uint32_t last_pid;            /* given out last, at the baseline */
    usec_t taken_at;              /* not later than any of this was found out */
    uint32_t window_from;         /* the first id that was looked at: the one that came next */
    uint8_t used[PID_WINDOW / 8]; /* a bit each: in use when it was looked at */
};

/* Behind which age a baseline says nothing any more. */
usec_t pid_baseline_max_age(const struct pid_baseline *b);

/* How many are looked at: PID_WINDOW, and fewer where the cycle is so short that it is done often. */
uint32_t pid_baseline_window(const struct pid_baseline *b);

/* The baseline's window says nothing of the ids that follow `last_pid`, or little: look again. */
bool pid_baseline_is_spent(const struct pid_baseline *b, uint32_t last_pid);

/* True when `pid`, in use now, means the same process as to a connection that came after the baseline.
 * `last_pid`: given out last, read after the process was pinned by a pidfd, and `now` after that. */
bool pid_baseline_vouches(const struct pid_baseline *b, uint32_t pid, uint32_t last_pid, usec_t now);
