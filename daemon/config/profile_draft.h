/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A profile while its file is being read: private to profile_settings.c (the table), profile_check.c (what no
 * single line can tell) and profile_headers.c.
 */

#include "config/profile_settings.h"
#include "config/table.h"

/* For the tags of a row: which providers, and which ways of OAuth 2.0 client authentication, it is for. */
#define FOR_PROVIDER(p)  (1U << (p))
#define FOR_AUTH(a)      (1U << (8 + (a)))
#define FOR_ANY_PROVIDER 0xffU
#define FOR_ANY_AUTH     0xff00U

struct profile_draft {
    struct profile_settings settings;
    char *base_url;
    char *token_path;
    unsigned header_lines[PROFILE_HEADERS_MAX]; /* of settings.headers */

    const struct settings_text *source;
    struct problems *problems;
    const struct setting_table *table;
    struct setting_state *states; /* of the rows of `table` */
};

/* The state of a row that exists. */
const struct setting_state *profile_draft_state(const struct profile_draft *d, const char *section,
                                                const char *key);

/* "vipps", "basic", ...: the words of Provider= and ClientAuth=. */
const char *client_auth_name(enum client_auth auth);

/* The parser of [Headers]; the target is the draft. */
int profile_draft_read_header(const struct setting_context *context, const char *value, void *target);

/* What is wrong with the headers for the provider of the draft. */
void profile_draft_check_headers(const struct profile_draft *d);

/* Everything that takes more than one line to tell; composes token_url. 0 (problems or not) or -ENOMEM. */
_must_check_ int profile_draft_check(struct profile_draft *d);
