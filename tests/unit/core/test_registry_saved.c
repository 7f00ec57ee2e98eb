/* SPDX-License-Identifier: MIT */
/* Which profiles are to be saved, and when; and what becomes of those that are not what they were. */
#include "fixtures.h"

#include "core/registry.h"

static const struct access_list nobody;

struct office {
    struct profile_settings settings[2];
    struct registry r;
    usec_t now;
};

static char office_names[2][8] = {"alpha", "beta"};
static char office_url[] = "https://one.example/token";

static void office_init(struct office *o, bool is_preloaded)
{
    *o = (struct office){.now = T0};
    registry_init(&o->r, 1, 1);
    for (size_t i = 0; i < 2; i++) {
        o->settings[i] =
            (struct profile_settings){.name = office_names[i], .token_url = office_url, EXACT_SETTINGS};
        o->settings[i].is_preloaded = is_preloaded;
        assert_int_equal(registry_add(&o->r, &o->settings[i]), 0);
    }
}

static size_t pop_all_unsaved(struct office *o)
{
    struct entry *e;
    size_t n = 0;

    while ((e = registry_pop_unsaved(&o->r))) {
        _cleanup_(saved_profile_done) struct saved_profile saved = {0};
        assert_int_equal(entry_save(&o->r, e, &saved), 0);
        n++;
    }
    return n;
}

/* Each is told of once, and says whether its request is out: one has the slot, the other waits for it. */
static void what_has_changed_is_to_be_saved(void **state _unused_)
{
    _cleanup_(saved_profile_done) struct saved_profile one = {0}, two = {0};
    struct office o;

    office_init(&o, true);
    assert_null(registry_pop_unsaved(&o.r));
    registry_start(&o.r, o.now);
    struct entry *e = registry_pop_fetch(&o.r, o.now);
    assert_ptr_equal(e, o.r.entries[0]);
    assert_null(registry_pop_fetch(&o.r, o.now));
    assert_int_equal(pop_all_unsaved(&o), 2);
    assert_int_equal(entry_save(&o.r, o.r.entries[0], &one), 0);
    assert_int_equal(entry_save(&o.r, o.r.entries[1], &two), 0);
    assert_true(one.was_fetching && one.was_sent);
    assert_true(two.was_fetching && !two.was_sent);

    _cleanup_(token_done) struct token t = make_token("one", o.now, SEC(3600));
    registry_end_fetch(&o.r, e, &t, NULL, true, o.now);
    assert_int_equal(pop_all_unsaved(&o), 1);
    /* Its turn now: that it is out by now is news. */
    assert_ptr_equal(registry_pop_fetch(&o.r, o.now), o.r.entries[1]);
    assert_int_equal(pop_all_unsaved(&o), 1);
    registry_done(&o.r);
}

/* What waits for its turn is not to be lost: what callers were told was taken, and what it cost them. */
static void what_callers_set_off_for_later_is_saved(void **state _unused_)
{
    struct office o;

    for (unsigned is_report = 0; is_report < 2; is_report++) {
        _cleanup_(saved_profile_done) struct saved_profile saved = {0};
        struct waiter w;
        office_init(&o, true);
        registry_start(&o.r, o.now);
        struct entry *e = registry_pop_fetch(&o.r, o.now);
        _cleanup_(token_done) struct token t = make_token("one", o.now, SEC(3600));
        const struct rejection rejection = {"0000000000000003", 33, SEC(10)};
        registry_end_fetch(&o.r, e, &t, NULL, true, o.now);
        (void) pop_all_unsaved(&o);
        o.now += SEC(0.5); /* sooner than two requests may follow each other */
        waiter_init(&w);
        w.min_ttl_for = SEC(3599.9);
        enum answer answer = is_report ? registry_reject(&o.r, e, &w, &rejection, o.now)
                                       : registry_request(&o.r, e, &w, SEC(10), o.now);
        assert_int_equal(answer, ANSWER_NONE);
        assert_false(e->profile.is_fetching);
        assert_ptr_equal(registry_pop_unsaved(&o.r), e);
        assert_int_equal(entry_save(&o.r, e, &saved), 0);
        assert_int_equal(saved.refresh_at, T0 + SEC(1));
        assert_true(is_report ? saved.reports.debt_at > o.now : saved.demand_debt_at > o.now);
        registry_cancel(&o.r, &w);
        registry_done(&o.r);
    }
}

/* One key was refused, and the request with the other one waits for a slot: the attempt has cost a request.
 */
static void an_attempt_between_two_keys_counts_as_sent(void **state _unused_)
{
    _cleanup_(saved_profile_done) struct saved_profile saved = {0}, later = {0};
    struct failure f = BLAMES_SUBSCRIPTION;
    struct office o;

    office_init(&o, true);
    set_key(&o.settings[0], KEY_SUBSCRIPTION, "a");
    set_key(&o.settings[0], KEY_SECONDARY_SUBSCRIPTION, "b");
    registry_start(&o.r, o.now);
    struct entry *e = registry_pop_fetch(&o.r, o.now);
    registry_end_fetch(&o.r, e, NULL, &f, true, o.now);
    assert_true(e->profile.is_fetching && !e->is_in_flight);
    assert_int_equal(entry_save(&o.r, e, &saved), 0);
    assert_true(saved.was_fetching && saved.was_sent);
    /* In the next attempt nothing was sent yet. */
    assert_ptr_equal(registry_pop_fetch(&o.r, o.now), o.r.entries[1]);
    registry_end_fetch(&o.r, o.r.entries[1], NULL, &UNAVAILABLE, true, o.now);
    assert_ptr_equal(registry_pop_fetch(&o.r, o.now), e);
    registry_end_fetch(&o.r, e, NULL, &UNAVAILABLE, true, o.now);
    o.now = e->profile.refresh_at;
    registry_advance(&o.r, o.now);
    assert_true(e->profile.is_fetching && !e->is_in_flight);
    assert_int_equal(entry_save(&o.r, e, &later), 0);
    assert_true(later.was_fetching && !later.was_sent);
    registry_done(&o.r);
    secret_done(&o.settings[0].keys[KEY_SUBSCRIPTION]);
    secret_done(&o.settings[0].keys[KEY_SECONDARY_SUBSCRIPTION]);
}

