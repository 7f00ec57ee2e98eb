/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The service manager's side: sd_notify(3) and the watchdog. Without a manager all of it does nothing.
 */

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "base/usec.h"

struct supervisor;

/* Asked each time the watchdog is about to be pinged; false lets the ping out, so that the manager restarts
 * us. */
typedef bool supervisor_health(void *userdata);

/* Reads $NOTIFY_SOCKET and $WATCHDOG_USEC (the latter is removed from the environment). 0 or -errno. */
_must_check_ int supervisor_new(struct supervisor **ret, sd_event *event, supervisor_health *is_healthy,
                                void *userdata);
struct supervisor *supervisor_free(struct supervisor *s);
DEFINE_CLEANUP(struct supervisor *, supervisor_free, supervisor_free)

/* Start-up may take this much longer than the unit's TimeoutStartSec= allows. */
void supervisor_extend_start(struct supervisor *s, usec_t by);

/* READY=1; later calls do nothing. */
void supervisor_ready(struct supervisor *s);

/* STATUS=, sent only when it differs from the last one. */
void supervisor_status(struct supervisor *s, const char *status);

void supervisor_stopping(struct supervisor *s);

bool supervisor_is_ready(const struct supervisor *s);
