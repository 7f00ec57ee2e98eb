/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Who may ask the upstream next when more want to than ConcurrentFetches= allows.
 *
 * Jobs queue at their *origin* (scheme, host and port of the token URL). Within one, the most urgent goes
 * first; among origins it goes round. One origin never holds more than half of the slots while there are
 * others, and no more than an eighth while it is *suspect* (it did not answer the last time): so an issuer
 * that hangs until the time-out cannot keep the profiles of a healthy one from being fetched.
 *
 * Nothing here allocates once the origins are known.
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"
#include "base/heap.h"
#include "base/list.h"

struct origin {
    struct heap queue; /* jobs by urgency */
    struct list ready; /* in schedule.ready while something is queued and a slot of its own is free */
    size_t n_in_flight;
    size_t n_users; /* who got it by schedule_get_origin() */
    bool is_suspect;
    char *name; /* "https://api.vipps.no", owned */
};

/* Embedded in what wants to fetch. */
struct job {
    struct heap_node node; /* key: urgency, the smaller the sooner */
    struct origin *origin; /* borrowed from the schedule */
};

struct schedule {
    size_t n_slots;
    size_t n_in_flight;
    size_t n_origins;
    struct list ready; /* origins that may start a job, in turn */
    void *origins;     /* tsearch(3) tree of struct origin by name */
};

void schedule_init(struct schedule *s, size_t n_slots);
void schedule_done(struct schedule *s);

/* Another number of slots, from now on; what is in flight stays. Also when origins came or went, which
 * changes how many each may hold. */
void schedule_set_slots(struct schedule *s, size_t n_slots);

/* The origin of a URL, made when it is new; to be given back, by schedule_done() at the latest. -ENOMEM. */
_must_check_ int schedule_get_origin(struct schedule *s, const char *url, struct origin **ret);

/* Gives it back; with its last user, who has no job there any more, it is forgotten. */
void schedule_put_origin(struct schedule *s, struct origin *origin);

/*
 * Queues a job (job->origin is set). `urgent_at` is the moment it is needed, now for one that is missed
 * already: so whoever comes later does not go first, and nobody starves.
 */
void schedule_add(struct schedule *s, struct job *job, usec_t urgent_at);

/* Takes back a job that was not popped; does nothing for one that is not queued. */
void schedule_remove(struct schedule *s, struct job *job);

/* The next job that may start now, which then holds a slot; NULL when none may. */
struct job *schedule_pop(struct schedule *s);

/* A popped job has ended: frees its slot. `has_answered`: the origin did not let it time out. */
void schedule_end(struct schedule *s, struct job *job, bool has_answered);
