/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Looking at the places where keys may lie, without getting to see one: files of the settings, the two
 * folders of stored keys, and what the running service was given.
 */

#include "client/key-rows.h"
#include "host/key_catalog.h"

/* The facts about one kind of key, and the paths that they name; zeroed: empty. */
struct key_place {
    struct key_facts facts; /* of `decryption` nothing is known yet */
    char *plain;            /* paths, owned */
    char *encrypted;
};

void key_place_done(struct key_place *place);

/*
 * Looks for the key of this kind. `keys` are the settings of the profile. Returns 0, or -ENOMEM. Borrows
 * `profile` and `keys`.
 */
_must_check_ int key_place_look(struct key_place *place, const char *profile, unsigned kind,
                                const struct profile_keys *keys);

/* Finds out whether what is stored encrypted, if anything, can be decrypted here. `complaint`: why not. */
void key_place_try(struct key_place *place, struct buffer *complaint);

/* The names of profiles that a key is stored for, with or without settings: appended to the list, once each,
 * which is then sorted. What is in the folder of encrypted keys and is none is named on standard error. 0 or
 * -errno. */
_must_check_ int key_places_profiles(struct profile_names *names);
