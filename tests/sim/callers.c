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
    if (c->is_waiting) {
        s->n_waiting--;
        if (c->profile)
            c->profile->n_waiting--;
        else
            s->n_admins--;
    }
    c->is_waiting = false;
    sim_at(s, &c->hang_up, USEC_INFINITY);
    heap_remove(&s->caller_deadlines, &c->deadline);
    list_append(&s->free_callers, &c->free);
}

static void caller_hangs_up(struct sim *s, struct sim_event *event)
{
    struct caller *c = container_of(event, struct caller, hang_up);

    sim_trace(s, c->profile, "caller: hangs up", c - s->callers, 0);
    sim_count(s, N_HANG_UPS);
    registry_cancel(&s->registry, &c->waiter);
    caller_leave(s, c);
}

static void caller_waits(struct sim *s, struct caller *c)
{
    c->is_waiting = true;
    s->n_waiting++;
    if (c->profile)
        c->profile->n_waiting++;
    else
        s->n_admins++;
    heap_set(&s->caller_deadlines, &c->deadline, s->now + c->question.wait_for);
    if (random_chance(&s->random, 20))
        sim_at(s, &c->hang_up, s->now + random_below(&s->random, c->question.wait_for + 1));
}

static struct caller *caller_comes(struct sim *s, struct sim_profile *p, const struct question *q)
{
    struct list *free = list_pop(&s->free_callers);
    if (!free)
        return NULL;

    struct caller *c = container_of(free, struct caller, free);
    const struct model *m = p ? &p->model : NULL;
    c->profile = p;
    c->question = *q;
    c->asked_at = s->now;
    c->generation = m ? m->generation : 0;
    c->is_of_current = (q->ask == ASK_POLL && q->generation == m->generation) ||
                       (q->ask == ASK_REPORT && check_left_for(s, p) > 0 && q->token_id == m->token.token_id);
    waiter_init(&c->waiter);
    c->waiter.min_ttl_for = q->min_ttl_for;
    return c;
}

/* ---- the three ways to ask ---- */

static enum answer ask_request(struct sim *s, struct caller *c)
{
    bool is_forced = c->question.ask == ASK_REFRESH;

    c->waiter.kind = is_forced ? WAIT_FOR_OUTCOME : WAIT_FOR_TOKEN;
    if (is_forced)
        sim_count(s, N_FORCED);
    return registry_request(&s->registry, c->profile->entry, &c->waiter, c->question.wait_for, s->now);
}

static enum answer ask_poll(struct sim *s, struct caller *c)
{
    c->waiter.generation = c->question.generation;
    sim_count(s, N_POLLS);
    return registry_poll(&s->registry, c->profile->entry, &c->waiter, c->question.wait_for, s->now);
}

static enum answer ask_report(struct sim *s, struct caller *c)
{
    char fingerprint[FINGERPRINT_SIZE];
    struct rejection rejection = {
        .fingerprint = sim_fingerprint(c->question.token_id, fingerprint),
        .uid = 1000 + c->question.uid,
        .wait_for = c->question.wait_for,
    };
    struct report_rule rule = check_report_rule(s, c->profile, c->question.uid);
    enum answer answer = registry_reject(&s->registry, c->profile->entry, &c->waiter, &rejection, s->now);

    if (c->is_of_current)
        check_report(s, c, &rule, answer);
    else
        sim_count(s, N_REPORTS_STALE);
    return answer;
}

static enum answer ask(struct sim *s, struct caller *c)
{
    switch (c->question.ask) {
    case ASK_TOKEN:
    case ASK_REFRESH:
        return ask_request(s, c);
    case ASK_POLL:
        return ask_poll(s, c);
    case ASK_REPORT:
        return ask_report(s, c);
    case ASK_PROOFS:
        return registry_await_proofs(&s->registry, &c->waiter, c->question.wait_for, s->now);
    }
    return ANSWER_NONE;
}

static enum call call_of(const struct caller *c)
{
    if (c->question.ask == ASK_REFRESH)
        return CALL_REFRESH;
    return c->question.ask == ASK_REPORT && c->is_of_current ? CALL_REPORT : CALL_REQUEST;
}

static void answered(struct sim *s, struct caller *c, enum answer answer)
{
    s->counters.answers[answer]++;
    if (answer == ANSWER_NONE)
        caller_waits(s, c);
    else
        caller_leave(s, c);
}

