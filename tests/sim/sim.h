/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A discrete-event simulation around a `struct registry`: everything that the outside can do to it, in any
 * order and at any moment, for years in seconds.
 *
 *   sim.c        the world: the loop, its (late) timer, suspends, the part of the host
 *   upstream.c   what the issuers answer: healthy, slow, down, refusing, limiting, talking nonsense, for
 *                seconds or days
 *   accounts.c   which keys the issuers take: regenerated, restored, rotated, withdrawn
 *   drafts.c     what the operator has written for each profile, and what comes into his mind to change
 *   restart.c    the process ends, at any moment between two turns, and the next one goes on
 *   reload.c     new settings, with fetches in flight; admins who wait for what comes of changed keys
 *   callers.c    who asks: alone, in bursts, at the very moment of an expiry, hanging up
 *   reporters.c  who reports a token as rejected, with reason or without, and who polls for the next one
 *   check*.c     what must hold, worked out anew from the events alone, never from the core's own decisions
 *
 * Only the registry's public functions are called; a profile's public facts (profile.h) are read to be
 * checked. There is no wall clock here, because nothing in core sees one: its steps cannot have an effect.
 */

#include "base/heap.h"
#include "base/list.h"
#include "core/registry.h"
#include "random.h"
#include "trace.h"

/* One of them cannot be used, until a reload repairs or removes it. */
#define SIM_PROFILES_MAX 64
#define SIM_ORIGINS_MAX  4
#define SIM_CALLERS_MAX  1024
#define SIM_UIDS_MAX     12
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
    SLOW,               /* latencies up to beyond the time-out */
    REFUSED,            /* no connection */
    HANGS,              /* no answer until the time-out */
    ERRORS,             /* 503 */
    LIMITED,            /* 429, with and without Retry-After */
    KEYS_WRONG,         /* 401, whatever the keys */
    SUBSCRIPTION_WRONG, /* 401 that blames the subscription key, whatever it is */
    CERTIFICATE,        /* does not verify */
    GARBAGE,            /* 200, but no token */
    FLAKY,              /* any of these, drawn for each request */
    N_BEHAVIOURS,
};

/* How an issuer behaves for a while. */
struct phase {
    enum behaviour behaviour;
    usec_t latency_max_for;
    usec_t lifetime_for;
    bool is_caching; /* hands out the same token again, with what is left of its life */
};

/* The keys that the issuer takes, as numbers; 0 is none. */
struct account {
    uint64_t secrets[2];
    uint64_t subscriptions[2];
    uint64_t announced_secret; /* told to the operator, and taken from some day on */
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
    unsigned identity;        /* the client that asked */
    struct key_choice choice; /* with which keys */
    uint64_t subscription_key;
};

/* ---- what the operator wrote ---- */

struct draft {
    bool is_there;
    unsigned identity;          /* the client id; never the same again */
    size_t origin;              /* which issuer */
    uint64_t keys[N_KEY_KINDS]; /* 0: not set */
    struct refresh_policy refresh;
    bool is_preloaded;
    usec_t idle_after_for;
    unsigned remark; /* for people */
};

/* ---- what the checker knows of a profile, from events alone ---- */

struct demand {
    usec_t at;
    usec_t interval_for;
};

/* How full a leaky bucket was at a moment: each report fills it by an interval, and time drains it. */
struct bucket {
    usec_t at;
    usec_t level_for;
};

struct key_model {
    struct key_choice in_use; /* what the next attempt is to begin with, unless it is a probe */
    struct key_choice told;   /* what people were told */
    usec_t probe_at;          /* the secondary one is in use: when the primary one is to be tried again */
    bool is_probe;            /* the current attempt does */
    unsigned n_requests;      /* of the current attempt */
    bool has_tried_secrets, has_tried_subscriptions;
    bool is_fallback; /* the current attempt had to change keys */
};

