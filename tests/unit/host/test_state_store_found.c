/* SPDX-License-Identifier: MIT */
/* What the next process may find: two of it, something else, something damaged, and what SIGKILL leaves. */
#include "store_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- two of them ---- */

/* The new one was taken, the word to drop the old one was not: both are there at the next start. */
static void of_two_the_newer_counts(void **state _unused_)
{
    struct passed_fd old;

    save(0, 1);
    save(1, 1);
    manager_take(&m);
    old = (struct passed_fd){.fd = fcntl(m.kept[0].fd, F_DUPFD_CLOEXEC, 3), .name = strdup(m.kept[0].name)};
    for (size_t i = 2; i < 20; i++)
        save(i, 1);
    save(0, 2);
    end();
    assert_int_equal(m.n_kept, 1);
    assert_string_not_equal(m.kept[0].name, old.name);
    /* First or second, and even twice by one name. */
    m.kept[m.n_kept++] = old;
    m.kept[m.n_kept++] = (struct passed_fd){.fd = m.kept[0].fd, .name = m.kept[0].name};
    m.kept[0] = (struct passed_fd){.fd = fcntl(old.fd, F_DUPFD_CLOEXEC, 3), .name = strdup(m.kept[2].name)};
    begin(0);
    assert_int_equal(profiles[0].generation, 2);
    assert_int_equal(profiles[19].generation, 1);
    for (size_t i = 0; i < N_MAX; i++) {
        save(i, 3);
        manager_take(&m);
    }
    assert_int_equal(m.n_kept, 1);
    restart();
    assert_int_equal(profiles[N_MAX - 1].generation, 3);
}

/*
 * Killed once the manager had the new one, before the old one was wiped, and the manager does not let go of
 * it for long: by then the new one may be empty.
 */
static void the_older_of_two_never_counts_again(void **state _unused_)
{
    struct passed_fd old;
    size_t size;

    save(0, 1);
    manager_take(&m);
    old = (struct passed_fd){.fd = fcntl(m.kept[0].fd, F_DUPFD_CLOEXEC, 3), .name = strdup(m.kept[0].name)};
    char *bytes = map_kept(old.fd, &size), *before = malloc(size);
    assert_non_null(before);
    memcpy(before, bytes, size);
    for (size_t i = 1; i < 20; i++)
        save(i, 1);
    end();
    memcpy(bytes, before, size);
    (void) munmap(bytes, size);
    free(before);
    m.kept[m.n_kept++] = old;
    assert_int_equal(count_kept("-of-0>"), 2);
    begin(0);
    assert_int_equal(profiles[0].generation, 1);
    assert_int_equal(count_kept("-of-0>"), 1);
    for (size_t i = 0; i < 20; i++)
        state_store_forget(s, &profiles[i].slot);
    s = state_store_free(s); /* the word to drop it was not heard yet */
    begin(0);
    assert_int_equal(profiles[0].generation, 0);
}

/* What is passed twice is not the older one of itself. */
static void the_same_memory_twice_is_kept(void **state _unused_)
{
    save(0, 5);
    end();
    put(fcntl(m.kept[0].fd, F_DUPFD_CLOEXEC, 3), "bearerd-state-0");
    put(fcntl(m.kept[0].fd, F_DUPFD_CLOEXEC, 3), "bearerd-state-1");
    begin(0);
    assert_int_equal(profiles[0].generation, 5);
    save(0, 6);
    restart();
    assert_int_equal(profiles[0].generation, 6);
}

/* The new one was taken, and for the word to drop the old one there was no place any more. */
static void what_could_not_be_dropped_is_dropped_later(void **state _unused_)
{
    size_t i = 0;

    while (m.n_kept == 0 || m.max_kept < 2) {
        manager_take(&m);
        manager_be_busy(&m, 1);
        (void) save_token(i++, 1, 0);
        manager_take(&m);
        assert_true(i < N_MAX);
    }
    assert_int_equal(m.n_kept, 2);
    save(0, 2);
    manager_take(&m);
    assert_int_equal(m.n_kept, 1);
    restart();
    assert_int_equal(profiles[0].generation, 2);
}

/* ---- what is not ours ---- */

static int make_memory(const void *bytes, size_t size)
{
    int fd = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    assert_int_equal(pwrite(fd, bytes, size, 0), size);
    return fd;
}

static int make_sealed_memory(const void *bytes, size_t size)
{
    int fd = make_memory(bytes, size);

    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
    return fd;
}

