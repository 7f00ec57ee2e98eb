/* SPDX-License-Identifier: MIT */
/* What of an upstream's words is shown: the useful ones, and never a key, however it is echoed. */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "wire/base64.h"
#include "wire/redact.h"
#include "wire_fixture.h"

#define SHOWN_MAX 400

/* The words as shown for a vipps profile. */
static const char *shown(const char *text, size_t size)
{
    static char copy[SHOWN_MAX + 1];
    _cleanup_(profile_settings_done) struct profile_settings s = fixture_vipps();
    _cleanup_(buffer_done) struct buffer b = BUFFER_INIT(SHOWN_MAX);

    assert_int_equal(redact_append(&b, SHOWN_MAX, &s, text, size), 0);
    (void) snprintf(copy, sizeof(copy), "%s", buffer_peek(&b));
    return copy;
}

static const char *shown_text(const char *text)
{
    return shown(text, strlen(text));
}

static void test_useful_words_stay(void **state)
{
    static const char *const words[] = {
        "Access denied due to invalid subscription key. Make sure to provide a valid key for an active "
        "subscription.",
        "unauthorized_client: AADSTS70001: Application with identifier '" FIXTURE_CLIENT_ID
        "' was not found in the directory testapivipps.no",
        "temporarily_unavailable: try again later",
        "invalid_client_credentials_supplied",
        "Correlation ID: 4b8e3c1a-2f6d-4c3b-9a77-0d5f1c2b3a4e. Timestamp: 2023-11-22 10:00:00Z",
        "see https://developer.example.com/errors/invalid-client",
        "POST https://apitest.vipps.no/miami/v1/token is not there",
        "the quota of 100 is used up (\"gold\" plan), 50% over",
    };
    (void) state;

    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        assert_string_equal(shown_text(words[i]), words[i]);
}

static void test_own_keys_go_in_every_form(void **state)
{
    static const char *const echoes[] = {
        FIXTURE_SECRET,
        FIXTURE_SUBSCRIPTION_KEY,
        "0F14EBCAB0EB4B29AE0CB90D91B4A84A", /* upper case */
        "Y8Kteew6GE3ZmeycEt6egg%3D%3D",     /* form-encoded */
        "WThLdGVldzZHRTNabWV5Y0V0NmVnZz09", /* base64 */
        "ZmI0OTJiNWUtNzkwNy00ZDgzLWJhMjAtYzdmYjYwY2EzNWRlOlk4S3RlZXc2R0UzWm1leWNFdDZlZ2c9PQ==", /* HTTP Basic
                                                                                                 */
        "Y8Kteew6GE",                                                                           /* cut off */
        "Y8Ktee",
        "cEt6egg==",            /* its end */
        "8Kteew6GE3ZmeycEt6eg", /* its middle */
        "0f14ebcab0eb",
        "0F14EBCAB0EB",
        "90d91b4a84a",
        "Y8Kteew6GE3ZmeycEt6egg\\u003d\\u003d", /* escaped twice */
        "Y8Kteew6GE3ZmeycEt6egg&#61;&#61;",
        "\\u0059\\u0038\\u004b\\u0074\\u0065\\u0065", /* wholly */
        "%59%38%4B%74%65%65%77%36",
        "&#89;&#56;&#75;&#116;&#101;&#101;",
        "client_secret=Y8Kteew6GE3ZmeycEt6egg==&x=y",
    };
    (void) state;

    for (size_t i = 0; i < ARRAY_SIZE(echoes); i++) {
        char text[256];
        (void) snprintf(text, sizeof(text), "invalid key '%s' was sent", echoes[i]);
        assert_string_equal(shown_text(text), "invalid key '[redacted]' was sent");
    }
}

/* Every piece of six characters or more, at every place, with other text right beside it. */
static void test_no_piece_of_a_key_is_ever_shown(void **state)
{
    const char key[] = FIXTURE_SECRET;
    (void) state;

    for (size_t from = 0; from < sizeof(key) - 1; from++) {
        for (size_t size = 6; from + size <= sizeof(key) - 1; size++) {
            char text[128], piece[64];
            (void) snprintf(piece, sizeof(piece), "%.*s", (int) size, key + from);
            (void) snprintf(text, sizeof(text), "key:%s, sorry", piece);
            assert_string_equal(shown_text(text), "key:[redacted], sorry");
        }
    }
}

