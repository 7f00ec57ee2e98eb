/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "core/profile_inside.h"
#include "core/profile_keys.h"

/* What a profile does: the cells of the table of states and events, and the table. */

static void step_nothing(struct step *s _unused_)
{
}

void step_begin_attempt(struct step *s)
{
    keys_begin(s->p, s->now);
    s->p->is_fetching = true;
    s->p->is_idle = false;
    s->p->refresh_at = USEC_INFINITY;
    s->p->demand_at = USEC_INFINITY;
    s->actions->fetch = true;
}

/* Asks the upstream now; who asked for it waits. */
static void step_fetch(struct step *s)
{
    step_begin_attempt(s);
    s->actions->verdict = VERDICT_WAIT;
}

static void step_fetch_if_preloaded(struct step *s)
{
    /* Where a moment is planned already, another process has left it (core/saved.h). */
    if (s->p->settings->is_preloaded && (s->p->refresh_at == USEC_INFINITY || s->p->refresh_at <= s->now))
        step_begin_attempt(s);
}

/* The moment of a refresh or retry, and nobody has asked for long: left out, until somebody does. */
static void stop_refreshing(struct step *s)
{
    s->p->is_idle = true;
    s->p->refresh_at = USEC_INFINITY;
    s->p->demand_at = USEC_INFINITY;
    s->actions->note = NOTE_IDLE;
}

static void step_fetch_or_idle(struct step *s)
{
    const struct profile_settings *settings = s->p->settings;

    if (settings->is_preloaded || s->now < usec_add(s->p->used_at, settings->idle_after_for))
        step_begin_attempt(s);
    else
        stop_refreshing(s);
}

/* The distance that is kept after requests whose answer nobody saw; in the past: none. */
static usec_t held_until_at(const struct profile *p)
{
    return p->n_interrupted > 0 ? p->held_until_at : 0;
}

/* In EMPTY: the token ran out unnoticed, as after a suspend; what was planned for later comes too late. */
static void step_fetch_unless_held(struct step *s)
{
    if (held_until_at(s->p) <= s->now)
        step_fetch_or_idle(s);
}

static void step_fetch_if_due(struct step *s)
{
    if (profile_next_attempt_at(s->p) <= s->now)
        step_fetch_or_idle(s);
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
    if (s->actions->verdict == VERDICT_WAIT && held_until_at(s->p) <= s->now)
        step_fetch(s);
}

/* When the spacing of two attempts is kept, counted from when the last one was sent, not asked for: it may
 * have waited long for a slot. */
