/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "config_fixture.h"
#include "host/files.h"
#include "settings_fixture.h"

static struct sandbox box;
static struct problems problems;
static struct secret key;

static int set_up(void **state)
{
    (void) state;
    box = sandbox_make();
    return 0;
}

static int tear_down(void **state)
{
    (void) state;
    problems_done(&problems);
    secret_done(&key);
    sandbox_done(&box);
    return 0;
}

static struct named_file named(const char *name)
{
    return (struct named_file){
        .path = sandbox_path(&box, name), .what = "ClientSecretFile=", .file = "shop.conf", .line = 7};
}

#define own_rights() ((struct key_rights){.daemon_uid = geteuid(), .socket_gid = (gid_t) -1})

static int read_key(const char *name)
{
    const struct named_file source = named(name);
    return file_read_key(&source, &own_rights(), &problems, &key);
}

static void test_one_newline_at_the_end_is_dropped(void **state)
{
    (void) state;
    static const struct {
        const char *text;
        const char *key;
    } cases[] = {
        {"secret",     "secret"  },
        {"secret\n",   "secret"  },
        {"secret\r\n", "secret"  },
        {"secret\n\n", "secret\n"},
        {"secret\r",   "secret\r"},
        {" secret \n", " secret "},
        {"a\r\r\n",    "a\r"     },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        sandbox_write(&box, "k", 0600, cases[i].text);
        assert_int_equal(read_key("k"), 0);
        assert_string_equal(secret_peek(&key), cases[i].key);
    }
    assert_int_equal(problems.n_items, 0);
}

static void test_an_empty_key_is_none(void **state)
{
    (void) state;
    sandbox_write(&box, "empty", 0600, "");
    sandbox_write(&box, "newline", 0600, "\r\n");
    assert_int_equal(read_key("empty"), -EINVAL);
    assert_int_equal(read_key("newline"), -EINVAL);
    assert_int_equal(problems.n_errors, 2);
    assert_true(has_error(&problems, "shop.conf:7", "is empty"));
    assert_false(secret_is_set(&key));
}

static void test_a_key_open_to_others_is_refused(void **state)
{
    (void) state;
    sandbox_write(&box, "k", 0640, "x");
    assert_int_equal(read_key("k"), 0);
    sandbox_write(&box, "k", 0644, "x");
    assert_int_equal(read_key("k"), -EINVAL);
    assert_true(has_error(&problems, "shop.conf:7", "(mode 0644); run: chmod o= "));
    sandbox_write(&box, "k", 0602, "x");
    assert_int_equal(read_key("k"), -EINVAL);
    assert_int_equal(problems.n_errors, 2);
}

static void test_a_key_of_a_stranger_is_refused(void **state)
{
    (void) state;
    sandbox_write(&box, "k", 0604, "hunter2");
    /* As root, give it to a stranger; else let the daemon be somebody else. */
    uid_t daemon_uid = geteuid() + 1;
    if (geteuid() == 0)
        assert_int_equal(chown(sandbox_path(&box, "k"), 12345, (gid_t) -1), 0);
    const struct named_file source = named("k");
    const struct key_rights rights = {.daemon_uid = daemon_uid, .socket_gid = (gid_t) -1};
    assert_int_equal(file_read_key(&source, &rights, &problems, &key), -EINVAL);
    /* Both faults at once: one round of repairs. */
    assert_int_equal(problems.n_errors, 2);
    char remedy[32];
    (void) snprintf(remedy, sizeof(remedy), "run: chown %u /", (unsigned) daemon_uid);
    assert_true(has_error(&problems, "shop.conf:7", remedy));
    assert_true(has_error(&problems, "shop.conf:7", "run: chmod o= /"));
    assert_true(fixture_never_says(&problems, "hunter2"));
}

static void test_a_key_for_the_sockets_group_is_warned_of(void **state)
{
    const struct key_rights rights = {.daemon_uid = geteuid(), .socket_gid = getegid()};
    const struct key_rights other = {.daemon_uid = geteuid(), .socket_gid = getegid() + 1};
    (void) state;

    sandbox_write(&box, "k", 0640, "hunter2");
    const struct named_file source = named("k");
    assert_int_equal(file_read_key(&source, &other, &problems, &key), 0);
    assert_int_equal(problems.n_items, 0);
    assert_int_equal(file_read_key(&source, &rights, &problems, &key), 0);
    assert_int_equal(problems.n_items, 1);
    assert_int_equal(problems.n_errors, 0);
    assert_non_null(strstr(problems.items[0].message, "run: chmod g= /"));
}

