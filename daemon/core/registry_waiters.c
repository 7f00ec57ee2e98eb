/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "core/registry_inside.h"

/* Who waits for what, and what it is told. */

void waiter_init(struct waiter *w)
{
    *w = (struct waiter){.min_ttl_for = MIN_TTL_DEFAULT};
    list_init(&w->link);
}

void waiter_queue(struct registry *r, struct waiter *w, struct list *queue, usec_t deadline_at)
{
    w->is_queued = true;
    w->answer = ANSWER_NONE;
    w->deadline_at = deadline_at;
    list_append(queue, &w->link);
    heap_set(&r->deadlines, &w->deadline, deadline_at);
    r->n_waiters++;
}

static void waiter_unqueue(struct registry *r, struct waiter *w)
{
    if (w->is_queued) {
        heap_remove(&r->deadlines, &w->deadline);
        w->entry = NULL;
        w->is_queued = false;
        r->n_waiters--;
    }
    list_remove(&w->link);
}

void waiter_answer(struct registry *r, struct waiter *w, enum answer answer)
{
    waiter_unqueue(r, w);
    w->answer = answer;
    list_append(&r->answers, &w->link);
}

void registry_cancel(struct registry *r, struct waiter *w)
{
    waiter_unqueue(r, w);
}

bool registry_has_work(const struct registry *r)
{
    return !list_is_empty(&r->schedule.ready) || !list_is_empty(&r->answers) || !list_is_empty(&r->notes);
}

struct waiter *registry_pop_answer(struct registry *r)
{
    struct list *first = list_pop(&r->answers);
    return first ? container_of(first, struct waiter, link) : NULL;
}

/* True when the current token is not the one that the caller has. */
static bool is_news_for(const struct profile *p, const struct waiter *w)
{
    bool has_one = w->kind == WAIT_FOR_NEWER || w->kind == WAIT_FOR_CHANGE;
    return !has_one || p->generation != w->generation;
}

/* What a waiter gets when a fetch has ended, ANSWER_NONE when it goes on waiting for the next attempt. */
static enum answer answer_at_end(const struct entry *e, const struct waiter *w, bool is_token, usec_t now)
{
    const struct profile *p = &e->profile;

    if (w->kind == WAIT_FOR_OUTCOME)
        return is_token ? ANSWER_TOKEN : ANSWER_FAILED;
    if (profile_is_usable_for(p, w->min_ttl_for, now) && is_news_for(p, w))
        return ANSWER_TOKEN;
    /* A token that has just come and is not enough: none ever will be. */
    if (is_token)
        return ANSWER_TOO_LONG;
    if (w->kind == WAIT_FOR_CHANGE)
        return ANSWER_NONE;
    if (p->failure.class == FAILURE_TRANSIENT && profile_is_worth_waiting(p, w->deadline_at))
        return ANSWER_NONE;
    return ANSWER_FAILED;
}

void entry_answer_waiters(struct registry *r, struct entry *e, bool is_token, usec_t now)
{
    list_foreach_safe(i, &e->waiters)
    {
        struct waiter *w = container_of(i, struct waiter, link);
        enum answer answer = answer_at_end(e, w, is_token, now);
        if (answer != ANSWER_NONE)
            waiter_answer(r, w, answer);
    }
}

/* ---- questions ---- */

/* What is here is still handed out while the daemon stops; nothing new is begun. */
enum answer waiter_answer_while_stopping(const struct entry *e, const struct waiter *w, usec_t now)
{
    bool is_usable = profile_is_usable_for(&e->profile, w->min_ttl_for, now);

    if (w->kind == WAIT_FOR_CHANGE && is_usable && !is_news_for(&e->profile, w))
        return ANSWER_UNCHANGED;
    return w->kind != WAIT_FOR_OUTCOME && is_usable && is_news_for(&e->profile, w) ? ANSWER_TOKEN
                                                                                   : ANSWER_STOPPING;
}