static usec_t spaced_at(const struct profile *p)
{
    usec_t at = usec_add(p->token.sent_at, policy_spacing_for(&p->settings->refresh, p->token.lifetime_for));

    return usec_max(at, held_until_at(p));
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

    p->demand_debt_at = usec_add(debt_at, interval);
    p->demand_at = usec_max(s->now, usec_max(bucket_opens_at(debt_at, DEMAND_BURST, interval), spaced_at(p)));
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

/* ---- reports of rejected tokens ---- */

/* The current token is reported while nothing is in flight and nothing has failed. */
static void step_take_report(struct step *s)
{
    struct profile *p = s->p;

    usec_t earliest_at = usec_max(s->now, spaced_at(p));

    s->actions->verdict = VERDICT_WAIT;
    /* A request is to be made anyway, and no later: one that a long min_ttl has planned behind its own budget
     * is no reason to leave callers with a dead token until then. */
    if (p->demand_at <= earliest_at)
        return;
    usec_t interval = policy_rejection_interval_for(&p->settings->refresh, p->token.lifetime_for);
    if (!reports_take(&p->reports, s->event->uid, interval, s->now, &s->actions->allowed_at)) {
        p->stats.reports_refused++;
        s->actions->verdict = VERDICT_TOO_OFTEN;
        return;
    }
    p->stats.reports++;
    p->is_idle = false;
    p->demand_at = earliest_at;
    if (p->demand_at <= s->now)
        step_fetch(s);
}

/* The current token is reported while attempts fail: the back-off stands. */
static void step_report_in_backoff(struct step *s)
{
    if (profile_next_attempt_at(s->p) <= s->now)
        step_fetch(s);
    else
        s->actions->verdict = s->p->failure.class == FAILURE_PERMANENT ? VERDICT_REFUSED : VERDICT_WAIT;
}

/* ---- a request while nobody had asked for long ---- */

/* Refreshing goes on, and with what was left out: the moment for it has passed. */
static void step_wake(struct step *s)
{
    enum verdict verdict = judge_request(s);

    step_begin_attempt(s);
    s->actions->verdict = verdict;
}

/* ---- ends of requests ---- */

static void remember_attempt(struct step *s, const struct failure *failure)
{
    struct profile *p = s->p;

    p->attempts[p->n_attempts++ % PROFILE_ATTEMPTS_MAX] = (struct attempt){
        .at = s->now,
        .is_token = !failure,
        .reason = failure ? failure->reason : 0,
        .http_status = failure ? failure->http_status : 200,
    };
}

static void accept_failure(struct step *s, const struct failure *failure)
{
    struct profile *p = s->p;
    usec_t left_for = 0;

    p->is_fetching = false;
    p->n_interrupted = 0;
    keys_give_up(p);
    remember_attempt(s, failure);
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
}

static void step_fail(struct step *s)
{
    const struct failure *failure = s->event->failure;

    s->p->stats.upstream_failed[failure->reason]++;
    if (keys_try_other(s->p, failure))
        s->actions->fetch = true; /* the attempt goes on */
    else
        accept_failure(s, failure);
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
        p->stats.upstream_failed[late.reason]++;
        accept_failure(s, &late);
        return;
    }
    s->actions->note = p->n_failures > 0 ? NOTE_RECOVERED : NOTE_FETCHED;
    s->actions->has_ended = true;
    p->is_fetching = false;
    p->is_expiry_noted = false;
    p->n_failures = 0;
    p->n_interrupted = 0;
    p->generation++;
    p->arrived_at = s->now;
    p->refresh_at = policy_refresh_at(&p->settings->refresh, t, s->now, s->event->random);
    p->stats.upstream_ok++;
    remember_attempt(s, NULL);
    s->actions->has_changed_keys = keys_keep(p, s->now);
    token_move(&p->token, s->event->token);
}

typedef void step_function(struct step *s);

