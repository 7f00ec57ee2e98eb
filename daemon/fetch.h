/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * One upstream request of one profile, from the registry's wish to its outcome. Belongs to the daemon, never
 * to a caller: nobody who hangs up ends it.
 */

#include "daemon.h"

/* Starts what the registry popped. Ends, now or later, in registry_end_fetch(); call daemon_pump()
 * afterwards. */
void fetch_start(struct daemon *d, struct entry *e);

/*
 * False when a fetch has been in flight for longer than its Timeout= allows, or the registry was not called
 * when it wanted to be: libcurl or the loop is stuck. An upstream that does not answer is no such case.
 */
bool fetches_are_in_time(const struct daemon *d, usec_t now);

/* Calls off those that a reload has no use for any more; each entry is told by registry_abort_fetch(). */
void fetches_abort(struct daemon *d, const struct registry_plan *plan);

/* Cancels all. */
void fetches_cancel(struct daemon *d);
