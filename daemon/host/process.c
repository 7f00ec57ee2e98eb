/* SPDX-License-Identifier: MIT */
#include "host/process.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

/* The loop, libcurl and the log hold about twenty; below this libmicrohttpd spins instead of serving. */
#define DESCRIPTORS_MIN 64

#if defined(__SANITIZE_ADDRESS__)
#define IS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define IS_SANITIZED 1
#endif
#endif
#ifndef IS_SANITIZED
#define IS_SANITIZED 0
#endif

int process_protect(void)
{
    if (setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}) < 0)
        return -errno;
    if (!IS_SANITIZED && prctl(PR_SET_DUMPABLE, 0) < 0)
        return -errno;
    return 0;
}

static void raise_limit(int resource, struct rlimit *ret)
{
    if (getrlimit((__rlimit_resource_t) resource, ret) < 0) {
        *ret = (struct rlimit){RLIM_INFINITY, RLIM_INFINITY};
        return;
    }
    ret->rlim_cur = ret->rlim_max;
    (void) setrlimit((__rlimit_resource_t) resource, ret);
}

int process_fill_standard_fds(void)
{
    int fd;

    do {
        fd = open("/dev/null", O_RDWR);
        if (fd < 0)
            return -errno;
    } while (fd <= STDERR_FILENO);
    (void) close(fd);
    return 0;
}

int process_raise_limits(unsigned long n_descriptors, struct log *log)
{
    struct rlimit descriptors, locked;

    raise_limit(RLIMIT_MEMLOCK, &locked);
    raise_limit(RLIMIT_NOFILE, &descriptors);
    if (descriptors.rlim_max < DESCRIPTORS_MIN) {
        log_error(
            log,
            "only %lu file descriptors are allowed, at least %d are needed: raise LimitNOFILE= of the unit",
            (unsigned long) descriptors.rlim_max, DESCRIPTORS_MIN);
        return -EMFILE;
    }
    if (descriptors.rlim_max < n_descriptors)
        log_warning(log,
                    "only %lu file descriptors are allowed, %lu are needed for MaxConnections=: connections "
                    "beyond will "
                    "wait; raise LimitNOFILE= of the unit or lower MaxConnections=",
                    (unsigned long) descriptors.rlim_max, n_descriptors);
    return 0;
}
