/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "bearerd-paths.h"
#include "config_fixture.h"

static void test_an_empty_file_gives_the_defaults(void **state)
{
    (void) state;
    _cleanup_(problems_done) struct problems problems = {0};
    _cleanup_(daemon_settings_done) struct daemon_settings s = {0};

    assert_int_equal(fixture_parse_daemon("", &problems, &s), 0);
    assert_int_equal(problems.n_items, 0);
    assert_string_equal(s.socket_path, BEARERD_SOCKET_PATH);
    assert_int_equal(s.socket_mode, 0660);
    assert_string_equal(s.socket_group, "bearerd");
    assert_false(s.is_socket_group_set);
    assert_string_equal(s.profile_directory, BEARERD_PROFILE_DIRECTORY);
    assert_int_equal(s.concurrent_fetches, 16);
    assert_int_equal(s.max_connections, 4096);
    assert_int_equal(s.max_connections_per_user, 1024);
    assert_int_equal(s.audit, AUDIT_SUMMARY);
    assert_int_equal(s.admin.n_rules, 1);
    assert_int_equal(s.admin.rules[0].kind, ACCESS_USER);
    assert_int_equal(s.admin.rules[0].id, 0);
}

static void test_every_key_is_read(void **state)
{
    (void) state;
    _cleanup_(problems_done) struct problems problems = {0};
    _cleanup_(daemon_settings_done) struct daemon_settings s = {0};

    assert_int_equal(
        fixture_parse_daemon("[Daemon]\nSocket=/tmp/s\nSocketMode=0600\nSocketGroup=shop\n"
                             "ProfileDirectory=/p\nConcurrentFetches=1\nMaxConnections=1000000\n"
                             "MaxConnectionsPerUser=7\n[Access]\nAdmin=group:shop\nAdmin=user:12\n",
                             &problems, &s),
        0);
    assert_int_equal(problems.n_items, 0);
    assert_string_equal(s.socket_path, "/tmp/s");
    assert_int_equal(s.socket_mode, 0600);
    assert_string_equal(s.socket_group, "shop");
    assert_true(s.is_socket_group_set);
    assert_string_equal(s.profile_directory, "/p");
    assert_int_equal(s.concurrent_fetches, 1);
    assert_int_equal(s.max_connections, 1000000);
    assert_int_equal(s.max_connections_per_user, 7);
    /* A list takes the place of the default: root is not among them. */
    assert_int_equal(s.admin.n_rules, 2);
    assert_int_equal(s.admin.rules[0].kind, ACCESS_GROUP);
    assert_int_equal(s.admin.rules[0].id, 1001);
    assert_string_equal(s.admin.rules[0].text, "group:shop");
    assert_int_equal(s.admin.rules[1].id, 12);
}

static void test_audit_is_one_of_three_words(void **state)
{
    (void) state;
    static const struct {
        const char *text;
        enum audit_mode mode;
    } cases[] = {
        {"[Daemon]\nAudit=off\n",                      AUDIT_OFF    },
        {"[Daemon]\nAudit=summary\n",                  AUDIT_SUMMARY},
        {"[Daemon]\nAudit=every\n",                    AUDIT_EVERY  },
        {"[Daemon]\nAudit=off\nAudit=\n",              AUDIT_SUMMARY},
        {"[Daemon]\nAudit=off\nAudit=\nAudit=every\n", AUDIT_EVERY  },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_(problems_done) struct problems problems = {0};
        _cleanup_(daemon_settings_done) struct daemon_settings s = {0};
        assert_int_equal(fixture_parse_daemon(cases[i].text, &problems, &s), 0);
        assert_int_equal(problems.n_items, 0);
        assert_int_equal(s.audit, cases[i].mode);
    }
    /* Neither numbers nor booleans: what they would mean is anybody's guess. */
    expect_daemon_error("[Daemon]\nAudit=1\n", 2, "Audit= must be off, summary or every");
    expect_daemon_error("[Daemon]\nAudit=yes\n", 2, "off, summary or every");
    expect_daemon_error("[Daemon]\nAudit=Summary\n", 2, "off, summary or every");
    expect_daemon_error("[Daemon]\nAudit=all, please\n", 2, "off, summary or every");
    expect_daemon_error("[Daemon]\nAudit=off\nAudit=every\n", 3, "set twice");
    expect_daemon_error("[Access]\nAudit=off\n", 2, "Audit= belongs in [Daemon]");
}

static void test_an_empty_value_resets(void **state)
{
    (void) state;
    _cleanup_(problems_done) struct problems problems = {0};
    _cleanup_(daemon_settings_done) struct daemon_settings s = {0};

    assert_int_equal(
        fixture_parse_daemon("[Daemon]\nConcurrentFetches=3\nConcurrentFetches=\nSocketGroup=x\n"
                             "SocketGroup=\nMaxConnections=5\nMaxConnections=\nMaxConnections=6\n"
                             "[Access]\nAdmin=user:12\nAdmin=\n",
                             &problems, &s),
        0);
    assert_int_equal(s.concurrent_fetches, 16);
    assert_string_equal(s.socket_group, "bearerd");
    assert_false(s.is_socket_group_set);
    assert_int_equal(s.max_connections, 6);
    assert_int_equal(s.admin.n_rules, 0);
}

static void test_a_list_goes_on_after_a_reset(void **state)
{
    (void) state;
    _cleanup_(problems_done) struct problems problems = {0};
    _cleanup_(daemon_settings_done) struct daemon_settings s = {0};

    assert_int_equal(fixture_parse_daemon("[Access]\nAdmin=user:12\nAdmin=\nAdmin=user:13\n", &problems, &s),
                     0);
    assert_int_equal(s.admin.n_rules, 1);
    assert_int_equal(s.admin.rules[0].id, 13);
}