/* All keys of the profile at once, each in every form: an echo need not be of the request it answers. */
static void test_every_key_of_the_profile_goes(void **state)
{
    static const char *const echoes[] = {
        FIXTURE_SECRET,
        FIXTURE_NEXT_SECRET,
        "Q0ZB7RJ4XWTNV2SLD9PFMA==",         /* upper case */
        "q0Zb7Rj4XwTnV2sLd9PfMA%3D%3D",     /* form-encoded */
        "cTBaYjdSajRYd1RuVjJzTGQ5UGZNQT09", /* base64 */
        /* HTTP Basic, plain, with the halves encoded, and a piece of each */
        "ZmI0OTJiNWUtNzkwNy00ZDgzLWJhMjAtYzdmYjYwY2EzNWRlOnEwWmI3Umo0WHdUblYyc0xkOVBmTUE9PQ==",
        "ZmI0OTJiNWUtNzkwNy00ZDgzLWJhMjAtYzdmYjYwY2EzNWRlOnEwWmI3Umo0WHdUblYyc0xkOVBmTUElM0QlM0Q=",
        "WmI3Umo0",
        "ElM0QlM0Q=",
        "q0Zb7R",
        "Zb7Rj4X",
        FIXTURE_SUBSCRIPTION_KEY,
        FIXTURE_SECONDARY_KEY,
        "7C3D9E51F2",
        "35a6c92",
        "4d0e81b6a2f79c35",
    };
    _cleanup_(profile_settings_done) struct profile_settings s = fixture_vipps();
    (void) state;

    fixture_add_second_keys(&s);
    fixture_set_key(&s, KEY_API_SUBSCRIPTION, "4d0e81b6a2f79c35");
    for (size_t i = 0; i < ARRAY_SIZE(echoes); i++) {
        _cleanup_(buffer_done) struct buffer b = BUFFER_INIT(SHOWN_MAX);
        char text[256];
        (void) snprintf(text, sizeof(text), "invalid key '%s' was sent", echoes[i]);
        assert_int_equal(redact_append(&b, SHOWN_MAX, &s, text, strlen(text)), 0);
        assert_string_equal(buffer_peek(&b), "invalid key '[redacted]' was sent");
    }
}

/* Made-up keys share words with the sentences about them; those words stay, the key goes. */
static void test_a_key_of_plain_words_costs_no_words(void **state)
{
    _cleanup_(profile_settings_done) struct profile_settings s = fixture_vipps();
    _cleanup_(buffer_done) struct buffer b = BUFFER_INIT(SHOWN_MAX);
    const char text[] = "invalid subscription key: no client-secret, 'my-subscription-key'";
    (void) state;

    fixture_set_key(&s, KEY_SUBSCRIPTION, "my-subscription-key");
    fixture_set_key(&s, KEY_CLIENT_SECRET, "the-client-secret");
    assert_int_equal(redact_append(&b, SHOWN_MAX, &s, text, strlen(text)), 0);
    assert_string_equal(buffer_peek(&b), "invalid subscription key: no client-secret, '[redacted]'");
}

static void test_a_key_with_spaces_and_signs_goes(void **state)
{
    _cleanup_(profile_settings_done) struct profile_settings s = fixture_vipps();
    _cleanup_(buffer_done) struct buffer b = BUFFER_INIT(SHOWN_MAX);
    const char text[] = "sent p@ss w0rd! (\"with\") to us; p@ss w0 too";
    (void) state;

    fixture_set_key(&s, KEY_CLIENT_SECRET, "p@ss w0rd! (\"with\")");
    assert_int_equal(redact_append(&b, SHOWN_MAX, &s, text, strlen(text)), 0);
    assert_string_equal(buffer_peek(&b), "sent [redacted] to us; [redacted] too");
}

