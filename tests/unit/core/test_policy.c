/* SPDX-License-Identifier: MIT */
#include "fixtures.h"

#include "core/policy.h"

/* Numbers that are spread over all 64 bits. */
static uint64_t scatter(uint64_t n)
{
    n = (n + 1) * UINT64_C(0x9e3779b97f4a7c15);
    return n ^ (n >> 29);
}

static const usec_t lifetimes[] = {
    1 * USEC_PER_SEC,   2 * USEC_PER_SEC, 4 * USEC_PER_SEC, 10 * USEC_PER_SEC, 299 * USEC_PER_SEC,
    300 * USEC_PER_SEC, USEC_PER_HOUR,    USEC_PER_DAY,     30 * USEC_PER_DAY, 400 * USEC_PER_DAY};

static struct token life(usec_t sent_at, usec_t lifetime_for)
{
    return (struct token){
        .sent_at = sent_at, .lifetime_for = lifetime_for, .expires_at = sent_at + lifetime_for};
}

/* ---- how long a token must live ---- */

static void default_min_ttl_is_30s_or_a_tenth(void **state _unused_)
{
    assert_int_equal(policy_default_min_ttl_for(0), 0);
    assert_int_equal(policy_default_min_ttl_for(SEC(1)), SEC(0.1));
    assert_int_equal(policy_default_min_ttl_for(SEC(60)), SEC(6));
    assert_int_equal(policy_default_min_ttl_for(SEC(300)), SEC(30));
    assert_int_equal(policy_default_min_ttl_for(SEC(301)), SEC(30));
    assert_int_equal(policy_default_min_ttl_for(400 * USEC_PER_DAY), SEC(30));
}

static void spacing_is_retry_min_or_a_quarter(void **state _unused_)
{
    struct refresh_policy policy = EXACT_POLICY;

    assert_int_equal(policy_spacing_for(&policy, SEC(1)), SEC(0.25));
    assert_int_equal(policy_spacing_for(&policy, SEC(2)), SEC(0.5));
    assert_int_equal(policy_spacing_for(&policy, SEC(4)), SEC(1));
    assert_int_equal(policy_spacing_for(&policy, 30 * USEC_PER_DAY), SEC(1));
    policy.retry_min_for = SEC(10);
    assert_int_equal(policy_spacing_for(&policy, SEC(39)), SEC(9.75));
    assert_int_equal(policy_spacing_for(&policy, SEC(41)), SEC(10));
}

static void demand_is_held_to_a_twentieth_of_the_life(void **state _unused_)
{
    struct refresh_policy policy = EXACT_POLICY;

    assert_int_equal(policy_demand_interval_for(&policy, SEC(1)), SEC(1));
    assert_int_equal(policy_demand_interval_for(&policy, SEC(20)), SEC(1));
    assert_int_equal(policy_demand_interval_for(&policy, SEC(3600)), SEC(180));
    policy.retry_min_for = SEC(300);
    assert_int_equal(policy_demand_interval_for(&policy, SEC(3600)), SEC(300));
}

/* ---- when to refresh ---- */

static void refreshes_at_half_of_the_life_from_sending(void **state _unused_)
{
    struct refresh_policy policy = EXACT_POLICY;
    struct token t = life(T0, SEC(3600));

    assert_int_equal(policy_refresh_at(&policy, &t, T0, 1), T0 + SEC(1800));
    /* However late the answer came. */
    assert_int_equal(policy_refresh_at(&policy, &t, T0 + SEC(14), 1), T0 + SEC(1800));
}

