/* SPDX-License-Identifier: MIT */
/* The way of a reload: who is told what, what is in force when. */
#include "daemon_fixture.h"

#include <errno.h>
#include <stdlib.h>

static void a_reload_reads_and_then_is_in_force(void **state _unused_)
{
    struct settings new = make_same();

    all_fresh();
    new.daemon.max_connections_per_user = 7;
    new.daemon.audit = AUDIT_OFF;
    new.profiles[1]->allow.rules[0].kind = ACCESS_UNIT;
    new.profiles[1]->allow.rules[0].unit = "shop.service";
    w.now += SEC(5);
    reload_start(&w.d.reload);
    assert_true(reload_is_reading(&w.d.reload));
    assert_int_equal(w.n_readings, 1);
    assert_string_equal(w.source.config_path, "/etc/bearerd/bearerd.conf");
    assert_true(w.source.wall_now == WALL_AT + SEC(5));
    assert_string_equal(w.told, "RELOADING ");
    /* Until it is read, nothing is different. */
    assert_int_equal(w.n_forgotten, 0);
    assert_true(audit_has_handouts(w.d.audit));

    end_reading(new);
    assert_false(reload_is_reading(&w.d.reload));
    assert_string_equal(w.told, "RELOADING RELOADED ");
    assert_int_equal(w.limits.max_connections_per_user, 7);
    assert_int_equal(w.limits.max_connections, 4096);
    assert_true(w.has_unit_rules);
    assert_false(audit_has_handouts(w.d.audit));
    assert_int_equal(w.d.settings.daemon.max_connections_per_user, 7);
    assert_int_equal(w.n_forgotten, 1);
    assert_int_equal(w.n_pumps, 1);
    assert_true(w.n_kicks > 0);
    assert_int_equal(w.stats.n_reloads, 1);
    assert_int_equal(w.stats.n_reloads_refused, 0);
    assert_string_equal(
        w.text,
        "5 settings-reloaded: settings reloaded: profiles added: 0, removed: 0, changed: 1, as before: 1\n");
    assert_string_equal(w.fields, "N_ADDED=0 N_REMOVED=0 N_CHANGED=1");
    /* The tokens are those of before. */
    assert_int_equal(entry_of("alpha")->profile.generation, 1);
    assert_true(token_is_set(&entry_of("beta")->profile.token));
    assert_null(registry_pop_fetch(&w.d.registry, w.now));
}

static void any_problem_leaves_everything_as_it_was(void **state _unused_)
{
    struct settings new = make_settings(make_profile("alpha", 99), NULL);
    struct entry *alpha = entry_of("alpha"), *beta = entry_of("beta");
    const struct profile_settings *settings = alpha->settings;

    all_fresh();
    new.daemon.max_connections_per_user = 7;
    new.daemon.audit = AUDIT_OFF;
    free(new.daemon.socket_path);
    new.daemon.socket_path = strdup("/elsewhere");
    problem_warning(&new.problems, "alpha.conf", 2, "odd");
    problem_error(&new.problems, "beta.conf", 7, "no such user");
    reload_with(new);
    assert_ptr_equal(entry_of("alpha"), alpha);
    assert_ptr_equal(entry_of("beta"), beta);
    assert_ptr_equal(alpha->settings, settings);
    assert_int_equal(alpha->profile.allow->rules[0].id, 33);
    assert_true(token_is_set(&alpha->profile.token));
    assert_int_equal(w.d.settings.daemon.max_connections_per_user, 1024);
    assert_true(audit_has_handouts(w.d.audit));
    assert_int_equal(w.n_forgotten, 0);
    assert_int_equal(w.limits.max_connections, 0);
    assert_int_equal(w.stats.n_reloads_refused, 1);
    assert_string_equal(w.told, "RELOADING RELOADED ");
    assert_non_null(strstr(w.status, "; the last reload was refused"));
    assert_string_equal(w.text,
                        "4 settings-problem: alpha.conf:2: warning: odd\n"
                        "3 settings-problem: beta.conf:7: error: no such user\n"
                        "3 reload-refused: the new settings were refused, the old ones stay in force: see "
                        "the errors above; `bearerctl check` tells them again\n");
    assert_string_equal(w.fields, "REASON=settings");
    /* The next good one is taken, and the status is clean again. */
    reload_with(make_same());
    assert_null(strstr(w.status, "refused"));
    assert_int_equal(w.stats.n_reloads, 1);
}

