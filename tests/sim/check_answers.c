/* SPDX-License-Identifier: MIT */
#include "check.h"

/* What callers are told at once, and what people are told. */

/* By the issuer's own record it is alive, for as long as the caller asked, and it belongs to this client. */
void check_hand_out(struct sim *s, const struct caller *c)
{
    const struct exchange *t = &c->profile->model.token;
    usec_t min_ttl = c->question.min_ttl_for;

    check_facts(s, c->profile);
    check(s, c->profile, check_is_usable(s, c->profile, min_ttl),
          "a token is handed out that is not good enough");
    if (min_ttl == MIN_TTL_DEFAULT)
        min_ttl = check_default_min_ttl_for(t->lifetime_for);
    check(s, c->profile, t->upstream_expiry_at > s->now && t->upstream_expiry_at - s->now >= min_ttl,
          "the issuer would refuse the token that is handed out");
    check(s, c->profile, t->identity == c->profile->draft.identity, "another client's token is handed out");
}

bool check_is_too_long(const struct sim *s, const struct sim_profile *p, usec_t min_ttl_for)
{
    return min_ttl_for != MIN_TTL_DEFAULT && check_left_for(s, p) > 0 &&
           min_ttl_for > check_expires_at(p) - p->model.arrived_at;
}

/* What can be told at once follows from these. */
struct prospect {
    bool is_usable;  /* before it was asked */
    bool is_coming;  /* an attempt is in flight, or begins while the caller waits */
    bool is_refused; /* by the last attempt, for good */
};

static struct prospect prospect_of(const struct sim *s, const struct caller *c, bool was_usable)
{
    const struct profile *f = &c->profile->entry->profile;
    const struct model *m = &c->profile->model;

    return (struct prospect){
        .is_usable = was_usable,
        .is_coming = f->is_fetching || profile_next_attempt_at(f) <= s->now + c->question.wait_for,
        .is_refused = m->n_failures > 0 && m->last_class == FAILURE_PERMANENT && !f->is_fetching &&
                      f->demand_at == USEC_INFINITY,
    };
}

/* Waits, or is told that there is no waiting. */
static void check_prospect(struct sim *s, const struct caller *c, enum answer answer,
                           const struct prospect *is)
{
    const struct sim_profile *p = c->profile;
    bool is_poll = c->question.ask == ASK_POLL && c->is_of_current;
    bool may_wait = c->question.wait_for > 0 && (is_poll || (is->is_coming && !is->is_refused));

    if (answer == ANSWER_NONE)
        check(s, p, may_wait, "somebody waits, and nothing can come in time");
    else if (answer == ANSWER_FAILED)
        check(s, p, !may_wait && (is->is_refused || !is->is_coming),
              "refused, though an attempt comes in time");
    else
        check(s, p, c->question.wait_for == 0 && is->is_coming, "timed out at once");
}

/* What holds for all who ask for a token and have none. */
static void check_asked(struct sim *s, const struct caller *c, enum answer answer, const struct prospect *is)
{
    const struct sim_profile *p = c->profile;
    const struct profile *f = &p->entry->profile;
    usec_t min_ttl = c->question.min_ttl_for;

    check(s, p, (answer == ANSWER_TOKEN) == is->is_usable, "usable %d, but answered %d", is->is_usable,
          answer);
    if (check_is_usable(s, p, MIN_TTL_DEFAULT) && check_is_too_long(s, p, min_ttl))
        check(s, p, answer == ANSWER_TOO_LONG, "asked for more than there can be, answered %d", answer);
    check(s, p,
          p->model.n_failures > 0 || p->model.held_until_at > s->now ||
              check_is_usable(s, p, MIN_TTL_DEFAULT) || f->is_fetching || is->is_usable ||
              answer == ANSWER_TOO_LONG,
          "nothing is usable, and nobody fetches");
}