struct model {
    bool has_token;
    struct exchange token;
    usec_t arrived_at;
    uint64_t generation;
    unsigned n_failures;
    usec_t failed_at;
    enum failure_class last_class;
    usec_t earliest_at; /* no request that nobody forces starts before */
    bool was_asked;     /* an attempt was asked for, as last seen */
    usec_t asked_at;    /* when */
    bool is_in_flight;  /* a request of it was started */
    bool is_forced;     /* the one asked for was forced by an admin, or by new settings */
    usec_t needed_at; /* when the one asked for is needed: at once, or when callers stop getting the token */
    usec_t demand_at; /* as last seen */
    struct demand demands[SIM_DEMANDS];
    unsigned n_demands;
    usec_t recover_by; /* a token must be there by then; USEC_INFINITY: nothing promised */
    bool has_said_expired;
    bool is_asleep; /* nothing is to be done until somebody asks */
    usec_t used_at;
    struct key_model keys;
    struct bucket reports_of_all, reports[SIM_UIDS_MAX];
    enum proof proof;
    bool is_starting;
    usec_t replanned_at; /* a reload changed when to ask */
    /* Of restarts: */
    bool is_token_of_old_keys; /* a reload has replaced what it was got with */
    unsigned n_interrupted;    /* requests in a row whose answer no process saw */
    usec_t held_until_at;      /* while there are: no request before, but by an admin's will */
    bool is_repeated;          /* the next one asked for is one that was lost */
    bool is_forced_again;      /* and that one was forced */
    usec_t carried_at;         /* a demand that another process had planned; USEC_INFINITY: none */
};

struct sim_origin {
    struct sim_event phase_event;
    struct phase phase;
    char url[48];
    size_t n_in_flight;
    bool is_suspect;
};

struct sim_profile {
    struct draft draft;
    struct profile_settings *settings; /* a reference; NULL: none were good enough yet */
    char name[16];
    struct entry *entry; /* NULL: there is no such profile now */
    bool is_unusable;
    bool has_subscriptions; /* a gateway wants a key */
    struct sim_origin *origin;
    struct phase phase;
    struct account account;
    struct exchange exchange; /* in flight */
    uint64_t issued_id;       /* by a caching issuer */
    usec_t issued_expiry_at;
    uint64_t generation_max; /* ever told under this name */
    size_t n_waiting;
    struct saved_profile saved; /* as the last process to have it saved it */
    bool has_saved;
    struct sim_event phase_event, account_event, answer_event;
    struct sim_event edge_event; /* a caller at the edge of the token's life */
    usec_t edge_min_ttl_for;
    struct sim_event poll_event;   /* somebody polls shortly before a refresh */
    struct sim_event report_event; /* somebody reports again and again */
    unsigned n_reports_left;
    struct model model;
};

/* ---- callers ---- */

enum ask {
    ASK_TOKEN,
    ASK_REFRESH,
    ASK_REPORT,
    ASK_POLL,
    ASK_PROOFS, /* of no profile */
};

struct question {
    enum ask ask;
    usec_t min_ttl_for;
    usec_t wait_for;
    uint64_t generation; /* ASK_POLL: of the token that the caller has */
    uint64_t token_id;   /* ASK_REPORT */
    uint32_t uid;        /* ASK_REPORT: in [0, sim.n_uids) */
};

struct caller {
    struct waiter waiter;
    struct sim_event hang_up;
    struct heap_node deadline; /* in sim.caller_deadlines while it waits */
    struct list free;          /* in sim.free_callers while nobody uses it */
    struct sim_profile *profile;
    struct question question;
    bool is_of_current; /* ASK_REPORT, ASK_POLL: the caller has the current token */
    usec_t asked_at;
    uint64_t generation; /* of the current token when it asked */
    bool is_waiting;
};

/* ---- counters ---- */

/* Where in their windows moments fell, in thousandths: jitter is spread when the mean is in the middle. */
struct sim_spread {
    uint64_t n, sum;
};

