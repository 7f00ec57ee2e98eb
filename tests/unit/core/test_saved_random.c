/* SPDX-License-Identifier: MIT */
/* Records of any content, and lives with restarts at any moment: what must hold holds in all of them. */
#include "story.h"

#include <stdlib.h>

#include "../../sim/random.h"
#include "core/registry.h"

/* As registry_start(): true when that asks the upstream. */
static bool begins_to_fetch(struct story *s)
{
    return story_step(s, (struct event){.kind = EVENT_START}).fetch;
}

/* ---- nonsense ---- */

static const usec_t moments[] = {
    0,
    1,
    T0 - SEC(1),
    T0,
    T0 + SEC(30),
    T0 + SEC(90000),
    T0 + SEC(1e9),
    INT64_MAX,
    USEC_INFINITY - 1,
    USEC_INFINITY,
};

static usec_t draw(struct random_source *random)
{
    return moments[random_next(random) % ARRAY_SIZE(moments)];
}

/* Any record that can be read (wire/state.h). */
static struct saved_profile draw_record(struct random_source *r)
{
    struct saved_profile saved = {
        .generation = random_next(r) % 5,
        .arrived_at = draw(r),
        .refresh_at = draw(r),
        .used_at = draw(r),
        .failed_at = draw(r),
        .probe_at = draw(r),
        .demand_debt_at = draw(r),
        .reports = {.debt_at = draw(r), .reporters = {[0].debt_at = draw(r), [3].debt_at = draw(r)}},
        .n_failures = (unsigned) (draw(r) % UINT32_MAX),
        .n_interrupted = (unsigned) (draw(r) % UINT32_MAX),
        .failure = random_chance(r, 50) ? WRONG_KEYS : UNAVAILABLE,
        .was_fetching = random_chance(r, 50),
        .was_sent = random_chance(r, 50),
        .is_idle = random_chance(r, 50),
        .choice = { random_chance(r, 50),                                                           random_chance(r, 50)},
        .token_choice = { random_chance(r, 50),                                                           random_chance(r, 50)},
    };
    saved.has_failed_ever = saved.n_failures > 0;
    if (random_chance(r, 50))
        saved.token = make_token("x", moments[random_next(r) % 7], SEC(3600));
    return saved;
}

/* Within the longest distance that there is, it asks; or it has a token until then. */
static void asks_in_time(struct story *s)
{
    bool is_asked = begins_to_fetch(s);

    if (!s->settings.is_preloaded && !is_asked)
        is_asked = ask(s, SEC(1)) != VERDICT_TOKEN && s->p.is_fetching;
    for (unsigned n = 0; !s->p.is_fetching && n < 10 && s->wake_at != USEC_INFINITY; n++) {
        s->now = usec_max(s->now, s->wake_at);
        (void) story_step(s, (struct event){.kind = EVENT_DEADLINE});
        assert_true(s->now <= T0 + SEC(3600 + 30));
    }
    assert_true(s->p.is_fetching || (!s->settings.is_preloaded && !is_asked));
}

/* Reports of rejected tokens are taken again, after a while. */
static void takes_a_report_in_time(struct story *s)
{
    for (unsigned n = 0; n < 45; n++) {
        s->now += SEC(61);
        if (story_step(s, (struct event){.kind = EVENT_REJECTED, .uid = 3}).fetch)
            return;
    }
    fail_msg("no report is taken");
}

/* Whatever a record says, the profile does what it should. */
static void no_record_silences_a_profile(void **state _unused_)
{
    struct random_source random = {7};
    struct story s;

    for (unsigned i = 0; i < 20000; i++) {
        struct saved_profile saved = draw_record(&random);
        story_init(&s);
        s.settings.is_preloaded = random_chance(&random, 50);
        profile_restore(&s.p, &saved, s.now, i);
        saved_profile_done(&saved);
        assert_false(s.p.choice.is_next_secret || s.p.token_choice.is_secondary_subscription);
        assert_true(s.p.used_at <= s.now && s.p.arrived_at <= s.now && s.p.failed_at <= s.now);
        asks_in_time(&s);
        if (s.p.is_fetching) {
            token_comes(&s, "y", SEC(3600), 0);
            assert_int_equal(s.p.refresh_at, s.now + SEC(1800));
            takes_a_report_in_time(&s);
        }
        story_done(&s);
    }
}

/* ---- lives with restarts ---- */

#define N_PROFILES 5
#define N_TURNS    60000
#define RETRY_MIN  USEC_PER_SEC

