/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * One file of profiles.d as a struct: which upstream, which keys, who may ask. Keys themselves are not here:
 * the file only names where they lie, and host/keys reads them.
 *
 * The base URLs and paths of Vipps are of the public documentation (developer.vippsmobilepay.com, "Access
 * token API guide", 2023).
 */

#include <stdbool.h>

#include "base/problem.h"
#include "config/source.h"
#include "core/settings.h"

/* More headers than any API asks for; with the protocol's own they fit one request (HTTP_HEADERS_MAX). */
#define PROFILE_HEADERS_MAX 20

/* Seen besides the settings: for messages about the keys, and to tell what of a broken profile is right. */
struct profile_notes {
    bool is_provider_known;           /* `provider` and `client_auth` are as written, not just zero */
    bool is_access_known;             /* every line of Allow= was understood */
    bool is_key_refused[N_KEY_KINDS]; /* the place of this key was complained about already */
    unsigned key_lines[N_KEY_KINDS];  /* the line of KEYFile=, 0 where it is not set */
    unsigned ca_line;                 /* the same of CAFile= */
    unsigned certificate_line;        /* the same of TLSCertificateFile= */
};

/* True for [a-z0-9][a-z0-9._-]{0,62}. */
bool profile_name_is_valid(const char *name);

/*
 * Reads the settings of the profile `name`. Returns 0 (perhaps with warnings), -EINVAL (errors are in
 * `problems`) or -ENOMEM. With -EINVAL too, *ret and *ret_notes hold what could be read, so that the profile
 * can be shown as failed and its keys can be looked at; it must not be used. The caller releases *ret in
 * every case.
 */
_must_check_ int profile_settings_parse(const struct settings_text *source, const char *name,
                                        struct problems *problems, struct profile_settings *ret,
                                        struct profile_notes *ret_notes);
