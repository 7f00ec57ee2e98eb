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
#include "host/keys.h"
#include "settings_fixture.h"

#define PEM_KEY "-----BEGIN PRIVATE KEY-----\nMC4C\n-----END PRIVATE KEY-----\n"

static struct sandbox box;
static struct problems problems;
static struct profile_settings profile;
static struct profile_notes notes;

static int set_up(void **state)
{
    (void) state;
    box = sandbox_make();
    sandbox_make_directory(&box, "creds");
    return 0;
}

static int tear_down(void **state)
{
    (void) state;
    problems_done(&problems);
    profile_settings_done(&profile);
    sandbox_done(&box);
    return 0;
}

/* Reads a profile of `provider` (a line or more) with `keys` in [Keys], where %s stands for the sandbox. */
static int load(const char *provider, const char *keys, bool has_credentials)
{
    char text[1024], filled[512], credentials[SANDBOX_PATH_SIZE];

    problems_done(&problems);
    profile_settings_done(&profile);
    (void) snprintf(credentials, sizeof(credentials), "%s", sandbox_path(&box, "creds"));
    char *out = filled;
    for (const char *in = keys; *in; in++) {
        bool is_hole = in[0] == '@';
        out += snprintf(out, sizeof(filled) - (size_t) (out - filled), "%.*s", is_hole ? 63 : 1,
                        is_hole ? box.directory : in);
    }
    *out = '\0';
    (void) snprintf(text, sizeof(text),
                    "[Profile]\nProvider=%s\n[Access]\nAllow=any\n[Keys]\nClientID=me\n%s", provider, filled);
    (void) fixture_parse_profile(text, &problems, &profile, &notes);
    const struct key_source source = {
        has_credentials ? credentials : NULL, {.daemon_uid = geteuid(), .socket_gid = (gid_t) -1}
    };
    return keys_load(&source, &notes, &problems, &profile);
}

#define VIPPS       "vipps\nEnvironment=test"
#define VIPPS_OAUTH "vipps-oauth\nEnvironment=test"
#define OAUTH2      "oauth2\nTokenURL=https://issuer.example/t"

static void test_files_come_first_and_credentials_second(void **state)
{
    (void) state;
    sandbox_write(&box, "secret", 0600, "from-file\n");
    sandbox_write(&box, "creds/shop.client-secret", 0400, "from-credential");
    sandbox_write(&box, "creds/shop.subscription-key", 0440, "sub-credential\n");
    assert_int_equal(load(VIPPS, "ClientSecretFile=@/secret\n", true), 0);
    assert_int_equal(problems.n_items, 0);
    assert_string_equal(secret_peek(&profile.keys[KEY_CLIENT_SECRET]), "from-file");
    assert_string_equal(secret_peek(&profile.keys[KEY_SUBSCRIPTION]), "sub-credential");
    assert_false(secret_is_set(&profile.keys[KEY_API_SUBSCRIPTION]));
}

static void test_an_optional_key_is_read_where_it_is(void **state)
{
    (void) state;
    sandbox_write(&box, "creds/shop.client-secret", 0400, "a");
    sandbox_write(&box, "creds/shop.subscription-key", 0400, "b");
    sandbox_write(&box, "creds/shop.api-subscription-key", 0400, "c");
    assert_int_equal(load(VIPPS, "", true), 0);
    assert_string_equal(secret_peek(&profile.keys[KEY_API_SUBSCRIPTION]), "c");
    /* Named, it must be there. */
    assert_int_equal(load(VIPPS, "APISubscriptionKeyFile=@/absent\n", true), -EINVAL);
    assert_true(has_error(&problems, "shop.conf:8", "does not exist"));
    /* And vipps-oauth has no use for it. */
    assert_int_equal(load(VIPPS_OAUTH, "", true), 0);
    assert_false(secret_is_set(&profile.keys[KEY_SUBSCRIPTION]));
    assert_false(secret_is_set(&profile.keys[KEY_API_SUBSCRIPTION]));
}

static void test_a_missing_key_names_both_places(void **state)
{
    (void) state;
    assert_int_equal(load(VIPPS, "", false), -EINVAL);
    assert_int_equal(problems.n_errors, 2);
    assert_true(has_error(&problems, "shop.conf", "ClientSecretFile= is not set"));
    assert_true(
        has_error(&problems, "shop.conf", "credential shop.subscription-key in $CREDENTIALS_DIRECTORY"));
    assert_int_equal(load(VIPPS, "", true), -EINVAL);
    assert_true(has_error(&problems, "shop.conf", "credential shop.client-secret in /tmp/"));
    /* A file that is named is the only place, even where there is a credential. */
    sandbox_write(&box, "creds/shop.client-secret", 0400, "a");
    assert_int_equal(load(VIPPS_OAUTH, "ClientSecretFile=@/absent\n", true), -EINVAL);
    assert_true(has_error(&problems, "shop.conf:8", "pass the credential shop.client-secret"));
}

static void test_a_key_is_one_line(void **state)
{
    (void) state;
    sandbox_write(&box, "k", 0600, "one\ntwo\n");
    assert_int_equal(load(VIPPS_OAUTH, "ClientSecretFile=@/k\n", false), -EINVAL);
    assert_true(has_error(&problems, "shop.conf:8", "several lines"));
    sandbox_write(&box, "k", 0600, "bl\xc3\xa5\n");
    assert_int_equal(load(VIPPS_OAUTH, "ClientSecretFile=@/k\n", false), -EINVAL);
    assert_true(has_error(&problems, "shop.conf:8", "printable ASCII"));
    assert_true(fixture_never_says(&problems, "bl\xc3"));
    assert_false(secret_is_set(&profile.keys[KEY_CLIENT_SECRET]));
}

