/* SPDX-License-Identifier: MIT */
/* Log lines and the STATUS line, in the words that somebody reads at night. */
#include "daemon_fixture.h"

/* The next note of the registry, told. */
static void tell_note(void)
{
    enum note note;

    struct entry *e = registry_pop_note(&w.d.registry, &note);
    assert_non_null(e);
    w.text[0] = '\0';
    report_note(&w.d, e, note);
}

static void fetch_of(const char *name)
{
    registry_start(&w.d.registry, w.now);
    while (registry_pop_fetch(&w.d.registry, w.now))
        continue;
    assert_true(entry_of(name)->is_in_flight);
}

static void a_token_is_told_with_its_life(void **state _unused_)
{
    fetch_of("alpha");
    end_with_token("alpha");
    tell_note();
    assert_string_equal(w.text, "6 token-fetched: alpha: token generation 1 (0123456789abcdef), good for 1h, "
                                "next refresh in 30min\n");
    assert_string_equal(w.fields, "PROFILE=alpha FINGERPRINT=0123456789abcdef");
}

static void a_failure_is_told_with_what_is_left(void **state _unused_)
{
    fetch_of("alpha");
    end_with_failure("alpha", FAILURE_PERMANENT, "vipps answered 401: no");
    entry_of("alpha")->profile.refresh_at = w.now + SEC(7);
    tell_note();
    assert_string_equal(w.text, "3 profile-failed: alpha: no token (invalid-keys, failure 1 in a row): vipps "
                                "answered 401: no; no usable token; next attempt in 7s\n");
    assert_string_equal(w.fields, "PROFILE=alpha REASON=invalid-keys HTTP_STATUS=401");
    end_with_token("beta");
    tell_note();
    w.now += SEC(1800);
    registry_advance(&w.d.registry, w.now);
    while (registry_pop_fetch(&w.d.registry, w.now))
        continue;
    end_with_failure("beta", FAILURE_TRANSIENT, "vipps: Connection refused");
    entry_of("beta")->profile.refresh_at = w.now + SEC(2);
    tell_note();
    assert_string_equal(w.text,
                        "4 refresh-failed: beta: refresh failed (invalid-keys, failure 1 in a row): "
                        "vipps: Connection refused; the current token is good for 30min; next attempt "
                        "in 2s\n");
    end_with_token("alpha");
    tell_note();
    assert_logged("5 recovered: alpha: recovered with token generation 1 ");
}

static void another_key_is_told_before_the_token(void **state _unused_)
{
    struct profile_settings *s = w.d.settings.profiles[0];

    assert_int_equal(secret_set(&s->keys[KEY_SECONDARY_SUBSCRIPTION], "second", 6), 0);
    fetch_of("alpha");
    entry_of("alpha")->profile.choice.is_secondary_subscription = true;
    end_with_token("alpha");
    tell_note();
    assert_logged(
        "4 key-fallback: alpha: works with the secondary subscription key from now on; the preferred "
        "key was refused, or is being replaced\n6 token-fetched: ");
    assert_null(strstr(w.text, "second\""));
}

static void both_keys_are_named_where_there_are_both(void **state _unused_)
{
    struct profile_settings *s = w.d.settings.profiles[0];

    assert_int_equal(secret_set(&s->keys[KEY_SECONDARY_SUBSCRIPTION], "second", 6), 0);
    assert_int_equal(secret_set(&s->keys[KEY_NEXT_CLIENT_SECRET], "next", 4), 0);
    fetch_of("alpha");
    entry_of("alpha")->profile.noted_choice.is_next_secret = true;
    end_with_token("alpha");
    tell_note();
    assert_logged("5 key-fallback: alpha: works with the current client secret and the primary subscription "
                  "key from now on\n");
}

