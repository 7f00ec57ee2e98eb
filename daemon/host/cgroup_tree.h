/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Finds a process in the tree of cgroups by looking for its number in their lists. For when /proc hides the
 * process (ProtectProc=invisible): the lists can be read by everybody all the same. See cgroups(7).
 *
 * "cgroup.threads" is read and not "cgroup.procs": there a process whose main thread has ended stays listed
 * in the cgroup where that was, even when the process has been moved since.
 */

#include <stddef.h>
#include <stdint.h>

/* Longer paths are not found. */
#define CGROUP_PATH_SIZE 1024

/*
 * What one search may look at. Slices and units are made by root; below its unit's cgroup anybody may be
 * allowed to make as many as he likes, so there it is little.
 */
#define CGROUP_DIRECTORIES_MAX         4096
#define CGROUP_DIRECTORIES_IN_UNIT_MAX 64
#define CGROUP_BYTES_MAX               ((size_t) 4 << 20)
#define CGROUP_DEPTH_MAX               12

/* A descriptor of the root of the unified hierarchy, or -errno: -ENOENT where there is none. */
int cgroup_tree_open(void);

/* 1 when the cgroup at this path ("/system.slice/x.service") lists the process, 0 when not; -ENOENT: gone. */
int cgroup_tree_lists(int root_fd, const char *path, int32_t pid);

/* The path of the cgroup that lists the process. 0, -ESRCH, or -E2BIG: not found in what may be looked at. */
int cgroup_tree_find(int root_fd, int32_t pid, char ret_path[static CGROUP_PATH_SIZE]);
