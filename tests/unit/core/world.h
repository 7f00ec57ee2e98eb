/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A registry with two profiles at one upstream ("alpha", "beta"), one at another ("gamma") and an unusable
 * one
 * ("zeta"), and the little that a host does: it starts fetches, and keeps the answers that come out.
 */

#include "fixtures.h"

#include "core/registry.h"

static char world_names[3][8] = {"alpha", "beta", "gamma"};
static char world_urls[2][32] = {"https://one.example/token", "https://two.example/token"};

struct world {
    struct profile_settings settings[3];
    struct registry r;
    usec_t now;
    unsigned n_fetches;
};

#define ENTRY(w, i) ((w)->r.entries[i])

static inline void world_init(struct world *w, size_t n_slots)
{
    static const struct access_list nobody = {0};

    *w = (struct world){.now = T0};
    registry_init(&w->r, n_slots, 1);
    for (size_t i = 0; i < 3; i++) {
        w->settings[i] = (struct profile_settings){
            .name = world_names[i], .token_url = world_urls[i == 2], EXACT_SETTINGS};
        assert_int_equal(registry_add(&w->r, &w->settings[i]), 0);
    }
    assert_int_equal(
        registry_add_unusable(
            &w->r, &(struct unusable_profile){.name = "zeta", .message = "no keys", .allow = &nobody}, T0),
        0);
}

static inline void world_done(struct world *w)
{
    registry_done(&w->r);
}

/* Starts every fetch that may start; how many did. */
static inline unsigned world_pop_fetches(struct world *w)
{
    unsigned n = 0;

    while (registry_pop_fetch(&w->r, w->now))
        n++;
    w->n_fetches += n;
    return n;
}

static inline void world_end_token(struct world *w, size_t i, usec_t lifetime_for)
{
    _cleanup_(token_done) struct token t = make_token("token", w->now, lifetime_for);
    registry_end_fetch(&w->r, ENTRY(w, i), &t, NULL, true, w->now);
}

static inline void world_end_failure(struct world *w, size_t i, struct failure f)
{
    registry_end_fetch(&w->r, ENTRY(w, i), NULL, &f, true, w->now);
}

/* All profiles have a token of an hour, at T0. */
static inline void world_start_fresh(struct world *w)
{
    registry_start(&w->r, w->now);
    assert_int_equal(world_pop_fetches(w), 3);
    for (size_t i = 0; i < 3; i++)
        world_end_token(w, i, SEC(3600));
}

/* Time goes on to `at`, and the loop is on time. */
static inline void world_run_to(struct world *w, usec_t at)
{
    while (registry_next_at(&w->r) <= at) {
        assert_true(registry_next_at(&w->r) > w->now || w->now == T0);
        w->now = usec_max(w->now, registry_next_at(&w->r));
        registry_advance(&w->r, w->now);
        assert_true(registry_next_at(&w->r) > w->now);
        (void) world_pop_fetches(w);
    }
    w->now = at;
}

static inline enum answer world_ask(struct world *w, size_t i, struct waiter *waiter, usec_t min_ttl_for,
                                    usec_t wait_for)
{
    waiter_init(waiter);
    waiter->min_ttl_for = min_ttl_for;
    return registry_request(&w->r, ENTRY(w, i), waiter, wait_for, w->now);
}

static inline enum answer world_force(struct world *w, size_t i, struct waiter *waiter, usec_t wait_for)
{
    waiter_init(waiter);
    waiter->kind = WAIT_FOR_OUTCOME;
    return registry_request(&w->r, ENTRY(w, i), waiter, wait_for, w->now);
}
