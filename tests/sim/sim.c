/* SPDX-License-Identifier: MIT */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

/* CLOCK_BOOTTIME when the daemon starts: a machine that is up for an hour. */
#define BOOT_FOR USEC_PER_HOUR

void sim_at(struct sim *s, struct sim_event *event, usec_t at)
{
    heap_set(&s->events, &event->node, at);
}

void sim_trace(struct sim *s, const struct sim_profile *p, const char *what, uint64_t a, uint64_t b)
{
    trace_add(&s->trace,
              (struct trace_entry){.at = s->now, .what = what, .name = p ? p->name : NULL, .a = a, .b = b});
}

/* ---- the host's part ---- */

static struct sim_profile *profile_of(struct sim *s, const struct entry *e)
{
    for (size_t i = 0; i < s->n_profiles; i++) {
        if (s->profiles[i].entry == e)
            return &s->profiles[i];
    }
    check_fail(s, NULL, "the registry handed out an entry that must not act");
}

static void start_request(struct sim *s, struct sim_profile *p)
{
    check_start(s, p);
    p->exchange = upstream_exchange(s, p);
    s->n_in_flight++;
    p->origin->n_in_flight++;
    s->counters.requests++;
    sim_trace(s, p, "request: slots, end in", s->n_in_flight, p->exchange.end_at - s->now);
    sim_at(s, &p->answer_event, p->exchange.end_at);
}

static void request_ends(struct sim *s, struct sim_event *event)
{
    struct sim_profile *p = container_of(event, struct sim_profile, answer_event);
    struct exchange *x = &p->exchange;
    struct token t = {.sent_at = x->sent_at, .lifetime_for = x->lifetime_for};

    s->n_in_flight--;
    p->origin->n_in_flight--;
    p->origin->is_suspect = !x->has_answered;
    t.expires_at = t.sent_at + t.lifetime_for;
    if (x->is_token && secret_set(&t.value, &x->token_id, sizeof(x->token_id)) < 0)
        abort();
    sim_trace(s, p, x->is_token ? "end: token, life" : "end: reason, retry-after",
              x->is_token ? x->token_id : x->failure.reason,
              x->is_token ? x->lifetime_for : x->failure.retry_after_for);
    registry_end_fetch(&s->registry, p->entry, x->is_token ? &t : NULL, x->is_token ? NULL : &x->failure,
                       x->has_answered, s->now);
    token_done(&t);
    check_end(s, p);
    check_after(s, p, CALL_END, MIN_TTL_DEFAULT);
    sim_drain(s);
}

void sim_drain(struct sim *s)
{
    struct waiter *w;
    struct entry *e;
    enum note note;

    while ((w = registry_pop_answer(&s->registry)))
        callers_take_answer(s, w);
    while ((e = registry_pop_fetch(&s->registry, s->now)))
        start_request(s, profile_of(s, e));
    while ((e = registry_pop_note(&s->registry, &note)))
        check_note(s, profile_of(s, e), note);
}

static void advance(struct sim *s)
{
    registry_advance(&s->registry, s->now);
    for (size_t i = 0; i < s->n_profiles; i++)
        check_after(s, &s->profiles[i], CALL_ADVANCE, MIN_TTL_DEFAULT);
    sim_drain(s);
    check_advanced(s);
}

/* ---- time ---- */

static void timer_fires(struct sim *s, struct sim_event *event _unused_)
{
    uint64_t before = s->counters.requests + s->n_waiting;

    s->timer_for = USEC_INFINITY;
    advance(s);
    s->counters.idle_turns += s->counters.requests + s->n_waiting == before;
    /* Busy? Counted in each simulated second. */
    s->n_timers_at_once =
        s->last_timer_at / USEC_PER_SEC == s->now / USEC_PER_SEC ? s->n_timers_at_once + 1 : 0;
    s->last_timer_at = s->now;
    check(s, NULL, s->n_timers_at_once <= 40 * s->n_profiles + SIM_CALLERS_MAX, "the loop is busy");
}

/* The lid is closed for minutes or days: what was due meanwhile happens at once, late, in the order it was
 * due. */
static void machine_sleeps(struct sim *s, struct sim_event *event)
{
    s->counters.suspends++;
    s->now += random_spread(&s->random, USEC_PER_MIN, 3 * USEC_PER_DAY);
    sim_trace(s, NULL, "suspend ends", 0, 0);
    for (size_t i = 0; i < s->n_profiles; i++) {
        struct sim_profile *p = &s->profiles[i];
        /* A connection seldom survives that. */
        if (p->answer_event.node.is_queued && p->exchange.end_at < s->now && random_chance(&s->random, 50)) {
            p->exchange.is_token = p->exchange.has_answered = false;
            p->exchange.failure = (struct failure){.reason = REASON_CONNECT};
        }
        check_expect_recovery(s, p);
    }
    sim_at(s, event, s->now + random_spread(&s->random, USEC_PER_HOUR, 20 * USEC_PER_DAY));
}

