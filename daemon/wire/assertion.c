/* SPDX-License-Identifier: MIT */
#include "wire/assertion.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <string.h>

#include "wire/base64.h"
#include "wire/pem.h"

/* Header or claims, before base64url: mostly the client id and the token URL. */
#define PART_MAX ((size_t) 16384)
/* A signature by RSA with 16384 bits, the most that libcrypto verifies. */
#define SIGNATURE_MAX ((size_t) 2048)
#define RSA_BITS_MIN  2048
#define P256_HALF     32

DEFINE_CLEANUP(EVP_MD_CTX *, md_ctx, EVP_MD_CTX_free)
DEFINE_CLEANUP(ECDSA_SIG *, ecdsa_sig, ECDSA_SIG_free)

static const char *algorithm_name(enum signing_algorithm algorithm)
{
    static const char *const names[] = {
        [SIGNING_RS256] = "RS256",
        [SIGNING_PS256] = "PS256",
        [SIGNING_ES256] = "ES256",
    };
    return names[algorithm];
}

static int fail(const char *problem, const char **ret_problem)
{
    ERR_clear_error();
    *ret_problem = problem;
    return -EBADMSG;
}

/* ---- keys ---- */

static int check_rsa(const EVP_PKEY *key, const char **ret_problem)
{
    if (EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA)
        return fail("RS256 and PS256 need an RSA key", ret_problem);
    if (EVP_PKEY_get_bits(key) < RSA_BITS_MIN)
        return fail("the RSA key has less than 2048 bits", ret_problem);
    return 0;
}

static int check_p256(const EVP_PKEY *key, const char **ret_problem)
{
    char group[64] = "";

    if (EVP_PKEY_get_base_id(key) != EVP_PKEY_EC ||
        EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) != 1 ||
        strcmp(group, SN_X9_62_prime256v1) != 0)
        return fail("ES256 needs an EC key on the curve P-256", ret_problem);
    return 0;
}

static int check_type(const EVP_PKEY *key, enum signing_algorithm algorithm, const char **ret_problem)
{
    switch (algorithm) {
    case SIGNING_RS256:
    case SIGNING_PS256:
        return check_rsa(key, ret_problem);
    case SIGNING_ES256:
        return check_p256(key, ret_problem);
    }
    return fail("unknown signing algorithm", ret_problem);
}

/* ---- signatures ---- */

/* libcrypto's ECDSA signatures are DER; a JWT wants r and s, each filled up with zeros in front (RFC
 * 7518 3.4). */
static bool flatten_ecdsa(unsigned char *signature, size_t *size)
{
    const unsigned char *der = signature;
    _cleanup_(ecdsa_sig_p) ECDSA_SIG *parts = d2i_ECDSA_SIG(NULL, &der, (long) *size);

    if (!parts || BN_bn2binpad(ECDSA_SIG_get0_r(parts), signature, P256_HALF) != P256_HALF ||
        BN_bn2binpad(ECDSA_SIG_get0_s(parts), signature + P256_HALF, P256_HALF) != P256_HALF)
        return false;
    *size = (size_t) 2 * P256_HALF;
    return true;
}

static bool make_signature(EVP_PKEY *key, enum signing_algorithm algorithm, const char *text,
                           size_t text_size, struct buffer *to)
{
    _cleanup_(md_ctx_p) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *options = NULL; /* belongs to ctx */
    unsigned char signature[SIGNATURE_MAX];
    size_t size = sizeof(signature);

    if (!ctx || EVP_DigestSignInit(ctx, &options, EVP_sha256(), NULL, key) != 1)
        return false;
    if (algorithm == SIGNING_PS256 &&
        (EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING) != 1 ||
         EVP_PKEY_CTX_set_rsa_pss_saltlen(options, RSA_PSS_SALTLEN_DIGEST) != 1 ||
         EVP_PKEY_CTX_set_rsa_mgf1_md(options, EVP_sha256()) != 1))
        return false;
    if (EVP_DigestSign(ctx, signature, &size, (const unsigned char *) text, text_size) != 1)
        return false;
    if (algorithm == SIGNING_ES256 && !flatten_ecdsa(signature, &size))
        return false;
    base64url_append(to, signature, size);
    return true;
}

