/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The client assertion of ClientAuth=private-key-jwt: a JWT by which the client proves that it holds its
 * private key (RFC 7523, May 2015, sections 2.2 and 3; OpenID Connect Core 1.0 section 9; signatures by RFC
 * 7518 section 3).
 *
 * RS256 (RSA PKCS #1 v1.5), PS256 (RSA-PSS, MGF1 with SHA-256, a salt as long as the hash) and ES256 (P-256,
 * r and s of 32 bytes each), all over SHA-256, by libcrypto. RSA keys have 2048 bits or more (RFC 7518
 * sections 3.3 and 3.5).
 */

#include <stdint.h>

#include "base/buffer.h"
#include "core/settings.h"

/* Bytes of randomness in `jti`, by which an issuer refuses a replay. */
#define ASSERTION_RANDOM_SIZE 16
/*
 * iat to exp. An assertion is used at once, and the request it is in has a time-out below this. A minute is
 * what the strictest issuers accept (others go up to an hour), and about the clock error a host without time
 * sync may have.
 */
#define ASSERTION_LIFETIME (60 * USEC_PER_SEC)

/*
 * Appends header.claims.signature, signed with the profile's KEY_SIGNING. `wall_now` is the wall clock;
 * `random` must differ each time. 0, -ENOMEM, or -EBADMSG with a problem for people (static text): the key
 * cannot be used. On failure the buffer holds a piece: reset it.
 */
int assertion_append(struct buffer *to, const struct profile_settings *s, usec_t wall_now,
                     const uint8_t random[static ASSERTION_RANDOM_SIZE], const char **ret_problem);

/* Whether a key can make such signatures, by making one. 0, -ENOMEM or -EBADMSG with the problem (static
 * text). */
int assertion_key_check(const struct secret *pem, enum signing_algorithm algorithm, const char **ret_problem);
