/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Private keys and certificates in PEM: reading them by libcrypto, and saying at start what is wrong with
 * them, so that an unfit key is found by `--check` and not by the first request at night.
 *
 * Problems are static texts for people, without key material. Nobody is ever asked for a passphrase.
 * libcrypto's own copies of a key live on its heap while the key is in use and are wiped by its destructors.
 */

#include <openssl/evp.h>

#include "base/cleanup.h"
#include "base/secret.h"
#include "base/usec.h"

DEFINE_CLEANUP(EVP_PKEY *, pem_key, EVP_PKEY_free)

/*
 * Reads the first private key. 0 (free with EVP_PKEY_free()), or -EBADMSG: not a private key in PEM, or one
 * that is encrypted.
 */
int pem_read_key(const struct secret *pem, EVP_PKEY **ret, const char **ret_problem);

/*
 * Checks a client certificate (the first of its file; a chain may follow) and its key. 0 with the wall-clock
 * moment the certificate ends at, which may lie in the past: whether that is worth a warning is the caller's
 * matter. -EBADMSG when one does not parse or they do not belong together.
 */
int tls_key_check(const struct secret *certificate_pem, const struct secret *key_pem,
                  usec_t *ret_ends_wall_at, const char **ret_problem);
