/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "config_fixture.h"
#include "host/settings_load.h"
#include "settings_fixture.h"

static struct sandbox box;
static struct settings settings;
static char place[SANDBOX_PATH_SIZE + 8];

static int set_up(void **state)
{
    (void) state;
    box = sandbox_make();
    sandbox_make_directory(&box, "profiles.d");
    sandbox_write(&box, "secret", 0600, "hunter2\n");
    return 0;
}

static int tear_down(void **state)
{
    (void) state;
    settings_done(&settings);
    sandbox_done(&box);
    return 0;
}

/* Writes a main file that points into the sandbox, with `more` behind. */
static void write_main(const char *more)
{
    char text[512];
    (void) snprintf(text, sizeof(text), "[Daemon]\nProfileDirectory=%s/profiles.d\n%s", box.directory, more);
    sandbox_write(&box, "bearerd.conf", 0644, text);
}

/* Writes a profile that works, with `more` behind. */
static void write_profile(const char *file, const char *more)
{
    char name[128], text[512];
    (void) snprintf(name, sizeof(name), "profiles.d/%s", file);
    (void) snprintf(
        text, sizeof(text),
        "[Profile]\nProvider=vipps-oauth\nEnvironment=test\nDescription=A shop\n[Keys]\nClientID=me\n"
        "ClientSecretFile=%s/secret\n[Access]\nAllow=user:0\n%s",
        box.directory, more);
    sandbox_write(&box, name, 0644, text);
}

static void load(void)
{
    char config[SANDBOX_PATH_SIZE];
    settings_done(&settings);
    (void) snprintf(config, sizeof(config), "%s/bearerd.conf", box.directory);
    const struct settings_source source = {.config_path = config, .daemon_uid = geteuid()};
    assert_int_equal(settings_load(&source, &settings), 0);
}

static const char *at(const char *name, const char *line)
{
    (void) snprintf(place, sizeof(place), "%s/%s%s", box.directory, name, line);
    return place;
}

static void test_profiles_come_sorted_with_their_keys(void **state)
{
    (void) state;
    write_main("");
    write_profile("b.conf", "");
    write_profile("a.b.conf", "");
    write_profile("a.conf", "");
    load();
    assert_int_equal(settings.problems.n_items, 0);
    assert_true(settings.is_daemon_usable);
    assert_int_equal(settings.n_profiles, 3);
    assert_int_equal(settings.n_failed, 0);
    assert_string_equal(settings.profiles[0]->name, "a");
    assert_string_equal(settings.profiles[1]->name, "a.b");
    assert_string_equal(settings.profiles[2]->name, "b");
    assert_string_equal(secret_peek(&settings.profiles[2]->keys[KEY_CLIENT_SECRET]), "hunter2");
}

static void test_one_broken_profile_takes_no_other_down(void **state)
{
    (void) state;
    write_main("");
    write_profile("bad.conf", "[Refresh]\nAt=0%\nTimeout=x\n");
    write_profile("good.conf", "");
    write_profile("lost.conf", "[Keys]\nClientSecretFile=\n");
    load();
    assert_true(settings.is_daemon_usable);
    assert_int_equal(settings.n_profiles, 1);
    assert_int_equal(settings.n_failed, 2);
    const struct failed_profile *bad = &settings.failed[0], *lost = &settings.failed[1];
    assert_string_equal(bad->name, "bad");
    assert_string_equal(bad->description, "A shop");
    assert_non_null(strstr(bad->reason, "bad.conf:11: At= must be"));
    assert_true(bad->is_provider_known);
    assert_int_equal(bad->provider, PROVIDER_VIPPS_OAUTH);
    assert_int_equal(bad->allow.n_rules, 1);
    assert_string_equal(lost->name, "lost");
    assert_non_null(strstr(lost->reason, "no client-secret"));
    assert_int_equal(settings.problems.n_errors, 3);
    assert_true(fixture_never_says(&settings.problems, "hunter2"));
}

static void test_who_may_see_a_broken_profile_is_not_guessed(void **state)
{
    (void) state;
    write_main("");
    write_profile("bad.conf", "Allow=user:no-such-user-here\n");
    load();
    assert_int_equal(settings.n_failed, 1);
    assert_int_equal(settings.failed[0].allow.n_rules, 0);
    assert_true(has_error(&settings.problems, at("profiles.d/bad.conf", ":10"), "does not exist"));
}

static void test_other_files_are_not_passed_over_in_silence(void **state)
{
    (void) state;
    write_main("");
    write_profile("shop.conf", "");
    write_profile(".hidden.conf", "");
    write_profile("shop.conf~", "");
    write_profile("shop.conf.dpkg-new", "");
    write_profile("README", "");
    write_profile("Shop.conf", "");
    write_profile("sh\nop.conf", "");
    write_profile(".conf", "");
    sandbox_make_directory(&box, "profiles.d/folder.conf");
    assert_int_equal(symlink("/nowhere", sandbox_path(&box, "profiles.d/link.conf")), 0);
    load();
    assert_int_equal(settings.n_profiles, 1);
    assert_int_equal(settings.n_failed, 2);
    assert_string_equal(settings.failed[0].name, "folder");
    assert_non_null(strstr(settings.failed[0].reason, "not a regular file"));
    assert_string_equal(settings.failed[1].name, "link");
    assert_true(has_warning(&settings.problems, at("profiles.d", ""), "shop.conf~ is not read"));
    assert_true(has_warning(&settings.problems, at("profiles.d", ""), "shop.conf.dpkg-new is not read"));
    assert_true(has_warning(&settings.problems, at("profiles.d", ""), "README is not read"));
    assert_true(has_error(&settings.problems, at("profiles.d", ""), "Shop.conf: a profile's name is"));
    assert_true(has_error(&settings.problems, at("profiles.d", ""), "sh?op.conf: a profile's name is"));
    assert_true(fixture_never_says(&settings.problems, "hidden"));
    assert_int_equal(settings.problems.n_items, 7);
}

