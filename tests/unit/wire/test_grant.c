/* SPDX-License-Identifier: MIT */
/* The requests, line by line, as each provider's documentation shows them. */
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include <cmocka.h>

#include "bearerd-paths.h"
#include "wire/grant.h"
#include "wire_fixture.h"

static const struct grant_inputs inputs = {.wall_now = 1700000000 * USEC_PER_SEC};

static struct http_request build_with(const struct profile_settings *s, struct key_choice choice)
{
    struct grant_inputs in = inputs;
    struct http_request r;
    const char *problem = NULL;
    in.choice = choice;
    assert_int_equal(grant_build(s, &in, &r, &problem), 0);
    assert_ptr_equal(r.url, s->token_url);
    return r;
}

static struct http_request build(const struct profile_settings *s)
{
    return build_with(s, (struct key_choice){0});
}

static void assert_headers(const struct http_request *r, const char *const *lines, size_t n_lines)
{
    assert_int_equal(r->n_headers, n_lines);
    for (size_t i = 0; i < n_lines; i++)
        assert_string_equal(secret_peek(&r->headers[i]), lines[i]);
}

static void add_setting_headers(struct profile_settings *s)
{
    s->headers = calloc(2, sizeof(*s->headers));
    assert_non_null(s->headers);
    s->n_headers = 2;
    fixture_set(&s->headers[0].name, "Merchant-Serial-Number");
    fixture_set(&s->headers[0].value, "123456");
    fixture_set(&s->headers[1].name, "Vipps-System-Name");
    fixture_set(&s->headers[1].value, "acme");
}

static void test_operator_may_name_the_user_agent(void **state)
{
    _cleanup_(profile_settings_done) struct profile_settings s = fixture_vipps();
    unsigned n_agents = 0;
    (void) state;

    add_setting_headers(&s);
    fixture_set(&s.headers[1].name, "user-agent");
    _cleanup_(http_request_done) struct http_request r = build(&s);
    for (size_t i = 0; i < r.n_headers; i++)
        n_agents += strncasecmp(secret_peek(&r.headers[i]), "User-Agent:", 11) == 0;
    assert_int_equal(n_agents, 1);
}

static void test_vipps_sends_keys_as_headers_and_no_body(void **state)
{
    static const char *const lines[] = {
        "Accept: application/json",
        "User-Agent: bearerd/" BEARERD_VERSION,
        "client_id: " FIXTURE_CLIENT_ID,
        "client_secret: " FIXTURE_SECRET,
        "Ocp-Apim-Subscription-Key: " FIXTURE_SUBSCRIPTION_KEY,
        "Merchant-Serial-Number: 123456",
        "Vipps-System-Name: acme",
    };
    _cleanup_(profile_settings_done) struct profile_settings s = fixture_vipps();
    (void) state;

    add_setting_headers(&s);
    _cleanup_(http_request_done) struct http_request r = build(&s);
    assert_headers(&r, lines, ARRAY_SIZE(lines));
    assert_false(secret_is_set(&r.body));
}

/* The '=' of the secret is in the base64 as it is, and no subscription key goes along even when there is one.
 */
static void test_vipps_oauth_is_basic_with_plain_halves(void **state)
{
    static const char *const lines[] = {
        "Accept: application/json",
        "User-Agent: bearerd/" BEARERD_VERSION,
        "Authorization: Basic "
        "ZmI0OTJiNWUtNzkwNy00ZDgzLWJhMjAtYzdmYjYwY2EzNWRlOlk4S3RlZXc2R0UzWm1leWNFdDZlZ2c9PQ==",
        "Content-Type: application/x-www-form-urlencoded",
        "Merchant-Serial-Number: 123456",
        "Vipps-System-Name: acme",
    };
    _cleanup_(profile_settings_done) struct profile_settings s = fixture_vipps();
    (void) state;

    s.provider = PROVIDER_VIPPS_OAUTH;
    add_setting_headers(&s);
    _cleanup_(http_request_done) struct http_request r = build(&s);
    assert_headers(&r, lines, ARRAY_SIZE(lines));
    assert_string_equal(secret_peek(&r.body), "grant_type=client_credentials");
}

/* "the+client:a%2Fb%2Bc%3Dd%3Ae": a colon in a half can only be told apart because it is encoded. */
static void test_oauth2_basic_is_form_encoded_first(void **state)
{
    _cleanup_(profile_settings_done) struct profile_settings s = fixture_oauth2();
    (void) state;

    fixture_set(&s.scope, "payments read");
    fixture_set(&s.audience, "https://api.example/");
    s.resources = calloc(2, sizeof(*s.resources));
    assert_non_null(s.resources);
    s.n_resources = 2;
    fixture_set(&s.resources[0], "https://a.example/");
    fixture_set(&s.resources[1], "urn:b");
    _cleanup_(http_request_done) struct http_request r = build(&s);
    assert_int_equal(r.n_headers, 4);
    assert_string_equal(secret_peek(&r.headers[2]),
                        "Authorization: Basic dGhlK2NsaWVudDphJTJGYiUyQmMlM0RkJTNBZQ==");
    assert_string_equal(
        secret_peek(&r.body),
        "grant_type=client_credentials&scope=payments+read&audience=https%3A%2F%2Fapi.example%2F"
        "&resource=https%3A%2F%2Fa.example%2F&resource=urn%3Ab");
}

