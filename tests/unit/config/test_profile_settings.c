/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "parsed_profile.h"

static void assert_token_url(const char *text, const char *url)
{
    _cleanup_(parsed_done) struct parsed p = parse(text, 0);
    assert_string_equal(p.s.token_url, url);
}

static void test_a_vipps_profile(void **state)
{
    (void) state;
    _cleanup_(parsed_done) struct parsed p = parse("[Profile]\n"
                                                   "Description=Nettbutikk p\xc3\xa5 hj\xc3\xb8rnet\n"
                                                   "Provider=vipps\n"
                                                   "Environment=production\n"
                                                   "Preload=no\n"
                                                   "CAFile=/etc/ca.pem\n"
                                                   "[Keys]\n"
                                                   "ClientID=fb492b5e-7907-4d83-ba20-c7fb60ca35de\n"
                                                   "ClientSecretFile=/k/secret\n"
                                                   "SubscriptionKeyFile=/k/sub\n"
                                                   "APISubscriptionKeyFile=/k/api\n"
                                                   "NextClientSecretFile=/k/next\n"
                                                   "SecondarySubscriptionKeyFile=/k/second\n"
                                                   "[Headers]\n"
                                                   "Merchant-Serial-Number=123456\n"
                                                   "Vipps-System-Name=acme\n"
                                                   "[Refresh]\n"
                                                   "At=80%\n"
                                                   "Jitter=5%\n"
                                                   "RetryMin=500ms\n"
                                                   "RetryMax=1h\n"
                                                   "Timeout=1min 30s\n"
                                                   "[Access]\n"
                                                   "Allow=user:www-data group:shop\n"
                                                   "Allow=user:1234\n",
                                                   0);
    assert_int_equal(p.problems.n_items, 0);
    assert_string_equal(p.s.name, "shop");
    assert_string_equal(p.s.file, "shop.conf");
    assert_string_equal(p.s.description, "Nettbutikk p\xc3\xa5 hj\xc3\xb8rnet");
    assert_int_equal(p.s.provider, PROVIDER_VIPPS);
    assert_string_equal(p.s.environment, "production");
    assert_string_equal(p.s.token_url, "https://api.vipps.no/accesstoken/get");
    assert_string_equal(p.s.ca_file, "/etc/ca.pem");
    assert_string_equal(p.s.key_files[KEY_CLIENT_SECRET], "/k/secret");
    assert_string_equal(p.s.key_files[KEY_SUBSCRIPTION], "/k/sub");
    assert_string_equal(p.s.key_files[KEY_API_SUBSCRIPTION], "/k/api");
    assert_string_equal(p.s.key_files[KEY_NEXT_CLIENT_SECRET], "/k/next");
    assert_string_equal(p.s.key_files[KEY_SECONDARY_SUBSCRIPTION], "/k/second");
    assert_int_equal(p.notes.key_lines[KEY_NEXT_CLIENT_SECRET], 12);
    assert_int_equal(p.notes.key_lines[KEY_SECONDARY_SUBSCRIPTION], 13);
    assert_false(p.s.is_preloaded);
    assert_null(p.s.key_files[KEY_TLS]);
    assert_int_equal(p.s.n_headers, 2);
    assert_string_equal(p.s.headers[1].name, "Vipps-System-Name");
    assert_string_equal(p.s.headers[1].value, "acme");
    assert_int_equal(p.s.refresh.at_percent, 80);
    assert_int_equal(p.s.refresh.jitter_percent, 5);
    assert_int_equal(p.s.refresh.retry_min_for, 500 * USEC_PER_MSEC);
    assert_int_equal(p.s.refresh.retry_max_for, USEC_PER_HOUR);
    assert_int_equal(p.s.refresh.timeout_for, 90 * USEC_PER_SEC);
    assert_int_equal(p.s.allow.n_rules, 3);
    assert_int_equal(p.s.allow.rules[0].id, 33);
    assert_int_equal(p.s.allow.rules[1].kind, ACCESS_GROUP);
    assert_int_equal(p.s.allow.rules[1].id, 1001);
    assert_int_equal(p.s.allow.rules[2].id, 1234);
    assert_string_equal(p.s.allow.rules[2].text, "user:1234");
    assert_true(p.notes.is_provider_known);
    assert_int_equal(p.notes.key_lines[KEY_SUBSCRIPTION], 10);
    assert_int_equal(p.notes.key_lines[KEY_SIGNING], 0);
    assert_int_equal(p.notes.ca_line, 6);
}