static void test_lines_of_a_private_key_go(void **state)
{
    _cleanup_(profile_settings_done) struct profile_settings s = fixture_oauth2();
    _cleanup_(buffer_done) struct buffer b = BUFFER_INIT(SHOWN_MAX);
    const char text[] = "bad private key -----BEGIN PRIVATE KEY----- MIGHAgEAMB8a";
    (void) state;

    fixture_set_key(&s, KEY_SIGNING,
                    "-----BEGIN PRIVATE KEY-----\r\nMIGHAgEAMB8aQ2c=\r\n-----END PRIVATE KEY-----\r\n");
    assert_int_equal(redact_append(&b, SHOWN_MAX, &s, text, strlen(text)), 0);
    assert_string_equal(buffer_peek(&b), "bad private key -----BEGIN PRIVATE KEY----- [redacted]");
}

static void test_what_looks_like_a_secret_goes(void **state)
{
    static const char *const secrets[] = {
        "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.eyJhdWQiOiIwMDAwMDAwMiJ9.c2lnbmF0dXJl",
        "token=eyJ0eXAiOi",
        "9f86d081884c7d659a2feaa0c55ad015",
        "ya29.a0AfH6SMBx7-secretpart_123456",
        "AbCdEfGhIjKlMnOpQrStUvWx",
        "abcdefghijklmnopqrstuvwxyz",
        "1234-5678-9012-3456-7890",
        FIXTURE_CLIENT_ID "-00",
    };
    (void) state;

    for (size_t i = 0; i < ARRAY_SIZE(secrets); i++) {
        char text[256];
        (void) snprintf(text, sizeof(text), "got \"%s\"", secrets[i]);
        assert_string_equal(shown_text(text), "got \"[redacted]\"");
    }
}

static void test_the_line_is_one_and_printable(void **state)
{
    (void) state;

    assert_string_equal(shown_text("  two\r\n\tlines \n"), "two lines");
    assert_string_equal(shown_text("n\xc3\xb8kkel \xf0\x9f\x98\x80"), "n?kkel ?");
    /* Bytes that are not shown must not bring the halves of a key together. */
    assert_string_equal(shown_text("8Kte\x81\x81\x81"
                                   "ew6G"),
                        "8Kte?ew6G");
    assert_string_equal(shown_text("bell \a"), "");
    assert_string_equal(shown("k\0e\0y\0", 6), "");
    assert_string_equal(shown_text(""), "");
}

/* A key that the limit of what is looked at cuts in two must not show its first half. */
static void test_long_words_are_cut_with_dots_and_without_leaks(void **state)
{
    (void) state;

    for (size_t n_before = 1000; n_before < 1030; n_before++) {
        char text[2048];
        memset(text, ' ', n_before);
        memcpy(text + 2, "start", 5);
        (void) snprintf(text + n_before, sizeof(text) - n_before, "%s and more", FIXTURE_SECRET);
        const char *line = shown_text(text);
        assert_int_equal(strncmp(line, "start", 5), 0);
        assert_null(strstr(line, "Y8"));
        assert_non_null(strstr(line, "..."));
    }
    char words[1000];
    for (size_t i = 0; i < sizeof(words); i++)
        words[i] = i % 6 == 5 ? ' ' : 'w';
    const char *line = shown(words, sizeof(words));
    assert_int_equal(strlen(line), SHOWN_MAX);
    assert_string_equal(line + SHOWN_MAX - 3, "...");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_useful_words_stay),
        cmocka_unit_test(test_own_keys_go_in_every_form),
        cmocka_unit_test(test_no_piece_of_a_key_is_ever_shown),
        cmocka_unit_test(test_every_key_of_the_profile_goes),
        cmocka_unit_test(test_a_key_of_plain_words_costs_no_words),
        cmocka_unit_test(test_a_key_with_spaces_and_signs_goes),
        cmocka_unit_test(test_lines_of_a_private_key_go),
        cmocka_unit_test(test_what_looks_like_a_secret_goes),
        cmocka_unit_test(test_the_line_is_one_and_printable),
        cmocka_unit_test(test_long_words_are_cut_with_dots_and_without_leaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
