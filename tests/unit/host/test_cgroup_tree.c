/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "host/cgroup_tree.h"

/* A tree of ordinary folders stands for cgroupfs. */

static char root[64];
static int root_fd = -1;

static int set_up(void **state _unused_)
{
    (void) snprintf(root, sizeof(root), "/tmp/bd-cgroup-XXXXXX");
    if (!mkdtemp(root))
        return -1;
    root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return root_fd < 0 ? -1 : 0;
}

static int remove_one(const char *path, const struct stat *st _unused_, int kind _unused_,
                      struct FTW *ftw _unused_)
{
    return remove(path);
}

static int tear_down(void **state _unused_)
{
    (void) close(root_fd);
    return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Makes the cgroup and all above it; `threads` is what its list says. */
static void make(const char *path, const char *threads)
{
    char part[512];

    for (const char *end = path; end; end = strchr(end + 1, '/')) {
        const char *next = strchr(end + 1, '/');
        (void) snprintf(part, sizeof(part), "%.*s", (int) (next ? next - path : (long) strlen(path)), path);
        if (part[1] != '\0')
            assert_true(mkdirat(root_fd, part + 1, 0755) == 0 || errno == EEXIST);
    }
    (void) snprintf(part, sizeof(part), "%s%scgroup.threads", path + 1, path[1] ? "/" : "");
    _cleanup_fd_ int fd = openat(root_fd, part, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, threads, strlen(threads)), strlen(threads));
}

static void assert_found(int32_t pid, const char *expected)
{
    char path[CGROUP_PATH_SIZE] = "";

    assert_int_equal(cgroup_tree_find(root_fd, pid, path), 0);
    assert_string_equal(path, expected);
    assert_int_equal(cgroup_tree_lists(root_fd, path, pid), 1);
}

static void a_process_is_found_where_it_is(void **state _unused_)
{
    char path[CGROUP_PATH_SIZE] = "untouched";

    make("/", "1\n");
    make("/system.slice/shop.service", "100\n101\n");
    make("/system.slice/shop.service/workers/1", "200\n");
    make("/system.slice/empty.service", "");
    make("/user.slice/user-1000.slice/user@1000.service/app.slice/x.service", "300\n");
    assert_found(1, "/");
    assert_found(101, "/system.slice/shop.service");
    assert_found(200, "/system.slice/shop.service/workers/1");
    assert_found(300, "/user.slice/user-1000.slice/user@1000.service/app.slice/x.service");
    (void) snprintf(path, sizeof(path), "untouched");
    assert_int_equal(cgroup_tree_find(root_fd, 10, path), -ESRCH);
    assert_int_equal(cgroup_tree_find(root_fd, 1010, path), -ESRCH);
    assert_string_equal(path, "untouched");
    assert_int_equal(cgroup_tree_lists(root_fd, "/system.slice/shop.service", 200), 0);
    assert_int_equal(cgroup_tree_lists(root_fd, "/system.slice/gone.service", 200), -ENOENT);
}

/* Numbers go over the pieces in which a list is read. */
static void a_long_list_is_read_to_its_end(void **state _unused_)
{
    static char list[80000];
    size_t size = 0;

    for (int i = 1; i < 9000; i++)
        size += (size_t) snprintf(list + size, sizeof(list) - size, "%d\n", 1000000 + i * 7 % 9999);
    (void) snprintf(list + size - 8, 9, "777777\n");
    make("/big.service", list);
    assert_found(777777, "/big.service");
    assert_found(1000007, "/big.service");
    assert_int_equal(cgroup_tree_lists(root_fd, "/big.service", 77777), 0);
    assert_int_equal(cgroup_tree_lists(root_fd, "/big.service", 7), 0);
}

/* What a user makes below his unit is looked at up to a point, and everything else all the same. */
static void a_unit_with_many_cgroups_is_in_nobodys_way(void **state _unused_)
{
    char path[CGROUP_PATH_SIZE];

    for (int i = 0; i < 3 * CGROUP_DIRECTORIES_IN_UNIT_MAX; i++) {
        (void) snprintf(path, sizeof(path), "/user.slice/user@1000.service/%d", i);
        make(path, "");
        (void) snprintf(path, sizeof(path), "/system.slice/a-%d.service", i);
        make(path, "");
    }
    make("/system.slice/shop.service", "42\n");
    make("/user.slice/user@1001.service/app", "43\n");
    assert_found(42, "/system.slice/shop.service");
    assert_found(43, "/user.slice/user@1001.service/app");
    assert_int_equal(cgroup_tree_find(root_fd, 44, path), -E2BIG);
}

static void depth_has_an_end(void **state _unused_)
{
    char path[CGROUP_PATH_SIZE] = "";

    for (int i = 0; i < CGROUP_DEPTH_MAX; i++)
        (void) snprintf(path + strlen(path), sizeof(path) - strlen(path), "/d");
    make(path, "5\n");
    assert_found(5, path);
    (void) snprintf(path + strlen(path), sizeof(path) - strlen(path), "/d");
    make(path, "6\n");
    assert_int_equal(cgroup_tree_find(root_fd, 6, path), -E2BIG);
}

/* Links lead out of the tree; cgroupfs has none. */
static void links_are_not_followed(void **state _unused_)
{
    char path[CGROUP_PATH_SIZE];

    make("/a.service", "8\n");
    assert_int_equal(symlinkat("a.service", root_fd, "shop.service"), 0);
    assert_found(8, "/a.service");
    assert_true(cgroup_tree_lists(root_fd, "/shop.service", 8) < 0);
    assert_int_equal(cgroup_tree_find(root_fd, 9, path), -ESRCH);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_process_is_found_where_it_is),
        TEST(a_long_list_is_read_to_its_end),
        TEST(a_unit_with_many_cgroups_is_in_nobodys_way),
        TEST(depth_has_an_end),
        TEST(links_are_not_followed),
    };
    return cmocka_run_group_tests_name("cgroup_tree", tests, NULL, NULL);
}
