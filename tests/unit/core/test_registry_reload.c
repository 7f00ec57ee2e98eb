/* SPDX-License-Identifier: MIT */
/* Settings read anew: what did not change, and what a profile makes of what did. */
#include "office.h"

static void edit_all(struct office *o)
{
    static const char *const names[] = {"alpha", "beta", "gamma"};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        (void) office_edit(o, names[i]);
}

/* ---- nothing changed ---- */

static void unchanged_settings_keep_everything(void **state _unused_)
{
    _cleanup_(office_done) struct office o;
    struct waiter waiter, poller;
    enum note note;

    office_fill(&o, 16);
    office_open_fresh(&o);
    /* Alpha: refreshing, with one who waits. Beta: in back-off, with a note and a poller. */
    o.now += SEC(1800);
    registry_advance(&o.r, o.now);
    assert_int_equal(office_pop_fetches(&o), 3);
    struct entry *alpha = office_entry(&o, "alpha"), *beta = office_entry(&o, "beta");
    waiter_init(&waiter);
    waiter.min_ttl_for = SEC(3000);
    assert_int_equal(registry_request(&o.r, alpha, &waiter, SEC(60), o.now), ANSWER_NONE);
    office_end_failure(&o, "beta", RATE_LIMITED(40));
    waiter_init(&poller);
    poller.generation = 1;
    assert_int_equal(registry_poll(&o.r, beta, &poller, SEC(60), o.now), ANSWER_NONE);
    usec_t refresh_at = beta->profile.refresh_at;

    edit_all(&o);
    o.now += SEC(1);
    office_reload(&o);
    assert_ptr_equal(office_entry(&o, "alpha"), alpha);
    assert_ptr_equal(alpha->settings, o.files[0]);
    assert_true(alpha->is_in_flight);
    assert_int_equal(office_pop_fetches(&o), 0);
    assert_int_equal(alpha->profile.generation, 1);
    assert_true(token_is_set(&alpha->profile.token));
    assert_int_equal(beta->profile.refresh_at, refresh_at);
    assert_int_equal(beta->profile.n_failures, 1);
    assert_int_equal(o.r.n_proving, 0);
    assert_null(registry_pop_answer(&o.r));
    assert_ptr_equal(registry_pop_note(&o.r, &note), beta);
    assert_int_equal(note, NOTE_REFRESH_FAILED);

    office_end_token(&o, "alpha");
    expect_answer(&o, &waiter, ANSWER_TOKEN);
    o.now = refresh_at;
    registry_advance(&o.r, o.now);
    assert_int_equal(office_pop_fetches(&o), 1);
    office_end_token(&o, "beta");
    expect_answer(&o, &poller, ANSWER_TOKEN);
}

/* Only the list of who may ask: it holds at once, and the fetch that is queued stays so. */
static void another_description_takes_effect_at_once(void **state _unused_)
{
    _cleanup_(office_done) struct office o;

    office_fill(&o, 1);
    office_open(&o);
    set_text(&office_edit(&o, "beta")->description, "Web shop");
    office_reload(&o);
    assert_string_equal(office_entry(&o, "beta")->profile.description, "Web shop");
    assert_true(office_entry(&o, "beta")->job.node.is_queued);
    assert_int_equal(o.r.n_starting, 3);
}

static void nothing_at_all_is_a_reload_too(void **state _unused_)
{
    _cleanup_(office_done) struct office o;

    office_init(&o, 4);
    office_reload(&o);
    assert_int_equal(o.r.n_entries, 0);
    (void) office_add(&o, "shop");
    office_reload(&o);
    assert_int_equal(office_pop_fetches(&o), 1);
    office_end_token(&o, "shop");
    office_drop(&o, "shop");
    office_reload(&o);
    assert_null(registry_find(&o.r, "shop"));
    assert_int_equal(o.r.schedule.n_origins, 0);
}

/* ---- changed ---- */

