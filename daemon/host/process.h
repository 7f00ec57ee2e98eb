/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What the process asks of the kernel for itself, once, at start.
 */

#include "base/log.h"

/*
 * No core dump, and no process of the same user may trace us or read our memory (prctl(2), PR_SET_DUMPABLE).
 * In a build with a sanitizer only the first, since leak detection works by tracing. 0 or -errno.
 */
_must_check_ int process_protect(void);

/*
 * Raises the soft limits of descriptors and of locked memory to the hard ones; says when `n_descriptors` is
 * more. 0, or -EMFILE (logged) when there are too few descriptors to serve anybody.
 */
_must_check_ int process_raise_limits(unsigned long n_descriptors, struct log *log);

/* Opens /dev/null where descriptor 0, 1 or 2 is closed, so that no socket gets one of these numbers. 0 or
 * -errno. */
_must_check_ int process_fill_standard_fds(void);