static void a_machine_that_fails_is_told_as_such(void **state _unused_)
{
    all_fresh();
    reload_start(&w.d.reload);
    fail_reading(-EMFILE);
    assert_logged(
        "3 reload-refused: the new settings were refused, the old ones stay in force: Too many open "
        "files\n");
    assert_string_equal(w.fields, "REASON=machine");
    assert_string_equal(w.told, "RELOADING RELOADED ");
    assert_non_null(strstr(w.status, "; the last reload was refused"));
    assert_false(reload_is_reading(&w.d.reload));
    assert_true(token_is_set(&entry_of("alpha")->profile.token));
}

/* No thread can be started: over before it began, for those who wait too. */
static void a_reading_that_cannot_start_is_refused_at_once(void **state _unused_)
{
    struct waiter waiter;

    w.start_error = -EAGAIN;
    reload_start(&w.d.reload);
    assert_false(reload_is_reading(&w.d.reload));
    assert_logged("Resource temporarily unavailable");
    assert_string_equal(w.told, "RELOADING RELOADED ");
    assert_non_null(strstr(w.status, "; the last reload was refused"));
    waiter_init(&waiter);
    assert_int_equal(registry_await_proofs(&w.d.registry, &waiter, SEC(60), w.now), ANSWER_PROVEN);
    w.start_error = 0;
    reload_with(make_same());
    assert_int_equal(w.stats.n_reloads, 1);
}

static void without_memory_nothing_changes(void **state _unused_)
{
    all_fresh();
    reload_start(&w.d.reload);
    w.has_no_memory = true;
    end_reading(make_settings(make_profile("alpha", 99), NULL));
    w.has_no_memory = false;
    assert_logged("the old ones stay in force: Cannot allocate memory\n");
    assert_int_equal(entry_of("alpha")->profile.allow->rules[0].id, 33);
    assert_true(token_is_set(&entry_of("beta")->profile.token));
    assert_int_equal(w.n_forgotten, 0);
}

/* A file may have been changed behind the reader. */
static void asked_again_it_reads_again(void **state _unused_)
{
    struct waiter waiter;

    all_fresh();
    reload_start(&w.d.reload);
    reload_start(&w.d.reload);
    reload_start(&w.d.reload);
    assert_int_equal(w.n_readings, 1);
    waiter_init(&waiter);
    assert_int_equal(registry_await_proofs(&w.d.registry, &waiter, SEC(60), w.now), ANSWER_NONE);
    w.now += SEC(5);
    w.n_kicks = 0;
    end_reading(make_settings(make_profile("alpha", 33), NULL));
    /* What was read is in force, and what follows from it is not held up. */
    assert_null(registry_find(&w.d.registry, "beta"));
    assert_true(w.n_kicks > 0);
    assert_true(reload_is_reading(&w.d.reload));
    assert_int_equal(w.n_readings, 2);
    assert_true(w.source.wall_now == WALL_AT + SEC(5));
    assert_string_equal(w.told, "RELOADING ");
    assert_null(registry_pop_answer(&w.d.registry));

    end_reading(make_settings(make_profile("alpha", 99), NULL));
    assert_int_equal(w.n_readings, 2);
    assert_false(reload_is_reading(&w.d.reload));
    assert_string_equal(w.told, "RELOADING RELOADED ");
    assert_ptr_equal(registry_pop_answer(&w.d.registry), &waiter);
    assert_int_equal(waiter.answer, ANSWER_PROVEN);
    assert_int_equal(entry_of("alpha")->profile.allow->rules[0].id, 99);
}

static void the_second_reading_may_fail_to_start(void **state _unused_)
{
    struct waiter waiter;

    all_fresh();
    reload_start(&w.d.reload);
    reload_start(&w.d.reload);
    waiter_init(&waiter);
    assert_int_equal(registry_await_proofs(&w.d.registry, &waiter, SEC(60), w.now), ANSWER_NONE);
    w.start_error = -EAGAIN;
    end_reading(make_same());
    assert_false(reload_is_reading(&w.d.reload));
    assert_ptr_equal(registry_pop_answer(&w.d.registry), &waiter);
    assert_string_equal(w.told, "RELOADING RELOADED ");
    assert_int_equal(w.stats.n_reloads, 1);
    assert_int_equal(w.stats.n_reloads_refused, 1);
}

