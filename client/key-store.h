/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Where keys are stored, and putting them there: encrypted ones in a folder of root's (systemd decrypts them
 * for the daemon, which never sees the folder), others as plain files of the daemon's user. A new key takes
 * the place of the old one in one step, and is on the disk when these functions return.
 */

#include <sys/types.h>

#include "base/buffer.h"
#include "base/secret.h"

/* How the unit's LoadCredentialEncrypted= names what it finds in the folder; part of what is encrypted. */
#define KEY_CREDENTIAL_PREFIX "PROFILE_"

/* A key by what it is for. Borrowed. */
struct key_name {
    const char *profile;
    const char *kind; /* "client-secret" */
};

/*
 * Encrypts the key into the folder of encrypted keys, and makes sure that it can be decrypted. Returns 0,
 * -EBADMSG (it cannot be encrypted here: `complaint` says why) or -errno (`complaint` says which file).
 */
_must_check_ int key_store_encrypted(const struct key_name *name, const struct secret *key,
                                     struct buffer *complaint);

/* Whose a plain key file shall be. */
struct key_owner {
    uid_t uid;
    gid_t gid;
};

/* Writes the key into a file of mode 0600. Returns 0 or -errno, and `complaint` says which file. */
_must_check_ int key_store_plain(const struct key_name *name, const struct secret *key,
                                 const struct key_owner *owner, struct buffer *complaint);
