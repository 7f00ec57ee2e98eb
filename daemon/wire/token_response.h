/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Reads what came of a token request: a token, or a classed failure with words for people.
 *
 * A token is taken from a 200 only, and only when everything about it is right (RFC 6749 section 5.1): the
 * body is one JSON object, `access_token` can go into a header, `token_type` is Bearer in any case,
 * `expires_in` is whole seconds, as a number or as a string of digits (Vipps sends strings; its published
 * examples show numbers). Anything else in a 200 comes of gateways in the way and is transient. For all that
 * is not a 200, see wire/refusal.
 */

#include "core/settings.h"
#include "core/token.h"
#include "wire/http.h"
#include "wire/refusal.h"
#include "wire/skew.h"

struct token_response {
    bool is_token;
    struct token token;     /* is_token; its life is counted from a->sent_at */
    struct failure failure; /* !is_token */
    struct clock_skew skew; /* may be seen with either; for the log alone */
};

/*
 * Overwrites *ret; release it with token_response_done(). The body of the answer is wiped and released.
 * Running out of memory is a failure with REASON_INTERNAL.
 */
void token_response_read(const struct asked *asked, struct http_answer *a, struct token_response *ret);

/* Takes NULL, and one whose token was moved out. */
void token_response_done(struct token_response *r);
