/* SPDX-License-Identifier: MIT */
#include "host/cgroup_tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>

#include "base/cleanup.h"
#include "core/unit.h"

#define DIRECTORY_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

struct search {
    int32_t pid;
    size_t n_directories_left;
    size_t n_in_unit_left;
    size_t n_bytes_left;
    unsigned depth;
    bool is_in_unit;
    bool is_cut; /* something was not looked at */
    size_t path_size;
    char path[CGROUP_PATH_SIZE];
};

int cgroup_tree_open(void)
{
    /* Pure, and hybrid. */
    static const char *const roots[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
    struct statfs fs;

    for (size_t i = 0; i < ARRAY_SIZE(roots); i++) {
        _cleanup_fd_ int fd = open(roots[i], DIRECTORY_FLAGS);
        if (fd >= 0 && fstatfs(fd, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC)
            return TAKE_FD(fd);
    }
    return -ENOENT;
}

/* ---- one cgroup ---- */

/* A list of numbers, read piece by piece. */
struct number_reader {
    int32_t wanted;
    uint64_t value; /* of the line so far */
};

static bool reader_finds(struct number_reader *r, const char *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (data[i] == '\n' && r->value == (uint64_t) r->wanted)
            return true;
        r->value = data[i] >= '0' && data[i] <= '9' ? r->value * 10 + (uint64_t) (data[i] - '0') : 0;
    }
    return false;
}

/* 1, 0 or -errno; counts down *n_left by what was read, and gives up with -E2BIG when that is used up. */
static int directory_lists(int directory_fd, int32_t pid, size_t *n_left)
{
    _cleanup_fd_ int fd = openat(directory_fd, "cgroup.threads", O_RDONLY | O_CLOEXEC);
    struct number_reader reader = {.wanted = pid};
    char data[4096];
    ssize_t n;

    if (fd < 0)
        return -errno;
    while ((n = read(fd, data, sizeof(data))) > 0) {
        if (reader_finds(&reader, data, (size_t) n))
            return 1;
        if ((size_t) n > *n_left)
            return -E2BIG;
        *n_left -= (size_t) n;
    }
    return n < 0 ? -errno : 0;
}

int cgroup_tree_lists(int root_fd, const char *path, int32_t pid)
{
    /* The paths begin with a slash: "/" is the root itself. */
    _cleanup_fd_ int fd = openat(root_fd, path[1] == '\0' ? "." : path + 1, DIRECTORY_FLAGS);
    size_t n_left = CGROUP_BYTES_MAX;

    return fd < 0 ? -errno : directory_lists(fd, pid, &n_left);
}

/* ---- all of them ---- */

static int search_below(struct search *s, int directory_fd);

static bool is_cgroup(const struct dirent *d)
{
    return d->d_type == DT_DIR && strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0;
}

/* True when the search may go into one more directory. */
static bool take_allowance(struct search *s)
{
    bool is_allowed =
        s->n_directories_left > 0 && s->depth < CGROUP_DEPTH_MAX && (!s->is_in_unit || s->n_in_unit_left > 0);

    if (!is_allowed) {
        s->is_cut = true;
        return false;
    }
    s->n_directories_left--;
    s->n_in_unit_left -= s->is_in_unit;
    return true;
}

/* Into the directory and back. As search_below(). */
static int search_child(struct search *s, int parent_fd, const char *name)
{
    bool begins_unit = !s->is_in_unit && !unit_is_slice(name);
    size_t path_size = s->path_size, name_size = strlen(name);

    if (begins_unit)
        s->n_in_unit_left = CGROUP_DIRECTORIES_IN_UNIT_MAX;
    if (path_size + 1 + name_size >= sizeof(s->path)) {
        s->is_cut = true;
        return 0;
    }
    if (!take_allowance(s))
        return 0;
    _cleanup_fd_ int fd = openat(parent_fd, name, DIRECTORY_FLAGS);
    if (fd < 0)
        return 0; /* removed meanwhile */
    s->is_in_unit = s->is_in_unit || begins_unit;
    s->depth++;
    s->path[path_size] = '/';
    memcpy(s->path + path_size + 1, name, name_size + 1);
    s->path_size = path_size + 1 + name_size;
    int r = search_below(s, fd);
    if (r > 0)
        return r;
    s->depth--;
    s->path_size = path_size;
    if (begins_unit)
        s->is_in_unit = false;
    return 0;
}

/* 1 when the process is in this cgroup or one below: s->path names it; else 0. */
static int search_below(struct search *s, int directory_fd)
{
    int r = directory_lists(directory_fd, s->pid, &s->n_bytes_left);
    if (r == 1)
        return 1;
    if (r == -E2BIG)
        s->is_cut = true;
    int copy_fd = fcntl(directory_fd, F_DUPFD_CLOEXEC, 0);
    DIR *directory = copy_fd < 0 ? NULL : fdopendir(copy_fd);
    if (!directory) {
        close_fd_p(&copy_fd);
        s->is_cut = true;
        return 0;
    }
    r = 0;
    for (struct dirent *d; r == 0 && (d = readdir(directory));) {
        if (is_cgroup(d))
            r = search_child(s, directory_fd, d->d_name);
    }
    (void) closedir(directory);
    return r;
}

int cgroup_tree_find(int root_fd, int32_t pid, char ret_path[static CGROUP_PATH_SIZE])
{
    struct search s = {
        .pid = pid,
        .n_directories_left = CGROUP_DIRECTORIES_MAX,
        .n_bytes_left = CGROUP_BYTES_MAX,
    };
    _cleanup_fd_ int fd = openat(root_fd, ".", DIRECTORY_FLAGS);

    if (fd < 0)
        return -errno;
    if (search_below(&s, fd) == 0)
        return s.is_cut ? -E2BIG : -ESRCH;
    if (s.path_size == 0)
        s.path[s.path_size++] = '/';
    memcpy(ret_path, s.path, s.path_size);
    ret_path[s.path_size] = '\0';
    return 0;
}
