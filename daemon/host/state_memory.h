/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Memory that no file backs and that a descriptor stands for, so that it can outlive a process: for
 * host/state_store.
 */

#include <stddef.h>

#include "base/cleanup.h"
#include "base/log.h"

/* Such memory, all zero, as a descriptor. -errno. */
_must_check_ int state_memory_new(size_t size);

/*
 * Maps all of it: kept out of dumps and of children, and locked as far as the limit allows; where it does
 * not, that is said. *ret is to be unmapped. 0; -EBADMSG where it is no memory, or of no sane size; or
 * -errno.
 */
_must_check_ int state_memory_map(int fd, struct log *log, char **ret, size_t *ret_size);

/* Takes NULL. */
void state_memory_unmap(char *bytes, size_t size);

/* The largest that is made or mapped. */
#define STATE_MEMORY_MAX ((size_t) 1 << 30)
