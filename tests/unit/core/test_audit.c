/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "audit_fixture.h"

/* ---- one caller ---- */

static void one_handout_is_one_event_and_no_summary(void **state _unused_)
{
    const struct app app = shop_app(501);

    assert_true(hand_out(&app));
    assert_null(pop());
    assert_int_equal(audit_next_at(audit), T0 + SEC(60));
    now += SEC(60);
    assert_null(pop());
    /* An idle daemon sleeps. */
    assert_int_equal(audit_next_at(audit), USEC_INFINITY);
}

static void what_follows_is_told_once_and_exactly(void **state _unused_)
{
    const struct app first = shop_app(501), second = shop_app(502);

    assert_true(hand_out_as(&first, true, 7));
    for (unsigned i = 0; i < 10; i++)
        assert_false(hand_out_as(&first, false, 7));
    now += SEC(30);
    assert_false(hand_out_as(&first, true, 8));
    assert_false(hand_out_as(&second, false, 8));
    now += SEC(30) - 1;
    assert_null(pop());
    now++;
    const struct audit_summary *s = pop();
    assert_non_null(s);
    assert_int_equal(s->kind, AUDIT_HANDOUT);
    assert_false(s->is_of_others);
    assert_int_equal(s->caller.uid, 33);
    assert_string_equal(s->caller.unit, "shop.service");
    assert_string_equal(s->caller.exe, "/usr/bin/php");
    assert_string_equal(s->caller.profile, "shop");
    assert_int_equal(s->pid, 502);
    assert_int_equal(s->generation, 8);
    assert_string_equal(s->fingerprint, "0000000000000008");
    assert_int_equal(s->n_cache, 11);
    assert_int_equal(s->n_waited, 1);
    assert_int_equal(s->n_denied, 0);
    assert_int_equal(s->during_for, SEC(60));
    assert_null(pop());
    assert_int_equal(audit_next_at(audit), USEC_INFINITY);
}

static void the_window_begins_with_its_first_event(void **state _unused_)
{
    const struct app app = shop_app(501);

    assert_true(hand_out(&app));
    now += SEC(60) - 1;
    assert_false(hand_out(&app));
    /* The moment the window ends is in the next one, even before anybody asked for summaries. */
    now++;
    assert_true(hand_out(&app));
    now += SEC(60) - 1;
    assert_false(hand_out(&app));
    assert_false(hand_out(&app));
    const struct audit_summary *s = pop();
    assert_non_null(s);
    assert_int_equal(s->n_cache, 1);
    assert_null(pop());
    now++;
    assert_int_equal(pop()->n_cache, 2);
    assert_null(pop());
    /* A caller that comes back after hours is told at once. */
    now += SEC(7200);
    assert_true(hand_out(&app));
}

static void callers_differ_by_uid_unit_executable_and_profile(void **state _unused_)
{
    const struct app apps[] = {
        {33, 1, "shop.service",  "/usr/bin/php",  "shop",  &shop },
        {34, 1, "shop.service",  "/usr/bin/php",  "shop",  &shop },
        {33, 2, "other.service", "/usr/bin/php",  "shop",  &shop },
        {33, 3, "shop.service",  "/usr/bin/curl", "shop",  &shop },
        {33, 1, "shop.service",  "/usr/bin/php",  "stock", &stock},
        {33, 4, NULL,            "/usr/bin/php",  "shop",  &shop },
        {33, 5, "shop.service",  NULL,            "shop",  &shop },
        {33, 6, NULL,            NULL,            "shop",  &shop },
        {33, 7, "",              "",              "shop",  &shop },
    };

    for (size_t i = 0; i < ARRAY_SIZE(apps); i++)
        assert_true(hand_out(&apps[i]));
    for (size_t i = 0; i < ARRAY_SIZE(apps); i++)
        assert_false(hand_out(&apps[i]));
    assert_int_equal(n_looked_up, ARRAY_SIZE(apps));
    now += SEC(60);
    for (size_t i = 0; i < ARRAY_SIZE(apps); i++)
        assert_int_equal(pop()->n_cache, 1);
    assert_null(pop());
}

