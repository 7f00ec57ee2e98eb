/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The main settings file (bearerd.conf) as a struct. Every key is optional, and so is the file: an empty text
 * gives the defaults.
 */

#include <stdbool.h>

#include "base/problem.h"
#include "config/source.h"
#include "core/settings.h"

/* sun_path of a struct sockaddr_un without its NUL (unix(7)). */
#define SOCKET_PATH_MAX ((size_t) 107)

/* Where the main settings lie when nobody says otherwise. A static string. */
const char *daemon_settings_default_file(void);

/*
 * Returns 0 (perhaps with warnings), -EINVAL (errors are in `problems`) or -ENOMEM. With -EINVAL too, *ret
 * holds what could be read, what could not being NULL or 0, so that the caller can go on to find the problems
 * of the profiles; it must not be run with. The caller releases *ret in every case.
 */
_must_check_ int daemon_settings_parse(const struct settings_text *source, struct problems *problems,
                                       struct daemon_settings *ret);
