/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "../config/settings_fixture.h"
#include "host/settings_worker.h"

/* Far more than anything here takes. */
#define PATIENCE_FOR (10 * USEC_PER_SEC)
#define N_PROFILES   50

static struct sandbox box;
static sd_event *event;
static struct settings_worker *worker;

/* ---- a directory service that takes its time (the linker puts this before the real settings_load()) ---- */

static int gate = -1;        /* readable: go on; -1: no waiting */
static int gate_for_ms = -1; /* the longest wait; -1: without end */
static int failure;          /* instead of reading */
static sigset_t mask;        /* of the thread */

int __real_settings_load(const struct settings_source *source, struct settings *ret);
int __wrap_settings_load(const struct settings_source *source, struct settings *ret);
int __wrap_settings_load(const struct settings_source *source, struct settings *ret)
{
    struct pollfd p = {.fd = gate, .events = POLLIN};

    (void) pthread_sigmask(SIG_SETMASK, NULL, &mask);
    if (gate >= 0)
        (void) poll(&p, 1, gate_for_ms);
    return failure ? failure : __real_settings_load(source, ret);
}

/* ---- the loop's side ---- */

static unsigned n_done;
static int result;
static struct settings received;
static bool is_taken, is_freed_in_callback;

static void on_done(void *userdata, int r, struct settings *settings_take)
{
    assert_ptr_equal(userdata, &box);
    n_done++;
    result = r;
    if (is_taken) {
        received = *settings_take;
        *settings_take = (struct settings){0};
    }
    if (is_freed_in_callback)
        worker = settings_worker_free(worker);
}

static void write_files(void)
{
    char text[1024], name[64];

    sandbox_make_directory(&box, "p");
    sandbox_write(&box, "secret", 0600, "hunter2\n");
    (void) snprintf(text, sizeof(text), "[Daemon]\nProfileDirectory=%s/p\nAudit=every\n", box.directory);
    sandbox_write(&box, "bearerd.conf", 0644, text);
    (void) snprintf(text, sizeof(text),
                    "[Profile]\nProvider=vipps-oauth\nEnvironment=test\n[Keys]\nClientID=a\n"
                    "ClientSecretFile=%s/secret\n[Access]\nAllow=user:root\n",
                    box.directory);
    for (unsigned i = 0; i < N_PROFILES; i++) {
        (void) snprintf(name, sizeof(name), "p/shop-%02u.conf", i);
        sandbox_write(&box, name, 0644, text);
    }
}

static int set_up(void **state _unused_)
{
    box = sandbox_make();
    write_files();
    gate = gate_for_ms = -1;
    failure = 0;
    n_done = 0;
    is_taken = true;
    is_freed_in_callback = false;
    return sd_event_new(&event);
}

static int tear_down(void **state _unused_)
{
    worker = settings_worker_free(worker);
    settings_done(&received);
    event = sd_event_unref(event);
    sandbox_done(&box);
    if (gate >= 0)
        (void) close(gate);
    return worker ? -1 : 0;
}

/* The strings of the source do not live longer than the call. */
static void start(void)
{
    char config[SANDBOX_PATH_SIZE], socket[] = "/run/bearerd/other.sock", credentials[] = "/nowhere";

    (void) snprintf(config, sizeof(config), "%s", sandbox_path(&box, "bearerd.conf"));
    const struct settings_source source = {.config_path = config,
                                           .socket_path = socket,
                                           .credentials_directory = credentials,
                                           .daemon_uid = geteuid()};
    assert_int_equal(settings_worker_start(&worker, event, &source, on_done, &box), 0);
    memset(config, 'x', sizeof(config));
    memset(socket, 'x', sizeof(socket));
    memset(credentials, 'x', sizeof(credentials));
}

static void close_gate(void)
{
    gate = eventfd(0, EFD_CLOEXEC);
    assert_true(gate >= 0);
}

static void open_gate(void)
{
    assert_int_equal(eventfd_write(gate, 1), 0);
}

static void run_until_done(void)
{
    while (n_done == 0)
        assert_true(sd_event_run(event, PATIENCE_FOR) > 0);
}

/* ---- stories ---- */

static void settings_and_keys_arrive_whole(void **state _unused_)
{
    start();
    assert_int_equal(n_done, 0);
    run_until_done();
    assert_int_equal(result, 0);
    assert_int_equal(received.problems.n_items, 0);
    assert_true(received.is_daemon_usable);
    assert_string_equal(received.daemon.socket_path, "/run/bearerd/other.sock");
    assert_int_equal(received.daemon.audit, AUDIT_EVERY);
    assert_int_equal(received.n_profiles, N_PROFILES);
    for (size_t i = 0; i < received.n_profiles; i++)
        assert_string_equal(secret_peek(&received.profiles[i]->keys[KEY_CLIENT_SECRET]), "hunter2");
    assert_string_equal(received.profiles[49]->name, "shop-49");
    /* Told once, and the loop has peace. */
    assert_int_equal(sd_event_run(event, 0), 0);
    assert_int_equal(n_done, 1);
}

