/* SPDX-License-Identifier: MIT */
#include "core/profile_keys.h"

#include <stdio.h>
#include <string.h>

/* ---- facts ---- */

bool profile_is_usable_for(const struct profile *p, usec_t min_ttl_for, usec_t now)
{
    if (min_ttl_for == MIN_TTL_DEFAULT)
        min_ttl_for = policy_default_min_ttl_for(p->token.lifetime_for);
    return token_is_usable(&p->token, now, min_ttl_for);
}

enum profile_state profile_state(const struct profile *p, usec_t now)
{
    bool has_failed = p->n_failures > 0;

    if (p->is_unusable)
        return PROFILE_UNUSABLE;
    if (p->is_idle)
        return PROFILE_IDLE;
    if (profile_is_usable_for(p, MIN_TTL_DEFAULT, now)) {
        if (has_failed)
            return p->is_fetching ? PROFILE_STALE_RETRYING : PROFILE_STALE;
        return p->is_fetching ? PROFILE_REFRESHING : PROFILE_FRESH;
    }
    if (has_failed)
        return p->is_fetching ? PROFILE_FAILED_RETRYING : PROFILE_FAILED;
    return p->is_fetching ? PROFILE_FETCHING : PROFILE_EMPTY;
}

const char *const profile_state_names[N_PROFILE_STATE_NAMES] = {"empty", "fetching", "fresh", "refreshing",
                                                                "stale", "failed",   "idle"};

const char *profile_state_name(enum profile_state state)
{
    static const char *const names[N_PROFILE_STATES] = {
        [PROFILE_EMPTY] = "empty",   [PROFILE_FETCHING] = "fetching",
        [PROFILE_FRESH] = "fresh",   [PROFILE_REFRESHING] = "refreshing",
        [PROFILE_STALE] = "stale",   [PROFILE_STALE_RETRYING] = "stale",
        [PROFILE_FAILED] = "failed", [PROFILE_FAILED_RETRYING] = "failed",
        [PROFILE_IDLE] = "idle",     [PROFILE_UNUSABLE] = "failed",
    };
    return names[state];
}

usec_t profile_next_attempt_at(const struct profile *p)
{
    return p->is_fetching ? USEC_INFINITY : usec_min(p->refresh_at, p->demand_at);
}

bool profile_is_worth_waiting(const struct profile *p, usec_t until)
{
    return p->is_fetching || profile_next_attempt_at(p) <= until;
}

/* ---- life ---- */

void profile_borrow_settings(struct profile *p, const struct profile_settings *settings)
{
    p->settings = settings;
    p->name = settings->name;
    p->description = settings->description;
    p->provider = provider_name(settings->provider);
    p->allow = &settings->allow;
}

void profile_init(struct profile *p, const struct profile_settings *settings)
{
    *p = (struct profile){
        .refresh_at = USEC_INFINITY,
        .demand_at = USEC_INFINITY,
    };
    profile_borrow_settings(p, settings);
}

void profile_repair(struct profile *p, const struct profile_settings *settings)
{
    uint64_t generation = p->generation;
    struct profile_stats stats = p->stats;

    profile_init(p, settings);
    p->generation = generation;
    p->stats = stats;
}

void profile_abort_fetch(struct profile *p)
{
    if (!p->is_fetching)
        return;
    p->is_fetching = false;
    keys_give_up(p);
}

bool profile_has_fallen_back(const struct profile *p)
{
    return p->has_tried_secrets || p->has_tried_subscriptions;
}

const struct attempt *profile_attempt(const struct profile *p, size_t back)
{
    if (back >= PROFILE_ATTEMPTS_MAX || back >= p->n_attempts)
        return NULL;
    return &p->attempts[(p->n_attempts - 1 - back) % PROFILE_ATTEMPTS_MAX];
}

void profile_init_unusable(struct profile *p, const struct unusable_profile *u, usec_t now)
{
    *p = (struct profile){
        .name = u->name,
        .description = u->description,
        .provider = u->provider,
        .allow = u->allow,
        .refresh_at = USEC_INFINITY,
        .demand_at = USEC_INFINITY,
        .is_unusable = true,
        .has_failed_ever = true,
        .failed_at = now,
        .n_failures = 1,
        .failure = {.class = FAILURE_PERMANENT, .reason = REASON_SETTINGS},
    };
    if ((size_t) snprintf(p->failure.message, sizeof(p->failure.message), "%s", u->message) >=
        sizeof(p->failure.message))
        memcpy(p->failure.message + sizeof(p->failure.message) - 4, "...", 4);
}

void profile_done(struct profile *p)
{
    if (p)
        token_done(&p->token);
}
