/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Builds the request that asks a provider for a token: the client credentials grant in its dialects.
 *
 * Sources: RFC 6749 (October 2012) sections 2.3.1 and 4.4, RFC 7523, RFC 8705, RFC 8707; for Vipps MobilePay
 * the access-token API guide with OpenAPI 2.0.0 (developer.vippsmobilepay.com, 2023): `POST
 * {base}/accesstoken/get` with the keys as request headers and no body, and `POST {base}/miami/v1/token`,
 * which is RFC 6749 with HTTP Basic.
 *
 * Not for sending it, and not for choosing the URL: that is settings.
 */

#include <stdint.h>

#include "core/settings.h"
#include "wire/assertion.h"
#include "wire/http.h"

/* What only the outside can know, taken anew for each request. */
struct grant_inputs {
    struct key_choice choice;              /* the keys to ask with */
    usec_t wall_now;                       /* wall clock, for the times of an assertion */
    uint8_t random[ASSERTION_RANDOM_SIZE]; /* for its jti; unused by the other ways to authenticate */
};

/*
 * 0 with the request, which borrows the URL from the settings and owns the rest: http_request_done(). `ret`
 * is overwritten, not released. Failures: -EBADMSG: a key is missing or cannot be used, or there is more than
 * a request can hold; a choice of a key that this profile has none of is such a failure too, never a request
 * with the other one; *ret_problem then says so for people (static text, no key material). -ENOMEM: memory is
 * out; *ret_problem says that too.
 */
int grant_build(const struct profile_settings *s, const struct grant_inputs *in, struct http_request *ret,
                const char **ret_problem);
