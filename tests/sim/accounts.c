/* SPDX-License-Identifier: MIT */
#include "check.h"

/* What somebody does at the issuer's page, or the gateway by mistake. */
enum deed {
    REGENERATE_PRIMARY,
    REGENERATE_SECONDARY,
    ANNOUNCE_SECRET,
    ACTIVATE_SECRET,
    REPLACE_SECRET, /* the old one is dead at once */
    DROP_OLD_SECRET,
    RESTORE, /* what is written is taken again */
    N_DEEDS,
};

bool account_takes_secret(const struct sim_profile *p, struct key_choice choice)
{
    uint64_t key = p->draft.keys[choice.is_next_secret ? KEY_NEXT_CLIENT_SECRET : KEY_CLIENT_SECRET];
    return key != 0 && (key == p->account.secrets[0] || key == p->account.secrets[1]);
}

bool account_takes_subscription(const struct sim_profile *p, struct key_choice choice)
{
    uint64_t key =
        p->draft.keys[choice.is_secondary_subscription ? KEY_SECONDARY_SUBSCRIPTION : KEY_SUBSCRIPTION];
    return !p->has_subscriptions ||
           (key != 0 && (key == p->account.subscriptions[0] || key == p->account.subscriptions[1]));
}

bool account_is_good(const struct sim_profile *p)
{
    const struct key_choice first = {0}, second = {true, true};

    return (account_takes_secret(p, first) || account_takes_secret(p, second)) &&
           (account_takes_subscription(p, first) || account_takes_subscription(p, second));
}

static uint64_t new_key(struct sim *s)
{
    return ++s->last_key;
}

static void restore(struct sim *s, struct sim_profile *p)
{
    struct account *a = &p->account;
    const uint64_t *keys = p->draft.keys;

    *a = (struct account){
        .secrets = {keys[KEY_CLIENT_SECRET]          },
        .subscriptions = { keys[KEY_SUBSCRIPTION], keys[KEY_SECONDARY_SUBSCRIPTION]},
        .announced_secret = keys[KEY_NEXT_CLIENT_SECRET],
    };
    if (a->subscriptions[1] == 0)
        a->subscriptions[1] = new_key(s);
}

void account_open(struct sim *s, struct sim_profile *p)
{
    restore(s, p);
    if (random_chance(&s->random, 10))
        p->account.secrets[0] = new_key(s); /* it was mistyped */
}

static void activate_secret(struct sim *s, struct account *a)
{
    a->secrets[1] = a->secrets[0];
    a->secrets[0] = a->announced_secret != 0 ? a->announced_secret : new_key(s);
    a->announced_secret = 0;
}

static void do_deed(struct sim *s, struct sim_profile *p, enum deed deed)
{
    struct account *a = &p->account;

    switch (deed) {
    case REGENERATE_PRIMARY:
        a->subscriptions[0] = new_key(s);
        break;
    case REGENERATE_SECONDARY:
        a->subscriptions[1] = new_key(s);
        break;
    case ANNOUNCE_SECRET:
        a->announced_secret = new_key(s);
        break;
    case ACTIVATE_SECRET:
        activate_secret(s, a);
        break;
    case REPLACE_SECRET:
        activate_secret(s, a);
        a->secrets[1] = 0;
        break;
    case DROP_OLD_SECRET:
        a->secrets[1] = 0;
        break;
    case RESTORE:
        restore(s, p);
        break;
    case N_DEEDS:
        break;
    }
}

static void account_changes(struct sim *s, struct sim_event *event)
{
    struct sim_profile *p = container_of(event, struct sim_profile, account_event);
    enum deed deed = (enum deed) random_below(&s->random, N_DEEDS);

    if (!account_is_good(p) && random_chance(&s->random, 60))
        deed = RESTORE;
    do_deed(s, p, deed);
    sim_trace(s, p, "account: deed, good", deed, account_is_good(p));
    check_expect_recovery(p);
    sim_at(s, event,
           s->now + random_spread(&s->random, USEC_PER_MIN,
                                  account_is_good(p) ? 20 * USEC_PER_DAY : USEC_PER_DAY));
}

void accounts_init(struct sim *s)
{
    for (size_t i = 0; i < s->n_profiles; i++) {
        struct sim_profile *p = &s->profiles[i];
        p->account_event.happen = account_changes;
        restore(s, p);
        if (s->has_key_changes)
            sim_at(s, &p->account_event,
                   s->now + random_spread(&s->random, USEC_PER_HOUR, 10 * USEC_PER_DAY));
    }
}