/* Appends the base64url signature of the text. */
static int append_signature(struct buffer *to, const struct secret *pem, enum signing_algorithm algorithm,
                            const struct buffer *text, const char **ret_problem)
{
    _cleanup_(pem_key_p) EVP_PKEY *key = NULL;

    int r = pem_read_key(pem, &key, ret_problem);
    if (r < 0)
        return r;
    r = check_type(key, algorithm, ret_problem);
    if (r < 0)
        return r;
    if (!make_signature(key, algorithm, buffer_peek(text), text->size, to))
        return fail("the key cannot sign", ret_problem);
    return 0;
}

int assertion_key_check(const struct secret *pem, enum signing_algorithm algorithm, const char **ret_problem)
{
    _cleanup_(buffer_done) struct buffer text = BUFFER_INIT(PART_MAX);
    _cleanup_(buffer_done) struct buffer signature = BUFFER_INIT_SECRET(2 * SIGNATURE_MAX);

    buffer_append_string(&text, "a trial");
    int r = append_signature(&signature, pem, algorithm, &text, ret_problem);
    if (r < 0)
        return r;
    return buffer_error(&text) || buffer_error(&signature) ? -ENOMEM : 0;
}

/* ---- the JWT ---- */

/* Settings hold no control characters (core/settings.h). */
static void append_json_string(struct buffer *to, const char *text)
{
    buffer_append_char(to, '"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            buffer_append_char(to, '\\');
        buffer_append_char(to, *text);
    }
    buffer_append_char(to, '"');
}

static void append_header(struct buffer *to, const struct profile_settings *s)
{
    buffer_appendf(to, "{\"alg\":\"%s\",\"typ\":\"JWT\"", algorithm_name(s->signing_algorithm));
    if (s->signing_key_id) {
        buffer_append_string(to, ",\"kid\":");
        append_json_string(to, s->signing_key_id);
    }
    buffer_append_char(to, '}');
}

/* No nbf: it says no more than iat, and is one more time an issuer with a slower clock refuses. */
static void append_claims(struct buffer *to, const struct profile_settings *s, usec_t wall_now,
                          const uint8_t *random)
{
    buffer_append_string(to, "{\"iss\":");
    append_json_string(to, s->client_id);
    buffer_append_string(to, ",\"sub\":");
    append_json_string(to, s->client_id);
    buffer_append_string(to, ",\"aud\":");
    append_json_string(to, s->token_url);
    buffer_appendf(to, ",\"iat\":%" PRIu64 ",\"exp\":%" PRIu64 ",\"jti\":\"", wall_now / USEC_PER_SEC,
                   usec_add(wall_now, ASSERTION_LIFETIME) / USEC_PER_SEC);
    for (size_t i = 0; i < ASSERTION_RANDOM_SIZE; i++)
        buffer_appendf(to, "%02x", random[i]);
    buffer_append_string(to, "\"}");
}

int assertion_append(struct buffer *to, const struct profile_settings *s, usec_t wall_now,
                     const uint8_t random[static ASSERTION_RANDOM_SIZE], const char **ret_problem)
{
    _cleanup_(buffer_done) struct buffer part = BUFFER_INIT(PART_MAX);
    _cleanup_(buffer_done) struct buffer text = BUFFER_INIT(4 * PART_MAX);

    append_header(&part, s);
    base64url_append(&text, buffer_peek(&part), part.size);
    if (buffer_error(&part))
        return buffer_error(&part);
    buffer_reset(&part);
    append_claims(&part, s, wall_now, random);
    buffer_append_char(&text, '.');
    base64url_append(&text, buffer_peek(&part), part.size);
    if (buffer_error(&part) || buffer_error(&text))
        return buffer_error(&part) ? buffer_error(&part) : buffer_error(&text);

    buffer_append(to, buffer_peek(&text), text.size);
    buffer_append_char(to, '.');
    int r = append_signature(to, &s->keys[KEY_SIGNING], s->signing_algorithm, &text, ret_problem);
    return r < 0 ? r : buffer_error(to);
}