/* What can happen, each to be seen in a long run; names in main.c. */
enum sim_count {
    N_TOKENS,
    N_FAILURES,
    N_LATE_TOKENS,
    N_CALLS,
    N_FORCED,
    N_EDGES,
    N_HANG_UPS,
    N_DEMANDS,
    N_SUSPENDS,
    N_IDLE_TURNS,
    N_REVOCATIONS,
    N_REPORTS_TAKEN,
    N_REPORTS_SPACED,
    N_REPORTS_JOINED,
    N_REPORTS_BACKED_OFF,
    N_REPORTS_REFUSED,
    N_REPORTS_STALE,
    N_POLLS,
    N_POLLS_SERVED,
    N_POLLS_OVER_FAILURES,
    N_SECONDARY_SAVED,
    N_NEXT_SECRET_SAVED,
    N_CURRENT_SECRET_SAVED,
    N_THREE_REQUESTS,
    N_PROBES_REFUSED,
    N_PROBES_FAILED,
    N_PROBES_RESTORED,
    N_BOTH_KEYS_DEAD,
    N_RELOADS,
    N_RELOADS_DROPPED,
    N_CHANGES_NONE,
    N_CHANGES_POLICY,
    N_CHANGES_KEYS,
    N_CHANGES_IDENTITY,
    N_REMOVED,
    N_ADDED,
    N_ADDED_AGAIN,
    N_REPAIRED,
    N_KEPT_OVER_KEYS,
    N_ABORTED_IN_FLIGHT,
    N_ABORTED_QUEUED,
    N_STARTS_CALLED_OFF,
    N_CHANGED_IN_FLIGHT,
    N_RELOADS_IN_BACK_OFF,
    N_PROOFS_GIVEN,
    N_PROOFS_BY_FALLBACK,
    N_PROOFS_FAILED,
    N_IDLED,
    N_SUSPENDED_ASLEEP,
    N_WOKEN,
    N_WOKEN_WITH_TOKEN,
    N_RESTARTS,
    N_TOKENS_RESTORED,
    N_TOKENS_LEFT_BEHIND,
    N_RESTARTS_IN_BACK_OFF,
    N_QUEUED_AGAIN,
    N_INTERRUPTED,
    N_HELD,
    N_SIM_COUNTS,
};

struct sim_counters {
    struct sim_spread refreshes, retries;
    uint64_t turns, requests;
    uint64_t seen[N_SIM_COUNTS];
    uint64_t answers[N_ANSWERS];
    uint64_t behaviours[N_BEHAVIOURS];
};

struct sim {
    uint64_t seed;
    unsigned days;
    usec_t now;
    usec_t end_at;
    struct random_source random;
    struct registry registry;
    size_t n_slots, n_origins, n_profiles, n_in_flight, n_waiting, n_admins;
    size_t n_uids;
    bool has_reloads, has_idle, has_key_changes, has_restarts;
    struct sim_origin origins[SIM_ORIGINS_MAX];
    struct sim_profile profiles[SIM_PROFILES_MAX];
    struct caller callers[SIM_CALLERS_MAX];
    struct list free_callers;
    struct heap caller_deadlines;
    struct heap events;
    struct sim_event timer, arrival, suspend, reload, revocation, restart;
    usec_t reloaded_at;       /* the last time */
    usec_t timer_for;         /* what the timer is armed for */
    usec_t late_max_for;      /* how late a timer may be in this run */
    bool is_advancing_always; /* the registry is advanced in every turn, not only when the timer fires */
    usec_t last_timer_at;
    unsigned n_timers_at_once; /* in one simulated second */
    uint64_t last_token_id, last_key;
    unsigned last_identity;
    struct sim_counters counters;
    struct trace trace;
};

/* `n_profiles` that can be used, and one that cannot. */
void sim_init(struct sim *s, uint64_t seed, unsigned days, size_t n_profiles);
void sim_run(struct sim *s);
void sim_done(struct sim *s);

