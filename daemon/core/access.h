/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Who may ask. Deny by default: an empty list admits nobody, and admin rights never imply tokens.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/settings.h"

/* Who is at the other end of a connection, as the kernel said when it connected. */
struct peer {
    uint32_t uid;
    uint32_t gid;
    int32_t pid;            /* 0: not in our pid namespace */
    const uint32_t *groups; /* supplementary groups; borrowed */
    size_t n_groups;
    const char *unit; /* the system unit ("shop.service"), borrowed; NULL: none, or not to be told */
};

/* The first rule of the list that names the peer, or NULL. Borrowed. */
const struct access_rule *access_list_find(const struct access_list *list, const struct peer *peer);

/* True when the list has a rule of that kind: then what it asks for is to be found out. */
bool access_list_has(const struct access_list *list, enum access_rule_kind kind);

/* True when a rule of the list names the peer. */
bool access_list_admits(const struct access_list *list, const struct peer *peer);

/* What kind of user a uid is, for counts that must not grow with the number of users. The ranges are those of
 * systemd (https://systemd.io/UIDS-GIDS/, 2025). */
enum uid_class {
    UID_CLASS_ROOT,    /* 0 */
    UID_CLASS_SYSTEM,  /* 1 to 999: static system users */
    UID_CLASS_DYNAMIC, /* 61184 to 65519: DynamicUser= */
    UID_CLASS_USER,    /* all others */
    N_UID_CLASSES,
};

enum uid_class uid_class_of(uint32_t uid);

/* "root", "system", "dynamic", "user". */
const char *uid_class_name(enum uid_class class);
