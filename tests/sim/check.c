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
        const struct refresh_policy *r = &p->settings.refresh;
        fprintf(stderr, "\n  At=%u%% Jitter=%u%% RetryMin=%.1fs RetryMax=%.0fs Timeout=%.0fs", r->at_percent,
                r->jitter_percent, (double) r->retry_min_for / 1e6, (double) r->retry_max_for / 1e6,
                (double) r->timeout_for / 1e6);
    }
    fprintf(stderr, "\nagain: bearerd-sim --seed %" PRIu64 " --days %" PRIu64 " --profiles %zu --runs 1\n",
            s->seed, (s->end_at - USEC_PER_HOUR) / USEC_PER_DAY, s->n_profiles);
    exit(1);
}

/* ---- the promises of policy.h, worked out anew ---- */

usec_t check_default_min_ttl_for(usec_t lifetime_for)
{
    return lifetime_for > 300 * USEC_PER_SEC ? 30 * USEC_PER_SEC : lifetime_for / 10;
}

static usec_t spacing_for(const struct sim_profile *p)
{
    usec_t quarter = p->model.token.lifetime_for / 4, retry_min = p->settings.refresh.retry_min_for;
    return quarter < retry_min ? quarter : retry_min;
}

usec_t check_expires_at(const struct sim_profile *p)
{
    return p->model.token.sent_at + p->model.token.lifetime_for;
}

/* What is left of the current token, by our own count from the moment its request was sent. */
usec_t check_left_for(const struct sim *s, const struct sim_profile *p)
{
    return p->model.has_token && check_expires_at(p) > s->now ? check_expires_at(p) - s->now : 0;
}

bool check_is_usable(const struct sim *s, const struct sim_profile *p, usec_t min_ttl_for)
{
    usec_t left = check_left_for(s, p);

    if (min_ttl_for == MIN_TTL_DEFAULT)
        min_ttl_for = check_default_min_ttl_for(p->model.token.lifetime_for);
    return left > 0 && left >= min_ttl_for;
}

struct window {
    usec_t from, to;
};

/* RetryMin, doubled `n` times, up to `most`. */
static usec_t grown(usec_t retry_min, unsigned n, usec_t most)
{
    usec_t window = retry_min;

    for (unsigned i = 0; i < n && window < most; i++)
        window *= 2;
    return window < most ? window : most;
}

static usec_t bounded(usec_t low, usec_t value, usec_t high)
{
    value = value < high ? value : high;
    return value > low ? value : low;
}

/* How long after this failure, the model's n-th in a row, the next request may start. */
static struct window retry_window(const struct sim *s, const struct sim_profile *p, const struct failure *f)
{
    const struct refresh_policy *r = &p->settings.refresh;
    struct window w = {r->retry_min_for, 0};
    unsigned n = p->model.n_failures;

    if (f->class == FAILURE_PERMANENT) {
        usec_t top = grown(r->retry_min_for, 2 * n, 5 * USEC_PER_MIN);
        w.from = bounded(r->retry_min_for, top / 2, USEC_PER_HOUR);
        w.to = bounded(r->retry_min_for, top, USEC_PER_HOUR);
    } else if (f->retry_after_for > 0) {
        w.from = w.to = bounded(r->retry_min_for, f->retry_after_for, USEC_PER_HOUR);
    } else {
        w.to = grown(r->retry_min_for, n, r->retry_max_for);
    }
    if (check_is_usable(s, p, MIN_TTL_DEFAULT)) {
        usec_t half = (check_left_for(s, p) - check_default_min_ttl_for(p->model.token.lifetime_for)) / 2;
        if (half > 0) {
            w.from = bounded(r->retry_min_for, w.from, half);
            w.to = bounded(r->retry_min_for, w.to, half);
        }
    }
    return (struct window){s->now + w.from, s->now + w.to};
}

/* When the current token may be refreshed. */
static struct window refresh_window(const struct sim_profile *p)
{
    const struct refresh_policy *r = &p->settings.refresh;
    usec_t life = p->model.token.lifetime_for, sent_at = p->model.token.sent_at;
    usec_t first = p->model.arrived_at + spacing_for(p);
    usec_t last = check_expires_at(p) - check_default_min_ttl_for(life);

    return (struct window){
        bounded(first, sent_at + life * (r->at_percent - r->jitter_percent) / 100, last),
        bounded(first, sent_at + life * r->at_percent / 100, last),
    };
}

static void observe(struct sim_spread *spread, struct window w, usec_t at)
{
    if (w.to - w.from < USEC_PER_MSEC)
        return;
    spread->n++;
    spread->sum += (at - w.from) * 1000 / (w.to - w.from);
}

/* ---- the budget ---- */