static void test_oauth2_post_and_tls(void **state)
{
    _cleanup_(profile_settings_done) struct profile_settings s = fixture_oauth2();
    (void) state;

    s.client_auth = CLIENT_AUTH_POST;
    _cleanup_(http_request_done) struct http_request post = build(&s);
    assert_int_equal(post.n_headers, 3);
    assert_string_equal(secret_peek(&post.body),
                        "grant_type=client_credentials&client_id=the+client&client_secret=a%2Fb%2Bc%3Dd%3Ae");
    s.client_auth = CLIENT_AUTH_TLS;
    _cleanup_(http_request_done) struct http_request tls = build(&s);
    assert_int_equal(tls.n_headers, 3);
    assert_string_equal(secret_peek(&tls.body), "grant_type=client_credentials&client_id=the+client");
}

static void test_oauth2_private_key_jwt(void **state)
{
    static const char start[] =
        "grant_type=client_credentials&client_id=the+client&client_assertion_type="
        "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=eyJ";
    _cleanup_(profile_settings_done) struct profile_settings s = fixture_oauth2();
    EVP_PKEY *key = EVP_EC_gen("P-256");
    BIO *bio = BIO_new(BIO_s_mem());
    char *pem;
    (void) state;

    assert_int_equal(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
    long size = BIO_get_mem_data(bio, &pem);
    assert_int_equal(secret_set(&s.keys[KEY_SIGNING], pem, (size_t) size), 0);
    BIO_free(bio);
    EVP_PKEY_free(key);

    s.client_auth = CLIENT_AUTH_PRIVATE_KEY_JWT;
    s.signing_algorithm = SIGNING_ES256;
    fixture_set(&s.scope, "x");
    _cleanup_(http_request_done) struct http_request r = build(&s);
    assert_int_equal(r.n_headers, 3);
    assert_memory_equal(secret_peek(&r.body), start, sizeof(start) - 1);
    assert_non_null(strstr(secret_peek(&r.body), "&scope=x"));

    struct http_request none = {0};
    const char *problem = NULL;
    s.signing_algorithm = SIGNING_RS256;
    assert_int_equal(grant_build(&s, &inputs, &none, &problem), -EBADMSG);
    assert_string_equal(problem, "RS256 and PS256 need an RSA key");
    assert_int_equal(none.n_headers, 0);
}

static const struct key_choice choices[] = {
    {.is_next_secret = false, .is_secondary_subscription = false},
    {.is_next_secret = true,  .is_secondary_subscription = false},
    {.is_next_secret = false, .is_secondary_subscription = true },
    {.is_next_secret = true,  .is_secondary_subscription = true },
};

/* The keys of the choice are sent, and the others are nowhere in the request. */
static void test_vipps_sends_the_keys_of_the_choice(void **state)
{
    _cleanup_(profile_settings_done) struct profile_settings s = fixture_vipps();
    (void) state;

    fixture_add_second_keys(&s);
    for (size_t i = 0; i < ARRAY_SIZE(choices); i++) {
        _cleanup_(http_request_done) struct http_request r = build_with(&s, choices[i]);
        assert_int_equal(r.n_headers, 5);
        assert_string_equal(secret_peek(&r.headers[3]), choices[i].is_next_secret
                                                            ? "client_secret: " FIXTURE_NEXT_SECRET
                                                            : "client_secret: " FIXTURE_SECRET);
        assert_string_equal(secret_peek(&r.headers[4]),
                            choices[i].is_secondary_subscription
                                ? "Ocp-Apim-Subscription-Key: " FIXTURE_SECONDARY_KEY
                                : "Ocp-Apim-Subscription-Key: " FIXTURE_SUBSCRIPTION_KEY);
        assert_false(secret_is_set(&r.body));
    }
}

/* base64 of "fb492b5e-7907-4d83-ba20-c7fb60ca35de:q0Zb7Rj4XwTnV2sLd9PfMA==", and of the halves encoded. */
static void test_the_next_secret_goes_where_the_first_went(void **state)
{
    const struct key_choice next = {.is_next_secret = true};
    _cleanup_(profile_settings_done) struct profile_settings v = fixture_vipps(), s = fixture_oauth2();
    (void) state;

    fixture_add_second_keys(&v);
    v.provider = PROVIDER_VIPPS_OAUTH;
    _cleanup_(http_request_done) struct http_request plain = build_with(&v, next);
    assert_string_equal(
        secret_peek(&plain.headers[2]),
        "Authorization: Basic "
        "ZmI0OTJiNWUtNzkwNy00ZDgzLWJhMjAtYzdmYjYwY2EzNWRlOnEwWmI3Umo0WHdUblYyc0xkOVBmTUE9PQ==");

    fixture_set_key(&s, KEY_NEXT_CLIENT_SECRET, "n/x=t");
    _cleanup_(http_request_done) struct http_request basic = build_with(&s, next);
    assert_string_equal(secret_peek(&basic.headers[2]), "Authorization: Basic dGhlK2NsaWVudDpuJTJGeCUzRHQ=");
    s.client_auth = CLIENT_AUTH_POST;
    _cleanup_(http_request_done) struct http_request post = build_with(&s, next);
    assert_string_equal(secret_peek(&post.body),
                        "grant_type=client_credentials&client_id=the+client&client_secret=n%2Fx%3Dt");
    _cleanup_(http_request_done) struct http_request first = build(&s);
    assert_non_null(strstr(secret_peek(&first.body), "&client_secret=a%2Fb%2Bc%3Dd%3Ae"));
}

/* Sending the other one instead would prove nothing about the one that was chosen. */
static void test_a_choice_of_a_key_that_is_not_there_is_refused(void **state)
{
    static const enum client_auth auths[] = {CLIENT_AUTH_BASIC, CLIENT_AUTH_POST, CLIENT_AUTH_PRIVATE_KEY_JWT,
                                             CLIENT_AUTH_TLS};
    static const enum provider providers[] = {PROVIDER_VIPPS, PROVIDER_VIPPS_OAUTH, PROVIDER_OAUTH2};
    _cleanup_(profile_settings_done) struct profile_settings s = fixture_vipps();
    (void) state;

    for (size_t i = 0; i < 3 * ARRAY_SIZE(auths) * ARRAY_SIZE(providers); i++) {
        struct grant_inputs in = inputs;
        struct http_request r = {0};
        const char *problem = NULL;
        in.choice = choices[1 + i % 3];
        s.client_auth = auths[i / 3 % ARRAY_SIZE(auths)];
        s.provider = providers[i / 3 / ARRAY_SIZE(auths)];
        assert_int_equal(grant_build(&s, &in, &r, &problem), -EBADMSG);
        assert_string_equal(problem, in.choice.is_next_secret ? "the next client secret is missing"
                                                              : "the secondary subscription key is missing");
        assert_int_equal(r.n_headers, 0);
    }
}

static void test_a_key_that_would_smuggle_a_header_is_refused(void **state)
{
    static const char *const keys[] = {"key\nX-Evil: 1", "key\r", "key\x7f", "\x01"};
    _cleanup_(profile_settings_done) struct profile_settings s = fixture_vipps();
    struct http_request r = {0};
    const char *problem = NULL;
    (void) state;

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        fixture_set_key(&s, KEY_SUBSCRIPTION, keys[i]);
        assert_int_equal(grant_build(&s, &inputs, &r, &problem), -EBADMSG);
        assert_non_null(strstr(problem, "line break"));
        assert_null(strstr(problem, "key\n"));
    }
}

