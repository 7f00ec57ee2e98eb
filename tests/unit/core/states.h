/* SPDX-License-Identifier: MIT */
#pragma once

/* A profile in each of its states, at which it arrives by real events. */

#include "fixtures.h"

#define LIFE     SEC(3600)
#define UNUSABLE (SEC(3570) + 1)
#define NEVER    USEC_INFINITY

static char shop[] = "shop";
static const struct profile_settings settings = {.name = shop, EXACT_SETTINGS};
/* Not preloaded, and idle before the refresh of its first token is due. */
static const struct profile_settings lazy_settings = {
    .name = shop, .refresh = EXACT_POLICY, .idle_after_for = 1000 * USEC_PER_SEC};

/* ---- setups ---- */

static inline struct actions step(struct profile *p, enum event_kind kind, usec_t at)
{
    return profile_step(p, &(struct event){.kind = kind}, T0 + at);
}

static inline struct actions step_token(struct profile *p, usec_t sent_at, usec_t at)
{
    _cleanup_(token_done) struct token t = make_token("token", T0 + sent_at, LIFE);
    return profile_step(p, &(struct event){.kind = EVENT_TOKEN, .token = &t}, T0 + at);
}

/* The second half of the first window: a retry in 2 s. */
static inline struct actions step_failure(struct profile *p, struct failure f, usec_t at)
{
    return profile_step(p, &(struct event){.kind = EVENT_FAILURE, .failure = &f, .random = SEC(1)}, T0 + at);
}

/* Brings a profile into the state; returns the moment (from T0) at which the cell's event comes. */
static inline usec_t set_up(struct profile *p, enum profile_state state)
{
    profile_init(p, &settings);
    switch (state) {
    case PROFILE_EMPTY:
        return 0;
    case PROFILE_FETCHING:
        step(p, EVENT_START, 0);
        return SEC(1);
    case PROFILE_FRESH:
        step(p, EVENT_START, 0);
        step_token(p, 0, SEC(1));
        return SEC(100);
    case PROFILE_REFRESHING:
        set_up(p, PROFILE_FRESH);
        step(p, EVENT_DEADLINE, SEC(1800));
        return SEC(1801);
    case PROFILE_STALE:
        set_up(p, PROFILE_REFRESHING);
        step_failure(p, UNAVAILABLE, SEC(1801));
        return SEC(1802);
    case PROFILE_STALE_RETRYING:
        set_up(p, PROFILE_STALE);
        step(p, EVENT_DEADLINE, SEC(1803));
        return SEC(1804);
    case PROFILE_FAILED:
        set_up(p, PROFILE_FETCHING);
        step_failure(p, UNAVAILABLE, SEC(1));
        return SEC(2);
    case PROFILE_FAILED_RETRYING:
        set_up(p, PROFILE_FAILED);
        step(p, EVENT_DEADLINE, SEC(3));
        return SEC(4);
    case PROFILE_IDLE:
        profile_init(p, &lazy_settings);
        step(p, EVENT_REQUEST, 0);
        step_token(p, 0, SEC(1));
        step(p, EVENT_DEADLINE, SEC(1800));
        return SEC(1801);
    case PROFILE_UNUSABLE:
        profile_init_unusable(
            p, &(struct unusable_profile){.name = shop, .message = "shop.conf:3: no ClientSecretFile="}, T0);
        return SEC(1);
    case N_PROFILE_STATES:
        break;
    }
    fail();
    return 0;
}
