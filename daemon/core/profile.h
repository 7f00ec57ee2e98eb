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
 *   IDLE              refreshing has stopped since nobody asks (Preload=no)  idle
 *   UNUSABLE          the settings or keys cannot be used; nothing is asked  failed
 *
 * "Usable" here means for a caller who names no min_ttl. "In flight" includes waiting for a free slot. A
 * profile that is not preloaded is EMPTY until the first request, and may hold a token that is still good
 * while it is IDLE: the first request is answered from it and sets off the refresh that was left out.
 *
 * What happens in each state on each event is the table in profile_steps.c, one named function a cell.
 *
 * An *attempt* is one request to the upstream, or up to three: where the upstream blames a key that has a
 * second one beside it (subscription key, client secret), the other is tried at once, each kind once an
 * attempt, before anybody is told. What worked is kept for the next time and goes into the header set;
 * profile_keys.c has the rules.
 */

#include "core/policy.h"
#include "core/reports.h"
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
    PROFILE_IDLE,
    PROFILE_UNUSABLE,
    N_PROFILE_STATES,
};

enum event_kind {
    EVENT_START,    /* begin: fetch the first token, where that is preloaded */
    EVENT_REQUEST,  /* a caller wants a token */
    EVENT_DEADLINE, /* actions.wake_at of an earlier step has come (or may have) */
    EVENT_REFRESH,  /* an admin wants a new token now */
    EVENT_REJECTED, /* a caller says that the upstream refused the current token */
    EVENT_TOKEN,    /* the request in flight ended with a token */
    EVENT_FAILURE,  /* the request in flight ended without one */
    EVENT_SETTINGS, /* the settings were read anew; no fetch is in flight where keys or more changed */
    N_EVENT_KINDS,
};

/* A caller who names no min_ttl. */
#define MIN_TTL_DEFAULT USEC_INFINITY

struct event {
    enum event_kind kind;
    usec_t min_ttl_for;                      /* REQUEST: or MIN_TTL_DEFAULT */
    uint32_t uid;                            /* REJECTED: who says so */
    struct token *token;                     /* TOKEN: moved out of */
    const struct failure *failure;           /* FAILURE: copied */
    const struct profile_settings *settings; /* SETTINGS: the new ones, borrowed from now on */
    enum settings_change change;             /* SETTINGS: how far they are from the old ones */
    bool is_wanted;                          /* SETTINGS: somebody waits for a token */
    uint64_t random;                         /* any; used where a moment is jittered */
};

/* What a REQUEST, REFRESH or REJECTED comes to. */
enum verdict {
    VERDICT_NONE,  /* the event was none of them */
    VERDICT_TOKEN, /* the current token is good for this caller: answer now */
    VERDICT_WAIT, /* a fetch is in flight or due: profile_is_worth_waiting() says until when it makes sense */
    VERDICT_TOO_LONG,  /* no token of this issuer has that much left, ever */
    VERDICT_REFUSED,   /* no fetch will happen because of this request */
    VERDICT_TOO_OFTEN, /* a report over the budget: actions.allowed_at says when the next is taken */
};

/* What the log should say. */
enum note {
    NOTE_NONE,
    NOTE_FETCHED,        /* a new token */
    NOTE_RECOVERED,      /* a new token, after failures */
    NOTE_REFRESH_FAILED, /* failed, but the current token is still usable */
    NOTE_FAILED,         /* failed, and nothing is usable */
    NOTE_EXPIRED,        /* retries go on, but the last usable token has run out */
    NOTE_IDLE,           /* refreshing stops: nobody has asked for IdleAfter= */
};

