/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "client/identity.h"

/* A program run by alice (1000) that is set-user-ID and -group-ID: the daemon sees 33. */
static void takes_the_effective_ids(void **state _unused_)
{
    struct identity identity = IDENTITY_INIT;

    assert_int_equal(identity_read_process("Name:\tshop\nUmask:\t0022\nPid:\t71\n"
                                           "Uid:\t1000\t33\t33\t33\nGid:\t1000\t34\t34\t34\n"
                                           "FDSize:\t64\nGroups:\t4 24 4294967294 \nNStgid:\t71\n",
                                           &identity),
                     0);
    assert_int_equal(identity.caller.uid, 33);
    assert_int_equal(identity.caller.gid, 34);
    assert_int_equal(identity.caller.n_groups, 3);
    assert_int_equal(identity.caller.groups[0], 4);
    assert_int_equal(identity.caller.groups[2], 4294967294);
    identity_done(&identity);
    assert_int_equal(identity.caller.uid, BEARER_ABSENT);
}

static void takes_a_process_without_groups(void **state _unused_)
{
    struct identity identity = IDENTITY_INIT;

    assert_int_equal(identity_read_process("Uid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nGroups:\t \n", &identity), 0);
    assert_int_equal(identity.caller.uid, 2);
    assert_int_equal(identity.caller.gid, 6);
    assert_int_equal(identity.caller.n_groups, 0);
    identity_done(&identity);
}

/* A process may choose its name, but not begin a line with it. */
static void is_not_fooled_by_a_name(void **state _unused_)
{
    struct identity identity = IDENTITY_INIT;

    assert_int_equal(
        identity_read_process("Name:\tUid: 0 0\nUid:\t9\t9\t9\t9\nGid:\t9\t9\t9\t9\nGroups:\n", &identity),
        0);
    assert_int_equal(identity.caller.uid, 9);
    identity_done(&identity);
}

static void refuses_half_a_status(void **state _unused_)
{
    static const char *const texts[] = {
        "",
        "Uid:\t1\t2\n",
        "Uid:\t1\nGid:\t1\t1\nGroups:\n",
        "Uid:\t1\t-2\nGid:\t1\t1\nGroups:\n",
        "Uid:\t1\t4294967296\nGid:\t1\t1\nGroups:\n",
        "Uid:\t1\t2\nGid:\t1\t1\n",
    };
    struct identity identity = IDENTITY_INIT;

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        assert_int_equal(identity_read_process(texts[i], &identity), -EBADMSG);
    assert_int_equal(identity.caller.uid, BEARER_ABSENT);
    assert_null(identity.groups);
}

static void finds_users_by_name_and_number(void **state _unused_)
{
    struct identity identity = IDENTITY_INIT;

    assert_int_equal(identity_of_user("root", &identity), 0);
    assert_string_equal(identity.user, "root");
    assert_int_equal(identity.caller.uid, 0);
    assert_int_equal(identity.caller.gid, 0);
    assert_true(identity.caller.n_groups > 0);
    assert_int_equal(identity.caller.pid, BEARER_ABSENT);
    identity_done(&identity);
    assert_int_equal(identity_of_user("0", &identity), 0);
    assert_string_equal(identity.user, "root");
    identity_done(&identity);
    /* Nobody has this one; to take its group for 0 would be to take it for root's. */
    assert_int_equal(identity_of_user("4294967293", &identity), 0);
    assert_null(identity.user);
    assert_int_equal(identity.caller.uid, 4294967293);
    assert_int_equal(identity.caller.gid, BEARER_ABSENT);
    assert_int_equal(identity.caller.n_groups, 0);
    identity_done(&identity);
    assert_int_equal(identity_of_user("4294967295", &identity), -ENOENT);
    assert_int_equal(identity_of_user("no such user", &identity), -ENOENT);
    assert_int_equal(identity_of_user("-1", &identity), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_the_effective_ids),        cmocka_unit_test(takes_a_process_without_groups),
        cmocka_unit_test(is_not_fooled_by_a_name),        cmocka_unit_test(refuses_half_a_status),
        cmocka_unit_test(finds_users_by_name_and_number),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
