/* SPDX-License-Identifier: MIT */
/* What one process leaves with the service manager, and the next one finds. */
#include "manager_fixture.h"

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

#include "host/state_store.h"

#define N_MAX 300

static struct manager m;
static struct state_store *s;

/* A profile as the daemon has it. */
static struct {
    uint64_t generation; /* 0: there is none */
    size_t slot;
} profiles[N_MAX];

/* ---- lives of a process ---- */

static void take(void *userdata, struct saved_profile *saved, size_t slot)
{
    size_t i = strtoul(saved->name + 1, NULL, 10);

    assert_ptr_equal(userdata, profiles);
    assert_true(i < N_MAX);
    assert_int_equal(profiles[i].generation, 0);
    profiles[i].generation = saved->generation;
    profiles[i].slot = slot;
    assert_true(token_is_set(&saved->token));
}

static void begin(size_t n_expected)
{
    struct passed_fds passed = manager_pass(&m);

    for (size_t i = 0; i < N_MAX; i++) {
        profiles[i].generation = 0;
        profiles[i].slot = STATE_SLOT_NONE;
    }
    assert_int_equal(state_store_new(&s, m.supervisor, &passed, n_expected, &test_log), 0);
    /* Whatever it was, none is left open. */
    for (size_t i = 0; i < passed.n_items; i++)
        assert_int_equal(passed.items[i].fd, -1);
    passed_fds_done(&passed, NULL);
    assert_int_equal(state_store_each(s, take, profiles), 0);
}

static void end(void)
{
    s = state_store_free(s);
    manager_take(&m);
}

static void restart(void)
{
    end();
    begin(0);
}

static int set_up(void **state _unused_)
{
    manager_init(&m);
    n_said = 0;
    begin(0);
    return 0;
}

static int tear_down(void **state _unused_)
{
    s = state_store_free(s);
    manager_done(&m);
    return 0;
}

/* Its token says which generation it is, and is as long as wanted. */
static int save_token(size_t i, uint64_t generation, size_t token_size)
{
    _cleanup_(saved_profile_done) struct saved_profile saved = {
        .generation = generation,
        .token = {.type = "Bearer",
                  .fingerprint = "0123456789abcdef",
                  .lifetime_for = USEC_PER_HOUR,
                  .expires_at = USEC_PER_HOUR},
    };
    char *token = malloc(token_size + 32);

    assert_non_null(token);
    memset(token, 'x', token_size + 32);
    int n = snprintf(token, token_size + 32, "<%zu of %zu>", (size_t) generation, i);
    token[n] = 'x';
    (void) snprintf(saved.name, sizeof(saved.name), "p%zu", i);
    assert_int_equal(secret_set(&saved.token.value, token, token_size > 0 ? token_size : (size_t) n), 0);
    int r = state_store_save(s, &saved, &profiles[i].slot);
    if (r == 0)
        profiles[i].generation = generation;
    free(token);
    return r;
}

static void save(size_t i, uint64_t generation)
{
    assert_int_equal(save_token(i, generation, 0), 0);
}

/* How often a text is in all the memory that the manager keeps. */
static size_t count_kept(const char *text)
{
    size_t n = 0;

    for (size_t i = 0; i < m.n_kept; i++) {
        struct stat st;
        assert_int_equal(fstat(m.kept[i].fd, &st), 0);
        char *bytes = mmap(NULL, (size_t) st.st_size, PROT_READ, MAP_SHARED, m.kept[i].fd, 0);
        assert_true(bytes != MAP_FAILED);
        const char *at = bytes, *last = bytes + st.st_size;
        while ((at = memmem(at, (size_t) (last - at), text, strlen(text)))) {
            n++;
            at++;
        }
        (void) munmap(bytes, (size_t) st.st_size);
    }
    return n;
}

/* ---- keeping ---- */

static void the_next_process_finds_what_was_saved(void **state _unused_)
{
    assert_true(state_store_is_used(s));
    for (size_t i = 0; i < 5; i++)
        save(i, 10 + i);
    save(3, 20);
    restart();
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(profiles[i].generation, i == 3 ? 20 : 10 + i);
    save(0, 30);
    restart();
    restart();
    assert_int_equal(profiles[0].generation, 30);
    assert_int_equal(profiles[4].generation, 14);
    assert_int_equal(profiles[5].generation, 0);
    assert_int_equal(m.n_kept, 1);
    assert_int_equal(n_said, 0);
}

static void superseded_tokens_are_wiped(void **state _unused_)
{
    for (size_t i = 1; i <= 100; i++)
        save(0, i);
    manager_take(&m);
    assert_int_equal(count_kept(" of 0>"), 1);
    assert_int_equal(count_kept("<100 of 0>"), 1);
    state_store_forget(s, &profiles[0].slot);
    assert_int_equal(profiles[0].slot, STATE_SLOT_NONE);
    assert_int_equal(count_kept(" of 0>"), 0);
    /* Twice is once. */
    state_store_forget(s, &profiles[0].slot);
    restart();
    assert_int_equal(profiles[0].generation, 0);
}