static void jitter_is_subtracted_within_its_bounds(void **state _unused_)
{
    struct refresh_policy policy = EXACT_POLICY;
    struct token t = life(T0, SEC(3600));
    usec_t first = USEC_INFINITY, last = 0;

    policy.jitter_percent = 10;
    for (uint64_t i = 0; i < 100000; i++) {
        usec_t at = policy_refresh_at(&policy, &t, T0, scatter(i));
        assert_true(at >= T0 + SEC(1440) && at <= T0 + SEC(1800));
        first = usec_min(first, at);
        last = usec_max(last, at);
    }
    assert_true(first < T0 + SEC(1441));
    assert_true(last > T0 + SEC(1799));
    assert_int_equal(policy_refresh_at(&policy, &t, T0, 0), T0 + SEC(1800));
    assert_int_equal(policy_refresh_at(&policy, &t, T0, SEC(360)), T0 + SEC(1440));
}

/* Really spread: of ten thousand draws no tenth of the window gets less than half of its share or twice of
 * it. */
static void assert_spread(const usec_t *moments, size_t n, usec_t low, usec_t high)
{
    size_t tenths[10] = {0};

    for (size_t i = 0; i < n; i++) {
        assert_true(moments[i] >= low && moments[i] <= high);
        tenths[(moments[i] - low) * 10 / (high - low + 1)]++;
    }
    for (size_t i = 0; i < 10; i++)
        assert_true(tenths[i] > n / 20 && tenths[i] < n / 5);
}

#define N_DRAWS 10000

static void jitter_and_back_off_are_spread_evenly(void **state _unused_)
{
    static usec_t moments[N_DRAWS];
    struct refresh_policy policy = EXACT_POLICY;

    policy.jitter_percent = 10;
    for (size_t k = 0; k < ARRAY_SIZE(lifetimes); k++) {
        struct token t = life(T0, lifetimes[k]);
        for (size_t i = 0; i < N_DRAWS; i++)
            moments[i] = policy_refresh_at(&policy, &t, T0, scatter(i));
        assert_spread(moments, N_DRAWS, T0 + lifetimes[k] / 10 * 4, T0 + lifetimes[k] / 2);
    }
    for (size_t i = 0; i < N_DRAWS; i++)
        moments[i] = policy_retry_at(&policy, &UNAVAILABLE, 10, 0, T0, scatter(i));
    assert_spread(moments, N_DRAWS, T0 + SEC(1), T0 + SEC(60));
    for (size_t i = 0; i < N_DRAWS; i++)
        moments[i] = policy_retry_at(&policy, &WRONG_KEYS, 10, 0, T0, scatter(i));
    assert_spread(moments, N_DRAWS, T0 + SEC(150), T0 + SEC(300));
}

/* The lead is never zero: a prompt token is refreshed while callers still get it, whatever its life. */
static void a_prompt_token_is_refreshed_while_it_is_good(void **state _unused_)
{
    for (unsigned at = 1; at <= 100; at++) {
        for (size_t k = 0; k < ARRAY_SIZE(lifetimes); k++) {
            struct refresh_policy policy = EXACT_POLICY;
            struct token t = life(T0, lifetimes[k]);
            policy.at_percent = at;
            policy.jitter_percent = at;
            for (uint64_t i = 0; i < 20; i++) {
                usec_t when = policy_refresh_at(&policy, &t, T0 + 1000, scatter(i));
                assert_true(when >= T0 + 1000 + policy_spacing_for(&policy, lifetimes[k]));
                assert_true(when <= t.expires_at - policy_default_min_ttl_for(lifetimes[k]));
            }
        }
    }
}

/* Where a token comes so late that both bounds cannot hold, the upstream is spared. */
static void a_late_token_is_refreshed_after_the_spacing(void **state _unused_)
{
    struct refresh_policy policy = EXACT_POLICY;
    struct token t = life(T0, SEC(60));

    assert_int_equal(policy_refresh_at(&policy, &t, T0 + SEC(40), 5), T0 + SEC(41));
    assert_int_equal(policy_refresh_at(&policy, &t, T0 + SEC(54), 5), T0 + SEC(55));
    t = life(T0, SEC(1));
    assert_int_equal(policy_refresh_at(&policy, &t, T0 + SEC(0.8), 5), T0 + SEC(1.05));
}

/* ---- when to try again ---- */

