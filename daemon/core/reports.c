/* SPDX-License-Identifier: MIT */
#include "core/reports.h"

#include <stddef.h>

#include "core/policy.h"

usec_t bucket_opens_at(usec_t debt_at, unsigned burst, usec_t interval_for)
{
    return usec_sub(debt_at, (burst - 1) * interval_for);
}

/* The user's own bucket, or else the one that owes least. */
static struct reporter *find_reporter(struct reports *r, uint32_t uid)
{
    struct reporter *least = &r->reporters[0];

    for (size_t i = 0; i < REPORTERS_MAX; i++) {
        struct reporter *one = &r->reporters[i];
        if (one->uid == uid && one->debt_at > 0)
            return one;
        if (one->debt_at < least->debt_at)
            least = one;
    }
    return least;
}

bool reports_take(struct reports *r, uint32_t uid, usec_t interval_for, usec_t now, usec_t *ret_allowed_at)
{
    struct reporter *one = find_reporter(r, uid);
    usec_t own_debt_at = one->uid == uid ? one->debt_at : 0;
    /* Twice as much for all, so that one user's reports leave room for those of the others. */
    usec_t interval_of_all = interval_for / 2;

    *ret_allowed_at = usec_max(bucket_opens_at(own_debt_at, REJECTION_BURST, interval_for),
                               bucket_opens_at(r->debt_at, REJECTION_BURST_ALL, interval_of_all));
    if (*ret_allowed_at > now)
        return false;
    /* Who is pushed out of its place, by more users than there are places, is held by the bucket of all. */
    *one = (struct reporter){.uid = uid, .debt_at = usec_add(usec_max(own_debt_at, now), interval_for)};
    r->debt_at = usec_add(usec_max(r->debt_at, now), interval_of_all);
    r->is_refusal_told = false;
    return true;
}
