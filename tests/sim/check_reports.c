/* SPDX-License-Identifier: MIT */
#include "check.h"

/* The budget of reports (policy.h), as buckets that fill and drain. */

#define BURST_OF_ONE 3
#define BURST_OF_ALL 6
/* So many users have a place of their own in the budget at once. */
#define PLACES 4

static usec_t interval_of(const struct sim_profile *p)
{
    usec_t part = p->model.token.lifetime_for / 20;

    if (part > 10 * USEC_PER_MIN)
        part = 10 * USEC_PER_MIN;
    return part > p->draft.refresh.retry_min_for ? part : p->draft.refresh.retry_min_for;
}

static usec_t level_at(const struct bucket *b, usec_t now)
{
    return b->level_for > now - b->at ? b->level_for - (now - b->at) : 0;
}

/* When the bucket has room for one more. */
static usec_t room_at(const struct bucket *b, unsigned burst, usec_t interval_for, usec_t now)
{
    usec_t level = level_at(b, now), room = (burst - 1) * interval_for;
    return level > room ? now + level - room : now;
}

static void fill(struct bucket *b, usec_t interval_for, usec_t now)
{
    *b = (struct bucket){.at = now, .level_for = level_at(b, now) + interval_for};
}

/* The soonest that a report of the current token may set off a request. */
static usec_t spaced_at(const struct sim *s, const struct sim_profile *p)
{
    usec_t spaced_at = usec_max(p->model.token.sent_at + check_spacing_for(p), p->model.held_until_at);
    return usec_max(s->now, spaced_at);
}

struct report_rule check_report_rule(const struct sim *s, const struct sim_profile *p, uint32_t uid)
{
    const struct model *m = &p->model;
    bool is_backing_off = m->n_failures > 0 && !m->is_asleep;
    usec_t interval = interval_of(p);
    struct report_rule rule = {.fate = REPORT_TAKEN};

    /* A demand that is planned for later is no reason to leave callers with a dead token until then. */
    if (m->was_asked || (!is_backing_off && m->demand_at <= spaced_at(s, p)))
        return (struct report_rule){.fate = REPORT_JOINS};
    if (is_backing_off)
        return (struct report_rule){.fate = REPORT_BACKS_OFF};
    rule.allowed_from = room_at(&m->reports_of_all, BURST_OF_ALL, interval / 2, s->now);
    rule.allowed_at = usec_max(rule.allowed_from, room_at(&m->reports[uid], BURST_OF_ONE, interval, s->now));
    if (s->n_uids <= PLACES)
        rule.allowed_from = rule.allowed_at;
    if (rule.allowed_at > s->now)
        rule.fate = REPORT_REFUSED;
    return rule;
}

static void report_taken(struct sim *s, const struct caller *c)
{
    struct sim_profile *p = c->profile;
    const struct profile *f = &p->entry->profile;

    fill(&p->model.reports[c->question.uid], interval_of(p), s->now);
    fill(&p->model.reports_of_all, interval_of(p) / 2, s->now);
    if (spaced_at(s, p) <= s->now) {
        check(s, p, f->is_fetching, "a report is taken, and nothing is fetched");
        sim_count(s, N_REPORTS_TAKEN);
        return;
    }
    check(s, p, !f->is_fetching && f->demand_at == spaced_at(s, p), "a report breaks the spacing");
    sim_count(s, N_REPORTS_SPACED);
}

static void report_refused(struct sim *s, const struct caller *c, const struct report_rule *rule)
{
    struct sim_profile *p = c->profile;
    usec_t allowed_at = c->waiter.allowed_at;

    check(s, p, allowed_at > s->now && allowed_at >= rule->allowed_from && allowed_at <= rule->allowed_at,
          "the next report is said to be taken in %.6f s, not %.6f s", (double) (allowed_at - s->now) / 1e6,
          (double) (rule->allowed_at - s->now) / 1e6);
    check(s, p, !p->entry->profile.is_fetching && p->entry->profile.demand_at == p->model.demand_at,
          "a report over the budget sets off a request");
    sim_count(s, N_REPORTS_REFUSED);
}

void check_report(struct sim *s, const struct caller *c, const struct report_rule *rule, enum answer answer)
{
    struct sim_profile *p = c->profile;
    const struct profile *f = &p->entry->profile;
    bool is_refused = answer == ANSWER_TOO_OFTEN;

    switch (rule->fate) {
    case REPORT_JOINS:
        check(s, p, !is_refused && f->is_fetching == p->model.was_asked && f->demand_at == p->model.demand_at,
              "a report that costs nothing is refused, or sets off a request");
        sim_count(s, N_REPORTS_JOINED);
        return;
    case REPORT_BACKS_OFF:
        check(s, p, !is_refused && f->demand_at == p->model.demand_at, "a report goes around the back-off");
        sim_count(s, N_REPORTS_BACKED_OFF);
        return;
    case REPORT_TAKEN:
        check(s, p, !is_refused, "a report within the budget of user %u is refused", c->question.uid);
        report_taken(s, c);
        return;
    case REPORT_REFUSED:
        /* Who was pushed out of its place by others has a clean slate, but for the bucket of all. */
        check(s, p, is_refused || rule->allowed_from <= s->now, "a report of user %u is over the budget",
              c->question.uid);
        if (is_refused)
            report_refused(s, c, rule);
        else
            report_taken(s, c);
        return;
    }
}
