/* SPDX-License-Identifier: MIT */
#include "world.h"

#include <errno.h>

static void names_must_ascend(void **state _unused_)
{
    static char names[][4] = {"b", "c", "a", "d"};
    struct profile_settings s[4] = {0};
    struct registry r;

    registry_init(&r, 4, 1);
    assert_null(registry_find(&r, "a"));
    for (size_t i = 0; i < 4; i++) {
        s[i].name = names[i];
        s[i].token_url = world_urls[0];
    }
    assert_int_equal(registry_add(&r, &s[0]), 0);
    assert_int_equal(registry_add(&r, &s[0]), -EINVAL);
    assert_int_equal(registry_add(&r, &s[1]), 0);
    assert_int_equal(registry_add(&r, &s[2]), -EINVAL);
    assert_int_equal(registry_add_unusable(&r, &(struct unusable_profile){.name = "c", .message = ""}, T0),
                     -EINVAL);
    assert_int_equal(registry_add(&r, &s[3]), 0);
    assert_int_equal(r.n_entries, 3);
    registry_done(&r);
    registry_done(NULL);
}

static void all_of_many_are_found(void **state _unused_)
{
    static char names[1000][8];
    static struct profile_settings s[1000];
    struct registry r;

    registry_init(&r, 4, 1);
    for (unsigned i = 0; i < 1000; i++) {
        (void) snprintf(names[i], sizeof(names[i]), "p%03u", i);
        s[i] = (struct profile_settings){.name = names[i], .token_url = world_urls[i % 2]};
        assert_int_equal(registry_add(&r, &s[i]), 0);
    }
    for (unsigned i = 0; i < 1000; i++)
        assert_string_equal(registry_find(&r, names[i])->profile.name, names[i]);
    assert_null(registry_find(&r, ""));
    assert_null(registry_find(&r, "p"));
    assert_null(registry_find(&r, "p0000"));
    assert_null(registry_find(&r, "zzz"));
    registry_done(&r);
}

static void starting_fetches_each_once(void **state _unused_)
{
    _cleanup_(world_done) struct world w;

    world_init(&w, 16);
    assert_null(registry_pop_fetch(&w.r, w.now));
    registry_start(&w.r, w.now);
    registry_start(&w.r, w.now);
    assert_int_equal(world_pop_fetches(&w), 3);
    assert_null(registry_pop_fetch(&w.r, w.now));
}

static void slots_bound_what_is_in_flight(void **state _unused_)
{
    _cleanup_(world_done) struct world w;

    world_init(&w, 2);
    registry_start(&w.r, w.now);
    struct entry *first = registry_pop_fetch(&w.r, w.now), *second = registry_pop_fetch(&w.r, w.now);
    assert_null(registry_pop_fetch(&w.r, w.now));
    assert_ptr_equal(first, ENTRY(&w, 0));
    assert_ptr_equal(second, ENTRY(&w, 2));
    w.now += SEC(1);
    world_end_token(&w, 2, SEC(3600));
    /* The free slot is not for the origin that has its half. */
    assert_null(registry_pop_fetch(&w.r, w.now));
    world_end_token(&w, 0, SEC(3600));
    assert_ptr_equal(registry_pop_fetch(&w.r, w.now), ENTRY(&w, 1));
}

/*
 * Twenty profiles of one upstream that hangs, and one slot, which is never free: everybody gets a turn, for
 * who failed and comes again queues behind those who still wait.
 */
