/* SPDX-License-Identifier: MIT */
#include "check.h"

/* The longest that callers are let wait. */
#define WAIT_MAX USEC_PER_MIN

struct question reporters_draw(struct sim *s, const struct sim_profile *p)
{
    struct question q = {
        .ask = ASK_REPORT,
        .min_ttl_for = MIN_TTL_DEFAULT,
        .wait_for = random_chance(&s->random, 20) ? 0 : random_below(&s->random, 61) * USEC_PER_SEC,
        .token_id = p->model.token.token_id,
        .uid = (uint32_t) random_below(&s->random, s->n_uids),
    };

    if (random_chance(&s->random, 25)) /* an old one, or one that never was */
        q.token_id = random_below(&s->random, s->last_token_id + 2);
    return q;
}

struct question pollers_draw(struct sim *s, const struct sim_profile *p)
{
    static const usec_t min_ttls[] = {0, USEC_PER_SEC, 10 * USEC_PER_MIN, USEC_PER_DAY};
    struct question q = {
        .ask = ASK_POLL,
        .min_ttl_for = MIN_TTL_DEFAULT,
        .wait_for = random_chance(&s->random, 5) ? 0 : random_between(&s->random, 1, WAIT_MAX),
        .generation = p->model.generation,
    };

    if (random_chance(&s->random, 15)) /* before, or of another life */
        q.generation = random_below(&s->random, p->model.generation + 3);
    if (random_chance(&s->random, 10))
        q.min_ttl_for = random_pick(&s->random, min_ttls);
    return q;
}

/* ---- pollers ---- */

static void poller_comes(struct sim *s, struct sim_event *event)
{
    struct sim_profile *p = container_of(event, struct sim_profile, poll_event);
    struct question q = pollers_draw(s, p);

    callers_ask(s, p, &q);
}

void reporters_watch(struct sim *s, struct sim_profile *p, usec_t planned_at)
{
    usec_t before = random_below(&s->random, WAIT_MAX);

    if (planned_at != USEC_INFINITY && planned_at - before > s->now && random_chance(&s->random, 20))
        sim_at(s, &p->poll_event, planned_at - before);
}

/* ---- reporters ---- */

static void reporter_comes(struct sim *s, struct sim_event *event)
{
    struct sim_profile *p = container_of(event, struct sim_profile, report_event);
    unsigned n = random_chance(&s->random, 10) ? 5 : 1;

    for (unsigned i = 0; i < n; i++) {
        struct question q = reporters_draw(s, p);
        callers_ask(s, p, &q);
    }
    if (p->n_reports_left-- > 0)
        sim_at(s, event, s->now + random_spread(&s->random, USEC_PER_MSEC, 20 * USEC_PER_MIN));
}

/* The issuer has withdrawn a token: all who use it notice, and some go on about it with every other one. */
static void revocation_happens(struct sim *s, struct sim_event *event)
{
    struct sim_profile *p = &s->profiles[random_below(&s->random, s->n_profiles)];

    sim_at(s, event, s->now + random_spread(&s->random, USEC_PER_MIN, 4 * USEC_PER_DAY));
    if (!sim_is_live(p) || !p->model.has_token)
        return;
    sim_count(s, N_REVOCATIONS);
    sim_trace(s, p, "revoked: token", p->model.token.token_id, 0);
    p->issued_expiry_at = 0;
    p->n_reports_left = (unsigned) random_spread(&s->random, 1, 100);
    uint64_t n = random_spread(&s->random, 1, 50);
    for (uint64_t i = 0; i < n; i++) {
        struct question q = reporters_draw(s, p);
        callers_ask(s, p, &q);
    }
    sim_at(s, &p->report_event, s->now + random_spread(&s->random, USEC_PER_MSEC, USEC_PER_MIN));
}

void reporters_init(struct sim *s)
{
    for (size_t i = 0; i < s->n_profiles; i++) {
        s->profiles[i].poll_event.happen = poller_comes;
        s->profiles[i].report_event.happen = reporter_comes;
    }
    s->revocation.happen = revocation_happens;
    sim_at(s, &s->revocation, s->now + random_spread(&s->random, USEC_PER_MIN, 4 * USEC_PER_DAY));
}
