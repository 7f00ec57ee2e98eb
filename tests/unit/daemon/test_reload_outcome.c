/* SPDX-License-Identifier: MIT */
/* What is told of a reload to who asked for it. */
#include "daemon_fixture.h"

#include <errno.h>

#define OUTCOME_MAX ((size_t) 65536)

static void assert_outcome(unsigned status, const char *expected)
{
    _cleanup_(buffer_done) struct buffer out = BUFFER_INIT(OUTCOME_MAX);

    assert_int_equal(reload_write_outcome(&w.d.reload, &out), status);
    assert_int_equal(buffer_error(&out), 0);
    assert_string_equal(buffer_peek(&out), expected);
}

static void each_change_is_told_by_its_name(void **state _unused_)
{
    struct settings new = make_settings(make_profile("alpha", 99), make_profile("gamma", 1), NULL);

    all_fresh();
    reload_with(new);
    assert_outcome(200,
                   "{\"outcome\":\"reloaded\",\"added\":[\"gamma\"],\"removed\":[\"beta\"],\"changed\":["
                   "{\"profile\":\"alpha\",\"change\":\"access\",\"proof\":null,\"message\":null},"
                   "{\"profile\":\"gamma\",\"change\":\"added\",\"proof\":\"pending\",\"message\":null}],"
                   "\"unchanged\":0,\"problems\":[]}\n");
    assert_logged("profiles added: 1, removed: 1, changed: 1, as before: 0\n");
    /* Also for the next process beta is gone. */
    assert_int_equal(w.n_states_forgotten, 1);
}

static void nothing_new_is_told_as_such(void **state _unused_)
{
    all_fresh();
    reload_with(make_same());
    assert_outcome(200, "{\"outcome\":\"reloaded\",\"added\":[],\"removed\":[],\"changed\":[],"
                        "\"unchanged\":2,\"problems\":[]}\n");
}

static void each_kind_of_change_has_its_word(void **state _unused_)
{
    struct settings new = make_same();

    all_fresh();
    new.profiles[0]->refresh.at_percent = 60;
    new.profiles[1]->token_url[8] = 't';
    reload_with(new);
    assert_outcome(200,
                   "{\"outcome\":\"reloaded\",\"added\":[],\"removed\":[],\"changed\":["
                   "{\"profile\":\"alpha\",\"change\":\"policy\",\"proof\":null,\"message\":null},"
                   "{\"profile\":\"beta\",\"change\":\"identity\",\"proof\":\"pending\",\"message\":null}],"
                   "\"unchanged\":0,\"problems\":[]}\n");
}

/* New keys: as long as they are tried, then what came of it; the old token is kept meanwhile. */
static void keys_are_told_with_their_proof(void **state _unused_)
{
    struct settings new = make_same();
    struct waiter waiter;

    all_fresh();
    assert_int_equal(secret_set(&new.profiles[0]->keys[KEY_CLIENT_SECRET], "another", 7), 0);
    assert_int_equal(secret_set(&new.profiles[1]->keys[KEY_SUBSCRIPTION], "another", 7), 0);
    reload_start(&w.d.reload);
    waiter_init(&waiter);
    assert_int_equal(registry_await_proofs(&w.d.registry, &waiter, SEC(60), w.now), ANSWER_NONE);
    end_reading(new);
    assert_non_null(registry_pop_fetch(&w.d.registry, w.now));
    assert_non_null(registry_pop_fetch(&w.d.registry, w.now));
    assert_outcome(200, "{\"outcome\":\"reloaded\",\"added\":[],\"removed\":[],\"changed\":["
                        "{\"profile\":\"alpha\",\"change\":\"keys\",\"proof\":\"pending\",\"message\":null},"
                        "{\"profile\":\"beta\",\"change\":\"keys\",\"proof\":\"pending\",\"message\":null}],"
                        "\"unchanged\":0,\"problems\":[]}\n");
    end_with_token("alpha");
    assert_null(registry_pop_answer(&w.d.registry));
    end_with_failure("beta", FAILURE_PERMANENT, "vipps answered 401: no");
    assert_ptr_equal(registry_pop_answer(&w.d.registry), &waiter);
    assert_outcome(200, "{\"outcome\":\"reloaded\",\"added\":[],\"removed\":[],\"changed\":["
                        "{\"profile\":\"alpha\",\"change\":\"keys\",\"proof\":\"proven\",\"message\":null},"
                        "{\"profile\":\"beta\",\"change\":\"keys\",\"proof\":\"failed\",\"message\":"
                        "\"vipps answered 401: no\"}],\"unchanged\":0,\"problems\":[]}\n");
    assert_true(token_is_set(&entry_of("beta")->profile.token));
}

