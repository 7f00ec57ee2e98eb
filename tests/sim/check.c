/* SPDX-License-Identifier: MIT */
#include "check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void check_fail(struct sim *s, const struct sim_profile *p, const char *format, ...)
{
    va_list args;

    fprintf(stderr, "the last events, seconds before the failure:\n");
    trace_print(&s->trace, s->now);
    fprintf(stderr, "BROKEN after %.6f days, profile %s: ", (double) s->now / (double) USEC_PER_DAY,
            p ? p->name : "-");
    va_start(args, format);
    (void) vfprintf(stderr, format, args);
    va_end(args);
    if (p) {
        const struct draft *d = &p->draft;
        const struct refresh_policy *r = &d->refresh;
        fprintf(stderr,
                "\n  At=%u%% Jitter=%u%% RetryMin=%.1fs RetryMax=%.0fs Timeout=%.0fs Preload=%d "
                "IdleAfter=%.0fs secondary=%d next=%d",
                r->at_percent, r->jitter_percent, (double) r->retry_min_for / 1e6,
                (double) r->retry_max_for / 1e6, (double) r->timeout_for / 1e6, d->is_preloaded,
                (double) d->idle_after_for / 1e6, d->keys[KEY_SECONDARY_SUBSCRIPTION] != 0,
                d->keys[KEY_NEXT_CLIENT_SECRET] != 0);
    }
    fprintf(stderr, "\nagain: bearerd-sim --seed %" PRIu64 " --days %u --profiles %zu --runs 1\n", s->seed,
            s->days, s->n_profiles - 1);
    exit(1);
}

void check_begin(struct sim_profile *p)
{
    struct model *m = &p->model;

    *m = (struct model){
        .generation = p->entry->profile.generation,
        .demand_at = USEC_INFINITY,
        .recover_by = USEC_INFINITY,
        .is_asleep = true,
        .carried_at = USEC_INFINITY,
    };
    check_keys_begin(p, false);
}

/* ---- the budget ---- */

/* Of any of the last demands and this one: ten at once, and one each interval. */
static void check_demand(struct sim *s, struct sim_profile *p, usec_t planned_at)
{
    struct model *m = &p->model;
    usec_t life = m->token.lifetime_for, retry_min = p->draft.refresh.retry_min_for;
    usec_t interval = life / 20 > retry_min ? life / 20 : retry_min, owed = 0;

    sim_count(s, N_DEMANDS);
    for (unsigned i = 1; i <= SIM_DEMANDS && i <= m->n_demands; i++) {
        const struct demand *d = &m->demands[(m->n_demands - i) % SIM_DEMANDS];
        owed += d->interval_for;
        check(s, p, planned_at + 9 * interval >= d->at + owed, "callers set off %u requests within %.3f s",
              i + 1, (double) (planned_at - d->at) / 1e6);
    }
    m->demands[m->n_demands++ % SIM_DEMANDS] = (struct demand){.at = s->now, .interval_for = interval};
}

/* Time alone set an attempt off: somebody needs it. */
static void check_in_use(struct sim *s, const struct sim_profile *p)
{
    const struct draft *d = &p->draft;

    check(s, p, d->is_preloaded || s->now < p->model.used_at + d->idle_after_for,
          "nobody has asked for %.0f s, and still it is refreshed",
          (double) (s->now - p->model.used_at) / 1e6);
}

/* A fetch was asked for: was it time, and whose wish? */
static void check_decision(struct sim *s, struct sim_profile *p, enum call call, usec_t min_ttl_for)
{
    struct model *m = &p->model;
    bool was_asleep = m->is_asleep, is_repeated = m->is_repeated;

    m->is_asleep = m->is_repeated = false;
    m->asked_at = s->now;
    m->needed_at = check_needed_at(s, p);
    check(s, p, call != CALL_END, "an attempt that ended must not start the next at once");
    check(s, p, call == CALL_REFRESH || call == CALL_RELOAD || s->now >= m->held_until_at,
          "a request %.6f s too early, after %u whose answer was lost",
          (double) (m->held_until_at - s->now) / 1e6, m->n_interrupted);
    if (call == CALL_REFRESH || (is_repeated && m->is_forced_again))
        m->is_forced = true;
    if (m->is_forced)
        return;
    check(s, p, s->now >= m->earliest_at, "a request %.6f s too early, after %u failures",
          (double) (m->earliest_at - s->now) / 1e6, m->n_failures);
    if (call == CALL_ADVANCE)
        check_in_use(s, p);
    if (call == CALL_ADVANCE || call == CALL_START)
        check(s, p, !was_asleep || call == CALL_START, "nobody asked, and it was asleep");
    if (call == CALL_RELOAD || call == CALL_REPORT || was_asleep || is_repeated)
        return; /* these have rules of their own */
    if (m->n_failures > 0 || !check_is_usable(s, p, MIN_TTL_DEFAULT))
        return;
    if (call == CALL_REQUEST) {
        check(s, p, !check_is_usable(s, p, min_ttl_for), "a caller who could be served set off a request");
        check_demand(s, p, s->now);
        return;
    }
    check(s, p,
          s->now >= check_refresh_window(p, m->arrived_at).from || m->demand_at <= s->now ||
              m->carried_at <= s->now,
          "a good token is refreshed too early");
}