static void test_all_problems_of_all_files(void **state)
{
    (void) state;
    write_main("Socket=relative\nColour=blue\n");
    write_profile("a.conf", "Alow=any\n");
    write_profile("b.conf", "[Keys]\nClientSecret=x\n");
    load();
    assert_false(settings.is_daemon_usable);
    assert_true(has_error(&settings.problems, at("bearerd.conf", ":3"), "Socket="));
    assert_true(has_error(&settings.problems, at("bearerd.conf", ":4"), "Colour="));
    assert_true(has_error(&settings.problems, at("profiles.d/a.conf", ":10"), "did you mean Allow=?"));
    assert_true(has_error(&settings.problems, at("profiles.d/b.conf", ":11"), "ClientSecretFile="));
    assert_int_equal(settings.n_failed, 2);
}

static void test_no_profile_is_an_error(void **state)
{
    (void) state;
    write_main("");
    load();
    assert_true(settings.is_daemon_usable);
    assert_int_equal(settings.n_profiles + settings.n_failed, 0);
    assert_true(has_error(&settings.problems, at("profiles.d", ""), "no profile here"));
    assert_int_equal(rmdir(sandbox_path(&box, "profiles.d")), 0);
    load();
    assert_true(has_error(&settings.problems, at("profiles.d", ""), "cannot be read: No such file"));
    assert_int_equal(settings.problems.n_errors, 1);
}

static void test_a_main_file_that_is_named_must_be_there(void **state)
{
    (void) state;
    write_profile("a.conf", "");
    load();
    assert_false(settings.is_daemon_usable);
    assert_true(has_error(&settings.problems, at("bearerd.conf", ""), "does not exist"));
}

static void test_the_command_line_goes_before_the_file(void **state)
{
    (void) state;
    char config[SANDBOX_PATH_SIZE], long_path[SANDBOX_PATH_SIZE];
    write_main("Socket=/run/other.sock\n");
    write_profile("a.conf", "");
    (void) snprintf(config, sizeof(config), "%s/bearerd.conf", box.directory);
    struct settings_source source = {
        .config_path = config, .socket_path = "here.sock", .daemon_uid = geteuid()};
    assert_int_equal(settings_load(&source, &settings), 0);
    assert_true(settings.is_daemon_usable);
    assert_string_equal(settings.daemon.socket_path, "here.sock");
    settings_done(&settings);

    memset(long_path, 'a', sizeof(long_path));
    long_path[108] = '\0';
    source.socket_path = long_path;
    assert_int_equal(settings_load(&source, &settings), 0);
    assert_false(settings.is_daemon_usable);
    assert_true(has_error(&settings.problems, "", "--socket must be a path of 1 to 107 bytes"));
}

static void test_credentials_stand_in_for_files(void **state)
{
    (void) state;
    char config[SANDBOX_PATH_SIZE], credentials[SANDBOX_PATH_SIZE];
    write_main("");
    write_profile("a.conf", "[Keys]\nClientSecretFile=\n");
    sandbox_make_directory(&box, "creds");
    sandbox_write(&box, "creds/a.client-secret", 0400, "from systemd");
    (void) snprintf(config, sizeof(config), "%s/bearerd.conf", box.directory);
    (void) snprintf(credentials, sizeof(credentials), "%s/creds", box.directory);
    const struct settings_source source = {
        .config_path = config, .credentials_directory = credentials, .daemon_uid = geteuid()};
    assert_int_equal(settings_load(&source, &settings), 0);
    assert_int_equal(settings.n_profiles, 1);
    assert_string_equal(secret_peek(&settings.profiles[0]->keys[KEY_CLIENT_SECRET]), "from systemd");
}

static void test_a_thousand_profiles(void **state)
{
    (void) state;
    write_main("");
    for (int i = 0; i < 1000; i++) {
        char name[32];
        (void) snprintf(name, sizeof(name), "p%04d.conf", i);
        write_profile(name, i % 100 == 0 ? "Nonsense=1\n" : "");
    }
    load();
    assert_int_equal(settings.n_profiles, 990);
    assert_int_equal(settings.n_failed, 10);
    assert_string_equal(settings.failed[9].name, "p0900");
    assert_string_equal(settings.profiles[989]->name, "p0999");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_profiles_come_sorted_with_their_keys, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_broken_profile_takes_no_other_down, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_who_may_see_a_broken_profile_is_not_guessed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_other_files_are_not_passed_over_in_silence, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_all_problems_of_all_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_profile_is_an_error, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_main_file_that_is_named_must_be_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_command_line_goes_before_the_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_credentials_stand_in_for_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_thousand_profiles, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
