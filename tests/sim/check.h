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
    CALL_REQUEST,
    CALL_REFRESH,
    CALL_ADVANCE,
    CALL_END,
};

/* Ends the program with exit status 1. */
_Noreturn _printf_(3, 4) void check_fail(struct sim *s, const struct sim_profile *p, const char *format, ...);

#define check(s, p, promise, ...)                                                                            \
    do {                                                                                                     \
        if (!(promise))                                                                                      \
            check_fail((s), (p), __VA_ARGS__);                                                               \
    } while (0)

/* ---- the model (check.c) ---- */

usec_t check_default_min_ttl_for(usec_t lifetime_for);

/* When the current token ends, and what is left of it now, by our own count from when its request was sent.
 */
usec_t check_expires_at(const struct sim_profile *p);
usec_t check_left_for(const struct sim *s, const struct sim_profile *p);

/* The profile is what the model says: generation, failures, and the token, unharmed. */
void check_facts(struct sim *s, const struct sim_profile *p);

/* True when, by the model, a caller with this min_ttl can have the current token. */
bool check_is_usable(const struct sim *s, const struct sim_profile *p, usec_t min_ttl_for);

/* ---- what the core does (check.c) ---- */

/* After each call into the registry that concerned the profile; min_ttl of a CALL_REQUEST. */
void check_after(struct sim *s, struct sim_profile *p, enum call call, usec_t min_ttl_for);

/* A request is started (before the world counts it). */
void check_start(struct sim *s, struct sim_profile *p);

/* A fetch ended with p->exchange: before, and after the registry was told. */
void check_end(struct sim *s, struct sim_profile *p);

/* After registry_advance(). */
void check_advanced(struct sim *s);

/* After each turn, when nothing is left to be popped. */
void check_turn(struct sim *s);

/* The upstream's behaviour changed, or the machine slept: when must a token be there? */
void check_expect_recovery(struct sim *s, struct sim_profile *p);

/* ---- what callers and people are told (check_answers.c) ---- */

/* What a caller was told at once. */
void check_immediate(struct sim *s, const struct caller *c, enum answer answer, bool was_usable,
                     usec_t wait_for);

/* An answer came out for a caller that waited. */
void check_answer(struct sim *s, const struct caller *c);

void check_note(struct sim *s, struct sim_profile *p, enum note note);
