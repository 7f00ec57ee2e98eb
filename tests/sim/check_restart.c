/* SPDX-License-Identifier: MIT */
#include "check.h"

/* What goes on when the process ends and the next one begins: core/saved.h, worked out anew. */

struct check_end_of_life check_end_of_life(const struct sim_profile *p)
{
    return (struct check_end_of_life){
        .next_attempt_at = profile_next_attempt_at(&p->entry->profile),
        .demand_at = p->entry->profile.demand_at,
        .was_asked = p->model.was_asked,
        .was_sent = p->model.is_in_flight || (p->model.was_asked && p->model.keys.n_requests > 0),
        .was_forced = p->model.is_forced,
    };
}

/* What was planned stays planned; never behind the end of the token, where nothing has failed. */
static void check_plan(struct sim *s, struct sim_profile *p, const struct check_end_of_life *end)
{
    bool is_capped = p->model.n_failures == 0 && p->model.n_interrupted == 0 && check_left_for(s, p) > 0 &&
                     end->restored_at == check_expires_at(p) && end->restored_at < end->next_attempt_at;

    check(s, p, end->restored_at == end->next_attempt_at || is_capped,
          "the next attempt was planned in %.6f s, and is now in %.6f s",
          ((double) end->next_attempt_at - (double) s->now) / 1e6,
          ((double) end->restored_at - (double) s->now) / 1e6);
    p->model.carried_at = usec_min(p->model.carried_at, end->demand_at);
    if (p->model.n_failures > 0)
        sim_count(s, N_RESTARTS_IN_BACK_OFF);
}

/* An answer that nobody saw: the first is asked for again at once, and from then on the distance grows. */
static void check_interrupted(struct sim *s, struct sim_profile *p, const struct check_end_of_life *end)
{
    struct model *m = &p->model;
    struct failure lost = {.class = m->n_failures > 0 ? m->last_class : FAILURE_TRANSIENT};
    unsigned n_failures = m->n_failures;

    sim_count(s, N_INTERRUPTED);
    if (m->n_interrupted < 16)
        m->n_interrupted++;
    if (m->n_interrupted == 1 && n_failures == 0) {
        check(s, p, end->restored_at <= s->now, "a lost request is not repeated at once");
        return;
    }
    m->n_failures += m->n_interrupted;
    check_planned(s, p, check_retry_window(s, p, &lost), end->restored_at);
    m->n_failures = n_failures;
    m->held_until_at = end->restored_at;
    sim_count(s, N_HELD);
}

static void check_lost_attempt(struct sim *s, struct sim_profile *p, const struct check_end_of_life *end)
{
    struct model *m = &p->model;
    struct key_model *k = &m->keys;

    m->is_repeated = true;
    m->is_forced_again = end->was_forced;
    if (end->was_sent) {
        check_interrupted(s, p, end);
        return;
    }
    check(s, p, end->restored_at <= s->now, "a request that was not sent is not made at once");
    sim_count(s, N_QUEUED_AGAIN);
    /* It had begun as a probe, which costs the hour. */
    if (k->in_use.is_secondary_subscription && m->asked_at >= k->probe_at)
        k->probe_at = m->asked_at + USEC_PER_HOUR;
}

/* Uses alone are saved so often that it does not go idle much too soon. */
static void check_use(struct sim *s, struct sim_profile *p)
{
    usec_t used_at = p->entry->profile.used_at;
    usec_t most = usec_max(p->draft.idle_after_for / 8, USEC_PER_SEC);

    if (!p->draft.is_preloaded)
        check(s, p, used_at <= p->model.used_at && used_at + most >= p->model.used_at,
              "uses of the last %.3f s are forgotten", (double) (p->model.used_at - used_at) / 1e6);
    p->model.used_at = used_at;
}

/* It goes on; and where nothing was saved yet, behind those that are gone. */
static void check_generation(struct sim *s, struct sim_profile *p)
{
    uint64_t generation = p->entry->profile.generation;

    check(s, p, generation >= p->generation_max && generation >= p->model.generation,
          "it begins with a generation that was told before");
    if (!p->has_saved || p->model.generation == 0)
        p->model.generation = generation;
}

void check_restarted(struct sim *s, struct sim_profile *p, const struct check_end_of_life *end)
{
    struct model *m = &p->model;

    check_generation(s, p);
    m->was_asked = m->is_in_flight = m->is_forced = m->is_starting = false;
    m->has_said_expired = false;
    m->proof = PROOF_NONE;
    m->demand_at = USEC_INFINITY;
    if (m->has_token && m->is_token_of_old_keys) {
        sim_count(s, N_TOKENS_LEFT_BEHIND);
        m->has_token = m->is_token_of_old_keys = false;
    }
    if (check_left_for(s, p) > 0)
        sim_count(s, N_TOKENS_RESTORED);
    if (end->was_asked)
        check_lost_attempt(s, p, end);
    else
        check_plan(s, p, end);
    m->keys.n_requests = 0;
    check_use(s, p);
    check_expect_recovery(p);
    check_after(s, p, CALL_START, MIN_TTL_DEFAULT);
}