/* How late this timer will be: mostly not, in some runs a little or a lot. */
static usec_t draw_lateness(struct sim *s)
{
    if (s->late_max_for == 0 || random_chance(&s->random, 70))
        return 0;
    return random_spread(&s->random, 1, s->late_max_for);
}

static void arm_timer(struct sim *s)
{
    usec_t at = registry_next_at(&s->registry);

    if (at == s->timer_for)
        return;
    s->timer_for = at;
    sim_at(s, &s->timer, usec_add(at, draw_lateness(s)));
}

void sim_run(struct sim *s)
{
    registry_start(&s->registry, s->now);
    for (size_t i = 0; i < s->n_profiles; i++)
        check_after(s, &s->profiles[i], CALL_START, MIN_TTL_DEFAULT);
    sim_drain(s);
    arm_timer(s);
    while (heap_next_at(&s->events) < s->end_at && s->now < s->end_at) {
        struct sim_event *event = container_of(heap_peek(&s->events), struct sim_event, node);
        s->now = usec_max(s->now, event->node.at);
        heap_remove(&s->events, &event->node);
        event->happen(s, event);
        if (s->is_advancing_always)
            advance(s);
        check_turn(s);
        arm_timer(s);
        s->counters.turns++;
    }
    callers_crowd(s);
    registry_stop(&s->registry);
    sim_drain(s);
    check(s, NULL, s->n_waiting == 0, "a caller was not answered at the end");
    check(s, NULL,
          s->counters.idle_turns <= 4 * (s->counters.requests + s->n_profiles) + s->counters.hang_ups,
          "the timer fired too often for nothing");
}

/* ---- the world ---- */

static void draw_policy(struct sim *s, struct refresh_policy *policy)
{
    static const usec_t minima[] = {USEC_PER_MSEC * 100, USEC_PER_SEC,      USEC_PER_SEC,
                                    5 * USEC_PER_SEC,    30 * USEC_PER_SEC, 10 * USEC_PER_MIN};
    static const usec_t maxima[] = {10 * USEC_PER_SEC, USEC_PER_MIN, USEC_PER_MIN, 10 * USEC_PER_MIN};

    *policy = (struct refresh_policy){
        .at_percent = random_chance(&s->random, 50) ? 50 : (unsigned) random_between(&s->random, 10, 100),
        .retry_min_for = random_pick(&s->random, minima),
        .timeout_for = random_between(&s->random, 1, 60) * USEC_PER_SEC,
    };
    policy->jitter_percent = random_chance(&s->random, 50)
                                 ? policy->at_percent / 5
                                 : (unsigned) random_below(&s->random, policy->at_percent);
    policy->retry_max_for = usec_max(policy->retry_min_for, random_pick(&s->random, maxima));
}

static void add_profile(struct sim *s, size_t i)
{
    struct sim_profile *p = &s->profiles[i];

    (void) snprintf(p->name, sizeof(p->name), "p%03zu", i);
    p->origin = &s->origins[random_below(&s->random, s->n_origins)];
    p->settings = (struct profile_settings){.name = p->name, .token_url = p->origin->url};
    draw_policy(s, &p->settings.refresh);
    p->answer_event.happen = request_ends;
    p->model.demand_at = p->model.recover_by = USEC_INFINITY;
    if (registry_add(&s->registry, &p->settings) < 0)
        abort();
    p->entry = registry_find(&s->registry, p->name);
}

void sim_init(struct sim *s, uint64_t seed, unsigned days, size_t n_profiles)
{
    static const size_t slots[] = {1, 2, 3, 4, 8, 16, 16};
    static const usec_t lateness[] = {0, 0, 50 * USEC_PER_MSEC, 10 * USEC_PER_SEC};
    static const struct access_list nobody = {0};

    *s = (struct sim){.seed = seed, .now = BOOT_FOR, .n_profiles = n_profiles, .random = {.state = seed}};
    s->end_at = s->now + days * USEC_PER_DAY;
    s->n_slots = random_pick(&s->random, slots);
    s->n_origins = random_between(&s->random, 1, SIM_ORIGINS_MAX);
    s->late_max_for = random_pick(&s->random, lateness);
    s->is_advancing_always = random_chance(&s->random, 30);
    s->timer_for = USEC_INFINITY;
    registry_init(&s->registry, s->n_slots, random_next(&s->random));
    for (size_t i = 0; i < s->n_origins; i++)
        (void) snprintf(s->origins[i].url, sizeof(s->origins[i].url), "https://issuer-%zu.example/token", i);
    for (size_t i = 0; i < n_profiles; i++)
        add_profile(s, i);
    struct unusable_profile broken = {.name = "zz", .message = "no keys", .allow = &nobody};
    if (registry_add_unusable(&s->registry, &broken, s->now) < 0)
        abort();
    s->unusable = registry_find(&s->registry, "zz");

    upstream_init(s);
    callers_init(s);
    s->timer.happen = timer_fires;
    s->suspend.happen = machine_sleeps;
    if (random_chance(&s->random, 60))
        sim_at(s, &s->suspend, s->now + random_spread(&s->random, USEC_PER_HOUR, 20 * USEC_PER_DAY));
}

void sim_done(struct sim *s)
{
    registry_done(&s->registry);
}