static void warnings_come_with_the_outcome(void **state _unused_)
{
    struct settings new = make_same();

    new.daemon.max_connections = 10;
    problem_warning(&new.problems, "alpha.conf", 2, "od\"d");
    reload_with(new);
    assert_outcome(
        200, "{\"outcome\":\"reloaded\",\"added\":[],\"removed\":[],\"changed\":[],\"unchanged\":2,"
             "\"problems\":[{\"place\":\"alpha.conf:2\",\"severity\":\"warning\",\"message\":\"od\\\"d\"},"
             "{\"place\":\"\",\"severity\":\"warning\",\"message\":\"MaxConnections= has changed, and "
             "stays as it was until the daemon is restarted\"}]}\n");
}

static void a_refusal_has_every_problem(void **state _unused_)
{
    struct settings new = make_settings(make_profile("gamma", 1), NULL);

    problem_error(&new.problems, "beta.conf", 7, "no such user");
    problem_warning(&new.problems, NULL, 0, "odd");
    reload_with(new);
    assert_outcome(409,
                   "{\"type\":\"urn:bearerd:problem:reload-refused\",\"title\":\"The new settings were "
                   "refused\",\"status\":409,\"detail\":\"the new settings have errors; the old ones stay in "
                   "force, entire\",\"problems\":[{\"place\":\"beta.conf:7\",\"severity\":\"error\","
                   "\"message\":\"no such user\"},{\"place\":\"\",\"severity\":\"warning\",\"message\":"
                   "\"odd\"}]}\n");
    /* The next one tells nothing of this one. */
    reload_with(make_same());
    assert_outcome(200, "{\"outcome\":\"reloaded\",\"added\":[],\"removed\":[],\"changed\":[],"
                        "\"unchanged\":2,\"problems\":[]}\n");
}

static void a_machine_that_fails_is_a_refusal(void **state _unused_)
{
    reload_start(&w.d.reload);
    fail_reading(-EMFILE);
    assert_outcome(409, "{\"type\":\"urn:bearerd:problem:reload-refused\",\"title\":\"The new settings were "
                        "refused\",\"status\":409,\"detail\":\"Too many open files\",\"problems\":[]}\n");
}

/* Who waits for a token of one that goes is told by the registry; its name is in the outcome. */
static void who_waits_for_what_goes_is_told(void **state _unused_)
{
    struct waiter waiter;

    registry_start(&w.d.registry, w.now);
    waiter_init(&waiter);
    assert_int_equal(registry_request(&w.d.registry, entry_of("beta"), &waiter, SEC(10), w.now), ANSWER_NONE);
    reload_with(make_settings(make_profile("alpha", 33), NULL));
    assert_ptr_equal(registry_pop_answer(&w.d.registry), &waiter);
    assert_int_equal(waiter.answer, ANSWER_GONE);
    assert_outcome(200, "{\"outcome\":\"reloaded\",\"added\":[],\"removed\":[\"beta\"],\"changed\":[],"
                        "\"unchanged\":1,\"problems\":[]}\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, daemon_set_up, daemon_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_change_is_told_by_its_name),   TEST(nothing_new_is_told_as_such),
        TEST(each_kind_of_change_has_its_word),  TEST(keys_are_told_with_their_proof),
        TEST(warnings_come_with_the_outcome),    TEST(a_refusal_has_every_problem),
        TEST(a_machine_that_fails_is_a_refusal), TEST(who_waits_for_what_goes_is_told),
    };
    return cmocka_run_group_tests_name("reload, outcome", tests, NULL, NULL);
}
