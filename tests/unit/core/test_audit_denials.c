/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "audit_fixture.h"

/* ---- denials ---- */

static void denials_are_told_first_and_then_counted(void **state _unused_)
{
    const struct app app = {1000, 77, "cron.service", "/usr/bin/curl", "shop", &shop};

    assert_true(deny(&app, "shop"));
    for (unsigned i = 0; i < 5000; i++)
        assert_false(deny(&app, "shop"));
    assert_int_equal(n_looked_up, 1);
    /* A caller's handouts are another matter than its denials. */
    assert_true(hand_out(&app));
    now += SEC(60);
    const struct audit_summary *s = pop();
    assert_int_equal(s->kind, AUDIT_DENIAL);
    assert_int_equal(s->n_denied, 5000);
    assert_int_equal(s->n_cache + s->n_waited, 0);
    assert_int_equal(s->pid, 77);
    assert_string_equal(s->caller.profile, "shop");
    assert_string_equal(s->asked, "shop");
    assert_null(pop());
}

static void guessing_names_makes_one_event_and_one_summary(void **state _unused_)
{
    const struct app app = {1000, 77, NULL, "/usr/bin/curl", NULL, NULL};
    char name[16];

    for (unsigned i = 0; i < 1000; i++) {
        (void) snprintf(name, sizeof(name), "n%u\n", i);
        assert_true(deny(&app, name) == (i == 0));
    }
    now += SEC(60);
    const struct audit_summary *s = pop();
    assert_int_equal(s->n_denied, 999);
    assert_null(s->caller.profile);
    assert_string_equal(s->asked, "n999?");
    assert_null(pop());
}

static unsigned deny_many(unsigned first, unsigned n)
{
    unsigned n_logged = 0;

    for (unsigned i = first; i < first + n; i++) {
        const struct app app = {1000 + i, i + 1, NULL, "/usr/bin/curl", "shop", &shop};
        n_logged += deny(&app, "shop");
    }
    return n_logged;
}

static void nobody_fills_the_journal_with_denials(void **state _unused_)
{
    uint64_t n_others = 0;
    const struct audit_summary *s;

    assert_int_equal(deny_many(0, 1000), AUDIT_DENIAL_BURST);
    /* Those that are named already go on being counted by name. */
    assert_int_equal(deny_many(0, AUDIT_DENIAL_BURST), 0);
    now += SEC(1);
    assert_int_equal(deny_many(1000, 10), 1);
    now += SEC(5);
    assert_int_equal(deny_many(2000, 10), 5);
    now += SEC(60);
    while ((s = pop())) {
        if (s->is_of_others)
            n_others += s->n_denied;
        else
            assert_int_equal(s->n_denied, 1);
    }
    assert_int_equal(n_others, 1000 - AUDIT_DENIAL_BURST + 9 + 5);
    /* The burst has grown again, and not beyond itself. */
    now += SEC(3600);
    assert_int_equal(deny_many(5000, 100), AUDIT_DENIAL_BURST);
}

static void names_from_outside_are_made_printable(void **state _unused_)
{
    char buf[AUDIT_NAME_SIZE], longer[200];

    assert_string_equal(audit_name_print("shop-1.x_y", buf), "shop-1.x_y");
    assert_string_equal(audit_name_print("", buf), "");
    assert_string_equal(audit_name_print("a b\x1b[31m\n\xc3\xa6\x7f~!", buf), "a?b?[31m????~!");
    memset(longer, 'x', sizeof(longer));
    longer[63] = '\0';
    assert_string_equal(audit_name_print(longer, buf), longer);
    longer[63] = 'x';
    longer[64] = '\0';
    assert_int_equal(strlen(audit_name_print(longer, buf)), 63);
    assert_string_equal(buf + 59, "x...");
    /* What lies behind is not looked at. */
    char bare[AUDIT_NAME_SIZE];
    memset(bare, 'y', sizeof(bare));
    assert_int_equal(strlen(audit_name_print(bare, buf)), 63);
}

/* ---- Audit= ---- */

static void every_logs_each_handout_and_sums_up_none(void **state _unused_)
{
    const struct app app = shop_app(501), stranger = {1000, 9, NULL, "/bin/x", NULL, NULL};

    audit_set_mode(audit, AUDIT_EVERY, now);
    for (unsigned i = 0; i < 100; i++)
        assert_true(hand_out(&app));
    assert_int_equal(n_looked_up, 1);
    assert_int_equal(hand_out_to_many(AUDIT_CALLERS_MAX + 50), AUDIT_CALLERS_MAX + 50);
    is_memory_out = true;
    assert_true(hand_out(&app));
    is_memory_out = false;
    now += SEC(60);
    assert_null(pop());
    /* Denials stay limited. */
    assert_true(deny(&stranger, "x"));
    assert_false(deny(&stranger, "x"));
    now += SEC(60);
    assert_int_equal(pop()->n_denied, 1);
}

