/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * When to ask the upstream: pure arithmetic on moments. Randomness comes in as a number; equal input, equal
 * output.
 *
 * The budget. For one profile, and leaving refreshes that an admin forces and reloads out of account:
 *
 *   - at most one request is in flight; an attempt is one request, and up to two more where the upstream
 *     blames a key that has a second one beside it (profile_keys.c);
 *   - two attempts start at least policy_spacing_for() apart: RetryMin, or a quarter of a lifetime shorter
 * than four times RetryMin (a one-second token must be refreshed within its second);
 *   - after n failures in a row the next request starts no earlier than RetryMin and, where no token is left
 * to lose, in an exponentially growing window (policy_retry_at);
 *   - callers that ask for more life than the token has left (min_ttl) set off at most DEMAND_BURST requests
 * at once, and one each policy_demand_interval_for() in the long run;
 *   - callers that report tokens as rejected set off at most REJECTION_BURST requests at once for one user
 *     and REJECTION_BURST_ALL for all, and in the long run one each policy_rejection_interval_for() for a
 *     user and two for all. Who reports every token is told so, and can keep others neither from the token
 *     nor from a report;
 *   - while the secondary subscription key is in use, the primary one is tried once in KEY_PROBE_FOR.
 */

#include "core/settings.h"
#include "core/token.h"

/* Retry-After is obeyed up to here: a gateway that says "in a year" must not silence a shop for a year. */
#define RETRY_AFTER_MAX USEC_PER_HOUR
/* A permanent refusal is probed at most this far apart, so that repaired keys are noticed without a restart.
 */
#define PROBE_MAX (5 * USEC_PER_MIN)
/* Requests that callers with a long min_ttl may set off in a row before they are held to the interval. */
#define DEMAND_BURST 10
/* Reports of rejected tokens in a row: a revocation is one, and the new token may be refused for a moment. */
#define REJECTION_BURST     3
#define REJECTION_BURST_ALL 6
/* A subscription key that was regenerated stays dead until somebody changes it; one that the gateway blamed
 * by mistake comes back. */
#define KEY_PROBE_FOR USEC_PER_HOUR

/* What a caller gets who names no min_ttl: the smaller of 30 s and a tenth of the lifetime. */
usec_t policy_default_min_ttl_for(usec_t lifetime_for);

/* How far apart two requests of a profile start, whatever callers ask. */
usec_t policy_spacing_for(const struct refresh_policy *policy, usec_t lifetime_for);

/* In the long run, how far apart requests start that callers with a long min_ttl set off. */
usec_t policy_demand_interval_for(const struct refresh_policy *policy, usec_t lifetime_for);

/* In the long run, how far apart requests start that one user's reports of rejected tokens set off. */
usec_t policy_rejection_interval_for(const struct refresh_policy *policy, usec_t lifetime_for);

/*
 * When to refresh a token that arrived at `now`: at_percent of its life from the moment it was asked for,
 * minus a random part of jitter_percent, but not before the spacing has passed since `now`, nor later than
 * the moment when callers without a min_ttl stop getting it. Where these two cross, as for a short token that
 * came late, the spacing wins.
 */
usec_t policy_refresh_at(const struct refresh_policy *policy, const struct token *token, usec_t now,
                         uint64_t random);

/*
 * When to ask again after the `n_failures`-th failure in a row (counted from 1).
 *
 * Transient: exponential back-off with full jitter, [RetryMin, min(RetryMax, RetryMin * 2^n)]; a Retry-After
 * replaces it, with a floor of RetryMin and a ceiling of RETRY_AFTER_MAX. Permanent: growing four times
 * faster, up to PROBE_MAX, in the upper half of the window. While a token is left (`left_for` > 0) never
 * later than half of what is left of it, but never sooner than RetryMin.
 */
usec_t policy_retry_at(const struct refresh_policy *policy, const struct failure *failure,
                       unsigned n_failures, usec_t left_for, usec_t now, uint64_t random);
