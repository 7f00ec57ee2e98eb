/* SPDX-License-Identifier: MIT */
#include "check.h"

/* What callers are told who have waited. */

static bool is_poll(const struct caller *c)
{
    return c->question.ask == ASK_POLL && c->is_of_current;
}

/* Failures are told when an attempt ends with one, or when the caller's time is over. */
static void check_failed(struct sim *s, const struct caller *c)
{
    const struct sim_profile *p = c->profile;
    const struct model *m = &p->model;
    bool is_over = s->now >= c->deadline.at, has_just_failed = m->n_failures > 0 && m->failed_at == s->now;

    check(s, p, has_just_failed || (is_over && !m->was_asked), "failed, and nothing has happened");
    if (c->question.ask == ASK_REFRESH)
        return;
    check(s, p, c->is_of_current || !check_is_usable(s, p, c->question.min_ttl_for),
          "failed, with a token at hand");
    check(s, p, !is_poll(c) || is_over, "a failure is no answer to a poll");
    /* Nothing has failed, and nothing is in flight: it slept, or a reload took the next attempt away. */
    check(s, p,
          m->n_failures > 0 || is_poll(c) || p->entry->profile.is_idle || m->replanned_at >= c->asked_at,
          "failed, without a failure");
}

static void check_changed(struct sim *s, const struct caller *c)
{
    bool is_news = c->profile->model.generation != c->generation;

    check(s, c->profile, c->profile->model.arrived_at == s->now, "a token is told without one having come");
    check(s, c->profile, is_news, "a caller waited for the token that it had");
    if (is_poll(c))
        sim_count(s, N_POLLS_SERVED);
    if (c->question.ask != ASK_REFRESH)
        check_hand_out(s, c);
}

static void check_unchanged(struct sim *s, const struct caller *c)
{
    const struct sim_profile *p = c->profile;

    check(s, p, is_poll(c), "nobody polls");
    check(s, p, s->now >= c->deadline.at, "a poll ends too early");
    check(s, p, p->model.generation == c->generation, "a poll missed a token");
    check(s, p, check_is_usable(s, p, c->question.min_ttl_for), "told that a bad token is still good");
}

static void check_timed_out(struct sim *s, const struct caller *c)
{
    const struct sim_profile *p = c->profile;

    check(s, p, s->now >= c->deadline.at && p->model.was_asked, "timed out too early");
    check(s, p, !is_poll(c) || !check_is_usable(s, p, c->question.min_ttl_for),
          "a poll timed out, with a good token");
}

/* An admin who waits for what comes of changed keys. */
static void check_proofs_answer(struct sim *s, const struct caller *c)
{
    bool is_proven = c->waiter.answer == ANSWER_PROVEN;

    if (c->waiter.answer == ANSWER_STOPPING) {
        check(s, NULL, s->registry.is_stopping, "nobody stops yet");
        return;
    }
    check(s, NULL, is_proven || c->waiter.answer == ANSWER_TIMED_OUT, "an admin is told %d",
          c->waiter.answer);
    /* Another reload may end what this admin waits for and have something of its own to prove. */
    check(s, NULL, is_proven == (check_n_proving(s) == 0) || (is_proven && s->reloaded_at == s->now),
          "%zu are not proven, and an admin is told %d", check_n_proving(s), c->waiter.answer);
    check(s, NULL, is_proven || s->now >= c->deadline.at, "an admin is sent away too early");
}

static void check_profile_answer(struct sim *s, const struct caller *c)
{
    const struct sim_profile *p = c->profile;

    switch (c->waiter.answer) {
    case ANSWER_TOKEN:
        check_changed(s, c);
        break;
    case ANSWER_FAILED:
        check_failed(s, c);
        break;
    case ANSWER_TIMED_OUT:
        check_timed_out(s, c);
        break;
    case ANSWER_TOO_LONG:
        check(s, p, p->model.arrived_at == s->now && !check_is_usable(s, p, c->question.min_ttl_for),
              "too long, but it would do");
        break;
    case ANSWER_UNCHANGED:
        if (s->registry.is_stopping)
            check(s, p, is_poll(c) && check_is_usable(s, p, c->question.min_ttl_for), "nobody polls");
        else
            check_unchanged(s, c);
        break;
    case ANSWER_STOPPING:
        check(s, p, s->registry.is_stopping, "nobody stops yet");
        break;
    case ANSWER_NONE:
    case ANSWER_GONE:
    case ANSWER_TOO_OFTEN:
    case ANSWER_PROVEN:
        check_fail(s, p, "somebody who waits is told %d", c->waiter.answer);
    }
}

void check_answer(struct sim *s, const struct caller *c)
{
    check(s, c->profile, c->is_waiting, "a caller who does not wait (any more) is answered");
    if (c->question.ask == ASK_PROOFS)
        check_proofs_answer(s, c);
    else if (!c->profile->entry)
        check(s, c->profile, c->waiter.answer == ANSWER_GONE, "it is gone, and somebody is told %d",
              c->waiter.answer);
    else
        check_profile_answer(s, c);
}
