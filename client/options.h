/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * bearerctl's command line: the verbs, the options, which goes with which, and how they are explained. All of
 * it is in two tables in options.c.
 *
 * Strings are borrowed from argv, which is reordered so that options may stand anywhere.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/buffer.h"
#include "base/usec.h"

enum verb {
    VERB_TOKEN,
    VERB_HEADERS,
    VERB_STATUS,
    VERB_WAIT,
    VERB_REJECTED,
    VERB_REFRESH,
    VERB_RELOAD,
    VERB_EXPLAIN,
    VERB_CHECK,
    VERB_KEYS,
    VERB_HELP,
    N_VERBS,
};

struct options {
    enum verb verb;
    bool is_help;            /* --help or the verb help: everything else may be missing */
    bool is_version;         /* --version: likewise */
    bool is_json;            /* --json */
    bool is_list;            /* --list: then no argument need follow */
    const char *socket_path; /* --socket, or NULL */
    const char *config_file; /* --config, or NULL */
    const char *fingerprint; /* --fingerprint, or NULL; of any form */
    const char *user;        /* --user, or NULL: a name or a number */
    uint64_t pid;            /* --pid, or 0 */
    usec_t min_ttl_for;      /* --min-ttl, or USEC_INFINITY when not given; so are the next two */
    usec_t wait_for;         /* --wait; at most 60 s */
    usec_t timeout_for;      /* --timeout */
    char **args;             /* what follows the verb */
    size_t n_args;           /* as many as the verb takes */
};

/*
 * Reads a command line. Returns 0, or -EINVAL when it makes no sense: then `complaint` says why in one line,
 * with what was probably meant. Uses getopt_long(), and so its global state.
 */
int options_parse(int argc, char **argv, struct options *ret, struct buffer *complaint);

/* The text of --help. */
void options_print_help(FILE *out);

/* A length of time in whole seconds, rounded up, as the API wants it. At most a few hundred years. */
int64_t options_seconds(usec_t length);
