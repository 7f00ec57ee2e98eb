/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The service manager's side: the messages of sd_notify(3), and the watchdog. Without a manager all of it
 * does nothing.
 *
 * Not through libsystemd's sd_notify(): it blocks when the manager does not read its socket (it is busy, or
 * another service floods it), and with it every caller of the daemon. Here what cannot be sent at once is
 * kept as a state, not as a message: when the socket takes messages again, each state that was not told yet
 * is told once, in the order in which a service goes through them, and the status as it is then.
 *
 * The protocol: sd_notify(3) of systemd 252, under "Notes": one datagram a message, lines of NAME=value, to
 * the AF_UNIX socket of $NOTIFY_SOCKET, whose '@' in front stands for the NUL of an abstract name.
 */

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "base/usec.h"

struct supervisor;

/*
 * Asked each time the watchdog is about to be pinged. False leaves the ping out and is asked again soon: so
 * the manager restarts who stays unwell, and not who was so for a moment.
 */
typedef bool supervisor_health(void *userdata);

/*
 * Reads $NOTIFY_SOCKET and $WATCHDOG_USEC (the latter is removed from the environment). 0 or -errno; a
 * manager that cannot be reached is no error.
 */
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

/*
 * Settings are being read again: RELOADING=1 with this moment. Whatever comes of it,
 * supervisor_reloaded() must follow: it says READY=1 again, with the status. Before supervisor_ready()
 * neither says anything: to a manager that waits for the start to end, that READY=1 would be the end of it.
 */
void supervisor_reloading(struct supervisor *s);
void supervisor_reloaded(struct supervisor *s);

void supervisor_stopping(struct supervisor *s);

/*
 * Descriptors for the manager to keep (FDSTORE=1, FDNAME= of sd_notify(3)) and to pass at the next start, or
 * to keep no longer. 0, or -errno; -EAGAIN: it takes nothing just now, try again later.
 */
_must_check_ int supervisor_store_fd(struct supervisor *s, int fd, const char *name);
_must_check_ int supervisor_drop_fd(struct supervisor *s, const char *name);

/* True when there is a manager that takes messages. */
bool supervisor_is_there(const struct supervisor *s);

bool supervisor_is_ready(const struct supervisor *s);
