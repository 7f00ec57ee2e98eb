/* SPDX-License-Identifier: MIT */
/* Client assertions and the keys they are made with; keys are generated here, signatures are verified by
 * libcrypto. */
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "wire/assertion.h"
#include "wire/base64.h"
#include "wire/json_read.h"
#include "wire/pem.h"
#include "wire_fixture.h"

#define WALL_NOW (1700000000 * USEC_PER_SEC + 999999)

static EVP_PKEY *rsa2048, *rsa1024, *p256, *p384;

static int make_keys(void **state)
{
    (void) state;
    rsa2048 = EVP_RSA_gen(2048);
    rsa1024 = EVP_RSA_gen(1024);
    p256 = EVP_EC_gen("P-256");
    p384 = EVP_EC_gen("P-384");
    return rsa2048 && rsa1024 && p256 && p384 ? 0 : -1;
}

static int free_keys(void **state)
{
    (void) state;
    EVP_PKEY_free(rsa2048);
    EVP_PKEY_free(rsa1024);
    EVP_PKEY_free(p256);
    EVP_PKEY_free(p384);
    return 0;
}

static void take_pem(BIO *bio, struct secret *to)
{
    char *text;
    long size = BIO_get_mem_data(bio, &text);
    assert_true(size > 0);
    assert_int_equal(secret_set(to, text, (size_t) size), 0);
    BIO_free(bio);
}

static void write_key(EVP_PKEY *key, const char *passphrase, struct secret *to)
{
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PrivateKey(bio, key, passphrase ? EVP_aes_128_cbc() : NULL, NULL, 0, NULL,
                                              (void *) (uintptr_t) passphrase),
                     1);
    take_pem(bio, to);
}

/* A self-signed certificate of that key which ends at that moment. */
static void write_certificate(EVP_PKEY *key, time_t ends_at, struct secret *to)
{
    X509 *c = X509_new();
    assert_non_null(ASN1_TIME_set(X509_getm_notBefore(c), 0));
    assert_non_null(ASN1_TIME_set(X509_getm_notAfter(c), ends_at));
    assert_int_equal(X509_set_pubkey(c, key), 1);
    assert_true(X509_sign(c, key, EVP_sha256()) > 0);
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_X509(bio, c), 1);
    take_pem(bio, to);
    X509_free(c);
}

static struct profile_settings signer(EVP_PKEY *key, enum signing_algorithm algorithm)
{
    struct profile_settings s = fixture_oauth2();
    s.client_auth = CLIENT_AUTH_PRIVATE_KEY_JWT;
    s.signing_algorithm = algorithm;
    write_key(key, NULL, &s.keys[KEY_SIGNING]);
    return s;
}

/* The parts of a JWT: header and claims decoded, the signature decoded, and where the signed text ends. */
struct parts {
    struct buffer header, claims, signature;
    size_t signed_size;
};

static void parts_done(struct parts *p)
{
    buffer_done(&p->header);
    buffer_done(&p->claims);
    buffer_done(&p->signature);
}

static struct parts split(const struct buffer *jwt)
{
    struct parts p = {BUFFER_INIT(4096), BUFFER_INIT(4096), BUFFER_INIT(4096), 0};
    const char *text = buffer_peek(jwt), *dot = strchr(text, '.'), *dot2 = strrchr(text, '.');
    assert_true(dot && dot2 > dot);
    assert_int_equal(base64url_append_decoded(&p.header, text, (size_t) (dot - text)), 0);
    assert_int_equal(base64url_append_decoded(&p.claims, dot + 1, (size_t) (dot2 - dot - 1)), 0);
    assert_int_equal(base64url_append_decoded(&p.signature, dot2 + 1, strlen(dot2 + 1)), 0);
    p.signed_size = (size_t) (dot2 - text);
    return p;
}