static void test_what_is_missing_or_too_much_is_said(void **state)
{
    _cleanup_(profile_settings_done) struct profile_settings s = fixture_vipps();
    struct http_request r = {0};
    const char *problem = NULL;
    (void) state;

    secret_done(&s.keys[KEY_SUBSCRIPTION]);
    assert_int_equal(grant_build(&s, &inputs, &r, &problem), -EBADMSG);
    assert_string_equal(problem, "the subscription key is missing");
    secret_done(&s.keys[KEY_CLIENT_SECRET]);
    s.provider = PROVIDER_VIPPS_OAUTH;
    assert_int_equal(grant_build(&s, &inputs, &r, &problem), -EBADMSG);
    assert_string_equal(problem, "the client secret is missing");

    fixture_set_key(&s, KEY_CLIENT_SECRET, "x");
    s.headers = calloc(HTTP_HEADERS_MAX, sizeof(*s.headers));
    assert_non_null(s.headers);
    s.n_headers = HTTP_HEADERS_MAX;
    for (size_t i = 0; i < s.n_headers; i++) {
        fixture_set(&s.headers[i].name, "A");
        fixture_set(&s.headers[i].value, "b");
    }
    assert_int_equal(grant_build(&s, &inputs, &r, &problem), -EBADMSG);
    assert_string_equal(problem, "too many headers");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_operator_may_name_the_user_agent),
        cmocka_unit_test(test_vipps_sends_keys_as_headers_and_no_body),
        cmocka_unit_test(test_vipps_oauth_is_basic_with_plain_halves),
        cmocka_unit_test(test_oauth2_basic_is_form_encoded_first),
        cmocka_unit_test(test_oauth2_post_and_tls),
        cmocka_unit_test(test_oauth2_private_key_jwt),
        cmocka_unit_test(test_vipps_sends_the_keys_of_the_choice),
        cmocka_unit_test(test_the_next_secret_goes_where_the_first_went),
        cmocka_unit_test(test_a_choice_of_a_key_that_is_not_there_is_refused),
        cmocka_unit_test(test_a_key_that_would_smuggle_a_header_is_refused),
        cmocka_unit_test(test_what_is_missing_or_too_much_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
