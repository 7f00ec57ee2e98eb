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
    assert_string_equal(key_kind_credential(KEY_NEXT_CLIENT_SECRET), "next-client-secret");
    assert_string_equal(key_kind_credential(KEY_SECONDARY_SUBSCRIPTION), "secondary-subscription-key");
    assert_string_equal(key_kind_setting(KEY_API_SUBSCRIPTION), "APISubscriptionKey");
    assert_string_equal(key_kind_setting(KEY_NEXT_CLIENT_SECRET), "NextClientSecret");
    assert_string_equal(key_kind_setting(KEY_SECONDARY_SUBSCRIPTION), "SecondarySubscriptionKey");
    assert_string_equal(key_kind_words(KEY_SECONDARY_SUBSCRIPTION), "secondary subscription key");
    assert_string_equal(settings_change_name(CHANGE_NONE), "none");
    assert_string_equal(settings_change_name(CHANGE_ACCESS), "access");
    assert_string_equal(settings_change_name(CHANGE_POLICY), "policy");
    assert_string_equal(settings_change_name(CHANGE_KEYS), "keys");
    assert_string_equal(settings_change_name(CHANGE_IDENTITY), "identity");
}

/* ---- choosing ---- */

static void a_choice_is_one_of_each_pair(void **state _unused_)
{
    static const enum key_kind kinds[][2] = {
        {KEY_CLIENT_SECRET,      KEY_SUBSCRIPTION          },
        {KEY_NEXT_CLIENT_SECRET, KEY_SUBSCRIPTION          },
        {KEY_CLIENT_SECRET,      KEY_SECONDARY_SUBSCRIPTION},
        {KEY_NEXT_CLIENT_SECRET, KEY_SECONDARY_SUBSCRIPTION},
    };
    struct profile_settings s = {0};

    for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++) {
        const struct key_choice choice = {.is_next_secret = i & 1, .is_secondary_subscription = i & 2};
        assert_ptr_equal(profile_settings_client_secret(&s, choice), &s.keys[kinds[i][0]]);
        assert_ptr_equal(profile_settings_subscription_key(&s, choice), &s.keys[kinds[i][1]]);
    }
}

static void there_is_a_choice_only_with_a_second_key(void **state _unused_)
{
    _cleanup_(profile_settings_done) struct profile_settings s = {0};

    assert_int_equal(secret_set(&s.keys[KEY_CLIENT_SECRET], "a", 1), 0);
    assert_int_equal(secret_set(&s.keys[KEY_SUBSCRIPTION], "b", 1), 0);
    assert_false(profile_settings_has_next_secret(&s) || profile_settings_has_secondary(&s));
    assert_int_equal(secret_set(&s.keys[KEY_NEXT_CLIENT_SECRET], "c", 1), 0);
    assert_true(profile_settings_has_next_secret(&s) && !profile_settings_has_secondary(&s));
    assert_int_equal(secret_set(&s.keys[KEY_SECONDARY_SUBSCRIPTION], "d", 1), 0);
    assert_true(profile_settings_has_next_secret(&s) && profile_settings_has_secondary(&s));
}

/* ---- comparing: every member that can differ, and what it means when it does ---- */

/* In both directions: which of the two is the older does not matter. */
static void expect_change(struct profile_settings *changed, enum settings_change change)
{
    struct profile_settings *s = full_settings();

    assert_string_equal(settings_change_name(profile_settings_compare(s, changed)),
                        settings_change_name(change));
    assert_int_equal(profile_settings_compare(changed, s), change);
    profile_settings_free(s);
    profile_settings_free(changed);
}

static void the_same_settings_are_no_change(void **state _unused_)
{
    struct profile_settings *s = full_settings();

    assert_int_equal(profile_settings_compare(s, s), CHANGE_NONE);
    profile_settings_free(s);
    expect_change(full_settings(), CHANGE_NONE);
    struct profile_settings a = {0}, b = {0};
    assert_int_equal(profile_settings_compare(&a, &b), CHANGE_NONE);
}

#define AT(member) offsetof(struct profile_settings, member)

static void every_text_counts(void **state _unused_)
{
    static const struct {
        size_t offset;
        enum settings_change change;
    } texts[] = {
        {AT(description),          CHANGE_ACCESS  },
        {AT(ca_file),              CHANGE_KEYS    },
        {AT(signing_key_id),       CHANGE_KEYS    },
        {AT(token_url),            CHANGE_IDENTITY},
        {AT(client_id),            CHANGE_IDENTITY},
        {AT(scope),                CHANGE_IDENTITY},
        {AT(audience),             CHANGE_IDENTITY},
 /* Where things lie; what is there is compared by itself. */
        {AT(file),                 CHANGE_NONE    },
        {AT(environment),          CHANGE_NONE    },
        {AT(tls_certificate_file), CHANGE_NONE    },
        {AT(key_files[0]),         CHANGE_NONE    },
    };

    for (size_t i = 0; i < 2 * ARRAY_SIZE(texts); i++) {
        struct profile_settings *s = full_settings();
        char **text = (char **) (void *) ((char *) s + texts[i / 2].offset);
        free(*text);
        *text = i % 2 ? strdup("another") : NULL;
        expect_change(s, texts[i / 2].change);
    }
}

