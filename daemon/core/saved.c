/* SPDX-License-Identifier: MIT */
#include "core/saved.h"

#include <stdio.h>

/* The interruption after which the distance grows no more. */
#define INTERRUPTED_MAX 16

static int token_copy(const struct token *from, struct token *ret)
{
    *ret = *from;
    ret->value = SECRET_INIT;
    return token_is_set(from) ? secret_set(&ret->value, secret_peek(&from->value), from->value.size) : 0;
}

int profile_save(const struct profile *p, struct saved_profile *ret)
{
    struct saved_profile saved = {
        .generation = p->generation,
        .arrived_at = p->arrived_at,
        .refresh_at = profile_next_attempt_at(p),
        .used_at = p->used_at,
        .failed_at = p->failed_at,
        .probe_at = p->probe_at,
        .demand_debt_at = p->demand_debt_at,
        .reports = p->reports,
        .was_fetching = p->is_fetching,
        .is_idle = p->is_idle,
        .n_failures = p->n_failures,
        .n_interrupted = p->n_interrupted,
        .failure = p->failure,
        .has_failed_ever = p->has_failed_ever,
        .choice = p->is_fetching ? p->first_choice : p->choice,
        .token_choice = p->token_choice,
        .noted_choice = p->noted_choice,
    };

    (void) snprintf(saved.name, sizeof(saved.name), "%s", p->name);
    int r = p->token_settings == p->settings ? token_copy(&p->token, &saved.token) : 0;
    if (r < 0)
        return r;
    *ret = saved;
    return 0;
}

/* ---- restoring ---- */

/* The latest moment that a life of this process could have planned for. */
static usec_t latest_attempt_at(const struct profile *p, usec_t now)
{
    usec_t retry_at = usec_add(now, usec_max(p->settings->refresh.retry_max_for, RETRY_AFTER_MAX));

    if (!token_is_set(&p->token) || p->n_failures > 0)
        return retry_at;
    return p->n_interrupted > 0 ? usec_max(p->token.expires_at, retry_at) : p->token.expires_at;
}

/* When to ask again for what the other process had asked for. */
static usec_t interrupted_retry_at(struct profile *p, usec_t now, uint64_t random)
{
    const struct failure lost = {.class = p->n_failures > 0 ? p->failure.class : FAILURE_TRANSIENT};
    usec_t left_for = 0;

    if (p->n_interrupted < INTERRUPTED_MAX)
        p->n_interrupted++;
    /* A restart is no failure of the upstream: the first time costs nobody a wait. */
    if (p->n_interrupted == 1 && p->n_failures == 0)
        return now;
    unsigned n = p->n_failures < UINT32_MAX - INTERRUPTED_MAX ? p->n_failures + p->n_interrupted : UINT32_MAX;
    if (profile_is_usable_for(p, MIN_TTL_DEFAULT, now))
        left_for =
            usec_sub(token_left_for(&p->token, now), policy_default_min_ttl_for(p->token.lifetime_for));
    return policy_retry_at(&p->settings->refresh, &lost, n, left_for, now, random);
}

static usec_t restored_refresh_at(struct profile *p, const struct saved_profile *saved, usec_t now,
                                  uint64_t random)
{
    bool is_empty = !token_is_set(&p->token) && p->n_failures == 0;

    if (p->is_idle)
        return USEC_INFINITY;
    if (saved->was_fetching)
        return saved->was_sent ? interrupted_retry_at(p, now, random) : now;
    if (saved->is_idle)
        return now; /* it is to be preloaded by now: what was left out */
    if (saved->refresh_at == USEC_INFINITY)
        return is_empty ? USEC_INFINITY : now;
    return usec_min(saved->refresh_at, latest_attempt_at(p, now));
}

/* Debts of leaky buckets, as far as they can have grown: with tokens of any life, for earlier ones may have
 * lived longer than this one. */
static void restore_debts(struct profile *p, const struct saved_profile *saved, usec_t now)
{
    const struct refresh_policy *policy = &p->settings->refresh;
    usec_t demands_for = (DEMAND_BURST + 1) * policy_demand_interval_for(policy, TOKEN_LIFETIME_MAX);
    usec_t reports_for = (REJECTION_BURST + 1) * policy_rejection_interval_for(policy, TOKEN_LIFETIME_MAX);

    p->demand_debt_at = usec_min(saved->demand_debt_at, usec_add(now, demands_for));
    p->reports = saved->reports;
    p->reports.debt_at = usec_min(p->reports.debt_at, usec_add(now, reports_for));
    for (size_t i = 0; i < REPORTERS_MAX; i++) {
        struct reporter *one = &p->reports.reporters[i];
        one->debt_at = usec_min(one->debt_at, usec_add(now, reports_for));
    }
}

/* Only what there is a key for. */
static struct key_choice restored_choice(const struct profile *p, struct key_choice choice)
{
    return (struct key_choice){
        .is_next_secret = choice.is_next_secret && profile_settings_has_next_secret(p->settings),
        .is_secondary_subscription =
            choice.is_secondary_subscription && profile_settings_has_secondary(p->settings),
    };
}

void profile_restore(struct profile *p, struct saved_profile *saved, usec_t now, uint64_t random)
{
    p->generation = saved->generation;
    p->arrived_at = usec_min(saved->arrived_at, now);
    p->used_at = usec_min(saved->used_at, now);
    p->failed_at = usec_min(saved->failed_at, now);
    p->probe_at = usec_min(saved->probe_at, usec_add(now, KEY_PROBE_FOR));
    p->is_idle = saved->is_idle && !p->settings->is_preloaded;
    p->n_failures = saved->n_failures;
    p->n_interrupted = saved->n_interrupted < INTERRUPTED_MAX ? saved->n_interrupted : INTERRUPTED_MAX;
    p->failure = saved->failure;
    p->has_failed_ever = saved->has_failed_ever;
    p->choice = restored_choice(p, saved->choice);
    p->token_choice = restored_choice(p, saved->token_choice);
    p->noted_choice = restored_choice(p, saved->noted_choice);
    restore_debts(p, saved, now);
    if (token_is_set(&saved->token) && saved->token.sent_at <= now && saved->token.expires_at > now)
        token_move(&p->token, &saved->token);
    p->token_settings = token_is_set(&p->token) ? p->settings : NULL;
    p->refresh_at = restored_refresh_at(p, saved, now, random);
    p->held_until_at = p->refresh_at == USEC_INFINITY ? 0 : p->refresh_at;
}

void profile_restore_generation(struct profile *p, const struct saved_profile *saved)
{
    p->generation = saved->generation;
}

void saved_profile_done(struct saved_profile *saved)
{
    if (!saved)
        return;
    token_done(&saved->token);
    *saved = (struct saved_profile){0};
}