static void problems_come_along(void **state _unused_)
{
    sandbox_write(&box, "secret", 0604, "hunter2\n");
    start();
    run_until_done();
    assert_int_equal(result, 0);
    assert_int_equal(received.n_profiles, 0);
    assert_int_equal(received.n_failed, N_PROFILES);
    assert_int_equal(received.problems.n_errors, N_PROFILES);
}

static void a_failure_comes_without_settings(void **state _unused_)
{
    failure = -ENOMEM;
    start();
    run_until_done();
    assert_int_equal(result, -ENOMEM);
    assert_int_equal(received.n_profiles, 0);
    assert_null(received.daemon.socket_path);
}

static int on_turn(sd_event_source *source _unused_, void *userdata)
{
    unsigned *n_turns = userdata;
    ++*n_turns;
    return 0;
}

static void the_loop_goes_on_while_names_are_looked_up(void **state _unused_)
{
    sd_event_source *turns;
    unsigned n_turns = 0;

    close_gate();
    start();
    assert_true(sd_event_add_defer(event, &turns, on_turn, &n_turns) >= 0);
    assert_true(sd_event_source_set_enabled(turns, SD_EVENT_ON) >= 0);
    for (unsigned i = 0; i < 100; i++)
        assert_true(sd_event_run(event, PATIENCE_FOR) > 0);
    assert_int_equal(n_turns, 100);
    assert_int_equal(n_done, 0);
    (void) sd_event_source_disable_unref(turns);
    open_gate();
    run_until_done();
    assert_int_equal(received.n_profiles, N_PROFILES);
}

/* Both take locked memory at once: the loop for tokens, the thread for keys. */
static void tokens_are_stored_while_keys_are_read(void **state _unused_)
{
    struct secret tokens[64] = {{0}};
    char text[1500];

    memset(text, 't', sizeof(text));
    start();
    while (n_done == 0) {
        for (size_t i = 0; i < ARRAY_SIZE(tokens); i++)
            assert_int_equal(secret_set(&tokens[i], text, 8 + i * 20), 0);
        assert_true(sd_event_run(event, 0) >= 0);
    }
    for (size_t i = 0; i < ARRAY_SIZE(tokens); i++) {
        assert_int_equal(tokens[i].size, 8 + i * 20);
        assert_memory_equal(tokens[i].data, text, tokens[i].size);
        secret_done(&tokens[i]);
    }
    for (size_t i = 0; i < received.n_profiles; i++)
        assert_string_equal(secret_peek(&received.profiles[i]->keys[KEY_CLIENT_SECRET]), "hunter2");
}

static void no_signal_lands_in_the_thread(void **state _unused_)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGCHLD, SIGUSR1};
    sigset_t before, after;

    (void) sigprocmask(SIG_SETMASK, NULL, &before);
    start();
    (void) sigprocmask(SIG_SETMASK, NULL, &after);
    run_until_done();
    for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
        assert_int_equal(sigismember(&mask, signals[i]), 1);
        assert_int_equal(sigismember(&after, signals[i]), sigismember(&before, signals[i]));
    }
}

static void what_nobody_takes_is_released(void **state _unused_)
{
    is_taken = false;
    start();
    run_until_done();
    assert_int_equal(result, 0);
}

static void it_can_be_freed_from_the_callback(void **state _unused_)
{
    is_freed_in_callback = true;
    start();
    run_until_done();
    assert_null(worker);
    assert_int_equal(received.n_profiles, N_PROFILES);
    n_done = 0;
    settings_done(&received);
    start();
    run_until_done();
    assert_int_equal(received.n_profiles, N_PROFILES);
}

/* Done, but the loop was stopped before it heard of it; or done while we wait. */
static void a_stop_waits_for_the_thread_and_drops_what_it_read(void **state _unused_)
{
    start();
    worker = settings_worker_free(worker);
    assert_null(worker);
    close_gate();
    gate_for_ms = 100;
    start();
    worker = settings_worker_free(worker);
    assert_null(worker);
    assert_int_equal(n_done, 0);
    assert_int_equal(sd_event_run(event, 0), 0);
    assert_null(settings_worker_free(NULL));
}

static void a_stop_does_not_wait_for_ever(void **state _unused_)
{
    close_gate();
    start();
    worker = settings_worker_free(worker);
    assert_non_null(worker);
    /* In a test the process goes on; so does the worker, as if nothing had been. */
    open_gate();
    run_until_done();
    assert_int_equal(received.n_profiles, N_PROFILES);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(settings_and_keys_arrive_whole),
        TEST(problems_come_along),
        TEST(a_failure_comes_without_settings),
        TEST(the_loop_goes_on_while_names_are_looked_up),
        TEST(tokens_are_stored_while_keys_are_read),
        TEST(no_signal_lands_in_the_thread),
        TEST(what_nobody_takes_is_released),
        TEST(it_can_be_freed_from_the_callback),
        TEST(a_stop_waits_for_the_thread_and_drops_what_it_read),
        TEST(a_stop_does_not_wait_for_ever),
    };
    return cmocka_run_group_tests_name("settings_worker", tests, NULL, NULL);
}
