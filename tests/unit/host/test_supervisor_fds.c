/* SPDX-License-Identifier: MIT */
/* Descriptors for the service manager to keep: handed over, taken back, and never waited for. */
#include "manager_fixture.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct manager m;

static int set_up(void **state _unused_)
{
    manager_init(&m);
    return 0;
}

static int tear_down(void **state _unused_)
{
    manager_done(&m);
    return 0;
}

static void descriptors_are_stored_and_dropped(void **state _unused_)
{
    assert_true(supervisor_is_there(m.supervisor));
    assert_int_equal(supervisor_store_fd(m.supervisor, m.socket, "one"), 0);
    assert_int_equal(supervisor_store_fd(m.supervisor, 0, "two"), 0);
    manager_take(&m);
    assert_int_equal(manager_count(&m, "one"), 1);
    assert_int_equal(manager_count(&m, "two"), 1);
    assert_int_equal(supervisor_drop_fd(m.supervisor, "one"), 0);
    manager_take(&m);
    assert_int_equal(manager_count(&m, "one"), 0);
    assert_int_equal(m.n_kept, 1);
}

static void a_busy_manager_is_not_waited_for(void **state _unused_)
{
    manager_be_busy(&m, 0);
    assert_int_equal(supervisor_store_fd(m.supervisor, 0, "one"), -EAGAIN);
    assert_int_equal(supervisor_drop_fd(m.supervisor, "one"), -EAGAIN);
    manager_take(&m);
    assert_int_equal(m.n_kept, 0);
    assert_int_equal(supervisor_store_fd(m.supervisor, 0, "one"), 0);
    manager_take(&m);
    assert_int_equal(m.n_kept, 1);
}

/* A manager that was started anew listens at the same place, on another socket. */
static void a_new_socket_of_the_manager_is_found(void **state _unused_)
{
    struct sockaddr_un address;
    socklen_t size = sizeof(address);

    assert_int_equal(getsockname(m.socket, (struct sockaddr *) &address, &size), 0);
    assert_int_equal(supervisor_store_fd(m.supervisor, 0, "one"), 0);
    (void) close(m.socket);
    assert_int_equal(supervisor_store_fd(m.supervisor, 0, "lost"), -ECONNREFUSED);
    m.socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(m.socket, (struct sockaddr *) &address, size), 0);
    assert_int_equal(supervisor_store_fd(m.supervisor, 0, "found"), 0);
    manager_take(&m);
    assert_int_equal(manager_count(&m, "found"), 1);
    assert_int_equal(m.n_kept, 1);
}

static void without_a_manager_there_is_no_store(void **state _unused_)
{
    m.supervisor = supervisor_free(m.supervisor);
    assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
    assert_int_equal(supervisor_new(&m.supervisor, m.event, NULL, NULL), 0);
    assert_false(supervisor_is_there(m.supervisor));
    assert_int_equal(supervisor_store_fd(m.supervisor, 0, "one"), -ENOTCONN);
    assert_int_equal(supervisor_drop_fd(m.supervisor, "one"), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(descriptors_are_stored_and_dropped),
        TEST(a_busy_manager_is_not_waited_for),
        TEST(a_new_socket_of_the_manager_is_found),
        TEST(without_a_manager_there_is_no_store),
    };
    return cmocka_run_group_tests_name("supervisor, descriptors", tests, NULL, NULL);
}
