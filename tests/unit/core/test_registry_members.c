/* SPDX-License-Identifier: MIT */
/* Reloads by which profiles, issuers and slots come and go. */
#include "office.h"

/* ---- gone ---- */

/* Removed in each moment of a fetch, with one who waits, a poller and a note. */
static void a_removed_profile_leaves_nothing_behind(void **state _unused_)
{
    enum { QUEUED, IN_FLIGHT, FRESH, FAILED, N_MOMENTS };

    for (unsigned moment = 0; moment < N_MOMENTS; moment++) {
        _cleanup_(office_done) struct office o;
        struct waiter waiter, poller;
        enum note note;
        office_fill(&o, moment == QUEUED ? 1 : 16);
        office_open(&o);
        unsigned n = office_pop_fetches(&o);
        struct entry *beta = office_entry(&o, "beta");
        assert_int_equal(n, moment == QUEUED ? 1 : 3);
        if (moment == FRESH)
            office_end_token(&o, "beta");
        if (moment == FAILED)
            office_end_failure(&o, "beta", RATE_LIMITED(5));
        waiter_init(&waiter);
        waiter.min_ttl_for = SEC(3600);
        o.now += SEC(2);
        assert_int_equal(registry_request(&o.r, beta, &waiter, SEC(60), o.now), ANSWER_NONE);
        waiter_init(&poller);
        poller.generation = beta->profile.generation;
        assert_int_equal(registry_poll(&o.r, beta, &poller, SEC(60), o.now), ANSWER_NONE);

        office_drop(&o, "beta");
        office_reload(&o);
        assert_null(registry_find(&o.r, "beta"));
        expect_answer(&o, &waiter, ANSWER_GONE);
        expect_answer(&o, &poller, ANSWER_GONE);
        assert_null(registry_pop_answer(&o.r));
        assert_null(registry_pop_note(&o.r, &note));
        assert_int_equal(o.r.n_waiters, 0);
        (void) office_pop_fetches(&o);
        o.now += USEC_PER_DAY;
        registry_advance(&o.r, o.now);
        office_check(&o);
    }
}

/* Generations of one name never come twice, whatever was in between. */
static void a_profile_that_comes_again_repeats_no_generation(void **state _unused_)
{
    _cleanup_(office_done) struct office o;
    struct waiter poller;
    uint64_t last = 0;

    office_fill(&o, 16);
    office_open_fresh(&o);
    for (unsigned i = 0; i < 5; i++) {
        struct entry *alpha = office_entry(&o, "alpha");
        assert_int_equal(alpha->profile.generation, last + 1);
        last = alpha->profile.generation;
        office_drop(&o, "alpha");
        office_reload(&o);
        (void) office_add(&o, "alpha");
        office_reload(&o);
        /* One who has the token of before is told of the new one, not that nothing changed. */
        waiter_init(&poller);
        poller.generation = last;
        assert_int_equal(registry_poll(&o.r, office_entry(&o, "alpha"), &poller, SEC(60), o.now),
                         ANSWER_NONE);
        assert_int_equal(office_pop_fetches(&o), 1);
        office_end_token(&o, "alpha");
        expect_answer(&o, &poller, ANSWER_TOKEN);
    }
}

/* A waiter whose answer is not fetched yet may hang up, though its profile is freed. */
static void who_was_told_may_still_hang_up(void **state _unused_)
{
    _cleanup_(office_done) struct office o;
    struct waiter waiters[3];

    office_fill(&o, 16);
    office_open(&o);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(office_ask(&o, "alpha", &waiters[i], SEC(60)), ANSWER_NONE);
    office_drop(&o, "alpha");
    office_reload(&o);
    registry_cancel(&o.r, &waiters[1]);
    expect_answer(&o, &waiters[0], ANSWER_GONE);
    expect_answer(&o, &waiters[2], ANSWER_GONE);
    assert_null(registry_pop_answer(&o.r));
}

/* ---- come, and repaired ---- */

static void an_added_profile_is_fetched(void **state _unused_)
{
    _cleanup_(office_done) struct office o;

    office_fill(&o, 16);
    office_open_fresh(&o);
    (void) office_add(&o, "aaa");
    (void) office_add(&o, "zzz");
    office_add(&o, "lazy")->is_preloaded = false;
    office_reload(&o);
    assert_int_equal(office_entry(&o, "aaa")->proof, PROOF_PENDING);
    assert_int_equal(office_entry(&o, "lazy")->proof, PROOF_NONE);
    assert_int_equal(o.r.n_entries, 6);
    assert_int_equal(office_pop_fetches(&o), 2);
    office_end_token(&o, "aaa");
    office_end_token(&o, "zzz");
    /* Not part of the start, which is long over. */
    assert_int_equal(o.r.n_starting, 0);
}