/* ---- the hot path ---- */

static void a_process_is_looked_up_once_a_window(void **state _unused_)
{
    const struct app app = shop_app(501), sibling = shop_app(502);
    struct app unknown = shop_app(0);

    for (unsigned i = 0; i < 1000; i++)
        (void) hand_out(&app);
    assert_int_equal(n_looked_up, 1);
    (void) hand_out(&sibling);
    (void) hand_out(&sibling);
    assert_int_equal(n_looked_up, 2);
    now += SEC(60);
    (void) hand_out(&app);
    (void) hand_out(&app);
    assert_int_equal(n_looked_up, 3);
    /* Without an id there is nothing to find it by; counted all the same. */
    assert_false(hand_out(&unknown));
    assert_false(hand_out(&unknown));
    assert_int_equal(n_looked_up, 5);
    now += SEC(60);
    assert_int_equal(pop()->n_cache, 999 + 2);
    assert_int_equal(pop()->n_cache, 3);
    assert_null(pop());
}

static void a_million_handouts_are_counted_without_memory(void **state _unused_)
{
    const struct app app = shop_app(501);
    uint64_t n_logged = 0, n_told = 0;
    const struct audit_summary *s;

    assert_true(hand_out(&app));
    n_logged++;
    size_t n_before = n_blocks;
    is_memory_out = true;
    for (unsigned i = 0; i < 1000000; i++)
        n_logged += hand_out_as(&app, i % 10 == 0, 7);
    is_memory_out = false;
    assert_int_equal(n_blocks, n_before);
    assert_int_equal(n_logged, 1);
    assert_int_equal(n_looked_up, 1);
    now += SEC(60);
    while ((s = pop())) {
        assert_int_equal(s->n_waited, 100000);
        n_told += s->n_cache + s->n_waited;
    }
    assert_int_equal(n_told, 1000000);
}

static void a_thousand_callers_over_ten_minutes_add_up(void **state _unused_)
{
    static char exes[1000][32];
    uint64_t n_logged = 0, n_told = 0, n_summaries = 0;
    const struct audit_summary *s;

    for (unsigned i = 0; i < 300000; i++) {
        unsigned k = i * 7919u % 1000;
        (void) snprintf(exes[k], sizeof(exes[k]), "/opt/app-%u", k);
        const struct app app = {1000 + k % 50, k + 1, NULL, exes[k], "shop", &shop};
        n_logged += hand_out_as(&app, i % 3 == 0, i);
        now += 2 * USEC_PER_MSEC;
        if (audit_next_at(audit) > now)
            continue;
        while ((s = pop())) {
            n_summaries++;
            n_told += s->n_cache + s->n_waited;
        }
    }
    audit_flush(audit, now);
    while ((s = pop()))
        n_told += s->n_cache + s->n_waited;
    assert_int_equal(n_logged + n_told, 300000);
    assert_int_equal(n_logged, 10 * 1000);
    assert_true(n_summaries >= 9 * 1000);
    assert_int_equal(audit_next_at(audit), USEC_INFINITY);
}

/* ---- bounds ---- */

static void more_processes_than_are_remembered_cost_look_ups_only(void **state _unused_)
{
    const unsigned n = AUDIT_PROCESSES_MAX + 100;

    for (unsigned i = 1; i <= n; i++) {
        const struct app app = shop_app(i);
        assert_true(hand_out(&app) == (i == 1));
    }
    assert_int_equal(n_looked_up, n);
    /* The last ones are known, the oldest are not. */
    const struct app last = shop_app(n), first_known = shop_app(101), forgotten = shop_app(100);
    assert_false(hand_out(&last));
    assert_false(hand_out(&first_known));
    assert_int_equal(n_looked_up, n);
    assert_false(hand_out(&forgotten));
    assert_int_equal(n_looked_up, n + 1);
    now += SEC(60);
    assert_int_equal(pop()->n_cache, n - 1 + 3);
}

