/* SPDX-License-Identifier: MIT */
#include "check.h"

/* A phase lasts no longer than so many lifetimes or longest back-offs: else one phase of seconds eats the
 * whole run. */
#define PHASE_STEPS_MAX 1000

static const struct {
    unsigned weight; /* of a profile's phases */
    struct failure failure;
    bool has_answered;
} behaviours[N_BEHAVIOURS] = {
    [HEALTHY] = {.weight = 40,                       .has_answered = true                 },
    [SLOW] = {.weight = 8,                        .has_answered = true                 },
    [REFUSED] = {.weight = 6,                        .failure = {.reason = REASON_CONNECT}},
    [HANGS] = {.weight = 6,                        .failure = {.reason = REASON_TIMEOUT}},
    [ERRORS] = {.weight = 6,
                 .failure = {.reason = REASON_SERVER_ERROR, .http_status = 503},
                 .has_answered = true},
    [LIMITED] = {.weight = 6,
                 .failure = {.reason = REASON_RATE_LIMITED, .http_status = 429},
                 .has_answered = true},
    [KEYS_WRONG] = {.weight = 6,
                 .failure = {.class = FAILURE_PERMANENT,
                                .reason = REASON_INVALID_KEYS,
                                .http_status = 401},
                 .has_answered = true},
    [SUBSCRIPTION_WRONG] = {.weight = 4,
                 .failure = {.class = FAILURE_PERMANENT,
                                        .reason = REASON_SUBSCRIPTION_KEY,
                                        .http_status = 401},
                 .has_answered = true},
    [CERTIFICATE] = {.weight = 3,                        .failure = {.class = FAILURE_PERMANENT, .reason = REASON_CERTIFICATE}                               },
    [GARBAGE] = {.weight = 4,
                 .failure = {.reason = REASON_BAD_RESPONSE, .http_status = 200},
                 .has_answered = true},
    [FLAKY] = {.weight = 15,                                  .has_answered = true                             },
};

static enum behaviour draw_behaviour(struct sim *s)
{
    unsigned sum = 0;

    for (enum behaviour b = 0; b < N_BEHAVIOURS; b++)
        sum += behaviours[b].weight;
    uint64_t n = random_below(&s->random, sum);
    enum behaviour b = 0;
    for (; n >= behaviours[b].weight; b++)
        n -= behaviours[b].weight;
    return b;
}

/* Seconds to a month; short ones less often, for a second of them costs as much as a day of the others. */
static usec_t draw_lifetime(struct sim *s)
{
    static const usec_t usual[] = {10 * USEC_PER_MIN, 15 * USEC_PER_MIN, USEC_PER_HOUR,
                                   USEC_PER_HOUR,     USEC_PER_DAY,      30 * USEC_PER_DAY};
    static const usec_t odd[] = {1 * USEC_PER_SEC,  2 * USEC_PER_SEC,   3 * USEC_PER_SEC,  10 * USEC_PER_SEC,
                                 30 * USEC_PER_SEC, 299 * USEC_PER_SEC, 300 * USEC_PER_SEC};

    if (random_chance(&s->random, 70))
        return random_pick(&s->random, usual);
    if (random_chance(&s->random, 50))
        return random_pick(&s->random, odd);
    return random_spread(&s->random, 1, 30 * 86400) * USEC_PER_SEC;
}

bool upstream_is_healthy(const struct sim_profile *p)
{
    return p->origin->phase.behaviour == HEALTHY && p->phase.behaviour == HEALTHY && account_is_good(p);
}

static void profile_phase_begins(struct sim *s, struct sim_event *event)
{
    struct sim_profile *p = container_of(event, struct sim_profile, phase_event);
    struct phase *phase = &p->phase;

    *phase = (struct phase){
        .behaviour = draw_behaviour(s),
        .lifetime_for = draw_lifetime(s),
        .is_caching = random_chance(&s->random, 15),
    };
    /* A healthy issuer answers while its token is worth something. */
    usec_t latency_max = usec_min(p->draft.refresh.timeout_for / 2, phase->lifetime_for / 4);
    phase->latency_max_for =
        random_spread(&s->random, USEC_PER_MSEC, usec_max(latency_max, 2 * USEC_PER_MSEC));

    bool is_cheap = phase->behaviour == HEALTHY || phase->behaviour == SLOW;
    usec_t step = is_cheap ? phase->lifetime_for : p->draft.refresh.retry_max_for;
    if (phase->behaviour == FLAKY)
        step = usec_min(phase->lifetime_for, p->draft.refresh.retry_max_for);
    usec_t longest = usec_min(20 * USEC_PER_DAY, PHASE_STEPS_MAX * step);
    sim_at(s, &p->phase_event,
           s->now + random_spread(&s->random, USEC_PER_SEC, usec_max(longest, 2 * USEC_PER_SEC)));
    sim_trace(s, p, "phase: behaviour, life", phase->behaviour, phase->lifetime_for);
    s->counters.behaviours[phase->behaviour]++;
    check_expect_recovery(p);
}

