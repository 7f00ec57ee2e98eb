/* SPDX-License-Identifier: MIT */
/* The status of a profile: what is shown of it in which state, and to whom. */
#include "reply_fixture.h"

/* `more` is what stands behind the last member of `expected`. */
static void assert_status_and(const char *expected, const char *more, bool shows_rules)
{
    _cleanup_(buffer_done) struct buffer out = BUFFER_INIT(BODY_MAX);
    struct reply_time t = both_clocks();
    char all[2048];

    assert_int_equal(expected[strlen(expected) - 1], '}');
    (void) snprintf(all, sizeof(all), "%.*s, %s}", (int) strlen(expected) - 1, expected, more);
    reply_write_status(&(struct json){.out = &out}, NULL, &p, &t, shows_rules);
    assert_json(&out, all);
}

#define FIRST_KEYS "'client_secret': 'current', 'subscription_key': 'primary'"

/* Of one with the first keys of each kind, that is preloaded. */
static void assert_status(const char *expected)
{
    assert_status_and(expected, FIRST_KEYS ", 'preload': true", false);
}

#define NO_TOKEN "'issued_at': null, 'expires_at': null, 'expires_in': null, 'fingerprint': null"
#define WHO      "'name': 'shop', 'description': 'Web shop, \\'unit\\' 123456', 'provider': 'vipps'"
#define NAMED    "'name': 'shop', 'description': 'Web shop', 'provider': 'vipps'"
static void status_of_one_without_a_token(void **state _unused_)
{
    fixture_set(&settings.description, "Web shop");
    p.description = settings.description;
    assert_status("{" NAMED ", 'state': 'empty', 'generation': 0, " NO_TOKEN
                  ", 'next_refresh_at': null, 'consecutive_failures': 0, 'last_error': null}");
    step(EVENT_START, 1000);
    assert_status("{" NAMED ", 'state': 'fetching', 'generation': 0, " NO_TOKEN
                  ", 'next_refresh_at': null, 'consecutive_failures': 0, 'last_error': null}");
}

static void status_of_fresh_and_refreshing(void **state _unused_)
{
    fixture_set(&settings.description, NULL);
    p.description = NULL;
    step(EVENT_START, 1000);
    token_comes("secret", 1000, 1002);
    now += 1;
    /* The lifetime counts from when it was sent for, and seconds left are rounded down. */
    assert_status(
        "{'name': 'shop', 'description': null, 'provider': 'vipps', 'state': 'fresh', " TOKEN_OF_1000
        ", 'expires_in': 3597, 'next_refresh_at': '2026-01-31T12:30:00Z', 'consecutive_failures': 0, "
        "'last_error': null}");
    step(EVENT_DEADLINE, 2800);
    assert_status(
        "{'name': 'shop', 'description': null, 'provider': 'vipps', 'state': 'refreshing', " TOKEN_OF_1000
        ", 'expires_in': 1800, 'next_refresh_at': null, 'consecutive_failures': 0, 'last_error': null}");
}

#define REFUSED_AT_2801                                                                                      \
    "'consecutive_failures': 1, 'last_error': {'at': '2026-01-31T12:30:01Z', 'reason': 'connect', "          \
    "'http_status': null, 'message': 'vipps: Connection refused'}"

static void status_of_stale(void **state _unused_)
{
    fixture_set(&settings.description, "Web shop");
    p.description = settings.description;
    step(EVENT_START, 1000);
    token_comes("secret", 1000, 1000);
    step(EVENT_DEADLINE, 2800);
    fetch_fails(&unreachable, 2801);
    assert_status("{" NAMED ", 'state': 'stale', " TOKEN_OF_1000
                  ", 'expires_in': 1799, 'next_refresh_at': '2026-01-31T12:30:02Z', " REFUSED_AT_2801 "}");
    step(EVENT_DEADLINE, 2802);
    assert_status("{" NAMED ", 'state': 'stale', " TOKEN_OF_1000
                  ", 'expires_in': 1798, 'next_refresh_at': null, " REFUSED_AT_2801 "}");
    /* Time alone ends it, though nothing stepped. */
    now = AT(4600);
    assert_status("{" NAMED ", 'state': 'failed', 'generation': 1, " NO_TOKEN
                  ", 'next_refresh_at': null, " REFUSED_AT_2801 "}");
}

static void status_of_failed(void **state _unused_)
{
    fixture_set(&settings.description, "Web shop");
    p.description = settings.description;
    step(EVENT_START, 1000);
    fetch_fails(&wrong_keys, 1001);
    p.refresh_at = AT(1060);
#define LAST_ERROR                                                                                           \
    "'consecutive_failures': 1, 'last_error': {'at': '2026-01-31T12:00:01Z', 'reason': 'invalid-keys', "     \
    "'http_status': 401, 'message': 'vipps answered 401: \\'no\\''}"
    assert_status("{" NAMED ", 'state': 'failed', 'generation': 0, " NO_TOKEN
                  ", 'next_refresh_at': '2026-01-31T12:01:00Z', " LAST_ERROR "}");
    step(EVENT_REFRESH, 1002);
    assert_status("{" NAMED ", 'state': 'failed', 'generation': 0, " NO_TOKEN
                  ", 'next_refresh_at': null, " LAST_ERROR "}");
}

