/* SPDX-License-Identifier: MIT */
/*
 * No copy of a token or key is left behind on the heap. This program has a malloc of its own under all
 * libraries: every block that is freed, or left behind by a realloc, is searched for canaries first.
 */
#include <errno.h>
#include <malloc.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "../valgrind.h"
#include "wire/grant.h"
#include "wire/token_response.h"
#include "wire_fixture.h"

/* A sanitizer has its own malloc; the other builds run this. */
#if defined(__SANITIZE_ADDRESS__)
#define HAS_OWN_MALLOC 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer) || __has_feature(thread_sanitizer)
#define HAS_OWN_MALLOC 0
#endif
#endif
#ifndef HAS_OWN_MALLOC
#define HAS_OWN_MALLOC 1
#endif

#define N_CANARIES  8
#define CANARY_SIZE 8

static char canaries[N_CANARIES][CANARY_SIZE];
static size_t n_canaries;
static volatile size_t n_found;

#if HAS_OWN_MALLOC
extern void *__libc_malloc(size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void __libc_free(void *block);

static void search(const void *block)
{
    size_t size = malloc_usable_size((void *) (uintptr_t) block);
    for (size_t i = 0; i < n_canaries; i++) {
        if (memmem(block, size, canaries[i], CANARY_SIZE))
            n_found++;
    }
}

void free(void *block)
{
    if (block)
        search(block);
    __libc_free(block);
}

/* Always moves, so that a block that grows is seen as what it is: a copy and a freed original. */
void *realloc(void *block, size_t size)
{
    if (!block)
        return __libc_malloc(size);
    size_t old_size = malloc_usable_size(block);
    void *copy = __libc_malloc(size);
    if (copy) {
        memcpy(copy, block, old_size < size ? old_size : size);
        free(block);
    }
    return copy;
}
#endif

/*
 * libcrypto leaves the DER of a private key behind in blocks it frees; the daemon gives it an allocator that
 * wipes (host/wiping_allocator), and so does this program.
 */
static void *openssl_malloc(size_t size, const char *file, int line)
{
    (void) file;
    (void) line;
    return malloc(size);
}

static void openssl_free(void *block, const char *file, int line)
{
    (void) file;
    (void) line;
    if (block)
        explicit_bzero(block, malloc_usable_size(block));
    free(block);
}

static void *openssl_realloc(void *block, size_t size, const char *file, int line)
{
    if (!block)
        return malloc(size);
    size_t old_size = malloc_usable_size(block);
    void *copy = size > 0 ? malloc(size) : NULL;
    if (copy)
        memcpy(copy, block, old_size < size ? old_size : size);
    if (copy || size == 0)
        openssl_free(block, file, line);
    return copy;
}

static void watch_for_bytes(const unsigned char *bytes)
{
    assert_true(n_canaries < N_CANARIES);
    memcpy(canaries[n_canaries++], bytes, CANARY_SIZE);
}

static void watch_for(const char *text)
{
    assert_true(strlen(text) >= CANARY_SIZE);
    watch_for_bytes((const unsigned char *) text);
}

static int reset(void **state)
{
    (void) state;
    n_canaries = 0;
    n_found = 0;
    explicit_bzero(canaries, sizeof(canaries));
    return 0;
}

/* Under valgrind its malloc stands before ours. */
static bool has_net(void)
{
    return HAS_OWN_MALLOC && !is_under_valgrind();
}

/* The net itself: it must catch what it is there for. */
static void test_a_careless_copy_is_noticed(void **state)
{
    (void) state;
    if (!has_net()) {
        print_message("skipped: a sanitizer or valgrind has a malloc of its own\n");
        skip();
    }
    watch_for("CANARYtoken");
    char *copy = strdup("xx CANARYtoken");
    assert_non_null(copy);
    free(copy);
    assert_int_equal(n_found, 1);
    copy = realloc(strdup("xx CANARYtoken"), 64);
    assert_int_equal(n_found, 2);
    explicit_bzero(copy, 64);
    free(copy);
    assert_int_equal(n_found, 2);
    json_object_put(json_object_new_string("xx CANARYtoken")); /* and what libraries free */
    assert_int_equal(n_found, 3);
}

#define CANARY_TOKEN "Qx7kCANARYtoken9vZ"

static const char *const token_bodies[] = {
    "{\"token_type\":\"Bearer\",\"expires_in\":\"3600\",\"access_token\":\"" CANARY_TOKEN "\"}",
    "{\"access_token\":\"" CANARY_TOKEN "\",\"token_type\":\"Bearer\",\"expires_in\":\"3600\",",
    "{\"access_token\":\"" CANARY_TOKEN "\",\"access_token\":\"" CANARY_TOKEN "\"}",
    "{\"access_token\":\"" CANARY_TOKEN "\",\"token_type\":\"mac\",\"expires_in\":3600}",
    "{\"access_token\":\"" CANARY_TOKEN "\",\"token_type\":\"Bearer\",\"expires_in\":1}",
    "{\"access_token\":\"" CANARY_TOKEN " \",\"token_type\":\"Bearer\",\"expires_in\":3600}",
    "{\"" CANARY_TOKEN "\":{\"" CANARY_TOKEN "\":[\"" CANARY_TOKEN "\"]}}",
    "{\"message\":\"you sent " CANARY_TOKEN "\"}",
    "you sent " CANARY_TOKEN,
    "e30." CANARY_TOKEN ".x",
};

static void test_answers_leave_nothing(void **state)
{
    static const int statuses[] = {200, 400, 401, 500};
    _cleanup_(profile_settings_done) struct profile_settings s = fixture_vipps();
    (void) state;

    watch_for(CANARY_TOKEN);
    watch_for(FIXTURE_SECRET);
    watch_for(FIXTURE_SUBSCRIPTION_KEY);
    watch_for("WThLdGVldzZHRT"); /* base64 of the secret */
    fixture_add_second_keys(&s);
    watch_for(FIXTURE_NEXT_SECRET);
    watch_for(FIXTURE_SECONDARY_KEY);
    watch_for("cTBaYjdSajRYd1"); /* base64 of the next secret */
    for (size_t i = 0; i < ARRAY_SIZE(token_bodies) * ARRAY_SIZE(statuses); i++) {
        size_t before = n_found;
        struct token_response r;
        struct http_answer a =
            fixture_answer(statuses[i % ARRAY_SIZE(statuses)], "", token_bodies[i / ARRAY_SIZE(statuses)]);
        const struct asked asked = {
            .settings = &s, .now = 1002 * USEC_PER_SEC, .wall_now = 1700000000 * USEC_PER_SEC};
        token_response_read(&asked, &a, &r);
        assert_int_equal(r.is_token, i == 0);
        token_response_done(&r);
        http_answer_done(&a);
        assert_int_equal(n_found, before);
    }
}

static void test_requests_leave_nothing(void **state)
{
    struct grant_inputs inputs = {.wall_now = 1700000000 * USEC_PER_SEC};
    static const enum client_auth auths[] = {CLIENT_AUTH_BASIC, CLIENT_AUTH_POST, CLIENT_AUTH_TLS};
    static const enum provider providers[] = {PROVIDER_VIPPS, PROVIDER_VIPPS_OAUTH, PROVIDER_OAUTH2};
    _cleanup_(profile_settings_done) struct profile_settings s = fixture_vipps();
    (void) state;

    watch_for(FIXTURE_SECRET);
    watch_for(FIXTURE_SUBSCRIPTION_KEY);
    watch_for("Olk4S3RlZXc2R0U"); /* in the base64 of id and secret */
    fixture_add_second_keys(&s);
    watch_for(FIXTURE_NEXT_SECRET);
    watch_for(FIXTURE_SECONDARY_KEY);
    watch_for("OnEwWmI3Umo0WHd"); /* in the base64 of id and next secret */
    for (size_t i = 0; i < 2 * ARRAY_SIZE(auths) * ARRAY_SIZE(providers); i++) {
        struct http_request r;
        const char *problem;
        s.client_auth = auths[i % ARRAY_SIZE(auths)];
        s.provider = providers[i / ARRAY_SIZE(auths) % ARRAY_SIZE(providers)];
        inputs.choice.is_next_secret = inputs.choice.is_secondary_subscription = i % 2 == 1;
        assert_int_equal(grant_build(&s, &inputs, &r, &problem), 0);
        http_request_done(&r);
        assert_int_equal(n_found, 0);
    }
}

/* The key as PEM and as the DER inside, in libcrypto's hands. */
static void test_a_signing_key_leaves_nothing(void **state)
{
    _cleanup_(secret_done) struct secret pem = SECRET_INIT;
    EVP_PKEY *key = EVP_RSA_gen(2048);
    BIO *bio = BIO_new(BIO_s_mem());
    const char *problem = NULL;
    unsigned char der[4096], *der_end = der;
    char *text;
    (void) state;

    assert_int_equal(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
    long size = BIO_get_mem_data(bio, &text);
    assert_int_equal(secret_set(&pem, text, (size_t) size), 0);
    int der_size = i2d_PrivateKey(key, NULL);
    assert_in_range(der_size, 1000, sizeof(der));
    assert_int_equal(i2d_PrivateKey(key, &der_end), der_size);
    BIO_free(bio);
    EVP_PKEY_free(key);

    reset(NULL);
    for (size_t i = 1; i < 4; i++) {
        watch_for(secret_peek(&pem) + (size_t) size * i / 4);
        watch_for_bytes(der + 300 + i * 200); /* behind the modulus: exponent and primes */
    }
    assert_int_equal(assertion_key_check(&pem, SIGNING_RS256, &problem), 0);
    assert_int_equal(n_found, 0);
    explicit_bzero(der, sizeof(der));
}

int main(void)
{
    if (CRYPTO_set_mem_functions(openssl_malloc, openssl_realloc, openssl_free) != 1)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_careless_copy_is_noticed, reset),
        cmocka_unit_test_setup(test_answers_leave_nothing, reset),
        cmocka_unit_test_setup(test_requests_leave_nothing, reset),
        cmocka_unit_test_setup(test_a_signing_key_leaves_nothing, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