/* What the test knows of a profile, from events alone. */
struct seen {
    struct saved_profile saved;
    bool has_saved;
    bool is_in_flight, was_interrupted;
    usec_t sent_at, failed_at, planned_at;
    uint64_t generation;
    uint64_t token_id;
    unsigned n_failures, n_interrupted, n_reports;
};

struct life {
    struct random_source random;
    char names[N_PROFILES][8];
    struct profile_settings settings[N_PROFILES];
    struct seen seen[N_PROFILES];
    struct registry r;
    usec_t now;
    uint64_t last_token_id;
    uint64_t n_requests, n_restarts, n_kept, n_lost;
};

static char issuer_url[] = "https://one.example/token";

static struct seen *seen_of(struct life *l, const struct entry *e)
{
    return &l->seen[e->profile.name[1] - '0'];
}

/* Two requests are spaced, and after a failure there is a distance; unless one is repeated whose answer
 * nobody saw, and that for the first time. */
static void note_request(struct life *l, struct entry *e)
{
    struct seen *s = seen_of(l, e);
    bool is_repeated = s->was_interrupted && s->n_interrupted == 1 && s->n_failures == 0;

    l->n_requests++;
    assert_false(s->is_in_flight);
    if (!is_repeated && s->sent_at > 0)
        assert_true(l->now >= s->sent_at + RETRY_MIN);
    if (s->n_failures > 0)
        assert_true(l->now >= s->failed_at + RETRY_MIN && l->now >= s->planned_at);
    s->is_in_flight = true;
    s->was_interrupted = false;
    s->sent_at = l->now;
}

static void save(struct life *l, struct entry *e)
{
    struct seen *s = seen_of(l, e);

    saved_profile_done(&s->saved);
    assert_int_equal(entry_save(&l->r, e, &s->saved), 0);
    s->has_saved = true;
}

static void pump(struct life *l)
{
    struct entry *e;
    enum note note;

    while ((e = registry_pop_fetch(&l->r, l->now)))
        note_request(l, e);
    while ((e = registry_pop_unsaved(&l->r)))
        save(l, e);
    while (registry_pop_note(&l->r, &note))
        ;
    while (registry_pop_answer(&l->r))
        ;
}

/* As what the issuer answers goes; a token that comes when its life is over is a failure, too. */
static void answer_request(struct life *l, struct entry *e)
{
    struct seen *s = seen_of(l, e);
    char text[32];

    if (random_chance(&l->random, 40)) {
        struct failure f = random_chance(&l->random, 30) ? WRONG_KEYS : UNAVAILABLE;
        registry_end_fetch(&l->r, e, NULL, &f, true, l->now);
        return;
    }
    (void) snprintf(text, sizeof(text), "%u", (unsigned) ++l->last_token_id);
    _cleanup_(token_done) struct token t =
        make_token(text, s->sent_at, USEC_PER_SEC * random_between(&l->random, 60, 7200));
    registry_end_fetch(&l->r, e, &t, NULL, true, l->now);
}

static void end_request(struct life *l, size_t i)
{
    struct entry *e = l->r.entries[i];
    struct seen *s = &l->seen[i];
    uint64_t n_tokens = e->profile.stats.upstream_ok;

    if (!s->is_in_flight)
        return;
    answer_request(l, e);
    s->is_in_flight = false;
    s->n_interrupted = 0;
    bool is_token = e->profile.stats.upstream_ok > n_tokens;
    s->n_failures = is_token ? 0 : s->n_failures + 1;
    s->failed_at = is_token ? 0 : l->now;
    s->planned_at = is_token ? 0 : e->profile.refresh_at;
    pump(l);
}

/* No number goes back, and none is told of two tokens. */
static void ask_for_token(struct life *l, size_t i)
{
    struct entry *e = l->r.entries[i];
    struct seen *s = &l->seen[i];
    struct waiter w;

    waiter_init(&w);
    w.min_ttl_for = MIN_TTL_DEFAULT;
    enum answer answer = registry_request(&l->r, e, &w, SEC(1), l->now);
    if (answer == ANSWER_NONE)
        registry_cancel(&l->r, &w);
    pump(l);
    if (answer != ANSWER_TOKEN)
        return;
    uint64_t id = strtoul(secret_peek(&e->profile.token.value), NULL, 10);
    assert_true(e->profile.generation >= s->generation);
    assert_true(e->profile.generation > s->generation || id == s->token_id);
    s->generation = e->profile.generation;
    s->token_id = id;
}