static void every_number_counts(void **state _unused_)
{
    static const struct {
        size_t offset;
        enum settings_change change;
    } numbers[] = {
        {AT(provider),               CHANGE_IDENTITY},
        {AT(client_auth),            CHANGE_IDENTITY},
        {AT(signing_algorithm),      CHANGE_KEYS    },
        {AT(refresh.at_percent),     CHANGE_POLICY  },
        {AT(refresh.jitter_percent), CHANGE_POLICY  },
        {AT(refresh.retry_min_for),  CHANGE_POLICY  },
        {AT(refresh.retry_max_for),  CHANGE_POLICY  },
        {AT(refresh.timeout_for),    CHANGE_POLICY  },
        {AT(is_preloaded),           CHANGE_POLICY  },
        {AT(idle_after_for),         CHANGE_POLICY  },
    };

    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        struct profile_settings *s = full_settings();
        *((unsigned char *) s + numbers[i].offset) ^= 1;
        expect_change(s, numbers[i].change);
    }
}

static void every_key_counts(void **state _unused_)
{
    /* Another of the same size, a longer one that begins the same, and none. */
    static const char *const others[] = {"A key that is to be wiped, whole",
                                         "a key that is to be wiped, whole!", NULL};

    for (size_t i = 0; i < (N_KEY_KINDS + 1) * ARRAY_SIZE(others); i++) {
        struct profile_settings *s = full_settings();
        size_t kind = i / ARRAY_SIZE(others);
        const char *other = others[i % ARRAY_SIZE(others)];
        struct secret *key = kind < N_KEY_KINDS ? &s->keys[kind] : &s->tls_certificate;
        secret_done(key);
        if (other)
            assert_int_equal(secret_set(key, other, strlen(other)), 0);
        expect_change(s, CHANGE_KEYS);
    }
}

static void set_header(struct profile_settings *s, const char *name, const char *value)
{
    free(s->headers[0].name);
    free(s->headers[0].value);
    s->headers[0] = (struct header_setting){.name = strdup(name), .value = strdup(value)};
}

static void drop_header(struct profile_settings *s)
{
    s->n_headers = 0;
    free(s->headers[0].name);
    free(s->headers[0].value);
}

static void headers_count(void **state _unused_)
{
    struct profile_settings *s = full_settings();

    set_header(s, "N", "W");
    expect_change(s, CHANGE_KEYS);
    s = full_settings();
    set_header(s, "M", "V");
    expect_change(s, CHANGE_KEYS);
    s = full_settings();
    drop_header(s);
    expect_change(s, CHANGE_KEYS);
}

/* With partner keys the token is for the merchant that this header names. */
static void another_merchant_is_another_identity(void **state _unused_)
{
    struct profile_settings *a = full_settings(), *b = full_settings();

    set_header(a, "merchant-serial-number", "123456");
    set_header(b, "Merchant-Serial-Number", "123457");
    assert_int_equal(profile_settings_compare(a, b), CHANGE_IDENTITY);
    set_header(b, "Merchant-Serial-Number", "123456");
    assert_int_equal(profile_settings_compare(a, b), CHANGE_KEYS);
    profile_settings_free(b);
    expect_change(a, CHANGE_IDENTITY);
}

static void resources_count(void **state _unused_)
{
    for (size_t i = 0; i < 2; i++) {
        struct profile_settings *s = full_settings();
        free(s->resources[i]);
        s->resources[i] = strdup("other");
        expect_change(s, CHANGE_IDENTITY);
    }
    struct profile_settings *s = full_settings();
    free(s->resources[--s->n_resources]);
    expect_change(s, CHANGE_IDENTITY);
}

static void access_counts(void **state _unused_)
{
    struct profile_settings *s = full_settings();

    s->allow.rules[0].kind = ACCESS_GROUP;
    expect_change(s, CHANGE_ACCESS);
    s = full_settings();
    s->allow.rules[0].id = 1000; /* the name has come to mean another user */
    expect_change(s, CHANGE_ACCESS);
    s = full_settings();
    free(s->allow.rules[0].text);
    s->allow.rules[0].text = strdup("unit:shop-*.service");
    expect_change(s, CHANGE_ACCESS);
    s = full_settings();
    access_list_done(&s->allow);
    expect_change(s, CHANGE_ACCESS);
}

static void the_greatest_change_is_told(void **state _unused_)
{
    struct profile_settings *s = full_settings(), *old = full_settings();

    access_list_done(&s->allow);
    s->refresh.at_percent++;
    assert_int_equal(profile_settings_compare(old, s), CHANGE_POLICY);
    secret_done(&s->keys[KEY_NEXT_CLIENT_SECRET]);
    assert_int_equal(profile_settings_compare(old, s), CHANGE_KEYS);
    s->client_id[0] = 'x';
    assert_int_equal(profile_settings_compare(old, s), CHANGE_IDENTITY);
    assert_true(CHANGE_NONE < CHANGE_ACCESS && CHANGE_ACCESS < CHANGE_POLICY && CHANGE_POLICY < CHANGE_KEYS &&
                CHANGE_KEYS < CHANGE_IDENTITY);
    profile_settings_free(s);
    profile_settings_free(old);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(done_frees_all_and_wipes_keys),
        cmocka_unit_test(empty_and_null_are_fine),
        cmocka_unit_test(names_are_the_contract),
        cmocka_unit_test(a_choice_is_one_of_each_pair),
        cmocka_unit_test(there_is_a_choice_only_with_a_second_key),
        cmocka_unit_test(the_same_settings_are_no_change),
        cmocka_unit_test(every_text_counts),
        cmocka_unit_test(every_number_counts),
        cmocka_unit_test(every_key_counts),
        cmocka_unit_test(headers_count),
        cmocka_unit_test(another_merchant_is_another_identity),
        cmocka_unit_test(resources_count),
        cmocka_unit_test(access_counts),
        cmocka_unit_test(the_greatest_change_is_told),
    };
    return cmocka_run_group_tests_name("settings", tests, NULL, NULL);
}