static void test_an_oauth2_profile(void **state)
{
    (void) state;
    _cleanup_(parsed_done) struct parsed p = parse("[Profile]\n"
                                                   "Provider=oauth2\n"
                                                   "TokenURL=https://issuer.example/oauth2/token?tenant=1\n"
                                                   "ClientAuth=private-key-jwt\n"
                                                   "Scope=payments read\n"
                                                   "Audience=https://api.example\n"
                                                   "Resource=https://a.example/x\n"
                                                   "Resource=urn:example:b\n"
                                                   "SigningAlgorithm=ES256\n"
                                                   "SigningKeyID=key 1\n"
                                                   "[Keys]\n"
                                                   "ClientID=me\n"
                                                   "SigningKeyFile=/k/sign.pem\n"
                                                   "[Access]\nAllow=any\n",
                                                   0);
    assert_int_equal(p.problems.n_items, 0);
    assert_string_equal(p.s.token_url, "https://issuer.example/oauth2/token?tenant=1");
    assert_int_equal(p.s.client_auth, CLIENT_AUTH_PRIVATE_KEY_JWT);
    assert_string_equal(p.s.scope, "payments read");
    assert_string_equal(p.s.audience, "https://api.example");
    assert_int_equal(p.s.n_resources, 2);
    assert_string_equal(p.s.resources[1], "urn:example:b");
    assert_int_equal(p.s.signing_algorithm, SIGNING_ES256);
    assert_string_equal(p.s.signing_key_id, "key 1");
    assert_string_equal(p.s.key_files[KEY_SIGNING], "/k/sign.pem");
    assert_int_equal(p.s.allow.rules[0].kind, ACCESS_ANY);
}

static void test_defaults(void **state)
{
    (void) state;
    _cleanup_(parsed_done) struct parsed p = parse(OAUTH2, 0);
    assert_int_equal(p.s.client_auth, CLIENT_AUTH_BASIC);
    assert_int_equal(p.s.refresh.at_percent, 50);
    assert_int_equal(p.s.refresh.jitter_percent, 10);
    assert_int_equal(p.s.refresh.retry_min_for, USEC_PER_SEC);
    assert_int_equal(p.s.refresh.retry_max_for, USEC_PER_MIN);
    assert_int_equal(p.s.refresh.timeout_for, 15 * USEC_PER_SEC);
    assert_null(p.s.description);
    /* No Allow= is nobody, and worth a word. */
    assert_int_equal(p.s.allow.n_rules, 0);
    assert_true(has_warning(&p.problems, "shop.conf", "nobody may use"));
}

static void test_where_a_vipps_token_comes_from(void **state)
{
    (void) state;
    assert_token_url(VIPPS, "https://apitest.vipps.no/accesstoken/get");
    assert_token_url("[Profile]\nProvider=vipps\nBaseURL=http://127.0.0.1:8080/\n[Keys]\nClientID=a\n",
                     "http://127.0.0.1:8080/accesstoken/get");
    assert_token_url("[Profile]\nProvider=vipps-oauth\nEnvironment=production\n[Keys]\nClientID=a\n",
                     "https://api.vipps.no/miami/v1/token");
    assert_token_url("[Profile]\nTokenPath=/authentication/v1/token\nBaseURL=https://gw.example/vipps\n"
                     "Provider=vipps-oauth\n[Keys]\nClientID=a\n",
                     "https://gw.example/vipps/authentication/v1/token");
    expect_profile_error(
        "[Profile]\nProvider=vipps\nEnvironment=test\nBaseURL=https://x.example\n[Keys]\nClientID=a\n", 4,
        "instead of Environment= (line 3)");
    expect_profile_error("[Profile]\nProvider=vipps\n[Keys]\nClientID=a\n", 0, "Environment= is missing");
    expect_profile_error("[Profile]\nProvider=vipps\nEnvironment=prod\n[Keys]\nClientID=a\n", 3,
                         "test or production");
    expect_profile_error("[Profile]\nProvider=vipps\nBaseURL=http://api.vipps.no\n[Keys]\nClientID=a\n", 3,
                         "BaseURL= must begin with https://");
    expect_profile_error("[Profile]\nProvider=vipps\nBaseURL=https://x.example?a\n[Keys]\nClientID=a\n", 3,
                         "query");
}

