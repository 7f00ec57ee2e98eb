/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The promises, checked. Each function is told what happened and compares what the core did with what a model
 * of its own, fed by the same events, allows. The first broken promise ends the program: with the promise,
 * the last events and the command line that shows it again.
 */

#include "sim.h"

/* What was called when a fetch was asked for. */
enum call {
    CALL_START,
    CALL_REQUEST, /* for a token: at once, by a poll, or by a report of another token */
    CALL_REFRESH,
    CALL_REPORT, /* of the current token */
    CALL_ADVANCE,
    CALL_END,
    CALL_RELOAD,
};

/* Ends the program with exit status 1. */
_Noreturn _printf_(3, 4) void check_fail(struct sim *s, const struct sim_profile *p, const char *format, ...);

#define check(s, p, promise, ...)                                                                            \
    do {                                                                                                     \
        if (!(promise))                                                                                      \
            check_fail((s), (p), __VA_ARGS__);                                                               \
    } while (0)

/* ---- the promises of policy.h, worked out anew (check_policy.c) ---- */

struct check_window {
    usec_t from, to;
};

usec_t check_default_min_ttl_for(usec_t lifetime_for);
usec_t check_spacing_for(const struct sim_profile *p);

/* When the current token ends, and what is left of it now, by our own count from when its request was sent.
 */
usec_t check_expires_at(const struct sim_profile *p);
usec_t check_left_for(const struct sim *s, const struct sim_profile *p);

/* True when, by the model, a caller with this min_ttl can have the current token. */
bool check_is_usable(const struct sim *s, const struct sim_profile *p, usec_t min_ttl_for);

/* When callers who name no min_ttl stop getting the current token; now, when they do not get it. */
usec_t check_needed_at(const struct sim *s, const struct sim_profile *p);

/* When the request after this failure, the model's n-th in a row, may start. */
struct check_window check_retry_window(const struct sim *s, const struct sim_profile *p,
                                       const struct failure *f);

/* When the current token may be refreshed, when that is planned at `planned_at`. */
struct check_window check_refresh_window(const struct sim_profile *p, usec_t planned_at);

/* The moment is in the window. */
void check_planned(struct sim *s, const struct sim_profile *p, struct check_window w, usec_t planned_at);

/* ---- what the core does (check.c) ---- */

/* The profile is what the model says: generation, failures, and the token, unharmed. */
void check_facts(struct sim *s, const struct sim_profile *p);

/* After each call into the registry that concerned the profile; min_ttl of a CALL_REQUEST. */
void check_after(struct sim *s, struct sim_profile *p, enum call call, usec_t min_ttl_for);

/* After registry_advance(). */
void check_advanced(struct sim *s);

/* After each turn, when nothing is left to be popped. */
void check_turn(struct sim *s);

/* The upstream's behaviour changed, or the machine slept: when must a token be there? */
void check_expect_recovery(struct sim_profile *p);

/* The model of a profile that begins. */
void check_begin(struct sim_profile *p);

/* ---- requests (check_requests.c) ---- */

/* How many slots the origin may hold now. */
size_t check_origin_limit(const struct sim *s, const struct sim_origin *o);

/* A request is started (before the world counts it). */
void check_start(struct sim *s, struct sim_profile *p);

/* A request ended with p->exchange: after the registry was told. */
void check_end(struct sim *s, struct sim_profile *p);

/* ---- which keys (check_keys.c) ---- */

/* The keys that a request is started with are the right ones. */
void check_keys_of_request(struct sim *s, struct sim_profile *p);

/* A request failed: true when the attempt must go on with another key. */
bool check_keys_go_on(struct sim *s, struct sim_profile *p);

void check_keys_worked(struct sim *s, struct sim_profile *p);

/* Nothing is known of the keys: new settings, where has_changed. */
void check_keys_begin(struct sim_profile *p, bool has_changed);

/* ---- reports of rejected tokens (check_reports.c) ---- */

enum report_fate {
    REPORT_JOINS,     /* a new token is asked for anyway */
    REPORT_BACKS_OFF, /* attempts fail: it waits for the next one, or is refused */
    REPORT_TAKEN,
    REPORT_REFUSED, /* over the budget */
};

struct report_rule {
    enum report_fate fate;
    usec_t allowed_at;   /* REPORT_REFUSED: when the next one is taken */
    usec_t allowed_from; /* no sooner, where users may have pushed each other out of their places */
};

/* What must become of a report of the current token, before it is made. */
struct report_rule check_report_rule(const struct sim *s, const struct sim_profile *p, uint32_t uid);

/* After it was made, and before check_after(). */
void check_report(struct sim *s, const struct caller *c, const struct report_rule *rule, enum answer answer);

/* ---- what callers and people are told (check_answers.c, check_waiters.c) ---- */

/* What a caller was told at once. */
void check_immediate(struct sim *s, const struct caller *c, enum answer answer, bool was_usable);

/* The token is handed out: it is the one, and good. */
void check_hand_out(struct sim *s, const struct caller *c);

/* By the model, tokens of this issuer never have so much left. */
bool check_is_too_long(const struct sim *s, const struct sim_profile *p, usec_t min_ttl_for);

/* An answer came out for a caller that waited. */
void check_answer(struct sim *s, const struct caller *c);

void check_note(struct sim *s, struct sim_profile *p, enum note note);

/* ---- reload (check_reload.c) ---- */

/* A profile before a reload. */
struct check_before {
    usec_t next_attempt_at, demand_at;
    size_t n_waiting;
    bool was_live;
    struct draft draft;
    enum settings_change change; /* where it was live and is so now */
};

struct check_before check_before_reload(const struct sim *s, const struct sim_profile *p);

/* After it, for each profile, wherever it came from and whatever became of it. */
void check_reloaded(struct sim *s, struct sim_profile *p, const struct check_before *before);

/* ---- restart (check_restart.c) ---- */

/* A profile as the process ended, and as the next one found it. */
struct check_end_of_life {
    usec_t next_attempt_at, demand_at;
    bool was_asked, was_sent, was_forced;
    usec_t restored_at; /* when the next attempt is to be made, before the profiles are started */
};

struct check_end_of_life check_end_of_life(const struct sim_profile *p);

/* After all profiles were started. */
void check_restarted(struct sim *s, struct sim_profile *p, const struct check_end_of_life *end);

/* Profiles whose keys are not proven yet. */
size_t check_n_proving(const struct sim *s);
