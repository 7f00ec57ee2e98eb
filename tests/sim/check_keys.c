/* SPDX-License-Identifier: MIT */
#include "check.h"

/* Where there are two keys of a kind, and which of them are used: profile_keys.h, worked out anew. */

static bool has_secondary(const struct sim_profile *p)
{
    return p->draft.keys[KEY_SECONDARY_SUBSCRIPTION] != 0;
}

static bool has_next_secret(const struct sim_profile *p)
{
    return p->draft.keys[KEY_NEXT_CLIENT_SECRET] != 0;
}

void check_keys_begin(struct sim_profile *p, bool has_changed)
{
    struct key_choice first = {.is_next_secret = has_changed && has_next_secret(p)};

    /* That they work is what people expect. */
    p->model.keys = (struct key_model){.in_use = first, .told = first};
}

/*
 * An attempt begins with what got the last token, whatever failed since. While that is the secondary key, it
 * begins with the primary one an hour after the attempt that did so the last time.
 */
static void check_first(struct sim *s, struct sim_profile *p, struct key_choice choice)
{
    struct key_model *k = &p->model.keys;

    k->is_probe = k->in_use.is_secondary_subscription && p->model.asked_at >= k->probe_at;
    check(s, p, choice.is_next_secret == k->in_use.is_next_secret, "asks with the other secret: next %d",
          choice.is_next_secret);
    check(s, p, choice.is_secondary_subscription == (k->in_use.is_secondary_subscription && !k->is_probe),
          "asks with the other subscription key: secondary %d, a probe is due in %.0f s",
          choice.is_secondary_subscription, ((double) k->probe_at - (double) p->model.asked_at) / 1e6);
    if (k->is_probe)
        k->probe_at = p->model.asked_at + USEC_PER_HOUR;
}

/* The next request of an attempt differs in the one key that was blamed. */
static void check_next(struct sim *s, const struct sim_profile *p, struct key_choice choice)
{
    const struct exchange *last = &p->exchange;
    bool is_secret = last->failure.reason == REASON_INVALID_KEYS;

    check(s, p, (choice.is_next_secret != last->choice.is_next_secret) == is_secret,
          "the other secret: %d, though %s", choice.is_next_secret, is_secret ? "blamed" : "not blamed");
    check(s, p, (choice.is_secondary_subscription != last->choice.is_secondary_subscription) == !is_secret,
          "the other subscription key: %d, though %s", choice.is_secondary_subscription,
          is_secret ? "not blamed" : "blamed");
}

void check_keys_of_request(struct sim *s, struct sim_profile *p)
{
    struct key_choice choice = p->entry->profile.choice;
    struct key_model *k = &p->model.keys;

    check(s, p, !choice.is_next_secret || has_next_secret(p), "asks with a secret that is not there");
    check(s, p, !choice.is_secondary_subscription || has_secondary(p), "asks with a key that is not there");
    if (k->n_requests == 0) {
        k->has_tried_secrets = k->has_tried_subscriptions = k->is_fallback = false;
        check_first(s, p, choice);
    } else {
        check_next(s, p, choice);
    }
    k->n_requests++;
    check(s, p, k->n_requests <= 3, "%u requests in one attempt", k->n_requests);
    if (k->n_requests == 3)
        sim_count(s, N_THREE_REQUESTS);
}

/* True exactly when a key of two is blamed whose kind this attempt has not changed yet. */
bool check_keys_go_on(struct sim *s, struct sim_profile *p)
{
    const struct exchange *x = &p->exchange;
    struct key_model *k = &p->model.keys;
    bool is_subscription = x->failure.reason == REASON_SUBSCRIPTION_KEY;
    bool is_secret = x->failure.reason == REASON_INVALID_KEYS;

    if (k->is_probe && k->n_requests == 1)
        sim_count(s, is_subscription ? N_PROBES_REFUSED : N_PROBES_FAILED);
    if ((is_subscription && has_secondary(p) && !k->has_tried_subscriptions) ||
        (is_secret && has_next_secret(p) && !k->has_tried_secrets)) {
        k->has_tried_subscriptions |= is_subscription;
        k->has_tried_secrets |= is_secret;
        k->is_fallback = true;
        return true;
    }
    if ((is_subscription && k->has_tried_subscriptions) || (is_secret && k->has_tried_secrets))
        sim_count(s, N_BOTH_KEYS_DEAD);
    return false;
}

void check_keys_worked(struct sim *s, struct sim_profile *p)
{
    struct key_model *k = &p->model.keys;
    struct key_choice choice = p->exchange.choice;

    if (k->is_fallback && k->has_tried_subscriptions && choice.is_secondary_subscription)
        sim_count(s, N_SECONDARY_SAVED);
    if (k->is_fallback && k->has_tried_secrets)
        sim_count(s, choice.is_next_secret ? N_NEXT_SECRET_SAVED : N_CURRENT_SECRET_SAVED);
    if (k->in_use.is_secondary_subscription && !choice.is_secondary_subscription)
        sim_count(s, N_PROBES_RESTORED);
    if (k->has_tried_subscriptions && choice.is_secondary_subscription)
        k->probe_at = s->now + USEC_PER_HOUR;
    k->in_use = choice;
}