static void test_what_is_required(void **state)
{
    (void) state;
    _cleanup_(parsed_done) struct parsed p = parse("", -EINVAL);
    assert_true(has_error(&p.problems, "shop.conf", "Provider= is missing: vipps, vipps-oauth or oauth2"));
    assert_true(has_error(&p.problems, "shop.conf", "[Keys] ClientID= is missing"));
    assert_int_equal(p.problems.n_errors, 2);
    assert_false(p.notes.is_provider_known);
    expect_profile_error("[Profile]\nProvider=oauth2\n[Keys]\nClientID=a\n", 0, "TokenURL= is missing");
    expect_profile_error("[Profile]\nProvider=paypal\n[Keys]\nClientID=a\n", 2,
                         "vipps, vipps-oauth or oauth2");
    /* A reset takes it away again. */
    expect_profile_error(OAUTH2 "ClientID=\n", 0, "ClientID= is missing");
}

static void test_a_key_of_another_provider_is_not_ignored(void **state)
{
    (void) state;
    expect_profile_error(VIPPS "[Profile]\nTokenURL=https://x.example/\n", VIPPS_LINES + 2,
                         "TokenURL= is not for Provider=vipps, only for oauth2");
    expect_profile_error(VIPPS "[Profile]\nTokenPath=/x\n", VIPPS_LINES + 2, "only for vipps-oauth");
    expect_profile_error(VIPPS "[Profile]\nScope=a\n", VIPPS_LINES + 2, "only for oauth2");
    expect_profile_error(VIPPS "[Profile]\nResource=https://x.example\n", VIPPS_LINES + 2, "only for oauth2");
    expect_profile_error(VIPPS "[Keys]\nSigningKeyFile=/x\n", VIPPS_LINES + 2, "only for oauth2");
    expect_profile_error(OAUTH2 "[Profile]\nEnvironment=test\n", VIPPS_LINES + 2,
                         "Environment= is not for Provider=oauth2, only for vipps or vipps-oauth");
    expect_profile_error(OAUTH2 "[Keys]\nSubscriptionKeyFile=/x\n", VIPPS_LINES + 2, "only for vipps");
    expect_profile_error("[Profile]\nProvider=vipps-oauth\nEnvironment=test\n[Keys]\nClientID=a\n"
                         "APISubscriptionKeyFile=/x\n",
                         6, "only for vipps");
    expect_profile_error(OAUTH2 "SigningKeyFile=/x\n", 6,
                         "SigningKeyFile= is not for ClientAuth=basic, only for private-key-jwt");
    expect_profile_error(OAUTH2 "[Profile]\nSigningAlgorithm=RS256\n", 7, "only for private-key-jwt");
    expect_profile_error(OAUTH2 "ClientSecretFile=/x\n[Profile]\nClientAuth=private-key-jwt\n", 6,
                         "only for basic or post");
    expect_profile_error(OAUTH2 "SecondarySubscriptionKeyFile=/x\n", 6, "only for vipps");
    expect_profile_error("[Profile]\nProvider=vipps-oauth\nEnvironment=test\n[Keys]\nClientID=a\n"
                         "NextClientSecretFile=/x\nSecondarySubscriptionKeyFile=/x\n",
                         7, "only for vipps");
    expect_profile_error(OAUTH2 "NextClientSecretFile=/x\n[Profile]\nClientAuth=private-key-jwt\n", 6,
                         "only for basic or post");
}

static void test_tls_authentication(void **state)
{
    (void) state;
    _cleanup_(parsed_done) struct parsed p =
        parse(OAUTH2 "TLSKeyFile=/k\n[Profile]\nClientAuth=tls\nTLSCertificateFile=/c\n", 0);
    assert_string_equal(p.s.tls_certificate_file, "/c");
    assert_int_equal(p.notes.certificate_line, 9);
    expect_profile_error(OAUTH2 "[Profile]\nClientAuth=tls\n", 7, "needs TLSCertificateFile=");
    expect_profile_error("[Profile]\nProvider=oauth2\nTokenURL=http://localhost/t\nClientAuth=tls\n"
                         "TLSCertificateFile=/c\n[Keys]\nClientID=a\n",
                         4, "needs an https:// TokenURL=");
}

