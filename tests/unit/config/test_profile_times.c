/* SPDX-License-Identifier: MIT */
/* When a profile asks its issuer: [Refresh], Preload= and IdleAfter=. */
#include <errno.h>

#include "parsed_profile.h"

static void test_times_stay_within_reason(void **state)
{
    (void) state;
    expect_profile_error(VIPPS "[Refresh]\nAt=0%\n", 7, "from 1% to 95%");
    expect_profile_error(VIPPS "[Refresh]\nAt=96%\n", 7, "from 1% to 95%");
    expect_profile_error(VIPPS "[Refresh]\nAt=50\n", 7, "a whole percentage");
    expect_profile_error(VIPPS "[Refresh]\nAt=20%\nJitter=20%\n", 8,
                         "Jitter= (20%) must be less than At= (20%)");
    expect_profile_error(VIPPS "[Refresh]\nAt=10%\n", 7, "Jitter= is at its default, set it too");
    expect_profile_error(VIPPS "[Refresh]\nRetryMin=99ms\n", 7, "from 100ms to 1h");
    expect_profile_error(VIPPS "[Refresh]\nRetryMax=61min\n", 7, "from 100ms to 1h");
    expect_profile_error(VIPPS "[Refresh]\nRetryMin=5s\nRetryMax=4s\n", 8, "RetryMax= (4s) must not be less");
    expect_profile_error(VIPPS "[Refresh]\nRetryMin=2min\n", 7, "RetryMax= is at its default");
    expect_profile_error(VIPPS "[Refresh]\nTimeout=0\n", 7, "from 1s to 10min");
    expect_profile_error(VIPPS "[Refresh]\nTimeout=infinity\n", 7, "from 1s to 10min");
    _cleanup_(parsed_done) struct parsed p =
        parse(VIPPS "[Refresh]\nAt=95%\nJitter=94%\nRetryMin=1h\nRetryMax=1h\n", 0);
    assert_int_equal(p.s.refresh.jitter_percent, 94);
}

static void test_preload_and_idle(void **state)
{
    (void) state;
    _cleanup_(parsed_done) struct parsed defaults = parse(VIPPS "[Access]\nAllow=any\n", 0);
    assert_true(defaults.s.is_preloaded);
    assert_true(defaults.s.idle_after_for == USEC_PER_HOUR);
    assert_int_equal(defaults.problems.n_items, 0);
    _cleanup_(parsed_done) struct parsed p =
        parse(VIPPS "[Access]\nAllow=any\n[Profile]\nIdleAfter=30days\nPreload=no\n", 0);
    assert_false(p.s.is_preloaded);
    assert_true(p.s.idle_after_for == 30 * USEC_PER_DAY);
    assert_int_equal(p.problems.n_items, 0);
    _cleanup_(parsed_done) struct parsed reset = parse(VIPPS "[Profile]\nPreload=no\nPreload=\n", 0);
    assert_true(reset.s.is_preloaded);
    expect_profile_error(VIPPS "[Profile]\nPreload=maybe\n", 7, "Preload= must be yes or no");
    expect_profile_error(VIPPS "[Profile]\nPreload=maybe\nIdleAfter=2h\n", 7, "Preload= must be yes or no");
    expect_profile_error(VIPPS "[Profile]\nPreload=no\nIdleAfter=59s\n", 8, "from 1min to 30days");
    expect_profile_error(VIPPS "[Profile]\nPreload=no\nIdleAfter=721h\n", 8, "from 1min to 30days");
    expect_profile_error(VIPPS "[Profile]\nPreload=no\nIdleAfter=infinity\n", 8, "from 1min to 30days");
}

/* It is kept in the file while Preload= is changed to and fro, but nobody shall wait for it to work. */
static void test_idle_without_a_use_is_a_warning(void **state)
{
    (void) state;
    _cleanup_(parsed_done) struct parsed p = parse(VIPPS "[Profile]\nPreload=yes\nIdleAfter=2h\n", 0);
    assert_true(has_warning(&p.problems, "shop.conf:8", "IdleAfter= does nothing with Preload=yes (line 7)"));
    assert_true(p.s.idle_after_for == 2 * USEC_PER_HOUR);
    _cleanup_(parsed_done) struct parsed q = parse(VIPPS "[Profile]\nIdleAfter=2h\n", 0);
    assert_true(has_warning(&q.problems, "shop.conf:7", "without Preload=no"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_times_stay_within_reason),
        cmocka_unit_test(test_preload_and_idle),
        cmocka_unit_test(test_idle_without_a_use_is_a_warning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
