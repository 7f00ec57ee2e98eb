/* SPDX-License-Identifier: MIT */
#include "fixtures.h"

#include "core/stats.h"

static void codes_go_there_and_back(void **state _unused_)
{
    for (enum stats_code i = 0; i < N_STATS_CODES; i++) {
        assert_true(stats_code_status(i) >= 200);
        assert_int_equal(stats_code_of(stats_code_status(i)), i);
    }
    assert_int_equal(stats_code_of(200), STATS_200);
    assert_int_equal(stats_code_of(304), STATS_304);
    assert_int_equal(stats_code_of(429), STATS_429);
    assert_int_equal(stats_code_of(418), STATS_500);
    assert_int_equal(stats_code_of(0), STATS_500);
}

static void bounds_grow(void **state _unused_)
{
    for (size_t i = 1; i < N_STATS_BUCKETS; i++)
        assert_true(stats_bucket_bounds[i] > stats_bucket_bounds[i - 1]);
}

/* Prometheus: a bucket holds what is at most its bound. */
static void a_bound_belongs_to_its_bucket(void **state _unused_)
{
    for (size_t i = 0; i < N_STATS_BUCKETS; i++) {
        struct histogram h = {0};
        histogram_observe(&h, stats_bucket_bounds[i]);
        assert_int_equal(h.counts[i], 1);
        histogram_observe(&h, stats_bucket_bounds[i] + 1);
        assert_int_equal(h.counts[i], 1);
        assert_int_equal(h.counts[i + 1], 1);
        assert_int_equal(h.sum_for, 2 * stats_bucket_bounds[i] + 1);
    }
}

static void extremes_are_counted(void **state _unused_)
{
    struct histogram h = {0};

    histogram_observe(&h, 0);
    assert_int_equal(h.counts[0], 1);
    histogram_observe(&h, USEC_INFINITY);
    histogram_observe(&h, USEC_INFINITY);
    assert_int_equal(h.counts[N_STATS_BUCKETS], 2);
    assert_true(h.sum_for == USEC_INFINITY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_go_there_and_back),
        cmocka_unit_test(bounds_grow),
        cmocka_unit_test(a_bound_belongs_to_its_bucket),
        cmocka_unit_test(extremes_are_counted),
    };
    return cmocka_run_group_tests_name("stats", tests, NULL, NULL);
}