/* What is handed out beside the token is what it was got with, until new keys have proven themselves. */
static void check_token_key(struct sim *s, const struct sim_profile *p)
{
    const struct profile *f = &p->entry->profile;
    const uint64_t *key = &p->model.token.subscription_key;
    const struct secret *told = profile_settings_subscription_key(f->token_settings, f->token_choice);

    check(s, p, secret_is_set(told) == (*key != 0), "a key is handed out with the token: %d",
          secret_is_set(told));
    check(s, p, *key == 0 || memcmp(told->data, key, sizeof(*key)) == 0,
          "another key is handed out with the token than it was got with");
}

static void check_token(struct sim *s, const struct sim_profile *p)
{
    const struct profile *f = &p->entry->profile;
    const struct exchange *t = &p->model.token;

    check(s, p,
          token_is_set(&f->token) && f->token.value.size == sizeof(t->token_id) &&
              memcmp(f->token.value.data, &t->token_id, sizeof(t->token_id)) == 0,
          "a token that is good was dropped or replaced");
    check(s, p, f->token.expires_at == check_expires_at(p), "a token's life was changed");
    check(s, p,
          f->token_choice.is_next_secret == t->choice.is_next_secret &&
              f->token_choice.is_secondary_subscription == t->choice.is_secondary_subscription,
          "it is not told with which keys the token was got");
    check(s, p, t->identity == p->draft.identity, "the token is another client's");
    check_token_key(s, p);
}

void check_facts(struct sim *s, const struct sim_profile *p)
{
    const struct profile *f = &p->entry->profile;
    const struct model *m = &p->model;

    check(s, p, f->generation == m->generation, "generation %" PRIu64 " instead of %" PRIu64, f->generation,
          m->generation);
    check(s, p, f->n_failures == m->n_failures, "%u failures instead of %u", f->n_failures, m->n_failures);
    check(s, p, f->settings == p->settings && strcmp(f->name, p->name) == 0, "it has other settings");
    if (check_left_for(s, p) > 0)
        check_token(s, p);
    else
        check(s, p, !profile_is_usable_for(f, 0, s->now), "a token that is none is usable");
    check(s, p, registry_next_at(&s->registry) <= profile_next_attempt_at(f),
          "nobody will wake for the next attempt");
    check(s, p, p->entry->proof == m->proof, "proof %d instead of %d", p->entry->proof, m->proof);
    check(s, p, p->entry->is_starting == m->is_starting, "starting %d instead of %d", p->entry->is_starting,
          m->is_starting);
}

void check_after(struct sim *s, struct sim_profile *p, enum call call, usec_t min_ttl_for)
{
    const struct profile *f = &p->entry->profile;
    struct model *m = &p->model;
    bool was_asleep = m->is_asleep;

    check(s, p, f->is_fetching || !m->was_asked, "a fetch was forgotten");
    if (call == CALL_START)
        m->is_starting = f->is_fetching;
    check_facts(s, p);
    if (f->demand_at != USEC_INFINITY && m->demand_at == USEC_INFINITY) {
        if (call != CALL_REPORT)
            check_demand(s, p, f->demand_at);
        check(s, p, call == CALL_REQUEST || call == CALL_REPORT, "nobody demands");
        m->is_asleep = false;
    }
    if (f->is_fetching && !m->was_asked)
        check_decision(s, p, call, min_ttl_for);
    if (call == CALL_REQUEST || call == CALL_REFRESH)
        check(s, p, f->is_fetching || !was_asleep, "somebody asks, and it sleeps on");
    if (call == CALL_REQUEST && check_left_for(s, p) == 0)
        check(s, p, !token_is_set(&f->token), "an expired token was not wiped");
    m->was_asked = f->is_fetching;
    m->demand_at = f->demand_at;
}

/* ---- the whole ---- */