static void test_only_regular_files_are_read(void **state)
{
    (void) state;
    sandbox_make_directory(&box, "d");
    assert_int_equal(mkfifo(sandbox_path(&box, "fifo"), 0600), 0);
    assert_int_equal(read_key("d"), -EINVAL);
    assert_int_equal(read_key("fifo"), -EINVAL); /* and does not wait for a writer */
    const struct named_file device = {.path = "/dev/zero", .what = "ClientSecretFile=", .file = "shop.conf"};
    assert_int_equal(file_read_key(&device, &own_rights(), &problems, &key), -EINVAL);
    assert_int_equal(problems.n_errors, 3);
    assert_true(has_error(&problems, "shop.conf", "/dev/zero is not a regular file"));
    assert_int_equal(read_key("absent"), -ENOENT);
    assert_int_equal(problems.n_errors, 3);
}

static void test_what_a_file_cannot_hold(void **state)
{
    (void) state;
    char *large = calloc(1, KEY_FILE_MAX + 1);
    assert_non_null(large);
    memset(large, 'x', KEY_FILE_MAX + 1);
    sandbox_write_bytes(&box, "k", 0600, large, KEY_FILE_MAX);
    assert_int_equal(read_key("k"), 0);
    assert_int_equal(key.size, KEY_FILE_MAX);
    sandbox_write_bytes(&box, "k", 0600, large, KEY_FILE_MAX + 1);
    assert_int_equal(read_key("k"), -EINVAL);
    assert_true(has_error(&problems, "shop.conf:7", "longer than 64 KiB"));
    free(large);
    sandbox_write_bytes(&box, "k", 0600, "a\0b", 3);
    assert_int_equal(read_key("k"), -EINVAL);
    assert_true(has_error(&problems, "shop.conf:7", "NUL"));
    /* The old value stays. */
    assert_int_equal(key.size, KEY_FILE_MAX);
}

static void test_settings_files(void **state)
{
    (void) state;
    _cleanup_(buffer_done) struct buffer text = BUFFER_INIT(SETTINGS_FILE_MAX);
    char *large = malloc(SETTINGS_FILE_MAX + 1);

    assert_non_null(large);
    memset(large, '\n', SETTINGS_FILE_MAX + 1);
    sandbox_write_bytes(&box, "s", 0644, large, SETTINGS_FILE_MAX);
    assert_int_equal(file_read_settings(sandbox_path(&box, "s"), &problems, &text), 0);
    assert_int_equal(text.size, SETTINGS_FILE_MAX);
    buffer_reset(&text);
    sandbox_write_bytes(&box, "s", 0644, large, SETTINGS_FILE_MAX + 1);
    assert_int_equal(file_read_settings(sandbox_path(&box, "s"), &problems, &text), -EINVAL);
    assert_true(has_error(&problems, "", "longer than 1 MiB"));
    free(large);

    buffer_reset(&text);
    sandbox_write(&box, "w", 0666, "[A]\n");
    assert_int_equal(file_read_settings(sandbox_path(&box, "w"), &problems, &text), 0);
    assert_string_equal(buffer_peek(&text), "[A]\n");
    assert_true(has_warning(&problems, sandbox_path(&box, "w"), "everybody can write"));
    assert_int_equal(file_read_settings(sandbox_path(&box, "absent"), &problems, &text), -ENOENT);
}

static void test_certificates(void **state)
{
    (void) state;
    static const char pem[] = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    const struct named_file source = named("c.pem");

    sandbox_write(&box, "c.pem", 0644, pem);
    assert_int_equal(file_read_certificate(&source, &problems, &key), 0);
    assert_int_equal(key.size, strlen(pem) - 1);
    assert_int_equal(file_check_authorities(&source, &problems), 0);
    assert_int_equal(problems.n_items, 0);
    sandbox_write(&box, "c.pem", 0644, "-----BEGIN PRIVATE KEY-----\n");
    assert_int_equal(file_read_certificate(&source, &problems, &key), -EINVAL);
    assert_int_equal(file_check_authorities(&source, &problems), -EINVAL);
    sandbox_write(&box, "c.pem", 0644, "");
    assert_int_equal(file_check_authorities(&source, &problems), -EINVAL);
    assert_int_equal(problems.n_errors, 3);
}

static void test_a_bundle_may_be_larger_than_what_is_looked_at(void **state)
{
    (void) state;
    static const char pem[] = "# authorities\n-----BEGIN CERTIFICATE-----\n";
    const size_t size = 300000;
    char *bundle = malloc(size);
    const struct named_file source = named("ca.pem");

    assert_non_null(bundle);
    memset(bundle, 'A', size);
    memcpy(bundle, pem, sizeof(pem) - 1);
    sandbox_write_bytes(&box, "ca.pem", 0644, bundle, size);
    free(bundle);
    assert_int_equal(file_check_authorities(&source, &problems), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_newline_at_the_end_is_dropped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_an_empty_key_is_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_key_open_to_others_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_key_of_a_stranger_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_key_for_the_sockets_group_is_warned_of, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_only_regular_files_are_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_a_file_cannot_hold, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_settings_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_certificates, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_bundle_may_be_larger_than_what_is_looked_at, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
