/* SPDX-License-Identifier: MIT */
#include "check.h"

struct check_before check_before_reload(const struct sim *s _unused_, const struct sim_profile *p)
{
    bool is_live = sim_is_live(p);

    return (struct check_before){
        .next_attempt_at = is_live ? profile_next_attempt_at(&p->entry->profile) : USEC_INFINITY,
        .demand_at = is_live ? p->entry->profile.demand_at : USEC_INFINITY,
        .n_waiting = p->n_waiting,
        .was_live = is_live,
        .draft = p->draft,
    };
}

/* Callers do not notice, whatever was on its way goes on. */
static void check_untouched(struct sim *s, const struct sim_profile *p, const struct check_before *b)
{
    const struct profile *f = &p->entry->profile;

    check(s, p, f->is_fetching == p->model.was_asked && p->entry->is_in_flight == p->model.is_in_flight,
          "settings that did not change it touched its fetch");
    check(s, p, profile_next_attempt_at(f) == b->next_attempt_at && f->demand_at == b->demand_at,
          "settings that did not change it moved its next attempt");
}

/* Only when to ask: the back-off stands, and so does what is in flight. */
static void check_policy(struct sim *s, struct sim_profile *p, const struct check_before *b)
{
    const struct profile *f = &p->entry->profile;
    struct model *m = &p->model;
    bool is_empty = m->n_failures == 0 && check_left_for(s, p) == 0;
    bool must_begin = !m->was_asked && p->draft.is_preloaded && (m->is_asleep || is_empty);

    check(s, p, f->is_fetching == (m->was_asked || must_begin), "preload %d, and fetches %d",
          p->draft.is_preloaded, f->is_fetching);
    check(s, p, f->is_fetching || f->demand_at == b->demand_at, "a new policy touched a demand");
    if (m->n_failures == 0)
        m->earliest_at = usec_min(m->earliest_at, m->token.sent_at + check_spacing_for(p));
    m->held_until_at = 0;
    if (f->is_fetching)
        return;
    if (m->n_failures > 0 || m->is_asleep) {
        check(s, p, profile_next_attempt_at(f) == b->next_attempt_at, "a new policy touched the back-off");
        return;
    }
    if (!is_empty)
        check_planned(s, p, check_refresh_window(p, s->now), f->refresh_at);
    m->is_repeated = false;
    m->replanned_at = s->now;
}

/* A token is asked for at once with new keys, where anybody has a use for one. */
static void check_asked_anew(struct sim *s, struct sim_profile *p, const struct check_before *b, bool had_use)
{
    struct model *m = &p->model;
    bool is_fetching = p->entry->profile.is_fetching;
    bool must_ask = p->draft.is_preloaded || b->n_waiting > 0 || had_use;

    check(s, p, is_fetching == must_ask, "new keys: preloaded %d, %zu waiting, in use %d, but fetching %d",
          p->draft.is_preloaded, b->n_waiting, had_use, is_fetching);
    m->is_forced = is_fetching;
    m->was_asked = m->is_in_flight = m->is_repeated = false;
    m->held_until_at = 0;
    m->proof = is_fetching ? PROOF_PENDING : PROOF_NONE;
    if (m->is_starting && !is_fetching)
        sim_count(s, N_STARTS_CALLED_OFF);
    m->is_starting = m->is_starting && is_fetching;
    m->is_asleep = !is_fetching && profile_next_attempt_at(&p->entry->profile) == USEC_INFINITY;
    check_keys_begin(p, true);
}

static void check_changed_keys(struct sim *s, struct sim_profile *p, const struct check_before *b)
{
    struct model *m = &p->model;
    bool has_token = check_left_for(s, p) > 0;

    if (has_token)
        sim_count(s, N_KEPT_OVER_KEYS);
    m->is_token_of_old_keys = true;
    check_asked_anew(s, p, b, !m->is_asleep && (has_token || m->n_failures > 0));
}

static void check_changed_identity(struct sim *s, struct sim_profile *p, const struct check_before *b)
{
    struct model *m = &p->model;
    bool had_use = !m->is_asleep && (check_left_for(s, p) > 0 || m->n_failures > 0);

    m->has_token = m->has_said_expired = m->is_token_of_old_keys = false;
    m->n_failures = m->n_demands = 0;
    m->earliest_at = 0;
    m->reports_of_all = (struct bucket){0};
    for (size_t i = 0; i < SIM_UIDS_MAX; i++)
        m->reports[i] = (struct bucket){0};
    m->demand_at = USEC_INFINITY;
    check(s, p, !token_is_set(&p->entry->profile.token), "another client's token is kept");
    check_asked_anew(s, p, b, had_use);
    check(s, p, m->is_asleep == !p->entry->profile.is_fetching, "a new client inherits a plan");
}

static void check_changed_profile(struct sim *s, struct sim_profile *p, const struct check_before *b)
{
    struct model *m = &p->model;

    if (m->proof != PROOF_PENDING)
        m->proof = PROOF_NONE;
    if (b->change <= CHANGE_POLICY && m->is_in_flight)
        sim_count(s, N_CHANGED_IN_FLIGHT);
    if (m->n_failures > 0 && !m->was_asked)
        sim_count(s, N_RELOADS_IN_BACK_OFF);
    switch (b->change) {
    case CHANGE_NONE:
    case CHANGE_ACCESS:
        sim_count(s, N_CHANGES_NONE);
        check_untouched(s, p, b);
        break;
    case CHANGE_POLICY:
        sim_count(s, N_CHANGES_POLICY);
        check_policy(s, p, b);
        break;
    case CHANGE_KEYS:
        sim_count(s, N_CHANGES_KEYS);
        check_changed_keys(s, p, b);
        break;
    case CHANGE_IDENTITY:
        sim_count(s, N_CHANGES_IDENTITY);
        check_changed_identity(s, p, b);
        break;
    }
    size_t n_waiters = 0;
    list_foreach(i, &p->entry->waiters) n_waiters++;
    check(s, p, n_waiters == b->n_waiting, "%zu waited, and now %zu", b->n_waiting, n_waiters);
}

/* A profile that was not there, or could not be used. */
static void check_new_profile(struct sim *s, struct sim_profile *p)
{
    const struct profile *f = &p->entry->profile;

    check_begin(p);
    check(s, p, !token_is_set(&f->token) && f->n_failures == 0, "it begins with something");
    check(s, p, f->generation >= p->generation_max, "it begins with a generation that was told before");
    check(s, p, f->is_fetching == p->draft.is_preloaded, "preloaded %d, and fetches %d",
          p->draft.is_preloaded, f->is_fetching);
    p->model.proof = f->is_fetching ? PROOF_PENDING : PROOF_NONE;
    p->model.is_forced = f->is_fetching;
    p->model.is_asleep = !f->is_fetching;
}

void check_reloaded(struct sim *s, struct sim_profile *p, const struct check_before *b)
{
    check_expect_recovery(p);
    if (!sim_is_live(p)) {
        check(s, p, !registry_find(&s->registry, p->name), "it was removed, and is still there");
        p->model = (struct model){0};
        return;
    }
    if (b->was_live)
        check_changed_profile(s, p, b);
    else
        check_new_profile(s, p);
    check_after(s, p, CALL_RELOAD, MIN_TTL_DEFAULT);
}

size_t check_n_proving(const struct sim *s)
{
    size_t n = 0;

    for (size_t i = 0; i < s->n_profiles; i++)
        n += sim_is_live(&s->profiles[i]) && s->profiles[i].model.proof == PROOF_PENDING;
    return n;
}
