/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Memory that no file backs and that a descriptor stands for, so that it can outlive a process: for
 * host/state_store.
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"

/* Such memory, all zero, of a size that stays, as a descriptor. -errno. */
_must_check_ int state_memory_new(size_t size);

/*
 * Maps all of it: kept out of dumps and of children, and locked where the limit allows. *ret is to be
 * unmapped. 0; -EBADMSG where it is no such memory, or of no sane size; or -errno.
 */
_must_check_ int state_memory_map(int fd, char **ret, size_t *ret_size, bool *ret_is_locked);

/* Takes NULL. */
void state_memory_unmap(char *bytes, size_t size);

/* The largest that is made or mapped. */
#define STATE_MEMORY_MAX ((size_t) 1 << 30)
