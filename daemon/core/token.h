/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * An access token and its life, and what can come out of asking for one.
 *
 * Life counts from the moment the request was *sent*, on CLOCK_BOOTTIME: the issuer started counting no
 * earlier, so this is never later than the truth, and neither a slow answer, a step of the wall clock nor a
 * suspend can make an expired token look alive. The issuer's own clock (expires_on, JWT exp) never decides.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/secret.h"
#include "base/usec.h"

/* First 16 hex digits of the SHA-256 of the token. */
#define FINGERPRINT_SIZE 17
/* token_type: RFC 6749 allows any; real ones are "Bearer". */
#define TOKEN_TYPE_SIZE 32
/* The longest token taken: 16 KiB is ten times what is seen, and still fits a header set that servers accept.
 */
#define TOKEN_VALUE_MAX ((size_t) 16384)
/* Lifetimes outside this are absurd (a token for over a year is a unit error or a lie) and the answer is
 * refused. */
#define TOKEN_LIFETIME_MIN (1 * USEC_PER_SEC)
#define TOKEN_LIFETIME_MAX (400 * USEC_PER_DAY)

struct token {
    struct secret value;
    char type[TOKEN_TYPE_SIZE]; /* "Bearer" in that spelling when the issuer wrote any case of it */
    char fingerprint[FINGERPRINT_SIZE];
    usec_t sent_at;      /* when the request for it was sent */
    usec_t lifetime_for; /* as granted */
    usec_t expires_at;   /* sent_at + lifetime_for */
};

/* Wipes; the token is then not set. Takes NULL. */
void token_done(struct token *t);

/* Moves `from` into `to`, whose old value is wiped. */
void token_move(struct token *to, struct token *from);

bool token_is_set(const struct token *t);

/* True when the token is set and has, at `now`, at least `min_for` left and more than nothing. */
bool token_is_usable(const struct token *t, usec_t now, usec_t min_for);

/* What is left at `now`; 0 when expired or not set. */
usec_t token_left_for(const struct token *t, usec_t now);

/* ---- failures ---- */

/* Whether asking again with the same settings can help (vipps-protocol: table of answers). */
enum failure_class {
    FAILURE_TRANSIENT, /* later: network, 408, 425, 429, 5xx, a 200 that is not a token */
    FAILURE_PERMANENT, /* only after somebody changes something: other 4xx, 3xx, a certificate that does not
                          verify */
};

/* `reason` of a failure: a short word for logs, metrics and `last_error.reason`. Never changes once released.
 */
enum failure_reason {
    REASON_SETTINGS,           /* the settings or keys of this profile are unusable (permanent) */
    REASON_CONNECT,            /* no connection: refused, unreachable, reset, DNS */
    REASON_TIMEOUT,            /* no whole answer within Timeout= */
    REASON_TLS,                /* handshake failed */
    REASON_CERTIFICATE,        /* the server's certificate does not verify (permanent) */
    REASON_RESPONSE_TOO_LARGE, /* over 64 KiB */
    REASON_PROTOCOL,           /* not HTTP, cut off */
    REASON_RATE_LIMITED,       /* 429 */
    REASON_SERVER_ERROR,       /* 5xx, 408, 425 */
    REASON_BAD_RESPONSE,       /* 200, but not a token */
    REASON_EXPIRED_ON_ARRIVAL, /* a token whose life was over before its answer was there */
    REASON_INVALID_KEYS,       /* 400 or 401: client id, secret or environment (permanent) */
    REASON_SUBSCRIPTION_KEY,   /* 401 that blames the subscription key (permanent) */
    REASON_FORBIDDEN,          /* 403 (permanent) */
    REASON_WRONG_URL,          /* 404, 405, 3xx (permanent) */
    REASON_BAD_REQUEST,        /* 400 and other 4xx that name neither keys nor URL (permanent) */
    REASON_INTERNAL,           /* this machine: out of memory, no descriptor, signing failed */
    N_FAILURE_REASONS,
};

/* "connect", "timeout", "rate-limited", ... */
const char *failure_reason_name(enum failure_reason reason);

#define FAILURE_MESSAGE_SIZE 352

/* One failed attempt. Plain data; the message holds no secret and no control character. */
struct failure {
    enum failure_class class;
    enum failure_reason reason;
    int http_status;                    /* 0 when there was no answer */
    usec_t retry_after_for;             /* from Retry-After, not yet floored or capped; 0 when absent */
    char message[FAILURE_MESSAGE_SIZE]; /* for a human: "vipps answered 401: Access denied due to ..." */
};

/*
 * Whether the same request with the other client secret, or the other subscription key, may do better. By the
 * reason alone: what an issuer's words mean is decided once, in wire/refusal.
 *
 * Every REASON_INVALID_KEYS blames the secret, one that says `unauthorized_client` or AADSTS70001 (client
 * unknown here) too: RFC 6749 section 5.2 has one word for an unknown client and a wrong secret, issuers
 * differ in which they say, and where the id is wrong indeed, the other secret costs one request and is
 * refused like the first. A 403 blames neither: what a client may do is the same whichever of its keys it
 * shows, and a gateway counts its quota for both keys of a subscription together.
 */
bool failure_blames_secret(const struct failure *f);
bool failure_blames_subscription_key(const struct failure *f);
