/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "client/key-rows.h"

#define NOW     ((int64_t) 1000000)
#define DAY     ((int64_t) 86400)
#define OUT_MAX ((size_t) 65536)

static const struct style plain_style = {.is_utf8 = true};

/* A key that is wanted and lies nowhere. */
static struct key_facts nowhere(void)
{
    return (struct key_facts){
        .profile = "shop",
        .kind = "client-secret",
        .setting = "ClientSecret",
        .has_profile = true,
        .has_provider = true,
        .is_wanted = true,
        .is_required = true,
        .plain = "/keys/shop.client-secret",
        .file_at = KEY_ABSENT,
        .plain_at = KEY_ABSENT,
        .encrypted_at = KEY_ABSENT,
        .passed_at = KEY_ABSENT,
        .loaded_at = KEY_ABSENT,
    };
}

/* The same, stored encrypted a day ago, and read since. */
static struct key_facts encrypted(void)
{
    struct key_facts facts = nowhere();

    facts.encrypted_at = NOW - DAY;
    facts.loaded_at = NOW - DAY;
    facts.is_read = true;
    facts.decryption = KEY_DECRYPTED;
    return facts;
}

/* One row, and what it says. */
static void expect_row(struct key_facts facts, const char *where, const char *state)
{
    struct key_rows rows = {0};

    key_rows_add(&rows, &facts);
    assert_int_equal(rows.n_items, 1);
    assert_string_equal(rows.items[0].where, where);
    assert_string_equal(rows.items[0].state, state);
    key_rows_done(&rows);
}

static void a_key_that_is_required_is_missed(void **state _unused_)
{
    struct key_facts facts = nowhere();
    struct key_rows rows = {0};

    expect_row(facts, "-", "missing: bearerctl keys shop");
    facts.is_required = false;
    key_rows_add(&rows, &facts);
    assert_int_equal(rows.n_items, 0);
    /* A file that is named, and is not there, is missed whether required or not. */
    facts.file = "/own";
    expect_row(facts, "/own", "missing");
}

static void an_encrypted_key_is_in_force_once_it_was_read(void **state _unused_)
{
    struct key_facts facts = encrypted();

    expect_row(facts, "encrypted", "ok");
    facts.is_read = false;
    expect_row(facts, "encrypted", "not read yet: systemctl restart bearerd");
}

static void damage_goes_before_everything(void **state _unused_)
{
    struct key_facts facts = encrypted();

    facts.decryption = KEY_DAMAGED;
    expect_row(facts, "encrypted",
               "cannot be decrypted here: bearerctl keys shop client-secret stores it anew");
    facts.has_profile = false;
    expect_row(facts, "encrypted",
               "cannot be decrypted here: bearerctl keys shop client-secret stores it anew");
    facts = encrypted();
    facts.decryption = KEY_UNTRIED;
    expect_row(facts, "encrypted", "in use; not tried anew: there is no systemd-creds here");
}

static void nobody_reads_the_key_of_no_profile(void **state _unused_)
{
    struct key_facts facts = encrypted();

    facts.has_profile = facts.is_wanted = facts.is_required = false;
    expect_row(facts, "encrypted", "not used: there are no settings for this profile");
    facts.has_profile = true;
    facts.has_provider = false;
    expect_row(facts, "encrypted", "unknown: the settings do not say which provider: bearerctl check");
    facts.has_provider = true;
    expect_row(facts, "encrypted", "not used: this provider has no use for it");
}

/* What was taken out of the folder goes on in the service that was given it. */
static void a_key_that_is_no_longer_stored_is_still_known(void **state _unused_)
{
    struct key_facts facts = encrypted();

    facts.encrypted_at = KEY_ABSENT;
    facts.decryption = KEY_UNTRIED;
    facts.is_read = facts.is_required = false;
    expect_row(facts, "credential", "no longer stored: systemctl restart bearerd forgets it");
}

/* A file of the settings, then what the unit passes by name, then what is stored encrypted; a plain file only
 * by its name. */
static void one_place_at_most_is_in_force(void **state _unused_)
{
    static const char *const expected[][2] = {
        {"/own",                     "ok"                                       },
        {"credential",               "not used: ClientSecretFile= goes first"   },
        {"encrypted",                "not used: ClientSecretFile= goes first"   },
        {"/keys/shop.client-secret", "not used: ClientSecretFile= names another"},
    };
    struct key_facts facts = encrypted();
    struct key_rows rows = {0};

    facts.file = "/own";
    facts.file_at = facts.passed_at = facts.plain_at = NOW;
    key_rows_add(&rows, &facts);
    assert_int_equal(rows.n_items, ARRAY_SIZE(expected));
    for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
        assert_string_equal(rows.items[i].where, expected[i][0]);
        assert_string_equal(rows.items[i].state, expected[i][1]);
    }
    key_rows_done(&rows);

    facts.file = NULL;
    facts.plain_at = KEY_ABSENT;
    key_rows_add(&rows, &facts);
    assert_int_equal(rows.n_items, 2);
    assert_string_equal(rows.items[0].state, "ok");
    assert_string_equal(rows.items[1].state, "not used: the credential goes first");
    key_rows_done(&rows);
}

static void a_plain_file_counts_where_it_is_named(void **state _unused_)
{
    struct key_facts facts = nowhere();

    facts.file = facts.plain;
    facts.file_at = facts.plain_at = NOW;
    expect_row(facts, "/keys/shop.client-secret", "ok");
    facts.file = NULL;
    facts.is_required = false;
    expect_row(facts, "/keys/shop.client-secret", "not used: no ClientSecretFile= names it");
}

static void the_table_lines_up(void **state _unused_)
{
    _cleanup_(key_rows_done) struct key_rows rows = {0};
    _cleanup_(buffer_done) struct buffer out = BUFFER_INIT(OUT_MAX);
    struct key_facts facts = encrypted();

    key_rows_add(&rows, &facts);
    facts = nowhere();
    facts.profile = "a-longer-name";
    key_rows_add(&rows, &facts);
    key_rows_append(&out, &rows, NOW, &plain_style);
    assert_string_equal(
        buffer_peek(&out),
        "PROFILE        KEY            WHERE      STORED  STATE\n"
        "shop           client-secret  encrypted  1d ago  ok\n"
        "a-longer-name  client-secret  -          -       missing: bearerctl keys a-longer-name\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_that_is_required_is_missed),
        cmocka_unit_test(an_encrypted_key_is_in_force_once_it_was_read),
        cmocka_unit_test(damage_goes_before_everything),
        cmocka_unit_test(nobody_reads_the_key_of_no_profile),
        cmocka_unit_test(a_key_that_is_no_longer_stored_is_still_known),
        cmocka_unit_test(one_place_at_most_is_in_force),
        cmocka_unit_test(a_plain_file_counts_where_it_is_named),
        cmocka_unit_test(the_table_lines_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
