/* SPDX-License-Identifier: MIT */
#include "store_fixture.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct manager m;
struct state_store *s;

struct kept_profile profiles[N_MAX];
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

void begin(size_t n_expected)
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
    passed_fds_done(&passed);
    assert_int_equal(state_store_each(s, take, profiles), 0);
}

void end(void)
{
    s = state_store_free(s);
    manager_take(&m);
}

void restart(void)
{
    end();
    begin(0);
}

int set_up(void **state _unused_)
{
    manager_init(&m);
    n_said = 0;
    begin(0);
    return 0;
}

int tear_down(void **state _unused_)
{
    s = state_store_free(s);
    manager_done(&m);
    return 0;
}

int save_token(size_t i, uint64_t generation, size_t token_size)
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
    int n = snprintf(token, token_size + 32, "<%zu-of-%zu>", (size_t) generation, i);
    token[n] = 'x';
    (void) snprintf(saved.name, sizeof(saved.name), "p%zu", i);
    assert_int_equal(secret_set(&saved.token.value, token, token_size > 0 ? token_size : (size_t) n), 0);
    int r = state_store_save(s, &saved, &profiles[i].slot);
    if (r == 0)
        profiles[i].generation = generation;
    free(token);
    return r;
}

void save(size_t i, uint64_t generation)
{
    assert_int_equal(save_token(i, generation, 0), 0);
}

size_t count_kept(const char *text)
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

char *map_kept(int fd, size_t *ret_size)
{
    struct stat st;

    assert_int_equal(fstat(fd, &st), 0);
    *ret_size = (size_t) st.st_size;
    char *bytes = mmap(NULL, *ret_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(bytes != MAP_FAILED);
    return bytes;
}

void put(int fd, const char *name)
{
    m.kept[m.n_kept++] = (struct passed_fd){.fd = fd, .name = strdup(name)};
}
