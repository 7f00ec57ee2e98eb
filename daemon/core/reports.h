/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The budget of reports that a token was rejected: leaky buckets, one for each user who reports and one for
 * all together (policy.h states the budget). A bucket is a theoretical arrival time: each report taken moves
 * it an interval on, and a burst is how far ahead of now it may lie.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/usec.h"

#define REPORTERS_MAX 4

struct reporter {
    uint32_t uid;
    usec_t debt_at; /* behind us: nothing is owed, the place is free */
};

struct reports {
    usec_t debt_at; /* of all */
    struct reporter reporters[REPORTERS_MAX];
    bool is_refusal_told; /* the log was told of one since the last that was taken: the owner's to set */
};

/* When a leaky bucket takes the next one; in the past: now. */
usec_t bucket_opens_at(usec_t debt_at, unsigned burst, usec_t interval_for);

/* Takes a report of this user out of the budget, or returns false and when there will be room for one. */
bool reports_take(struct reports *r, uint32_t uid, usec_t interval_for, usec_t now, usec_t *ret_allowed_at);
