/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Reading all settings and keys as the daemon would and telling every problem: `bearerd --check`, `bearerctl
 * check`.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/problem.h"

/* Where systemd puts the credentials of the running service (systemd.exec(5), "CREDENTIALS"). */
#define SERVICE_CREDENTIAL_DIRECTORY "/run/credentials/bearerd.service"

/* Whose key files may be, besides root's. */
struct daemon_user {
    uid_t uid;
    gid_t gid;
    bool is_found; /* there is a user "bearerd", and root asks; else these are our own */
};

/* Whom the daemon runs as, where root asks: the user "bearerd" where there is one. */
struct daemon_user check_daemon_user(void);

/* "file:line: error: what", or "error: what" where there is no place. */
void check_print_problem(const struct problem *p, FILE *out);

/*
 * Reads everything, touching nothing, and prints each problem and a summary to `out`. Credentials are those
 * of $CREDENTIALS_DIRECTORY, else of the running service; an encrypted key that it does not have yet is a
 * warning. `config_file` NULL: the
 * default. *ret_n_errors: how many would fail the start or a profile (warnings do not count). 0, or -errno
 * when the machine failed before there was anything to tell.
 */
_must_check_ int check_settings(const char *config_file, FILE *out, size_t *ret_n_errors);
