/* SPDX-License-Identifier: MIT */
#include "check.h"

/* The token is handed out: by the issuer's own record it is alive, and for as long as the caller asked. */
static void check_hand_out(struct sim *s, const struct caller *c)
{
    const struct exchange *t = &c->profile->model.token;
    usec_t min_ttl = c->waiter.min_ttl_for;

    check_facts(s, c->profile);
    check(s, c->profile, check_is_usable(s, c->profile, min_ttl),
          "a token is handed out that is not good enough");
    if (min_ttl == MIN_TTL_DEFAULT)
        min_ttl = check_default_min_ttl_for(t->lifetime_for);
    check(s, c->profile, t->upstream_expiry_at > s->now && t->upstream_expiry_at - s->now >= min_ttl,
          "the issuer would refuse the token that is handed out");
}

static bool is_too_long(const struct sim *s, const struct sim_profile *p, usec_t min_ttl_for)
{
    return min_ttl_for != MIN_TTL_DEFAULT && check_left_for(s, p) > 0 &&
           min_ttl_for > check_expires_at(p) - p->model.arrived_at;
}

void check_immediate(struct sim *s, const struct caller *c, enum answer answer, bool was_usable,
                     usec_t wait_for)
{
    const struct sim_profile *p = c->profile;
    const struct profile *f = &p->entry->profile;
    usec_t min_ttl = c->waiter.min_ttl_for, until = s->now + wait_for;
    bool is_for_token = c->waiter.kind == WAIT_FOR_TOKEN;
    bool is_coming = f->is_fetching || profile_next_attempt_at(f) <= until;
    bool is_refused = p->model.n_failures > 0 && p->model.last_class == FAILURE_PERMANENT && !f->is_fetching;

    check(s, p, !is_for_token || (answer == ANSWER_TOKEN) == was_usable, "usable %d, but answered %d",
          was_usable, answer);
    check(s, p, is_for_token || f->is_fetching, "a forced refresh does not fetch");
    check(s, p,
          p->model.n_failures > 0 || check_is_usable(s, p, MIN_TTL_DEFAULT) || f->is_fetching || was_usable ||
              answer == ANSWER_TOO_LONG,
          "nothing is usable, and nobody fetches");
    if (is_for_token && check_is_usable(s, p, MIN_TTL_DEFAULT) && is_too_long(s, p, min_ttl))
        check(s, p, answer == ANSWER_TOO_LONG, "asked for more than there can be, answered %d", answer);
    switch (answer) {
    case ANSWER_NONE:
        check(s, p, is_coming && !is_refused && wait_for > 0, "somebody waits, and nothing can come in time");
        break;
    case ANSWER_TOKEN:
        check_hand_out(s, c);
        break;
    case ANSWER_FAILED:
        check(s, p, is_refused || !is_coming, "refused, though an attempt comes in time");
        break;
    case ANSWER_TIMED_OUT:
        check(s, p, wait_for == 0 && is_coming, "timed out at once");
        break;
    case ANSWER_TOO_LONG:
        check(s, p, is_too_long(s, p, min_ttl), "refused as too long, but it can be had");
        break;
    case ANSWER_STOPPING:
        check_fail(s, p, "nobody stops yet");
    }
}

void check_answer(struct sim *s, const struct caller *c)
{
    const struct sim_profile *p = c->profile;
    bool is_for_token = c->waiter.kind == WAIT_FOR_TOKEN, has_just_come = p->model.arrived_at == s->now;

    check(s, p, c->is_waiting, "a caller who does not wait (any more) is answered");
    switch (c->waiter.answer) {
    case ANSWER_NONE:
        check_fail(s, p, "an answer that is none");
    case ANSWER_TOKEN:
        check(s, p, has_just_come, "a token is handed to a waiter without one having come");
        if (is_for_token)
            check_hand_out(s, c);
        break;
    case ANSWER_FAILED:
        check(s, p, p->model.n_failures > 0, "failed, without a failure");
        check(s, p, !is_for_token || !check_is_usable(s, p, c->waiter.min_ttl_for),
              "failed, with a token at hand");
        break;
    case ANSWER_TIMED_OUT:
        check(s, p, s->now >= c->deadline.at && p->model.was_asked, "timed out too early");
        break;
    case ANSWER_TOO_LONG:
        check(s, p, has_just_come && !check_is_usable(s, p, c->waiter.min_ttl_for),
              "too long, but it would do");
        break;
    case ANSWER_STOPPING:
        check(s, p, s->registry.is_stopping, "nobody stops yet");
        break;
    }
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
        check(s, p, m->arrived_at == s->now && m->n_failures == 0, "said to be fetched");
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
    }
}
