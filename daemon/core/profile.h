/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The state machine of one profile: what to do when something happens. Pure: no clock, no random source, no
 * I/O.
 *
 * The state is not stored but follows from the facts (is a token usable at this moment, is a fetch in flight,
 * did the last attempt fail), so an expiry that nobody noticed, a suspend or a lost timer cannot leave it
 * wrong:
 *
 *   state             usable token   fetch in flight   last attempt failed   shown as
 *   EMPTY             no             no                no                    empty
 *   FETCHING          no             yes               no                    fetching
 *   FRESH             yes            no                no                    fresh
 *   REFRESHING        yes            yes               no                    refreshing
 *   STALE             yes            no                yes                   stale
 *   STALE_RETRYING    yes            yes               yes                   stale
 *   FAILED            no             no                yes                   failed
 *   FAILED_RETRYING   no             yes               yes                   failed
 *   UNUSABLE          the settings or keys cannot be used; nothing is asked  failed
 *
 * "Usable" here means for a caller who names no min_ttl. "In flight" includes waiting for a free slot.
 *
 * What happens in each state on each event is the table in profile.c, one named function a cell.
 */

#include "core/policy.h"
#include "core/settings.h"
#include "core/stats.h"
#include "core/token.h"

enum profile_state {
    PROFILE_EMPTY,
    PROFILE_FETCHING,
    PROFILE_FRESH,
    PROFILE_REFRESHING,
    PROFILE_STALE,
    PROFILE_STALE_RETRYING,
    PROFILE_FAILED,
    PROFILE_FAILED_RETRYING,
    PROFILE_UNUSABLE,
    N_PROFILE_STATES,
};

enum event_kind {
    EVENT_START,    /* begin: fetch the first token */
    EVENT_REQUEST,  /* a caller wants a token */
    EVENT_DEADLINE, /* actions.wake_at of an earlier step has come (or may have) */
    EVENT_REFRESH,  /* an admin wants a new token now */
    EVENT_TOKEN,    /* the fetch ended with a token */
    EVENT_FAILURE,  /* the fetch ended without one */
    N_EVENT_KINDS,
};

/* A caller who names no min_ttl. */
#define MIN_TTL_DEFAULT USEC_INFINITY

struct event {
    enum event_kind kind;
    usec_t min_ttl_for;            /* REQUEST: or MIN_TTL_DEFAULT */
    struct token *token;           /* TOKEN: moved out of */
    const struct failure *failure; /* FAILURE: copied */
    uint64_t random;               /* any; used where a moment is jittered */
};

/* What a REQUEST comes to. */
enum verdict {
    VERDICT_NONE,  /* the event was no request */
    VERDICT_TOKEN, /* the current token is good for this caller: answer now */
    VERDICT_WAIT, /* a fetch is in flight or due: profile_is_worth_waiting() says until when it makes sense */
    VERDICT_TOO_LONG, /* no token of this issuer has that much left, ever */
    VERDICT_REFUSED,  /* no fetch will happen because of this request */
};

/* What the log should say. */
enum note {
    NOTE_NONE,
    NOTE_FETCHED,        /* a new token */
    NOTE_RECOVERED,      /* a new token, after failures */
    NOTE_REFRESH_FAILED, /* failed, but the current token is still usable */
    NOTE_FAILED,         /* failed, and nothing is usable */
    NOTE_EXPIRED,        /* retries go on, but the last usable token has run out */
};

/* What the caller of profile_step() has to do. */
struct actions {
    bool fetch;     /* start one upstream request; EVENT_TOKEN or EVENT_FAILURE must follow */
    bool has_ended; /* a fetch ended: look at everybody who waits */
    usec_t wake_at; /* step with EVENT_DEADLINE then; USEC_INFINITY: nothing is due */
    enum verdict verdict;
    enum note note;
};

struct profile {
    const struct profile_settings *settings; /* borrowed; outlives the profile; NULL for an UNUSABLE one */
    const char *name;                        /* borrowed */
    const char *description;                 /* borrowed, or NULL */
    const char *provider;                    /* "vipps", ...; NULL when not known */
    const struct access_list *allow;         /* borrowed: who may use it */

    struct token token;
    uint64_t generation; /* of the token: 1 for the first */
    usec_t arrived_at;   /* when the token was there */
    usec_t refresh_at;   /* not in flight: when to ask next (refresh or retry); USEC_INFINITY: not planned */
    usec_t demand_at;    /* a caller wants more life: ask then at the latest; USEC_INFINITY: nobody does */
    usec_t demand_debt_at; /* leaky bucket of such requests, as a theoretical arrival time */
    bool is_fetching;
    bool is_unusable;
    bool is_expiry_noted; /* NOTE_EXPIRED was given for this outage */

    unsigned n_failures;    /* in a row */
    struct failure failure; /* the last one; meaningful while has_failed_ever */
    usec_t failed_at;       /* when */
    bool has_failed_ever;

    struct profile_stats stats;
};

/* A profile with good settings: EMPTY, and silent until EVENT_START. `settings` is borrowed. */
void profile_init(struct profile *p, const struct profile_settings *settings);

/* What is known of a profile whose settings or keys cannot be used. All but `message` stays borrowed. */
struct unusable_profile {
    const char *name;
    const char *description;         /* or NULL */
    const char *provider;            /* or NULL */
    const char *message;             /* what is wrong; copied */
    const struct access_list *allow; /* as far as it could be read; empty: nobody */
};

/* Such a profile: UNUSABLE for good. */
void profile_init_unusable(struct profile *p, const struct unusable_profile *u, usec_t now);

/* Wipes the token. Takes NULL. */
void profile_done(struct profile *p);

/* The one entry: something happened at `now`. */
struct actions profile_step(struct profile *p, const struct event *event, usec_t now);

enum profile_state profile_state(const struct profile *p, usec_t now);

/* "fresh", "stale", ...: the public name. */
const char *profile_state_name(enum profile_state state);

/* The public names, each once, for the metrics. */
#define N_PROFILE_STATE_NAMES 6
extern const char *const profile_state_names[N_PROFILE_STATE_NAMES];

/* True when a caller with this min_ttl (or MIN_TTL_DEFAULT) can have the current token. */
bool profile_is_usable_for(const struct profile *p, usec_t min_ttl_for, usec_t now);

/* True when somebody who waits until `until` may still see an attempt end: one is in flight or starts by
 * then. */
bool profile_is_worth_waiting(const struct profile *p, usec_t until);

/* When the next upstream request is planned: USEC_INFINITY when none is or one is in flight. */
usec_t profile_next_attempt_at(const struct profile *p);