static void without_a_manager_nothing_is_kept(void **state)
{
    (void) tear_down(state);
    manager_init(&m);
    m.supervisor = supervisor_free(m.supervisor);
    assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
    assert_int_equal(supervisor_new(&m.supervisor, m.event, NULL, NULL), 0);
    begin(0);
    assert_false(state_store_is_used(s));
    assert_false(state_store_is_used(NULL));
    save(0, 1);
    assert_int_equal(profiles[0].slot, STATE_SLOT_NONE);
    restart();
    assert_int_equal(profiles[0].generation, 0);
}

/* ---- growing ---- */

static void it_grows_with_the_profiles(void **state _unused_)
{
    for (size_t i = 0; i < N_MAX; i++) {
        save(i, i + 1);
        manager_take(&m);
    }
    assert_int_equal(m.max_kept, 2);
    assert_int_equal(m.n_kept, 1);
    restart();
    for (size_t i = 0; i < N_MAX; i++)
        assert_int_equal(profiles[i].generation, i + 1);
    assert_int_equal(count_kept("> of"), 0);
    assert_int_equal(count_kept(" of 7>"), 1);
    assert_int_equal(n_said, 0);
}

static void as_many_as_expected_fit_at_once(void **state _unused_)
{
    end();
    begin(N_MAX);
    for (size_t i = 0; i < N_MAX; i++)
        save(i, 1);
    for (size_t i = 0; i < N_MAX; i++)
        save(i, 2);
    manager_take(&m);
    assert_int_equal(m.max_kept, 1);
}

static void it_grows_with_the_tokens(void **state _unused_)
{
    static const size_t sizes[] = {100, 3000, 4000, 7000, TOKEN_VALUE_MAX, 50};

    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        assert_int_equal(save_token(i, i + 1, sizes[i]), 0);
        assert_int_equal(save_token(i, i + 2, sizes[i]), 0);
        manager_take(&m);
    }
    assert_int_equal(m.n_kept, 1);
    restart();
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
        assert_int_equal(profiles[i].generation, i + 2);
}

/* ---- a manager that takes nothing just now ---- */

static void nothing_is_written_where_nobody_will_look(void **state _unused_)
{
    size_t n = 0;

    manager_take(&m);
    save(0, 1);
    manager_take(&m);
    manager_be_busy(&m, 0);
    /* As long as there is room, all is well; then there is a word for it, and nothing is lost. */
    int r = 0;
    for (n = 1; n < N_MAX && r == 0; n++)
        r = save_token(n, 5, 0);
    assert_int_equal(r, -EAGAIN);
    assert_true(n > 10);
    n--;
    for (uint64_t k = 6; k < 40; k++)
        save(0, k); /* updates go on */
    assert_int_equal(n_said, 0);
    manager_take(&m);
    restart();
    assert_int_equal(profiles[0].generation, 39);
    for (size_t i = 1; i < n; i++)
        assert_int_equal(profiles[i].generation, 5);
    assert_int_equal(profiles[n].generation, 0);
    save(n, 1);
    for (size_t i = n; i < N_MAX; i++) {
        save(i, 2);
        manager_take(&m);
    }
    restart();
    assert_int_equal(profiles[N_MAX - 1].generation, 2);
    assert_int_equal(m.n_kept, 1);
}

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

static void put(int fd, const char *name)
{
    m.kept[m.n_kept++] = (struct passed_fd){.fd = fd, .name = strdup(name)};
}

static int make_memory(const void *bytes, size_t size)
{
    int fd = memfd_create("x", MFD_CLOEXEC);

    assert_int_equal(pwrite(fd, bytes, size, 0), size);
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
        put(kind == 0   ? make_memory(zeros, sizeof(zeros))
            : kind == 1 ? make_memory(zeros, 10)
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

/* ---- the machine ---- */

static void without_descriptors_the_record_before_stays(void **state _unused_)
{
    struct rlimit before, none;
    size_t n = 0;
    int r = 0;

    save(0, 1);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 3;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    for (n = 1; n < N_MAX && r == 0; n++)
        r = save_token(n, 1, 0);
    save(0, 2);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(r, -EMFILE);
    assert_int_equal(n_said, 1);
    assert_non_null(strstr(said, "cannot be kept"));
    for (size_t i = 0; i < n; i++)
        save(i, 3);
    restart();
    for (size_t i = 0; i < n; i++)
        assert_int_equal(profiles[i].generation, 3);
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_next_process_finds_what_was_saved),
        TEST(superseded_tokens_are_wiped),
        TEST(without_a_manager_nothing_is_kept),
        TEST(it_grows_with_the_profiles),
        TEST(as_many_as_expected_fit_at_once),
        TEST(it_grows_with_the_tokens),
        TEST(nothing_is_written_where_nobody_will_look),
        TEST(of_two_the_newer_counts),
        TEST(what_could_not_be_dropped_is_dropped_later),
        TEST(what_cannot_be_used_is_said_and_replaced),
        TEST(a_damaged_region_gives_what_is_whole),
        TEST(without_descriptors_the_record_before_stays),
        TEST(a_process_that_is_killed_leaves_all_that_it_saved),
    };
    return cmocka_run_group_tests_name("state store", tests, NULL, NULL);
}
