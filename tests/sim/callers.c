/* SPDX-License-Identifier: MIT */
#include "check.h"

/* What callers ask for: mostly nothing, sometimes sensible, sometimes silly. */
static usec_t draw_min_ttl(struct sim *s, const struct sim_profile *p)
{
    usec_t life = p->model.has_token ? p->model.token.lifetime_for : USEC_PER_HOUR;

    switch (random_below(&s->random, 12)) {
    case 0:
        return 0;
    case 1:
        return random_spread(&s->random, 1, 120) * USEC_PER_SEC;
    case 2:
        return random_below(&s->random, life + 1);
    case 3: /* as good as new */
        return usec_sub(life, random_below(&s->random, USEC_PER_SEC));
    case 4: /* what there is, and a microsecond */
        return p->model.has_token
                   ? usec_sub(p->model.token.sent_at + life, s->now) + random_below(&s->random, 2)
                   : 0;
    case 5:
        return life * (1 + random_below(&s->random, 3));
    case 6:
        return random_chance(&s->random, 20) ? USEC_INFINITY - 1 : 3650 * USEC_PER_DAY;
    default:
        return MIN_TTL_DEFAULT;
    }
}

static void caller_leave(struct sim *s, struct caller *c)
{
    if (c->is_waiting)
        s->n_waiting--;
    c->is_waiting = false;
    sim_at(s, &c->hang_up, USEC_INFINITY);
    heap_remove(&s->caller_deadlines, &c->deadline);
    list_append(&s->free_callers, &c->free);
}

static void caller_hangs_up(struct sim *s, struct sim_event *event)
{
    struct caller *c = container_of(event, struct caller, hang_up);

    sim_trace(s, c->profile, "caller: hangs up", c - s->callers, 0);
    s->counters.hang_ups++;
    registry_cancel(&s->registry, &c->waiter);
    caller_leave(s, c);
}

static void call(struct sim *s, struct sim_profile *p, enum waiter_kind kind, usec_t min_ttl_for,
                 usec_t wait_for)
{
    struct list *free = list_pop(&s->free_callers);
    if (!free)
        return;

    struct caller *c = container_of(free, struct caller, free);
    bool was_usable = check_is_usable(s, p, min_ttl_for);
    c->profile = p;
    waiter_init(&c->waiter);
    c->waiter.kind = kind;
    c->waiter.min_ttl_for = min_ttl_for;
    enum answer answer = registry_request(&s->registry, p->entry, &c->waiter, wait_for, s->now);

    sim_trace(s, p, kind == WAIT_FOR_TOKEN ? "call: min_ttl, answer" : "force: -, answer", min_ttl_for,
              answer);
    s->counters.calls++;
    s->counters.forced += kind == WAIT_FOR_OUTCOME;
    s->counters.answers[answer]++;
    check_after(s, p, kind == WAIT_FOR_TOKEN ? CALL_REQUEST : CALL_REFRESH, min_ttl_for);
    check_immediate(s, c, answer, was_usable, wait_for);
    if (answer != ANSWER_NONE) {
        caller_leave(s, c);
    } else {
        c->is_waiting = true;
        s->n_waiting++;
        heap_set(&s->caller_deadlines, &c->deadline, s->now + wait_for);
        if (random_chance(&s->random, 20))
            sim_at(s, &c->hang_up, s->now + random_below(&s->random, wait_for + 1));
    }
    sim_drain(s);
}

static void call_at_random(struct sim *s, struct sim_profile *p)
{
    bool is_forced = random_chance(&s->random, 2);
    usec_t wait_for = random_chance(&s->random, 20) ? 0 : random_below(&s->random, 61) * USEC_PER_SEC;

    call(s, p, is_forced ? WAIT_FOR_OUTCOME : WAIT_FOR_TOKEN,
         is_forced ? MIN_TTL_DEFAULT : draw_min_ttl(s, p), wait_for);
}

static void call_unusable(struct sim *s)
{
    struct waiter w;

    waiter_init(&w);
    w.kind = random_chance(&s->random, 50) ? WAIT_FOR_TOKEN : WAIT_FOR_OUTCOME;
    check(s, NULL, registry_request(&s->registry, s->unusable, &w, USEC_PER_MIN, s->now) == ANSWER_FAILED,
          "an unusable profile must refuse at once");
}

/* One caller, or a burst at one profile; then a pause of milliseconds or hours. */
static void callers_arrive(struct sim *s, struct sim_event *event)
{
    struct sim_profile *p = &s->profiles[random_below(&s->random, s->n_profiles)];
    uint64_t n = random_chance(&s->random, 3) ? random_between(&s->random, 2, 200) : 1;

    for (uint64_t i = 0; i < n; i++)
        call_at_random(s, p);
    if (random_chance(&s->random, 1))
        call_unusable(s);
    sim_at(s, event, s->now + random_spread(&s->random, USEC_PER_MSEC, USEC_PER_HOUR));
}

static void caller_at_the_edge(struct sim *s, struct sim_event *event)
{
    struct sim_profile *p = container_of(event, struct sim_profile, edge_event);

    s->counters.edges++;
    call(s, p, WAIT_FOR_TOKEN, p->edge_min_ttl_for, random_below(&s->random, 20) * USEC_PER_SEC);
}

/* A caller at the very microsecond at which this token stops being enough, or one before or behind. */
void callers_watch_edge(struct sim *s, struct sim_profile *p)
{
    static const usec_t asked[] = {MIN_TTL_DEFAULT, MIN_TTL_DEFAULT, 0, 1, USEC_PER_SEC, 10 * USEC_PER_SEC};
    const struct exchange *t = &p->model.token;

    p->edge_min_ttl_for = random_pick(&s->random, asked);
    usec_t min_ttl = p->edge_min_ttl_for == MIN_TTL_DEFAULT
                         ? usec_min(30 * USEC_PER_SEC, t->lifetime_for / 10)
                         : p->edge_min_ttl_for;
    usec_t edge_at = usec_sub(t->sent_at + t->lifetime_for, min_ttl) + random_below(&s->random, 3) - 1;
    if (edge_at > s->now)
        sim_at(s, &p->edge_event, edge_at);
}

void callers_take_answer(struct sim *s, struct waiter *w)
{
    struct caller *c = container_of(w, struct caller, waiter);

    sim_trace(s, c->profile, "answer: caller, answer", c - s->callers, w->answer);
    s->counters.answers[w->answer]++;
    check_answer(s, c);
    caller_leave(s, c);
}

void callers_crowd(struct sim *s)
{
    for (size_t i = 0; i < s->n_profiles; i++) {
        for (unsigned k = 0; k < 5; k++)
            call_at_random(s, &s->profiles[i]);
    }
}

void callers_init(struct sim *s)
{
    list_init(&s->free_callers);
    for (size_t i = 0; i < SIM_CALLERS_MAX; i++) {
        s->callers[i].hang_up.happen = caller_hangs_up;
        list_append(&s->free_callers, &s->callers[i].free);
    }
    for (size_t i = 0; i < s->n_profiles; i++)
        s->profiles[i].edge_event.happen = caller_at_the_edge;
    s->arrival.happen = callers_arrive;
    sim_at(s, &s->arrival, s->now);
}
