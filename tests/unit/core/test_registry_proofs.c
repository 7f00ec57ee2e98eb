/* SPDX-License-Identifier: MIT */
/* Whether changed keys got a token, and who waits to hear it; and what keys cost in slots. */
#include "office.h"

/* "alpha" and "beta", both fresh. */
static void office_init_fresh(struct office *o, size_t n_slots)
{
    office_init(o, n_slots);
    (void) office_add(o, "alpha");
    (void) office_add(o, "beta");
    office_open_fresh(o);
    o->now += SEC(10);
}

static void change_key(struct office *o, const char *name, const char *key)
{
    set_key(office_edit(o, name), KEY_CLIENT_SECRET, key);
}

static void nothing_to_prove_is_proven(void **state _unused_)
{
    _cleanup_(office_done) struct office o;
    struct waiter admin;

    office_init_fresh(&o, 16);
    office_reload(&o);
    assert_int_equal(office_await_proofs(&o, &admin, SEC(60)), ANSWER_PROVEN);
    assert_int_equal(office_entry(&o, "alpha")->proof, PROOF_NONE);
}

static void proofs_are_given_or_fail(void **state _unused_)
{
    _cleanup_(office_done) struct office o;
    struct waiter admins[2];

    office_init_fresh(&o, 16);
    change_key(&o, "alpha", "right");
    change_key(&o, "beta", "wrong");
    office_reload(&o);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(office_await_proofs(&o, &admins[i], SEC(60)), ANSWER_NONE);
    assert_int_equal(office_pop_fetches(&o), 2);
    office_end_token(&o, "alpha");
    assert_null(registry_pop_answer(&o.r));
    office_end_failure(&o, "beta", WRONG_KEYS);
    for (size_t i = 0; i < 2; i++)
        expect_answer(&o, &admins[i], ANSWER_PROVEN);
    assert_int_equal(office_entry(&o, "alpha")->proof, PROOF_GIVEN);
    assert_int_equal(office_entry(&o, "beta")->proof, PROOF_FAILED);
    assert_int_equal(office_entry(&o, "beta")->profile.failure.reason, REASON_INVALID_KEYS);
    /* The old token is still handed out. */
    assert_true(profile_is_usable_for(&office_entry(&o, "beta")->profile, MIN_TTL_DEFAULT, o.now));
    /* A failure is a proof of what is now; the retry that succeeds does not ask anybody. */
    o.now = office_entry(&o, "beta")->profile.refresh_at;
    registry_advance(&o.r, o.now);
    assert_int_equal(office_pop_fetches(&o), 1);
    office_end_token(&o, "beta");
    /* The next reload begins anew. */
    office_reload(&o);
    assert_int_equal(office_entry(&o, "alpha")->proof, PROOF_NONE);
    assert_int_equal(office_entry(&o, "beta")->proof, PROOF_NONE);
}

/* Asked for twice at once: the second reading finds no change, and what came of the first is still there. */
static void a_second_reading_keeps_what_the_first_has_proven(void **state _unused_)
{
    _cleanup_(office_done) struct office o;

    office_init_fresh(&o, 16);
    change_key(&o, "alpha", "right");
    change_key(&o, "beta", "wrong");
    registry_hold_proofs(&o.r);
    o.is_reloading = true;
    office_apply(&o);
    assert_int_equal(office_pop_fetches(&o), 2);
    office_end_token(&o, "alpha");
    office_end_failure(&o, "beta", WRONG_KEYS);
    office_apply(&o);
    registry_release_proofs(&o.r);
    assert_int_equal(office_entry(&o, "alpha")->proof, PROOF_GIVEN);
    assert_int_equal(office_entry(&o, "beta")->proof, PROOF_FAILED);
}

static void who_waits_for_proofs_may_time_out_or_leave(void **state _unused_)
{
    _cleanup_(office_done) struct office o;
    struct waiter short_one, gone, long_one, none;

    office_init_fresh(&o, 16);
    change_key(&o, "alpha", "new");
    office_reload(&o);
    assert_int_equal(office_await_proofs(&o, &short_one, SEC(5)), ANSWER_NONE);
    assert_int_equal(office_await_proofs(&o, &gone, SEC(5)), ANSWER_NONE);
    assert_int_equal(office_await_proofs(&o, &long_one, SEC(60)), ANSWER_NONE);
    assert_int_equal(office_await_proofs(&o, &none, 0), ANSWER_NONE);
    assert_int_equal(office_pop_fetches(&o), 1);
    registry_advance(&o.r, o.now);
    expect_answer(&o, &none, ANSWER_TIMED_OUT);
    registry_cancel(&o.r, &gone);
    o.now += SEC(5);
    registry_advance(&o.r, o.now);
    expect_answer(&o, &short_one, ANSWER_TIMED_OUT);
    assert_null(registry_pop_answer(&o.r));
    office_end_token(&o, "alpha");
    expect_answer(&o, &long_one, ANSWER_PROVEN);
    office_check(&o);
}

