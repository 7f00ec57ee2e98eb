/* SPDX-License-Identifier: MIT */
#include "check.h"

usec_t check_default_min_ttl_for(usec_t lifetime_for)
{
    return lifetime_for > 300 * USEC_PER_SEC ? 30 * USEC_PER_SEC : lifetime_for / 10;
}

usec_t check_spacing_for(const struct sim_profile *p)
{
    usec_t quarter = p->model.token.lifetime_for / 4, retry_min = p->draft.refresh.retry_min_for;
    return quarter < retry_min ? quarter : retry_min;
}

usec_t check_expires_at(const struct sim_profile *p)
{
    return p->model.token.sent_at + p->model.token.lifetime_for;
}

usec_t check_left_for(const struct sim *s, const struct sim_profile *p)
{
    return p->model.has_token && check_expires_at(p) > s->now ? check_expires_at(p) - s->now : 0;
}

bool check_is_usable(const struct sim *s, const struct sim_profile *p, usec_t min_ttl_for)
{
    usec_t left = check_left_for(s, p);

    if (min_ttl_for == MIN_TTL_DEFAULT)
        min_ttl_for = check_default_min_ttl_for(p->model.token.lifetime_for);
    return left > 0 && left >= min_ttl_for;
}

usec_t check_needed_at(const struct sim *s, const struct sim_profile *p)
{
    if (!check_is_usable(s, p, MIN_TTL_DEFAULT))
        return s->now;
    return check_expires_at(p) - check_default_min_ttl_for(p->model.token.lifetime_for);
}

/* RetryMin, doubled `n` times, up to `most`. */
static usec_t grown(usec_t retry_min, unsigned n, usec_t most)
{
    usec_t window = retry_min;

    for (unsigned i = 0; i < n && window < most; i++)
        window *= 2;
    return window < most ? window : most;
}

static usec_t bounded(usec_t low, usec_t value, usec_t high)
{
    value = value < high ? value : high;
    return value > low ? value : low;
}

struct check_window check_retry_window(const struct sim *s, const struct sim_profile *p,
                                       const struct failure *f)
{
    const struct refresh_policy *r = &p->draft.refresh;
    struct check_window w = {r->retry_min_for, 0};
    unsigned n = p->model.n_failures;

    if (f->class == FAILURE_PERMANENT) {
        usec_t top = grown(r->retry_min_for, 2 * n, 5 * USEC_PER_MIN);
        w.from = bounded(r->retry_min_for, top / 2, USEC_PER_HOUR);
        w.to = bounded(r->retry_min_for, top, USEC_PER_HOUR);
    } else if (f->retry_after_for > 0) {
        w.from = w.to = bounded(r->retry_min_for, f->retry_after_for, USEC_PER_HOUR);
    } else {
        w.to = grown(r->retry_min_for, n, r->retry_max_for);
    }
    if (check_is_usable(s, p, MIN_TTL_DEFAULT)) {
        usec_t half = (check_left_for(s, p) - check_default_min_ttl_for(p->model.token.lifetime_for)) / 2;
        if (half > 0) {
            w.from = bounded(r->retry_min_for, w.from, half);
            w.to = bounded(r->retry_min_for, w.to, half);
        }
    }
    return (struct check_window){s->now + w.from, s->now + w.to};
}

struct check_window check_refresh_window(const struct sim_profile *p, usec_t planned_at)
{
    const struct refresh_policy *r = &p->draft.refresh;
    usec_t life = p->model.token.lifetime_for, sent_at = p->model.token.sent_at;
    usec_t first = planned_at + check_spacing_for(p);
    usec_t last = check_expires_at(p) - check_default_min_ttl_for(life);

    return (struct check_window){
        bounded(first, sent_at + life * (r->at_percent - r->jitter_percent) / 100, last),
        bounded(first, sent_at + life * r->at_percent / 100, last),
    };
}

void check_planned(struct sim *s, const struct sim_profile *p, struct check_window w, usec_t planned_at)
{
    check(s, p, planned_at >= w.from, "the next attempt, after %u failures, is planned %.6f s too early",
          p->model.n_failures, (double) (w.from - planned_at) / 1e6);
    check(s, p, planned_at <= w.to, "the next attempt, after %u failures, is planned %.6f s too late",
          p->model.n_failures, (double) (planned_at - w.to) / 1e6);
}
