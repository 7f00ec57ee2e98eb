/* SPDX-License-Identifier: MIT */
#include "sim.h"

#include <inttypes.h>
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

const char *sim_fingerprint(uint64_t token_id, char buf[static FINGERPRINT_SIZE])
{
    (void) snprintf(buf, FINGERPRINT_SIZE, "%016" PRIx64, token_id);
    return buf;
}

struct sim_profile *sim_profile_of(struct sim *s, const struct entry *e)
{
    for (size_t i = 0; i < s->n_profiles; i++) {
        if (s->profiles[i].entry == e && sim_is_live(&s->profiles[i]))
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
    reload_soon(s, s->now, p->exchange.end_at);
    restart_soon(s, s->now, p->exchange.end_at);
}

static void give_back_slot(struct sim *s, struct sim_profile *p)
{
    s->n_in_flight--;
    p->origin->n_in_flight--;
}

void sim_lose_request(struct sim *s, struct sim_profile *p)
{
    sim_at(s, &p->answer_event, USEC_INFINITY);
    give_back_slot(s, p);
}

void sim_abort_request(struct sim *s, struct sim_profile *p)
{
    sim_trace(s, p, "abort: end in", p->exchange.end_at - s->now, 0);
    sim_count(s, N_ABORTED_IN_FLIGHT);
    sim_lose_request(s, p);
    registry_abort_fetch(&s->registry, p->entry);
    p->model.is_in_flight = p->model.was_asked = false;
    check(s, p, !p->entry->profile.is_fetching, "called off, and still in flight");
}

static void request_ends(struct sim *s, struct sim_event *event)
{
    struct sim_profile *p = container_of(event, struct sim_profile, answer_event);
    struct exchange *x = &p->exchange;
    struct token t = {.sent_at = x->sent_at, .lifetime_for = x->lifetime_for};

    give_back_slot(s, p);
    p->origin->is_suspect = !x->has_answered;
    t.expires_at = t.sent_at + t.lifetime_for;
    (void) sim_fingerprint(x->token_id, t.fingerprint);
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
    if (!x->is_token && check_is_usable(s, p, MIN_TTL_DEFAULT))
        reload_soon(s, check_needed_at(s, p), check_needed_at(s, p) + USEC_PER_SEC);
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
        start_request(s, sim_profile_of(s, e));
    while ((e = registry_pop_note(&s->registry, &note)))
        check_note(s, sim_profile_of(s, e), note);
    restart_save(s);
}

static void advance(struct sim *s)
{
    registry_advance(&s->registry, s->now);
    for (size_t i = 0; i < s->n_profiles; i++) {
        if (sim_is_live(&s->profiles[i]))
            check_after(s, &s->profiles[i], CALL_ADVANCE, MIN_TTL_DEFAULT);
    }
    sim_drain(s);
    check_advanced(s);
}

/* ---- time ---- */

static void timer_fires(struct sim *s, struct sim_event *event _unused_)
{
    uint64_t before = s->counters.requests + s->n_waiting;

    s->timer_for = USEC_INFINITY;
    advance(s);
    if (s->counters.requests + s->n_waiting == before)
        sim_count(s, N_IDLE_TURNS);
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
    sim_count(s, N_SUSPENDS);
    s->now += random_spread(&s->random, USEC_PER_MIN, 3 * USEC_PER_DAY);
    sim_trace(s, NULL, "suspend ends", 0, 0);
    for (size_t i = 0; i < s->n_profiles; i++) {
        struct sim_profile *p = &s->profiles[i];
        /* A connection seldom survives that. */
        if (p->answer_event.node.is_queued && p->exchange.end_at < s->now && random_chance(&s->random, 50)) {
            p->exchange.is_token = p->exchange.has_answered = false;
            p->exchange.failure = (struct failure){.reason = REASON_CONNECT};
        }
        if (sim_is_live(p) && p->model.is_asleep)
            sim_count(s, N_SUSPENDED_ASLEEP);
        check_expect_recovery(p);
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

/* Some turns do nothing but see that a token has run out, or that nobody asks any more. */
static void check_idle_turns(struct sim *s)
{
    const uint64_t *seen = s->counters.seen;
    uint64_t most = 5 * (s->counters.requests + s->n_profiles) + seen[N_HANG_UPS] +
                    2 * s->n_profiles * (seen[N_RELOADS] + seen[N_RESTARTS]);

    check(s, NULL, seen[N_IDLE_TURNS] <= most, "the timer fired too often for nothing");
}

static void begin(struct sim *s)
{
    registry_start(&s->registry, s->now);
    for (size_t i = 0; i < s->n_profiles; i++) {
        struct sim_profile *p = &s->profiles[i];
        if (!sim_is_live(p))
            continue;
        check_begin(p);
        check_after(s, p, CALL_START, MIN_TTL_DEFAULT);
        check(s, p, p->model.was_asked == p->draft.is_preloaded, "preloaded %d, and fetches %d",
              p->draft.is_preloaded, p->model.was_asked);
    }
    sim_drain(s);
    arm_timer(s);
    if (s->has_reloads && s->n_in_flight > 0 && random_chance(&s->random, 80))
        sim_at(s, &s->reload, s->now + random_spread(&s->random, 1, USEC_PER_SEC));
}

void sim_run(struct sim *s)
{
    begin(s);
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
    callers_await_proofs(s);
    registry_stop(&s->registry, s->now);
    sim_drain(s);
    check(s, NULL, s->n_waiting == 0, "a caller was not answered at the end");
    check_idle_turns(s);
}

/* ---- the world ---- */

static void add_unusable(struct sim *s, struct sim_profile *p)
{
    static const struct access_list nobody = {0};
    struct unusable_profile broken = {.name = p->name, .message = "no keys", .allow = &nobody};

    if (registry_add_unusable(&s->registry, &broken, s->now) < 0)
        abort();
}

void sim_add_entry(struct sim *s, struct sim_profile *p)
{
    if (p->is_unusable)
        add_unusable(s, p);
    else if (p->draft.is_there && registry_add(&s->registry, p->settings) < 0)
        abort();
}

/* The last one cannot be used; some others are not there yet. */
static void add_profile(struct sim *s, size_t i)
{
    struct sim_profile *p = &s->profiles[i];

    (void) snprintf(p->name, sizeof(p->name), "p%03u", (unsigned) i);
    p->answer_event.happen = request_ends;
    draft_begin(s, p, &p->draft);
    p->origin = &s->origins[p->draft.origin];
    p->is_unusable = i + 1 == s->n_profiles;
    p->draft.is_there = !p->is_unusable && !(i > 0 && s->has_reloads && random_chance(&s->random, 10));
    if (p->draft.is_there)
        p->settings = draft_settings(s, p, &p->draft);
    sim_add_entry(s, p);
    p->entry = registry_find(&s->registry, p->name);
}

void sim_init(struct sim *s, uint64_t seed, unsigned days, size_t n_profiles)
{
    static const size_t slots[] = {1, 2, 3, 4, 8, 16, 16}, uids[] = {1, 3, 4, 4, SIM_UIDS_MAX};
    static const usec_t lateness[] = {0, 0, 50 * USEC_PER_MSEC, 10 * USEC_PER_SEC};

    *s = (struct sim){.seed = seed, .days = days, .now = BOOT_FOR, .n_profiles = n_profiles + 1};
    s->random.state = seed;
    s->end_at = s->now + days * USEC_PER_DAY;
    s->n_slots = random_pick(&s->random, slots);
    s->n_origins = random_between(&s->random, 1, SIM_ORIGINS_MAX);
    s->n_uids = random_pick(&s->random, uids);
    s->late_max_for = random_pick(&s->random, lateness);
    s->is_advancing_always = random_chance(&s->random, 30);
    s->has_reloads = random_chance(&s->random, 80);
    s->has_idle = random_chance(&s->random, 80);
    s->has_key_changes = random_chance(&s->random, 70);
    s->has_restarts = random_chance(&s->random, 70);
    s->timer_for = USEC_INFINITY;
    registry_init(&s->registry, s->n_slots, random_next(&s->random));
    for (size_t i = 0; i < s->n_origins; i++)
        (void) snprintf(s->origins[i].url, sizeof(s->origins[i].url), "https://issuer-%u.example/token",
                        (unsigned) i);
    for (size_t i = 0; i < s->n_profiles; i++)
        add_profile(s, i);
    accounts_init(s);
    upstream_init(s);
    callers_init(s);
    reporters_init(s);
    reload_init(s);
    restart_init(s);
    s->timer.happen = timer_fires;
    s->suspend.happen = machine_sleeps;
    if (random_chance(&s->random, 60))
        sim_at(s, &s->suspend, s->now + random_spread(&s->random, USEC_PER_HOUR, 20 * USEC_PER_DAY));
}

void sim_done(struct sim *s)
{
    registry_done(&s->registry);
    for (size_t i = 0; i < s->n_profiles; i++)
        profile_settings_free(s->profiles[i].settings);
    for (size_t i = 0; i < s->n_profiles; i++)
        restart_forget(&s->profiles[i]);
}