static void an_unusable_profile_is_repaired_or_removed(void **state _unused_)
{
    static const struct access_list nobody = {0};

    for (unsigned is_removed = 0; is_removed < 2; is_removed++) {
        _cleanup_(office_done) struct office o;
        struct waiter waiter, poller;
        office_fill(&o, 16);
        struct unusable_profile u = {.name = "zeta", .message = "no keys", .allow = &nobody};
        for (size_t i = 0; i < o.n_files; i++)
            assert_int_equal(registry_add(&o.r, o.files[i]), 0);
        assert_int_equal(registry_add_unusable(&o.r, &u, o.now), 0);
        registry_start(&o.r, o.now);
        assert_int_equal(office_pop_fetches(&o), 3);
        assert_int_equal(office_ask(&o, "zeta", &waiter, SEC(60)), ANSWER_FAILED);
        waiter_init(&poller);
        (void) registry_poll(&o.r, office_entry(&o, "zeta"), &poller, SEC(60), o.now);
        if (!is_removed)
            (void) office_add(&o, "zeta");
        office_reload(&o);
        if (is_removed) {
            assert_null(registry_find(&o.r, "zeta"));
            expect_answer(&o, &poller, ANSWER_GONE);
            continue;
        }
        assert_int_equal(office_entry(&o, "zeta")->proof, PROOF_PENDING);
        assert_int_equal(office_ask(&o, "zeta", &waiter, SEC(60)), ANSWER_NONE);
        assert_int_equal(office_pop_fetches(&o), 1);
        office_end_token(&o, "zeta");
        expect_answer(&o, &poller, ANSWER_TOKEN);
        expect_answer(&o, &waiter, ANSWER_TOKEN);
    }
}

/* ---- slots ---- */

static void end_some(struct office *o, unsigned n)
{
    for (size_t i = 0; i < o->n_files && n > 0; i++) {
        if (office_entry(o, o->files[i]->name)->is_in_flight) {
            office_end_token(o, o->files[i]->name);
            n--;
        }
    }
    assert_int_equal(n, 0);
}

/* More slots count at once for what is queued at an issuer that hangs; fewer, for what comes. */
static void another_number_of_slots_counts_at_once(void **state _unused_)
{
    _cleanup_(office_done) struct office o;

    office_init(&o, 1);
    for (unsigned i = 0; i < 6; i++)
        (void) office_add(&o, (char[]){(char) ('a' + i), '\0'});
    office_open(&o);
    assert_int_equal(office_pop_fetches(&o), 1);
    o.n_slots = 4;
    office_reload(&o);
    assert_int_equal(office_pop_fetches(&o), 3);
    o.n_slots = 2;
    office_reload(&o);
    end_some(&o, 2);
    assert_int_equal(office_pop_fetches(&o), 0);
    end_some(&o, 1);
    assert_int_equal(office_pop_fetches(&o), 1);
}

/* An issuer more or less changes how many slots each may hold. */
static void another_number_of_issuers_counts_at_once(void **state _unused_)
{
    _cleanup_(office_done) struct office o;

    office_init(&o, 4);
    for (unsigned i = 0; i < 5; i++)
        (void) office_add(&o, (char[]){(char) ('a' + i), '\0'});
    set_text(&office_add(&o, "other")->token_url, "https://two.example/token");
    office_open(&o);
    assert_int_equal(office_pop_fetches(&o), 3);
    office_end_token(&o, "other");
    assert_int_equal(office_pop_fetches(&o), 0);
    office_drop(&o, "other");
    office_reload(&o);
    assert_int_equal(office_pop_fetches(&o), 2);
}

/* That we called a fetch off says nothing good of an issuer that hangs. */
static void a_call_off_does_not_clear_a_suspicion(void **state _unused_)
{
    _cleanup_(office_done) struct office o;
    struct failure timeout = {.class = FAILURE_TRANSIENT, .reason = REASON_TIMEOUT, .message = "timed out"};

    office_fill(&o, 16);
    office_open(&o);
    (void) office_pop_fetches(&o);
    struct entry *alpha = office_entry(&o, "alpha");
    registry_end_fetch(&o.r, alpha, NULL, &timeout, false, o.now);
    assert_true(alpha->job.origin->is_suspect);
    set_key(office_edit(&o, "beta"), KEY_CLIENT_SECRET, "new");
    office_reload(&o);
    assert_true(alpha->job.origin->is_suspect);
    set_key(office_edit(&o, "gamma"), KEY_CLIENT_SECRET, "new");
    office_reload(&o);
    assert_false(office_entry(&o, "gamma")->job.origin->is_suspect);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_removed_profile_leaves_nothing_behind),
        cmocka_unit_test(a_profile_that_comes_again_repeats_no_generation),
        cmocka_unit_test(who_was_told_may_still_hang_up),
        cmocka_unit_test(an_added_profile_is_fetched),
        cmocka_unit_test(an_unusable_profile_is_repaired_or_removed),
        cmocka_unit_test(another_number_of_slots_counts_at_once),
        cmocka_unit_test(another_number_of_issuers_counts_at_once),
        cmocka_unit_test(a_call_off_does_not_clear_a_suspicion),
    };
    return cmocka_run_group_tests_name("registry_members", tests, NULL, NULL);
}
