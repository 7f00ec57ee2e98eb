/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * All profiles by name, the callers who wait for them, and who fetches when: the state machines wired
 * together. Pure: what the outside has to do is put into three queues that the host empties after each call,
 *
 *   registry_pop_fetch()    start this upstream request
 *   registry_pop_answer()   answer this waiter
 *   registry_pop_note()     log this
 *
 * and the host says what happened through registry_request(), registry_end_fetch(), registry_advance() and
 * registry_cancel(). Single flight follows from the state machine: however many callers wait, a profile has
 * one fetch, which belongs to the profile and goes on when they leave.
 *
 * Every waiter is answered exactly once, or cancelled. No operation after registry_add() allocates, so none
 * can fail.
 */

#include "base/list.h"
#include "core/profile.h"
#include "core/schedule.h"

enum answer {
    ANSWER_NONE,      /* still waits */
    ANSWER_TOKEN,     /* profile->token is good for this caller (WAIT_FOR_TOKEN); a new token came
                         (WAIT_FOR_OUTCOME) */
    ANSWER_FAILED,    /* no usable token in time: profile->failure says why, unless n_failures is 0 (over the
                         budget) */
    ANSWER_TIMED_OUT, /* the caller's time is over while an attempt is still in flight */
    ANSWER_TOO_LONG,  /* min_ttl is more than this issuer's tokens ever have */
    ANSWER_STOPPING,  /* the daemon is going down */
};

enum waiter_kind {
    WAIT_FOR_TOKEN,   /* a token that satisfies min_ttl */
    WAIT_FOR_OUTCOME, /* the end of the fetch in flight, whatever it is (a forced refresh) */
};

/* A caller's place in the queue; embedded in the host's request. Initialise with waiter_init(). */
struct waiter {
    struct list link; /* in the profile's waiters, or in the registry's answers */
    struct heap_node deadline;
    struct entry *entry;
    enum waiter_kind kind;
    usec_t min_ttl_for; /* or MIN_TTL_DEFAULT */
    usec_t deadline_at;
    enum answer answer;
};

/* A profile and what the registry keeps beside it. */
struct entry {
    struct profile profile;
    struct heap_node wake; /* when to step it with EVENT_DEADLINE */
    struct job job;
    struct list waiters;
    struct list noted; /* in the registry's notes while note != NOTE_NONE */
    enum note note;
    usec_t sent_at; /* when the fetch in flight was popped; for the duration */
};

struct registry {
    struct entry **entries; /* sorted by name; owned */
    size_t n_entries;
    size_t capacity;
    struct schedule schedule;
    struct heap wakes;
    struct heap deadlines;
    struct list answers;
    struct list notes;
    struct histogram durations; /* of upstream requests, all profiles */
    size_t n_waiters;
    uint64_t random; /* state of the jitter's generator: not for secrets */
    bool is_stopping;
};

/* `seed`: any number; the same seed and events give the same life. */
void registry_init(struct registry *r, size_t n_slots, uint64_t seed);

/* Wipes all tokens and frees the entries. Nobody may wait any more. */
void registry_done(struct registry *r);

/* Adds a profile; names must come in strictly ascending order (-EINVAL otherwise). -ENOMEM. Borrows the
 * settings. */
_must_check_ int registry_add(struct registry *r, const struct profile_settings *settings);
_must_check_ int registry_add_unusable(struct registry *r, const struct unusable_profile *u, usec_t now);

/* By name; NULL when there is none. Borrowed until registry_done(). */
struct entry *registry_find(const struct registry *r, const char *name);

/* Starts all profiles. */
void registry_start(struct registry *r, usec_t now);

void waiter_init(struct waiter *w);

/*
 * A caller wants a token (WAIT_FOR_TOKEN) or, being an admin, a refresh (WAIT_FOR_OUTCOME). Returns the
 * answer when there is one now; ANSWER_NONE means that the waiter is queued and will come out of
 * registry_pop_answer().
 */
enum answer registry_request(struct registry *r, struct entry *e, struct waiter *w, usec_t wait_for,
                             usec_t now);

/* The caller hung up, or its answer is not wanted any more. The fetch goes on. */
void registry_cancel(struct registry *r, struct waiter *w);

/* The next upstream request to start, or NULL. For each, registry_end_fetch() must follow. */
struct entry *registry_pop_fetch(struct registry *r, usec_t now);

/* The fetch ended: with a token (moved out of), or else with a failure. `has_answered`: not by a time-out. */
void registry_end_fetch(struct registry *r, struct entry *e, struct token *token,
                        const struct failure *failure, bool has_answered, usec_t now);

/* Does all that is due at `now`: deadlines of profiles and of waiters. */
void registry_advance(struct registry *r, usec_t now);

/* The next moment registry_advance() has something to do; USEC_INFINITY when there is none. */
usec_t registry_next_at(const struct registry *r);

struct waiter *registry_pop_answer(struct registry *r);

/* The next profile with something to log; *ret says what. NULL when there is none. */
struct entry *registry_pop_note(struct registry *r, enum note *ret);

/* Answers everybody who waits with ANSWER_STOPPING, and later requests that no token at hand satisfies. No
 * fetch is started any more. */
void registry_stop(struct registry *r);

/* For people: how long until an attempt could change things; 0 when one is in flight. USEC_INFINITY: never.
 */
usec_t entry_retry_in(const struct entry *e, usec_t now);
