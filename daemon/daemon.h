/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Owns every object of the running daemon and wires the layers: what the loop reports goes into the registry,
 * what the registry asks for goes out. It decides nothing.
 *
 *     request   server -> api -> registry -> (at once, or a waiter) -> server_answer
 *     reload    SIGHUP or api -> reload -> a thread reads -> registry_apply() -> proofs -> who asked
 *     refresh   timer -> registry -> fetch -> upstream -> fetch -> registry -> waiters, log
 *
 * daemon_pump() is the one place where the registry's queues are emptied; it runs after everything that may
 * have filled them, from the loop and never from within a request.
 */

#include <systemd/sd-event.h>

#include "api.h"
#include "base/log.h"
#include "core/audit.h"
#include "core/registry.h"
#include "host/listen.h"
#include "host/passed_fds.h"
#include "host/server.h"
#include "host/settings_load.h"
#include "host/state_store.h"
#include "host/supervisor.h"
#include "host/upstream.h"
#include "reload.h"

struct daemon {
    struct log *log;          /* borrowed */
    struct settings settings; /* what everything below borrows from */
    sd_event *event;
    struct registry registry;
    struct api api;
    struct audit *audit;
    struct reload reload;
    struct upstream *upstream;
    struct supervisor *supervisor;
    struct server *server;
    struct listen_socket socket; /* our own, where the service manager passed none */
    struct passed_fds passed;
    struct state_store *state;
    sd_event_source *timer;       /* registry_next_at() */
    sd_event_source *kick;        /* the registry's queues are to be emptied */
    sd_event_source *ready_timer; /* READY at the latest */
    sd_event_source *audit_timer; /* audit_next_at() */
    sd_event_source *save_timer;  /* when what could not be saved is tried again */
    struct list save_later;       /* entries by their `unsaved`, until then */
    sd_event_source *signals[3];
    struct list fetches; /* in flight, the oldest first (fetch.h) */
    int64_t wall_offset; /* wall clock minus CLOCK_BOOTTIME, as shown (daemon_time) */
    usec_t skew_logged_at;
    size_t n_restored;             /* profiles that go on where another process ended */
    size_t n_interrupted;          /* of these, in the middle of a request */
    sd_event_source *finish_timer; /* of is_finishing */
    bool is_stopping;              /* by a signal; no settings are read any more */
    bool is_finishing; /* at first: still serving, while requests are in flight that shall not be in vain */
};

/*
 * Builds everything and runs until a signal ends it. `settings_take` is moved in; `source` is where they
 * were read, and are read again by a reload. Returns the exit status: 0
 * ended by SIGTERM or SIGINT, 1 failed. What failed has been logged.
 */
int daemon_run(struct settings *settings_take, struct passed_fds *passed_take,
               const struct settings_source *source, struct log *log);

/* Empties the registry's queues: starts, logs, answers; then sets the timer anew. Never from within a
 * request: that is what daemon_kick() is for. */
void daemon_pump(struct daemon *d);

/* The registry's queues are emptied once the loop turns. */
void daemon_kick(struct daemon *d);

/* This turn's moment on both clocks. The shown wall clock follows steps, but not every wobble of the two
 * clocks. */
struct reply_time daemon_time(struct daemon *d);

/* This turn's moment on CLOCK_MONOTONIC, which stands still in a suspend: for time-outs of libraries that
 * count so. */
usec_t daemon_monotonic(const struct daemon *d);
