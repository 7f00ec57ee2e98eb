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
static const char *encrypted; /* where a check from outside looks for what it cannot read; NULL: no check */

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
    encrypted = NULL;
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
        .credentials_directory = has_credentials ? credentials : NULL,
        .rights = {.daemon_uid = geteuid(), .socket_gid = (gid_t) -1},
        .encrypted_directory = encrypted,
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

/* The second keys of each way to authenticate: taken where they are, missed by nobody where they are not. */
static void test_second_keys_are_optional(void **state)
{
    (void) state;
    static const struct {
        const char *provider;
        bool has_secret, has_subscription;
    } cases[] = {
        {VIPPS,                                 true,  true },
        {VIPPS_OAUTH,                           true,  false},
        {OAUTH2,                                true,  false},
        {OAUTH2 "\nClientAuth=post",            true,  false},
        {OAUTH2 "\nClientAuth=private-key-jwt", false, false},
    };
    sandbox_write(&box, "creds/shop.client-secret", 0400, "a");
    sandbox_write(&box, "creds/shop.subscription-key", 0400, "b");
    sandbox_write(&box, "creds/shop.signing-key", 0400, PEM_KEY);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(load(cases[i].provider, "", true), 0);
        assert_int_equal(problems.n_items, 0);
        assert_false(profile_settings_has_next_secret(&profile) || profile_settings_has_secondary(&profile));
    }
    sandbox_write(&box, "creds/shop.next-client-secret", 0400, "c");
    sandbox_write(&box, "creds/shop.secondary-subscription-key", 0400, "d\n");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(load(cases[i].provider, "", true), 0);
        assert_string_equal(secret_peek(&profile.keys[KEY_NEXT_CLIENT_SECRET]),
                            cases[i].has_secret ? "c" : "");
        assert_string_equal(secret_peek(&profile.keys[KEY_SECONDARY_SUBSCRIPTION]),
                            cases[i].has_subscription ? "d" : "");
    }
}

/* Named, they must be there and be fit. */
static void test_second_keys_that_are_named_must_be_there(void **state)
{
    (void) state;
    sandbox_write(&box, "a", 0600, "a");
    sandbox_write(&box, "b", 0600, "b");
    sandbox_write(&box, "empty", 0600, "\n");
    sandbox_write(&box, "open", 0644, "c");
    static const char keys[] = "ClientSecretFile=@/a\nSubscriptionKeyFile=@/b\n";
    char text[256];
    static const struct {
        const char *line, *place, *words;
    } cases[] = {
        {"NextClientSecretFile=@/absent\n",         "shop.conf:10",
         "leave NextClientSecretFile= out and pass the credential shop.next-client-secret"                },
        {"SecondarySubscriptionKeyFile=@/absent\n", "shop.conf:10",
         "leave SecondarySubscriptionKeyFile= out and pass the credential shop.secondary-subscription-key"},
        {"NextClientSecretFile=@/empty\n",          "shop.conf:10", "empty"                               },
        {"SecondarySubscriptionKeyFile=@/open\n",   "shop.conf:10", "open to every user"                  },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        (void) snprintf(text, sizeof(text), "%s%s", keys, cases[i].line);
        assert_int_equal(load(VIPPS, text, true), -EINVAL);
        assert_int_equal(problems.n_errors, 1);
        assert_true(has_error(&problems, cases[i].place, cases[i].words));
    }
    /* An inline one was reported before, and the credential does not make up for it. */
    sandbox_write(&box, "creds/shop.next-client-secret", 0400, "c");
    (void) snprintf(text, sizeof(text), "%sNextClientSecret=hunter2\n", keys);
    assert_int_equal(load(VIPPS, text, true), -EINVAL);
    assert_int_equal(problems.n_errors, 1);
    assert_true(fixture_never_says(&problems, "hunter2"));
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
    assert_true(has_error(&problems, "shop.conf", "nor PROFILE_shop.client-secret"));
    assert_true(has_error(&problems, "shop.conf", "store it with: bearerctl keys shop"));
    assert_true(has_error(&problems, "shop.conf", "journalctl -u bearerd-credentials says why"));
    /* A file that is named is the only place, even where there is a credential. */
    sandbox_write(&box, "creds/shop.client-secret", 0400, "a");
    assert_int_equal(load(VIPPS_OAUTH, "ClientSecretFile=@/absent\n", true), -EINVAL);
    assert_true(has_error(&problems, "shop.conf:8", "pass the credential shop.client-secret"));
}

