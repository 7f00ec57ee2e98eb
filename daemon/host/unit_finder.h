/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The unit of a process that is pinned by a pidfd, as it is now. What the unit is of which path, and which
 * units count, core/unit says.
 *
 * What is read is read by number, and belongs to the process if its pidfd shows it alive afterwards:
 *
 *     /proc/PID/cgroup can be read          that text; and /proc/PID/stat must not call the main thread
 * ended, since then the text is of when it ended it cannot, though the process lives   it is hidden
 * (ProtectProc=invisible and the like): the process is looked for in the lists of the cgroups themselves and
 * it is not found there             UNIT_HIDDEN afterwards it has ended               UNIT_GONE, whatever was
 * read
 *
 * A search costs some microseconds for each cgroup of the system. So the cgroups where processes of a user
 * were found are remembered and asked first, which takes a file or a few; and what a user can set off beyond
 * that is limited. Users share these with few others, by their number, so that nobody uses up another's.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/usec.h"
#include "core/unit.h"

/* Users are told apart in so many groups. */
#define UNIT_FINDER_SLOTS 64
/* cgroups remembered for each: one www-data may run several services. */
#define UNIT_FINDER_PATHS 4
/* Searches of a slot: so many at once, and one each so much later. With 300 cgroups one takes about 3 ms. */
#define UNIT_FINDER_BURST        20
#define UNIT_FINDER_INTERVAL_FOR (100 * USEC_PER_MSEC)

struct unit_finder {
    int tree_fd;   /* the root of the unified hierarchy; -1: none */
    bool has_proc; /* /proc shows our pid namespace */
    struct {
        char *paths[UNIT_FINDER_PATHS]; /* the last found first; owned */
        usec_t debt_at;                 /* when all searches so far are paid for */
    } slots[UNIT_FINDER_SLOTS];
};

void unit_finder_init(struct unit_finder *f);
void unit_finder_done(struct unit_finder *f);

/* The process `pid` of `pidfd`, which runs as `uid` or did when it connected. */
enum unit_answer unit_finder_ask(struct unit_finder *f, int pidfd, int32_t pid, uint32_t uid,
                                 char ret[static UNIT_NAME_SIZE]);
