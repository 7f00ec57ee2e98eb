/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/registry_inside.h"

/* ---- the plan ---- */

/* One profile of the new settings. What it takes is undone by registry_plan_done(). */
static int plan_profile(struct registry *r, struct profile_settings *settings, struct entry_plan *ret)
{
    struct entry *old = registry_find(r, settings->name);

    ret->settings = profile_settings_ref(settings);
    int k = schedule_get_origin(&r->schedule, settings->token_url, &ret->origin);
    if (k < 0)
        return k;
    ret->is_new = !old;
    ret->entry = old ? old : entry_new();
    if (!ret->entry)
        return -ENOMEM;
    ret->change = old && old->settings ? profile_settings_compare(old->settings, settings) : CHANGE_IDENTITY;
    return 0;
}

static int compare_name(const void *name, const void *planned)
{
    return strcmp(name, ((const struct entry_plan *) planned)->settings->name);
}

static const struct entry_plan *find_planned(const struct registry_plan *plan, const char *name)
{
    return plan->n_profiles == 0
               ? NULL
               : bsearch(name, plan->profiles, plan->n_profiles, sizeof(*plan->profiles), compare_name);
}

static void plan_removals(struct registry_plan *plan)
{
    const struct registry *r = plan->registry;

    for (size_t i = 0; i < r->n_entries; i++) {
        if (!find_planned(plan, r->entries[i]->profile.name))
            plan->removed[plan->n_removed++] = r->entries[i];
    }
}

int registry_plan(struct registry *r, struct profile_settings *const *profiles, size_t n,
                  struct registry_plan *ret)
{
    _cleanup_(registry_plan_done) struct registry_plan plan = {.registry = r};

    plan.profiles = calloc(n + 1, sizeof(*plan.profiles));
    plan.entries = calloc(n + 1, sizeof(struct entry *));
    plan.removed = calloc(r->n_entries + 1, sizeof(struct entry *));
    if (!plan.profiles || !plan.entries || !plan.removed)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        plan.n_profiles++;
        int k = plan_profile(r, profiles[i], &plan.profiles[i]);
        if (k < 0)
            return k;
    }
    plan_removals(&plan);
    *ret = plan;
    plan = (struct registry_plan){0};
    return 0;
}

void registry_plan_done(struct registry_plan *plan)
{
    for (size_t i = 0; i < plan->n_profiles; i++) {
        struct entry_plan *p = &plan->profiles[i];
        if (p->is_new)
            entry_free(p->entry);
        if (p->origin)
            schedule_put_origin(&plan->registry->schedule, p->origin);
        profile_settings_free(p->settings);
    }
    free(plan->profiles);
    free(plan->entries);
    free(plan->removed);
    *plan = (struct registry_plan){0};
}

bool registry_plan_aborts(const struct registry_plan *plan, const struct entry *e)
{
    const struct entry_plan *p = find_planned(plan, e->profile.name);
    return !p || p->change >= CHANGE_KEYS;
}

/* ---- carrying it out ---- */

void registry_hold_proofs(struct registry *r)
{
    for (size_t i = 0; i < r->n_entries; i++) {
        if (r->entries[i]->proof != PROOF_PENDING)
            r->entries[i]->proof = PROOF_NONE;
    }
    r->n_proving++;
}

void registry_abort_fetch(struct registry *r, struct entry *e)
{
    /* It was we who called it off: that says nothing of the origin. */
    if (e->is_in_flight)
        schedule_end(&r->schedule, &e->job, !e->job.origin->is_suspect);
    else if (e->job.origin)
        schedule_remove(&r->schedule, &e->job);
    e->is_in_flight = false;
    profile_abort_fetch(&e->profile);
}

static void remove_entry(struct registry *r, struct entry *e)
{
    registry_abort_fetch(r, e);
    registry_end_proof(r, e, PROOF_FAILED);
    list_foreach_safe(i, &e->waiters) waiter_answer(r, container_of(i, struct waiter, link), ANSWER_GONE);
    heap_remove(&r->wakes, &e->wake);
    list_remove(&e->noted);
    list_remove(&e->unsaved);
    registry_end_start(r, e);
    r->generation_floor =
        r->generation_floor > e->profile.generation ? r->generation_floor : e->profile.generation;
    if (e->job.origin)
        schedule_put_origin(&r->schedule, e->job.origin);
    entry_free(e);
}

/* The entry takes over what the plan holds for it, and gives back what it had. */
static void swap_settings(struct registry *r, struct entry *e, struct entry_plan *p)
{
    struct origin *origin = e->job.origin;

    e->job.origin = TAKE_PTR(p->origin);
    if (origin)
        schedule_put_origin(&r->schedule, origin);
    profile_settings_free(e->settings);
    e->settings = TAKE_PTR(p->settings);
}

/* New keys are used from here on; whether they got a token is told to who waits for it. */
static void expect_proof(struct registry *r, struct entry *e, bool is_asked)
{
    if (!is_asked) {
        registry_end_proof(r, e, PROOF_NONE);
    } else if (e->proof != PROOF_PENDING) {
        e->proof = PROOF_PENDING;
        r->n_proving++;
    }
}

static void begin_entry(struct registry *r, struct entry *e, struct entry_plan *p, usec_t now)
{
    bool was_unusable = !p->is_new;

    swap_settings(r, e, p);
    p->is_new = false;
    if (was_unusable) {
        profile_repair(&e->profile, e->settings);
    } else {
        profile_init(&e->profile, e->settings);
        e->profile.generation = r->generation_floor;
    }
    bool is_asked = entry_step(r, e, &(struct event){.kind = EVENT_START}, now).fetch;
    expect_proof(r, e, is_asked);
}

static void change_entry(struct registry *r, struct entry *e, struct entry_plan *p, usec_t now)
{
    struct event event = {
        .kind = EVENT_SETTINGS,
        .settings = p->settings,
        .change = p->change,
        .is_wanted = !list_is_empty(&e->waiters),
    };
    struct profile_settings *old = profile_settings_ref(e->settings);

    if (p->change >= CHANGE_KEYS)
        registry_abort_fetch(r, e);
    swap_settings(r, e, p);
    bool is_asked = entry_step(r, e, &event, now).fetch;
    if (p->change >= CHANGE_KEYS)
        expect_proof(r, e, is_asked);
    else if (e->profile.token_settings == old)
        e->profile.token_settings = e->settings; /* the same keys and headers */
    entry_hold_token_settings(e);
    /* Its first attempt was called off, and is not wanted any more. */
    if (!e->profile.is_fetching)
        registry_end_start(r, e);
    profile_settings_free(old);
}

void registry_apply(struct registry *r, struct registry_plan *plan, size_t n_slots, usec_t now)
{
    for (size_t i = 0; i < plan->n_removed; i++)
        remove_entry(r, plan->removed[i]);
    for (size_t i = 0; i < plan->n_profiles; i++) {
        struct entry_plan *p = &plan->profiles[i];
        plan->entries[i] = p->entry;
        if (p->is_new || !p->entry->settings)
            begin_entry(r, p->entry, p, now);
        else
            change_entry(r, p->entry, p, now);
    }
    free(r->entries);
    r->entries = TAKE_PTR(plan->entries);
    r->n_entries = plan->n_profiles;
    r->capacity = plan->n_profiles + 1;
    /* Last: by now all origins are there that will be, and none that will not. */
    schedule_set_slots(&r->schedule, n_slots);
}
