/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Reads settings and keys again while the daemon serves. Names of users may come from a directory service
 * that takes seconds, files from a network, and proving keys takes time: none of it may hold up the loop. So
 * settings_load() runs in a thread of its own, for as long as it takes, and the loop is told when it is done.
 *
 * What the thread shares with the loop: malloc, OpenSSL and the C library, which all allow for threads, and
 * base/locked, which does by a mutex. Everything else is handed over whole: the source of settings before the
 * thread starts, the settings after it has ended. A thread gets no signals and calls nothing of the daemon.
 *
 * One worker reads once. The daemon runs one at a time.
 */

#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "base/usec.h"
#include "host/settings_load.h"

struct settings_worker;

/*
 * From the loop, once: what settings_load() returned, and the settings where that was 0. They are moved out
 * (then *settings_take is zeroed by the callee), or released behind the call. The worker may be freed in it.
 */
typedef void settings_worker_done(void *userdata, int result, struct settings *settings_take);

/* How long a daemon that stops waits for a thread that still reads. */
#define SETTINGS_WORKER_STOP_FOR (2 * USEC_PER_SEC)

/* Starts to read. `source` is copied, its strings too; `event` is borrowed. 0 or -errno. */
_must_check_ int settings_worker_start(struct settings_worker **ret, sd_event *event,
                                       const struct settings_source *source, settings_worker_done *done,
                                       void *userdata);

/*
 * Releases the worker; takes NULL. Done: at once, and NULL is returned. Still reading: waits for the thread
 * for SETTINGS_WORKER_STOP_FOR, then drops what it read. If the thread does not end even so (a directory
 * service that hangs), the worker is returned, as it was: a thread within somebody else's code can neither be
 * stopped nor be left alone while exit() takes the ground from under it. The process then has to leave by
 * _exit(), which ends both; keys need no wiping by hand then, the kernel clears the pages.
 */
_must_check_ struct settings_worker *settings_worker_free(struct settings_worker *w);
