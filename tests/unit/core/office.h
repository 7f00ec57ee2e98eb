/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A registry whose settings can be edited and read anew, as an operator does it, with the little of a host
 * that a reload needs: it calls off the fetches that the plan names. After everything it does, what the
 * registry keeps twice is compared.
 */

#include "fixtures.h"

#include <stdlib.h>

#include "core/registry.h"

#define OFFICE_MAX 8

struct office {
    struct registry r;
    usec_t now;
    struct profile_settings *files[OFFICE_MAX]; /* sorted by name; owned */
    size_t n_files;
    size_t n_slots;
    bool is_reloading; /* between registry_hold_proofs() and registry_release_proofs() */
};

/* ---- settings ---- */

static inline struct profile_settings *make_settings(const char *name)
{
    struct profile_settings *s = calloc(1, sizeof(*s));

    assert_non_null(s);
    *s = (struct profile_settings){EXACT_SETTINGS};
    s->name = strdup(name);
    s->token_url = strdup("https://one.example/token");
    s->client_id = strdup("client");
    assert_true(s->name && s->token_url && s->client_id);
    set_key(s, KEY_CLIENT_SECRET, "secret");
    return s;
}

static inline void set_text(char **text, const char *value)
{
    free(*text);
    *text = strdup(value);
    assert_non_null(*text);
}

/* What is read from a file that did not change: the same, but not the same memory. */
static inline struct profile_settings *copy_settings(const struct profile_settings *of)
{
    struct profile_settings *s = make_settings(of->name);

    set_text(&s->token_url, of->token_url);
    set_text(&s->client_id, of->client_id);
    s->refresh = of->refresh;
    s->is_preloaded = of->is_preloaded;
    s->idle_after_for = of->idle_after_for;
    if (of->description)
        set_text(&s->description, of->description);
    for (enum key_kind i = 0; i < N_KEY_KINDS; i++) {
        if (secret_is_set(&of->keys[i]))
            set_key(s, i, secret_peek(&of->keys[i]));
    }
    return s;
}

/* A file more. */
static inline struct profile_settings *office_add(struct office *o, const char *name)
{
    size_t i = o->n_files++;

    assert_true(o->n_files <= OFFICE_MAX);
    for (; i > 0 && strcmp(o->files[i - 1]->name, name) > 0; i--)
        o->files[i] = o->files[i - 1];
    o->files[i] = make_settings(name);
    return o->files[i];
}

static inline size_t office_index(const struct office *o, const char *name)
{
    size_t i = 0;

    while (i < o->n_files && strcmp(o->files[i]->name, name) != 0)
        i++;
    return i;
}

/* The file as it can be edited: the registry has the old one. */
static inline struct profile_settings *office_edit(struct office *o, const char *name)
{
    size_t i = office_index(o, name);

    assert_true(i < o->n_files);
    struct profile_settings *s = copy_settings(o->files[i]);
    profile_settings_free(o->files[i]);
    return o->files[i] = s;
}

static inline void office_drop(struct office *o, const char *name)
{
    size_t i = office_index(o, name);

    assert_true(i < o->n_files);
    profile_settings_free(o->files[i]);
    o->n_files--;
    memmove(&o->files[i], &o->files[i + 1], (o->n_files - i) * sizeof(o->files[0]));
}

/* ---- what must hold at any time ---- */

/* A wake that belongs to no entry is one that was freed. */
static inline size_t count_wakes(const struct registry *r, const struct heap_node *node)
{
    size_t n = 0;

    for (; node; node = node->next) {
        bool is_known = false;
        for (size_t i = 0; i < r->n_entries; i++)
            is_known |= &r->entries[i]->wake == node;
        assert_true(is_known);
        n += 1 + count_wakes(r, node->child);
    }
    return n;
}

static inline size_t count_list(const struct list *list)
{
    size_t n = 0;

    list_foreach(i, list) n++;
    return n;
}

static inline void check_entry(const struct entry *e)
{
    const struct profile *p = &e->profile;

    assert_int_equal(p->is_fetching, e->is_in_flight || e->job.node.is_queued);
    assert_false(e->is_in_flight && e->job.node.is_queued);
    assert_false(p->is_fetching && p->is_idle);
    assert_true(p->is_fetching || !e->is_starting);
    assert_true(p->is_fetching || e->proof != PROOF_PENDING);
    assert_true(!p->is_idle || !p->settings->is_preloaded);
    assert_ptr_equal(p->settings, e->settings);
    assert_true(p->is_unusable || p->settings);
    if (p->is_fetching || p->is_idle)
        assert_true(p->refresh_at == USEC_INFINITY && p->demand_at == USEC_INFINITY);
    if (e->settings)
        assert_ptr_equal(p->name, e->settings->name);
}