/* clang-format off */
static step_function *const steps[N_PROFILE_STATES][N_EVENT_KINDS] = {
    [PROFILE_EMPTY] = {
        [EVENT_START]    = step_fetch_if_preloaded,
        [EVENT_REQUEST]  = step_answer_or_fetch,
        [EVENT_DEADLINE] = step_fetch_unless_held,
        [EVENT_REFRESH]  = step_fetch,
        [EVENT_REJECTED] = step_take_report,
        [EVENT_TOKEN]    = step_nothing,         /* no fetch is in flight: cannot happen, and must not harm */
        [EVENT_FAILURE]  = step_nothing,
        [EVENT_SETTINGS] = step_take_settings,
    },
    [PROFILE_FETCHING] = {
        [EVENT_START]    = step_nothing,
        [EVENT_REQUEST]  = step_answer_or_wait,
        [EVENT_DEADLINE] = step_nothing,
        [EVENT_REFRESH]  = step_wait,            /* joins the fetch in flight */
        [EVENT_REJECTED] = step_wait,
        [EVENT_TOKEN]    = step_accept,
        [EVENT_FAILURE]  = step_fail,
        [EVENT_SETTINGS] = step_take_settings,
    },
    [PROFILE_FRESH] = {
        [EVENT_START]    = step_nothing,
        [EVENT_REQUEST]  = step_answer_or_demand,
        [EVENT_DEADLINE] = step_fetch_if_due,
        [EVENT_REFRESH]  = step_fetch,
        [EVENT_REJECTED] = step_take_report,
        [EVENT_TOKEN]    = step_nothing,
        [EVENT_FAILURE]  = step_nothing,
        [EVENT_SETTINGS] = step_take_settings,
    },
    [PROFILE_REFRESHING] = {
        [EVENT_START]    = step_nothing,
        [EVENT_REQUEST]  = step_answer_or_wait,
        [EVENT_DEADLINE] = step_nothing,
        [EVENT_REFRESH]  = step_wait,
        [EVENT_REJECTED] = step_wait,
        [EVENT_TOKEN]    = step_accept,
        [EVENT_FAILURE]  = step_fail,
        [EVENT_SETTINGS] = step_take_settings,
    },
    [PROFILE_STALE] = {
        [EVENT_START]    = step_nothing,
        [EVENT_REQUEST]  = step_answer_or_await_retry,
        [EVENT_DEADLINE] = step_fetch_if_due,
        [EVENT_REFRESH]  = step_fetch,
        [EVENT_REJECTED] = step_report_in_backoff,
        [EVENT_TOKEN]    = step_nothing,
        [EVENT_FAILURE]  = step_nothing,
        [EVENT_SETTINGS] = step_take_settings,
    },
    [PROFILE_STALE_RETRYING] = {
        [EVENT_START]    = step_nothing,
        [EVENT_REQUEST]  = step_answer_or_wait,
        [EVENT_DEADLINE] = step_nothing,
        [EVENT_REFRESH]  = step_wait,
        [EVENT_REJECTED] = step_wait,
        [EVENT_TOKEN]    = step_accept,
        [EVENT_FAILURE]  = step_fail,
        [EVENT_SETTINGS] = step_take_settings,
    },
    [PROFILE_FAILED] = {
        [EVENT_START]    = step_nothing,
        [EVENT_REQUEST]  = step_await_retry,
        [EVENT_DEADLINE] = step_fetch_if_due,
        [EVENT_REFRESH]  = step_fetch,
        [EVENT_REJECTED] = step_report_in_backoff,
        [EVENT_TOKEN]    = step_nothing,
        [EVENT_FAILURE]  = step_nothing,
        [EVENT_SETTINGS] = step_take_settings,
    },
    [PROFILE_FAILED_RETRYING] = {
        [EVENT_START]    = step_nothing,
        [EVENT_REQUEST]  = step_answer_or_wait,
        [EVENT_DEADLINE] = step_nothing,
        [EVENT_REFRESH]  = step_wait,
        [EVENT_REJECTED] = step_wait,
        [EVENT_TOKEN]    = step_accept,
        [EVENT_FAILURE]  = step_fail,
        [EVENT_SETTINGS] = step_take_settings,
    },
    [PROFILE_IDLE] = {
        [EVENT_START]    = step_nothing,
        [EVENT_REQUEST]  = step_wake,
        [EVENT_DEADLINE] = step_nothing,
        [EVENT_REFRESH]  = step_fetch,
        [EVENT_REJECTED] = step_take_report,
        [EVENT_TOKEN]    = step_nothing,
        [EVENT_FAILURE]  = step_nothing,
        [EVENT_SETTINGS] = step_take_settings,
    },
    [PROFILE_UNUSABLE] = {
        [EVENT_START]    = step_nothing,
        [EVENT_REQUEST]  = step_refuse,
        [EVENT_DEADLINE] = step_nothing,
        [EVENT_REFRESH]  = step_refuse,
        [EVENT_REJECTED] = step_refuse,
        [EVENT_TOKEN]    = step_nothing,
        [EVENT_FAILURE]  = step_nothing,
        [EVENT_SETTINGS] = step_nothing,
    },
};
/* clang-format on */

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

/* What time alone has done since the last step: a token that ran out is wiped, and said once when retries
 * fail. */
static void settle(struct profile *p, usec_t now, struct actions *actions)
{
    if (!token_is_set(&p->token))
        return;
    if (p->n_failures > 0 && !p->is_idle && !p->is_expiry_noted &&
        !profile_is_usable_for(p, MIN_TTL_DEFAULT, now)) {
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
    if (event->kind == EVENT_REQUEST || event->kind == EVENT_REJECTED)
        p->used_at = now;
    steps[profile_state(p, now)][event->kind](&s);
    if (!p->is_unusable)
        actions.wake_at = next_wake_at(p, now);
    return actions;
}