/* The fetch in flight was made with the old key: called off, and its slot is free for the new one. */
static void changed_keys_begin_anew_and_keep_the_token(void **state _unused_)
{
    _cleanup_(office_done) struct office o;
    struct waiter waiter;

    office_fill(&o, 1);
    office_open_fresh(&o);
    o.now += SEC(1800);
    registry_advance(&o.r, o.now);
    assert_int_equal(office_pop_fetches(&o), 1);
    assert_true(office_entry(&o, "alpha")->is_in_flight);
    set_key(office_edit(&o, "alpha"), KEY_CLIENT_SECRET, "new");
    office_reload(&o);
    struct entry *alpha = office_entry(&o, "alpha");
    assert_false(alpha->is_in_flight);
    assert_int_equal(alpha->proof, PROOF_PENDING);
    assert_int_equal(office_ask(&o, "alpha", &waiter, SEC(10)), ANSWER_TOKEN);
    assert_int_equal(o.r.schedule.n_in_flight, 0);
    /* All three come to their turn, one after another. */
    for (unsigned i = 0; i < 3; i++) {
        struct entry *e = registry_pop_fetch(&o.r, o.now);
        assert_non_null(e);
        assert_null(registry_pop_fetch(&o.r, o.now));
        office_end_token(&o, e->profile.name);
    }
    assert_int_equal(alpha->proof, PROOF_GIVEN);
    assert_int_equal(alpha->profile.generation, 2);
}

/* A token of the old client is none of the new one; those who wait get the new one. */
static void another_identity_takes_the_token_and_keeps_the_waiters(void **state _unused_)
{
    _cleanup_(office_done) struct office o;
    struct waiter waiter, poller, forcer, late;

    office_fill(&o, 16);
    office_open_fresh(&o);
    o.now += SEC(1800);
    registry_advance(&o.r, o.now);
    (void) office_pop_fetches(&o);
    struct entry *alpha = office_entry(&o, "alpha");
    waiter_init(&waiter);
    waiter.min_ttl_for = SEC(3000);
    assert_int_equal(registry_request(&o.r, alpha, &waiter, SEC(60), o.now), ANSWER_NONE);
    waiter_init(&poller);
    poller.generation = 1;
    assert_int_equal(registry_poll(&o.r, alpha, &poller, SEC(60), o.now), ANSWER_NONE);
    waiter_init(&forcer);
    forcer.kind = WAIT_FOR_OUTCOME;
    assert_int_equal(registry_request(&o.r, alpha, &forcer, SEC(60), o.now), ANSWER_NONE);

    struct profile_settings *s = office_edit(&o, "alpha");
    set_text(&s->client_id, "another");
    set_text(&s->token_url, "https://three.example/token");
    office_reload(&o);
    assert_false(token_is_set(&alpha->profile.token));
    assert_null(registry_pop_answer(&o.r));
    assert_string_equal(alpha->job.origin->name, "https://three.example");
    assert_int_equal(office_ask(&o, "alpha", &late, SEC(60)), ANSWER_NONE);
    assert_int_equal(office_pop_fetches(&o), 1);
    office_end_token(&o, "alpha");
    expect_answer(&o, &waiter, ANSWER_TOKEN);
    expect_answer(&o, &poller, ANSWER_TOKEN);
    expect_answer(&o, &forcer, ANSWER_TOKEN);
    expect_answer(&o, &late, ANSWER_TOKEN);
    assert_int_equal(alpha->profile.generation, 2);
}

/* What the back-off was for may be repaired: asked at once. */
static void repaired_keys_do_not_wait_for_the_back_off(void **state _unused_)
{
    _cleanup_(office_done) struct office o;
    struct waiter waiter;

    office_fill(&o, 16);
    office_open(&o);
    assert_int_equal(office_pop_fetches(&o), 3);
    office_end_failure(&o, "alpha", WRONG_KEYS);
    assert_int_equal(office_ask(&o, "alpha", &waiter, SEC(60)), ANSWER_FAILED);
    set_key(office_edit(&o, "alpha"), KEY_CLIENT_SECRET, "right");
    office_reload(&o);
    assert_int_equal(office_ask(&o, "alpha", &waiter, SEC(60)), ANSWER_NONE);
    assert_int_equal(office_pop_fetches(&o), 1);
    office_end_token(&o, "alpha");
    expect_answer(&o, &waiter, ANSWER_TOKEN);
}

