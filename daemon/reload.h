/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Settings and keys, read anew while the daemon serves.
 *
 *     IDLE     --SIGHUP, POST /v1/reload--> READING   a thread reads everything into fresh structures
 *     READING  --any problem--------------> IDLE      the old settings stay, entire; the problems are told
 *     READING  --all is well--------------> IDLE      the new ones are in force, in one step; changed keys
 *                                                     are being proven
 *     READING  --asked again--------------> READING   once more, when it is done: a file may have changed
 *                                                     behind the reader
 *
 * In force means: limits, admins and rules at once, for open connections with their next request; profiles by
 * registry_apply(). What belongs to the socket or to start-up (Socket=, SocketMode=, SocketGroup=,
 * MaxConnections=) stays as it is, with a warning that names the remedy.
 *
 * Who asked over the API waits in the registry, for the reading and for the proofs (registry_hold_proofs()).
 * The outcome of the last reload is kept for them. Once the daemon stops, nothing is read or put in force any
 * more.
 */

#include "base/buffer.h"
#include "base/problem.h"
#include "core/registry.h"
#include "host/settings_load.h"
#include "host/settings_worker.h"
#include "wire/reply.h"

struct daemon;

enum reload_kind {
    RELOAD_ADDED,
    RELOAD_REMOVED,
    RELOAD_CHANGED,
    N_RELOAD_KINDS,
};

/* What became of one profile. */
struct reload_change {
    char name[PROFILE_NAME_MAX + 1];
    enum reload_kind kind;
    enum settings_change change; /* of a RELOAD_CHANGED one */
};

struct reload {
    struct daemon *daemon;          /* borrowed */
    struct settings_source source;  /* where to read; borrowed strings */
    struct settings_worker *worker; /* while READING */
    bool is_wanted_again;           /* asked for while READING */
    bool is_refused;                /* the last one was */
    int error;                      /* the machine failed in the last one: -errno */
    struct problems problems;       /* of the last one */
    struct reload_change *changes;  /* of the last one, all its readings taken together */
    size_t n_changes, n_unchanged;
};

void reload_init(struct reload *r, struct daemon *d, const struct settings_source *source);

/*
 * Stops. False when the reading thread hangs in somebody else's code, and the process has to leave by _exit()
 * (host/settings_worker.h).
 */
_must_check_ bool reload_done(struct reload *r);

/* Reads everything anew, from after this call on. False: the daemon stops, and reads nothing any more. */
bool reload_start(struct reload *r);

bool reload_is_reading(const struct reload *r);

/*
 * The body that tells the outcome of the last reload, and what has become of the keys to be proven so far.
 * Returns its HTTP status: 200, or 409 for a reload that was refused (a problem of RFC 9457).
 */
unsigned reload_write_outcome(const struct reload *r, struct buffer *out);
