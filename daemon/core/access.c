/* SPDX-License-Identifier: MIT */
#include "core/access.h"

static bool peer_is_in_group(const struct peer *peer, uint32_t gid)
{
    if (peer->gid == gid)
        return true;
    for (size_t i = 0; i < peer->n_groups; i++) {
        if (peer->groups[i] == gid)
            return true;
    }
    return false;
}

static bool rule_names(const struct access_rule *rule, const struct peer *peer)
{
    switch (rule->kind) {
    case ACCESS_ANY:
        return true;
    case ACCESS_USER:
        return peer->uid == rule->id;
    case ACCESS_GROUP:
        return peer_is_in_group(peer, rule->id);
    }
    return false;
}

bool access_list_admits(const struct access_list *list, const struct peer *peer)
{
    for (size_t i = 0; i < list->n_rules; i++) {
        if (rule_names(&list->rules[i], peer))
            return true;
    }
    return false;
}
