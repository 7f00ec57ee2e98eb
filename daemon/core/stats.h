/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Counters for the metrics. They only ever grow, are kept as plain numbers where the event happens, and are
 * turned into text by wire/metrics.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/usec.h"
#include "core/token.h"

/* The HTTP statuses that the API answers; everything else would be a defect and is counted as the last. */
enum stats_code {
    STATS_200,
    STATS_304,
    STATS_400,
    STATS_403,
    STATS_404,
    STATS_405,
    STATS_409,
    STATS_413,
    STATS_429,
    STATS_500,
    STATS_503,
    N_STATS_CODES,
};

/* The slot of an HTTP status, and back. */
enum stats_code stats_code_of(unsigned http_status);
unsigned stats_code_status(enum stats_code code);

/* Upper bounds of the histogram of upstream request durations; one more bucket (+Inf) follows. */
#define N_STATS_BUCKETS 11
extern const usec_t stats_bucket_bounds[N_STATS_BUCKETS];

struct histogram {
    uint64_t counts[N_STATS_BUCKETS + 1]; /* not cumulative */
    usec_t sum_for;
};

void histogram_observe(struct histogram *h, usec_t value);

struct profile_stats {
    uint64_t api_requests[N_STATS_CODES];
    uint64_t upstream_ok;
    uint32_t upstream_failed[N_FAILURE_REASONS];
    uint64_t denied;
    uint64_t reports;         /* of rejected tokens, taken */
    uint64_t reports_refused; /* over the budget */
};