static void an_idle_profile_is_told_once(void **state _unused_)
{
    struct settings new = make_same();

    new.profiles[0]->is_preloaded = false;
    new.profiles[0]->idle_after_for = SEC(60);
    all_fresh();
    reload_with(new);
    enum note note;
    while (registry_pop_note(&w.d.registry, &note))
        continue;
    w.now += SEC(1801);
    registry_advance(&w.d.registry, w.now);
    tell_note();
    assert_string_equal(
        w.text,
        "6 profile-idle: alpha: idle, nobody has asked for 1min (IdleAfter=); the next request wakes it\n");
    /* Its token is good for half an hour yet; then it is not missed. */
    end_with_token("beta");
    report_status(&w.d);
    assert_non_null(strstr(w.status, "2 of 2 profiles usable"));
    w.now += SEC(1799);
    report_status(&w.d);
    assert_string_equal(w.status, "1 of 2 profiles usable, 1 not in use; next: beta at 2026-01-31T13:00:01Z");
}

static void the_status_names_what_fails(void **state _unused_)
{
    fetch_of("alpha");
    report_status(&w.d);
    assert_string_equal(w.status, "0 of 2 profiles usable");
    end_with_token("beta");
    end_with_failure("alpha", FAILURE_PERMANENT, "no");
    entry_of("alpha")->profile.refresh_at = w.now + SEC(60);
    report_status(&w.d);
    assert_string_equal(
        w.status,
        "1 of 2 profiles usable; next: alpha at 2026-01-31T12:01:00Z; failing: alpha (invalid-keys)");
}

static void ready_is_said_once_and_not_at_the_end(void **state _unused_)
{
    w.d.is_stopping = true;
    report_ready(&w.d);
    assert_false(w.is_ready);
    w.d.is_stopping = false;
    report_ready(&w.d);
    report_ready(&w.d);
    assert_string_equal(w.told, "READY ");
    assert_int_equal(w.n_logged, 1);
    assert_logged(" serves 2 profiles on /run/bearerd/bearerd.sock\n");
    assert_string_equal(w.fields, "SOCKET=/run/bearerd/bearerd.sock");
}

static void the_clock_is_complained_of_once_an_hour(void **state _unused_)
{
    const struct clock_skew skew = {.is_seen = true, .usec = -90 * (int64_t) USEC_PER_SEC, .source = "Date"};

    report_skew(&w.d, entry_of("alpha"), &skew);
    report_skew(&w.d, entry_of("beta"), &skew);
    assert_int_equal(w.n_logged, 1);
    assert_logged("alpha: the issuer's clock (Date) is 1min 30s behind this machine's");
    w.now += SEC(3600);
    report_skew(&w.d, entry_of("beta"), &skew);
    assert_int_equal(w.n_logged, 2);
}

static void the_rest_of_the_audit_is_told_at_the_end(void **state _unused_)
{
    const struct audit_key key = {AUDIT_DENIAL, 33, 7, NULL};
    const struct audit_caller caller = {.uid = 33, .unit = "shop.service"};
    const struct audit_denial denial = {.pid = 7, .asked = "guess"};

    struct audit_record *record = audit_open(w.d.audit, &key, &caller, w.now);
    assert_true(audit_count_denial(w.d.audit, record, &denial, w.now));
    for (unsigned i = 0; i < 3; i++)
        assert_false(audit_count_denial(w.d.audit, record, &denial, w.now));
    w.now += SEC(5);
    report_audit(&w.d);
    assert_int_equal(w.n_logged, 0);
    report_audit_rest(&w.d);
    assert_string_equal(
        w.text, "5 access-denials: 3 more requests of uid 33, pid 7 of shop.service denied within 5s\n");
    assert_string_equal(w.fields,
                        "PROFILE_ASKED=guess PEER_UID=33 PEER_PID=7 PEER_UNIT=shop.service N_DENIED=3");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, daemon_set_up, daemon_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_token_is_told_with_its_life),
        TEST(a_failure_is_told_with_what_is_left),
        TEST(another_key_is_told_before_the_token),
        TEST(both_keys_are_named_where_there_are_both),
        TEST(an_idle_profile_is_told_once),
        TEST(the_status_names_what_fails),
        TEST(ready_is_said_once_and_not_at_the_end),
        TEST(the_clock_is_complained_of_once_an_hour),
        TEST(the_rest_of_the_audit_is_told_at_the_end),
    };
    return cmocka_run_group_tests_name("report", tests, NULL, NULL);
}
