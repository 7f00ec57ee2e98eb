/* SPDX-License-Identifier: MIT */
#include "core/profile.h"

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
    if (profile_is_usable_for(p, MIN_TTL_DEFAULT, now)) {
        if (has_failed)
            return p->is_fetching ? PROFILE_STALE_RETRYING : PROFILE_STALE;
        return p->is_fetching ? PROFILE_REFRESHING : PROFILE_FRESH;
    }
    if (has_failed)
        return p->is_fetching ? PROFILE_FAILED_RETRYING : PROFILE_FAILED;
    return p->is_fetching ? PROFILE_FETCHING : PROFILE_EMPTY;
}

const char *const profile_state_names[N_PROFILE_STATE_NAMES] = {"empty",      "fetching", "fresh",
                                                                "refreshing", "stale",    "failed"};

const char *profile_state_name(enum profile_state state)
{
    static const char *const names[N_PROFILE_STATES] = {
        [PROFILE_EMPTY] = "empty",     [PROFILE_FETCHING] = "fetching",
        [PROFILE_FRESH] = "fresh",     [PROFILE_REFRESHING] = "refreshing",
        [PROFILE_STALE] = "stale",     [PROFILE_STALE_RETRYING] = "stale",
        [PROFILE_FAILED] = "failed",   [PROFILE_FAILED_RETRYING] = "failed",
        [PROFILE_UNUSABLE] = "failed",
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

/* The next moment at which anything changes by itself. */
static usec_t next_wake_at(const struct profile *p, usec_t now)
{
    usec_t wake_at = profile_next_attempt_at(p);

    if (token_is_set(&p->token)) {
        /* One microsecond past the last usable moment: at that moment itself the token is still good. */
        usec_t unusable_at =
            usec_add(usec_sub(p->token.expires_at, policy_default_min_ttl_for(p->token.lifetime_for)), 1);
        wake_at = usec_min(wake_at, now < unusable_at ? unusable_at : p->token.expires_at);
    }
    return wake_at;
}

/* ---- the cells ---- */

struct step {
    struct profile *p;
    const struct event *event;
    usec_t now;
    struct actions *actions;
};

static void step_nothing(struct step *s _unused_)
{
}

/* Asks the upstream now. */
static void step_fetch(struct step *s)
{
    s->p->is_fetching = true;
    s->p->refresh_at = USEC_INFINITY;
    s->p->demand_at = USEC_INFINITY;
    s->actions->fetch = true;
    s->actions->verdict = s->event->kind == EVENT_REQUEST ? VERDICT_WAIT : VERDICT_NONE;
}

static void step_fetch_if_due(struct step *s)
{
    if (profile_next_attempt_at(s->p) <= s->now)
        step_fetch(s);
}

static void step_wait(struct step *s)
{
    s->actions->verdict = VERDICT_WAIT;
}

static void step_refuse(struct step *s)
{
    s->actions->verdict = VERDICT_REFUSED;
}

/* Nothing usable and the last attempt failed: the back-off stands, a caller does not shorten it. */
static void step_await_retry(struct step *s)
{
    if (s->event->min_ttl_for != MIN_TTL_DEFAULT &&
        profile_is_usable_for(s->p, s->event->min_ttl_for, s->now))
        s->actions->verdict = VERDICT_TOKEN;
    else if (profile_next_attempt_at(s->p) <= s->now)
        step_fetch(s);
    else
        s->actions->verdict = s->p->failure.class == FAILURE_PERMANENT ? VERDICT_REFUSED : VERDICT_WAIT;
}

/* The verdict for a caller who may be served from what is here; VERDICT_WAIT when only a newer token would
 * do. */
static enum verdict judge_request(const struct step *s)
{
    const struct profile *p = s->p;
    usec_t min_ttl_for = s->event->min_ttl_for;

    if (profile_is_usable_for(p, min_ttl_for, s->now))
        return VERDICT_TOKEN;
    /* The best that can be had is what this token had left when it came. */
    if (min_ttl_for != MIN_TTL_DEFAULT && token_is_set(&p->token) &&
        min_ttl_for > usec_sub(p->token.expires_at, p->arrived_at))
        return VERDICT_TOO_LONG;
    return VERDICT_WAIT;
}

/* A request while a fetch is in flight. */
static void step_answer_or_wait(struct step *s)
{
    s->actions->verdict = judge_request(s);
}

/* A request in EMPTY: only an explicit small min_ttl can still be served. */
static void step_answer_or_fetch(struct step *s)
{
    s->actions->verdict = judge_request(s);
    if (s->actions->verdict == VERDICT_WAIT)
        step_fetch(s);
}

/*
 * A request while a token is usable by default. One that needs more life than is left sets off a refresh of
 * its own, within the budget that policy.h states: spaced, and by a leaky bucket.
 */
static void step_answer_or_demand(struct step *s)
{
    struct profile *p = s->p;

    s->actions->verdict = judge_request(s);
    if (s->actions->verdict != VERDICT_WAIT || p->demand_at != USEC_INFINITY)
        return;
    usec_t interval = policy_demand_interval_for(&p->settings->refresh, p->token.lifetime_for);
    usec_t debt_at = usec_max(p->demand_debt_at, s->now);
    usec_t bucket_at = usec_sub(debt_at, (DEMAND_BURST - 1) * interval);
    /* Counted from when the last request was sent, not asked for: it may have waited long for a slot. */
    usec_t spaced_at =
        usec_add(p->token.sent_at, policy_spacing_for(&p->settings->refresh, p->token.lifetime_for));

    p->demand_debt_at = usec_add(debt_at, interval);
    p->demand_at = usec_max(s->now, usec_max(bucket_at, spaced_at));
    if (p->demand_at <= s->now)
        step_fetch(s);
}

/* A request in STALE: served from the token, or it waits for the retry that is planned anyway. */
static void step_answer_or_await_retry(struct step *s)
{
    s->actions->verdict = judge_request(s);
    if (s->actions->verdict == VERDICT_WAIT)
        step_await_retry(s);
}

static void accept_failure(struct step *s, const struct failure *failure)
{
    struct profile *p = s->p;
    usec_t left_for = 0;

    p->is_fetching = false;
    if (p->n_failures < UINT32_MAX)
        p->n_failures++;
    p->failure = *failure;
    p->failed_at = s->now;
    p->has_failed_ever = true;
    /* Half of what callers can still use is what matters, so the default min_ttl is not counted as left. */
    if (profile_is_usable_for(p, MIN_TTL_DEFAULT, s->now))
        left_for =
            usec_sub(token_left_for(&p->token, s->now), policy_default_min_ttl_for(p->token.lifetime_for));
    p->refresh_at =
        policy_retry_at(&p->settings->refresh, failure, p->n_failures, left_for, s->now, s->event->random);
    s->actions->has_ended = true;
    if (profile_is_usable_for(p, MIN_TTL_DEFAULT, s->now)) {
        s->actions->note = NOTE_REFRESH_FAILED;
    } else {
        s->actions->note = NOTE_FAILED;
        p->is_expiry_noted = true;
    }
    p->stats.upstream_failed[failure->reason]++;
}

static void step_fail(struct step *s)
{
    accept_failure(s, s->event->failure);
}

static void step_accept(struct step *s)
{
    struct profile *p = s->p;
    const struct token *t = s->event->token;

    /* A token that no caller can be given is a failed attempt; counting it as one is what slows the retries
     * down. */
    if (!token_is_usable(t, s->now, policy_default_min_ttl_for(t->lifetime_for))) {
        struct failure late = {
            .class = FAILURE_TRANSIENT, .reason = REASON_EXPIRED_ON_ARRIVAL, .http_status = 200};
        (void) snprintf(late.message, sizeof(late.message),
                        "the token's life was nearly over before its answer arrived");
        accept_failure(s, &late);
        return;
    }
    s->actions->note = p->n_failures > 0 ? NOTE_RECOVERED : NOTE_FETCHED;
    s->actions->has_ended = true;
    p->is_fetching = false;
    p->is_expiry_noted = false;
    p->n_failures = 0;
    p->generation++;
    p->arrived_at = s->now;
    p->refresh_at = policy_refresh_at(&p->settings->refresh, t, s->now, s->event->random);
    p->stats.upstream_ok++;
    token_move(&p->token, s->event->token);
}

typedef void step_function(struct step *s);

/* clang-format off */
static step_function *const steps[N_PROFILE_STATES][N_EVENT_KINDS] = {
    [PROFILE_EMPTY] = {
        [EVENT_START]    = step_fetch,
        [EVENT_REQUEST]  = step_answer_or_fetch,
        [EVENT_DEADLINE] = step_fetch,           /* the token ran out unnoticed, as after a suspend */
        [EVENT_REFRESH]  = step_fetch,
        [EVENT_TOKEN]    = step_nothing,         /* no fetch is in flight: cannot happen, and must not harm */
        [EVENT_FAILURE]  = step_nothing,
    },
    [PROFILE_FETCHING] = {
        [EVENT_START]    = step_nothing,
        [EVENT_REQUEST]  = step_answer_or_wait,
        [EVENT_DEADLINE] = step_nothing,
        [EVENT_REFRESH]  = step_wait,            /* joins the fetch in flight */
        [EVENT_TOKEN]    = step_accept,
        [EVENT_FAILURE]  = step_fail,
    },
    [PROFILE_FRESH] = {
        [EVENT_START]    = step_nothing,
        [EVENT_REQUEST]  = step_answer_or_demand,
        [EVENT_DEADLINE] = step_fetch_if_due,
        [EVENT_REFRESH]  = step_fetch,
        [EVENT_TOKEN]    = step_nothing,
        [EVENT_FAILURE]  = step_nothing,
    },
    [PROFILE_REFRESHING] = {
        [EVENT_START]    = step_nothing,
        [EVENT_REQUEST]  = step_answer_or_wait,
        [EVENT_DEADLINE] = step_nothing,
        [EVENT_REFRESH]  = step_wait,
        [EVENT_TOKEN]    = step_accept,
        [EVENT_FAILURE]  = step_fail,
    },
    [PROFILE_STALE] = {
        [EVENT_START]    = step_nothing,
        [EVENT_REQUEST]  = step_answer_or_await_retry,
        [EVENT_DEADLINE] = step_fetch_if_due,
        [EVENT_REFRESH]  = step_fetch,
        [EVENT_TOKEN]    = step_nothing,
        [EVENT_FAILURE]  = step_nothing,
    },
    [PROFILE_STALE_RETRYING] = {
        [EVENT_START]    = step_nothing,
        [EVENT_REQUEST]  = step_answer_or_wait,
        [EVENT_DEADLINE] = step_nothing,
        [EVENT_REFRESH]  = step_wait,
        [EVENT_TOKEN]    = step_accept,
        [EVENT_FAILURE]  = step_fail,
    },
    [PROFILE_FAILED] = {
        [EVENT_START]    = step_nothing,
        [EVENT_REQUEST]  = step_await_retry,
        [EVENT_DEADLINE] = step_fetch_if_due,
        [EVENT_REFRESH]  = step_fetch,
        [EVENT_TOKEN]    = step_nothing,
        [EVENT_FAILURE]  = step_nothing,
    },
    [PROFILE_FAILED_RETRYING] = {
        [EVENT_START]    = step_nothing,
        [EVENT_REQUEST]  = step_answer_or_wait,
        [EVENT_DEADLINE] = step_nothing,
        [EVENT_REFRESH]  = step_wait,
        [EVENT_TOKEN]    = step_accept,
        [EVENT_FAILURE]  = step_fail,
    },
    [PROFILE_UNUSABLE] = {
        [EVENT_START]    = step_nothing,
        [EVENT_REQUEST]  = step_refuse,
        [EVENT_DEADLINE] = step_nothing,
        [EVENT_REFRESH]  = step_refuse,
        [EVENT_TOKEN]    = step_nothing,
        [EVENT_FAILURE]  = step_nothing,
    },
};
/* clang-format on */

/* What time alone has done since the last step: a token that ran out is wiped, and said once when retries
 * fail. */
static void settle(struct profile *p, usec_t now, struct actions *actions)
{
    if (!token_is_set(&p->token))
        return;
    if (p->n_failures > 0 && !p->is_expiry_noted && !profile_is_usable_for(p, MIN_TTL_DEFAULT, now)) {
        p->is_expiry_noted = true;
        actions->note = NOTE_EXPIRED;
    }
    if (now >= p->token.expires_at)
        token_done(&p->token);
}

struct actions profile_step(struct profile *p, const struct event *event, usec_t now)
{
    struct actions actions = {.wake_at = USEC_INFINITY};
    struct step s = {.p = p, .event = event, .now = now, .actions = &actions};

    settle(p, now, &actions);
    steps[profile_state(p, now)][event->kind](&s);
    if (!p->is_unusable)
        actions.wake_at = next_wake_at(p, now);
    return actions;
}

void profile_init(struct profile *p, const struct profile_settings *settings)
{
    *p = (struct profile){
        .settings = settings,
        .name = settings->name,
        .description = settings->description,
        .provider = provider_name(settings->provider),
        .allow = &settings->allow,
        .refresh_at = USEC_INFINITY,
        .demand_at = USEC_INFINITY,
    };
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
