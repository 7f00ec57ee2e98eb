/* SPDX-License-Identifier: MIT */
#pragma once

/* `bearerctl keys --list`: which keys there are, where, and whether they are in force. Never a value. */

#include "client/output.h"

/* Prints the table for one profile, or for all (NULL). `directory` is that of the profiles' settings. The
 * exit status of the program. */
enum exit_status keys_list(const char *directory, const char *profile);
