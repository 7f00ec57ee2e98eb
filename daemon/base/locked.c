/* SPDX-License-Identifier: MIT */
#include "base/locked.h"

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "base/cleanup.h"

/* Large enough for ten JWTs of the usual 1.4 KB, small enough that ten classes in use cost little resident
 * memory. */
#define SLAB_SIZE  ((size_t) 16384)
#define BLOCK_MAX  ((size_t) 4096)
#define BLOCK_MIN  ((size_t) 32)
#define PAGE_SIZE_ ((size_t) 4096)
#define N_CLASSES  32

struct free_block {
    struct free_block *next;
};

/* In front of a block with a mapping of its own: whether its lock held, for an exact count when it goes. */
struct huge_header {
    _Alignas(max_align_t) bool is_locked;
};

static struct {
    pthread_mutex_t mutex; /* around everything below */
    struct free_block *free[N_CLASSES];
    struct locked_stat stat;
} arena = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* Neither call can fail for a default mutex that its own thread does not hold. */
static pthread_mutex_t *arena_lock(void)
{
    (void) pthread_mutex_lock(&arena.mutex);
    return &arena.mutex;
}

static void arena_unlock_p(pthread_mutex_t **mutex)
{
    (void) pthread_mutex_unlock(*mutex);
}

/* Holds the arena until the end of the block. */
#define WITH_ARENA _cleanup_(arena_unlock_p) _unused_ pthread_mutex_t *locked_ = arena_lock()

/* The size class for `size` (at most BLOCK_MAX) and the true size of its blocks: 32, 40, 48, 56, 64, 80, ...
 */
static size_t class_of(size_t size, size_t *ret_block_size)
{
    size_t step = BLOCK_MIN / 4, block = BLOCK_MIN, class = 0;

    while (block < size) {
        if (class % 4 == 0 && class > 0)
            step *= 2;
        block += step;
        class ++;
    }
    *ret_block_size = block;
    return class;
}

static size_t round_to_pages(size_t size)
{
    return (size + PAGE_SIZE_ - 1) & ~(PAGE_SIZE_ - 1);
}

/* The mapping for a block of `size` bytes over BLOCK_MAX. */
static size_t huge_mapping_size(size_t size)
{
    return round_to_pages(sizeof(struct huge_header) + size);
}

/* To be called with the arena held, for its counts. */
static void *map_locked(size_t size, bool *ret_is_locked)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    /* Both are advice: a kernel without them still gives memory that works, and core dumps are off anyway. */
    (void) madvise(p, size, MADV_DONTDUMP);
    (void) madvise(p, size, MADV_WIPEONFORK);
    *ret_is_locked = mlock(p, size) == 0;
    arena.stat.mapped += size;
    if (!*ret_is_locked)
        arena.stat.unlocked += size;
    return p;
}

static void *huge_alloc(size_t size)
{
    WITH_ARENA;
    bool is_locked;
    struct huge_header *header = map_locked(huge_mapping_size(size), &is_locked);
    if (!header)
        return NULL;
    header->is_locked = is_locked;
    return header + 1;
}

static void huge_free(void *block, size_t size)
{
    struct huge_header *header = (struct huge_header *) block - 1;
    size_t mapped = huge_mapping_size(size);
    bool was_locked = header->is_locked;

    explicit_bzero(header, mapped);
    (void) munmap(header, mapped);
    WITH_ARENA;
    arena.stat.mapped -= mapped;
    if (!was_locked)
        arena.stat.unlocked -= mapped;
}

/* To be called with the arena held. */
static bool class_refill(size_t class, size_t block_size)
{
    bool is_locked;
    char *slab = map_locked(SLAB_SIZE, &is_locked);
    if (!slab)
        return false;
    for (size_t at = 0; at + block_size <= SLAB_SIZE; at += block_size) {
        struct free_block *b = (void *) (slab + at);
        b->next = arena.free[class];
        arena.free[class] = b;
    }
    return true;
}

void *locked_alloc(size_t size)
{
    if (size > SIZE_MAX - 2 * PAGE_SIZE_)
        return NULL;
    if (size > BLOCK_MAX)
        return huge_alloc(size);

    size_t block_size;
    size_t class = class_of(size, &block_size);
    WITH_ARENA;
    if (!arena.free[class] && !class_refill(class, block_size))
        return NULL;
    struct free_block *b = arena.free[class];
    arena.free[class] = b->next;
    b->next = NULL;
    return b;
}

void locked_free(void *block, size_t size)
{
    if (!block)
        return;
    if (size > BLOCK_MAX) {
        huge_free(block, size);
        return;
    }

    size_t block_size;
    size_t class = class_of(size, &block_size);
    explicit_bzero(block, block_size);
    struct free_block *b = block;
    WITH_ARENA;
    b->next = arena.free[class];
    arena.free[class] = b;
}

size_t locked_usable_size(size_t size)
{
    size_t block_size;

    if (size > BLOCK_MAX)
        return huge_mapping_size(size) - sizeof(struct huge_header);
    (void) class_of(size, &block_size);
    return block_size;
}

struct locked_stat locked_memory_stat(void)
{
    WITH_ARENA;
    return arena.stat;
}
