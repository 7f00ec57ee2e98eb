/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/locked.h"

static bool is_zero(const char *p, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (p[i] != 0)
            return false;
    }
    return true;
}

static void blocks_are_zeroed_and_apart(void **state _unused_)
{
    char *blocks[700];

    for (size_t i = 0; i < ARRAY_SIZE(blocks); i++) {
        size_t size = i * 7 + 1;
        blocks[i] = locked_alloc(size);
        assert_non_null(blocks[i]);
        assert_true((uintptr_t) blocks[i] % 8 == 0);
        assert_true(is_zero(blocks[i], locked_usable_size(size)));
        memset(blocks[i], (int) (i % 255) + 1, locked_usable_size(size));
    }
    for (size_t i = 0; i < ARRAY_SIZE(blocks); i++) {
        size_t size = i * 7 + 1;
        for (size_t k = 0; k < locked_usable_size(size); k++)
            assert_int_equal((unsigned char) blocks[i][k], i % 255 + 1);
        locked_free(blocks[i], size);
    }
}

/* The slab stays mapped, so the freed block can be looked at; only its first pointer is the allocator's
 * again. */
static void a_freed_block_is_wiped_to_its_last_byte(void **state _unused_)
{
    for (size_t size = 1; size <= 4096; size++) {
        size_t usable = locked_usable_size(size);
        char *p = locked_alloc(size);
        memset(p, 0xa5, usable);
        locked_free(p, size);
        assert_true(is_zero(p + sizeof(void *), usable - sizeof(void *)));
    }
}

static void a_freed_block_is_used_again_and_clean(void **state _unused_)
{
    static const size_t sizes[] = {0, 1, 32, 33, 100, 1500, 4095, 4096};

    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        char *p = locked_alloc(sizes[i]);
        memset(p, 0xff, locked_usable_size(sizes[i]));
        locked_free(p, sizes[i]);
        size_t mapped = locked_memory_stat().mapped;
        char *again = locked_alloc(sizes[i]);
        assert_ptr_equal(again, p);
        assert_true(is_zero(again, locked_usable_size(sizes[i])));
        assert_int_equal(locked_memory_stat().mapped, mapped);
        locked_free(again, sizes[i]);
    }
}

static void classes_waste_little_and_are_stable(void **state _unused_)
{
    size_t last = 0;

    for (size_t size = 0; size <= 20000; size++) {
        size_t usable = locked_usable_size(size);
        assert_true(usable >= size && usable >= last);
        /* A caller that takes the slack and frees with the larger size must hit the same block. */
        assert_int_equal(locked_usable_size(usable), usable);
        if (size > 32 && size <= 4096)
            assert_true((usable - size) * 5 <= usable);
        last = usable;
    }
}

static void huge_blocks_come_and_go(void **state _unused_)
{
    static const size_t sizes[] = {4097, 8192, 16384, 65537, 1000000};

    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        struct locked_stat before = locked_memory_stat();
        char *p = locked_alloc(sizes[i]);
        assert_non_null(p);
        assert_true(is_zero(p, locked_usable_size(sizes[i])));
        memset(p, 1, locked_usable_size(sizes[i]));
        assert_true(locked_memory_stat().mapped >= before.mapped + sizes[i]);
        locked_free(p, sizes[i]);
        struct locked_stat after = locked_memory_stat();
        assert_int_equal(after.mapped, before.mapped);
        assert_int_equal(after.unlocked, before.unlocked);
    }
}

static void impossible_sizes_are_refused(void **state _unused_)
{
    assert_null(locked_alloc(SIZE_MAX));
    assert_null(locked_alloc(SIZE_MAX - 1));
    assert_null(locked_alloc(SIZE_MAX - 4095));
    assert_null(locked_alloc(SIZE_MAX - 4096));
    assert_null(locked_alloc(SIZE_MAX / 2));
    locked_free(NULL, 10);
    locked_free(NULL, 10000);
}

static size_t locked_kib(void)
{
    char line[256];
    size_t kib = 0;
    FILE *f = fopen("/proc/self/status", "re");

    while (f && fgets(line, sizeof(line), f)) {
        if (sscanf(line, "VmLck: %zu", &kib) == 1)
            break;
    }
    if (f)
        (void) fclose(f);
    return kib;
}

/* From here on this process may lock nothing; root's right to lock all the same goes with root. */
static bool give_up_locking(void)
{
    struct rlimit none = {0};

    return setrlimit(RLIMIT_MEMLOCK, &none) == 0 && (geteuid() != 0 || setresuid(65534, 65534, 65534) == 0);
}

/* AddressSanitizer replaces mlock(2) by one that always succeeds: then there is nothing to see. */
#define CANNOT_FAIL 77

static bool locking_fails(void)
{
    static char page[8192];
    return mlock(page, sizeof(page)) < 0;
}

/* The child's exit status tells what was found: a limit cannot be raised again in this process. */
static int child_without_right_to_lock(void)
{
    if (!give_up_locking())
        return 10;
    if (!locking_fails())
        return CANNOT_FAIL;
    struct locked_stat before = locked_memory_stat();
    char *p = locked_alloc(9000);
    if (!p)
        return 11;
    p[8999] = 1;
    struct locked_stat during = locked_memory_stat();
    locked_free(p, 9000);
    struct locked_stat after = locked_memory_stat();
    if (after.unlocked != before.unlocked || after.mapped != before.mapped)
        return 12;
    return during.unlocked - before.unlocked == during.mapped - before.mapped ? 0 : 13;
}

