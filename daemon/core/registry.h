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
 * Every waiter is answered exactly once, or cancelled. No operation on a registry that is filled allocates,
 * so none can fail; a reload has all it needs before it begins (registry_plan()).
 */

#include "base/list.h"
#include "core/profile.h"
#include "core/saved.h"
#include "core/schedule.h"

enum answer {
    ANSWER_NONE,      /* still waits */
    ANSWER_TOKEN,     /* profile->token is good for this caller (WAIT_FOR_TOKEN); a new token came
                         (WAIT_FOR_OUTCOME) */
    ANSWER_FAILED,    /* no usable token in time: profile->failure says why, unless n_failures is 0 (over the
                         budget) */
    ANSWER_TIMED_OUT, /* the caller's time is over while an attempt is still in flight */
    ANSWER_TOO_LONG,  /* min_ttl is more than this issuer's tokens ever have */
    ANSWER_UNCHANGED, /* WAIT_FOR_CHANGE: the caller's token is still the current one, and usable */
    ANSWER_TOO_OFTEN, /* registry_reject(): over the budget; waiter.allowed_at says when the next is taken */
    ANSWER_GONE,      /* a reload has removed the profile; it is not there any more */
    ANSWER_PROVEN,    /* registry_await_proofs(): nothing is to be proven any more */
    ANSWER_STOPPING,  /* the daemon is going down */
};
#define N_ANSWERS (ANSWER_STOPPING + 1)

enum waiter_kind {
    WAIT_FOR_TOKEN,   /* a token that satisfies min_ttl */
    WAIT_FOR_OUTCOME, /* the end of the fetch in flight, whatever it is (a forced refresh) */
    WAIT_FOR_NEWER,   /* the next token, which waiter.generation is not (a rejected one), or a failure */
    WAIT_FOR_CHANGE,  /* the next token, however long that takes (a long poll): failures are no answer */
    WAIT_FOR_PROOFS,  /* of changed keys: see registry_await_proofs() */
};

/* A caller's place in the queue; embedded in the host's request. Initialise with waiter_init(). */
struct waiter {
    struct list link; /* in the profile's waiters, in the registry's, or in its answers */
    struct heap_node deadline;
    struct entry *entry; /* whose token it waits for, while it is queued; NULL: for proofs */
    bool is_queued;
    enum waiter_kind kind;
    usec_t min_ttl_for;  /* or MIN_TTL_DEFAULT */
    uint64_t generation; /* WAIT_FOR_NEWER, WAIT_FOR_CHANGE: what the caller has */
    usec_t deadline_at;
    usec_t allowed_at; /* ANSWER_TOO_OFTEN */
    enum answer answer;
};

/* Whether changed keys of a profile got a token. */
enum proof {
    PROOF_NONE, /* nothing was to be proven */
    PROOF_PENDING,
    PROOF_GIVEN,
    PROOF_FALLBACK, /* a token came, but only with the other of two keys: a new one was refused */
    PROOF_FAILED,   /* profile->failure says why */
};

/* A profile and what the registry keeps beside it. */
struct entry {
    struct profile profile;
    struct profile_settings *settings;       /* a reference; NULL for an unusable one */
    struct profile_settings *token_settings; /* another, for profile.token_settings */
    struct heap_node wake;                   /* when to step it with EVENT_DEADLINE */
    struct job job;
    struct list waiters;
    struct list noted; /* in the registry's notes while note != NOTE_NONE */
    enum note note;
    struct list unsaved;   /* in the registry's, while there is something new to be saved */
    size_t saved_slot;     /* the host's: where its state lies */
    usec_t use_saved_at;   /* profile.used_at as it was saved */
    bool has_changed_keys; /* goes with the note */
    bool is_in_flight;     /* popped, and not ended */
    bool is_starting;      /* its first attempt has not ended */
    enum proof proof;
    usec_t sent_at; /* when the fetch in flight was popped; for the duration */
    /* The API's: the generation of which the log was last told that it is reported as rejected, and that
     * reports of it are over the budget. */
    uint64_t told_reported, told_over_budget;
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
    struct list proof_waiters;
    struct list unsaved;        /* entries whose state has changed (core/saved.h) */
    struct histogram durations; /* of upstream requests, all profiles */
    size_t n_waiters;
    size_t n_starting; /* preloaded profiles whose first attempt since registry_start() has not ended */
    size_t n_proving;  /* entries with PROOF_PENDING */
    uint64_t generation_floor; /* a profile that comes again tells no generation a second time */
    uint64_t random;           /* state of the jitter's generator: not for secrets */
    bool is_stopping;
};

/* `seed`: any number; the same seed and events give the same life. */
void registry_init(struct registry *r, size_t n_slots, uint64_t seed);

/* Wipes all tokens and frees the entries. Nobody may wait any more. */
void registry_done(struct registry *r);

/* Adds a profile; names must come in strictly ascending order (-EINVAL otherwise). -ENOMEM. Takes a
 * reference of the settings. */
_must_check_ int registry_add(struct registry *r, struct profile_settings *settings);
_must_check_ int registry_add_unusable(struct registry *r, const struct unusable_profile *u, usec_t now);

/* By name; NULL when there is none. Borrowed until registry_done() or the next reload. */
struct entry *registry_find(const struct registry *r, const char *name);