/* A folder of encrypted keys comes as PROFILE_shop.client-secret, and what has the plain name goes first. */
static void test_credentials_of_the_folder(void **state)
{
    (void) state;
    sandbox_write(&box, "creds/PROFILE_shop.client-secret", 0400, "from-folder");
    sandbox_write(&box, "creds/PROFILE_shop.subscription-key", 0400, "sub-folder\n");
    sandbox_write(&box, "creds/PROFILE_shop.next-client-secret", 0400, "next-folder");
    assert_int_equal(load(VIPPS, "", true), 0);
    assert_int_equal(problems.n_items, 0);
    assert_string_equal(secret_peek(&profile.keys[KEY_CLIENT_SECRET]), "from-folder");
    assert_string_equal(secret_peek(&profile.keys[KEY_SUBSCRIPTION]), "sub-folder");
    assert_string_equal(secret_peek(&profile.keys[KEY_NEXT_CLIENT_SECRET]), "next-folder");

    sandbox_write(&box, "creds/shop.client-secret", 0400, "by-name");
    assert_int_equal(load(VIPPS, "", true), 0);
    assert_string_equal(secret_peek(&profile.keys[KEY_CLIENT_SECRET]), "by-name");

    /* One that is unfit is not made up for by the other. */
    sandbox_write(&box, "creds/shop.client-secret", 0400, "");
    assert_int_equal(load(VIPPS, "", true), -EINVAL);
    assert_true(has_error(&problems, "shop.conf", "creds/shop.client-secret is empty"));
}

/* A check that is not the service can read no encrypted key, and does not call it missing. */
static void test_a_check_knows_of_encrypted_keys(void **state)
{
    (void) state;
    sandbox_make_directory(&box, "encrypted");
    sandbox_write(&box, "encrypted/shop.client-secret", 0600, "blob");
    char path[SANDBOX_PATH_SIZE];
    (void) snprintf(path, sizeof(path), "%s", sandbox_path(&box, "encrypted"));
    assert_int_equal(load(VIPPS_OAUTH, "", true), -EINVAL);

    encrypted = path;
    assert_int_equal(load(VIPPS_OAUTH, "", true), 0);
    assert_int_equal(problems.n_items, 1);
    assert_true(has_warning(&problems, "shop.conf", "the client secret is not checked"));
    assert_false(secret_is_set(&profile.keys[KEY_CLIENT_SECRET]));
    /* The other key is missed as ever; a file that is named is the only place. */
    assert_int_equal(load(VIPPS, "", true), -EINVAL);
    assert_true(has_error(&problems, "shop.conf", "no subscription-key"));
    assert_int_equal(load(VIPPS_OAUTH, "ClientSecretFile=@/absent\n", true), -EINVAL);
}

