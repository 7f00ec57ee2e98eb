/* SPDX-License-Identifier: MIT */
#include "check.h"

size_t check_origin_limit(const struct sim *s, const struct sim_origin *o)
{
    bool has_others = false;

    for (size_t i = 0; i < s->n_profiles; i++)
        has_others = has_others || (sim_is_live(&s->profiles[i]) && s->profiles[i].origin != o);
    size_t limit = !has_others ? s->n_slots : o->is_suspect ? s->n_slots / 8 : s->n_slots / 2;
    return limit > 0 ? limit : 1;
}

/* At one upstream the most urgent goes first, so that nobody starves behind those who come again and again.
 */
static void check_turns(struct sim *s, const struct sim_profile *p)
{
    for (size_t i = 0; i < s->n_profiles; i++) {
        const struct sim_profile *q = &s->profiles[i];
        bool is_queued =
            sim_is_live(q) && q->model.was_asked && !q->model.is_in_flight && q->origin == p->origin;
        check(s, p, !is_queued || q->model.needed_at >= p->model.needed_at, "%s is passed over for %.3f s",
              q->name, (double) (s->now - q->model.needed_at) / 1e6);
    }
}

void check_start(struct sim *s, struct sim_profile *p)
{
    struct model *m = &p->model;

    check(s, p, m->was_asked, "a request nobody asked for");
    check(s, p, !m->is_in_flight, "a second request in flight");
    check(s, p, s->n_in_flight < s->n_slots, "more requests than slots");
    check(s, p, p->origin->n_in_flight < check_origin_limit(s, p->origin),
          "more requests than the origin's share");
    check(s, p, m->is_forced || s->now >= m->earliest_at, "a request starts too early");
    check_turns(s, p);
    check_keys_of_request(s, p);
    m->is_in_flight = true;
}

/* A window that was cut tells nothing: all draws beyond an end fall on it. */
static void observe(struct sim_spread *spread, struct check_window w, usec_t at, usec_t uncut_for)
{
    if (w.to - w.from < USEC_PER_MSEC || w.to - w.from + 2 < uncut_for)
        return;
    spread->n++;
    spread->sum += (at - w.from) * 1000 / (w.to - w.from);
}

/* The attempt is over. */
static void attempt_ended(struct sim *s, struct sim_profile *p, enum proof proof)
{
    struct model *m = &p->model;

    m->was_asked = m->is_forced = m->is_starting = false;
    m->n_interrupted = 0;
    m->held_until_at = 0;
    m->carried_at = USEC_INFINITY;
    m->keys.n_requests = 0;
    m->recover_by = USEC_INFINITY;
    if (m->proof != PROOF_PENDING)
        return;
    m->proof = proof;
    sim_count(s, proof == PROOF_GIVEN      ? N_PROOFS_GIVEN
                 : proof == PROOF_FALLBACK ? N_PROOFS_BY_FALLBACK
                                           : N_PROOFS_FAILED);
}

static void token_came(struct sim *s, struct sim_profile *p)
{
    struct model *m = &p->model;
    usec_t planned_at = profile_next_attempt_at(&p->entry->profile);

    m->has_token = true;
    m->is_token_of_old_keys = false;
    m->token = p->exchange;
    m->arrived_at = s->now;
    m->generation++;
    check(s, p, m->generation > p->generation_max, "a generation is told twice");
    p->generation_max = m->generation;
    m->earliest_at = m->token.sent_at + check_spacing_for(p);
    m->has_said_expired = false;
    m->n_failures = 0;
    sim_count(s, N_TOKENS);
    struct check_window w = check_refresh_window(p, s->now);
    check_planned(s, p, w, planned_at);
    observe(&s->counters.refreshes, w, planned_at,
            m->token.lifetime_for * p->draft.refresh.jitter_percent / 100);
    check(s, p, list_is_empty(&p->entry->waiters), "a token came, and somebody still waits");
    check_keys_worked(s, p);
    attempt_ended(s, p, m->keys.is_fallback ? PROOF_FALLBACK : PROOF_GIVEN);
    callers_watch_edge(s, p);
    reporters_watch(s, p, planned_at);
}

/* Whether somebody may wait on for the next attempt. */
static bool may_wait_on(const struct waiter *w, const struct failure *f, usec_t planned_at)
{
    switch (w->kind) {
    case WAIT_FOR_CHANGE:
        return true;
    case WAIT_FOR_TOKEN:
    case WAIT_FOR_NEWER:
        return f->class == FAILURE_TRANSIENT && w->deadline_at >= planned_at;
    case WAIT_FOR_OUTCOME:
    case WAIT_FOR_PROOFS:
        return false;
    }
    return false;
}

static void attempt_failed(struct sim *s, struct sim_profile *p)
{
    struct model *m = &p->model;
    usec_t planned_at = profile_next_attempt_at(&p->entry->profile);
    /* A token that came too late is a failure of a passing kind. */
    struct failure f =
        p->exchange.is_token ? (struct failure){.class = FAILURE_TRANSIENT} : p->exchange.failure;

    m->n_failures++;
    m->failed_at = s->now;
    m->last_class = f.class;
    sim_count(s, N_FAILURES);
    if (p->exchange.is_token)
        sim_count(s, N_LATE_TOKENS);
    struct check_window w = check_retry_window(s, p, &f);
    check_planned(s, p, w, planned_at);
    observe(&s->counters.retries, w, planned_at, 0);
    m->earliest_at = w.from;
    attempt_ended(s, p, PROOF_FAILED);
    list_foreach(i, &p->entry->waiters)
    {
        const struct waiter *waiter = container_of(i, struct waiter, link);
        check(s, p, may_wait_on(waiter, &f, planned_at), "somebody waits for what cannot come in time");
        if (waiter->kind == WAIT_FOR_CHANGE && check_is_usable(s, p, MIN_TTL_DEFAULT))
            sim_count(s, N_POLLS_OVER_FAILURES);
    }
    reporters_watch(s, p, planned_at);
}

void check_end(struct sim *s, struct sim_profile *p)
{
    const struct exchange *x = &p->exchange;
    usec_t end = x->sent_at + x->lifetime_for, left = end > s->now ? end - s->now : 0;
    bool is_fetching = p->entry->profile.is_fetching;

    p->model.is_in_flight = false;
    if (!x->is_token && check_keys_go_on(s, p)) {
        check(s, p, is_fetching, "another key was not tried");
        check(s, p, list_is_empty(&s->registry.answers), "somebody is told of a key that another replaces");
        p->model.needed_at = check_needed_at(s, p);
        return;
    }
    check(s, p, !is_fetching, "the attempt ended, and is still in flight");
    if (x->is_token && left > 0 && left >= check_default_min_ttl_for(x->lifetime_for))
        token_came(s, p);
    else
        attempt_failed(s, p);
}
