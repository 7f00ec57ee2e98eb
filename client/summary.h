/* SPDX-License-Identifier: MIT */
#pragma once

/* What came of a reload, in one line. Pure. */

#include "base/buffer.h"
#include "client/bearer.h"

/*
 * "reloaded: 2 added (a, b), 1 removed (c), 1 changed (shop: keys, proven), 12 unchanged", or "not reloaded:
 * 1 error, 2 warnings; the old settings stay in force". Without a newline, and as the daemon wrote it: to be
 * cleaned by whoever prints it.
 */
void summary_append(struct buffer *out, const struct bearer_reload_report *r);