static void off_logs_denials_only(void **state _unused_)
{
    const struct app app = shop_app(501), stranger = {1000, 9, NULL, "/bin/x", NULL, NULL};

    audit_set_mode(audit, AUDIT_OFF, now);
    assert_false(audit_has_handouts(audit));
    assert_false(hand_out(&app));
    assert_int_equal(n_looked_up, 0);
    assert_int_equal(audit_next_at(audit), USEC_INFINITY);
    assert_true(deny(&stranger, "x"));
    assert_false(deny(&stranger, "x"));
    now += SEC(60);
    assert_int_equal(pop()->n_denied, 1);
    assert_null(pop());
}

static void a_new_mode_tells_what_the_old_one_counted(void **state _unused_)
{
    const struct app app = shop_app(501);

    (void) hand_out(&app);
    (void) hand_out(&app);
    now += SEC(10);
    /* The same one again changes nothing. */
    audit_set_mode(audit, AUDIT_SUMMARY, now);
    assert_null(pop());
    audit_set_mode(audit, AUDIT_EVERY, now);
    assert_int_equal(audit_next_at(audit), 0);
    const struct audit_summary *s = pop();
    assert_int_equal(s->n_cache, 1);
    assert_int_equal(s->during_for, SEC(10));
    assert_null(pop());
    assert_true(hand_out(&app));
    audit_set_mode(audit, AUDIT_SUMMARY, now);
    assert_true(hand_out(&app));
}

/* ---- reload and stop ---- */

static void a_record_outlives_its_profile(void **state _unused_)
{
    char profile[] = "shop", unit[] = "shop.service", exe[] = "/usr/bin/php";
    const struct app app = {33, 501, unit, exe, profile, &shop};
    const struct app other = {33, 501, "shop.service", "/usr/bin/php", "stock", &shop};

    assert_true(hand_out(&app));
    assert_false(hand_out(&app));
    memset(profile, 'x', sizeof(profile) - 1);
    memset(unit, 'x', sizeof(unit) - 1);
    memset(exe, 'x', sizeof(exe) - 1);
    /* The pointer that stood for "shop" now stands for "stock": what was remembered by it must not count. */
    audit_forget_processes(audit);
    assert_true(hand_out(&other));
    assert_false(hand_out(&other));
    now += SEC(60);
    const struct audit_summary *s = pop();
    assert_string_equal(s->caller.profile, "shop");
    assert_string_equal(s->caller.unit, "shop.service");
    assert_string_equal(s->caller.exe, "/usr/bin/php");
    assert_int_equal(s->n_cache, 1);
    assert_string_equal(pop()->caller.profile, "stock");
    assert_null(pop());
}

static void a_reload_does_not_begin_windows_anew(void **state _unused_)
{
    const struct app app = shop_app(501);

    assert_true(hand_out(&app));
    audit_forget_processes(audit);
    assert_false(hand_out(&app));
    assert_int_equal(n_looked_up, 2);
}

static void at_stop_everything_is_told(void **state _unused_)
{
    const struct app app = shop_app(501), stranger = {1000, 9, NULL, "/bin/x", NULL, NULL};

    for (unsigned i = 0; i < 5; i++) {
        (void) hand_out(&app);
        (void) deny(&stranger, "x");
    }
    now += SEC(1);
    audit_flush(audit, now);
    assert_int_equal(pop()->n_cache, 4);
    assert_int_equal(pop()->n_denied, 4);
    assert_null(pop());
    assert_int_equal(audit_next_at(audit), USEC_INFINITY);
    audit_flush(audit, now);
    assert_null(pop());
}

/* The sanitizers look whether anything is left: windows that are open, due and told. */
static void it_can_be_freed_at_any_time(void **state _unused_)
{
    const struct app app = shop_app(501), other = {34, 502, NULL, NULL, "shop", &shop};

    (void) hand_out(&app);
    (void) hand_out(&app);
    (void) hand_out(&other);
    (void) hand_out(&other);
    now += SEC(60);
    assert_non_null(pop());
    (void) hand_out(&app);
    audit = audit_free(audit);
    assert_null(audit_free(NULL));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(denials_are_told_first_and_then_counted),
        TEST(guessing_names_makes_one_event_and_one_summary),
        TEST(nobody_fills_the_journal_with_denials),
        TEST(names_from_outside_are_made_printable),
        TEST(every_logs_each_handout_and_sums_up_none),
        TEST(off_logs_denials_only),
        TEST(a_new_mode_tells_what_the_old_one_counted),
        TEST(a_record_outlives_its_profile),
        TEST(a_reload_does_not_begin_windows_anew),
        TEST(at_stop_everything_is_told),
        TEST(it_can_be_freed_at_any_time),
    };
    return cmocka_run_group_tests_name("audit_denials", tests, NULL, NULL);
}
