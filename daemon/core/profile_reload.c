/* SPDX-License-Identifier: MIT */
#include "core/profile_inside.h"
#include "core/profile_keys.h"

/* What new settings mean for one profile. */

/* As if the profile began anew: a token of another client is none of this one. Numbers go on, so that no
 * generation is ever told twice. */
static void forget_identity(struct profile *p)
{
    token_done(&p->token);
    p->n_failures = 0;
    p->has_failed_ever = false;
    p->n_attempts = 0;
    p->is_expiry_noted = false;
    p->demand_debt_at = 0;
    p->reports = (struct reports){0};
}

/* Whether a profile whose keys changed has anything to ask for. */
static bool is_in_use(const struct step *s)
{
    const struct profile *p = s->p;

    return s->event->is_wanted || p->settings->is_preloaded ||
           (!p->is_idle && (token_is_set(&p->token) || p->n_failures > 0));
}

static void replan(struct step *s)
{
    struct profile *p = s->p;

    if (p->is_fetching)
        return;
    if (p->settings->is_preloaded && (p->is_idle || (!token_is_set(&p->token) && p->n_failures == 0)))
        step_begin_attempt(s);
    else if (!p->is_idle && p->n_failures == 0 && token_is_set(&p->token))
        p->refresh_at = policy_refresh_at(&p->settings->refresh, &p->token, s->now, s->event->random);
}

void step_take_settings(struct step *s)
{
    struct profile *p = s->p;
    bool had_use;

    profile_borrow_settings(p, s->event->settings);
    had_use = is_in_use(s);
    switch (s->event->change) {
    case CHANGE_NONE:
    case CHANGE_ACCESS:
        return;
    case CHANGE_POLICY:
        p->held_until_at = 0;
        replan(s);
        return;
    case CHANGE_IDENTITY:
        forget_identity(p);
        s->actions->note = NOTE_NONE; /* the token that ran out just now was another client's */
        p->is_idle = false;
        p->refresh_at = USEC_INFINITY;
        p->demand_at = USEC_INFINITY;
        keys_reset(p);
        break;
    case CHANGE_KEYS:
        keys_reset(p);
        break;
    }
    p->held_until_at = 0;
    /* Whatever the back-off says: what made the last attempts fail may just have been repaired. */
    if (had_use)
        step_begin_attempt(s);
}