static int run_child(int (*child)(void))
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0)
        _exit(child());
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void memory_comes_even_when_it_cannot_be_locked(void **state _unused_)
{
    int status = run_child(child_without_right_to_lock);
    if (status == CANNOT_FAIL) {
        print_message("skipped: this user may lock memory whatever the limit says\n");
        skip();
    }
    assert_int_equal(status, 0);
}

/*
 * What could not be locked stays counted when another mapping, which was locked, goes: locked huge block
 * first, then the right to lock goes, an unlocked one comes, and the locked one goes.
 */
static int child_that_loses_the_right(void)
{
    char *locked = locked_alloc(9000);
    struct locked_stat before = locked_memory_stat();

    if (!locked || !give_up_locking())
        return 10;
    /* Where even the first could not be locked there is nothing to tell apart. */
    if (!locking_fails() || before.unlocked > 0)
        return CANNOT_FAIL;
    char *unlocked = locked_alloc(9000);
    struct locked_stat between = locked_memory_stat();
    if (!unlocked || between.unlocked == 0)
        return 11;
    locked_free(locked, 9000);
    if (locked_memory_stat().unlocked != between.unlocked)
        return 12;
    locked_free(unlocked, 9000);
    return locked_memory_stat().unlocked == 0 ? 0 : 13;
}

static void the_count_of_unlocked_bytes_is_exact(void **state _unused_)
{
    int status = run_child(child_that_loses_the_right);
    if (status == CANNOT_FAIL) {
        print_message("skipped: this user may lock memory whatever the limit says\n");
        skip();
    }
    assert_int_equal(status, 0);
}

static void pages_are_locked_where_that_is_allowed(void **state _unused_)
{
    size_t before = locked_kib();
    char *p = locked_alloc(20000);
    struct locked_stat stat = locked_memory_stat();

    if (stat.unlocked == 0 && locked_kib() > 0)
        assert_true(locked_kib() >= before + 20000 / 1024);
    locked_free(p, 20000);
}

static char *inherited;

static int child_that_looks(void)
{
    return is_zero(inherited, 600) ? 0 : 1;
}

static void a_fork_does_not_inherit(void **state _unused_)
{
    inherited = locked_alloc(600);
    memset(inherited, 'k', 600);
    assert_int_equal(run_child(child_that_looks), 0);
    assert_int_equal(inherited[599], 'k');
    locked_free(inherited, 600);
}

/* Enough rounds that without the mutex two threads are handed the same block, or a list of free ones breaks.
 */
#define N_ROUNDS 1000000

static pthread_barrier_t begin;

/* Takes and gives back blocks, most of one size, marked as this thread's. The number of blocks that were not.
 */
static void *keep_busy(void *mark)
{
    static const size_t sizes[] = {20, 20, 20, 20, 20, 20, 20, 600};
    unsigned char *blocks[ARRAY_SIZE(sizes)] = {0};
    size_t n_wrong = 0;

    (void) pthread_barrier_wait(&begin);
    for (size_t i = 0; i < N_ROUNDS; i++) {
        size_t k = i % ARRAY_SIZE(sizes);
        if (blocks[k])
            n_wrong += blocks[k][0] != *(unsigned char *) mark || blocks[k][sizes[k] - 1] != blocks[k][0];
        locked_free(blocks[k], sizes[k]);
        blocks[k] = locked_alloc(sizes[k]);
        n_wrong += !blocks[k] || !is_zero((char *) blocks[k], sizes[k]);
        memset(blocks[k], *(unsigned char *) mark, sizes[k]);
    }
    for (size_t k = 0; k < ARRAY_SIZE(sizes); k++)
        locked_free(blocks[k], sizes[k]);
    return (void *) n_wrong;
}

/* A reload reads keys in a thread of its own while the loop goes on handing out tokens. */
static void two_threads_share_it(void **state _unused_)
{
    unsigned char ours = 'o', theirs = 't';
    struct locked_stat before = locked_memory_stat();
    void *n_wrong = NULL;
    pthread_t thread;

    assert_int_equal(pthread_barrier_init(&begin, NULL, 2), 0);
    assert_int_equal(pthread_create(&thread, NULL, keep_busy, &theirs), 0);
    assert_null(keep_busy(&ours));
    assert_int_equal(pthread_join(thread, &n_wrong), 0);
    assert_null(n_wrong);
    /* A lost block would be another slab, in the end. */
    assert_true(locked_memory_stat().mapped <= before.mapped + 10 * (size_t) 16384);
    assert_int_equal(pthread_barrier_destroy(&begin), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_zeroed_and_apart),
        cmocka_unit_test(a_freed_block_is_wiped_to_its_last_byte),
        cmocka_unit_test(a_freed_block_is_used_again_and_clean),
        cmocka_unit_test(classes_waste_little_and_are_stable),
        cmocka_unit_test(huge_blocks_come_and_go),
        cmocka_unit_test(impossible_sizes_are_refused),
        cmocka_unit_test(memory_comes_even_when_it_cannot_be_locked),
        cmocka_unit_test(the_count_of_unlocked_bytes_is_exact),
        cmocka_unit_test(pages_are_locked_where_that_is_allowed),
        cmocka_unit_test(a_fork_does_not_inherit),
        cmocka_unit_test(two_threads_share_it),
    };
    return cmocka_run_group_tests_name("locked", tests, NULL, NULL);
}
