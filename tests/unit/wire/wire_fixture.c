/* SPDX-License-Identifier: MIT */
#include "wire_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

void fixture_set(char **string, const char *value)
{
    free(*string);
    *string = value ? strdup(value) : NULL;
}

void fixture_set_key(struct profile_settings *s, enum key_kind kind, const char *value)
{
    assert_int_equal(secret_set(&s->keys[kind], value, strlen(value)), 0);
}

struct profile_settings fixture_vipps(void)
{
    struct profile_settings s = {.provider = PROVIDER_VIPPS};

    fixture_set(&s.name, "shop");
    fixture_set(&s.environment, "test");
    fixture_set(&s.token_url, "https://apitest.vipps.no/accesstoken/get");
    fixture_set(&s.client_id, FIXTURE_CLIENT_ID);
    fixture_set_key(&s, KEY_CLIENT_SECRET, FIXTURE_SECRET);
    fixture_set_key(&s, KEY_SUBSCRIPTION, FIXTURE_SUBSCRIPTION_KEY);
    return s;
}

void fixture_add_second_keys(struct profile_settings *s)
{
    fixture_set_key(s, KEY_NEXT_CLIENT_SECRET, FIXTURE_NEXT_SECRET);
    fixture_set_key(s, KEY_SECONDARY_SUBSCRIPTION, FIXTURE_SECONDARY_KEY);
}

struct profile_settings fixture_oauth2(void)
{
    struct profile_settings s = {.provider = PROVIDER_OAUTH2, .client_auth = CLIENT_AUTH_BASIC};

    fixture_set(&s.name, "issuer");
    fixture_set(&s.token_url, "https://issuer.example/oauth2/token");
    fixture_set(&s.client_id, "the client");
    fixture_set_key(&s, KEY_CLIENT_SECRET, "a/b+c=d:e");
    return s;
}

struct http_answer fixture_answer(int status, const char *content_type, const char *body)
{
    struct http_answer a = {
        .outcome = HTTP_ANSWERED,
        .sent_at = 1000 * USEC_PER_SEC,
        .status = status,
        .body = BUFFER_INIT_SECRET(HTTP_BODY_MAX),
    };

    (void) snprintf(a.content_type, sizeof(a.content_type), "%s", content_type);
    buffer_append_string(&a.body, body);
    assert_int_equal(buffer_error(&a.body), 0);
    return a;
}