/* What a verifier that knows only the algorithm's definition says; r||s is made DER again for ES256. */
static bool verifies(EVP_PKEY *key, enum signing_algorithm algorithm, const struct buffer *jwt)
{
    _cleanup_(parts_done) struct parts p = split(jwt);
    unsigned char *der = NULL;
    const unsigned char *signature = (const unsigned char *) buffer_peek(&p.signature);
    size_t size = p.signature.size;

    if (algorithm == SIGNING_ES256) {
        assert_int_equal(size, 64);
        ECDSA_SIG *sig = ECDSA_SIG_new();
        assert_int_equal(
            ECDSA_SIG_set0(sig, BN_bin2bn(signature, 32, NULL), BN_bin2bn(signature + 32, 32, NULL)), 1);
        size = (size_t) i2d_ECDSA_SIG(sig, &der);
        ECDSA_SIG_free(sig);
        signature = der;
    }
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *options;
    assert_int_equal(EVP_DigestVerifyInit(ctx, &options, EVP_sha256(), NULL, key), 1);
    if (algorithm == SIGNING_PS256) {
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(options, 32), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_mgf1_md(options, EVP_sha256()), 1);
    }
    bool ok =
        EVP_DigestVerify(ctx, signature, size, (const unsigned char *) buffer_peek(jwt), p.signed_size) == 1;
    EVP_MD_CTX_free(ctx);
    OPENSSL_free(der);
    return ok;
}

static void test_signatures_verify(void **state)
{
    static const uint8_t random[ASSERTION_RANDOM_SIZE] = {1};
    const struct {
        enum signing_algorithm algorithm;
        EVP_PKEY *key;
    } cases[] = {
        {SIGNING_RS256, rsa2048},
        {SIGNING_PS256, rsa2048},
        {SIGNING_ES256, p256   }
    };
    (void) state;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        /* Often enough to meet an r or s with a zero in front, once in 128 signatures. */
        _cleanup_(profile_settings_done) struct profile_settings s = signer(cases[i].key, cases[i].algorithm);
        for (unsigned n = 0; n < (cases[i].algorithm == SIGNING_ES256 ? 600 : 2); n++) {
            _cleanup_(buffer_done) struct buffer jwt = BUFFER_INIT_SECRET(8192);
            const char *problem = NULL;
            assert_int_equal(assertion_append(&jwt, &s, WALL_NOW, random, &problem), 0);
            assert_true(verifies(cases[i].key, cases[i].algorithm, &jwt));
            jwt.data[4] ^= 1;
            assert_false(verifies(cases[i].key, cases[i].algorithm, &jwt));
        }
    }
}

static void test_header_and_claims(void **state)
{
    _cleanup_(profile_settings_done) struct profile_settings s = signer(p256, SIGNING_ES256);
    uint8_t random[ASSERTION_RANDOM_SIZE];
    const char *problem = NULL;
    (void) state;

    for (size_t i = 0; i < sizeof(random); i++)
        random[i] = (uint8_t) (i * 17);
    for (unsigned has_key_id = 0; has_key_id < 2; has_key_id++) {
        _cleanup_(buffer_done) struct buffer jwt = BUFFER_INIT_SECRET(8192);
        fixture_set(&s.signing_key_id, has_key_id ? "k\"1\\" : NULL);
        assert_int_equal(assertion_append(&jwt, &s, WALL_NOW, random, &problem), 0);
        _cleanup_(parts_done) struct parts p = split(&jwt);
        assert_string_equal(buffer_peek(&p.header),
                            has_key_id ? "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"k\\\"1\\\\\"}"
                                       : "{\"alg\":\"ES256\",\"typ\":\"JWT\"}");
        assert_string_equal(
            buffer_peek(&p.claims),
            "{\"iss\":\"the client\",\"sub\":\"the client\","
            "\"aud\":\"https://issuer.example/oauth2/token\",\"iat\":1700000000,\"exp\":1700000060,"
            "\"jti\":\"00112233445566778899aabbccddeeff\"}");
        struct json_member none;
        assert_int_equal(json_read_object(buffer_peek(&p.header), p.header.size, &none, 0), JSON_READ);
    }
}

