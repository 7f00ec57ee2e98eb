/* SPDX-License-Identifier: MIT */
/* Which key an answer blames, so that the other one is tried; how it is named; and that it is never shown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "wire/token_response.h"
#include "wire_fixture.h"

#define INVALID_KEY                                                                                          \
    "{\"statusCode\":401,\"message\":\"Access denied due to invalid subscription key. Make sure to provide " \
    "a valid key for an active subscription.\"}"
#define MISSING_KEY                                                                                          \
    "{\"statusCode\":401,\"message\":\"Access denied due to missing subscription key. Make sure to include " \
    "subscription key when making requests to an API.\"}"
#define WRONG_SECRET                                                                                         \
    "{\"error\":\"invalid_client\",\"error_description\":\"AADSTS7000215: Invalid client secret "            \
    "provided.\"}"
#define UNKNOWN_CLIENT                                                                                       \
    "{\"error\":\"unauthorized_client\",\"error_description\":\"AADSTS70001: Application with identifier "   \
    "'x' was not found in the directory testapivipps.no\"}"

#define HINT "; are these keys for the other environment?"

/* What comes of an answer to a request of `s` with these keys. */
static struct failure refuse(const struct profile_settings *s, struct key_choice choice, int status,
                             const char *body)
{
    const struct asked asked = {s, choice, 1002 * USEC_PER_SEC, 1700000000 * USEC_PER_SEC};
    struct http_answer a = fixture_answer(status, "", body);
    struct token_response r;

    token_response_read(&asked, &a, &r);
    assert_false(r.is_token);
    http_answer_done(&a);
    return r.failure;
}

static void test_what_an_answer_blames(void **state)
{
    enum { NOTHING, SECRET, SUBSCRIPTION };
    /* clang-format off */
    static const struct {
        int status, blamed;
        const char *body;
    } cases[] = {
        {401, SUBSCRIPTION, INVALID_KEY},
        {401, SUBSCRIPTION, MISSING_KEY},
        {401, SUBSCRIPTION, "access denied due to INVALID SUBSCRIPTION KEY"},
        {401, SECRET, ""},
        {401, SECRET, "<html>subscription key</html>"},
        {401, SECRET, WRONG_SECRET},
        {400, SECRET, WRONG_SECRET},
        {401, SECRET, UNKNOWN_CLIENT},
        {400, SECRET, UNKNOWN_CLIENT},
        {401, SECRET, "{\"error\":\"invalid_client\",\"error_description\":\"no such subscription key\"}"},
        {401, SECRET, "Check that client_id, client_secret and subscription key are right"},
        /* A gateway that counts requests, and a client that may not: the other key may no more. */
        {403, NOTHING, "{\"statusCode\":403,\"message\":\"Out of call volume quota for this subscription key.\"}"},
        {403, NOTHING, INVALID_KEY},
        {403, NOTHING, WRONG_SECRET},
        {400, NOTHING, INVALID_KEY},
        {400, NOTHING, "{\"error\":\"invalid_scope\"}"},
        {400, NOTHING, "{\"error\":\"temporarily_unavailable\"}"},
        {404, NOTHING, INVALID_KEY},
        {429, NOTHING, INVALID_KEY},
        {500, NOTHING, WRONG_SECRET},
        {200, NOTHING, WRONG_SECRET},
    };
    /* clang-format on */
    _cleanup_(profile_settings_done) struct profile_settings s = fixture_vipps();
    (void) state;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct failure f = refuse(&s, (struct key_choice){0}, cases[i].status, cases[i].body);
        if (failure_blames_secret(&f) != (cases[i].blamed == SECRET) ||
            failure_blames_subscription_key(&f) != (cases[i].blamed == SUBSCRIPTION))
            fail_msg("%d %s was read as %s", cases[i].status, cases[i].body, failure_reason_name(f.reason));
    }
}

/* With two of a kind, people must know which of them to look at. */
static void test_the_refused_key_is_named(void **state)
{
    /* clang-format off */
    static const struct {
        bool is_next_secret, is_secondary;
        int status;
        const char *body, *message;
    } cases[] = {
        {false, false, 401, INVALID_KEY,
         "vipps answered 401 to the primary subscription key: Access denied due to invalid subscription key. Make sure "
         "to provide a valid key for an active subscription" HINT},
        {true, true, 401, INVALID_KEY,
         "vipps answered 401 to the secondary subscription key: Access denied due to invalid subscription key. Make "
         "sure to provide a valid key for an active subscription" HINT},
        {false, true, 401, WRONG_SECRET,
         "vipps answered 401 to the current client secret: invalid_client: AADSTS7000215: Invalid client secret "
         "provided" HINT},
        {true, false, 400, WRONG_SECRET,
         "vipps answered 400 to the next client secret: invalid_client: AADSTS7000215: Invalid client secret "
         "provided" HINT},
        {true, false, 401, "<html>", "vipps answered 401 to the next client secret with an HTML page" HINT},
        /* No key is to blame. */
        {true, true, 403, "", "vipps answered 403"},
        {true, true, 400, "{\"error\":\"invalid_scope\"}", "vipps answered 400: invalid_scope"},
        {true, true, 503, "", "vipps answered 503"},
        {true, true, 200, "", "vipps answered 200 with an empty body"},
    };
    /* clang-format on */
    _cleanup_(profile_settings_done) struct profile_settings s = fixture_vipps();
    (void) state;

    fixture_add_second_keys(&s);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct key_choice choice = {cases[i].is_next_secret, cases[i].is_secondary};
        struct failure f = refuse(&s, choice, cases[i].status, cases[i].body);
        assert_string_equal(f.message, cases[i].message);
    }
}

