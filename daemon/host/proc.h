/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What /proc tells of other processes, and pidfds, which hold a process fast while /proc knows numbers only:
 * what was read by number belongs to the process of a pidfd if that is seen to live *afterwards*, since no id
 * is given to another while its process lives. See proc(5), pidfd_open(2).
 *
 * With ProtectProc=invisible the files of other users' processes are not there, though the processes live.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* True when the numbers in /proc are those of our own pid namespace: it is mounted, and not somebody else's.
 */
bool proc_is_ours(void);

/* Reads the file whole as text. Its size, or -errno; -E2BIG when it does not fit. */
int proc_read_file(const char *path, char *ret, size_t size);

/* The same for /proc/PID/NAME. -ENOENT or -ESRCH: no such process, or hidden. */
int proc_read(int32_t pid, const char *name, char *ret, size_t size);

struct proc_stat {
    char state;           /* 'R', 'S' ...; 'Z' and 'X' have ended */
    uint64_t start_ticks; /* since boot (CLOCK_BOOTTIME), in units of sysconf(_SC_CLK_TCK) */
};

/* Reads the text of /proc/PID/stat; the name in it may be anything. 0 or -EBADMSG. */
int proc_parse_stat(const char *text, struct proc_stat *ret);

/* proc_read() and proc_parse_stat(). */
int proc_read_stat(int32_t pid, struct proc_stat *ret);

/* The name of the program: its path where we may know it, else "(comm)"; what is not printable becomes "?".
 * Returns `ret`, or NULL when it cannot be told. */
const char *proc_read_program(int32_t pid, char *ret, size_t size);

/* ---- pidfds ---- */

/* A pidfd of the process with this number, or -errno: -ESRCH when there is none. */
int pidfd_of(int32_t pid);

/* True while the process runs; false when it has ended, waited for or not. */
bool pidfd_is_alive(int pidfd);

/* A number that no other process has had since boot: pidfs gives one since Linux 6.9. 0 on older kernels. */
uint64_t pidfd_identity(int pidfd);