static void test_a_secret_has_no_place_here(void **state)
{
    (void) state;
    static const char *const lines[] = {
        "[Keys]\nClientSecret=hunter2\n",
        "[Profile]\nSubscriptionKey=hunter2\n",
        "[Keys]\nclientsecret=hunter2\n",
        "[Headers]\nClientSecret=hunter2\n",
        "[Headers]\nclient_secret=hunter2\n",
        "[Keys]\nSigningKey=hunter2\n",
        "[Keys]\nNextClientSecret=hunter2\n",
        "[Profile]\nsecondarysubscriptionkey=hunter2\n",
        "[Headers]\nAuthorization=hunter2\n",
        "[Keys]\nClientSecretFile=hunter2\n",
        "[Keys]\nhunter2\n",
        "[Keys]\nhunter2longbase64text==\n",
        "[Keys]\nhunter2=\n",
        "[Profile]\nTokenURL=hunter2\n",
        "[Profile]\nBaseURL=https://u:hunter2@x.example/\n",
        "[Keys]\nhunter2longbase64text=\n",
        "[Keys]\nhunter2==\n",
    };
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        char text[256];
        (void) snprintf(text, sizeof(text), "%s%s", VIPPS, lines[i]);
        _cleanup_(parsed_done) struct parsed p = parse(text, -EINVAL);
        /* The shortest unknown word is shown as a key: it is no secret. */
        if (!strstr(lines[i], "\nhunter2=\n") && !fixture_never_says(&p.problems, "hunter2"))
            fail_msg("the secret of line %zu is told", i);
    }
    expect_profile_error(VIPPS "ClientSecret=hunter2\n", 6,
                         "ClientSecretFile=, or pass it as the credential");
    expect_profile_error(VIPPS "ClientSecret=\n", 6, "ClientSecretFile=");
    expect_profile_error(VIPPS "NextClientSecret=hunter2\n", 6,
                         "NextClientSecretFile=, or pass it as the credential NAME.next-client-secret");
    expect_profile_error(VIPPS "SecondarySubscriptionKey=hunter2\n", 6, "NAME.secondary-subscription-key");
    _cleanup_(parsed_done) struct parsed p = parse(VIPPS "TLSKey=x\nClientSecretFile=x\n", -EINVAL);
    assert_true(p.notes.is_key_refused[KEY_TLS]);
    assert_true(p.notes.is_key_refused[KEY_CLIENT_SECRET]);
    assert_false(p.notes.is_key_refused[KEY_SUBSCRIPTION]);
}

static void test_unknown_keys_and_what_was_meant(void **state)
{
    (void) state;
    expect_profile_error(VIPPS "[Refresh]\nTimout=3s\n", 7, "did you mean Timeout=?");
    expect_profile_error(VIPPS "[Profile]\nClientSecretFile=/x\n", 7, "belongs in [Keys], not in [Profile]");
    expect_profile_error(VIPPS "[Acess]\nAllow=any\n", 6, "unknown section [Acess]; did you mean [Access]?");
    expect_profile_error(VIPPS "[Profile]\nIdle=1h\n", 7, "unknown key Idle=");
    expect_profile_error(VIPPS "[Keys]\nSecondSubscriptionKeyFile=/x\n", 7,
                         "did you mean SecondarySubscriptionKeyFile=?");
    expect_profile_error(VIPPS "ClientID=again\n", 6, "set twice; first in line 5");
}

