/* SPDX-License-Identifier: MIT */
#include "fixtures.h"

#include "base/locked.h"

static void a_token_not_set_is_never_usable(void **state _unused_)
{
    struct token t = {0};

    assert_false(token_is_set(&t));
    assert_false(token_is_usable(&t, 0, 0));
    assert_false(token_is_usable(&t, T0, 0));
    assert_int_equal(token_left_for(&t, 0), 0);
    t.expires_at = T0 + 1;
    assert_false(token_is_usable(&t, T0, 0));
    token_done(&t);
    token_done(NULL);
}

static void usable_ends_with_its_last_microsecond(void **state _unused_)
{
    _cleanup_(token_done) struct token t = make_token("a", T0, SEC(3600));
    usec_t end = T0 + SEC(3600);

    assert_true(token_is_usable(&t, end - 1, 0));
    assert_false(token_is_usable(&t, end, 0));
    assert_false(token_is_usable(&t, end + 1, 0));
    assert_false(token_is_usable(&t, USEC_INFINITY - 1, 0));
    assert_int_equal(token_left_for(&t, end - 1), 1);
    assert_int_equal(token_left_for(&t, end), 0);
    assert_int_equal(token_left_for(&t, end + SEC(1)), 0);

    assert_true(token_is_usable(&t, end - SEC(30), SEC(30)));
    assert_false(token_is_usable(&t, end - SEC(30) + 1, SEC(30)));
    assert_true(token_is_usable(&t, end - 1, 1));
    assert_false(token_is_usable(&t, T0, SEC(3600) + 1));
    assert_false(token_is_usable(&t, T0, USEC_INFINITY));
}

static void moving_wipes_the_old_token(void **state _unused_)
{
    _cleanup_(token_done) struct token a = make_token("the old token, long enough to be seen", T0, SEC(60));
    _cleanup_(token_done) struct token b = make_token("the new token", T0 + 1, SEC(120));
    const char *old = a.value.data;
    size_t old_size = a.value.size + 1;

    token_move(&a, &b);
    for (size_t i = sizeof(void *); i < locked_usable_size(old_size); i++)
        assert_int_equal(old[i], 0);
    assert_string_equal(secret_peek(&a.value), "the new token");
    assert_int_equal(a.lifetime_for, SEC(120));
    assert_false(token_is_set(&b));
    assert_string_equal(b.fingerprint, "");
    token_move(&a, &a);
    assert_string_equal(secret_peek(&a.value), "the new token");
}

static void done_forgets_everything(void **state _unused_)
{
    struct token t = make_token("some token that is long enough to see", T0, SEC(60));
    const char *old = t.value.data;
    size_t size = t.value.size + 1;

    token_done(&t);
    for (size_t i = sizeof(void *); i < locked_usable_size(size); i++)
        assert_int_equal(old[i], 0);
    assert_int_equal(t.expires_at, 0);
    assert_string_equal(t.fingerprint, "");
    token_done(&t);
}

static void each_reason_has_a_word_of_its_own(void **state _unused_)
{
    for (enum failure_reason i = 0; i < N_FAILURE_REASONS; i++) {
        const char *name = failure_reason_name(i);
        assert_true(strlen(name) > 0);
        assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz-"), strlen(name));
        for (enum failure_reason k = 0; k < i; k++)
            assert_string_not_equal(name, failure_reason_name(k));
    }
    assert_string_equal(failure_reason_name(REASON_RATE_LIMITED), "rate-limited");
}

/* Each reason by itself: a new one must be thought about here. */
static void only_words_about_a_key_blame_one(void **state _unused_)
{
    for (enum failure_reason i = 0; i < N_FAILURE_REASONS; i++) {
        const struct failure f = {.reason = i};
        assert_int_equal(failure_blames_secret(&f), i == REASON_INVALID_KEYS);
        assert_int_equal(failure_blames_subscription_key(&f), i == REASON_SUBSCRIPTION_KEY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_not_set_is_never_usable),
        cmocka_unit_test(usable_ends_with_its_last_microsecond),
        cmocka_unit_test(moving_wipes_the_old_token),
        cmocka_unit_test(done_forgets_everything),
        cmocka_unit_test(each_reason_has_a_word_of_its_own),
        cmocka_unit_test(only_words_about_a_key_blame_one),
    };
    return cmocka_run_group_tests_name("token", tests, NULL, NULL);
}
