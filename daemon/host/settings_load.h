/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * All settings and keys of the daemon, from the disk into structs: the main file, each profile of the profile
 * directory in the order of names, and their keys. Every problem of every file is found in one run. What
 * follows from the problems (exit, start without the broken profiles, refuse) the caller decides.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/problem.h"
#include "core/settings.h"

/* Where to look. All borrowed. */
struct settings_source {
    const char *config_path;           /* --config; NULL: the default file, which may be missing */
    const char *socket_path;           /* --socket; NULL: as the settings say */
    const char *credentials_directory; /* $CREDENTIALS_DIRECTORY; NULL: none */
    const char *encrypted_directory;   /* of a check: see struct key_source; NULL otherwise */
    uid_t daemon_uid;                  /* the user the daemon runs as, who may own key files */
    usec_t wall_now;                   /* wall clock, to tell certificates that have ended */
};

/* A profile that is there, but cannot be used. Strings and list are owned. */
struct failed_profile {
    char *name;
    char *description; /* NULL: none, or not readable */
    char *reason;      /* its first error, "file:line: what"; never a secret */
    bool is_provider_known;
    enum provider provider;   /* where known */
    struct access_list allow; /* who may see it; empty when a line of Allow= was not understood */
};

struct settings {
    struct daemon_settings daemon;
    struct profile_settings **profiles; /* usable ones, sorted by name; each owned */
    size_t n_profiles;
    struct failed_profile *failed; /* sorted by name */
    size_t n_failed;
    struct problems problems; /* of all files, in the order they were read */
    bool is_daemon_usable;    /* the main settings hold no error */
};

/*
 * Reads everything. Returns 0 however many problems there are, or -ENOMEM, or another -errno when the machine
 * failed; *ret is set when 0 is returned.
 */
_must_check_ int settings_load(const struct settings_source *source, struct settings *ret);

/* True when any list of the settings has a unit: rule. */
bool settings_have_unit_rules(const struct settings *s);

/* Wipes the keys and releases everything. Takes NULL. */
void settings_done(struct settings *s);