static void report_token(struct life *l, size_t i)
{
    struct entry *e = l->r.entries[i];
    const struct rejection rejection = {e->profile.token.fingerprint, 33, SEC(1)};
    uint64_t before = e->profile.stats.reports;
    struct waiter w;

    if (!profile_is_usable_for(&e->profile, MIN_TTL_DEFAULT, l->now))
        return;
    waiter_init(&w);
    if (registry_reject(&l->r, e, &w, &rejection, l->now) == ANSWER_NONE)
        registry_cancel(&l->r, &w);
    l->seen[i].n_reports += (unsigned) (e->profile.stats.reports - before);
    pump(l);
}

static void fill_registry(struct life *l)
{
    registry_init(&l->r, 2, random_next(&l->random));
    for (size_t i = 0; i < N_PROFILES; i++)
        assert_int_equal(registry_add(&l->r, &l->settings[i]), 0);
}

/* What was saved comes back, whole. */
static void restore(struct life *l, size_t i)
{
    struct entry *e = l->r.entries[i];
    struct seen *s = &l->seen[i];
    usec_t expires_at = s->saved.token.expires_at, refresh_at = s->saved.refresh_at;
    bool had_token = token_is_set(&s->saved.token), was_sent = s->saved.was_sent;

    assert_int_equal(s->saved.was_sent, s->is_in_flight);
    s->n_interrupted += was_sent;
    s->was_interrupted |= was_sent;
    s->is_in_flight = false;
    registry_restore(&l->r, e, &s->saved, true, l->now);
    assert_int_equal(token_is_set(&e->profile.token), had_token && expires_at > l->now);
    assert_int_equal(e->profile.n_failures, s->n_failures);
    if (refresh_at != USEC_INFINITY)
        assert_int_equal(e->profile.refresh_at, refresh_at);
    l->n_kept += had_token && expires_at > l->now;
    l->n_lost += was_sent;
}

/* The process is killed at any moment between two turns, with what was saved by then and nothing else. */
static void be_killed(struct life *l)
{
    registry_done(&l->r);
    l->n_restarts++;
    l->now += random_spread(&l->random, USEC_PER_MSEC, SEC(300));
    fill_registry(l);
    for (size_t i = 0; i < N_PROFILES; i++) {
        if (l->seen[i].has_saved)
            restore(l, i);
    }
    registry_start(&l->r, l->now);
    pump(l);
}

static void let_time_pass(struct life *l)
{
    usec_t next_at = registry_next_at(&l->r);

    if (next_at != USEC_INFINITY && random_chance(&l->random, 60))
        l->now = usec_max(l->now, next_at);
    else
        l->now += random_spread(&l->random, USEC_PER_MSEC, SEC(20));
    registry_advance(&l->r, l->now);
    pump(l);
}

static void turn(struct life *l)
{
    size_t i = random_below(&l->random, N_PROFILES);

    switch (random_below(&l->random, 20)) {
    case 0:
        be_killed(l);
        return;
    case 1:
        report_token(l, i);
        return;
    case 2:
    case 3:
    case 4:
        ask_for_token(l, i);
        return;
    default:
        let_time_pass(l);
        for (size_t k = 0; k < N_PROFILES; k++) {
            if (random_chance(&l->random, 50))
                end_request(l, k);
        }
        return;
    }
}

static void a_life_with_restarts_keeps_its_word(void **state _unused_)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct life l = {.random = {seed}, .now = T0};
        for (size_t i = 0; i < N_PROFILES; i++) {
            (void) snprintf(l.names[i], sizeof(l.names[i]), "p%zu", i);
            l.settings[i] =
                (struct profile_settings){.name = l.names[i], .token_url = issuer_url, EXACT_SETTINGS};
        }
        fill_registry(&l);
        registry_start(&l.r, l.now);
        pump(&l);
        for (unsigned n = 0; n < N_TURNS; n++)
            turn(&l);
        /* Each way of it was gone. */
        assert_true(l.n_restarts > 1000 && l.n_kept > 1000 && l.n_lost > 100);
        for (size_t i = 0; i < N_PROFILES; i++) {
            /* An interval of half a minute, for one user: restarts fill no bucket up. */
            assert_true(l.seen[i].n_reports <= 3 + (l.now - T0) / SEC(3));
            saved_profile_done(&l.seen[i].saved);
        }
        registry_done(&l.r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_record_silences_a_profile),
        cmocka_unit_test(a_life_with_restarts_keeps_its_word),
    };
    return cmocka_run_group_tests_name("saved, random", tests, NULL, NULL);
}