static void what_cannot_be_used_is_said_and_replaced(void **state _unused_)
{
    static char zeros[10000];

    for (unsigned kind = 0; kind < 5; kind++) {
        end();
        manager_done(&m);
        manager_init(&m);
        n_said = 0;
        put(kind == 0   ? make_sealed_memory(zeros, sizeof(zeros))
            : kind == 1 ? make_sealed_memory(zeros, 10)
            : kind == 2 ? memfd_create("empty", MFD_CLOEXEC)
            : kind == 3 ? socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)
                        : open("/dev/null", O_RDWR | O_CLOEXEC),
            kind % 2 ? "bearerd-state-1" : "bearerd-state-0");
        begin(0);
        assert_int_equal(n_said, 1);
        assert_non_null(strstr(said, "is not used: "));
        save(0, 1);
        restart();
        assert_int_equal(profiles[0].generation, 1);
        assert_int_equal(m.n_kept, 1);
        assert_int_equal(n_said, 1);
    }
}

/* Somebody could take its pages away while we write: what is in there does not matter then. */
static void memory_that_can_shrink_is_not_used(void **state _unused_)
{
    size_t size;

    save(0, 1);
    end();
    char *bytes = map_kept(m.kept[0].fd, &size);
    int copy = make_memory(bytes, size);
    (void) munmap(bytes, size);
    (void) close(m.kept[0].fd);
    m.kept[0].fd = fcntl(copy, F_DUPFD_CLOEXEC, 3);
    begin(0);
    assert_int_equal(profiles[0].generation, 0);
    assert_non_null(strstr(said, "is not used: it is no memory of ours"));
    end();
    /* Sealed, the same is as good as any. */
    assert_int_equal(fcntl(copy, F_ADD_SEALS, F_SEAL_SHRINK), 0);
    put(copy, "bearerd-state-0");
    begin(0);
    assert_int_equal(profiles[0].generation, 1);
}

/* One bit in each byte of a whole region in turn: nothing is believed that was not written. */
static void a_damaged_region_gives_what_is_whole(void **state _unused_)
{
    struct stat st;

    save(0, 1);
    save(1, 2);
    end();
    assert_int_equal(fstat(m.kept[0].fd, &st), 0);
    char *bytes = mmap(NULL, (size_t) st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, m.kept[0].fd, 0);
    char *good = malloc((size_t) st.st_size);
    assert_true(bytes != MAP_FAILED && good);
    memcpy(good, bytes, (size_t) st.st_size);
    for (size_t i = 0; i < 3 * 4096; i += i % 4096 < 1200 ? 1 : 97) {
        memcpy(bytes, good, (size_t) st.st_size);
        bytes[i] = (char) (bytes[i] ^ 0x10);
        begin(0);
        assert_true(profiles[0].generation <= 1 && profiles[1].generation % 2 == 0);
        assert_true(profiles[0].generation == 1 || profiles[1].generation == 2 || i < 4096);
        s = state_store_free(s);
    }
    memcpy(bytes, good, (size_t) st.st_size);
    (void) munmap(bytes, (size_t) st.st_size);
    free(good);
    begin(0);
    assert_int_equal(profiles[1].generation, 2);
}

/* ---- a process that is killed ---- */

#define N_KILLED 40

/* Saves all profiles again and again, and notes what is saved for certain. */
static _Noreturn void save_until_killed(_Atomic uint64_t *done)
{
    for (uint64_t generation = 2;; generation++) {
        for (size_t i = 0; i < N_KILLED; i++) {
            while (save_token(i, generation, i == 7 ? 30 * (generation % 100) : 0) < 0)
                ;
            atomic_store(&done[i], generation);
        }
    }
}

static void a_process_that_is_killed_leaves_all_that_it_saved(void **state _unused_)
{
    _Atomic uint64_t *done = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    assert_true(done != MAP_FAILED);
    for (unsigned round = 0; round < 60; round++) {
        int status;
        end();
        pid_t child = fork();
        if (child == 0) {
            begin(0);
            save_until_killed(done);
        }
        for (unsigned i = 0; i < 20 + 7 * round; i++) {
            manager_take(&m);
            (void) usleep(10);
        }
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        manager_take(&m);
        begin(0);
        for (size_t i = 0; i < N_KILLED; i++) {
            uint64_t saved = atomic_load(&done[i]);
            assert_in_range(profiles[i].generation, saved, saved + 1 > 2 ? saved + 1 : 2);
        }
        assert_true(m.n_kept <= 2);
        for (size_t i = 0; i < N_KILLED; i++) {
            save(i, 1);
            atomic_store(&done[i], 1);
        }
    }
    (void) munmap(done, 4096);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(of_two_the_newer_counts),
        TEST(the_older_of_two_never_counts_again),
        TEST(the_same_memory_twice_is_kept),
        TEST(what_could_not_be_dropped_is_dropped_later),
        TEST(what_cannot_be_used_is_said_and_replaced),
        TEST(memory_that_can_shrink_is_not_used),
        TEST(a_damaged_region_gives_what_is_whole),
        TEST(a_process_that_is_killed_leaves_all_that_it_saved),
    };
    return cmocka_run_group_tests_name("state store, found", tests, NULL, NULL);
}
