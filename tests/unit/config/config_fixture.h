/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What the tests of config/ share: settings from a string, names without a system (users root 0 and www-data
 * 33, group shop 1001; the user "broken" cannot be looked up), and questions about the problems found.
 */

#include <stdbool.h>

#include "base/problem.h"
#include "config/daemon_settings.h"
#include "config/profile_settings.h"

extern const struct name_resolver fixture_resolver;

/* The settings of a file "bearerd.conf" and of a profile "shop" in "shop.conf". */
int fixture_parse_daemon(const char *text, struct problems *problems, struct daemon_settings *ret);
int fixture_parse_profile(const char *text, struct problems *problems, struct profile_settings *ret,
                          struct profile_notes *ret_notes);

/* A problem of this severity at `place` whose message contains `fragment`. */
bool fixture_has_problem(const struct problems *problems, enum problem_severity severity, const char *place,
                         const char *fragment);

#define has_error(problems, place, fragment)                                                                 \
    fixture_has_problem((problems), PROBLEM_ERROR, (place), (fragment))
#define has_warning(problems, place, fragment)                                                               \
    fixture_has_problem((problems), PROBLEM_WARNING, (place), (fragment))

/* True when no place or message contains `word`: it is a secret. */
bool fixture_never_says(const struct problems *problems, const char *word);

/*
 * Parses a profile or a main file, expects exactly one error, at the line `line` (0: none) and with this
 * fragment, and prints what came instead when it is another.
 */
void expect_profile_error(const char *text, unsigned line, const char *fragment);
void expect_daemon_error(const char *text, unsigned line, const char *fragment);
