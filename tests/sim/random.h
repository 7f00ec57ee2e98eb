/* SPDX-License-Identifier: MIT */
#pragma once

/* Random numbers for a simulation: the same seed gives the same life, on every machine. */

#include <stdbool.h>
#include <stddef.h>

#include "base/usec.h"

struct random_source {
    uint64_t state;
};

/* splitmix64 */
static inline uint64_t random_next(struct random_source *r)
{
    uint64_t z = (r->state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* In [0, n). */
static inline uint64_t random_below(struct random_source *r, uint64_t n)
{
    return random_next(r) % n;
}

/* In [low, high]. */
static inline uint64_t random_between(struct random_source *r, uint64_t low, uint64_t high)
{
    return low + random_below(r, high - low + 1);
}

static inline bool random_chance(struct random_source *r, unsigned percent)
{
    return random_below(r, 100) < percent;
}

/* In [low, high], every order of magnitude equally likely: between a second and days there is no typical
 * outage. */
static inline uint64_t random_spread(struct random_source *r, uint64_t low, uint64_t high)
{
    unsigned n_doublings = 0;

    while ((low << (n_doublings + 1)) <= high)
        n_doublings++;
    uint64_t base = low << random_below(r, n_doublings + 1);
    return random_between(r, base, 2 * base - 1 < high ? 2 * base - 1 : high);
}

#define random_pick(r, array) ((array)[random_below((r), sizeof(array) / sizeof((array)[0]))])
