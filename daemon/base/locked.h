/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Memory for secrets: pages that are locked into RAM, left out of core dumps and not inherited by a fork, and
 * blocks that are wiped when they are given back. The one process-wide state in this layer, as malloc's is.
 *
 * Blocks of up to 4 KiB come from slabs of one size class each (steps of a quarter of a power of two, so at
 * most a fifth is wasted); larger ones are mapped on their own. Slabs are kept for reuse, not unmapped.
 *
 * The arena is the one thing that the loop shares with another thread: a reload reads keys in a thread of its
 * own (host/settings_worker), so a mutex stands around the arena's lists and counts, and nothing else. It is
 * held for some instructions, and for an mmap() and mlock() of four pages when a slab is added; blocks are
 * wiped outside. A block belongs to one thread at a time, as malloc's do.
 *
 * Locking can fail (RLIMIT_MEMLOCK). Memory is handed out all the same, since a daemon that cannot serve is
 * worse than one that could be swapped; locked_memory_stat() tells, so that the failure is logged once.
 */

#include <stdbool.h>
#include <stddef.h>

/* A zeroed block of at least `size` bytes, or NULL when memory is out. Free with locked_free() and the same
 * size. */
void *locked_alloc(size_t size);

/* Wipes the whole block and gives it back. NULL is allowed. `size` is what locked_alloc() was asked for. */
void locked_free(void *block, size_t size);

/* How much of a block asked for with `size` can really be used: a caller that grows may use the slack. */
size_t locked_usable_size(size_t size);

struct locked_stat {
    size_t mapped;   /* bytes mapped by this allocator */
    size_t unlocked; /* of these, bytes that could not be locked */
};

struct locked_stat locked_memory_stat(void);