static inline void office_check(const struct office *o)
{
    const struct registry *r = &o->r;
    size_t n_in_flight = 0, n_waiters = 0, n_wakes = 0, n_starting = 0, n_proving = 0, n_origins = 0;

    for (size_t i = 0; i < r->n_entries; i++) {
        const struct entry *e = r->entries[i];
        size_t n_users = 0, n_origin_in_flight = 0;
        bool is_first = true;
        check_entry(e);
        assert_true(i == 0 || strcmp(r->entries[i - 1]->profile.name, e->profile.name) < 0);
        assert_ptr_equal(registry_find(r, e->profile.name), e);
        for (size_t k = 0; k < r->n_entries; k++) {
            bool is_same = e->job.origin && r->entries[k]->job.origin == e->job.origin;
            n_users += is_same;
            n_origin_in_flight += is_same && r->entries[k]->is_in_flight;
            is_first &= !is_same || k >= i;
        }
        n_in_flight += e->is_in_flight;
        n_waiters += count_list(&e->waiters);
        n_wakes += e->wake.is_queued;
        n_starting += e->is_starting;
        n_proving += e->proof == PROOF_PENDING;
        if (!e->job.origin)
            continue;
        n_origins += is_first;
        assert_int_equal(e->job.origin->n_users, n_users);
        assert_int_equal(e->job.origin->n_in_flight, n_origin_in_flight);
    }
    assert_int_equal(r->schedule.n_in_flight, n_in_flight);
    assert_int_equal(r->schedule.n_origins, n_origins);
    assert_int_equal(r->n_waiters, n_waiters + count_list(&r->proof_waiters));
    assert_int_equal(count_wakes(r, r->wakes.root), n_wakes);
    assert_int_equal(r->n_starting, n_starting);
    n_proving += o->is_reloading;
    assert_int_equal(r->n_proving, n_proving);
    assert_true(n_proving > 0 || list_is_empty(&r->proof_waiters));
}

/* ---- life ---- */

static inline void office_init(struct office *o, size_t n_slots)
{
    *o = (struct office){.now = T0, .n_slots = n_slots};
    registry_init(&o->r, n_slots, 1);
}

/* "alpha" and "beta" at one issuer, "gamma" at another. */
static inline void office_fill(struct office *o, size_t n_slots)
{
    office_init(o, n_slots);
    (void) office_add(o, "alpha");
    (void) office_add(o, "beta");
    set_text(&office_add(o, "gamma")->token_url, "https://two.example/token");
}

static inline void office_done(struct office *o)
{
    registry_done(&o->r);
    while (o->n_files > 0)
        profile_settings_free(o->files[--o->n_files]);
}

/* Adds all files and starts. */
static inline void office_open(struct office *o)
{
    for (size_t i = 0; i < o->n_files; i++)
        assert_int_equal(registry_add(&o->r, o->files[i]), 0);
    registry_start(&o->r, o->now);
    office_check(o);
}

/* One reading of the files, within a reload. */
static inline void office_apply(struct office *o)
{
    struct registry_plan plan;

    assert_int_equal(registry_plan(&o->r, o->files, o->n_files, &plan), 0);
    for (size_t i = 0; i < o->r.n_entries; i++) {
        if (registry_plan_aborts(&plan, o->r.entries[i]))
            registry_abort_fetch(&o->r, o->r.entries[i]);
    }
    registry_apply(&o->r, &plan, o->n_slots, o->now);
    registry_plan_done(&plan);
}

/* SIGHUP. */
static inline void office_reload(struct office *o)
{
    registry_hold_proofs(&o->r);
    office_apply(o);
    registry_release_proofs(&o->r);
    office_check(o);
}

static inline struct entry *office_entry(const struct office *o, const char *name)
{
    struct entry *e = registry_find(&o->r, name);

    assert_non_null(e);
    return e;
}

static inline unsigned office_pop_fetches(struct office *o)
{
    unsigned n = 0;

    while (registry_pop_fetch(&o->r, o->now))
        n++;
    office_check(o);
    return n;
}

static inline void office_end_token(struct office *o, const char *name)
{
    struct entry *e = office_entry(o, name);
    _cleanup_(token_done) struct token t = make_token("token", o->now, SEC(3600));

    assert_true(e->is_in_flight);
    registry_end_fetch(&o->r, e, &t, NULL, true, o->now);
    office_check(o);
}

static inline void office_end_failure(struct office *o, const char *name, struct failure f)
{
    struct entry *e = office_entry(o, name);

    assert_true(e->is_in_flight);
    registry_end_fetch(&o->r, e, NULL, &f, true, o->now);
    office_check(o);
}

/* Every profile that is to be preloaded has a token of an hour. */
static inline void office_open_fresh(struct office *o)
{
    office_open(o);
    while (office_pop_fetches(o) > 0) {
        for (size_t i = 0; i < o->n_files; i++) {
            if (office_entry(o, o->files[i]->name)->is_in_flight)
                office_end_token(o, o->files[i]->name);
        }
    }
    for (enum note note; registry_pop_note(&o->r, &note);)
        ;
}

static inline enum answer office_ask(struct office *o, const char *name, struct waiter *w, usec_t wait_for)
{
    waiter_init(w);
    enum answer answer = registry_request(&o->r, office_entry(o, name), w, wait_for, o->now);
    office_check(o);
    return answer;
}

static inline enum answer office_await_proofs(struct office *o, struct waiter *w, usec_t wait_for)
{
    waiter_init(w);
    return registry_await_proofs(&o->r, w, wait_for, o->now);
}

/* Exactly this one is answered, so. */
static inline void expect_answer(struct office *o, struct waiter *w, enum answer answer)
{
    assert_ptr_equal(registry_pop_answer(&o->r), w);
    assert_int_equal(w->answer, answer);
    assert_null(w->entry);
}
