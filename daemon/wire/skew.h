/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Whether the issuer's clock and this machine's agree, from whatever an answer says about the time. Only ever
 * a warning: the life of a token is counted from when it was asked for, on CLOCK_BOOTTIME, and no clock of
 * the issuer has a part in it. Worth a warning, because a skewed clock breaks client assertions and what
 * applications do with a token's own times.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/usec.h"
#include "wire/http.h"
#include "wire/json_read.h"

/*
 * Less is not told: times come in whole seconds, an answer may be as old as the time-out of the request, and
 * a client assertion lives this long (wire/assertion).
 */
#define SKEW_MIN (60 * USEC_PER_SEC)

struct clock_skew {
    bool is_seen;
    int64_t usec;       /* above zero: the issuer's clock is ahead of ours */
    const char *source; /* what told: "Date", "expires_on", "not_before", "JWT exp", ... (static) */
};

/* The Date header. Each of these keeps a skew that is there already, so the best source is asked first. */
void skew_check_date(struct clock_skew *skew, const struct http_answer *a, usec_t wall_now);

/*
 * expires_on and not_before of a Vipps answer: epoch seconds as a number or a string. Vipps dates not_before
 * back by minutes, so only one in the future counts.
 */
void skew_check_members(struct clock_skew *skew, const struct json_member *expires_on,
                        const struct json_member *not_before, usec_t wall_now, usec_t lifetime_for);

/*
 * exp, nbf and iat of a token that is a JWT; of any other token, nothing. exp counts only when it is early:
 * an issuer may well let tokens live longer than it says.
 */
void skew_check_token(struct clock_skew *skew, const struct secret *token, usec_t wall_now,
                      usec_t lifetime_for);