/* Of any of the last demands and this one: ten at once, and one each interval. */
static void check_demand(struct sim *s, struct sim_profile *p, usec_t planned_at)
{
    struct model *m = &p->model;
    usec_t life = m->token.lifetime_for, retry_min = p->settings.refresh.retry_min_for;
    usec_t interval = life / 20 > retry_min ? life / 20 : retry_min, owed = 0;

    s->counters.demands++;
    for (unsigned i = 1; i <= SIM_DEMANDS && i <= m->n_demands; i++) {
        const struct demand *d = &m->demands[(m->n_demands - i) % SIM_DEMANDS];
        owed += d->interval_for;
        check(s, p, planned_at + 9 * interval >= d->at + owed, "callers set off %u requests within %.3f s",
              i + 1, (double) (planned_at - d->at) / 1e6);
    }
    m->demands[m->n_demands++ % SIM_DEMANDS] = (struct demand){.at = s->now, .interval_for = interval};
}

/* A fetch was asked for: was it time, and whose wish? */
static void check_decision(struct sim *s, struct sim_profile *p, enum call call, usec_t min_ttl_for)
{
    struct model *m = &p->model;

    m->is_forced = call == CALL_REFRESH;
    m->needed_at = s->now;
    if (check_is_usable(s, p, MIN_TTL_DEFAULT))
        m->needed_at = check_expires_at(p) - check_default_min_ttl_for(m->token.lifetime_for);
    check(s, p, call != CALL_END, "a fetch that ended must not start the next at once");
    if (m->is_forced)
        return;
    check(s, p, s->now >= m->earliest_at, "a request %.6f s too early, after %u failures",
          (double) (m->earliest_at - s->now) / 1e6, m->n_failures);
    if (m->n_failures > 0 || !check_is_usable(s, p, MIN_TTL_DEFAULT))
        return;
    if (call == CALL_REQUEST) {
        check(s, p, !check_is_usable(s, p, min_ttl_for), "a caller who could be served set off a request");
        check_demand(s, p, s->now);
        return;
    }
    check(s, p, s->now >= refresh_window(p).from || m->demand_at <= s->now,
          "a good token is refreshed too early");
}

void check_facts(struct sim *s, const struct sim_profile *p)
{
    const struct profile *f = &p->entry->profile;
    const struct model *m = &p->model;

    check(s, p, f->generation == m->generation, "generation %" PRIu64 " instead of %" PRIu64, f->generation,
          m->generation);
    check(s, p, f->n_failures == m->n_failures, "%u failures instead of %u", f->n_failures, m->n_failures);
    if (check_left_for(s, p) > 0) {
        check(s, p,
              token_is_set(&f->token) && f->token.value.size == sizeof(m->token.token_id) &&
                  memcmp(f->token.value.data, &m->token.token_id, sizeof(m->token.token_id)) == 0,
              "a token that is good was dropped or replaced");
        check(s, p, f->token.expires_at == check_expires_at(p), "a token's life was changed");
    }
    check(s, p, registry_next_at(&s->registry) <= profile_next_attempt_at(f),
          "nobody will wake for the next attempt");
}

void check_after(struct sim *s, struct sim_profile *p, enum call call, usec_t min_ttl_for)
{
    const struct profile *f = &p->entry->profile;
    struct model *m = &p->model;

    check_facts(s, p);
    if (f->demand_at != USEC_INFINITY && m->demand_at == USEC_INFINITY)
        check_demand(s, p, f->demand_at);
    check(s, p, f->is_fetching || !m->was_asked, "a fetch was forgotten");
    if (f->is_fetching && !m->was_asked)
        check_decision(s, p, call, min_ttl_for);
    if (call == CALL_REQUEST && check_left_for(s, p) == 0)
        check(s, p, !token_is_set(&f->token), "an expired token was not wiped");
    m->was_asked = f->is_fetching;
    m->demand_at = f->demand_at;
}

/* ---- requests ---- */

/* How many slots the origin may hold now. */
static size_t origin_limit(const struct sim *s, const struct sim_origin *o)
{
    bool has_others = false;

    for (size_t i = 0; i < s->n_profiles; i++)
        has_others = has_others || s->profiles[i].origin != o;
    size_t limit = !has_others ? s->n_slots : o->is_suspect ? s->n_slots / 8 : s->n_slots / 2;
    return limit > 0 ? limit : 1;
}

/* At one upstream the most urgent goes first, so that nobody starves behind those who come again and again.
 */