/* Nothing can be answered yet: the waiter is queued where waiting makes sense. */
static enum answer entry_await(struct registry *r, struct entry *e, struct waiter *w, usec_t wait_for,
                               usec_t now)
{
    usec_t deadline_at = usec_add(now, wait_for);

    if (w->kind != WAIT_FOR_CHANGE && !profile_is_worth_waiting(&e->profile, deadline_at))
        return ANSWER_FAILED;
    if (wait_for == 0)
        return profile_is_worth_waiting(&e->profile, now) ? ANSWER_TIMED_OUT : ANSWER_FAILED;
    w->entry = e;
    waiter_queue(r, w, &e->waiters, deadline_at);
    return ANSWER_NONE;
}

enum answer registry_request(struct registry *r, struct entry *e, struct waiter *w, usec_t wait_for,
                             usec_t now)
{
    if (r->is_stopping)
        return waiter_answer_while_stopping(e, w, now);

    struct event event = {.kind = w->kind == WAIT_FOR_TOKEN ? EVENT_REQUEST : EVENT_REFRESH,
                          .min_ttl_for = w->min_ttl_for};
    switch (entry_step(r, e, &event, now).verdict) {
    case VERDICT_TOKEN:
        return ANSWER_TOKEN;
    case VERDICT_TOO_LONG:
        return ANSWER_TOO_LONG;
    case VERDICT_REFUSED:
        return ANSWER_FAILED;
    case VERDICT_TOO_OFTEN:
        return ANSWER_TOO_OFTEN;
    case VERDICT_NONE:
    case VERDICT_WAIT:
        break;
    }
    return entry_await(r, e, w, wait_for, now);
}

enum answer registry_poll(struct registry *r, struct entry *e, struct waiter *w, usec_t wait_for, usec_t now)
{
    w->kind = WAIT_FOR_TOKEN;
    if (w->generation != e->profile.generation)
        return registry_request(r, e, w, wait_for, now);
    w->kind = WAIT_FOR_CHANGE;
    if (r->is_stopping)
        return waiter_answer_while_stopping(e, w, now);

    struct event event = {.kind = EVENT_REQUEST, .min_ttl_for = w->min_ttl_for};
    enum verdict verdict = entry_step(r, e, &event, now).verdict;
    if (verdict == VERDICT_TOO_LONG)
        return ANSWER_TOO_LONG;
    if (verdict == VERDICT_TOKEN && wait_for == 0)
        return ANSWER_UNCHANGED;
    return entry_await(r, e, w, wait_for, now);
}

enum answer registry_reject(struct registry *r, struct entry *e, struct waiter *w,
                            const struct rejection *rejection, usec_t now)
{
    const struct token *t = &e->profile.token;

    w->kind = WAIT_FOR_TOKEN;
    if (!token_is_set(t) || t->expires_at <= now || strcmp(t->fingerprint, rejection->fingerprint) != 0)
        return registry_request(r, e, w, rejection->wait_for, now);
    w->kind = WAIT_FOR_NEWER;
    w->generation = e->profile.generation;
    if (r->is_stopping)
        return ANSWER_STOPPING;

    struct event event = {.kind = EVENT_REJECTED, .uid = rejection->uid, .min_ttl_for = w->min_ttl_for};
    struct actions actions = entry_step(r, e, &event, now);
    w->allowed_at = actions.allowed_at;
    if (actions.verdict == VERDICT_TOO_OFTEN)
        return ANSWER_TOO_OFTEN;
    if (actions.verdict == VERDICT_REFUSED)
        return ANSWER_FAILED;
    return entry_await(r, e, w, rejection->wait_for, now);
}

enum answer registry_await_proofs(struct registry *r, struct waiter *w, usec_t wait_for, usec_t now)
{
    w->kind = WAIT_FOR_PROOFS;
    if (r->is_stopping)
        return ANSWER_STOPPING;
    if (r->n_proving == 0)
        return ANSWER_PROVEN;
    waiter_queue(r, w, &r->proof_waiters, usec_add(now, wait_for));
    return ANSWER_NONE;
}

enum answer waiter_answer_at_deadline(const struct waiter *w, usec_t now)
{
    if (!w->entry)
        return ANSWER_TIMED_OUT;
    if (w->kind == WAIT_FOR_CHANGE && profile_is_usable_for(&w->entry->profile, w->min_ttl_for, now))
        return ANSWER_UNCHANGED;
    return w->entry->profile.is_fetching ? ANSWER_TIMED_OUT : ANSWER_FAILED;
}
