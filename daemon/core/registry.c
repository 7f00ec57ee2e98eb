/* SPDX-License-Identifier: MIT */
#include "core/registry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void registry_init(struct registry *r, size_t n_slots, uint64_t seed)
{
    *r = (struct registry){.random = seed};
    schedule_init(&r->schedule, n_slots);
    list_init(&r->answers);
    list_init(&r->notes);
}

void registry_done(struct registry *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->n_entries; i++) {
        profile_done(&r->entries[i]->profile);
        free(r->entries[i]);
    }
    free(r->entries);
    schedule_done(&r->schedule);
    *r = (struct registry){0};
}

/* splitmix64 (Steele, Lea, Flood 2014): enough to keep refreshes apart, and the same seed replays a
 * simulation. */
static uint64_t next_random(struct registry *r)
{
    uint64_t z = (r->random += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* ---- entries ---- */

/* Appends an empty entry; the caller fills it and then counts it. */
static int registry_grow(struct registry *r, const char *name, struct entry **ret)
{
    if (r->n_entries > 0 && strcmp(r->entries[r->n_entries - 1]->profile.name, name) >= 0)
        return -EINVAL;
    if (r->n_entries == r->capacity) {
        size_t capacity = r->capacity ? 2 * r->capacity : 16;
        struct entry **entries = reallocarray(r->entries, capacity, sizeof(struct entry *));
        if (!entries)
            return -ENOMEM;
        r->entries = entries;
        r->capacity = capacity;
    }
    struct entry *e = calloc(1, sizeof(*e));
    if (!e)
        return -ENOMEM;
    list_init(&e->waiters);
    list_init(&e->noted);
    *ret = e;
    return 0;
}

int registry_add(struct registry *r, const struct profile_settings *settings)
{
    struct origin *origin;
    struct entry *e;

    int k = schedule_get_origin(&r->schedule, settings->token_url, &origin);
    if (k < 0)
        return k;
    k = registry_grow(r, settings->name, &e);
    if (k < 0)
        return k;
    profile_init(&e->profile, settings);
    e->job.origin = origin;
    r->entries[r->n_entries++] = e;
    return 0;
}

int registry_add_unusable(struct registry *r, const struct unusable_profile *u, usec_t now)
{
    struct entry *e;

    int k = registry_grow(r, u->name, &e);
    if (k < 0)
        return k;
    profile_init_unusable(&e->profile, u, now);
    r->entries[r->n_entries++] = e;
    return 0;
}

static int compare_name(const void *name, const void *entry)
{
    return strcmp(name, (*(struct entry *const *) entry)->profile.name);
}

struct entry *registry_find(const struct registry *r, const char *name)
{
    if (r->n_entries == 0)
        return NULL;
    struct entry **found = bsearch(name, r->entries, r->n_entries, sizeof(struct entry *), compare_name);
    return found ? *found : NULL;
}

/* ---- waiters ---- */

void waiter_init(struct waiter *w)
{
    *w = (struct waiter){.min_ttl_for = MIN_TTL_DEFAULT};
    list_init(&w->link);
}

static void waiter_unqueue(struct registry *r, struct waiter *w)
{
    if (w->entry) {
        heap_remove(&r->deadlines, &w->deadline);
        w->entry = NULL;
        r->n_waiters--;
    }
    list_remove(&w->link);
}

static void waiter_answer(struct registry *r, struct waiter *w, enum answer answer)
{
    waiter_unqueue(r, w);
    w->answer = answer;
    list_append(&r->answers, &w->link);
}

void registry_cancel(struct registry *r, struct waiter *w)
{
    waiter_unqueue(r, w);
}

struct waiter *registry_pop_answer(struct registry *r)
{
    struct list *first = list_pop(&r->answers);
    return first ? container_of(first, struct waiter, link) : NULL;
}

/* What a waiter gets when a fetch has ended, ANSWER_NONE when it goes on waiting for the next attempt. */
static enum answer answer_at_end(const struct entry *e, const struct waiter *w, bool is_token, usec_t now)
{
    const struct profile *p = &e->profile;

    if (w->kind == WAIT_FOR_OUTCOME)
        return is_token ? ANSWER_TOKEN : ANSWER_FAILED;
    if (profile_is_usable_for(p, w->min_ttl_for, now))
        return ANSWER_TOKEN;
    /* A token that has just come and is not enough: none ever will be. */
    if (is_token)
        return ANSWER_TOO_LONG;
    if (p->failure.class == FAILURE_TRANSIENT && profile_is_worth_waiting(p, w->deadline_at))
        return ANSWER_NONE;
    return ANSWER_FAILED;
}

static void entry_answer_waiters(struct registry *r, struct entry *e, bool is_token, usec_t now)
{
    list_foreach_safe(i, &e->waiters)
    {
        struct waiter *w = container_of(i, struct waiter, link);
        enum answer answer = answer_at_end(e, w, is_token, now);
        if (answer != ANSWER_NONE)
            waiter_answer(r, w, answer);
    }
}

/* ---- steps ---- */

static void entry_note(struct registry *r, struct entry *e, enum note note)
{
    if (note == NOTE_NONE)
        return;
    e->note = note;
    if (list_is_empty(&e->noted))
        list_append(&r->notes, &e->noted);
}

struct entry *registry_pop_note(struct registry *r, enum note *ret)
{
    struct list *first = list_pop(&r->notes);
    if (!first)
        return NULL;
    struct entry *e = container_of(first, struct entry, noted);
    *ret = e->note;
    e->note = NOTE_NONE;
    return e;
}

/*
 * When a fetch is needed: when callers stop getting the token, or at once. A moment, not just "first": who
 * has waited longest for a slot goes first, and profiles that fail and come again cannot keep another from
 * its turn for ever.
 */
static usec_t entry_urgent_at(const struct entry *e, usec_t now)
{
    const struct token *t = &e->profile.token;

    if (!profile_is_usable_for(&e->profile, MIN_TTL_DEFAULT, now))
        return now;
    return usec_sub(t->expires_at, policy_default_min_ttl_for(t->lifetime_for));
}

/* Steps the profile and files what comes of it. */
static enum verdict entry_step(struct registry *r, struct entry *e, struct event *event, usec_t now)
{
    event->random = next_random(r);
    struct actions actions = profile_step(&e->profile, event, now);

    if (actions.fetch)
        schedule_add(&r->schedule, &e->job, entry_urgent_at(e, now));
    heap_set(&r->wakes, &e->wake, actions.wake_at);
    entry_note(r, e, actions.note);
    if (actions.has_ended)
        entry_answer_waiters(r, e, e->profile.n_failures == 0, now);
    return actions.verdict;
}

void registry_start(struct registry *r, usec_t now)
{
    for (size_t i = 0; i < r->n_entries; i++)
        (void) entry_step(r, r->entries[i], &(struct event){.kind = EVENT_START}, now);
}

enum answer registry_request(struct registry *r, struct entry *e, struct waiter *w, usec_t wait_for,
                             usec_t now)
{
    /* What is here is still handed out; nothing new is begun. */
    if (r->is_stopping) {
        bool has_token = w->kind == WAIT_FOR_TOKEN && profile_is_usable_for(&e->profile, w->min_ttl_for, now);
        return has_token ? ANSWER_TOKEN : ANSWER_STOPPING;
    }

    struct event event = {.kind = w->kind == WAIT_FOR_TOKEN ? EVENT_REQUEST : EVENT_REFRESH,
                          .min_ttl_for = w->min_ttl_for};
    enum verdict verdict = entry_step(r, e, &event, now);
    switch (verdict) {
    case VERDICT_TOKEN:
        return ANSWER_TOKEN;
    case VERDICT_TOO_LONG:
        return ANSWER_TOO_LONG;
    case VERDICT_REFUSED:
        return ANSWER_FAILED;
    case VERDICT_NONE:
    case VERDICT_WAIT:
        break;
    }

    w->deadline_at = usec_add(now, wait_for);
    if (!profile_is_worth_waiting(&e->profile, w->deadline_at))
        return ANSWER_FAILED;
    if (wait_for == 0)
        return ANSWER_TIMED_OUT;
    w->entry = e;
    w->answer = ANSWER_NONE;
    list_append(&e->waiters, &w->link);
    heap_set(&r->deadlines, &w->deadline, w->deadline_at);
    r->n_waiters++;
    return ANSWER_NONE;
}

struct entry *registry_pop_fetch(struct registry *r, usec_t now)
{
    struct job *job = r->is_stopping ? NULL : schedule_pop(&r->schedule);
    if (!job)
        return NULL;
    struct entry *e = container_of(job, struct entry, job);
    e->sent_at = now;
    return e;
}

void registry_end_fetch(struct registry *r, struct entry *e, struct token *token,
                        const struct failure *failure, bool has_answered, usec_t now)
{
    struct event event = {
        .kind = token ? EVENT_TOKEN : EVENT_FAILURE,
        .token = token,
        .failure = failure,
    };

    histogram_observe(&r->durations, usec_sub(now, e->sent_at));
    schedule_end(&r->schedule, &e->job, has_answered);
    (void) entry_step(r, e, &event, now);
}

usec_t registry_next_at(const struct registry *r)
{
    if (r->is_stopping)
        return USEC_INFINITY;
    return usec_min(heap_next_at(&r->wakes), heap_next_at(&r->deadlines));
}

void registry_advance(struct registry *r, usec_t now)
{
    if (r->is_stopping)
        return;
    while (heap_next_at(&r->wakes) <= now) {
        struct entry *e = container_of(heap_peek(&r->wakes), struct entry, wake);
        (void) entry_step(r, e, &(struct event){.kind = EVENT_DEADLINE}, now);
        /* A step that leaves the same moment due would spin here; it is looked at again with the next event.
         */
        if (e->wake.is_queued && e->wake.at <= now)
            heap_set(&r->wakes, &e->wake, now + 1);
    }
    while (heap_next_at(&r->deadlines) <= now) {
        struct waiter *w = container_of(heap_peek(&r->deadlines), struct waiter, deadline);
        waiter_answer(r, w, w->entry->profile.is_fetching ? ANSWER_TIMED_OUT : ANSWER_FAILED);
    }
}

void registry_stop(struct registry *r)
{
    r->is_stopping = true;
    for (size_t i = 0; i < r->n_entries; i++) {
        list_foreach_safe(k, &r->entries[i]->waiters)
            waiter_answer(r, container_of(k, struct waiter, link), ANSWER_STOPPING);
    }
}

usec_t entry_retry_in(const struct entry *e, usec_t now)
{
    return e->profile.is_fetching ? 0 : usec_sub(profile_next_attempt_at(&e->profile), now);
}