/* Queues an event; USEC_INFINITY takes it back. */
void sim_at(struct sim *s, struct sim_event *event, usec_t at);

/* Does what came of a call into the registry: answers, requests, notes. Part of the host. */
void sim_drain(struct sim *s);

/* The profile of an entry that may act. */
struct sim_profile *sim_profile_of(struct sim *s, const struct entry *e);

/* Adds it to a new registry, as its draft has it. */
void sim_add_entry(struct sim *s, struct sim_profile *p);

/* The host calls off the request in flight. */
void sim_abort_request(struct sim *s, struct sim_profile *p);

/* Its answer will not come to anybody. */
void sim_lose_request(struct sim *s, struct sim_profile *p);

/* The fingerprint of a token, made of its number. Returns `buf`. */
const char *sim_fingerprint(uint64_t token_id, char buf[static FINGERPRINT_SIZE]);

/* One line of the trace; `p` may be NULL. */
void sim_trace(struct sim *s, const struct sim_profile *p, const char *what, uint64_t a, uint64_t b);

/* It is there, with settings that can be used. */
static inline bool sim_is_live(const struct sim_profile *p)
{
    return p->entry && !p->is_unusable;
}

static inline void sim_count(struct sim *s, enum sim_count what)
{
    s->counters.seen[what]++;
}

/* ---- upstream.c ---- */

void upstream_init(struct sim *s);
bool upstream_is_healthy(const struct sim_profile *p);
struct exchange upstream_exchange(struct sim *s, struct sim_profile *p);

/* ---- accounts.c ---- */

void accounts_init(struct sim *s);

/* A new client: the issuer takes what is written for it, as a rule. */
void account_open(struct sim *s, struct sim_profile *p);

bool account_takes_secret(const struct sim_profile *p, struct key_choice choice);
bool account_takes_subscription(const struct sim_profile *p, struct key_choice choice);

/* True when what is written for the profile can get a token. */
bool account_is_good(const struct sim_profile *p);

/* ---- drafts.c ---- */

void draft_begin(struct sim *s, struct sim_profile *p, struct draft *d);
void draft_edit(struct sim *s, const struct sim_profile *p, struct draft *d);
struct profile_settings *draft_settings(const struct sim *s, const struct sim_profile *p,
                                        const struct draft *d);
/* How far apart two of one profile are, by what is written there. */
enum settings_change draft_compare(const struct draft *a, const struct draft *b);

/* ---- reload.c ---- */

void reload_init(struct sim *s);
/* Seldom enough: the next one comes in between, where it meets something. */
void reload_soon(struct sim *s, usec_t from, usec_t to);

/* ---- restart.c ---- */

void restart_init(struct sim *s);
/* Seldom enough, as reload_soon(). */
void restart_soon(struct sim *s, usec_t from, usec_t to);
/* Keeps what is to be saved, as the host does after each step. */
void restart_save(struct sim *s);
/* The profile is gone: what was saved of it is. */
void restart_forget(struct sim_profile *p);

/* ---- callers.c, reporters.c ---- */

void callers_init(struct sim *s);
void callers_crowd(struct sim *s);
/* The process that they wait for is gone. */
void callers_lose(struct sim *s);
void callers_watch_edge(struct sim *s, struct sim_profile *p);
void callers_take_answer(struct sim *s, struct waiter *w);
void callers_ask(struct sim *s, struct sim_profile *p, const struct question *q);
void callers_await_proofs(struct sim *s);

void reporters_init(struct sim *s);
/* Another attempt is planned: maybe somebody polls then. */
void reporters_watch(struct sim *s, struct sim_profile *p, usec_t planned_at);
struct question reporters_draw(struct sim *s, const struct sim_profile *p);
struct question pollers_draw(struct sim *s, const struct sim_profile *p);
