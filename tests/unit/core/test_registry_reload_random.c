/* SPDX-License-Identifier: MIT */
/*
 * Two hundred reloads in the middle of a busy life, drawn by fixed seeds: edits of every kind, fetches that
 * are queued, in flight or between two keys, and callers of every kind. What a reload may change is worked
 * out here from the edits alone.
 */
#include "office.h"

#define N_SEEDS   4
#define N_RELOADS 200
#define N_CALLERS 64
#define N_NAMES   6
#define N_CHANGES (CHANGE_IDENTITY + 1)

static const char *const names[N_NAMES] = {"a", "b", "c", "d", "e", "f"};

/* What is known of one name, over all profiles that ever had it. */
struct memory {
    enum settings_change edited; /* the furthest edit since the last reload */
    unsigned n_identities;
    uint64_t generation; /* the last that was told */
    char fingerprint[FINGERPRINT_SIZE];
};

/* A profile as it was before a reload. */
struct before {
    const struct entry *entry; /* NULL: was not there */
    struct profile profile;    /* a copy to compare with; owns nothing */
    bool is_in_flight, is_queued, is_token_set;
    size_t n_waiters;
};

struct caller {
    struct waiter waiter;
    bool is_waiting;
    unsigned name; /* N_NAMES: waits for proofs */
};

struct life {
    struct office o;
    struct memory memories[N_NAMES];
    struct caller callers[N_CALLERS];
    uint64_t random;
    uint64_t n_tokens, n_edits;
    unsigned n_seen[N_CHANGES], n_answered[N_ANSWERS]; /* so that the life was a full one */
};

static unsigned draw(struct life *l, unsigned n)
{
    l->random = l->random * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (unsigned) (l->random >> 33) % n;
}

static struct entry *life_entry(struct life *l, unsigned name)
{
    return registry_find(&l->o.r, names[name]);
}

/* ---- what must hold after everything ---- */

/* A generation is of one token, for ever; and the token is one of the client that is set now. */
static void check_tokens(struct life *l)
{
    for (unsigned i = 0; i < N_NAMES; i++) {
        const struct entry *e = life_entry(l, i);
        struct memory *m = &l->memories[i];
        if (!e || !token_is_set(&e->profile.token))
            continue;
        const struct token *t = &e->profile.token;
        assert_string_equal(secret_peek(&t->value), e->settings->client_id);
        if (e->profile.generation != m->generation) {
            assert_true(e->profile.generation > m->generation);
            memcpy(m->fingerprint, t->fingerprint, sizeof(m->fingerprint));
            m->generation = e->profile.generation;
        }
        assert_string_equal(m->fingerprint, t->fingerprint);
    }
}

/* Every answer is of somebody who waited, once, and true. */
static void take_answers(struct life *l)
{
    for (struct waiter *w; (w = registry_pop_answer(&l->o.r));) {
        struct caller *c = container_of(w, struct caller, waiter);
        const struct entry *e = c->name < N_NAMES ? life_entry(l, c->name) : NULL;
        assert_true(c->is_waiting);
        c->is_waiting = false;
        l->n_answered[w->answer]++;
        assert_int_equal(w->answer == ANSWER_PROVEN,
                         c->name == N_NAMES && w->answer != ANSWER_TIMED_OUT && w->answer != ANSWER_STOPPING);
        if (w->answer == ANSWER_TOKEN)
            assert_true(profile_is_usable_for(&e->profile, w->min_ttl_for, l->o.now));
        if (w->answer == ANSWER_TOKEN && (w->kind == WAIT_FOR_CHANGE || w->kind == WAIT_FOR_NEWER))
            assert_true(e->profile.generation != w->generation);
    }
    check_tokens(l);
    office_check(&l->o);
}

/* ---- callers ---- */

static struct caller *free_caller(struct life *l, unsigned name)
{
    for (size_t i = 0; i < N_CALLERS; i++) {
        struct caller *c = &l->callers[i];
        if (!c->is_waiting) {
            waiter_init(&c->waiter);
            c->name = name;
            return c;
        }
    }
    return NULL;
}

static void call(struct life *l)
{
    unsigned name = draw(l, N_NAMES);
    struct entry *e = life_entry(l, name);
    struct caller *c = free_caller(l, name);
    enum answer answer = ANSWER_FAILED;
    usec_t wait_for = SEC(draw(l, 60));

    if (!e || !c)
        return;
    struct rejection rejection = {e->profile.token.fingerprint, draw(l, 3), wait_for};
    switch (draw(l, 5)) {
    case 0:
        answer = registry_request(&l->o.r, e, &c->waiter, wait_for, l->o.now);
        break;
    case 1:
        c->waiter.min_ttl_for = SEC(draw(l, 3700));
        answer = registry_request(&l->o.r, e, &c->waiter, wait_for, l->o.now);
        break;
    case 2:
        c->waiter.generation = e->profile.generation;
        answer = registry_poll(&l->o.r, e, &c->waiter, wait_for, l->o.now);
        break;
    case 3:
        c->waiter.kind = WAIT_FOR_OUTCOME;
        answer = registry_request(&l->o.r, e, &c->waiter, wait_for, l->o.now);
        break;
    case 4:
        answer = registry_reject(&l->o.r, e, &c->waiter, &rejection, l->o.now);
        break;
    }
    c->is_waiting = answer == ANSWER_NONE;
    assert_int_equal(c->is_waiting, c->waiter.is_queued);
}

