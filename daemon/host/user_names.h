/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The ids behind user and group names, from the system's databases (getpwnam_r(3), getgrnam_r(3)). These
 * calls may wait for a directory service, so they belong into start-up, or into the thread of a reload
 * (host/settings_worker). The latest answers are kept, since ten thousand profiles name the same few users.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/source.h"

/* Names that are remembered at once; looked through one by one. */
#define USER_NAMES_MAX 64

struct user_name {
    char *name;
    uint32_t id;
    bool is_group;
    bool exists; /* a name that is not there is remembered too */
};

/* Zeroed: empty. */
struct user_names {
    struct user_name items[USER_NAMES_MAX];
    size_t n_items;
    size_t next; /* the slot to be used next, the oldest one */
};

void user_names_done(struct user_names *names);

/* A resolver for config/ that looks into `names` first, and lives as long as it. */
struct name_resolver user_names_resolver(struct user_names *names);
