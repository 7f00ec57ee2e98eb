/* SPDX-License-Identifier: MIT */
#include "wire/pem.h"

#include <errno.h>
#include <limits.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <time.h>

DEFINE_CLEANUP(BIO *, bio, BIO_free_all)
DEFINE_CLEANUP(X509 *, x509, X509_free)

/* In the place of libcrypto's own, which would ask on the terminal. Notes that a passphrase was wanted. */
static int refuse_passphrase(_unused_ char *buf, _unused_ int size, _unused_ int is_writing, void *is_wanted)
{
    *(bool *) is_wanted = true;
    return -1;
}

/* A reader of the secret's own memory; NULL when memory is out or the text is too long to be PEM. */
static BIO *open_pem(const struct secret *pem)
{
    return pem->size <= INT_MAX ? BIO_new_mem_buf(secret_peek(pem), (int) pem->size) : NULL;
}

static int fail(const char *problem, const char **ret_problem)
{
    /* The queue is the thread's, and libcurl would take what is left there for its own. */
    ERR_clear_error();
    *ret_problem = problem;
    return -EBADMSG;
}

int pem_read_key(const struct secret *pem, EVP_PKEY **ret, const char **ret_problem)
{
    bool is_encrypted = false;
    _cleanup_(bio_p) BIO *bio = open_pem(pem);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, refuse_passphrase, &is_encrypted) : NULL;

    if (!key && is_encrypted)
        return fail("the key is encrypted with a passphrase; store it without one", ret_problem);
    if (!key)
        return fail("no private key in PEM form", ret_problem);
    ERR_clear_error();
    *ret = key;
    return 0;
}

static int read_certificate(const struct secret *pem, X509 **ret, const char **ret_problem)
{
    bool is_encrypted = false;
    _cleanup_(bio_p) BIO *bio = open_pem(pem);
    X509 *certificate = bio ? PEM_read_bio_X509(bio, NULL, refuse_passphrase, &is_encrypted) : NULL;

    if (!certificate)
        return fail("no certificate in PEM form", ret_problem);
    *ret = certificate;
    return 0;
}

int tls_key_check(const struct secret *certificate_pem, const struct secret *key_pem,
                  usec_t *ret_ends_wall_at, const char **ret_problem)
{
    _cleanup_(x509_p) X509 *certificate = NULL;
    _cleanup_(pem_key_p) EVP_PKEY *key = NULL;
    struct tm tm;

    int r = read_certificate(certificate_pem, &certificate, ret_problem);
    if (r < 0)
        return r;
    r = pem_read_key(key_pem, &key, ret_problem);
    if (r < 0)
        return r;
    if (X509_check_private_key(certificate, key) != 1)
        return fail("the private key does not belong to the certificate", ret_problem);
    if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &tm) != 1)
        return fail("the certificate has no readable end date", ret_problem);
    time_t seconds = timegm(&tm);
    *ret_ends_wall_at = seconds < 0 ? 0 : (usec_t) seconds * USEC_PER_SEC;
    return 0;
}