static void nobody_starves_behind_those_who_come_again(void **state _unused_)
{
    static char names[20][4];
    static struct profile_settings s[20];
    unsigned turns[20] = {0};
    struct registry r;
    usec_t now = T0;

    registry_init(&r, 1, 1);
    for (unsigned i = 0; i < 20; i++) {
        (void) snprintf(names[i], sizeof(names[i]), "p%02u", i);
        s[i] = (struct profile_settings){.name = names[i], .token_url = world_urls[0], EXACT_SETTINGS};
        s[i].refresh.retry_max_for = SEC(2);
        assert_int_equal(registry_add(&r, &s[i]), 0);
    }
    registry_start(&r, now);
    for (unsigned i = 0; i < 400; i++) {
        struct entry *e = registry_pop_fetch(&r, now);
        assert_non_null(e);
        turns[(e->profile.name[1] - '0') * 10 + e->profile.name[2] - '0']++;
        now += SEC(15);
        registry_advance(&r, now);
        registry_end_fetch(&r, e, NULL, &UNAVAILABLE, false, now);
    }
    for (unsigned i = 0; i < 20; i++)
        assert_in_range(turns[i], 19, 21);
    registry_done(&r);
}

/* The one whose token runs out first goes first, though it came last. */
static void the_token_that_ends_first_is_refreshed_first(void **state _unused_)
{
    static char names[4][2] = {"a", "b", "c", "d"};
    static struct profile_settings s[4];
    struct registry r;
    struct waiter w[4];
    usec_t now = T0;

    registry_init(&r, 1, 1);
    for (unsigned i = 0; i < 4; i++) {
        s[i] = (struct profile_settings){.name = names[i], .token_url = world_urls[0], EXACT_SETTINGS};
        assert_int_equal(registry_add(&r, &s[i]), 0);
    }
    registry_start(&r, now);
    for (struct entry *e; (e = registry_pop_fetch(&r, now));) {
        _cleanup_(token_done) struct token t =
            make_token("t", now, SEC(3600 - 100 * (e->profile.name[0] - 'a')));
        registry_end_fetch(&r, e, &t, NULL, true, now);
    }
    for (unsigned i = 0; i < 4; i++) {
        waiter_init(&w[i]);
        w[i].kind = WAIT_FOR_OUTCOME;
        assert_int_equal(registry_request(&r, r.entries[i], &w[i], SEC(10), now + SEC(10)), ANSWER_NONE);
    }
    for (unsigned i = 4; i-- > 0;) {
        struct entry *e = registry_pop_fetch(&r, now + SEC(10));
        assert_ptr_equal(e, r.entries[i]);
        registry_end_fetch(&r, e, NULL, &UNAVAILABLE, true, now + SEC(10));
    }
    registry_stop(&r, now);
    registry_done(&r);
}

static void a_year_passes_by_itself(void **state _unused_)
{
    _cleanup_(world_done) struct world w;

    world_init(&w, 16);
    world_start_fresh(&w);
    for (usec_t end = T0 + 365 * USEC_PER_DAY; w.now < end;) {
        world_run_to(&w, usec_min(end, registry_next_at(&w.r)));
        for (size_t i = 0; i < 3; i++) {
            if (ENTRY(&w, i)->profile.is_fetching)
                world_end_token(&w, i, SEC(3600));
        }
    }
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(ENTRY(&w, i)->profile.generation, 1 + 365 * 48);
}

static void profiles_with_jitter_drift_apart(void **state _unused_)
{
    _cleanup_(world_done) struct world w;

    world_init(&w, 16);
    for (size_t i = 0; i < 3; i++)
        w.settings[i].refresh.jitter_percent = 10;
    world_start_fresh(&w);
    usec_t a = profile_next_attempt_at(&ENTRY(&w, 0)->profile),
           b = profile_next_attempt_at(&ENTRY(&w, 1)->profile);
    assert_true(a != b);
    assert_true((a > b ? a - b : b - a) > USEC_PER_SEC);
}

static void notes_come_out_once(void **state _unused_)
{
    _cleanup_(world_done) struct world w;
    enum note note;

    world_init(&w, 16);
    world_start_fresh(&w);
    for (size_t i = 0; i < 3; i++) {
        assert_ptr_equal(registry_pop_note(&w.r, &note), ENTRY(&w, i));
        assert_int_equal(note, NOTE_FETCHED);
    }
    note = NOTE_NONE;
    assert_null(registry_pop_note(&w.r, &note));
    assert_int_equal(note, NOTE_NONE);
    world_run_to(&w, T0 + SEC(1800));
    world_end_failure(&w, 1, WRONG_KEYS);
    assert_ptr_equal(registry_pop_note(&w.r, &note), ENTRY(&w, 1));
    assert_int_equal(note, NOTE_REFRESH_FAILED);
    assert_null(registry_pop_note(&w.r, &note));
}

