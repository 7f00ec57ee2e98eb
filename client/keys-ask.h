/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Getting the keys of a profile from a person at the terminal, or one of them from a pipe, each judged as the
 * daemon would judge it. Nothing is stored here.
 */

#include "base/secret.h"
#include "client/output.h"
#include "host/key_catalog.h"

/* A key that is wanted, and what was answered. */
struct asked_key {
    const struct catalog_key *key; /* borrowed */
    struct secret value;           /* not set: it was passed over */
};

struct asked_keys {
    const char *profile;
    const struct profile_keys *profile_keys;
    struct asked_key items[CATALOG_N_KINDS];
    size_t n_items;
};

/* Wipes the answers. */
void asked_keys_done(struct asked_keys *keys);

/* Asks for each; Enter alone passes over what is optional or stored already. EXIT_DONE, or another status and
 * the reason is said: then there is nothing to be stored. */
enum exit_status keys_ask(struct asked_keys *keys);

/* Reads the one key that there is from standard input. Likewise. */
enum exit_status keys_read_piped(struct asked_keys *keys);
