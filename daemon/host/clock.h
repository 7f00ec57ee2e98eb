/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The only place that reads a clock. One reading is taken for each turn of the loop and handed down; nothing
 * below host/ calls these. All in microseconds.
 */

#include "base/usec.h"

/* CLOCK_BOOTTIME: goes on while the machine sleeps and never steps. What every `_at` means. */
usec_t clock_boottime(void);

/* CLOCK_REALTIME since the epoch: for dates that people or issuers read, never for a decision. */
usec_t clock_wall(void);

/* CLOCK_MONOTONIC: stands still while the machine sleeps. Only for libraries whose own time runs on it
 * (libcurl). */
usec_t clock_monotonic(void);
