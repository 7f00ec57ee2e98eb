/* SPDX-License-Identifier: MIT */
/*
 * The process ends in the middle of a write: at every instruction of it. A child does the work and is stepped
 * through it; after each instruction that changed the region, what the next process would find there is
 * looked at.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../valgrind.h"
#include "wire/state.h"

#define N_SLOTS ((size_t) 4)
#define SIZE    (STATE_HEADER_SIZE + N_SLOTS * STATE_SLOT_SIZE_MIN)

static const uint8_t boot[STATE_BOOT_ID_SIZE] = {1, 2, 3};

static char *shared; /* with the child */
/* Aligned as a mapping is. */
static _Alignas(4096) char seen[SIZE], before[SIZE];
static char old_text[1000], new_text[1500];

static struct state_region region_at(char *bytes)
{
    return (struct state_region){
        .bytes = bytes, .size = SIZE, .slot_size = STATE_SLOT_SIZE_MIN, .n_slots = N_SLOTS, .sequence = 9};
}

static int set_up(void **state _unused_)
{
    shared = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return -1;
    memset(old_text, 'o', sizeof(old_text));
    memset(new_text, 'n', sizeof(new_text));
    struct state_region r = region_at(shared);
    int k = state_region_format(&r, boot);
    return k < 0 ? k : state_region_write(&r, 1, old_text, sizeof(old_text));
}

static int tear_down(void **state _unused_)
{
    return munmap(shared, SIZE);
}

/* What the next process would find: of whole records the one with the highest number. Cleans up as it does.
 */
static const char *recover(char *bytes, size_t *ret_size)
{
    struct state_region r = {.bytes = bytes, .size = SIZE};
    const char *problem = NULL, *best = NULL, *record;
    uint64_t best_sequence = 0, sequence;
    size_t size;

    assert_int_equal(state_region_open(&r, boot, &problem), 0);
    for (size_t i = 0; i < r.n_slots; i++) {
        int k = state_region_read(&r, i, &sequence, &record, &size);
        if (k == -EBADMSG)
            state_region_wipe(&r, i);
        if (k < 0 || sequence <= best_sequence)
            continue;
        best_sequence = sequence;
        best = record;
        *ret_size = size;
    }
    return best;
}

/* In the records alone: a checksum has any byte. */
static size_t count_bytes(const char *bytes, char c)
{
    size_t n = 0;

    for (size_t i = STATE_HEADER_SIZE; i < SIZE; i++)
        n += bytes[i] == c && i % STATE_SLOT_SIZE_MIN >= STATE_SLOT_OVERHEAD;
    return n;
}

/* One instruction of the child; false when it has ended. */
static bool step(pid_t child)
{
    int status;

    assert_int_equal(ptrace(PTRACE_SINGLESTEP, child, NULL, NULL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status)) {
        assert_int_equal(WEXITSTATUS(status), 0);
        return false;
    }
    assert_true(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP);
    return true;
}

/* A child that is about to do the work; 0 where nobody may trace. */
static pid_t begin(void (*work)(struct state_region *))
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        struct state_region r = region_at(shared);
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
            _exit(77);
        (void) raise(SIGSTOP);
        work(&r);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSTOPPED(status) ? child : 0;
}

/* Is called for each state of the region that a kill could leave; `shared` is as it is found. */
static unsigned for_each_cut(void (*work)(struct state_region *), void (*look)(char *left))
{
    unsigned n = 0;

    if (is_under_valgrind()) {
        print_message("skipped: of valgrind, which runs the instructions, each is stepped through as well\n");
        skip();
    }
    pid_t child = begin(work);
    if (child == 0) {
        print_message("skipped: no process may be traced here\n");
        skip();
    }
    memcpy(before, shared, SIZE);
    while (step(child)) {
        if (memcmp(before, shared, SIZE) == 0)
            continue;
        memcpy(before, shared, SIZE);
        memcpy(seen, shared, SIZE);
        look(seen);
        n++;
    }
    return n;
}

static bool has_new; /* the new record was there once */

static void write_new(struct state_region *r)
{
    if (state_region_write(r, 2, new_text, sizeof(new_text)) < 0)
        _exit(1);
}

static void old_or_new(char *left)
{
    size_t size = 0;
    const char *record = recover(left, &size);

    assert_non_null(record);
    if (size == sizeof(new_text)) {
        assert_memory_equal(record, new_text, size);
        has_new = true;
    } else {
        assert_false(has_new);
        assert_int_equal(size, sizeof(old_text));
        assert_memory_equal(record, old_text, size);
    }
}

/* The half of a token that was not finished is wiped. */
static void no_half_is_left(char *left)
{
    old_or_new(left);
    if (!has_new)
        assert_int_equal(count_bytes(left, 'n'), 0);
}

static void a_write_that_is_cut_off_leaves_the_old_or_the_new(void **state _unused_)
{
    has_new = false;
    assert_true(for_each_cut(write_new, no_half_is_left) > 20);
    assert_true(has_new);
}

static void wipe_old(struct state_region *r)
{
    state_region_wipe(r, 1);
}

static void nothing_of_the_old_is_left(char *left)
{
    size_t size = 0;
    const char *record = recover(left, &size);

    assert_non_null(record);
    assert_int_equal(size, sizeof(new_text));
    assert_memory_equal(record, new_text, size);
    /* It may still be there whole, and is then wiped as the older of two. */
    size_t n = count_bytes(left, 'o');
    assert_true(n == 0 || n == sizeof(old_text));
}

static void a_wipe_that_is_cut_off_leaves_the_new(void **state _unused_)
{
    struct state_region r = region_at(shared);

    r.sequence = 10;
    assert_int_equal(state_region_write(&r, 2, new_text, sizeof(new_text)), 0);
    assert_true(for_each_cut(wipe_old, nothing_of_the_old_is_left) > 10);
    assert_int_equal(count_bytes(shared, 'o'), 0);
}

static void exchange(struct state_region *r)
{
    write_new(r);
    wipe_old(r);
}

static void an_exchange_that_is_cut_off_leaves_the_old_or_the_new(void **state _unused_)
{
    has_new = false;
    assert_true(for_each_cut(exchange, old_or_new) > 30);
    assert_true(has_new);
    assert_int_equal(count_bytes(shared, 'o'), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_write_that_is_cut_off_leaves_the_old_or_the_new),
        TEST(a_wipe_that_is_cut_off_leaves_the_new),
        TEST(an_exchange_that_is_cut_off_leaves_the_old_or_the_new),
    };
    return cmocka_run_group_tests_name("state, cut off", tests, NULL, NULL);
}