/* A long poll by somebody who has the current token. */
static void check_polled(struct sim *s, const struct caller *c, enum answer answer, const struct prospect *is)
{
    check(s, c->profile, answer != ANSWER_TOKEN, "the token that the caller has is no news");
    if (is->is_usable)
        check(s, c->profile, answer == (c->question.wait_for == 0 ? ANSWER_UNCHANGED : ANSWER_NONE),
              "a poll for the next token is answered %d", answer);
}

void check_immediate(struct sim *s, const struct caller *c, enum answer answer, bool was_usable)
{
    const struct sim_profile *p = c->profile;
    struct prospect is = prospect_of(s, c, was_usable);
    bool is_report = c->question.ask == ASK_REPORT && c->is_of_current;

    if (c->question.ask == ASK_REFRESH)
        check(s, p, p->entry->profile.is_fetching && answer != ANSWER_TOKEN,
              "a forced refresh does not fetch");
    else if (!c->is_of_current)
        check_asked(s, c, answer, &is);
    else if (c->question.ask == ASK_POLL)
        check_polled(s, c, answer, &is);
    switch (answer) {
    case ANSWER_NONE:
    case ANSWER_FAILED:
    case ANSWER_TIMED_OUT:
        check_prospect(s, c, answer, &is);
        break;
    case ANSWER_TOKEN:
        check(s, p, !is_report, "a reported token is handed out to who reports it");
        check_hand_out(s, c);
        break;
    case ANSWER_TOO_LONG:
        check(s, p, !is_report && check_is_too_long(s, p, c->question.min_ttl_for),
              "refused as too long, but it can be had");
        break;
    case ANSWER_UNCHANGED:
        check(s, p, c->question.ask == ASK_POLL && c->is_of_current && was_usable, "nobody polls");
        break;
    case ANSWER_TOO_OFTEN:
        check(s, p, is_report, "nobody reports");
        break;
    case ANSWER_GONE:
    case ANSWER_PROVEN:
    case ANSWER_STOPPING:
        check_fail(s, p, "answered %d at once", answer);
    }
}

/* ---- notes ---- */

static void check_fetched(struct sim *s, struct sim_profile *p)
{
    struct model *m = &p->model;
    struct key_choice choice = m->token.choice, told = m->keys.told;
    bool has_changed = choice.is_next_secret != told.is_next_secret ||
                       choice.is_secondary_subscription != told.is_secondary_subscription;

    check(s, p, m->arrived_at == s->now && m->n_failures == 0, "said to be fetched");
    check(s, p, p->entry->has_changed_keys == has_changed, "said to have changed keys: %d",
          p->entry->has_changed_keys);
    m->keys.told = choice;
}

static void check_idle(struct sim *s, struct sim_profile *p)
{
    struct model *m = &p->model;

    check(s, p, !p->draft.is_preloaded, "a preloaded profile goes idle");
    check(s, p, s->now >= m->used_at + p->draft.idle_after_for, "it goes idle %.3f s after it was asked",
          (double) (s->now - m->used_at) / 1e6);
    check(s, p, !m->was_asked && !m->is_asleep, "it goes idle while it fetches, or again");
    m->is_asleep = true;
    sim_count(s, N_IDLED);
}

void check_note(struct sim *s, struct sim_profile *p, enum note note)
{
    bool is_usable = check_is_usable(s, p, MIN_TTL_DEFAULT);
    struct model *m = &p->model;

    switch (note) {
    case NOTE_NONE:
        check_fail(s, p, "an empty note");
    case NOTE_FETCHED:
    case NOTE_RECOVERED:
        check_fetched(s, p);
        break;
    case NOTE_REFRESH_FAILED:
        check(s, p, is_usable && m->n_failures > 0, "said that only a refresh failed");
        break;
    case NOTE_FAILED:
        check(s, p, !is_usable && m->n_failures > 0, "said to have failed");
        m->has_said_expired = true;
        break;
    case NOTE_EXPIRED:
        check(s, p, !is_usable && m->n_failures > 0 && !m->has_said_expired, "said to have expired");
        m->has_said_expired = true;
        break;
    case NOTE_IDLE:
        check_idle(s, p);
        break;
    }
}
