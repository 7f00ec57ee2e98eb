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
        assert_int_equal(entry_save(e, &saved), 0);
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
    assert_int_equal(entry_save(o.r.entries[0], &one), 0);
    assert_int_equal(entry_save(o.r.entries[1], &two), 0);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_has_changed_is_to_be_saved),
        cmocka_unit_test(a_use_is_saved_now_and_then),
        cmocka_unit_test(an_unusable_profile_keeps_its_number),
        cmocka_unit_test(a_profile_that_is_gone_leaves_its_number),
    };
    return cmocka_run_group_tests_name("registry, saved", tests, NULL, NULL);
}
