/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "config_fixture.h"
#include "core/settings.h"
#include "host/key_catalog.h"
#include "settings_fixture.h"

static struct sandbox box;
static struct problems problems;
static struct profile_keys keys;

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
    profile_keys_done(&keys);
    sandbox_done(&box);
    return 0;
}

static void read_profile(const char *text)
{
    problems_done(&problems);
    profile_keys_done(&keys);
    if (text)
        sandbox_write(&box, "shop.conf", 0644, text);
    assert_int_equal(key_catalog_read(box.directory, "shop", &problems, &keys), 0);
}

/* The names of the keys that are wanted, in their order; optional ones in brackets. */
static const char *wanted(void)
{
    static char text[512];
    size_t size = 0;

    text[0] = '\0';
    for (size_t i = 0; i < keys.n_keys; i++) {
        const struct catalog_key *key = &keys.keys[i];
        int n =
            snprintf(text + size, sizeof(text) - size, key->is_optional ? "[%s] " : "%s ", key->kind.name);
        assert_true(n > 0 && (size_t) n < sizeof(text) - size);
        size += (size_t) n;
    }
    return text;
}

#define PROFILE(lines) "[Profile]\n" lines "\n[Access]\nAllow=any\n[Keys]\nClientID=me\n"

static void test_each_provider_wants_its_keys(void **state)
{
    (void) state;
    static const struct {
        const char *settings, *provider, *wanted;
    } cases[] = {
        {PROFILE("Provider=vipps\nEnvironment=test"),                                             "vipps",
         "client-secret [next-client-secret] subscription-key [secondary-subscription-key] "
         "[api-subscription-key] "                                                                                                                    },
        {PROFILE("Provider=vipps-oauth\nEnvironment=test"),                                       "vipps-oauth",
         "client-secret [next-client-secret] "                                                                                                        },
        {PROFILE("Provider=oauth2\nTokenURL=https://a/t"),                                        "oauth2",      "client-secret [next-client-secret] "},
        {PROFILE("Provider=oauth2\nTokenURL=https://a/t\nClientAuth=private-key-jwt"),            "oauth2",
         "signing-key "                                                                                                                               },
        {PROFILE("Provider=oauth2\nTokenURL=https://a/t\nClientAuth=tls\nTLSCertificateFile=/c"), "oauth2",
         "tls-key "                                                                                                                                   },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        read_profile(cases[i].settings);
        assert_true(keys.has_settings);
        assert_string_equal(keys.provider, cases[i].provider);
        assert_string_equal(wanted(), cases[i].wanted);
        assert_string_equal(keys.settings_file, sandbox_path(&box, "shop.conf"));
    }
}

static void test_a_file_of_the_settings_is_told_with_its_line(void **state)
{
    (void) state;
    read_profile(PROFILE("Provider=vipps\nEnvironment=test") "ClientSecretFile=/own\n");
    assert_string_equal(keys.keys[0].file, "/own");
    assert_int_equal(keys.keys[0].line, 8);
    assert_null(keys.keys[1].file);
}

static void test_settings_may_be_missing_or_say_no_provider(void **state)
{
    (void) state;
    read_profile(NULL);
    assert_false(keys.has_settings);
    assert_null(keys.provider);
    assert_int_equal(keys.n_keys, 5);
    assert_int_equal(problems.n_items, 0);
    read_profile(PROFILE("Provider=vips"));
    assert_true(keys.has_settings);
    assert_null(keys.provider);
    assert_true(problems.n_errors > 0);
    /* What else is wrong does not hide which keys are wanted. */
    read_profile(PROFILE("Provider=vipps-oauth\nEnvironment=tset"));
    assert_string_equal(keys.provider, "vipps-oauth");
}

static void test_profiles_are_named_by_their_files(void **state)
{
    (void) state;
    struct profile_names names = {0};

    sandbox_write(&box, "till.conf", 0644, "");
    sandbox_write(&box, "a.b.conf", 0644, "");
    sandbox_write(&box, "Shop.conf", 0644, "");
    sandbox_write(&box, "shop.conf~", 0644, "");
    sandbox_write(&box, ".conf", 0644, "");
    assert_int_equal(key_catalog_profiles(box.directory, &names), 0);
    assert_int_equal(names.n_items, 2);
    assert_string_equal(names.items[0], "a.b");
    assert_string_equal(names.items[1], "till");
    profile_names_done(&names);
    assert_int_equal(key_catalog_profiles("/nonexistent", &names), 0);
    assert_int_equal(names.n_items, 0);
    assert_int_equal(key_catalog_profiles(sandbox_path(&box, "till.conf"), &names), -ENOTDIR);
}

static void expect_verdict(enum key_kind kind, const char *text, size_t size, const char *error,
                           const char *warning)
{
    const struct catalog_kind words = key_catalog_kind(kind);
    struct secret key = SECRET_INIT;

    assert_int_equal(secret_set(&key, text, size), 0);
    const struct catalog_verdict verdict = key_catalog_judge(&words, &key);
    assert_true(error ? verdict.error && strstr(verdict.error, error) : !verdict.error);
    assert_int_equal(verdict.n_warnings, warning != NULL);
    if (warning)
        assert_non_null(strstr(verdict.warnings[0], warning));
    secret_done(&key);
}

static void test_keys_are_judged_as_the_daemon_would(void **state)
{
    (void) state;
    static const char guid[] = "fb492b5e-7907-4d83-ba20-c7fb60ca35de";
    static const char encrypted[] = "-----BEGIN ENCRYPTED PRIVATE KEY-----\n";
    static const char damaged[] = "-----BEGIN PRIVATE KEY-----\nM\n-----END PRIVATE KEY-----";
    static char long_one[CATALOG_KEY_MAX + 1];

    expect_verdict(KEY_CLIENT_SECRET, "", 0, "is empty", NULL);
    expect_verdict(KEY_CLIENT_SECRET, "secret", 6, NULL, NULL);
    expect_verdict(KEY_CLIENT_SECRET, "two\nlines", 9, "several lines", NULL);
    expect_verdict(KEY_CLIENT_SECRET, "nul\0", 4, "printable ASCII", NULL);
    expect_verdict(KEY_CLIENT_SECRET, "'secret'", 8, NULL, "in quotes");
    expect_verdict(KEY_CLIENT_SECRET, guid, 36, NULL, NULL);
    expect_verdict(KEY_SUBSCRIPTION, guid, 36, NULL, "looks like a client id");
    expect_verdict(KEY_SIGNING, "secret", 6, "no private key in PEM form", NULL);
    expect_verdict(KEY_SIGNING, encrypted, sizeof(encrypted) - 1, "passphrase", NULL);
    expect_verdict(KEY_SIGNING, damaged, sizeof(damaged) - 1, "damaged", NULL);
    expect_verdict(KEY_TLS, damaged, sizeof(damaged), "NUL byte", NULL);
    memset(long_one, 'x', sizeof(long_one));
    expect_verdict(KEY_CLIENT_SECRET, long_one, sizeof(long_one), "longer than 64 KiB", NULL);
    expect_verdict(KEY_CLIENT_SECRET, long_one, CATALOG_KEY_MAX, NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_provider_wants_its_keys, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_file_of_the_settings_is_told_with_its_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_settings_may_be_missing_or_say_no_provider, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_profiles_are_named_by_their_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_keys_are_judged_as_the_daemon_would, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