static void test_a_socket_path_is_never_cut(void **state)
{
    (void) state;
    char text[256];
    char path[] = "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                  "aaaaaaaaaaaaaaaaaa";
    _cleanup_(problems_done) struct problems problems = {0};
    _cleanup_(daemon_settings_done) struct daemon_settings s = {0};

    assert_int_equal(strlen(path), 108);
    (void) snprintf(text, sizeof(text), "[Daemon]\nSocket=%s\n", path);
    expect_daemon_error(text, 2, "107 bytes");
    (void) snprintf(text, sizeof(text), "[Daemon]\nSocket=%s\n", path);
    text[strlen(text) - 2] = '\0';
    assert_int_equal(fixture_parse_daemon(text, &problems, &s), 0);
    assert_int_equal(strlen(s.socket_path), SOCKET_PATH_MAX);
    expect_daemon_error("[Daemon]\nSocket=bearerd.sock\n", 2, "absolute path");
}

static void test_bad_values_say_what_is_allowed(void **state)
{
    (void) state;
    expect_daemon_error("[Daemon]\nSocketMode=rw-rw----\n", 2, "SocketMode= must be an octal mode");
    expect_daemon_error("[Daemon]\nSocketMode=04660\n", 2, "at most 0777");
    expect_daemon_error("[Daemon]\nSocketMode=0440\n", 2, "nobody can connect");
    expect_daemon_error("[Daemon]\nMaxConnections=0\n", 2, "a number from 1 to 1000000");
    expect_daemon_error("[Daemon]\nMaxConnections=1000001\n", 2, "a number from 1 to 1000000");
    expect_daemon_error("[Daemon]\nConcurrentFetches=-1\n", 2, "a number from 1 to 1024");
    expect_daemon_error("[Daemon]\nConcurrentFetches=16 # many\n", 2, "a number from 1 to 1024");
    expect_daemon_error("[Daemon]\nProfileDirectory=profiles\n", 2, "absolute path");
    expect_daemon_error("[Daemon]\nSocketGroup=a b\n", 2, "one group");
    expect_daemon_error("[Daemon]\nSocketGroup=nobody-here\n", 2, "does not exist on this system");
}

static void test_admins_are_named(void **state)
{
    (void) state;
    expect_daemon_error("[Access]\nAdmin=any\n", 2, "Admin= must not be any");
    expect_daemon_error("[Access]\nAdmin=user:nobody-here\n", 2, "\"nobody-here\", which does not exist");
    expect_daemon_error("[Access]\nAdmin=user:broken\n", 2, "could not be looked up: Input/output error");
    expect_daemon_error("[Access]\nAdmin=root\n", 2, "user:NAME");
    expect_daemon_error("[Access]\nAdmin=unit:deploy\n", 2, "Admin= has a unit: that does not end");
}

static void test_near_misses_are_named(void **state)
{
    (void) state;
    expect_daemon_error("[Daemon]\nMaxConections=1\n", 2, "did you mean MaxConnections=?");
    expect_daemon_error("[Deamon]\nSocket=/x\nJunk=1\n", 1,
                        "unknown section [Deamon]; did you mean [Daemon]?");
    expect_daemon_error("[Daemon]\nAdmin=user:root\n", 2, "Admin= belongs in [Access], not in [Daemon]");
    expect_daemon_error("[Access]\nSocketMod=0660\n", 2, "did you mean SocketMode= of [Daemon]?");
    expect_daemon_error("[Daemon]\nColour=blue\n", 2, "unknown key Colour= in [Daemon]");
    expect_daemon_error("[Daemon]\nSocket=/a\nSocketMode=0600\nSocket=/b\n", 4, "set twice; first in line 2");
}

static void test_odd_but_usable_is_a_warning(void **state)
{
    (void) state;
    _cleanup_(problems_done) struct problems problems = {0};
    _cleanup_(daemon_settings_done) struct daemon_settings s = {0};

    assert_int_equal(fixture_parse_daemon("[Daemon]\nSocketMode=0666\nMaxConnections=10\n"
                                          "MaxConnectionsPerUser=20\n",
                                          &problems, &s),
                     0);
    assert_int_equal(s.socket_mode, 0666);
    assert_true(has_warning(&problems, "bearerd.conf:2", "every user"));
    assert_true(has_warning(&problems, "bearerd.conf:4", "more than MaxConnections="));
}

static void test_a_broken_file_still_tells_what_it_can(void **state)
{
    (void) state;
    _cleanup_(problems_done) struct problems problems = {0};
    _cleanup_(daemon_settings_done) struct daemon_settings s = {0};

    assert_int_equal(
        fixture_parse_daemon("[Daemon]\nProfileDirectory=/p\nMaxConnections=x\nSocket=rel\n", &problems, &s),
        -EINVAL);
    assert_int_equal(problems.n_errors, 2);
    assert_string_equal(s.profile_directory, "/p");
    assert_null(s.socket_path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_empty_file_gives_the_defaults),
        cmocka_unit_test(test_every_key_is_read),
        cmocka_unit_test(test_audit_is_one_of_three_words),
        cmocka_unit_test(test_an_empty_value_resets),
        cmocka_unit_test(test_a_list_goes_on_after_a_reset),
        cmocka_unit_test(test_a_socket_path_is_never_cut),
        cmocka_unit_test(test_bad_values_say_what_is_allowed),
        cmocka_unit_test(test_admins_are_named),
        cmocka_unit_test(test_near_misses_are_named),
        cmocka_unit_test(test_odd_but_usable_is_a_warning),
        cmocka_unit_test(test_a_broken_file_still_tells_what_it_can),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
