/* SPDX-License-Identifier: MIT */
#include "core/profile_keys.h"

void keys_begin(struct profile *p, usec_t now)
{
    p->first_choice = p->choice;
    if (p->choice.is_secondary_subscription && now >= p->probe_at) {
        p->choice.is_secondary_subscription = false;
        p->probe_at = usec_add(now, KEY_PROBE_FOR);
    }
    p->has_tried_secrets = false;
    p->has_tried_subscriptions = false;
}

bool keys_try_other(struct profile *p, const struct failure *failure)
{
    if (failure_blames_subscription_key(failure) && !p->has_tried_subscriptions &&
        profile_settings_has_secondary(p->settings)) {
        p->has_tried_subscriptions = true;
        p->choice.is_secondary_subscription = !p->choice.is_secondary_subscription;
        return true;
    }
    if (failure_blames_secret(failure) && !p->has_tried_secrets &&
        profile_settings_has_next_secret(p->settings)) {
        p->has_tried_secrets = true;
        p->choice.is_next_secret = !p->choice.is_next_secret;
        return true;
    }
    return false;
}

void keys_give_up(struct profile *p)
{
    p->choice = p->first_choice;
}

bool keys_keep(struct profile *p, usec_t now)
{
    struct key_choice noted = p->noted_choice;

    /* Blamed in this attempt, or just kept: the moment of the blame counts. */
    if (p->choice.is_secondary_subscription && p->has_tried_subscriptions)
        p->probe_at = usec_add(now, KEY_PROBE_FOR);
    p->token_choice = p->choice;
    p->token_settings = p->settings;
    p->noted_choice = p->choice;
    return noted.is_next_secret != p->choice.is_next_secret ||
           noted.is_secondary_subscription != p->choice.is_secondary_subscription;
}

void keys_reset(struct profile *p)
{
    p->choice = (struct key_choice){.is_next_secret = profile_settings_has_next_secret(p->settings)};
    p->noted_choice = p->choice; /* that they work is what is expected; anything else is told */
}
