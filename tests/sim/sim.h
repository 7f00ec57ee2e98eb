/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A discrete-event simulation around a `struct registry`: everything that the outside can do to it, in any
 * order and at any moment, for years in seconds.
 *
 *   sim.c       the world: the loop, its (late) timer, suspends, the part of the host
 *   upstream.c  what the issuers answer: healthy, slow, down, refusing, limiting, talking nonsense, for
 * seconds or days callers.c   who asks: alone, in bursts, at the very moment of an expiry, hanging up check.c
 * what must hold, worked out anew from the events alone, never from the core's own decisions
 *
 * Only the registry's public functions are called; a profile's public facts (profile.h) are read to be
 * checked. There is no wall clock here, because nothing in core sees one: its steps cannot have an effect.
 */

#include "base/heap.h"
#include "base/list.h"
#include "core/registry.h"
#include "random.h"
#include "trace.h"

#define SIM_PROFILES_MAX 64
#define SIM_ORIGINS_MAX  4
#define SIM_CALLERS_MAX  1024
/* Demands remembered for the budget: more than fit in any burst. */
#define SIM_DEMANDS 32

struct sim;
struct sim_profile;

/* Something that will happen; `happen` is called once, at or after the moment. */
struct sim_event {
    struct heap_node node;
    void (*happen)(struct sim *s, struct sim_event *event);
};

/* ---- upstream ---- */

enum behaviour {
    HEALTHY,
    SLOW,        /* latencies up to beyond the time-out */
    REFUSED,     /* no connection */
    HANGS,       /* no answer until the time-out */
    ERRORS,      /* 503 */
    LIMITED,     /* 429, with and without Retry-After */
    KEYS_WRONG,  /* 401 */
    CERTIFICATE, /* does not verify */
    GARBAGE,     /* 200, but no token */
    FLAKY,       /* any of these, drawn for each request */
    N_BEHAVIOURS,
};

/* How an issuer behaves for a while. */
struct phase {
    enum behaviour behaviour;
    usec_t latency_max_for;
    usec_t lifetime_for;
    bool is_caching; /* hands out the same token again, with what is left of its life */
};

/* One request and what will come of it. */
struct exchange {
    usec_t sent_at;
    usec_t end_at;
    bool is_token;
    bool has_answered;
    uint64_t token_id;
    usec_t lifetime_for;       /* as granted */
    usec_t upstream_expiry_at; /* by the issuer's own record */
    struct failure failure;
};

/* ---- what the checker knows of a profile, from events alone ---- */

struct demand {
    usec_t at;
    usec_t interval_for;
};

struct model {
    bool has_token;
    struct exchange token;
    usec_t arrived_at;
    uint64_t generation;
    unsigned n_failures;
    enum failure_class last_class;
    usec_t earliest_at; /* no request that nobody forces starts before */
    usec_t last_sent_at;
    bool has_sent;
    bool was_asked;    /* a fetch was asked for, as last seen */
    bool is_in_flight; /* and started */
    bool is_forced;    /* the one asked for was forced by an admin */
    usec_t needed_at;  /* when the one asked for is needed: at once, or when callers stop getting the token */
    usec_t demand_at;  /* as last seen */
    struct demand demands[SIM_DEMANDS];
    unsigned n_demands;
    usec_t recover_by; /* a token must be there by then; USEC_INFINITY: nothing promised */
    bool has_said_expired;
};

struct sim_origin {
    struct sim_event phase_event;
    struct phase phase;
    char url[48];
    size_t n_in_flight;
    bool is_suspect;
};

struct sim_profile {
    struct profile_settings settings;
    char name[16];
    struct entry *entry;
    struct sim_origin *origin;
    struct phase phase;
    struct sim_event phase_event;
    struct exchange exchange; /* in flight */
    struct sim_event answer_event;
    struct sim_event edge_event; /* a caller at the edge of the token's life */
    usec_t edge_min_ttl_for;
    uint64_t issued_id; /* by a caching issuer */
    usec_t issued_expiry_at;
    struct model model;
};

/* ---- callers ---- */

struct caller {
    struct waiter waiter;
    struct sim_event hang_up;
    struct heap_node deadline; /* in sim.caller_deadlines while it waits */
    struct list free;          /* in sim.free_callers while nobody uses it */
    struct sim_profile *profile;
    bool is_waiting;
};

/* Where in their windows moments fell, in thousandths: jitter is spread when the mean is in the middle. */
struct sim_spread {
    uint64_t n, sum;
};

struct sim_counters {
    struct sim_spread refreshes, retries;
    uint64_t turns, idle_turns, requests, tokens, failures, suspends, calls, demands, forced, hang_ups,
        late_tokens, edges;
    uint64_t answers[ANSWER_STOPPING + 1];
    uint64_t behaviours[N_BEHAVIOURS];
};

struct sim {
    uint64_t seed;
    usec_t now;
    usec_t end_at;
    struct random_source random;
    struct registry registry;
    size_t n_slots, n_origins, n_profiles, n_in_flight, n_waiting;
    struct sim_origin origins[SIM_ORIGINS_MAX];
    struct sim_profile profiles[SIM_PROFILES_MAX];
    struct entry *unusable;
    struct caller callers[SIM_CALLERS_MAX];
    struct list free_callers;
    struct heap caller_deadlines;
    struct heap events;
    struct sim_event timer, arrival, suspend;
    usec_t timer_for;    /* what the timer is armed for */
    usec_t late_max_for; /* how late a timer may be in this run */
    bool
        is_advancing_always; /* the loop advances the registry in every turn, not only when the timer fires */
    bool is_timer_turn;
    usec_t last_timer_at;
    unsigned n_timers_at_once; /* in one simulated second */
    uint64_t next_token_id;
    struct sim_counters counters;
    struct trace trace;
};

void sim_init(struct sim *s, uint64_t seed, unsigned days, size_t n_profiles);
void sim_run(struct sim *s);
void sim_done(struct sim *s);

/* Queues an event; USEC_INFINITY takes it back. */
void sim_at(struct sim *s, struct sim_event *event, usec_t at);

/* Does what came of a call into the registry: answers, requests, notes. Part of the host. */
void sim_drain(struct sim *s);

/* One line of the trace; `p` may be NULL. */
void sim_trace(struct sim *s, const struct sim_profile *p, const char *what, uint64_t a, uint64_t b);

/* upstream.c */
void upstream_init(struct sim *s);
bool upstream_is_healthy(const struct sim_profile *p);
struct exchange upstream_exchange(struct sim *s, struct sim_profile *p);

/* callers.c */
void callers_init(struct sim *s);
void callers_crowd(struct sim *s);
void callers_watch_edge(struct sim *s, struct sim_profile *p);
void callers_take_answer(struct sim *s, struct waiter *w);
