/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Keeps the baseline of core/pid_reuse: on kernels that cannot give a pidfd of whoever connected, it tells
 * whether a process id can be trusted. Where they can, it does nothing.
 */

#include <stdbool.h>
#include <stdint.h>

#include "core/pid_reuse.h"

struct pid_watch {
    int loadavg_fd;         /* the last id that was given out is read from there; -1: it cannot be */
    uint64_t ticks_per_sec; /* of proc_stat.start_ticks */
    struct pid_baseline baseline;
    struct pid_baseline
        next;               /* set: good for those who connected after it, and some others are before them */
    uint64_t n_before_next; /* connections to accept until those are certainly through */
    /* They can be counted in one queue only: of several, nobody knows which one moves. */
    bool has_one_queue;
};

/* Nothing is known until the first pid_watch_renew(). */
void pid_watch_init(struct pid_watch *w);
void pid_watch_done(struct pid_watch *w);

/* True when the baseline has reached an age at which it is worth renewing; asked after each accept. */
bool pid_watch_is_due(const struct pid_watch *w);

/*
 * Takes a new baseline. If connections wait at `listen_fd`, they came before it, and it serves when as many
 * have been accepted as can have been waiting: so nobody can keep it from being renewed by knocking all the
 * time.
 */
void pid_watch_renew(struct pid_watch *w, int listen_fd);

/* A connection has been accepted: each of them is told of, once, and before it is asked about. */
void pid_watch_note_accept(struct pid_watch *w);

/* True when the process `pid`, which its caller has pinned by a pidfd before, is the one that connected with
 * the connection accepted last. */
bool pid_watch_vouches(const struct pid_watch *w, int32_t pid);

/*
 * How often a baseline is to be renewed while nobody connects: half of the time that it stays good, and once
 * a second at most. It may come later by half of that.
 */
usec_t pid_watch_interval_for(const struct pid_watch *w);
