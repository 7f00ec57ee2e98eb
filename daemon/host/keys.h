/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The keys of one profile, from where its settings or systemd put them: KEYFile= where it is set, else the
 * credential NAME.<kind> in the credentials directory of the service (systemd.exec(5), "CREDENTIALS").
 *
 * Here is known which kinds of keys a provider wants. Whether a private key can be used is for wire/assertion
 * and libcurl to find out; here it must only look like one.
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
};

/*
 * Reads all keys and certificates that the provider of `settings` wants into it. Every fault is recorded.
 * Returns 0, -EINVAL (at least one is missing or unusable) or -ENOMEM. Does nothing when the provider is not
 * known.
 */
_must_check_ int keys_load(const struct key_source *source, const struct profile_notes *notes,
                           struct problems *problems, struct profile_settings *settings);