static void check_turns(struct sim *s, const struct sim_profile *p)
{
    for (size_t i = 0; i < s->n_profiles; i++) {
        const struct sim_profile *q = &s->profiles[i];
        bool is_queued = q->model.was_asked && !q->model.is_in_flight && q->origin == p->origin;
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
    check(s, p, p->origin->n_in_flight < origin_limit(s, p->origin), "more requests than the origin's share");
    check(s, p, m->is_forced || s->now >= m->earliest_at, "a request starts too early");
    check_turns(s, p);
    m->is_in_flight = true;
}

static void token_came(struct sim *s, struct sim_profile *p)
{
    struct model *m = &p->model;
    usec_t planned_at = profile_next_attempt_at(&p->entry->profile);

    m->has_token = true;
    m->token = p->exchange;
    m->arrived_at = s->now;
    m->generation++;
    m->earliest_at = m->token.sent_at + spacing_for(p);
    m->recover_by = USEC_INFINITY;
    m->has_said_expired = false;
    s->counters.tokens++;
    struct window w = refresh_window(p);
    check(s, p, planned_at >= w.from && planned_at <= w.to,
          "the refresh is planned %.6f s outside its window",
          planned_at < w.from ? (double) (w.from - planned_at) / 1e6 : (double) (planned_at - w.to) / 1e6);
    observe(&s->counters.refreshes, w, planned_at);
    check(s, p, list_is_empty(&p->entry->waiters), "a token came, and somebody still waits");
    m->n_failures = 0;
    callers_watch_edge(s, p);
}

static void fetch_failed(struct sim *s, struct sim_profile *p)
{
    struct model *m = &p->model;
    usec_t planned_at = profile_next_attempt_at(&p->entry->profile);
    /* A token that came too late is a failure of a passing kind. */
    struct failure f =
        p->exchange.is_token ? (struct failure){.class = FAILURE_TRANSIENT} : p->exchange.failure;

    m->n_failures++;
    m->last_class = f.class;
    s->counters.failures++;
    s->counters.late_tokens += p->exchange.is_token;
    struct window w = retry_window(s, p, &f);
    check(s, p, planned_at >= w.from, "failure %u is retried %.6f s too early", m->n_failures,
          (double) (w.from - planned_at) / 1e6);
    check(s, p, planned_at <= w.to, "failure %u is retried %.6f s too late", m->n_failures,
          (double) (planned_at - w.to) / 1e6);
    observe(&s->counters.retries, w, planned_at);
    m->earliest_at = w.from;
    m->recover_by = USEC_INFINITY;
    list_foreach(i, &p->entry->waiters)
    {
        const struct waiter *waiter = container_of(i, struct waiter, link);
        check(s, p,
              waiter->kind == WAIT_FOR_TOKEN && f.class == FAILURE_TRANSIENT &&
                  waiter->deadline_at >= planned_at,
              "somebody waits for what cannot come in time");
    }
}

void check_end(struct sim *s, struct sim_profile *p)
{
    const struct exchange *x = &p->exchange;
    usec_t end = x->sent_at + x->lifetime_for, left = end > s->now ? end - s->now : 0;

    check(s, p, !p->entry->profile.is_fetching, "the fetch ended, and is still in flight");
    p->model.is_in_flight = p->model.was_asked = false;
    if (x->is_token && left > 0 && left >= check_default_min_ttl_for(x->lifetime_for))
        token_came(s, p);
    else
        fetch_failed(s, p);
}

/* ---- the whole ---- */

void check_advanced(struct sim *s)
{
    check(s, NULL, registry_next_at(&s->registry) > s->now, "after advancing, something is still due");
    check(s, NULL, heap_next_at(&s->caller_deadlines) > s->now, "a caller is kept beyond the time given");
    for (size_t i = 0; i < s->n_profiles; i++)
        check(s, &s->profiles[i], profile_next_attempt_at(&s->profiles[i].entry->profile) > s->now,
              "an attempt that is due was not made");
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
            if (s->profiles[i].origin != o)
                continue;
            usec_t timeout = s->profiles[i].settings.refresh.timeout_for + s->late_max_for;
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
 * recovered, that one may fail first and be followed by the longest back-off there is.
 */
static void check_recovery(struct sim *s, struct sim_profile *p)
{
    const struct profile *f = &p->entry->profile;
    const struct refresh_policy *r = &p->settings.refresh;
    struct model *m = &p->model;
    usec_t attempt_for = queue_for(s, p->origin) + r->timeout_for + 2 * s->late_max_for;

    if (!upstream_is_healthy(p) || check_is_usable(s, p, MIN_TTL_DEFAULT)) {
        m->recover_by = USEC_INFINITY;
        return;
    }
    usec_t by = s->now + 2 * attempt_for + usec_max(r->retry_max_for, RETRY_AFTER_MAX);
    if (!f->is_fetching)
        by = usec_max(profile_next_attempt_at(f), s->now) + attempt_for;
    m->recover_by = usec_min(m->recover_by, by);
    check(s, p, s->now <= m->recover_by, "the upstream is well again, and no token came");
}

void check_expect_recovery(struct sim *s _unused_, struct sim_profile *p)
{
    p->model.recover_by = USEC_INFINITY;
}

void check_turn(struct sim *s)
{
    check(s, NULL, s->n_waiting == s->registry.n_waiters, "%zu wait, the registry counts %zu", s->n_waiting,
          s->registry.n_waiters);
    check(s, NULL, s->n_in_flight == s->registry.schedule.n_in_flight, "slots are miscounted");
    check(s, NULL, registry_next_at(&s->registry) <= heap_next_at(&s->caller_deadlines),
          "nobody will wake for a caller's deadline");
    for (size_t i = 0; i < s->n_profiles; i++) {
        struct sim_profile *p = &s->profiles[i];
        bool is_queued = p->model.was_asked && !p->model.is_in_flight;
        check(s, p,
              !is_queued || s->n_in_flight == s->n_slots ||
                  p->origin->n_in_flight >= origin_limit(s, p->origin),
              "a fetch waits beside a free slot");
        check_recovery(s, p);
    }
}
