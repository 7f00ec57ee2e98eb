/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Where keys are stored, and putting them there: encrypted ones in a folder of root's (systemd decrypts them
 * for the daemon, which never sees the folder), others as plain files of the daemon's user.
 *
 * Keys that are stored together are stored all or none: each is written beside the old one, and only when all
 * of them are on the disk do they take the old ones' places. What ends the program before that leaves the old
 * ones. Who stores keys in the same folder at the same time waits.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "base/buffer.h"
#include "base/secret.h"
#include "host/key_catalog.h"

/* How the unit's LoadCredentialEncrypted= names what it finds in the folder; part of what is encrypted. */
#define KEY_CREDENTIAL_PREFIX "PROFILE_"

/* A key by what it is for. Borrowed. */
struct key_name {
    const char *profile;
    const char *kind; /* "client-secret" */
};

/* A key on its way into a folder. */
struct key_item {
    struct key_name name;
    const struct secret *key; /* borrowed */
    int encrypted;            /* the file in memory that holds it so, owned; -1: it is stored as it is */
    char *draft;              /* the file beside the old one, until it takes its place; owned */
};

/* Keys that are stored together. Zeroed: none. */
struct key_batch {
    struct key_item items[CATALOG_N_KINDS];
    size_t n_items;
};

/* Closes and frees. */
void key_batch_done(struct key_batch *batch);

/* Takes a key along; there is room for one of each kind. */
void key_batch_add(struct key_batch *batch, const struct key_name *name, const struct secret *key);

/*
 * Encrypts all of them, in memory, and makes sure that they can be decrypted. Returns 0, -EBADMSG (nothing
 * can be encrypted here; `complaint` says why) or -errno (`complaint` says why; some could be).
 */
_must_check_ int key_batch_encrypt(struct key_batch *batch, struct buffer *complaint);

/* Whose a plain key file, or a new folder, shall be. */
struct key_owner {
    uid_t uid;
    gid_t gid;
};

/*
 * Stores all of them, encrypted where they are; plain files get this owner and mode 0600. Returns 0 or
 * -errno, and `complaint` says which file. Ctrl-C and the like wait until it is over.
 */
_must_check_ int key_batch_store(struct key_batch *batch, const struct key_owner *owner,
                                 struct buffer *complaint);

/*
 * Whether nobody but root can put keys among the encrypted ones, or take them away. Returns 0, also where
 * there are none, or -EPERM (`complaint` says who else can, and what helps).
 */
_must_check_ int key_store_check(struct buffer *complaint);