static void the_window_doubles_up_to_its_ceiling(void **state _unused_)
{
    struct refresh_policy policy = EXACT_POLICY;
    static const unsigned ceilings[] = {2, 4, 8, 16, 32, 60, 60, 60};

    for (unsigned n = 1; n <= ARRAY_SIZE(ceilings); n++) {
        usec_t width = SEC(ceilings[n - 1]) - SEC(1);
        assert_int_equal(policy_retry_at(&policy, &UNAVAILABLE, n, 0, T0, 0), T0 + SEC(1));
        assert_int_equal(policy_retry_at(&policy, &UNAVAILABLE, n, 0, T0, width), T0 + SEC(ceilings[n - 1]));
        assert_int_equal(policy_retry_at(&policy, &UNAVAILABLE, n, 0, T0, width + 1), T0 + SEC(1));
    }
}

static void a_permanent_refusal_is_probed_slower(void **state _unused_)
{
    struct refresh_policy policy = EXACT_POLICY;
    static const unsigned ceilings[] = {4, 16, 64, 256, 300, 300};

    for (unsigned n = 1; n <= ARRAY_SIZE(ceilings); n++) {
        usec_t high = SEC(ceilings[n - 1]), low = high / 2;
        assert_int_equal(policy_retry_at(&policy, &WRONG_KEYS, n, 0, T0, 0), T0 + low);
        assert_int_equal(policy_retry_at(&policy, &WRONG_KEYS, n, 0, T0, high - low), T0 + high);
    }
    assert_int_equal(PROBE_MAX, SEC(300));
    policy.retry_min_for = 2 * PROBE_MAX;
    policy.retry_max_for = 3 * PROBE_MAX;
    assert_int_equal(policy_retry_at(&policy, &WRONG_KEYS, 9, 0, T0, 5), T0 + 2 * PROBE_MAX);
}

static void every_failure_in_a_row_stays_in_its_window(void **state _unused_)
{
    static const usec_t minima[] = {1, USEC_PER_MSEC, USEC_PER_SEC, USEC_PER_HOUR};

    for (size_t k = 0; k < ARRAY_SIZE(minima); k++) {
        struct refresh_policy policy = EXACT_POLICY;
        policy.retry_min_for = minima[k];
        policy.retry_max_for = usec_max(minima[k], SEC(60));
        for (unsigned n = 1; n <= 1000000; n += n < 100 ? 1 : 997) {
            usec_t window = n < 63
                                ? usec_min(policy.retry_max_for, usec_scale(minima[k], UINT64_C(1) << n, 1))
                                : policy.retry_max_for;
            usec_t at = policy_retry_at(&policy, &UNAVAILABLE, n, 0, T0, scatter(n));
            assert_true(at >= T0 + minima[k] && at <= T0 + window);
            assert_int_equal(policy_retry_at(&policy, &UNAVAILABLE, n, 0, T0, window - minima[k]),
                             T0 + window);
            at = policy_retry_at(&policy, &WRONG_KEYS, n, 0, T0, scatter(n));
            assert_true(at >= T0 + minima[k] && at <= T0 + usec_max(minima[k], PROBE_MAX));
            assert_true(n < 40 || at >= T0 + PROBE_MAX / 2);
        }
        assert_true(policy_retry_at(&policy, &UNAVAILABLE, UINT32_MAX, 0, T0, 7) >= T0 + minima[k]);
    }
}

