/* SPDX-License-Identifier: MIT */
/* What one process leaves with the service manager, and the next one finds. */
#include "../valgrind.h"
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
    assert_int_equal(count_kept("-of-0>"), 1);
    assert_int_equal(count_kept("<100-of-0>"), 1);
    state_store_forget(s, &profiles[0].slot);
    assert_int_equal(profiles[0].slot, STATE_SLOT_NONE);
    assert_int_equal(count_kept("-of-0>"), 0);
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
    assert_int_equal(count_kept(">-of"), 0);
    assert_int_equal(count_kept("-of-7>"), 1);
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
    /* Not tried again for each of them. */
    assert_int_equal(save_token(n, 1, 0), -EMFILE);
    save(1, 2);
    state_store_try_again(s);
    for (size_t i = 0; i <= n; i++)
        save(i, 3);
    restart();
    for (size_t i = 0; i <= n; i++)
        assert_int_equal(profiles[i].generation, 3);
}

/* A user's process that may lock nothing: it goes on with memory of the other kind, and says so once. */
static void without_locked_memory_it_is_said_once(void **state _unused_)
{
    const struct rlimit none = {0, 0};
    static char byte;
    int status;

    if (is_under_valgrind()) {
        print_message("skipped: valgrind 3.19 has no mlock2(2), and can lock nothing\n");
        skip();
    }
    pid_t child = fork();
    if (child == 0) {
        end();
        if (setrlimit(RLIMIT_MEMLOCK, &none) < 0 || setresgid(65534, 65534, 65534) < 0 ||
            setresuid(65534, 65534, 65534) < 0 || mlock(&byte, 1) == 0)
            _exit(77);
        begin(0);
        for (size_t i = 0; i < N_MAX; i++) {
            save(i, 1);
            manager_take(&m);
        }
        assert_int_equal(n_said, 1);
        assert_non_null(strstr(said, "could not be locked"));
        int seals = fcntl(m.kept[0].fd, F_GET_SEALS);
        assert_int_equal(seals & (F_SEAL_SHRINK | F_SEAL_GROW), F_SEAL_SHRINK | F_SEAL_GROW);
        restart();
        assert_int_equal(profiles[N_MAX - 1].generation, 1);
        assert_true(n_said == 2 && strstr(said, "could not be locked"));
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WEXITSTATUS(status) == 77) {
        print_message(
            "skipped: no limit of locked memory can be set, or with it in force all can be locked\n");
        skip();
    }
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_next_process_finds_what_was_saved),     TEST(superseded_tokens_are_wiped),
        TEST(without_a_manager_nothing_is_kept),         TEST(it_grows_with_the_profiles),
        TEST(as_many_as_expected_fit_at_once),           TEST(it_grows_with_the_tokens),
        TEST(nothing_is_written_where_nobody_will_look), TEST(without_descriptors_the_record_before_stays),
        TEST(without_locked_memory_it_is_said_once),
    };
    return cmocka_run_group_tests_name("state store", tests, NULL, NULL);
}