static void durations_are_observed_from_the_start_of_the_request(void **state _unused_)
{
    _cleanup_(world_done) struct world w;

    world_init(&w, 1);
    registry_start(&w.r, w.now);
    for (size_t k = 0; k < 3; k++) {
        struct entry *e = registry_pop_fetch(&w.r, w.now);
        w.now += SEC(2);
        registry_end_fetch(&w.r, e, NULL, &UNAVAILABLE, true, w.now);
    }
    assert_int_equal(w.r.durations.sum_for, SEC(6));
}

static void retry_in_tells_people_when(void **state _unused_)
{
    _cleanup_(world_done) struct world w;

    world_init(&w, 16);
    registry_start(&w.r, w.now);
    (void) world_pop_fetches(&w);
    assert_int_equal(entry_retry_in(ENTRY(&w, 0), w.now), 0);
    world_end_failure(&w, 0, RATE_LIMITED(90));
    assert_int_equal(entry_retry_in(ENTRY(&w, 0), w.now), SEC(90));
    assert_int_equal(entry_retry_in(ENTRY(&w, 0), w.now + SEC(60)), SEC(30));
    assert_int_equal(entry_retry_in(ENTRY(&w, 0), w.now + SEC(100)), 0);
    assert_true(entry_retry_in(ENTRY(&w, 3), w.now) == USEC_INFINITY);
}

/* Whatever is asked of it: nothing is fetched, nobody waits. */
static void an_unusable_profile_answers_at_once(void **state _unused_)
{
    _cleanup_(world_done) struct world w;
    struct waiter waiter;

    world_init(&w, 16);
    assert_int_equal(world_ask(&w, 3, &waiter, MIN_TTL_DEFAULT, SEC(60)), ANSWER_FAILED);
    assert_int_equal(world_ask(&w, 3, &waiter, 0, SEC(60)), ANSWER_FAILED);
    assert_int_equal(world_force(&w, 3, &waiter, SEC(60)), ANSWER_FAILED);
    assert_null(registry_pop_fetch(&w.r, w.now));
    assert_true(registry_next_at(&w.r) == USEC_INFINITY);
}

static void the_same_seed_and_events_give_the_same_life(void **state _unused_)
{
    _cleanup_(world_done) struct world a, b;

    world_init(&a, 16);
    world_init(&b, 16);
    for (size_t i = 0; i < 3; i++)
        a.settings[i].refresh.jitter_percent = b.settings[i].refresh.jitter_percent = 30;
    world_start_fresh(&a);
    world_start_fresh(&b);
    assert_true(registry_next_at(&a.r) == registry_next_at(&b.r));
    assert_true(registry_next_at(&a.r) != T0 + SEC(1800));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_must_ascend),
        cmocka_unit_test(all_of_many_are_found),
        cmocka_unit_test(starting_fetches_each_once),
        cmocka_unit_test(slots_bound_what_is_in_flight),
        cmocka_unit_test(nobody_starves_behind_those_who_come_again),
        cmocka_unit_test(the_token_that_ends_first_is_refreshed_first),
        cmocka_unit_test(a_year_passes_by_itself),
        cmocka_unit_test(profiles_with_jitter_drift_apart),
        cmocka_unit_test(notes_come_out_once),
        cmocka_unit_test(durations_are_observed_from_the_start_of_the_request),
        cmocka_unit_test(retry_in_tells_people_when),
        cmocka_unit_test(an_unusable_profile_answers_at_once),
        cmocka_unit_test(the_same_seed_and_events_give_the_same_life),
    };
    return cmocka_run_group_tests_name("registry", tests, NULL, NULL);
}