/* A profile that cannot be used. */
static void ask_unusable(struct sim *s, struct sim_profile *p, const struct question *q)
{
    struct caller *c = caller_comes(s, p, q);

    if (!c)
        return;
    enum answer answer = ask(s, c);
    bool is_poll = c->is_of_current && q->ask == ASK_POLL;
    check(s, p, answer == ANSWER_FAILED || (is_poll && q->wait_for > 0 && answer == ANSWER_NONE),
          "an unusable profile must refuse at once, and says %d", answer);
    if (answer == ANSWER_NONE)
        registry_cancel(&s->registry, &c->waiter);
    caller_leave(s, c);
}

void callers_ask(struct sim *s, struct sim_profile *p, const struct question *q)
{
    if (p->is_unusable)
        ask_unusable(s, p, q);
    struct caller *c = sim_is_live(p) ? caller_comes(s, p, q) : NULL;
    if (!c)
        return;

    bool was_usable = check_is_usable(s, p, q->min_ttl_for), was_asleep = p->model.is_asleep;
    enum answer answer = ask(s, c);
    sim_trace(s, p, "call: kind, answer", q->ask, answer);
    sim_count(s, N_CALLS);
    if (q->ask != ASK_REFRESH)
        p->model.used_at = s->now;
    check_after(s, p, call_of(c), q->min_ttl_for);
    check_immediate(s, c, answer, was_usable);
    if (was_asleep && !p->model.is_asleep)
        sim_count(s, was_usable ? N_WOKEN_WITH_TOKEN : N_WOKEN);
    answered(s, c, answer);
    sim_drain(s);
}

void callers_await_proofs(struct sim *s)
{
    struct question q = {.ask = ASK_PROOFS, .wait_for = random_between(&s->random, 1, 60) * USEC_PER_SEC};
    struct caller *c = caller_comes(s, NULL, &q);

    if (!c)
        return;
    enum answer answer = ask(s, c);
    check(s, NULL, answer == (check_n_proving(s) > 0 ? ANSWER_NONE : ANSWER_PROVEN),
          "%zu are not proven, and an admin is told %d", check_n_proving(s), answer);
    answered(s, c, answer);
}

static struct question draw_question(struct sim *s, const struct sim_profile *p)
{
    uint64_t n = random_below(&s->random, 100);

    if (n < 3)
        return reporters_draw(s, p);
    if (n < 12)
        return pollers_draw(s, p);
    struct question q = {
        .ask = n < 14 ? ASK_REFRESH : ASK_TOKEN,
        .min_ttl_for = MIN_TTL_DEFAULT,
        .wait_for = random_chance(&s->random, 20) ? 0 : random_below(&s->random, 61) * USEC_PER_SEC,
    };
    if (q.ask == ASK_TOKEN)
        q.min_ttl_for = draw_min_ttl(s, p);
    return q;
}

static void call_at_random(struct sim *s, struct sim_profile *p)
{
    struct question q = draw_question(s, p);
    callers_ask(s, p, &q);
}

/* One caller, or a burst at one profile; then a pause of milliseconds or hours. */
static void callers_arrive(struct sim *s, struct sim_event *event)
{
    struct sim_profile *p = &s->profiles[random_below(&s->random, s->n_profiles)];
    uint64_t n = random_chance(&s->random, 3) ? random_between(&s->random, 2, 200) : 1;

    for (uint64_t i = 0; i < n; i++)
        call_at_random(s, p);
    sim_at(s, event, s->now + random_spread(&s->random, USEC_PER_MSEC, USEC_PER_HOUR));
}

static void caller_at_the_edge(struct sim *s, struct sim_event *event)
{
    struct sim_profile *p = container_of(event, struct sim_profile, edge_event);
    struct question q = {
        .ask = ASK_TOKEN,
        .min_ttl_for = p->edge_min_ttl_for,
        .wait_for = random_below(&s->random, 20) * USEC_PER_SEC,
    };

    sim_count(s, N_EDGES);
    callers_ask(s, p, &q);
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

void callers_lose(struct sim *s)
{
    for (size_t i = 0; i < SIM_CALLERS_MAX; i++) {
        struct caller *c = &s->callers[i];
        if (!c->is_waiting)
            continue;
        registry_cancel(&s->registry, &c->waiter);
        caller_leave(s, c);
    }
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