/* What the running service has may not be there at its next start. */
static void test_a_check_tells_of_a_key_that_is_no_longer_stored(void **state)
{
    (void) state;
    sandbox_make_directory(&box, "encrypted");
    char path[SANDBOX_PATH_SIZE];
    (void) snprintf(path, sizeof(path), "%s", sandbox_path(&box, "encrypted"));
    sandbox_write(&box, "creds/PROFILE_shop.client-secret", 0400, "in-use");
    sandbox_write(&box, "creds/PROFILE_shop.next-client-secret", 0400, "optional");
    encrypted = path;
    assert_int_equal(load(VIPPS_OAUTH, "", true), 0);
    assert_int_equal(problems.n_items, 1);
    assert_true(has_warning(&problems, "shop.conf", "the client secret is no longer stored"));
    sandbox_write(&box, "encrypted/shop.client-secret", 0600, "blob");
    assert_int_equal(load(VIPPS_OAUTH, "", true), 0);
    assert_int_equal(problems.n_items, 0);
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

/* Each pair of keys that should differ: the files they are read from, and what is said when they do not. */
static void test_keys_that_are_the_same_are_warnings(void **state)
{
    (void) state;
    static const char keys[] = "ClientSecretFile=@/0\nNextClientSecretFile=@/1\nSubscriptionKeyFile=@/2\n"
                               "SecondarySubscriptionKeyFile=@/3\nAPISubscriptionKeyFile=@/4\n";
    static const struct {
        const char *a, *b, *words;
    } pairs[] = {
        {"0", "2", "the client secret is the same as the subscription key: are they mixed up?"             },
        {"0", "3", "the client secret is the same as the secondary subscription key: are they mixed up?"   },
        {"0", "4", "the client secret is the same as the API subscription key: are they mixed up?"         },
        {"1", "2", "the next client secret is the same as the subscription key: are they mixed up?"        },
        {"1", "3",
         "the next client secret is the same as the secondary subscription key: are they mixed up?"        },
        {"1", "4", "the next client secret is the same as the API subscription key: are they mixed up?"    },
        {"1", "0", "the next client secret is the same as the client secret: it is of no use so"           },
        {"3", "2", "the secondary subscription key is the same as the subscription key: it is of no use so"},
    };
    static const char *const names[] = {"0", "1", "2", "3", "4"};

    for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
        for (size_t k = 0; k < ARRAY_SIZE(names); k++)
            sandbox_write(&box, names[k], 0600, names[k]);
        assert_int_equal(load(VIPPS, keys, false), 0);
        assert_int_equal(problems.n_items, 0);
        sandbox_write(&box, pairs[i].a, 0600, "hunter2");
        sandbox_write(&box, pairs[i].b, 0600, "hunter2");
        assert_int_equal(load(VIPPS, keys, false), 0);
        assert_int_equal(problems.n_items, 1);
        assert_true(has_warning(&problems, "shop.conf", pairs[i].words));
        assert_true(fixture_never_says(&problems, "hunter2"));
    }
    /* An API key that does not differ is what a new key set has. */
    sandbox_write(&box, "1", 0600, "1");
    sandbox_write(&box, "2", 0600, "2");
    sandbox_write(&box, "3", 0600, "3");
    sandbox_write(&box, "4", 0600, "2");
    assert_int_equal(load(VIPPS, keys, false), 0);
    assert_int_equal(problems.n_items, 0);
    sandbox_write(&box, "1", 0600, "me");
    sandbox_write(&box, "3", 0600, "fb492b5e-7907-4d83-ba20-c7fb60ca35de");
    assert_int_equal(load(VIPPS, keys, false), 0);
    assert_true(has_warning(&problems, "shop.conf", "the next client secret is the same as ClientID="));
    assert_true(has_warning(&problems, "shop.conf", "the secondary subscription key looks like a client id"));
    assert_int_equal(problems.n_items, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_files_come_first_and_credentials_second, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_an_optional_key_is_read_where_it_is, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_second_keys_are_optional, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_second_keys_that_are_named_must_be_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_missing_key_names_both_places, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_credentials_of_the_folder, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_check_knows_of_encrypted_keys, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_check_tells_of_a_key_that_is_no_longer_stored, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_key_is_one_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_refused_line_is_reported_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_private_keys, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_tls_keys_come_with_their_certificate, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_authorities_are_looked_at, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_odd_keys_are_warnings, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_keys_that_are_the_same_are_warnings, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