static void origin_phase_begins(struct sim *s, struct sim_event *event)
{
    static const enum behaviour outages[] = {REFUSED, HANGS, HANGS, ERRORS};
    struct sim_origin *o = container_of(event, struct sim_origin, phase_event);
    bool was_healthy = o->phase.behaviour == HEALTHY;
    usec_t retry_max = USEC_PER_HOUR;

    for (size_t i = 0; i < s->n_profiles; i++)
        retry_max = usec_min(retry_max, s->profiles[i].draft.refresh.retry_max_for);
    o->phase.behaviour = was_healthy ? random_pick(&s->random, outages) : HEALTHY;
    usec_t longest =
        was_healthy ? usec_min(2 * USEC_PER_DAY, PHASE_STEPS_MAX * retry_max) : 20 * USEC_PER_DAY;
    sim_at(s, &o->phase_event, s->now + random_spread(&s->random, USEC_PER_SEC, longest));
    sim_trace(s, NULL, "origin: behaviour", o->phase.behaviour, (size_t) (o - s->origins));
    for (size_t i = 0; i < s->n_profiles; i++) {
        if (s->profiles[i].origin == o)
            check_expect_recovery(&s->profiles[i]);
    }
}

void upstream_init(struct sim *s)
{
    for (size_t i = 0; i < s->n_origins; i++) {
        s->origins[i].phase.behaviour = HEALTHY;
        s->origins[i].phase_event.happen = origin_phase_begins;
        sim_at(s, &s->origins[i].phase_event,
               s->now + random_spread(&s->random, USEC_PER_SEC, 5 * USEC_PER_DAY));
    }
    for (size_t i = 0; i < s->n_profiles; i++) {
        s->profiles[i].phase_event.happen = profile_phase_begins;
        profile_phase_begins(s, &s->profiles[i].phase_event);
    }
}

/* ---- one request ---- */

static void answer_with_failure(struct sim *s, struct exchange *x, enum behaviour behaviour)
{
    static const usec_t retry_afters[] = {
        0,
        1,
        USEC_PER_SEC,
        2 * USEC_PER_SEC,
        30 * USEC_PER_SEC,
        USEC_PER_HOUR,
        366 * USEC_PER_DAY,
        USEC_INFINITY - 1,
    };

    x->failure = behaviours[behaviour].failure;
    x->has_answered = behaviours[behaviour].has_answered;
    if (behaviour == LIMITED)
        x->failure.retry_after_for = random_pick(&s->random, retry_afters);
}

/* The gateway looks at the subscription key first, what is behind it at the secret. */
static bool answer_to_keys(const struct sim_profile *p, struct exchange *x)
{
    enum behaviour b = !account_takes_subscription(p, x->choice) ? SUBSCRIPTION_WRONG
                       : !account_takes_secret(p, x->choice)     ? KEYS_WRONG
                                                                 : HEALTHY;
    x->failure = behaviours[b].failure;
    x->has_answered = true;
    return b == HEALTHY;
}

static void fail_in_time_out(struct exchange *x, usec_t end_at)
{
    x->is_token = false;
    x->has_answered = false;
    x->end_at = end_at;
    x->failure = behaviours[HANGS].failure;
}

/* A token whose life, by the issuer's record, begins at `received_at` or began when it was first handed out.
 */
static void answer_with_token(struct sim *s, struct sim_profile *p, struct exchange *x, usec_t received_at)
{
    usec_t lifetime = p->phase.lifetime_for;

    if (random_chance(&s->random, 2))
        lifetime = random_spread(&s->random, 1, 3600) * USEC_PER_SEC;
    if (!p->phase.is_caching || p->issued_expiry_at <= received_at) {
        p->issued_id = ++s->last_token_id;
        p->issued_expiry_at = received_at + lifetime;
    }
    usec_t left = (p->issued_expiry_at - received_at) / USEC_PER_SEC * USEC_PER_SEC;
    if (left < TOKEN_LIFETIME_MIN) {
        answer_with_failure(s, x, GARBAGE);
        return;
    }
    x->is_token = true;
    x->has_answered = true;
    x->token_id = p->issued_id;
    x->lifetime_for = left;
    x->upstream_expiry_at = p->issued_expiry_at;
}

struct exchange upstream_exchange(struct sim *s, struct sim_profile *p)
{
    usec_t timeout = p->draft.refresh.timeout_for;
    enum behaviour b =
        p->origin->phase.behaviour != HEALTHY ? p->origin->phase.behaviour : p->phase.behaviour;
    usec_t latency_max = p->phase.latency_max_for;

    if (b == FLAKY)
        b = (enum behaviour) random_below(&s->random, FLAKY);
    if (b == SLOW)
        latency_max = timeout + timeout / 3;
    /* Connecting, the way there and the way back; often the way there takes nothing, which is the hardest
     * case. */
    usec_t latency = random_spread(&s->random, USEC_PER_MSEC, usec_max(latency_max, 2 * USEC_PER_MSEC));
    usec_t connect = random_chance(&s->random, 50) ? 0 : random_below(&s->random, latency / 3 + 1);
    usec_t out = random_chance(&s->random, 50) ? 0 : random_below(&s->random, latency / 2 + 1);

    struct exchange x = {
        .sent_at = s->now + connect,
        .end_at = s->now + latency,
        .identity = p->draft.identity,
        .choice = p->entry->profile.choice,
    };
    x.subscription_key =
        p->draft.keys[x.choice.is_secondary_subscription ? KEY_SECONDARY_SUBSCRIPTION : KEY_SUBSCRIPTION];
    if (b != HEALTHY && b != SLOW)
        answer_with_failure(s, &x, b);
    else if (answer_to_keys(p, &x))
        answer_with_token(s, p, &x, x.sent_at + out);
    if (b == HANGS || latency > timeout)
        fail_in_time_out(&x, s->now + timeout);
    return x;
}