static void more_callers_than_are_told_apart_are_the_others(void **state _unused_)
{
    assert_int_equal(hand_out_to_many(AUDIT_CALLERS_MAX + 50), AUDIT_CALLERS_MAX);
    now += SEC(60);
    const struct audit_summary *s = pop();
    assert_true(s->is_of_others);
    assert_int_equal(s->kind, AUDIT_HANDOUT);
    assert_int_equal(s->n_cache, 25);
    assert_int_equal(s->n_waited, 25);
    assert_null(s->caller.profile);
    assert_string_equal(s->fingerprint, "");
    assert_null(pop());
    /* Their room is free again. */
    assert_int_equal(hand_out_to_many(10), 10);
    assert_null(pop());
    assert_int_equal(hand_out_to_many(10), 0);
    now += SEC(60);
    for (unsigned i = 0; i < 10; i++)
        assert_false(pop()->is_of_others);
    assert_null(pop());
}

static void without_memory_everything_is_counted(void **state _unused_)
{
    const struct app app = shop_app(501), stranger = {1000, 9, NULL, "/bin/x", NULL, NULL};

    is_memory_out = true;
    assert_false(hand_out_as(&app, true, 7));
    assert_false(hand_out(&app));
    assert_false(deny(&stranger, "nothing"));
    is_memory_out = false;
    /* Memory is back: the caller is told of from now on. */
    assert_true(hand_out(&app));
    now += SEC(60);
    for (unsigned i = 0; i < 2; i++) {
        const struct audit_summary *s = pop();
        assert_non_null(s);
        assert_true(s->is_of_others);
        assert_int_equal(s->n_waited, s->kind == AUDIT_HANDOUT ? 1 : 0);
        assert_int_equal(s->n_cache, s->kind == AUDIT_HANDOUT ? 1 : 0);
        assert_int_equal(s->n_denied, s->kind == AUDIT_DENIAL ? 1 : 0);
    }
    assert_null(pop());
    is_memory_out = true;
    struct audit *none;
    assert_int_equal(audit_new(&none, AUDIT_SUMMARY), -12);
    is_memory_out = false;
}

/* The record is there, the memory of the process is not: it is looked up again and counted once. */
static void a_process_that_cannot_be_remembered_still_counts(void **state _unused_)
{
    const struct app app = shop_app(501), sibling = shop_app(502);

    assert_true(hand_out(&app));
    is_memory_out = true;
    assert_false(hand_out(&sibling));
    assert_false(hand_out(&sibling));
    is_memory_out = false;
    assert_int_equal(n_looked_up, 3);
    now += SEC(60);
    const struct audit_summary *s = pop();
    assert_false(s->is_of_others);
    assert_int_equal(s->n_cache, 2);
}

/* ---- the others keep counting between the end of their window and its telling ---- */

static void late_events_of_the_others_are_not_lost(void **state _unused_)
{
    const struct app app = shop_app(501);

    is_memory_out = true;
    (void) hand_out(&app);
    now += SEC(90);
    (void) hand_out(&app);
    assert_int_equal(pop()->n_cache, 2);
    assert_null(pop());
    (void) hand_out(&app);
    assert_null(pop());
    now += SEC(60);
    assert_int_equal(pop()->n_cache, 1);
    assert_null(pop());
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_handout_is_one_event_and_no_summary),
        TEST(what_follows_is_told_once_and_exactly),
        TEST(the_window_begins_with_its_first_event),
        TEST(callers_differ_by_uid_unit_executable_and_profile),
        TEST(a_process_is_looked_up_once_a_window),
        TEST(a_million_handouts_are_counted_without_memory),
        TEST(a_thousand_callers_over_ten_minutes_add_up),
        TEST(more_processes_than_are_remembered_cost_look_ups_only),
        TEST(more_callers_than_are_told_apart_are_the_others),
        TEST(without_memory_everything_is_counted),
        TEST(a_process_that_cannot_be_remembered_still_counts),
        TEST(late_events_of_the_others_are_not_lost),
    };
    return cmocka_run_group_tests_name("audit", tests, NULL, NULL);
}