/* A use alone is worth a record now and then, so that the next process does not think that nobody asks. */
static void a_use_is_saved_now_and_then(void **state _unused_)
{
    struct waiter w;
    struct office o;
    size_t n = 0;

    office_init(&o, false);
    registry_start(&o.r, o.now);
    waiter_init(&w);
    w.min_ttl_for = MIN_TTL_DEFAULT;
    assert_int_equal(registry_request(&o.r, o.r.entries[0], &w, SEC(10), o.now), ANSWER_NONE);
    struct entry *e = registry_pop_fetch(&o.r, o.now);
    _cleanup_(token_done) struct token t = make_token("one", o.now, SEC(24 * 3600));
    registry_end_fetch(&o.r, e, &t, NULL, true, o.now);
    assert_ptr_equal(registry_pop_answer(&o.r), &w);
    (void) pop_all_unsaved(&o);
    for (unsigned i = 0; i < 3600; i++) {
        o.now += SEC(1);
        waiter_init(&w);
        w.min_ttl_for = MIN_TTL_DEFAULT;
        assert_int_equal(registry_request(&o.r, e, &w, SEC(10), o.now), ANSWER_TOKEN);
        n += pop_all_unsaved(&o);
    }
    assert_in_range(n, 7, 9);
    registry_done(&o.r);
}

/* Its settings are broken just now: the number must still not be told twice. */
static void an_unusable_profile_keeps_its_number(void **state _unused_)
{
    struct saved_profile saved = {.generation = 41};
    struct registry_plan plan;
    struct office o;

    office_init(&o, true);
    assert_int_equal(
        registry_add_unusable(
            &o.r, &(struct unusable_profile){.name = "zeta", .message = "no", .allow = &nobody}, o.now),
        0);
    struct entry *e = registry_find(&o.r, "zeta");
    registry_restore(&o.r, e, &saved, false, o.now);
    registry_start(&o.r, o.now);
    assert_int_equal(profile_state(&e->profile, o.now), PROFILE_UNUSABLE);
    assert_int_equal(e->profile.generation, 41);

    char name[] = "zeta";
    struct profile_settings repaired = {.name = name, .token_url = office_url, EXACT_SETTINGS};
    struct profile_settings *all[] = {&o.settings[0], &o.settings[1], &repaired};
    assert_int_equal(registry_plan(&o.r, all, 3, &plan), 0);
    registry_apply(&o.r, &plan, 1, o.now);
    registry_plan_done(&plan);
    assert_int_equal(e->profile.generation, 41);
    registry_done(&o.r);
}

/* A profile that is gone, and comes back by a reload, goes on counting. */
static void a_profile_that_is_gone_leaves_its_number(void **state _unused_)
{
    struct saved_profile saved = {.generation = 41};
    struct registry_plan plan;
    struct office o;

    office_init(&o, true);
    registry_restore_gone(&o.r, &saved);
    registry_start(&o.r, o.now);
    char name[] = "gone";
    struct profile_settings back = {.name = name, .token_url = office_url, EXACT_SETTINGS};
    struct profile_settings *all[] = {&o.settings[0], &o.settings[1], &back};
    assert_int_equal(registry_plan(&o.r, all, 3, &plan), 0);
    registry_apply(&o.r, &plan, 1, o.now);
    registry_plan_done(&plan);
    assert_int_equal(registry_find(&o.r, "gone")->profile.generation, 41);
    registry_done(&o.r);
}

/* Also when it comes back by a restart, and however many of them lie between. */
static void its_number_is_kept_by_those_that_stay(void **state _unused_)
{
    struct saved_profile gone = {.generation = 41}, saved[2] = {0};
    struct office o;

    office_init(&o, true);
    registry_restore_gone(&o.r, &gone);
    assert_int_equal(entry_save(&o.r, o.r.entries[0], &saved[0]), 0);
    registry_done(&o.r);
    for (unsigned i = 0; i < 3; i++) {
        office_init(&o, true);
        registry_restore(&o.r, o.r.entries[0], &saved[0], true, o.now);
        registry_start(&o.r, o.now);
        /* What is new counts on from those that are gone. */
        assert_int_equal(o.r.entries[1]->profile.generation, 41);
        assert_int_equal(entry_save(&o.r, o.r.entries[0], &saved[0]), 0);
        assert_int_equal(saved[0].generation_floor, 41);
        registry_done(&o.r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_has_changed_is_to_be_saved),
        cmocka_unit_test(what_callers_set_off_for_later_is_saved),
        cmocka_unit_test(an_attempt_between_two_keys_counts_as_sent),
        cmocka_unit_test(a_use_is_saved_now_and_then),
        cmocka_unit_test(an_unusable_profile_keeps_its_number),
        cmocka_unit_test(a_profile_that_is_gone_leaves_its_number),
        cmocka_unit_test(its_number_is_kept_by_those_that_stay),
    };
    return cmocka_run_group_tests_name("registry, saved", tests, NULL, NULL);
}
