/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "check.h"

/* So long nobody is there: a restart, or somebody who has to be fetched. */
#define OFF_MAX (20 * USEC_PER_MIN)

void restart_forget(struct sim_profile *p)
{
    saved_profile_done(&p->saved);
    p->has_saved = false;
}

void restart_save(struct sim *s)
{
    struct entry *e;

    while ((e = registry_pop_unsaved(&s->registry))) {
        struct sim_profile *p = sim_profile_of(s, e);
        restart_forget(p);
        if (entry_save(&s->registry, e, &p->saved) < 0)
            abort();
        p->has_saved = true;
    }
}

/* Killed: what was in flight or waited is lost, and so is all that was not saved. */
static void process_ends(struct sim *s, struct check_end_of_life *ends)
{
    callers_lose(s);
    for (size_t i = 0; i < s->n_profiles; i++) {
        struct sim_profile *p = &s->profiles[i];
        if (!sim_is_live(p))
            continue;
        ends[i] = check_end_of_life(p);
        if (p->model.is_in_flight)
            sim_lose_request(s, p);
    }
    registry_done(&s->registry);
}

static void process_begins(struct sim *s, struct check_end_of_life *ends)
{
    registry_init(&s->registry, s->n_slots, random_next(&s->random));
    for (size_t i = 0; i < s->n_profiles; i++)
        sim_add_entry(s, &s->profiles[i]);
    for (size_t i = 0; i < s->n_profiles; i++) {
        struct sim_profile *p = &s->profiles[i];
        p->entry = registry_find(&s->registry, p->name);
        if (!sim_is_live(p))
            continue;
        if (p->has_saved)
            registry_restore(&s->registry, p->entry, &p->saved, true, s->now);
        ends[i].restored_at = profile_next_attempt_at(&p->entry->profile);
    }
    registry_start(&s->registry, s->now);
}

static void restart_happens(struct sim *s, struct sim_event *event)
{
    struct check_end_of_life ends[SIM_PROFILES_MAX] = {0};

    sim_count(s, N_RESTARTS);
    sim_trace(s, NULL, "restart: in flight", s->n_in_flight, 0);
    process_ends(s, ends);
    if (random_chance(&s->random, 80))
        s->now += random_spread(&s->random, 1, OFF_MAX);
    process_begins(s, ends);
    for (size_t i = 0; i < s->n_origins; i++)
        s->origins[i].is_suspect = false;
    s->timer_for = USEC_INFINITY;
    sim_at(s, &s->timer, USEC_INFINITY);
    for (size_t i = 0; i < s->n_profiles; i++) {
        if (sim_is_live(&s->profiles[i]))
            check_restarted(s, &s->profiles[i], &ends[i]);
    }
    sim_drain(s);
    /* Now and then it does not stay at one. */
    sim_at(s, event,
           s->now + (random_chance(&s->random, 40)
                         ? random_spread(&s->random, USEC_PER_MSEC, USEC_PER_MIN)
                         : random_spread(&s->random, USEC_PER_MIN, 8 * USEC_PER_DAY)));
}

void restart_soon(struct sim *s, usec_t from, usec_t to)
{
    if (s->has_restarts && random_below(&s->random, 200) == 0)
        sim_at(s, &s->restart, random_between(&s->random, from, to));
}

void restart_init(struct sim *s)
{
    s->restart.happen = restart_happens;
    if (s->has_restarts)
        sim_at(s, &s->restart, s->now + random_spread(&s->random, USEC_PER_MSEC, 5 * USEC_PER_DAY));
}