static void test_a_wrong_key_is_found_by_the_check(void **state)
{
    const struct {
        EVP_PKEY *key;
        enum signing_algorithm algorithm;
        const char *problem; /* NULL: fits */
    } cases[] = {
        {rsa2048, SIGNING_RS256, NULL                                      },
        {rsa2048, SIGNING_PS256, NULL                                      },
        {p256,    SIGNING_ES256, NULL                                      },
        {rsa1024, SIGNING_RS256, "the RSA key has less than 2048 bits"     },
        {rsa1024, SIGNING_PS256, "the RSA key has less than 2048 bits"     },
        {p256,    SIGNING_RS256, "RS256 and PS256 need an RSA key"         },
        {p256,    SIGNING_PS256, "RS256 and PS256 need an RSA key"         },
        {rsa2048, SIGNING_ES256, "ES256 needs an EC key on the curve P-256"},
        {p384,    SIGNING_ES256, "ES256 needs an EC key on the curve P-256"},
    };
    (void) state;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_(secret_done) struct secret pem = SECRET_INIT;
        const char *problem = NULL;
        write_key(cases[i].key, NULL, &pem);
        int r = assertion_key_check(&pem, cases[i].algorithm, &problem);
        assert_int_equal(r, cases[i].problem ? -EBADMSG : 0);
        if (cases[i].problem)
            assert_string_equal(problem, cases[i].problem);
    }
}

/* The forms that openssl writes by default differ: PKCS #8, PKCS #1, SEC 1 with its parameters in front. */
static void test_traditional_forms_are_read(void **state)
{
    _cleanup_(secret_done) struct secret pem = SECRET_INIT;
    const char *problem = NULL;
    (void) state;

    BIO *bio = BIO_new(BIO_s_mem());
    assert_true(
        BIO_puts(bio, "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n") > 0);
    assert_int_equal(PEM_write_bio_PrivateKey_traditional(bio, p256, NULL, NULL, 0, NULL, NULL), 1);
    take_pem(bio, &pem);
    assert_int_equal(assertion_key_check(&pem, SIGNING_ES256, &problem), 0);

    bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PrivateKey_traditional(bio, rsa2048, NULL, NULL, 0, NULL, NULL), 1);
    take_pem(bio, &pem);
    assert_int_equal(assertion_key_check(&pem, SIGNING_RS256, &problem), 0);
}

static void test_what_is_no_key(void **state)
{
    _cleanup_(secret_done) struct secret pem = SECRET_INIT;
    const char *problem = NULL;
    (void) state;

    static const char *const texts[] = {"", "x",
                                        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
                                        "-----BEGIN CERTIFICATE-----\n"};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        assert_int_equal(secret_set(&pem, texts[i], strlen(texts[i])), 0);
        assert_int_equal(assertion_key_check(&pem, SIGNING_RS256, &problem), -EBADMSG);
        assert_string_equal(problem, "no private key in PEM form");
    }
    write_key(rsa2048, "passphrase", &pem);
    assert_int_equal(assertion_key_check(&pem, SIGNING_RS256, &problem), -EBADMSG);
    assert_string_equal(problem, "the key is encrypted with a passphrase; store it without one");
}

static void test_a_client_certificate_and_its_key(void **state)
{
    _cleanup_(secret_done) struct secret certificate = SECRET_INIT, key = SECRET_INIT, other = SECRET_INIT;
    usec_t ends_at = 0;
    const char *problem = NULL;
    (void) state;

    write_certificate(p256, 1700000000, &certificate);
    write_key(p256, NULL, &key);
    write_key(rsa2048, NULL, &other);
    assert_int_equal(tls_key_check(&certificate, &key, &ends_at, &problem), 0);
    assert_true(ends_at == 1700000000 * USEC_PER_SEC);

    assert_int_equal(tls_key_check(&certificate, &other, &ends_at, &problem), -EBADMSG);
    assert_string_equal(problem, "the private key does not belong to the certificate");
    assert_int_equal(tls_key_check(&key, &key, &ends_at, &problem), -EBADMSG);
    assert_string_equal(problem, "no certificate in PEM form");
    assert_int_equal(tls_key_check(&certificate, &certificate, &ends_at, &problem), -EBADMSG);
    assert_string_equal(problem, "no private key in PEM form");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_signatures_verify),
        cmocka_unit_test(test_header_and_claims),
        cmocka_unit_test(test_a_wrong_key_is_found_by_the_check),
        cmocka_unit_test(test_traditional_forms_are_read),
        cmocka_unit_test(test_what_is_no_key),
        cmocka_unit_test(test_a_client_certificate_and_its_key),
    };
    return cmocka_run_group_tests(tests, make_keys, free_keys);
}