/* Starts all profiles. One that another process knew nothing of counts on from those that are gone. */
void registry_start(struct registry *r, usec_t now);

void waiter_init(struct waiter *w);

/*
 * A caller wants a token (WAIT_FOR_TOKEN) or, being an admin, a refresh (WAIT_FOR_OUTCOME). Returns the
 * answer when there is one now; ANSWER_NONE means that the waiter is queued and will come out of
 * registry_pop_answer().
 */
enum answer registry_request(struct registry *r, struct entry *e, struct waiter *w, usec_t wait_for,
                             usec_t now);

struct rejection {
    const char *fingerprint;
    uint32_t uid;
    usec_t wait_for;
};

/*
 * A caller says that the upstream refused the token with this fingerprint. When it is the current one, a new
 * one is fetched within the budget (policy.h) and the caller waits for that; the others get the current one
 * until it is there. Any other fingerprint is answered like a request for a token. As registry_request().
 */
enum answer registry_reject(struct registry *r, struct entry *e, struct waiter *w,
                            const struct rejection *rejection, usec_t now);

/*
 * A long poll: the caller has the token of w->generation, and waits for `wait_for` for a newer one
 * (WAIT_FOR_CHANGE). As registry_request(), of which this is the form for that kind.
 */
enum answer registry_poll(struct registry *r, struct entry *e, struct waiter *w, usec_t wait_for, usec_t now);

/*
 * A reload begins and ends, as far as those are concerned who wait for its proofs: between the two there is
 * one more thing to be proven. What earlier ones have proven is forgotten as it begins; registry_apply() may
 * follow more than once, and what came of the keys of the first stays there to be told behind the last.
 */
void registry_hold_proofs(struct registry *r);
void registry_release_proofs(struct registry *r);

/* Waits until no changed key is to be proven any more: ANSWER_PROVEN, or ANSWER_TIMED_OUT. */
enum answer registry_await_proofs(struct registry *r, struct waiter *w, usec_t wait_for, usec_t now);

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

/* True when a queue is to be emptied: a fetch may start, somebody is to be answered, there is a note. */
bool registry_has_work(const struct registry *r);

struct waiter *registry_pop_answer(struct registry *r);

/* The next profile with something to log; *ret says what. NULL when there is none. */
struct entry *registry_pop_note(struct registry *r, enum note *ret);

/* The next profile whose state is to be saved, or NULL: a fourth queue, for who wants it. To be emptied
 * before anybody is answered and before a request that was popped is sent: what was seen must not be undone
 * by the end of the process. */
struct entry *registry_pop_unsaved(struct registry *r);

/* What is to be saved of an entry: profile_save(), and what the registry knows beside it. */
_must_check_ int entry_save(const struct registry *r, struct entry *e, struct saved_profile *ret);

/* It could not be saved, or is to be saved again. */
void registry_mark_unsaved(struct registry *r, struct entry *e);

/*
 * Goes on with what another process has left of a profile, before registry_start(). `is_same`: it had these
 * settings and keys; else its token is not taken over.
 */
void registry_restore(struct registry *r, struct entry *e, struct saved_profile *saved, bool is_same,
                      usec_t now);

/* There is no such profile any more: should it come again, it goes on counting. */
void registry_restore_gone(struct registry *r, const struct saved_profile *saved);

/* Answers everybody who waits with ANSWER_STOPPING, and later requests that no token at hand satisfies. No
 * fetch is started any more. */
void registry_stop(struct registry *r, usec_t now);

/* ---- reload ---- */

/* What a reload will do with one profile. */
struct entry_plan {
    struct entry *entry; /* an old or a new one; a new one is owned until the plan is carried out */
    struct profile_settings *settings; /* a reference */
    struct origin *origin;
    bool is_new;
    enum settings_change change; /* of an old one; CHANGE_IDENTITY for one that was unusable */
};

/* A reload that is prepared: carrying it out cannot fail. */
struct registry_plan {
    struct entry_plan *profiles; /* sorted by name */
    size_t n_profiles;
    struct entry **entries; /* what registry.entries becomes */
    struct entry **removed; /* borrowed */
    size_t n_removed;
    struct registry *registry; /* borrowed */
};

/*
 * Compares `profiles` (sorted by name, all usable) with what is there. 0 or -ENOMEM; nothing has changed yet.
 * The plan is valid until the registry is touched again.
 */
_must_check_ int registry_plan(struct registry *r, struct profile_settings *const *profiles, size_t n,
                               struct registry_plan *ret);

/* True when the fetch of this old entry must be called off: its keys or more change, or it goes. */
bool registry_plan_aborts(const struct registry_plan *plan, const struct entry *e);

/* The exchange of this entry was called off by the host, before the plan is carried out. */
void registry_abort_fetch(struct registry *r, struct entry *e);

/*
 * Carries it out: what did not change keeps token, generation, waiters, back-off and fetch; changed keys are
 * proven by a request while the old token is kept; who waits for a profile that is gone is told ANSWER_GONE.
 * Entries of removed profiles are freed: drop every pointer to them first.
 */
void registry_apply(struct registry *r, struct registry_plan *plan, size_t n_slots, usec_t now);

void registry_plan_done(struct registry_plan *plan);

/* For people: how long until an attempt could change things; 0 when one is in flight. USEC_INFINITY: never.
 */
usec_t entry_retry_in(const struct entry *e, usec_t now);