static void retry_after_has_a_floor_and_a_ceiling(void **state _unused_)
{
    struct refresh_policy policy = EXACT_POLICY;
    struct failure f = RATE_LIMITED(0);

    assert_int_equal(RETRY_AFTER_MAX, SEC(3600));
    /* Absent: the back-off's. */
    assert_int_equal(policy_retry_at(&policy, &f, 3, 0, T0, SEC(7)), T0 + SEC(8));
    f.retry_after_for = 1;
    assert_int_equal(policy_retry_at(&policy, &f, 3, 0, T0, SEC(7)), T0 + SEC(1));
    f.retry_after_for = SEC(30);
    assert_int_equal(policy_retry_at(&policy, &f, 1, 0, T0, 3), T0 + SEC(30));
    assert_int_equal(policy_retry_at(&policy, &f, 1000, 0, T0, 3), T0 + SEC(30));
    /* It may be over RetryMax, for the upstream asks for it. */
    f.retry_after_for = SEC(3600);
    assert_int_equal(policy_retry_at(&policy, &f, 1, 0, T0, 3), T0 + SEC(3600));
    f.retry_after_for = SEC(3601);
    assert_int_equal(policy_retry_at(&policy, &f, 1, 0, T0, 3), T0 + SEC(3600));
    f.retry_after_for = USEC_INFINITY;
    assert_int_equal(policy_retry_at(&policy, &f, 1, 0, T0, 3), T0 + SEC(3600));
}

static void never_later_than_half_of_what_is_left(void **state _unused_)
{
    struct refresh_policy policy = EXACT_POLICY;
    struct failure f = RATE_LIMITED(3600);

    assert_int_equal(policy_retry_at(&policy, &f, 1, SEC(600), T0, 3), T0 + SEC(300));
    assert_int_equal(policy_retry_at(&policy, &f, 1, SEC(4), T0, 3), T0 + SEC(2));
    assert_int_equal(policy_retry_at(&policy, &f, 1, SEC(3), T0, 3), T0 + SEC(1.5));
    /* But never sooner than RetryMin. */
    assert_int_equal(policy_retry_at(&policy, &f, 1, SEC(1), T0, 3), T0 + SEC(1));
    assert_int_equal(policy_retry_at(&policy, &f, 1, 1, T0, 3), T0 + SEC(1));
    /* A sooner retry stays as it is. */
    assert_int_equal(policy_retry_at(&policy, &f, 1, SEC(100000), T0, 3), T0 + SEC(3600));
    assert_int_equal(policy_retry_at(&policy, &WRONG_KEYS, 9, SEC(40), T0, 3), T0 + SEC(20));
    for (uint64_t i = 0; i < 1000; i++) {
        usec_t at = policy_retry_at(&policy, &UNAVAILABLE, 9, SEC(40), T0, scatter(i));
        assert_true(at >= T0 + SEC(1) && at <= T0 + SEC(20));
    }
}

static void the_end_of_time_does_not_wrap(void **state _unused_)
{
    struct refresh_policy policy = EXACT_POLICY;
    struct token t = life(USEC_INFINITY - SEC(10), SEC(5));

    assert_true(policy_retry_at(&policy, &UNAVAILABLE, 1, 0, USEC_INFINITY - 10, 0) == USEC_INFINITY);
    assert_true(policy_refresh_at(&policy, &t, USEC_INFINITY - 10, 0) >= USEC_INFINITY - SEC(10));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(default_min_ttl_is_30s_or_a_tenth),
        cmocka_unit_test(spacing_is_retry_min_or_a_quarter),
        cmocka_unit_test(demand_is_held_to_a_twentieth_of_the_life),
        cmocka_unit_test(refreshes_at_half_of_the_life_from_sending),
        cmocka_unit_test(jitter_is_subtracted_within_its_bounds),
        cmocka_unit_test(jitter_and_back_off_are_spread_evenly),
        cmocka_unit_test(a_prompt_token_is_refreshed_while_it_is_good),
        cmocka_unit_test(a_late_token_is_refreshed_after_the_spacing),
        cmocka_unit_test(the_window_doubles_up_to_its_ceiling),
        cmocka_unit_test(a_permanent_refusal_is_probed_slower),
        cmocka_unit_test(every_failure_in_a_row_stays_in_its_window),
        cmocka_unit_test(retry_after_has_a_floor_and_a_ceiling),
        cmocka_unit_test(never_later_than_half_of_what_is_left),
        cmocka_unit_test(the_end_of_time_does_not_wrap),
    };
    return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}
