/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Which of two interchangeable keys a profile asks with. For profile_steps.c alone.
 *
 *   subscription key   the primary one is preferred. Blamed by the upstream, the secondary one is tried in
 *                      the same attempt, and stays in use; after KEY_PROBE_FOR a refresh begins with the
 *                      primary one again.
 *   client secret      the current one, until it is refused; then the next one is tried in the same attempt,
 *                      and stays in use until that is refused in its turn. New settings are begun with the
 *                      next one, so that it is proven while the current one still works.
 *
 * Each kind is changed over once an attempt, so an attempt has at most three requests. When none of them
 * brings a token, the next attempt begins as this one did; after a probe, with the key that was in use.
 */

#include "core/profile.h"

/* An attempt begins: what it begins with is in p->choice. */
void keys_begin(struct profile *p, usec_t now);

/* The request failed: true when another key is worth a try in this attempt, p->choice then has it. */
bool keys_try_other(struct profile *p, const struct failure *failure);

/* The attempt failed. */
void keys_give_up(struct profile *p);

/* A token came: what got it stays in use. True when people were last told of other keys. */
bool keys_keep(struct profile *p, usec_t now);

/* Other keys were set: nothing is known of them yet. */
void keys_reset(struct profile *p);
