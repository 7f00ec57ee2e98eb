/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Which systemd unit a process runs in, told from its control group: for the rules unit:NAME.service. Pure:
 * what there is to read is read by host/unit_finder, which also sees to it that the process is the one that
 * connected.
 *
 * Only units of the *system* manager count. They are the first component of the path that is no slice, and
 * everything below belongs to them, because what a unit does in its own part of the tree is its own affair:
 *
 *     /system.slice/shop.service                               shop.service
 *     /system.slice/shop.service/workers/1                     shop.service       (Delegate=)
 *     /system.slice/system-shop.slice/shop@1.service           shop@1.service
 *     /user.slice/user-1000.slice/session-3.scope              session-3.scope
 *     /user.slice/user-1000.slice/user@1000.service/app.slice/shop.service
 *                                                              user@1000.service  (never shop.service: any
 *                                                              user may name a unit of his manager so)
 *     /  /docker/4d5c...  /system.slice                        none
 *     /../../system.slice/shop.service                         none: outside our cgroup namespace
 *     /system.slice/shop.service (deleted)                     none: a cgroup that is gone (a zombie's)
 *
 * systemd puts "_" before a name that would be taken for a file of cgroupfs ("_cgroup.service"); it is taken
 * off again. Sources: systemd 252, src/basic/cgroup-util.c (cg_path_get_unit, cg_unescape) and
 * src/basic/unit-name.c; cgroups(7); read in 2025.
 */

#include <stdbool.h>

/* "A unit name has at most 255 characters" (systemd.unit(5)), and the NUL. */
#define UNIT_NAME_SIZE 256

/* What is known of the unit of a process. Anything but UNIT_KNOWN admits by no unit rule. */
enum unit_answer {
    UNIT_KNOWN,
    UNIT_NONE,         /* it runs, and in no unit */
    UNIT_OUTSIDE,      /* its cgroup is none of those that we can see */
    UNIT_CONTRADICTED, /* the hierarchies of a hybrid layout name two units */
    UNIT_NO_PID,       /* it has no number in our pid namespace */
    UNIT_GONE,         /* it has ended: whoever holds its socket now is somebody else */
    UNIT_DOUBTFUL,     /* its number may have come to mean another process since it connected */
    UNIT_HIDDEN,       /* it lives, and its cgroup cannot be read or found */
    UNIT_BUSY,         /* finding it takes a search, and this user has caused too many of those */
};

/* The reason for people, as "the unit of the caller is not known: ..."; NULL for UNIT_KNOWN. */
const char *unit_answer_text(enum unit_answer answer);

/* The unit of a cgroup path. UNIT_KNOWN with the name in `ret`, UNIT_NONE or UNIT_OUTSIDE. */
enum unit_answer unit_of_cgroup_path(const char *path, char ret[static UNIT_NAME_SIZE]);

/*
 * The unit by the text of /proc/PID/cgroup. The unified hierarchy ("0::/...") says it; the hierarchy
 * "name=systemd" of the old layout is asked where there is no unified one or the process is in its root. In a
 * hybrid layout systemd keeps both alike: when they are not, the answer is UNIT_CONTRADICTED.
 */
enum unit_answer unit_of_cgroup_text(const char *text, char ret[static UNIT_NAME_SIZE]);

/* True when the component of a cgroup path is a slice. */
bool unit_is_slice(const char *name);

/*
 * What is wrong with the NAME of a rule unit:NAME, with the remedy; NULL when it can match. A name may hold
 * the globs * ? [a-z] [!a-z] and must end in .service or .scope.
 */
const char *unit_pattern_problem(const char *pattern);