/* Another reload, before the proof is there: of another key, of the profile's end, of nothing at all. */
static void a_later_reload_supersedes(void **state _unused_)
{
    _cleanup_(office_done) struct office o;
    struct waiter admin;

    office_init_fresh(&o, 16);
    change_key(&o, "alpha", "first");
    office_reload(&o);
    assert_int_equal(office_await_proofs(&o, &admin, SEC(60)), ANSWER_NONE);
    assert_int_equal(office_pop_fetches(&o), 1);

    (void) office_edit(&o, "alpha");
    office_reload(&o);
    assert_int_equal(office_entry(&o, "alpha")->proof, PROOF_PENDING);
    assert_true(office_entry(&o, "alpha")->is_in_flight);

    change_key(&o, "alpha", "second");
    office_reload(&o);
    assert_int_equal(o.r.n_proving, 1);
    assert_int_equal(office_pop_fetches(&o), 1);
    assert_null(registry_pop_answer(&o.r));

    office_drop(&o, "alpha");
    office_reload(&o);
    expect_answer(&o, &admin, ANSWER_PROVEN);
    assert_int_equal(o.r.n_proving, 0);
}

/* It is not to be asked any more: that ends the waiting too. */
static void a_proof_that_is_not_wanted_any_more_ends(void **state _unused_)
{
    _cleanup_(office_done) struct office o;
    struct waiter admin;

    office_init(&o, 16);
    (void) office_add(&o, "alpha");
    office_reload(&o);
    assert_int_equal(office_await_proofs(&o, &admin, SEC(60)), ANSWER_NONE);
    assert_int_equal(office_pop_fetches(&o), 1);
    struct profile_settings *s = office_edit(&o, "alpha");
    s->is_preloaded = false;
    set_key(s, KEY_CLIENT_SECRET, "new");
    office_reload(&o);
    expect_answer(&o, &admin, ANSWER_PROVEN);
    assert_int_equal(office_entry(&o, "alpha")->proof, PROOF_NONE);
    assert_int_equal(office_pop_fetches(&o), 0);
}

/* Nobody uses it: nothing is asked of the upstream for the sake of a proof. */
static void an_idle_profile_is_not_asked_to_prove(void **state _unused_)
{
    _cleanup_(office_done) struct office o;
    struct waiter admin;

    office_init(&o, 16);
    office_add(&o, "alpha")->is_preloaded = false;
    office_open(&o);
    change_key(&o, "alpha", "new");
    office_reload(&o);
    assert_int_equal(office_pop_fetches(&o), 0);
    assert_int_equal(office_await_proofs(&o, &admin, SEC(60)), ANSWER_PROVEN);
    assert_int_equal(office_entry(&o, "alpha")->proof, PROOF_NONE);
}

static void stopping_answers_who_waits_for_proofs(void **state _unused_)
{
    _cleanup_(office_done) struct office o;
    struct waiter admin, late;

    office_init_fresh(&o, 16);
    change_key(&o, "alpha", "new");
    office_reload(&o);
    assert_int_equal(office_await_proofs(&o, &admin, SEC(60)), ANSWER_NONE);
    assert_int_equal(office_pop_fetches(&o), 1);
    registry_stop(&o.r, o.now);
    expect_answer(&o, &admin, ANSWER_STOPPING);
    assert_int_equal(office_await_proofs(&o, &late, SEC(60)), ANSWER_STOPPING);
    office_end_token(&o, "alpha");
    assert_null(registry_pop_answer(&o.r));
}

/* An outage in the middle of the proof of a changed key: a failure like any other. */
static void a_proof_fails_with_the_last_request_of_its_attempt(void **state _unused_)
{
    _cleanup_(office_done) struct office o;
    struct waiter admin;

    office_init_fresh(&o, 16);
    set_key(office_edit(&o, "alpha"), KEY_NEXT_CLIENT_SECRET, "next");
    office_reload(&o);
    struct entry *alpha = office_entry(&o, "alpha");
    assert_int_equal(office_await_proofs(&o, &admin, SEC(60)), ANSWER_NONE);
    assert_int_equal(office_pop_fetches(&o), 1);
    assert_true(alpha->profile.choice.is_next_secret);
    office_end_failure(&o, "alpha", BLAMES_SECRET);
    assert_int_equal(alpha->proof, PROOF_PENDING);
    assert_null(registry_pop_answer(&o.r));
    assert_int_equal(office_pop_fetches(&o), 1);
    office_end_failure(&o, "alpha", UNAVAILABLE);
    assert_int_equal(alpha->proof, PROOF_FAILED);
    expect_answer(&o, &admin, ANSWER_PROVEN);
}

/* ---- slots ---- */

/*
 * One slot: each request of an attempt takes it and gives it back, so that others get their turn between; and
 * no waiter hears of the first.
 */