void check_advanced(struct sim *s)
{
    check(s, NULL, registry_next_at(&s->registry) > s->now, "after advancing, something is still due");
    check(s, NULL, heap_next_at(&s->caller_deadlines) > s->now, "a caller is kept beyond the time given");
    for (size_t i = 0; i < s->n_profiles; i++) {
        const struct sim_profile *p = &s->profiles[i];
        check(s, p, !sim_is_live(p) || profile_next_attempt_at(&p->entry->profile) > s->now,
              "an attempt that is due was not made");
    }
}

/*
 * The longest that a fetch of this origin waits for a slot: everybody else at this origin goes first, once,
 * each of them waits until all other origins had a turn, and all these requests hang until their time-out.
 */
static usec_t queue_for(const struct sim *s, const struct sim_origin *own)
{
    usec_t own_sum = 0, others_sum = 0;
    size_t n_own = 0;

    for (const struct sim_origin *o = s->origins; o < s->origins + s->n_origins; o++) {
        usec_t longest = 0;
        for (size_t i = 0; i < s->n_profiles; i++) {
            if (!sim_is_live(&s->profiles[i]) || s->profiles[i].origin != o)
                continue;
            usec_t timeout = s->profiles[i].draft.refresh.timeout_for + s->late_max_for;
            longest = usec_max(longest, timeout);
            own_sum += o == own ? timeout : 0;
            n_own += o == own;
        }
        others_sum += o != own ? longest : 0;
    }
    return own_sum + n_own * others_sum;
}

/*
 * With a healthy upstream and nothing usable, a token comes in bounded time: at the next attempt, which is
 * planned (its distance was checked when it was planned), and where one was in flight as the upstream
 * recovered, that one may fail first and be followed by the longest back-off there is. An attempt is three
 * requests at most.
 */
static void check_recovery(struct sim *s, struct sim_profile *p)
{
    const struct profile *f = &p->entry->profile;
    const struct refresh_policy *r = &p->draft.refresh;
    struct model *m = &p->model;

    if (m->is_asleep || !upstream_is_healthy(p) || check_is_usable(s, p, MIN_TTL_DEFAULT)) {
        m->recover_by = USEC_INFINITY;
        return;
    }
    usec_t attempt_for = 3 * (queue_for(s, p->origin) + r->timeout_for + 2 * s->late_max_for);
    usec_t by = s->now + 2 * attempt_for + usec_max(r->retry_max_for, RETRY_AFTER_MAX);
    if (!f->is_fetching)
        by = usec_max(profile_next_attempt_at(f), s->now) + attempt_for;
    m->recover_by = usec_min(m->recover_by, by);
    check(s, p, s->now <= m->recover_by, "the upstream is well again, and no token came");
}

void check_expect_recovery(struct sim_profile *p)
{
    p->model.recover_by = USEC_INFINITY;
}

static void check_profile_turn(struct sim *s, struct sim_profile *p)
{
    const struct profile *f = &p->entry->profile;
    const struct model *m = &p->model;
    bool is_queued = m->was_asked && !m->is_in_flight;
    bool is_planned = m->was_asked || profile_next_attempt_at(f) != USEC_INFINITY;

    check(s, p,
          !is_queued || s->n_in_flight >= s->n_slots ||
              p->origin->n_in_flight >= check_origin_limit(s, p->origin),
          "a fetch waits beside a free slot");
    check(s, p, is_planned != m->is_asleep, "planned %d, but asleep %d", is_planned, m->is_asleep);
    check(s, p, !p->draft.is_preloaded || !m->is_asleep, "preloaded, and asleep");
    check(s, p, !f->is_idle || m->is_asleep, "said to be idle, and has something to do");
    check_recovery(s, p);
}

void check_turn(struct sim *s)
{
    size_t n_starting = 0;

    check(s, NULL, s->n_waiting == s->registry.n_waiters, "%zu wait, the registry counts %zu", s->n_waiting,
          s->registry.n_waiters);
    check(s, NULL, s->n_in_flight == s->registry.schedule.n_in_flight, "slots are miscounted");
    check(s, NULL, registry_next_at(&s->registry) <= heap_next_at(&s->caller_deadlines),
          "nobody will wake for a caller's deadline");
    check(s, NULL, check_n_proving(s) == s->registry.n_proving, "proofs are miscounted");
    check(s, NULL, s->n_admins == 0 || s->registry.n_proving > 0, "all is proven, and an admin still waits");
    for (size_t i = 0; i < s->n_profiles; i++) {
        check(s, &s->profiles[i], s->profiles[i].entry || s->profiles[i].n_waiting == 0,
              "it is gone, and somebody still waits");
        if (!sim_is_live(&s->profiles[i]))
            continue;
        n_starting += s->profiles[i].model.is_starting;
        check_profile_turn(s, &s->profiles[i]);
    }
    check(s, NULL, n_starting == s->registry.n_starting, "starting profiles are miscounted");
}
