/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What it means that no token came: the class, the reason and words for people, for every way an exchange can
 * end.
 *
 * The statuses are those of the Vipps MobilePay access-token API guide, knowledge base and OpenAPI 2.0.0
 * (2023), the gateway texts those of Azure API Management in front of it, the error words RFC 6749
 * section 5.2. Bodies come as OAuth {"error","error_description"}, gateway {"statusCode","message"}, RFC 7807
 * {"title","detail"}, or text; of an HTML page nothing is quoted. Whatever is quoted has been through
 * wire/redact.
 */

#include "core/settings.h"
#include "core/token.h"
#include "wire/http.h"

/* What an answer is the answer to, and when it was there. */
struct asked {
    const struct profile_settings *settings; /* borrowed */
    struct key_choice choice;                /* the keys that were sent */
    usec_t now;                              /* CLOCK_BOOTTIME, on arrival */
    usec_t wall_now;                         /* the wall clock, on arrival */
};

/*
 * Reads anything but an answer of 200. An answer that blames a key of which the profile has two says which of
 * them it was: "vipps answered 401 to the secondary subscription key: ...".
 */
void refusal_read(const struct asked *asked, const struct http_answer *a, struct failure *ret);

/* A failure in an answer of 200. `what` goes on after "vipps answered 200 "; the words of the body follow it.
 */
void refusal_write_bad_token(const struct profile_settings *s, const struct http_answer *a,
                             enum failure_reason reason, const char *what, struct failure *ret);

/* A failure of this machine: transient, REASON_INTERNAL. */
void refusal_write_internal(const char *what, struct failure *ret);

/* True when the body is a page for a browser, by its type or its first character. */
bool refusal_is_page(const struct http_answer *a);