static void hang_up(struct life *l)
{
    struct caller *c = &l->callers[draw(l, N_CALLERS)];

    if (c->is_waiting)
        registry_cancel(&l->o.r, &c->waiter);
    c->is_waiting = false;
}

/* ---- the upstream ---- */

static void end_fetch(struct life *l)
{
    struct entry *e = life_entry(l, draw(l, N_NAMES));
    const struct failure failures[] = {UNAVAILABLE, BLAMES_SECRET, BLAMES_SUBSCRIPTION, RATE_LIMITED(20)};

    if (!e || !e->is_in_flight)
        return;
    if (draw(l, 2)) {
        struct failure failure = failures[draw(l, ARRAY_SIZE(failures))];
        registry_end_fetch(&l->o.r, e, NULL, &failure, draw(l, 2), l->o.now);
        return;
    }
    _cleanup_(token_done) struct token t = make_token(e->settings->client_id, l->o.now, SEC(3600));
    (void) snprintf(t.fingerprint, sizeof(t.fingerprint), "%016zx", (size_t) ++l->n_tokens);
    registry_end_fetch(&l->o.r, e, &t, NULL, true, l->o.now);
}

static void pass_time(struct life *l)
{
    static const usec_t steps[] = {USEC_PER_MSEC, USEC_PER_SEC, 30 * USEC_PER_SEC, 40 * USEC_PER_MIN};

    l->o.now += draw(l, 3) ? steps[draw(l, 3)] : steps[draw(l, 4)];
    registry_advance(&l->o.r, l->o.now);
}

/* ---- edits ---- */

static void edit_one(struct life *l, unsigned name)
{
    struct profile_settings *s = office_edit(&l->o, names[name]);
    enum settings_change how = draw(l, N_CHANGES);
    struct memory *m = &l->memories[name];
    char text[32];

    (void) snprintf(text, sizeof(text), "%zu", (size_t) ++l->n_edits);
    switch (how) {
    case CHANGE_NONE:
        break;
    case CHANGE_ACCESS:
        set_text(&s->description, text);
        break;
    case CHANGE_POLICY:
        s->is_preloaded = !s->is_preloaded;
        break;
    case CHANGE_KEYS:
        set_key(s, draw(l, 2) ? KEY_CLIENT_SECRET : KEY_NEXT_CLIENT_SECRET, text);
        set_key(s, KEY_SUBSCRIPTION, text);
        set_key(s, KEY_SECONDARY_SUBSCRIPTION, "secondary");
        break;
    case CHANGE_IDENTITY:
        set_text(&s->client_id, text);
        if (draw(l, 2))
            set_text(&s->token_url, draw(l, 2) ? "https://one.example/token" : "https://two.example/token");
        break;
    }
    m->edited = how > m->edited ? how : m->edited;
}

/* A switch that is thrown twice is no change; one file is edited once a reload, so this cannot be. */
static void edit(struct life *l)
{
    for (unsigned i = 0; i < N_NAMES; i++) {
        bool is_there = office_index(&l->o, names[i]) < l->o.n_files;
        unsigned what = draw(l, 10);
        if (!is_there && what < 4) {
            struct profile_settings *s = office_add(&l->o, names[i]);
            (void) snprintf(s->client_id, strlen("client") + 1, "i%u", l->memories[i].n_identities++ % 9999);
            s->is_preloaded = draw(l, 2);
            s->idle_after_for = SEC(60);
        } else if (is_there && what == 0) {
            office_drop(&l->o, names[i]);
        } else if (is_there && what < 5) {
            edit_one(l, i);
        }
    }
    l->o.n_slots = 1 + draw(l, 6);
}

/* ---- reloading, and the oracle ---- */

static void remember(const struct entry *e, struct before *b)
{
    *b = (struct before){.entry = e};
    if (!e)
        return;
    b->profile = e->profile;
    b->is_in_flight = e->is_in_flight;
    b->is_queued = e->job.node.is_queued;
    b->is_token_set = token_is_set(&e->profile.token);
    b->n_waiters = count_list(&e->waiters);
}

