/* SPDX-License-Identifier: MIT */
#include "host/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include "base/cleanup.h"

/* linux/magic.h, since 6.9. */
#define PID_FS_MAGIC_NUMBER 0x50494446
/* The longest is "cgroup" with the largest number in front. */
#define PATH_SIZE 64
/* pid, comm of at most 64 bytes, and 50 numbers. */
#define STAT_SIZE 2048
/* Of fields counted from 1, as proc(5) does: behind the name comes the third. */
#define STAT_FIELD_START 22

/* ---- files ---- */

int proc_read_file(const char *path, char *ret, size_t size)
{
    _cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t n_read = 0;

    if (fd < 0)
        return -errno;
    for (;;) {
        ssize_t n = read(fd, ret + n_read, size - n_read);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        n_read += (size_t) n;
        if (n_read == size)
            return -E2BIG;
    }
    ret[n_read] = '\0';
    return (int) n_read;
}

int proc_read(int32_t pid, const char *name, char *ret, size_t size)
{
    char path[PATH_SIZE];

    (void) snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
    return proc_read_file(path, ret, size);
}

bool proc_is_ours(void)
{
    char text[8192];

    if (proc_read_file("/proc/self/status", text, sizeof(text)) < 0)
        return false;
    /* A number for each namespace from that of the mount down to the process's own. */
    const char *line = strstr(text, "\nNSpid:");
    if (!line)
        return false;
    line += strlen("\nNSpid:");
    line += strspn(line, " \t");
    return (int32_t) strtol(line, NULL, 10) == getpid() && line[strspn(line, "0123456789")] == '\n';
}

int proc_parse_stat(const char *text, struct proc_stat *ret)
{
    const char *at = strrchr(text, ')');
    char *end = NULL;

    if (!at || at[1] != ' ' || at[2] == '\0')
        return -EBADMSG;
    char state = at[2];
    at++;
    for (unsigned field = 3; field < STAT_FIELD_START; field++) {
        at = strchr(at + 1, ' ');
        if (!at)
            return -EBADMSG;
    }
    errno = 0;
    uint64_t ticks = strtoull(at + 1, &end, 10);
    if (errno != 0 || end == at + 1 || *end != ' ')
        return -EBADMSG;
    *ret = (struct proc_stat){.state = state, .start_ticks = ticks};
    return 0;
}

int proc_read_stat(int32_t pid, struct proc_stat *ret)
{
    char text[STAT_SIZE];

    int r = proc_read(pid, "stat", text, sizeof(text));
    return r < 0 ? r : proc_parse_stat(text, ret);
}

static void make_printable(char *text)
{
    for (; *text; text++) {
        if (*text < ' ' || *text > '~')
            *text = '?';
    }
}

const char *proc_read_program(int32_t pid, char *ret, size_t size)
{
    char path[PATH_SIZE], comm[PATH_SIZE];

    (void) snprintf(path, sizeof(path), "/proc/%d/exe", pid);
    ssize_t n = readlink(path, ret, size);
    if (n > 0 && (size_t) n < size) {
        ret[n] = '\0';
        make_printable(ret);
        return ret;
    }
    if (proc_read(pid, "comm", comm, sizeof(comm)) <= 0)
        return NULL;
    comm[strcspn(comm, "\n")] = '\0';
    make_printable(comm);
    return (size_t) snprintf(ret, size, "(%s)", comm) < size ? ret : NULL;
}

/* ---- pidfds ---- */

int pidfd_of(int32_t pid)
{
    int fd = (int) syscall(SYS_pidfd_open, pid, 0);
    return fd < 0 ? -errno : fd;
}

bool pidfd_is_alive(int pidfd)
{
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    return poll(&p, 1, 0) == 0;
}

uint64_t pidfd_identity(int pidfd)
{
    struct statfs fs;
    struct stat st;

    if (fstatfs(pidfd, &fs) < 0 || fs.f_type != PID_FS_MAGIC_NUMBER || fstat(pidfd, &st) < 0)
        return 0;
    return st.st_ino;
}