static void test_a_refused_line_is_reported_once(void **state)
{
    (void) state;
    assert_int_equal(load(VIPPS_OAUTH, "ClientSecret=hunter2\n", false), -EINVAL);
    assert_int_equal(problems.n_errors, 1);
    assert_int_equal(load(VIPPS_OAUTH, "ClientSecretFile=relative\n", false), -EINVAL);
    assert_int_equal(problems.n_errors, 1);
}

static void test_private_keys(void **state)
{
    (void) state;
    static const char jwt[] = OAUTH2 "\nClientAuth=private-key-jwt";
    sandbox_write(&box, "k", 0600, PEM_KEY);
    assert_int_equal(load(jwt, "SigningKeyFile=@/k\n", false), 0);
    assert_int_equal(problems.n_items, 0);
    assert_int_equal(profile.keys[KEY_SIGNING].size, strlen(PEM_KEY) - 1);
    sandbox_write(&box, "k", 0600, "-----BEGIN EC PRIVATE KEY-----\nM\n-----END EC PRIVATE KEY-----\n");
    assert_int_equal(load(jwt, "SigningKeyFile=@/k\n", false), 0);
    sandbox_write(&box, "k", 0600,
                  "-----BEGIN ENCRYPTED PRIVATE KEY-----\nM\n-----END ENCRYPTED PRIVATE KEY-----\n");
    assert_int_equal(load(jwt, "SigningKeyFile=@/k\n", false), -EINVAL);
    assert_true(has_error(&problems, "shop.conf:9", "passphrase"));
    sandbox_write(&box, "k", 0600, "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n");
    assert_int_equal(load(jwt, "SigningKeyFile=@/k\n", false), -EINVAL);
    assert_true(has_error(&problems, "shop.conf:9", "passphrase"));
    sandbox_write(&box, "k", 0600, "-----BEGIN PUBLIC KEY-----\n");
    assert_int_equal(load(jwt, "SigningKeyFile=@/k\n", false), -EINVAL);
    assert_true(has_error(&problems, "shop.conf:9", "no private key in PEM form"));
}

static void test_tls_keys_come_with_their_certificate(void **state)
{
    (void) state;
    char provider[256];
    (void) snprintf(provider, sizeof(provider), OAUTH2 "\nClientAuth=tls\nTLSCertificateFile=%s",
                    sandbox_path(&box, "crt"));
    sandbox_write(&box, "k", 0600, PEM_KEY);
    assert_int_equal(load(provider, "TLSKeyFile=@/k\n", false), -EINVAL);
    assert_true(has_error(&problems, "shop.conf:5", "crt does not exist"));
    sandbox_write(&box, "crt", 0644, "-----BEGIN CERTIFICATE-----\n");
    assert_int_equal(load(provider, "TLSKeyFile=@/k\n", false), 0);
    assert_true(secret_is_set(&profile.tls_certificate));
    assert_true(secret_is_set(&profile.keys[KEY_TLS]));
}

static void test_authorities_are_looked_at(void **state)
{
    (void) state;
    char provider[256];
    sandbox_write(&box, "k", 0600, "x");
    (void) snprintf(provider, sizeof(provider), VIPPS_OAUTH "\nCAFile=%s", sandbox_path(&box, "ca"));
    assert_int_equal(load(provider, "ClientSecretFile=@/k\n", false), -EINVAL);
    assert_true(has_error(&problems, "shop.conf:4", "ca does not exist"));
    sandbox_write(&box, "ca", 0644, "-----BEGIN CERTIFICATE-----\n");
    assert_int_equal(load(provider, "ClientSecretFile=@/k\n", false), 0);
}

static void test_odd_keys_are_warnings(void **state)
{
    (void) state;
    sandbox_write(&box, "secret", 0600, "'me'\n");
    sandbox_write(&box, "sub", 0600, " fb492b5e-7907-4d83-ba20-c7fb60ca35de\n");
    assert_int_equal(load(VIPPS, "ClientSecretFile=@/secret\nSubscriptionKeyFile=@/sub\n", false), 0);
    assert_true(has_warning(&problems, "shop.conf:8", "in quotes"));
    assert_true(has_warning(&problems, "shop.conf:9", "with a space"));
    sandbox_write(&box, "secret", 0600, "me");
    sandbox_write(&box, "sub", 0600, "fb492b5e-7907-4d83-ba20-c7fb60ca35de");
    assert_int_equal(load(VIPPS, "ClientSecretFile=@/secret\nSubscriptionKeyFile=@/sub\n", false), 0);
    assert_true(has_warning(&problems, "shop.conf", "same as ClientID="));
    assert_true(has_warning(&problems, "shop.conf", "looks like a client id"));
    sandbox_write(&box, "sub", 0600, "me\n");
    assert_int_equal(load(VIPPS, "ClientSecretFile=@/secret\nSubscriptionKeyFile=@/sub\n", false), 0);
    assert_true(has_warning(&problems, "shop.conf", "same as the subscription key"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_files_come_first_and_credentials_second, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_an_optional_key_is_read_where_it_is, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_missing_key_names_both_places, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_key_is_one_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_refused_line_is_reported_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_private_keys, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_tls_keys_come_with_their_certificate, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_authorities_are_looked_at, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_odd_keys_are_warnings, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