/* The last error stays to be seen after a success; that there were failures in a row does not. */
static void status_of_one_that_recovered(void **state _unused_)
{
    step(EVENT_START, 1000);
    fetch_fails(&unreachable, 1001);
    step(EVENT_REFRESH, 1001);
    token_comes("secret", 1000, 1002);
    assert_status(
        "{" WHO ", 'state': 'fresh', " TOKEN_OF_1000
        ", 'expires_in': 3598, 'next_refresh_at': '2026-01-31T12:30:00Z', 'consecutive_failures': 0, "
        "'last_error': {'at': '2026-01-31T12:00:01Z', 'reason': 'connect', 'http_status': null, "
        "'message': 'vipps: Connection refused'}}");
}

static void status_of_an_unusable_one(void **state _unused_)
{
    const struct access_list nobody = {0};

    profile_init_unusable(
        &p, &(struct unusable_profile){.name = "broken", .message = "broken.conf:3: no", .allow = &nobody},
        AT(1000));
    now = AT(1500);
    assert_status_and("{'name': 'broken', 'description': null, 'provider': null, 'state': 'failed', "
                      "'generation': 0, " NO_TOKEN
                      ", 'next_refresh_at': null, 'consecutive_failures': 1, 'last_error': {"
                      "'at': '2026-01-31T12:00:00Z', 'reason': 'settings', 'http_status': null, "
                      "'message': 'broken.conf:3: no'}}",
                      "'client_secret': null, 'subscription_key': null, 'preload': null, 'allow': []", true);
}

#define EMPTY                                                                                                \
    "{" WHO ", 'state': 'empty', 'generation': 0, " NO_TOKEN                                                 \
    ", 'next_refresh_at': null, 'consecutive_failures': 0, 'last_error': null}"

/* As they were written, in their order; for those who may know. */
static void status_with_the_rules(void **state _unused_)
{
    settings.is_preloaded = false;
    assert_status_and(EMPTY, FIRST_KEYS ", 'preload': false", false);
    assert_status_and(EMPTY, FIRST_KEYS ", 'preload': false, 'allow': []", true);
    settings.allow = (struct access_list){.rules = calloc(2, sizeof(struct access_rule)), .n_rules = 2};
    assert_non_null(settings.allow.rules);
    settings.allow.rules[0] = (struct access_rule){.kind = ACCESS_USER, .text = strdup("user:www-data")};
    settings.allow.rules[1] =
        (struct access_rule){.kind = ACCESS_UNIT, .text = strdup("unit:a\\x2d*.service")};
    assert_status_and(
        EMPTY, FIRST_KEYS ", 'preload': false, 'allow': ['user:www-data', 'unit:a\\\\x2d*.service']", true);
    assert_status_and(EMPTY, FIRST_KEYS ", 'preload': false", false);
}

static void assert_keys(const char *secret, const char *subscription)
{
    const char *a = reply_client_secret_in_use(&p), *b = reply_subscription_key_in_use(&p);

    assert_true(a && secret ? strcmp(a, secret) == 0 : a == secret);
    assert_true(b && subscription ? strcmp(b, subscription) == 0 : b == subscription);
}

/* Of the token that is there; the next one may be asked for with others. */
static void the_keys_in_use_are_those_of_the_token(void **state _unused_)
{
    fixture_add_second_keys(&settings);
    assert_keys("current", "primary");
    step(EVENT_START, 1000);
    p.choice = (struct key_choice){.is_next_secret = true, .is_secondary_subscription = true};
    assert_keys("next", "secondary");
    token_comes("secret", 1000, 1000);
    assert_keys("next", "secondary");
    p.choice = (struct key_choice){0};
    assert_keys("next", "secondary");
    /* Where there is no such key there is none in use. */
    secret_done(&settings.keys[KEY_SUBSCRIPTION]);
    secret_done(&settings.keys[KEY_CLIENT_SECRET]);
    assert_keys(NULL, NULL);
}

static void a_status_never_shows_the_token(void **state _unused_)
{
    _cleanup_(buffer_done) struct buffer out = BUFFER_INIT(BODY_MAX);
    struct reply_time t = both_clocks();
    struct json j = {.out = &out};

    step(EVENT_START, 1000);
    token_comes("the-secret-value", 1000, 1000);
    json_open(&j, NULL, '{');
    reply_write_status(&j, "shop", &p, &t, true);
    reply_write_status(&j, "again", &p, &t, false);
    json_close(&j, '}');
    struct json_object *o = parse(buffer_peek(&out), out.size);
    assert_int_equal(json_object_object_length(o), 2);
    json_object_put(o);
    assert_null(strstr(buffer_peek(&out), "the-secret-value"));
    assert_null(strstr(buffer_peek(&out), FIXTURE_SECRET));
    assert_null(strstr(buffer_peek(&out), FIXTURE_SUBSCRIPTION_KEY));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(status_of_one_without_a_token),
        TEST(status_of_fresh_and_refreshing),
        TEST(status_of_stale),
        TEST(status_of_failed),
        TEST(status_of_one_that_recovered),
        TEST(status_of_an_unusable_one),
        TEST(status_with_the_rules),
        TEST(the_keys_in_use_are_those_of_the_token),
        TEST(a_status_never_shows_the_token),
    };
    return cmocka_run_group_tests_name("status", tests, NULL, NULL);
}