/* What the caller of profile_step() has to do. */
struct actions {
    bool fetch;        /* start one upstream request; EVENT_TOKEN or EVENT_FAILURE must follow */
    bool has_ended;    /* an attempt ended: look at everybody who waits */
    usec_t wake_at;    /* step with EVENT_DEADLINE then; USEC_INFINITY: nothing is due */
    usec_t allowed_at; /* VERDICT_TOO_OFTEN: when the next report of this caller is taken */
    enum verdict verdict;
    enum note note;
    bool has_changed_keys; /* with NOTE_FETCHED or NOTE_RECOVERED: other keys than before did it */
};

/* How one attempt ended, for people who ask what happened. */
struct attempt {
    usec_t at;
    bool is_token;
    enum failure_reason reason; /* where it is no token */
    int http_status;            /* 0: there was no answer */
};

#define PROFILE_ATTEMPTS_MAX 8

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
    usec_t demand_debt_at;  /* leaky bucket of such requests, as a theoretical arrival time */
    struct reports reports; /* of rejected tokens */
    usec_t used_at;         /* the last request */
    bool is_idle;
    bool is_fetching;
    bool is_unusable;
    bool is_expiry_noted; /* NOTE_EXPIRED was given for this outage */

    unsigned n_interrupted; /* requests in a row whose answer the daemon did not live to see (core/saved.h) */
    usec_t held_until_at;   /* while there are: no caller sets off the next one before */
    unsigned n_failures;    /* in a row */
    struct failure failure; /* the last one; meaningful while has_failed_ever */
    usec_t failed_at;       /* when */
    bool has_failed_ever;

    struct key_choice choice;       /* of the request in flight, and of the next one */
    struct key_choice token_choice; /* the keys that the current token was got with */
    /* Those keys and headers: what is handed out with the token stays what worked with it, until new ones
     * have proven themselves. Borrowed; the owner of the profile keeps them. NULL before the first token. */
    const struct profile_settings *token_settings;
    struct key_choice first_choice; /* what is gone back to where this attempt fails */
    struct key_choice noted_choice; /* what people were told last */
    bool has_tried_secrets;         /* this attempt has been through both */
    bool has_tried_subscriptions;
    usec_t probe_at; /* the primary subscription key, which was blamed, gets another try then */

    struct attempt attempts[PROFILE_ATTEMPTS_MAX]; /* a ring; the newest is at (n_attempts - 1) % its size */
    uint64_t n_attempts;

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

/* Takes over what a profile borrows from its settings; decides nothing. */
void profile_borrow_settings(struct profile *p, const struct profile_settings *settings);

/* The settings of an UNUSABLE profile were repaired: EMPTY, with its counters kept. */
void profile_repair(struct profile *p, const struct profile_settings *settings);

/* The fetch in flight was called off by the host: as if it had never been asked for. */
void profile_abort_fetch(struct profile *p);

/* Wipes the token. Takes NULL. */
void profile_done(struct profile *p);

/* The one entry: something happened at `now`. */
struct actions profile_step(struct profile *p, const struct event *event, usec_t now);

enum profile_state profile_state(const struct profile *p, usec_t now);

/* "fresh", "stale", ...: the public name. */
const char *profile_state_name(enum profile_state state);

/* The public names, each once, for the metrics. */
#define N_PROFILE_STATE_NAMES 7
extern const char *const profile_state_names[N_PROFILE_STATE_NAMES];

/* True when a caller with this min_ttl (or MIN_TTL_DEFAULT) can have the current token. */
bool profile_is_usable_for(const struct profile *p, usec_t min_ttl_for, usec_t now);

/* True when somebody who waits until `until` may still see an attempt end: one is in flight or starts by
 * then. */
bool profile_is_worth_waiting(const struct profile *p, usec_t until);

/* True when the last attempt got its token only after a key was refused that has another beside it. */
bool profile_has_fallen_back(const struct profile *p);

/* When the next upstream request is planned: USEC_INFINITY when none is or one is in flight. */
usec_t profile_next_attempt_at(const struct profile *p);

/* The attempt before the newest by `back`; NULL when it is not remembered. */
const struct attempt *profile_attempt(const struct profile *p, size_t back);
