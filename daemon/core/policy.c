/* SPDX-License-Identifier: MIT */
#include "core/policy.h"

/* Doublings after which any back-off has met its ceiling, even from a microsecond: keeps the shift defined.
 */
#define DOUBLINGS_MAX 40
/* A token of a day that is revoked three times must not be out of reach for an hour. */
#define REJECTION_INTERVAL_MAX (10 * USEC_PER_MIN)

/* A number in [low, high], drawn by `random`. The modulo's bias over 64 bits is far below a microsecond in an
 * hour. */
static usec_t pick_between(usec_t low, usec_t high, uint64_t random)
{
    return high <= low ? low : low + random % (high - low + 1);
}

usec_t policy_default_min_ttl_for(usec_t lifetime_for)
{
    return usec_min(30 * USEC_PER_SEC, lifetime_for / 10);
}

usec_t policy_spacing_for(const struct refresh_policy *policy, usec_t lifetime_for)
{
    return usec_min(policy->retry_min_for, lifetime_for / 4);
}

usec_t policy_demand_interval_for(const struct refresh_policy *policy, usec_t lifetime_for)
{
    return usec_max(policy->retry_min_for, lifetime_for / 20);
}

usec_t policy_rejection_interval_for(const struct refresh_policy *policy, usec_t lifetime_for)
{
    return usec_max(policy->retry_min_for, usec_min(lifetime_for / 20, REJECTION_INTERVAL_MAX));
}

usec_t policy_refresh_at(const struct refresh_policy *policy, const struct token *token, usec_t now,
                         uint64_t random)
{
    usec_t lifetime = token->lifetime_for;
    usec_t lead = usec_scale(lifetime, policy->at_percent, 100);
    usec_t jitter = pick_between(0, usec_scale(lifetime, policy->jitter_percent, 100), random);
    usec_t wanted_at = usec_add(token->sent_at, usec_sub(lead, jitter));
    usec_t latest_at = usec_sub(token->expires_at, policy_default_min_ttl_for(lifetime));
    usec_t earliest_at = usec_add(now, policy_spacing_for(policy, lifetime));

    return usec_max(earliest_at, usec_min(wanted_at, latest_at));
}

static usec_t transient_delay_for(const struct refresh_policy *policy, const struct failure *failure,
                                  unsigned n_failures, uint64_t random)
{
    if (failure->retry_after_for > 0)
        return usec_max(policy->retry_min_for, usec_min(failure->retry_after_for, RETRY_AFTER_MAX));

    unsigned doublings = n_failures < DOUBLINGS_MAX ? n_failures : DOUBLINGS_MAX;
    usec_t ceiling =
        usec_min(policy->retry_max_for, usec_scale(policy->retry_min_for, UINT64_C(1) << doublings, 1));
    return pick_between(policy->retry_min_for, ceiling, random);
}

static usec_t permanent_delay_for(const struct refresh_policy *policy, unsigned n_failures, uint64_t random)
{
    unsigned doublings = n_failures < DOUBLINGS_MAX / 2 ? 2 * n_failures : DOUBLINGS_MAX;
    usec_t ceiling = usec_min(PROBE_MAX, usec_scale(policy->retry_min_for, UINT64_C(1) << doublings, 1));
    return usec_max(policy->retry_min_for, pick_between(ceiling / 2, ceiling, random));
}

usec_t policy_retry_at(const struct refresh_policy *policy, const struct failure *failure,
                       unsigned n_failures, usec_t left_for, usec_t now, uint64_t random)
{
    usec_t delay = 0;

    switch (failure->class) {
    case FAILURE_TRANSIENT:
        delay = transient_delay_for(policy, failure, n_failures, random);
        break;
    case FAILURE_PERMANENT:
        delay = permanent_delay_for(policy, n_failures, random);
        break;
    }
    if (left_for > 0)
        delay = usec_max(policy->retry_min_for, usec_min(delay, left_for / 2));
    return usec_add(now, delay);
}
