/* SPDX-License-Identifier: MIT */
/* The header set of an API call: what is in it, and which of the subscription keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/reply.h"
#include "wire_fixture.h"

#define BODY_MAX ((size_t) 65536)
#define PRIMARY  "Ocp-Apim-Subscription-Key: " FIXTURE_SUBSCRIPTION_KEY "\n"

static struct profile_settings settings;
static struct profile p;

static int set_up(void **state _unused_)
{
    settings = fixture_vipps();
    profile_init(&p, &settings);
    assert_int_equal(secret_set(&p.token.value, "tok", 3), 0);
    (void) snprintf(p.token.type, sizeof(p.token.type), "Bearer");
    return 0;
}

static int tear_down(void **state _unused_)
{
    profile_done(&p);
    profile_settings_done(&settings);
    return 0;
}

static void assert_json(const char *json)
{
    _cleanup_(buffer_done) struct buffer out = BUFFER_INIT_SECRET(BODY_MAX);

    reply_write_headers_json(&out, &p);
    assert_string_equal(buffer_peek(&out), json);
}

static void assert_text(const char *text)
{
    _cleanup_(buffer_done) struct buffer out = BUFFER_INIT_SECRET(BODY_MAX);

    reply_write_headers_text(&out, &p);
    assert_string_equal(buffer_peek(&out), text);
}

static void vipps_headers_hold_a_subscription_key(void **state _unused_)
{
    assert_json("{\"Authorization\":\"Bearer tok\",\"Ocp-Apim-Subscription-Key\":\"" FIXTURE_SUBSCRIPTION_KEY
                "\"}\n");
    assert_text("Authorization: Bearer tok\n" PRIMARY);
    secret_done(&settings.keys[KEY_SUBSCRIPTION]);
    assert_json("{\"Authorization\":\"Bearer tok\"}\n");
    assert_text("Authorization: Bearer tok\n");
}

/* The one that was good when the token was asked for, whatever the next request is to be made with. */
static void the_key_is_the_one_that_got_the_token(void **state _unused_)
{
    fixture_set_key(&settings, KEY_SECONDARY_SUBSCRIPTION, "the-secondary");
    p.choice.is_secondary_subscription = true;
    assert_text("Authorization: Bearer tok\n" PRIMARY);
    p.choice.is_secondary_subscription = false;
    p.token_choice.is_secondary_subscription = true;
    assert_text("Authorization: Bearer tok\nOcp-Apim-Subscription-Key: the-secondary\n");
    assert_json("{\"Authorization\":\"Bearer tok\",\"Ocp-Apim-Subscription-Key\":\"the-secondary\"}\n");
    /* The client secret has no part in it. */
    p.token_choice = (struct key_choice){.is_next_secret = true};
    assert_text("Authorization: Bearer tok\n" PRIMARY);
}

/* New settings have not proven themselves: what the token came with goes out with it. */
static void keys_and_headers_are_those_of_the_token(void **state _unused_)
{
    _cleanup_(profile_settings_done) struct profile_settings newer = fixture_vipps();

    fixture_set_key(&newer, KEY_SUBSCRIPTION, "not-proven");
    p.token_settings = &settings;
    profile_borrow_settings(&p, &newer);
    assert_text("Authorization: Bearer tok\n" PRIMARY);
    p.token_settings = &newer;
    assert_text("Authorization: Bearer tok\nOcp-Apim-Subscription-Key: not-proven\n");
}

/* Old key sets have one for the API alone: it goes before the others. */
static void a_key_for_the_api_goes_first(void **state _unused_)
{
    fixture_set_key(&settings, KEY_API_SUBSCRIPTION, "of-the-api");
    fixture_set_key(&settings, KEY_SECONDARY_SUBSCRIPTION, "the-secondary");
    for (unsigned i = 0; i < 2; i++) {
        p.token_choice.is_secondary_subscription = i == 1;
        assert_text("Authorization: Bearer tok\nOcp-Apim-Subscription-Key: of-the-api\n");
    }
}

static void other_providers_have_none(void **state _unused_)
{
    static const enum provider others[] = {PROVIDER_VIPPS_OAUTH, PROVIDER_OAUTH2};

    fixture_set_key(&settings, KEY_API_SUBSCRIPTION, "of-the-api");
    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        settings.provider = others[i];
        assert_text("Authorization: Bearer tok\n");
    }
}

static void headers_of_the_operator_follow_in_their_order(void **state _unused_)
{
    settings.headers = calloc(2, sizeof(struct header_setting));
    settings.n_headers = 2;
    assert_non_null(settings.headers);
    fixture_set(&settings.headers[0].name, "Merchant-Serial-Number");
    fixture_set(&settings.headers[0].value, "123456");
    fixture_set(&settings.headers[1].name, "Vipps-System-Name");
    fixture_set(&settings.headers[1].value, "ac\"me");
    settings.provider = PROVIDER_VIPPS_OAUTH;
    (void) snprintf(p.token.type, sizeof(p.token.type), "DPoP");
    assert_json("{\"Authorization\":\"DPoP tok\",\"Merchant-Serial-Number\":\"123456\","
                "\"Vipps-System-Name\":\"ac\\\"me\"}\n");
    assert_text("Authorization: DPoP tok\nMerchant-Serial-Number: 123456\nVipps-System-Name: ac\"me\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(vipps_headers_hold_a_subscription_key),
        TEST(the_key_is_the_one_that_got_the_token),
        TEST(keys_and_headers_are_those_of_the_token),
        TEST(a_key_for_the_api_goes_first),
        TEST(other_providers_have_none),
        TEST(headers_of_the_operator_follow_in_their_order),
    };
    return cmocka_run_group_tests_name("header_set", tests, NULL, NULL);
}
