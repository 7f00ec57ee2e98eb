/* SPDX-License-Identifier: MIT */
#include "core/stats.h"

static const unsigned statuses[N_STATS_CODES] = {
    [STATS_200] = 200, [STATS_304] = 304, [STATS_400] = 400, [STATS_403] = 403,
    [STATS_404] = 404, [STATS_405] = 405, [STATS_409] = 409, [STATS_413] = 413,
    [STATS_429] = 429, [STATS_500] = 500, [STATS_503] = 503,
};

const usec_t stats_bucket_bounds[N_STATS_BUCKETS] = {
    5 * USEC_PER_MSEC,    10 * USEC_PER_MSEC,  25 * USEC_PER_MSEC,  50 * USEC_PER_MSEC,
    100 * USEC_PER_MSEC,  250 * USEC_PER_MSEC, 500 * USEC_PER_MSEC, 1 * USEC_PER_SEC,
    2500 * USEC_PER_MSEC, 5 * USEC_PER_SEC,    15 * USEC_PER_SEC,
};

enum stats_code stats_code_of(unsigned http_status)
{
    for (unsigned i = 0; i < N_STATS_CODES; i++) {
        if (statuses[i] == http_status)
            return (enum stats_code) i;
    }
    return STATS_500;
}

unsigned stats_code_status(enum stats_code code)
{
    return statuses[code];
}

void histogram_observe(struct histogram *h, usec_t value)
{
    size_t i = 0;
    while (i < N_STATS_BUCKETS && value > stats_bucket_bounds[i])
        i++;
    h->counts[i]++;
    h->sum_for = usec_add(h->sum_for, value);
}
