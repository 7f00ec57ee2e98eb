/* SPDX-License-Identifier: MIT */
#include "core/registry_inside.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* How often in an IdleAfter= a use is saved that changes nothing else. */
#define USE_SAVES 8

void registry_init(struct registry *r, size_t n_slots, uint64_t seed)
{
    *r = (struct registry){.random = seed};
    schedule_init(&r->schedule, n_slots);
    list_init(&r->answers);
    list_init(&r->notes);
    list_init(&r->proof_waiters);
    list_init(&r->unsaved);
}

void registry_done(struct registry *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->n_entries; i++)
        entry_free(r->entries[i]);
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

struct entry *entry_new(void)
{
    struct entry *e = calloc(1, sizeof(*e));

    if (!e)
        return NULL;
    list_init(&e->waiters);
    list_init(&e->noted);
    list_init(&e->unsaved);
    e->saved_slot = SIZE_MAX;
    return e;
}

void entry_free(struct entry *e)
{
    if (!e)
        return;
    profile_done(&e->profile);
    profile_settings_free(e->settings);
    profile_settings_free(e->token_settings);
    free(e);
}

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
    *ret = entry_new();
    return *ret ? 0 : -ENOMEM;
}

int registry_add(struct registry *r, struct profile_settings *settings)
{
    struct origin *origin;
    struct entry *e;

    int k = schedule_get_origin(&r->schedule, settings->token_url, &origin);
    if (k < 0)
        return k;
    k = registry_grow(r, settings->name, &e);
    if (k < 0) {
        schedule_put_origin(&r->schedule, origin);
        return k;
    }
    e->settings = profile_settings_ref(settings);
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

/* ---- steps ---- */

static void entry_note(struct registry *r, struct entry *e, const struct actions *actions)
{
    if (actions->note == NOTE_NONE)
        return;
    e->note = actions->note;
    e->has_changed_keys = actions->has_changed_keys;
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

void registry_end_proof(struct registry *r, struct entry *e, enum proof proof)
{
    if (e->proof != PROOF_PENDING)
        return;
    e->proof = proof;
    registry_release_proofs(r);
}

void registry_release_proofs(struct registry *r)
{
    if (--r->n_proving > 0)
        return;
    list_foreach_safe(i, &r->proof_waiters)
        waiter_answer(r, container_of(i, struct waiter, link), ANSWER_PROVEN);
}

void registry_end_start(struct registry *r, struct entry *e)
{
    r->n_starting -= e->is_starting;
    e->is_starting = false;
}

static void entry_end_attempt(struct registry *r, struct entry *e, usec_t now)
{
    bool is_token = e->profile.n_failures == 0;

    registry_end_start(r, e);
    entry_answer_waiters(r, e, is_token, now);
    registry_end_proof(r, e,
                       !is_token                              ? PROOF_FAILED
                       : profile_has_fallen_back(&e->profile) ? PROOF_FALLBACK
                                                              : PROOF_GIVEN);
}

void registry_mark_unsaved(struct registry *r, struct entry *e)
{
    if (list_is_empty(&e->unsaved))
        list_append(&r->unsaved, &e->unsaved);
}

struct entry *registry_pop_unsaved(struct registry *r)
{
    struct list *first = list_pop(&r->unsaved);
    return first ? container_of(first, struct entry, unsaved) : NULL;
}

int entry_save(const struct registry *r, struct entry *e, struct saved_profile *ret)
{
    int k = profile_save(&e->profile, ret);

    if (k < 0)
        return k;
    /* Where the second of two keys waits for a slot, the first has had its request. */
    ret->was_sent = e->is_in_flight || (e->profile.is_fetching && profile_has_fallen_back(&e->profile));
    ret->generation_floor = r->generation_floor;
    e->use_saved_at = e->profile.used_at;
    return 0;
}

/* A use alone is saved now and then: so often that the next process knows about whether anybody asks. */
static bool is_use_unsaved(const struct entry *e)
{
    const struct profile_settings *s = e->settings;

    if (!s || s->is_preloaded)
        return false;
    usec_t interval_for = usec_max(s->idle_after_for / USE_SAVES, USEC_PER_SEC);
    return e->profile.used_at >= usec_add(e->use_saved_at, interval_for);
}

void entry_hold_token_settings(struct entry *e)
{
    if (e->token_settings == e->profile.token_settings)
        return;
    profile_settings_free(e->token_settings);
    e->token_settings = profile_settings_ref(e->settings);
}

static void raise_floor(struct registry *r, uint64_t generation)
{
    if (r->generation_floor < generation)
        r->generation_floor = generation;
}

void registry_restore(struct registry *r, struct entry *e, struct saved_profile *saved, bool is_same,
                      usec_t now)
{
    raise_floor(r, saved->generation_floor);
    if (!e->settings || !is_same) {
        profile_restore_generation(&e->profile, saved);
    } else {
        profile_restore(&e->profile, saved, now, next_random(r));
        entry_hold_token_settings(e);
    }
    registry_mark_unsaved(r, e);
}

void registry_restore_gone(struct registry *r, const struct saved_profile *saved)
{
    raise_floor(r, saved->generation_floor);
    raise_floor(r, saved->generation);
}

struct actions entry_step(struct registry *r, struct entry *e, struct event *event, usec_t now)
{
    usec_t demand_at = e->profile.demand_at;

    event->random = next_random(r);
    struct actions actions = profile_step(&e->profile, event, now);

    entry_hold_token_settings(e);
    if (actions.fetch)
        schedule_add(&r->schedule, &e->job, entry_urgent_at(e, now));
    heap_set(&r->wakes, &e->wake, actions.wake_at);
    entry_note(r, e, &actions);
    if (actions.fetch || actions.has_ended || actions.note != NOTE_NONE || event->kind == EVENT_SETTINGS ||
        e->profile.demand_at != demand_at || is_use_unsaved(e))
        registry_mark_unsaved(r, e);
    if (actions.has_ended)
        entry_end_attempt(r, e, now);
    return actions;
}

void registry_start(struct registry *r, usec_t now)
{
    for (size_t i = 0; i < r->n_entries; i++) {
        struct entry *e = r->entries[i];
        if (e->profile.generation == 0)
            e->profile.generation = r->generation_floor;
        e->is_starting = entry_step(r, e, &(struct event){.kind = EVENT_START}, now).fetch;
        r->n_starting += e->is_starting;
    }
}

struct entry *registry_pop_fetch(struct registry *r, usec_t now)
{
    struct job *job = r->is_stopping ? NULL : schedule_pop(&r->schedule);
    if (!job)
        return NULL;
    struct entry *e = container_of(job, struct entry, job);
    e->sent_at = now;
    e->is_in_flight = true;
    registry_mark_unsaved(r, e);
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
    e->is_in_flight = false;
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
        waiter_answer(r, w, waiter_answer_at_deadline(w, now));
    }
}

void registry_stop(struct registry *r, usec_t now)
{
    r->is_stopping = true;
    for (size_t i = 0; i < r->n_entries; i++) {
        list_foreach_safe(k, &r->entries[i]->waiters)
        {
            struct waiter *w = container_of(k, struct waiter, link);
            waiter_answer(r, w, waiter_answer_while_stopping(r->entries[i], w, now));
        }
    }
    list_foreach_safe(k, &r->proof_waiters)
        waiter_answer(r, container_of(k, struct waiter, link), ANSWER_STOPPING);
}

usec_t entry_retry_in(const struct entry *e, usec_t now)
{
    return e->profile.is_fetching ? 0 : usec_sub(profile_next_attempt_at(&e->profile), now);
}