static void test_access_rules(void **state)
{
    (void) state;
    expect_profile_error(VIPPS "[Access]\nAllow=unit:shop\n", 7, "write unit:NAME.service");
    expect_profile_error(VIPPS "[Access]\nAllow=unit:\n", 7, "Allow= has a unit: without a name");
    expect_profile_error(VIPPS "[Access]\nAllow=unit:system.slice/shop.service\n", 7, "slash");
    expect_profile_error(VIPPS "[Access]\nAllow=user:\n", 7, "without a name");
    expect_profile_error(VIPPS "[Access]\nAllow=user:4294967295\n", 7, "cannot be one");
    expect_profile_error(VIPPS "[Access]\nAllow=user:007\n", 7, "cannot be one");
    expect_profile_error(VIPPS "[Access]\nAllow=group:www-data\n", 7,
                         "the group \"www-data\", which does not exist");
    expect_profile_error(VIPPS "[Access]\nAllow=user:www-data,user:root\n", 7, "does not exist");
    expect_profile_error(VIPPS "[Access]\nAllow=www-data\n", 7, "or any");
    _cleanup_(parsed_done) struct parsed p =
        parse(VIPPS "[Access]\nAllow=any\nAllow=\nAllow=user:1 \t user:2\n", 0);
    assert_int_equal(p.s.allow.n_rules, 2);
    assert_int_equal(p.s.allow.rules[0].id, 1);
    _cleanup_(parsed_done) struct parsed u =
        parse(VIPPS "[Access]\nAllow=unit:shop-*.service user:1\nAllow=unit:a\\x2db.scope\n", 0);
    assert_int_equal(u.s.allow.n_rules, 3);
    assert_int_equal(u.s.allow.rules[0].kind, ACCESS_UNIT);
    assert_string_equal(u.s.allow.rules[0].text, "unit:shop-*.service");
    assert_ptr_equal(u.s.allow.rules[0].unit, u.s.allow.rules[0].text + strlen("unit:"));
    assert_string_equal(u.s.allow.rules[2].unit, "a\\x2db.scope");
    /* Emptied for good: nobody, not anybody. */
    _cleanup_(parsed_done) struct parsed q = parse(VIPPS "[Access]\nAllow=any\nAllow=\n", 0);
    assert_int_equal(q.s.allow.n_rules, 0);
    assert_true(has_warning(&q.problems, "shop.conf", "nobody may use"));
    _cleanup_(parsed_done) struct parsed bad = parse(VIPPS "[Access]\nAllow=user:1 user:x\n", -EINVAL);
    assert_false(bad.notes.is_access_known);
}

static void test_headers(void **state)
{
    (void) state;
    expect_profile_error(VIPPS "[Headers]\nHOST=x\n", 7, "must not have Host");
    expect_profile_error(VIPPS "[Headers]\nocp-apim-subscription-key=x\n", 7, "SubscriptionKeyFile=");
    expect_profile_error(VIPPS "[Headers]\nContent-length=0\n", 7, "must not have Content-Length");
    expect_profile_error(VIPPS "[Headers]\nX Y=1\n", 7, "header name");
    expect_profile_error(VIPPS "[Headers]\nX:Y=1\n", 7, "header name");
    expect_profile_error(VIPPS "[Headers]\nX-Y=bl\xc3\xa5\n", 7, "printable ASCII");
    expect_profile_error(VIPPS "[Headers]\nX-Y=a\tb\n", 7, "printable ASCII");
    expect_profile_error(VIPPS "[Headers]\nX-A=1\nX-B=1\nx-a=2\n", 9, "X-A is set twice; first in line 7");
    expect_profile_error(VIPPS "[Headers]\nVipps-System-Name=0123456789012345678901234567890\n", 7,
                         "at most 30 characters for Vipps; this is 31");
    _cleanup_(parsed_done) struct parsed p =
        parse(VIPPS "[Headers]\nX-A=1\nX-B=2\nX-C=3\nx-b=\nX-B=9\n"
                    "Vipps-System-Version=012345678901234567890123456789\n"
                    "Merchant-Serial-Number=12345678\n",
              0);
    assert_int_equal(p.s.n_headers, 5);
    assert_string_equal(p.s.headers[1].name, "X-C");
    assert_string_equal(p.s.headers[2].value, "9");
}

static void test_there_are_at_most_twenty_headers(void **state)
{
    (void) state;
    char text[1024] = VIPPS "[Headers]\n";
    for (int i = 1; i <= PROFILE_HEADERS_MAX; i++) {
        size_t size = strlen(text);
        (void) snprintf(text + size, sizeof(text) - size, "X-%d=v\n", i);
    }
    _cleanup_(parsed_done) struct parsed p = parse(text, 0);
    assert_int_equal(p.s.n_headers, PROFILE_HEADERS_MAX);
    size_t size = strlen(text);
    (void) snprintf(text + size, sizeof(text) - size, "X-0=v\n");
    expect_profile_error(text, 27, "at most 20 headers");
}

static void test_other_bad_values(void **state)
{
    (void) state;
    expect_profile_error(OAUTH2 "[Profile]\nScope=a  b\n", 7, "single spaces");
    expect_profile_error(OAUTH2 "[Profile]\nScope=\"a b\"\n", 7, "without \"");
    expect_profile_error(OAUTH2 "[Profile]\nResource=no-scheme\n", 7, "absolute URI");
    expect_profile_error(OAUTH2 "[Profile]\nResource=https://x.example/#f\n", 7, "without a fragment");
    expect_profile_error(OAUTH2 "[Profile]\nClientAuth=Basic\n", 7, "basic, post, private-key-jwt or tls");
    expect_profile_error(OAUTH2 "[Profile]\nCAFile=ca.pem\n", 7, "absolute path");
    expect_profile_error(OAUTH2 "[Profile]\nDescription=a\tb\n", 7, "a text of at most 256 bytes");
}