/* Nobody but one caller wants it, and what the caller waits for is called off: asked for again. */
static void who_waits_gets_it_with_the_new_keys(void **state _unused_)
{
    for (enum settings_change how = CHANGE_KEYS; how <= CHANGE_IDENTITY; how++) {
        _cleanup_(office_done) struct office o;
        struct waiter waiter;
        office_init(&o, 16);
        office_add(&o, "alpha")->is_preloaded = false;
        office_open(&o);
        assert_int_equal(office_ask(&o, "alpha", &waiter, SEC(60)), ANSWER_NONE);
        assert_int_equal(office_pop_fetches(&o), 1);
        if (how == CHANGE_KEYS)
            set_key(office_edit(&o, "alpha"), KEY_CLIENT_SECRET, "new");
        else
            set_text(&office_edit(&o, "alpha")->client_id, "another");
        office_reload(&o);
        assert_int_equal(office_pop_fetches(&o), 1);
        office_end_token(&o, "alpha");
        expect_answer(&o, &waiter, ANSWER_TOKEN);
    }
}

static void preload_can_be_turned_off_and_on(void **state _unused_)
{
    _cleanup_(office_done) struct office o;

    office_fill(&o, 16);
    office_open_fresh(&o);
    struct entry *alpha = office_entry(&o, "alpha");
    office_edit(&o, "alpha")->is_preloaded = false;
    office_reload(&o);
    assert_int_equal(profile_state(&alpha->profile, o.now), PROFILE_FRESH);
    o.now += SEC(1800);
    registry_advance(&o.r, o.now);
    office_check(&o);
    assert_int_equal(profile_state(&alpha->profile, o.now), PROFILE_IDLE);
    assert_int_equal(office_pop_fetches(&o), 2);
    office_edit(&o, "alpha")->is_preloaded = true;
    office_reload(&o);
    assert_int_equal(office_pop_fetches(&o), 1);
    assert_int_equal(profile_state(&alpha->profile, o.now), PROFILE_REFRESHING);
    /* A policy is not a key: nobody waits for proof of it. */
    assert_int_equal(alpha->proof, PROOF_NONE);
}

/* The first fetch hangs; a reload says that it is not wanted any more. The start does not wait for it. */
static void a_first_attempt_that_is_called_off_ends_the_start(void **state _unused_)
{
    _cleanup_(office_done) struct office o;

    office_fill(&o, 16);
    office_open(&o);
    assert_int_equal(office_pop_fetches(&o), 3);
    office_end_token(&o, "beta");
    office_end_token(&o, "gamma");
    assert_int_equal(o.r.n_starting, 1);
    struct profile_settings *s = office_edit(&o, "alpha");
    s->is_preloaded = false;
    set_key(s, KEY_CLIENT_SECRET, "new");
    office_reload(&o);
    assert_int_equal(o.r.n_starting, 0);
    assert_int_equal(office_pop_fetches(&o), 0);
    assert_int_equal(profile_state(&office_entry(&o, "alpha")->profile, o.now), PROFILE_EMPTY);
}

/* It goes on with other keys: then the start waits for those. */
static void a_first_attempt_with_other_keys_is_still_the_first(void **state _unused_)
{
    _cleanup_(office_done) struct office o;

    office_fill(&o, 16);
    office_open(&o);
    (void) office_pop_fetches(&o);
    set_key(office_edit(&o, "alpha"), KEY_CLIENT_SECRET, "new");
    office_drop(&o, "beta");
    office_reload(&o);
    assert_int_equal(o.r.n_starting, 2);
    (void) office_pop_fetches(&o);
    office_end_failure(&o, "alpha", UNAVAILABLE);
    office_end_token(&o, "gamma");
    assert_int_equal(o.r.n_starting, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unchanged_settings_keep_everything),
        cmocka_unit_test(another_description_takes_effect_at_once),
        cmocka_unit_test(nothing_at_all_is_a_reload_too),
        cmocka_unit_test(changed_keys_begin_anew_and_keep_the_token),
        cmocka_unit_test(another_identity_takes_the_token_and_keeps_the_waiters),
        cmocka_unit_test(repaired_keys_do_not_wait_for_the_back_off),
        cmocka_unit_test(who_waits_gets_it_with_the_new_keys),
        cmocka_unit_test(preload_can_be_turned_off_and_on),
        cmocka_unit_test(a_first_attempt_that_is_called_off_ends_the_start),
        cmocka_unit_test(a_first_attempt_with_other_keys_is_still_the_first),
    };
    return cmocka_run_group_tests_name("registry_reload", tests, NULL, NULL);
}