/* Of a kind of which there is one alone nothing need be said. */
static void test_a_key_without_a_second_one_is_not_named(void **state)
{
    const struct key_choice preferred = {0};
    _cleanup_(profile_settings_done) struct profile_settings s = fixture_vipps();
    (void) state;

    fixture_set_key(&s, KEY_NEXT_CLIENT_SECRET, FIXTURE_NEXT_SECRET);
    struct failure f = refuse(&s, preferred, 401, "{\"message\":\"invalid subscription key\"}");
    assert_string_equal(f.message, "vipps answered 401: invalid subscription key" HINT);
    secret_done(&s.keys[KEY_NEXT_CLIENT_SECRET]);
    fixture_set_key(&s, KEY_SECONDARY_SUBSCRIPTION, FIXTURE_SECONDARY_KEY);
    f = refuse(&s, preferred, 401, "{\"error\":\"invalid_client\"}");
    assert_string_equal(f.message, "vipps answered 401: invalid_client" HINT);
}

/* A host, a name of a key and words as long as they come, and still the hint is whole. */
static void test_the_longest_message_is_whole(void **state)
{
    _cleanup_(profile_settings_done) struct profile_settings s = fixture_oauth2();
    char url[300] = "https://",
         body[1200] = "{\"error\":\"invalid_client\",\"error_description\":\"AADSTS70001 ";
    (void) state;

    fixture_add_second_keys(&s);
    memset(url + 8, 'h', 250);
    for (size_t i = strlen(body); i < 1000; i++)
        body[i] = i % 7 ? 'w' : ' ';
    (void) snprintf(body + 1000, 100, "\"}");
    fixture_set(&s.token_url, url);
    struct failure f = refuse(&s, (struct key_choice){0}, 400, body);
    assert_non_null(strstr(f.message, "h answered 400 to the current client secret: invalid_client"));
    const char *end = strstr(f.message, "..." HINT);
    assert_non_null(end);
    assert_string_equal(end, "..." HINT);
}

/* Whichever keys were sent, an answer that shows any key of the profile comes out without it. */
static void test_no_key_comes_through_with_any_choice(void **state)
{
    static const char *const echoes[] = {
        FIXTURE_SECRET,
        FIXTURE_NEXT_SECRET,
        FIXTURE_SUBSCRIPTION_KEY,
        FIXTURE_SECONDARY_KEY,
        "q0Zb7Rj4Xw",
        "\\u0071\\u0030Zb7Rj4XwTnV",
        "q0Zb7Rj4XwTnV2sLd9PfMA\\u003d=",
        "7C3D9E51F2A84B06",
        "Basic ZmI0OTJiNWUtNzkwNy00ZDgzLWJhMjAtYzdmYjYwY2EzNWRlOnEwWmI3Umo0WHdUblYyc0xkOVBmTUE9PQ==",
    };
    static const char *const canaries[] = {"Kteew6", "Zb7Rj4", "0f14eb", "7c3d9e", "ZmI0OT", "u0071"};
    static const char *const shapes[][2] = {
        {"{\"error\":\"invalid_client\",\"error_description\":\"secret ", "\"}"},
        {"{\"statusCode\":401,\"message\":\"invalid subscription key ",   "\"}"},
        {"{\"title\":\"bad\",\"detail\":\"",                              "\"}"},
        {"bad key ",                                                      ""   },
        {"",                                                              ""   },
    };
    static const int statuses[] = {200, 400, 401, 403, 500};
    const size_t n_echoes = ARRAY_SIZE(echoes), n_shapes = ARRAY_SIZE(shapes);
    _cleanup_(profile_settings_done) struct profile_settings s = fixture_vipps();
    (void) state;

    fixture_add_second_keys(&s);
    for (size_t i = 0; i < 4 * n_echoes * n_shapes * ARRAY_SIZE(statuses); i++) {
        const struct key_choice choice = {.is_next_secret = i & 1, .is_secondary_subscription = i & 2};
        const char *const *shape = shapes[i / 4 / n_echoes % n_shapes];
        char body[512];
        (void) snprintf(body, sizeof(body), "%s%s%s", shape[0], echoes[i / 4 % n_echoes], shape[1]);
        struct failure f = refuse(&s, choice, statuses[i / 4 / n_echoes / n_shapes], body);
        for (size_t k = 0; k < ARRAY_SIZE(canaries); k++) {
            if (strcasestr(f.message, canaries[k]))
                fail_msg("a key is shown: %s", f.message);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_an_answer_blames),
        cmocka_unit_test(test_the_refused_key_is_named),
        cmocka_unit_test(test_a_key_without_a_second_one_is_not_named),
        cmocka_unit_test(test_the_longest_message_is_whole),
        cmocka_unit_test(test_no_key_comes_through_with_any_choice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
