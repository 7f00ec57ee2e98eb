/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What goes on over a restart: each profile's state (core/saved.h) is written to host/state_store whenever it
 * has changed, and taken from there at the start.
 */

struct daemon;
struct entry;

/* Takes what another process left of the profiles, before they are started. 0 or -errno. */
int restart_begin(struct daemon *d);

/* Saves all that has changed. What cannot be saved just now is tried again a little later. */
void restart_save(struct daemon *d);

/* The last time, at an orderly end: also what else would have waited. */
void restart_save_all(struct daemon *d);

/* A reload removes the profile: what was saved of it is wiped. */
void restart_forget(struct daemon *d, struct entry *e);
