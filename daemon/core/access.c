/* SPDX-License-Identifier: MIT */
#include "core/access.h"

#include <fnmatch.h>

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
    case ACCESS_UNIT:
        /* Unit names have backslashes of their own ("\\x2d"): they stand for themselves, as with systemctl.
         */
        return peer->unit && fnmatch(rule->unit, peer->unit, FNM_NOESCAPE) == 0;
    }
    return false;
}

const struct access_rule *access_list_find(const struct access_list *list, const struct peer *peer)
{
    for (size_t i = 0; i < list->n_rules; i++) {
        if (rule_names(&list->rules[i], peer))
            return &list->rules[i];
    }
    return NULL;
}

bool access_list_has(const struct access_list *list, enum access_rule_kind kind)
{
    for (size_t i = 0; i < list->n_rules; i++) {
        if (list->rules[i].kind == kind)
            return true;
    }
    return false;
}

bool access_list_admits(const struct access_list *list, const struct peer *peer)
{
    return access_list_find(list, peer) != NULL;
}

enum uid_class uid_class_of(uint32_t uid)
{
    if (uid == 0)
        return UID_CLASS_ROOT;
    if (uid <= 999)
        return UID_CLASS_SYSTEM;
    return uid >= 61184 && uid <= 65519 ? UID_CLASS_DYNAMIC : UID_CLASS_USER;
}

const char *uid_class_name(enum uid_class class)
{
    static const char *const names[N_UID_CLASSES] = {
        [UID_CLASS_ROOT] = "root",
        [UID_CLASS_SYSTEM] = "system",
        [UID_CLASS_DYNAMIC] = "dynamic",
        [UID_CLASS_USER] = "user",
    };
    return names[class];
}
