/* SPDX-License-Identifier: MIT */
#pragma once

/* What registry.c, registry_waiters.c and registry_reload.c share; for nobody else. */

#include "core/registry.h"

/* An entry without a profile yet; NULL when memory is out. Takes NULL. */
struct entry *entry_new(void);
void entry_free(struct entry *e);

/* Steps the profile and files what comes of it. */
struct actions entry_step(struct registry *r, struct entry *e, struct event *event, usec_t now);

/* After profile.token_settings has become what `settings` is: the reference follows. */
void entry_hold_token_settings(struct entry *e);

/* An attempt ended: answers who waits for it. */
void entry_answer_waiters(struct registry *r, struct entry *e, bool is_token, usec_t now);

/* What a waiter gets whose time is over, and what one gets while the daemon stops: what is here is still
 * handed out then, and nothing new is begun. */
enum answer waiter_answer_at_deadline(const struct waiter *w, usec_t now);
enum answer waiter_answer_while_stopping(const struct entry *e, const struct waiter *w, usec_t now);

/* Takes the waiter out of its queues and into the answers. */
void waiter_answer(struct registry *r, struct waiter *w, enum answer answer);

/* Queues the waiter at the end of `queue` until then. */
void waiter_queue(struct registry *r, struct waiter *w, struct list *queue, usec_t deadline_at);

/* The first attempt of the profile has ended, or none will be made. */
void registry_end_start(struct registry *r, struct entry *e);

/* One profile less of which proof is expected; answers who waits for them when it was the last. */
void registry_end_proof(struct registry *r, struct entry *e, enum proof proof);
