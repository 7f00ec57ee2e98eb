/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The bodies of the API's answers, written into buffers. What is known is shown, what is not is null; moments
 * are RFC 3339 UTC of the wall clock as it stands now, since inside everything counts on CLOCK_BOOTTIME.
 */

#include "core/profile.h"
#include "wire/json.h"

/* The same moment on both clocks: how a moment on CLOCK_BOOTTIME is shown to people. */
struct reply_time {
    usec_t now;      /* CLOCK_BOOTTIME */
    usec_t wall_now; /* CLOCK_REALTIME */
};

/* A boot-time moment as wall-clock time. USEC_INFINITY stays. */
usec_t reply_wall_at(const struct reply_time *t, usec_t at);

/*
 * A status object (never with a token) as member `key`, or as an element when it is NULL. `shows_rules`: with
 * who may ask, for admins.
 */
void reply_write_status(struct json *j, const char *key, const struct profile *p, const struct reply_time *t,
                        bool shows_rules);

/*
 * The name of the client secret ("current" or "next") and of the subscription key ("primary" or "secondary")
 * that the current token was asked for with, or that the next one will be; NULL where the provider has none.
 */
const char *reply_client_secret_in_use(const struct profile *p);
const char *reply_subscription_key_in_use(const struct profile *p);

/* The rules of a list, as they were written. */
void reply_write_rules(struct json *j, const char *key, const struct access_list *list);

/* A moment as RFC 3339; null for USEC_INFINITY. */
void reply_write_moment(struct json *j, const char *key, const struct reply_time *t, usec_t at);

/* The body of /token. The profile has a token; `out` is a secret buffer. */
void reply_write_token(struct buffer *out, const struct profile *p, const struct reply_time *t);

/*
 * The header set of an upstream API call: Authorization, for request-1 tokens of Vipps the subscription key,
 * and the operator's [Headers]. As a JSON object, or as "Name: value" lines for `curl -H @-`. `out` is a
 * secret buffer.
 */
void reply_write_headers_json(struct buffer *out, const struct profile *p);
void reply_write_headers_text(struct buffer *out, const struct profile *p);

/* What kinds of refusals there are; each has a stable `type` URI and a title. */
enum problem_kind {
    PROBLEM_BAD_REQUEST,
    PROBLEM_FORBIDDEN,
    PROBLEM_NOT_FOUND,
    PROBLEM_UNKNOWN_PROFILE,
    PROBLEM_METHOD_NOT_ALLOWED,
    PROBLEM_MIN_TTL_TOO_LONG,
    PROBLEM_BODY_TOO_LARGE,
    PROBLEM_TOO_MANY_CONNECTIONS,
    PROBLEM_REJECTED_TOO_OFTEN,
    PROBLEM_RELOAD_REFUSED,
    PROBLEM_RELOAD_TIMED_OUT,
    PROBLEM_NO_USABLE_TOKEN,
    PROBLEM_REFRESH_FAILED,
    PROBLEM_NOT_READY,
    PROBLEM_UNHEALTHY,
    PROBLEM_STOPPING,
    PROBLEM_INTERNAL,
    N_PROBLEM_KINDS,
};

unsigned problem_kind_status(enum problem_kind kind);

/*
 * application/problem+json (RFC 9457). `p` adds profile, state and last_error, and is NULL for a caller that
 * may not know them; `name` (or NULL) is the profile's name as the caller asked for it.
 */
void reply_write_problem(struct buffer *out, enum problem_kind kind, const char *detail, const char *name,
                         const struct profile *p, const struct reply_time *t);

/* The same in two parts, for members of one's own in between. */
void reply_open_problem(struct json *j, enum problem_kind kind, const char *detail);
void reply_close(struct json *j);