static void check_kept(const struct entry *e, const struct before *b, enum settings_change how)
{
    const struct profile *p = &e->profile;
    bool has_lost_token = how == CHANGE_IDENTITY;

    assert_ptr_equal(e, b->entry);
    assert_int_equal(p->generation, b->profile.generation);
    assert_int_equal(token_is_set(&p->token), b->is_token_set && !has_lost_token);
    assert_int_equal(count_list(&e->waiters), b->n_waiters);
    assert_int_equal(p->used_at, b->profile.used_at);
    if (how >= CHANGE_KEYS) {
        assert_false(e->is_in_flight);
        assert_int_equal(e->proof == PROOF_PENDING, p->is_fetching);
        /* Who waits for a token does not wait for nothing. */
        assert_true(b->n_waiters == 0 || p->is_fetching);
        return;
    }
    assert_int_equal(e->is_in_flight, b->is_in_flight);
    assert_int_equal(p->n_failures, b->profile.n_failures);
    assert_true(e->job.node.is_queued || !b->is_queued);
    if (how == CHANGE_POLICY)
        return;
    assert_int_equal(e->job.node.is_queued, b->is_queued);
    assert_int_equal(p->refresh_at, b->profile.refresh_at);
    assert_int_equal(p->demand_at, b->profile.demand_at);
    assert_int_equal(p->is_idle, b->profile.is_idle);
}

static void check_new(const struct life *l, const struct entry *e, unsigned name)
{
    assert_false(token_is_set(&e->profile.token));
    assert_int_equal(e->profile.is_fetching, e->settings->is_preloaded);
    assert_true(e->profile.generation >= l->memories[name].generation);
    assert_true(list_is_empty(&e->waiters));
}

static void reload(struct life *l)
{
    struct before before[N_NAMES];

    registry_advance(&l->o.r, l->o.now);
    take_answers(l);
    for (unsigned i = 0; i < N_NAMES; i++)
        remember(life_entry(l, i), &before[i]);
    edit(l);
    office_reload(&l->o);
    for (unsigned i = 0; i < N_NAMES; i++) {
        const struct entry *e = life_entry(l, i);
        struct memory *m = &l->memories[i];
        assert_int_equal(e != NULL, office_index(&l->o, names[i]) < l->o.n_files);
        if (e && before[i].entry) {
            check_kept(e, &before[i], m->edited);
            l->n_seen[m->edited]++;
        } else if (e) {
            check_new(l, e, i);
        }
        m->edited = CHANGE_NONE;
    }
}

static void reload_and_wait(struct life *l)
{
    reload(l);
    struct caller *c = free_caller(l, N_NAMES);
    if (c)
        c->is_waiting = registry_await_proofs(&l->o.r, &c->waiter, SEC(draw(l, 60)), l->o.now) == ANSWER_NONE;
}

/* ---- a life ---- */

static void step(struct life *l)
{
    static void (*const deeds[])(struct life *) = {call,      call,      call,      hang_up,
                                                   end_fetch, end_fetch, end_fetch, pass_time};
    enum note note;

    deeds[draw(l, ARRAY_SIZE(deeds))](l);
    take_answers(l);
    if (draw(l, 3))
        (void) office_pop_fetches(&l->o);
    if (draw(l, 2)) {
        while (registry_pop_note(&l->o.r, &note))
            assert_true(note != NOTE_NONE);
    }
}

static void live(struct life *l, uint64_t seed)
{
    *l = (struct life){.random = seed};
    office_init(&l->o, 3);
    office_open(&l->o);
    for (unsigned i = 0; i < N_RELOADS; i++) {
        reload_and_wait(l);
        take_answers(l);
        for (unsigned k = draw(l, 120); k > 0; k--)
            step(l);
    }
    registry_stop(&l->o.r, l->o.now);
    take_answers(l);
    for (size_t i = 0; i < N_CALLERS; i++)
        assert_false(l->callers[i].is_waiting);
    assert_int_equal(l->o.r.n_waiters, 0);
}

static void two_hundred_reloads(void **state _unused_)
{
    static struct life l;

    for (uint64_t seed = 1; seed <= N_SEEDS; seed++) {
        print_message("seed %u\n", (unsigned) seed);
        live(&l, seed);
        for (size_t i = 0; i < N_CHANGES; i++)
            assert_true(l.n_seen[i] >= 10);
        assert_true(l.n_answered[ANSWER_TOKEN] > 0 && l.n_answered[ANSWER_FAILED] > 0);
        assert_true(l.n_answered[ANSWER_GONE] > 0 && l.n_answered[ANSWER_PROVEN] > 0);
        assert_true(l.n_answered[ANSWER_TIMED_OUT] > 0 && l.n_answered[ANSWER_UNCHANGED] > 0);
        office_done(&l.o);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_hundred_reloads),
    };
    return cmocka_run_group_tests_name("registry_reload_random", tests, NULL, NULL);
}
