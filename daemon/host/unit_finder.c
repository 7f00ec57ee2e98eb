/* SPDX-License-Identifier: MIT */
#include "host/unit_finder.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "host/cgroup_tree.h"
#include "host/clock.h"
#include "host/proc.h"

/* A line for each hierarchy: a dozen of the old ones, with paths of at most 4 KiB each and mostly of 50. */
#define CGROUP_TEXT_MAX 16384

void unit_finder_init(struct unit_finder *f)
{
    *f = (struct unit_finder){.tree_fd = cgroup_tree_open(), .has_proc = proc_is_ours()};
}

void unit_finder_done(struct unit_finder *f)
{
    if (f->tree_fd >= 0)
        (void) close(f->tree_fd);
    for (size_t i = 0; i < UNIT_FINDER_SLOTS; i++) {
        for (size_t k = 0; k < UNIT_FINDER_PATHS; k++)
            free(f->slots[i].paths[k]);
    }
    *f = (struct unit_finder){.tree_fd = -1};
}

/* ---- in /proc ---- */

/* False when /proc does not tell; true with the answer of a process that may have ended. */
static bool ask_proc(const struct unit_finder *f, int32_t pid, enum unit_answer *ret_answer,
                     char ret[static UNIT_NAME_SIZE])
{
    char text[CGROUP_TEXT_MAX];
    struct proc_stat stat;

    if (!f->has_proc || proc_read(pid, "cgroup", text, sizeof(text)) < 0 || proc_read_stat(pid, &stat) < 0)
        return false;
    *ret_answer = strchr("ZXx", stat.state) ? UNIT_GONE : unit_of_cgroup_text(text, ret);
    return true;
}

/* ---- in the tree ---- */

/* Moves a path to the front of its slot. */
static void slot_raise(char *paths[static UNIT_FINDER_PATHS], size_t position)
{
    char *path = paths[position];

    memmove(paths + 1, paths, position * sizeof(*paths));
    paths[0] = path;
}

static const char *find_remembered(struct unit_finder *f, char **paths, int32_t pid)
{
    for (size_t i = 0; i < UNIT_FINDER_PATHS && paths[i]; i++) {
        if (cgroup_tree_lists(f->tree_fd, paths[i], pid) != 1)
            continue;
        slot_raise(paths, i);
        return paths[0];
    }
    return NULL;
}

/* Where memory is out, nothing is remembered. */
static void remember(char **paths, const char *path)
{
    char *copy = strdup(path);

    if (!copy)
        return;
    free(paths[UNIT_FINDER_PATHS - 1]);
    paths[UNIT_FINDER_PATHS - 1] = copy;
    slot_raise(paths, UNIT_FINDER_PATHS - 1);
}

static bool may_search(usec_t *debt_at, usec_t now)
{
    *debt_at = usec_max(*debt_at, now);
    if (*debt_at > usec_add(now, (UNIT_FINDER_BURST - 1) * UNIT_FINDER_INTERVAL_FOR))
        return false;
    *debt_at = usec_add(*debt_at, UNIT_FINDER_INTERVAL_FOR);
    return true;
}

static enum unit_answer ask_tree(struct unit_finder *f, int32_t pid, uint32_t uid,
                                 char ret[static UNIT_NAME_SIZE])
{
    char **paths = f->slots[uid % UNIT_FINDER_SLOTS].paths, found[CGROUP_PATH_SIZE];

    if (f->tree_fd < 0)
        return UNIT_HIDDEN;
    const char *path = find_remembered(f, paths, pid);
    if (path)
        return unit_of_cgroup_path(path, ret);
    if (!may_search(&f->slots[uid % UNIT_FINDER_SLOTS].debt_at, clock_boottime()))
        return UNIT_BUSY;
    if (cgroup_tree_find(f->tree_fd, pid, found) < 0)
        return UNIT_HIDDEN;
    remember(paths, found);
    return unit_of_cgroup_path(found, ret);
}

enum unit_answer unit_finder_ask(struct unit_finder *f, int pidfd, int32_t pid, uint32_t uid,
                                 char ret[static UNIT_NAME_SIZE])
{
    enum unit_answer answer;
    char name[UNIT_NAME_SIZE];

    if (pid <= 0)
        return UNIT_NO_PID;
    if (!ask_proc(f, pid, &answer, name))
        answer = pidfd_is_alive(pidfd) ? ask_tree(f, pid, uid, name) : UNIT_GONE;
    /* Only now: what was read by its number was the process's own if it still lives. */
    if (!pidfd_is_alive(pidfd))
        return UNIT_GONE;
    if (answer == UNIT_KNOWN)
        memcpy(ret, name, sizeof(name));
    return answer;
}