static void test_odd_forms_are_warnings(void **state)
{
    (void) state;
    _cleanup_(parsed_done) struct parsed p = parse("[Profile]\nProvider=vipps\nEnvironment=test\n[Keys]\n"
                                                   "ClientID=0123456789abcdef0123456789ABCDEF\n"
                                                   "[Headers]\nMerchant-Serial-Number=12x\nX-A=\"quoted\"\n"
                                                   "X-B=Bearer abc\nTimeout=5s\n",
                                                   0);
    assert_true(has_warning(&p.problems, "shop.conf:5", "looks like a subscription key"));
    assert_true(has_warning(&p.problems, "shop.conf:7", "4 or more digits"));
    assert_true(has_warning(&p.problems, "shop.conf:8", "quotes"));
    assert_true(has_warning(&p.problems, "shop.conf:9", "looks like a credential"));
    assert_true(has_warning(&p.problems, "shop.conf:10", "belongs in [Refresh]"));
}

static void test_all_problems_in_one_run(void **state)
{
    (void) state;
    _cleanup_(parsed_done) struct parsed p =
        parse("[Profile]\nDescription=Shop\nProvider=vipps\nEnvironment=x\n"
              "TokenURL=http://evil.example/\nnonsense\n[Keys]\nClientSecret=s\n"
              "[Refresh]\nAt=0%\n[Access]\nAllow=user:1\n[Junk]\nA=1\n",
              -EINVAL);
    assert_true(has_error(&p.problems, "shop.conf:4", "Environment="));
    assert_true(has_error(&p.problems, "shop.conf:5", "https://"));
    assert_true(has_error(&p.problems, "shop.conf:5", "not for Provider=vipps"));
    assert_true(has_error(&p.problems, "shop.conf:6", "neither"));
    assert_true(has_error(&p.problems, "shop.conf:8", "ClientSecretFile="));
    assert_true(has_error(&p.problems, "shop.conf:10", "At="));
    assert_true(has_error(&p.problems, "shop.conf:13", "unknown section [Junk]"));
    assert_true(has_error(&p.problems, "shop.conf", "ClientID= is missing"));
    assert_int_equal(p.problems.n_errors, 8);
    /* And what can be shown of it is there. */
    assert_string_equal(p.s.description, "Shop");
    assert_true(p.notes.is_provider_known && p.notes.is_access_known);
    assert_int_equal(p.s.allow.n_rules, 1);
}

static void test_names_of_profiles(void **state)
{
    (void) state;
    char name[PROFILE_NAME_MAX + 2];

    assert_true(profile_name_is_valid("shop"));
    assert_true(profile_name_is_valid("0.a_b-c"));
    static const char *const bad[] = {"",      ".shop",  "-shop",       "_shop", "Shop",
                                      "sh op", "shop/x", "sh\xc3\xb8p", "a\n"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_false(profile_name_is_valid(bad[i]));
    memset(name, 'a', sizeof(name));
    name[PROFILE_NAME_MAX] = '\0';
    assert_true(profile_name_is_valid(name));
    name[PROFILE_NAME_MAX] = 'a';
    name[PROFILE_NAME_MAX + 1] = '\0';
    assert_false(profile_name_is_valid(name));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_vipps_profile),
        cmocka_unit_test(test_an_oauth2_profile),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_where_a_vipps_token_comes_from),
        cmocka_unit_test(test_what_is_required),
        cmocka_unit_test(test_a_key_of_another_provider_is_not_ignored),
        cmocka_unit_test(test_tls_authentication),
        cmocka_unit_test(test_a_secret_has_no_place_here),
        cmocka_unit_test(test_unknown_keys_and_what_was_meant),
        cmocka_unit_test(test_access_rules),
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_there_are_at_most_twenty_headers),
        cmocka_unit_test(test_other_bad_values),
        cmocka_unit_test(test_odd_forms_are_warnings),
        cmocka_unit_test(test_all_problems_in_one_run),
        cmocka_unit_test(test_names_of_profiles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
