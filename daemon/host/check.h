/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Reading all settings and keys as the daemon would and telling every problem: `bearerd --check`, `bearerctl
 * check`.
 */

#include <stddef.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/problem.h"

/* "file:line: error: what", or "error: what" where there is no place. */
void check_print_problem(const struct problem *p, FILE *out);

/*
 * Reads everything, touching nothing, and prints each problem and a summary to `out`. `config_file` NULL: the
 * default. *ret_n_errors: how many would fail the start or a profile (warnings do not count). 0, or -errno
 * when the machine failed before there was anything to tell.
 */
_must_check_ int check_settings(const char *config_file, FILE *out, size_t *ret_n_errors);