static void a_fallback_queues_for_its_slot(void **state _unused_)
{
    _cleanup_(office_done) struct office o;
    struct waiter waiter;

    office_init(&o, 1);
    struct profile_settings *s = office_add(&o, "alpha");
    set_key(s, KEY_SUBSCRIPTION, "primary");
    set_key(s, KEY_SECONDARY_SUBSCRIPTION, "secondary");
    set_key(s, KEY_NEXT_CLIENT_SECRET, "next");
    (void) office_add(&o, "beta");
    office_open(&o);
    assert_int_equal(office_ask(&o, "alpha", &waiter, SEC(60)), ANSWER_NONE);
    assert_int_equal(office_pop_fetches(&o), 1);
    struct entry *alpha = office_entry(&o, "alpha");
    assert_true(alpha->is_in_flight);
    o.now += SEC(1);
    office_end_failure(&o, "alpha", BLAMES_SUBSCRIPTION);
    assert_true(alpha->job.node.is_queued);
    assert_int_equal(o.r.n_starting, 2);
    /* Beta has waited longer. */
    assert_int_equal(office_pop_fetches(&o), 1);
    assert_true(office_entry(&o, "beta")->is_in_flight);
    office_end_token(&o, "beta");
    assert_int_equal(office_pop_fetches(&o), 1);
    office_end_failure(&o, "alpha", BLAMES_SECRET);
    assert_null(registry_pop_answer(&o.r));
    assert_int_equal(office_pop_fetches(&o), 1);
    assert_true(alpha->profile.choice.is_next_secret && alpha->profile.choice.is_secondary_subscription);
    office_end_token(&o, "alpha");
    expect_answer(&o, &waiter, ANSWER_TOKEN);
    assert_int_equal(o.r.n_starting, 0);
    assert_int_equal(o.r.schedule.n_in_flight, 0);
    assert_int_equal(office_pop_fetches(&o), 0);
}

/* Reloaded in each moment of such an attempt: the slot comes back once. */
static void a_fallback_is_called_off_with_its_slot(void **state _unused_)
{
    for (unsigned n_before = 0; n_before < 5; n_before++) {
        _cleanup_(office_done) struct office o;
        office_init(&o, 1);
        struct profile_settings *s = office_add(&o, "alpha");
        set_key(s, KEY_SUBSCRIPTION, "primary");
        set_key(s, KEY_SECONDARY_SUBSCRIPTION, "secondary");
        set_key(s, KEY_NEXT_CLIENT_SECRET, "next");
        office_open(&o);
        for (unsigned i = 0; i < n_before; i++) {
            if (i % 2 == 0)
                assert_int_equal(office_pop_fetches(&o), 1);
            else
                office_end_failure(&o, "alpha", i == 1 ? BLAMES_SUBSCRIPTION : BLAMES_SECRET);
        }
        s = office_edit(&o, "alpha");
        secret_done(&s->keys[KEY_SECONDARY_SUBSCRIPTION]);
        secret_done(&s->keys[KEY_NEXT_CLIENT_SECRET]);
        office_reload(&o);
        struct key_choice choice = office_entry(&o, "alpha")->profile.choice;
        assert_false(choice.is_next_secret || choice.is_secondary_subscription);
        assert_int_equal(office_pop_fetches(&o), 1);
        office_end_token(&o, "alpha");
        assert_int_equal(o.r.schedule.n_in_flight, 0);
    }
}

/* People hear of other keys with the token that was got with them, once. */
static void changed_keys_are_noted_with_the_token(void **state _unused_)
{
    _cleanup_(office_done) struct office o;
    enum note note;

    office_init(&o, 16);
    struct profile_settings *s = office_add(&o, "alpha");
    set_key(s, KEY_SUBSCRIPTION, "primary");
    set_key(s, KEY_SECONDARY_SUBSCRIPTION, "secondary");
    office_open(&o);
    (void) office_pop_fetches(&o);
    office_end_failure(&o, "alpha", BLAMES_SUBSCRIPTION);
    assert_null(registry_pop_note(&o.r, &note));
    (void) office_pop_fetches(&o);
    office_end_token(&o, "alpha");
    struct entry *alpha = registry_pop_note(&o.r, &note);
    assert_non_null(alpha);
    assert_int_equal(note, NOTE_FETCHED);
    assert_true(alpha->has_changed_keys);
    o.now += SEC(1800);
    registry_advance(&o.r, o.now);
    (void) office_pop_fetches(&o);
    office_end_token(&o, "alpha");
    assert_ptr_equal(registry_pop_note(&o.r, &note), alpha);
    assert_false(alpha->has_changed_keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_to_prove_is_proven),
        cmocka_unit_test(proofs_are_given_or_fail),
        cmocka_unit_test(a_second_reading_keeps_what_the_first_has_proven),
        cmocka_unit_test(who_waits_for_proofs_may_time_out_or_leave),
        cmocka_unit_test(a_later_reload_supersedes),
        cmocka_unit_test(a_proof_that_is_not_wanted_any_more_ends),
        cmocka_unit_test(an_idle_profile_is_not_asked_to_prove),
        cmocka_unit_test(stopping_answers_who_waits_for_proofs),
        cmocka_unit_test(a_proof_fails_with_the_last_request_of_its_attempt),
        cmocka_unit_test(a_fallback_queues_for_its_slot),
        cmocka_unit_test(a_fallback_is_called_off_with_its_slot),
        cmocka_unit_test(changed_keys_are_noted_with_the_token),
    };
    return cmocka_run_group_tests_name("registry_proofs", tests, NULL, NULL);
}
