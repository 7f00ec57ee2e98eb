/* SPDX-License-Identifier: MIT */
#include "fixtures.h"

#include <stdlib.h>

#include "base/locked.h"

static struct access_list one_rule(void)
{
    struct access_list list = {.rules = calloc(1, sizeof(struct access_rule)), .n_rules = 1};
    list.rules[0].text = strdup("user:root");
    return list;
}

/* Leaks are the sanitizer's to find: here every owned member is set. */
static struct profile_settings *full_settings(void)
{
    struct profile_settings *s = calloc(1, sizeof(*s));

    *s = (struct profile_settings){
        .name = strdup("shop"),
        .description = strdup("d"),
        .file = strdup("f"),
        .environment = strdup("test"),
        .token_url = strdup("https://x/"),
        .client_id = strdup("id"),
        .scope = strdup("s"),
        .audience = strdup("a"),
        .resources = calloc(2, sizeof(char *)),
        .n_resources = 2,
        .signing_key_id = strdup("kid"),
        .tls_certificate_file = strdup("c"),
        .ca_file = strdup("ca"),
        .headers = calloc(1, sizeof(struct header_setting)),
        .n_headers = 1,
        .allow = one_rule(),
    };
    s->resources[0] = strdup("r0");
    s->resources[1] = strdup("r1");
    s->headers[0] = (struct header_setting){.name = strdup("N"), .value = strdup("V")};
    for (size_t i = 0; i < N_KEY_KINDS; i++) {
        s->key_files[i] = strdup("k");
        assert_int_equal(secret_set(&s->keys[i], "a key that is to be wiped, whole", 32), 0);
    }
    assert_int_equal(secret_set(&s->tls_certificate, "PEM", 3), 0);
    return s;
}

static void done_frees_all_and_wipes_keys(void **state _unused_)
{
    struct profile_settings *s = full_settings();
    const char *keys[N_KEY_KINDS];

    for (size_t i = 0; i < N_KEY_KINDS; i++)
        keys[i] = s->keys[i].data;
    profile_settings_done(s);
    for (size_t i = 0; i < N_KEY_KINDS; i++) {
        for (size_t k = sizeof(void *); k < locked_usable_size(33); k++)
            assert_int_equal(keys[i][k], 0);
    }
    assert_null(s->name);
    assert_int_equal(s->n_headers, 0);
    profile_settings_done(s);
    profile_settings_free(s);
    profile_settings_free(full_settings());
}

static void empty_and_null_are_fine(void **state _unused_)
{
    struct profile_settings p = {0};
    struct daemon_settings d = {0};

    profile_settings_done(&p);
    profile_settings_done(NULL);
    profile_settings_free(NULL);
    daemon_settings_done(&d);
    daemon_settings_done(NULL);
    access_list_done(NULL);
    d = (struct daemon_settings){.socket_path = strdup("s"),
                                 .socket_group = strdup("g"),
                                 .profile_directory = strdup("d"),
                                 .admin = one_rule()};
    daemon_settings_done(&d);
    assert_null(d.socket_path);
    assert_int_equal(d.admin.n_rules, 0);
}

static void names_are_the_contract(void **state _unused_)
{
    assert_string_equal(provider_name(PROVIDER_VIPPS), "vipps");
    assert_string_equal(provider_name(PROVIDER_VIPPS_OAUTH), "vipps-oauth");
    assert_string_equal(provider_name(PROVIDER_OAUTH2), "oauth2");
    assert_string_equal(key_kind_credential(KEY_CLIENT_SECRET), "client-secret");
    assert_string_equal(key_kind_credential(KEY_SUBSCRIPTION), "subscription-key");
    assert_string_equal(key_kind_credential(KEY_API_SUBSCRIPTION), "api-subscription-key");
    assert_string_equal(key_kind_credential(KEY_TLS), "tls-key");
    assert_string_equal(key_kind_credential(KEY_SIGNING), "signing-key");
    assert_string_equal(key_kind_setting(KEY_API_SUBSCRIPTION), "APISubscriptionKey");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(done_frees_all_and_wipes_keys),
        cmocka_unit_test(empty_and_null_are_fine),
        cmocka_unit_test(names_are_the_contract),
    };
    return cmocka_run_group_tests_name("settings", tests, NULL, NULL);
}