static void what_belongs_to_the_start_stays_with_a_warning(void **state _unused_)
{
    for (unsigned round = 0; round < 2; round++) {
        struct settings new = make_same();
        free(new.daemon.socket_path);
        free(new.daemon.socket_group);
        new.daemon.socket_path = strdup("/elsewhere");
        new.daemon.socket_group = strdup("others");
        new.daemon.socket_mode = 0666;
        new.daemon.max_connections = 10;
        new.daemon.concurrent_fetches = 3;
        w.text[0] = '\0';
        reload_with(new);
        assert_logged(
            "4 settings-problem: warning: Socket= has changed, and stays as it was until the daemon is "
            "restarted\n");
        assert_logged("SocketMode= has changed");
        assert_logged("SocketGroup= has changed");
        assert_logged("MaxConnections= has changed");
        assert_logged("5 settings-reloaded: ");
        /* What is said to stay does, and the rest does not wait for it. */
        assert_string_equal(w.d.settings.daemon.socket_path, "/run/bearerd/bearerd.sock");
        assert_string_equal(w.d.settings.daemon.socket_group, "bearerd");
        assert_int_equal(w.d.settings.daemon.socket_mode, 0660);
        assert_int_equal(w.limits.max_connections, 4096);
        assert_int_equal(w.d.settings.daemon.concurrent_fetches, 3);
    }
    w.text[0] = '\0';
    reload_with(make_same());
    assert_null(strstr(w.text, "restarted"));
}

static void a_fetch_whose_keys_change_is_called_off_and_no_other(void **state _unused_)
{
    struct settings new = make_same();

    registry_start(&w.d.registry, w.now);
    assert_non_null(registry_pop_fetch(&w.d.registry, w.now));
    assert_non_null(registry_pop_fetch(&w.d.registry, w.now));
    assert_int_equal(secret_set(&new.profiles[0]->keys[KEY_CLIENT_SECRET], "another", 7), 0);
    reload_with(new);
    assert_int_equal(w.n_aborted, 1);
    assert_false(entry_of("alpha")->is_in_flight);
    assert_true(entry_of("beta")->is_in_flight);
    assert_ptr_equal(registry_pop_fetch(&w.d.registry, w.now), entry_of("alpha"));
    end_with_token("beta");
    end_with_token("alpha");
    assert_int_equal(w.d.registry.n_starting, 0);
}

static void what_was_counted_in_another_mode_is_told(void **state _unused_)
{
    const struct audit_key key = {AUDIT_HANDOUT, 33, 7, entry_of("alpha")};
    const struct audit_caller caller = {.uid = 33, .profile = "alpha"};
    const struct audit_handout handout = {.fingerprint = "0123456789abcdef", .generation = 1};
    struct settings new = make_same();

    struct audit_record *record = audit_open(w.d.audit, &key, &caller, w.now);
    assert_true(audit_count_handout(w.d.audit, record, &handout, w.now));
    assert_false(audit_count_handout(w.d.audit, record, &handout, w.now));
    new.daemon.audit = AUDIT_EVERY;
    reload_with(new);
    assert_logged("6 token-handouts: alpha: 1 more token handed to uid 33 within");
}

/* ---- the end ---- */

static void a_daemon_that_stops_reads_nothing_more(void **state _unused_)
{
    w.d.is_stopping = true;
    reload_start(&w.d.reload);
    assert_int_equal(w.n_readings, 0);
    assert_string_equal(w.told, "");
}

/* READY=1 behind STOPPING=1 would be a lie, and what is being answered is not to be taken away. */
static void what_was_being_read_at_the_stop_is_dropped(void **state _unused_)
{
    all_fresh();
    reload_start(&w.d.reload);
    w.d.is_stopping = true;
    end_reading(make_settings(make_profile("alpha", 99), NULL));
    assert_string_equal(w.told, "RELOADING ");
    assert_int_equal(entry_of("alpha")->profile.allow->rules[0].id, 33);
    assert_non_null(registry_find(&w.d.registry, "beta"));
    assert_int_equal(w.n_logged, 0);
    assert_false(reload_is_reading(&w.d.reload));
}

static void a_reader_that_hangs_is_left_to_the_kernel(void **state _unused_)
{
    struct reload none = {0};

    assert_true(reload_done(&none));
    reload_start(&w.d.reload);
    w.hangs = true;
    assert_false(reload_done(&w.d.reload));
    w.hangs = false;
    assert_true(reload_done(&w.d.reload));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, daemon_set_up, daemon_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_reload_reads_and_then_is_in_force),
        TEST(any_problem_leaves_everything_as_it_was),
        TEST(a_machine_that_fails_is_told_as_such),
        TEST(a_reading_that_cannot_start_is_refused_at_once),
        TEST(without_memory_nothing_changes),
        TEST(asked_again_it_reads_again),
        TEST(the_second_reading_may_fail_to_start),
        TEST(what_belongs_to_the_start_stays_with_a_warning),
        TEST(a_fetch_whose_keys_change_is_called_off_and_no_other),
        TEST(what_was_counted_in_another_mode_is_told),
        TEST(a_daemon_that_stops_reads_nothing_more),
        TEST(what_was_being_read_at_the_stop_is_dropped),
        TEST(a_reader_that_hangs_is_left_to_the_kernel),
    };
    return cmocka_run_group_tests_name("reload", tests, NULL, NULL);
}
