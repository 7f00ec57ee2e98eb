/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Where the state of the profiles lies while no process of ours is there: in memory that no file backs, whose
 * descriptor the service manager keeps (FDSTORE of sd_notify(3), passed back as sd_listen_fds_with_names(3)
 * describes). Never on disk: memfd_secret(2), which is never swapped, where the kernel has it and lets us
 * lock as much; else memfd_create(2), locked as long as we map it. Its size is sealed: what anybody else made
 * of that name is not even mapped.
 *
 * Without a service manager that keeps descriptors (FileDescriptorStoreMax=), all of it does nothing.
 *
 * wire/state.h has the layout, and why no end of the process can damage it. When the region is too small, a
 * larger one takes its place: it is filled, handed to the manager under the other of two names, and from then
 * on written to, while the old one is wiped and taken back. So the manager must have room for two. Where both
 * are there at a start, the one with the higher sequence number counts. As long as the manager takes no
 * message, the old one stays: nothing is ever written to memory that the next process will not get.
 */

#include <stdbool.h>

#include "base/log.h"
#include "host/passed_fds.h"
#include "host/supervisor.h"
#include "wire/state.h"

struct state_store;

/*
 * Takes its descriptors out of those that the manager passed, by their names. What cannot be used is logged,
 * and the store begins empty. `s` and `log` are borrowed. `n_profiles` are expected: the first region is made
 * for so many. 0 or -ENOMEM.
 */
_must_check_ int state_store_new(struct state_store **ret, struct supervisor *s, struct passed_fds *passed,
                                 size_t n_profiles, struct log *log);

/* Unmaps; the manager keeps what it has. Takes NULL; returns NULL. */
struct state_store *state_store_free(struct state_store *s);
DEFINE_CLEANUP(struct state_store *, state_store_free, state_store_free)

/* False when nothing is kept, and so nothing is worth writing. Takes NULL. */
bool state_store_is_used(const struct state_store *s);

/*
 * Each profile that another process left, once: `saved` may be moved out of; *slot is its place. 0 or
 * -ENOMEM; what was not told then is still there for the next process.
 */
_must_check_ int state_store_each(struct state_store *s,
                                  void (*take)(void *userdata, struct saved_profile *saved, size_t slot),
                                  void *userdata);

/* The place of a profile that was never saved. */
#define STATE_SLOT_NONE SIZE_MAX

/*
 * Writes the state of a profile; *slot is its place, and becomes the new one. 0, or -errno: the record before
 * stays, and the caller tries again later. -EAGAIN: a larger region is needed, and the manager takes nothing
 * just now; anything else (no memory, the limit of locked memory) is logged once.
 *
 * After one failure to get a larger region, those who need one fail at once until state_store_try_again();
 * who has room is saved meanwhile.
 */
_must_check_ int state_store_save(struct state_store *s, const struct saved_profile *saved, size_t *slot);

/* A larger region may be had by now. */
void state_store_try_again(struct state_store *s);

/* The profile is gone: wipes its record. */
void state_store_forget(struct state_store *s, size_t *slot);
