/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The keys of one profile, from where its settings or systemd put them: KEYFile= where it is set, else the
 * credential NAME.<kind> in the credentials directory of the service (systemd.exec(5), "CREDENTIALS"), else
 * the credential PROFILE_NAME.<kind>: so systemd names what it decrypts from the folder of encrypted keys
 * that `bearerctl keys` fills.
 *
 * Here is known which kinds of keys a provider wants. What a key must look like stands in host/key_form;
 * whether a private key can be used is for wire/assertion and libcurl to find out.
 */

#include <sys/types.h>

#include "base/problem.h"
#include "config/profile_settings.h"
#include "core/settings.h"
#include "host/files.h"

/* Where keys may lie and whose they may be. */
struct key_source {
    const char *credentials_directory; /* $CREDENTIALS_DIRECTORY, borrowed; NULL: there is none */
    struct key_rights rights;
    /* For who looks from outside the service and can read no credential: where encrypted keys are stored. One
     * that is there is not missed. NULL: there is no such excuse. */
    const char *encrypted_directory;
};

/* A kind of key that a provider has use for. */
struct wanted_key {
    enum key_kind kind;
    bool is_optional;
};

/* The kinds that these settings want, in the order to ask for them. Returns how many. */
size_t keys_wanted(const struct profile_settings *settings, struct wanted_key ret[static N_KEY_KINDS]);

/*
 * Reads all keys and certificates that the provider of `settings` wants into it. Every fault is recorded.
 * Returns 0, -EINVAL (at least one is missing or unusable) or -ENOMEM. Does nothing when the provider is not
 * known.
 */
_must_check_ int keys_load(const struct key_source *source, const struct profile_notes *notes,
                           struct problems *problems, struct profile_settings *settings);
