/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "check.h"

/* A reload while it is made: for each profile what it was, what it is to be, and the settings of that. */
struct reload {
    struct check_before before[SIM_PROFILES_MAX];
    struct draft drafts[SIM_PROFILES_MAX];
    struct profile_settings *settings[SIM_PROFILES_MAX]; /* NULL for one that is not there */
    struct profile_settings *list[SIM_PROFILES_MAX];     /* the same, without gaps */
    size_t n;
    size_t n_slots;
};

static void prepare(struct sim *s, struct reload *r)
{
    bool is_noop = random_chance(&s->random, 20);

    r->n_slots = random_chance(&s->random, 20) ? random_between(&s->random, 1, 16) : s->n_slots;
    for (size_t i = 0; i < s->n_profiles; i++) {
        struct sim_profile *p = &s->profiles[i];
        r->before[i] = check_before_reload(s, p);
        r->drafts[i] = p->draft;
        for (unsigned k = is_noop ? 0 : 1 + random_chance(&s->random, 30); k > 0; k--)
            draft_edit(s, p, &r->drafts[i]);
        r->before[i].change = draft_compare(&p->draft, &r->drafts[i]);
        r->settings[i] = r->drafts[i].is_there ? draft_settings(s, p, &r->drafts[i]) : NULL;
        if (r->settings[i])
            r->list[r->n++] = r->settings[i];
    }
}

/* The host's part: requests whose outcome must not count are called off first. */
static void abort_requests(struct sim *s, const struct reload *r, const struct registry_plan *plan)
{
    for (size_t i = 0; i < s->n_profiles; i++) {
        struct sim_profile *p = &s->profiles[i];
        if (!sim_is_live(p))
            continue;
        bool is_obsolete = !r->drafts[i].is_there || r->before[i].change >= CHANGE_KEYS;
        check(s, p, registry_plan_aborts(plan, p->entry) == is_obsolete, "obsolete %d, but the plan differs",
              is_obsolete);
        if (is_obsolete && p->model.is_in_flight)
            sim_abort_request(s, p);
        else if (is_obsolete && p->model.was_asked)
            sim_count(s, N_ABORTED_QUEUED);
    }
}

static void forget_profile(struct sim *s, struct sim_profile *p)
{
    p->entry = NULL;
    restart_forget(p);
    sim_at(s, &p->edge_event, USEC_INFINITY);
    sim_at(s, &p->poll_event, USEC_INFINITY);
    sim_at(s, &p->report_event, USEC_INFINITY);
}

static void count_fate(struct sim *s, const struct sim_profile *p, const struct check_before *b)
{
    if (b->was_live && !p->draft.is_there)
        sim_count(s, N_REMOVED);
    if (b->was_live || !p->draft.is_there)
        return;
    sim_count(s, p->is_unusable ? N_REPAIRED : p->generation_max > 0 ? N_ADDED_AGAIN : N_ADDED);
}

/* The world after the registry took the settings. */
static void take_over(struct sim *s, struct reload *r)
{
    s->n_slots = r->n_slots;
    for (size_t i = 0; i < s->n_profiles; i++) {
        struct sim_profile *p = &s->profiles[i];
        bool is_new_client = p->draft.identity != r->drafts[i].identity;
        p->draft = r->drafts[i];
        p->origin = &s->origins[p->draft.origin];
        count_fate(s, p, &r->before[i]);
        p->is_unusable = false;
        profile_settings_free(p->settings);
        p->settings = r->settings[i];
        if (is_new_client)
            account_open(s, p);
        if (is_new_client)
            p->issued_expiry_at = 0; /* what it cached was for another one */
        if (p->draft.is_there)
            p->entry = registry_find(&s->registry, p->name);
        else
            forget_profile(s, p);
        check(s, p, !p->draft.is_there || p->entry, "it is not there after the reload");
        sim_trace(s, p, "reloaded: there, change", p->draft.is_there, r->before[i].change);
    }
}

/* An issuer that nobody uses any more is not remembered. */
static void forget_origins(struct sim *s)
{
    bool is_used[SIM_ORIGINS_MAX] = {0};

    for (size_t i = 0; i < s->n_profiles; i++) {
        if (sim_is_live(&s->profiles[i]))
            is_used[s->profiles[i].origin - s->origins] = true;
    }
    for (size_t i = 0; i < s->n_origins; i++)
        s->origins[i].is_suspect = s->origins[i].is_suspect && is_used[i];
}

static void drop(struct sim *s, struct reload *r)
{
    sim_trace(s, NULL, "reload: dropped", 0, 0);
    sim_count(s, N_RELOADS_DROPPED);
    for (size_t i = 0; i < r->n; i++)
        profile_settings_free(r->list[i]);
    for (size_t i = 0; i < s->n_profiles; i++) {
        if (sim_is_live(&s->profiles[i]))
            check_facts(s, &s->profiles[i]);
    }
}

static void carry_out(struct sim *s, struct reload *r, struct registry_plan *plan)
{
    sim_trace(s, NULL, "reload: profiles, slots", r->n, r->n_slots);
    sim_count(s, N_RELOADS);
    s->reloaded_at = s->now;
    abort_requests(s, r, plan);
    registry_hold_proofs(&s->registry);
    registry_apply(&s->registry, plan, r->n_slots, s->now);
    registry_release_proofs(&s->registry);
    take_over(s, r);
    forget_origins(s);
    check(s, NULL, s->registry.n_entries == r->n, "%zu profiles instead of %zu", s->registry.n_entries, r->n);
    for (size_t i = 0; i < s->n_profiles; i++)
        check_reloaded(s, &s->profiles[i], &r->before[i]);
    if (random_chance(&s->random, 50))
        callers_await_proofs(s);
    sim_drain(s);
}

/* Once in days, or again and again while somebody tries something. */
static void reload_happens(struct sim *s, struct sim_event *event)
{
    struct reload r = {0};
    struct registry_plan plan;

    prepare(s, &r);
    if (registry_plan(&s->registry, r.list, r.n, &plan) < 0)
        abort();
    if (random_chance(&s->random, 10))
        drop(s, &r);
    else
        carry_out(s, &r, &plan);
    registry_plan_done(&plan);
    sim_at(s, event,
           s->now + (random_chance(&s->random, 40)
                         ? random_spread(&s->random, USEC_PER_MSEC, USEC_PER_MIN)
                         : random_spread(&s->random, USEC_PER_MIN, 8 * USEC_PER_DAY)));
}

void reload_soon(struct sim *s, usec_t from, usec_t to)
{
    if (s->has_reloads && random_below(&s->random, 1000) == 0)
        sim_at(s, &s->reload, random_between(&s->random, from, to));
}

void reload_init(struct sim *s)
{
    s->reload.happen = reload_happens;
    if (s->has_reloads)
        sim_at(s, &s->reload, s->now + random_spread(&s->random, USEC_PER_MSEC, 5 * USEC_PER_DAY));
}
