/* SPDX-License-Identifier: MIT */
#include "core/token.h"

void token_done(struct token *t)
{
    if (!t)
        return;
    secret_done(&t->value);
    *t = (struct token){0};
}

void token_move(struct token *to, struct token *from)
{
    if (to == from)
        return;
    token_done(to);
    *to = *from;
    *from = (struct token){0};
}

bool token_is_set(const struct token *t)
{
    return secret_is_set(&t->value);
}

usec_t token_left_for(const struct token *t, usec_t now)
{
    return token_is_set(t) ? usec_sub(t->expires_at, now) : 0;
}

bool token_is_usable(const struct token *t, usec_t now, usec_t min_for)
{
    usec_t left = token_left_for(t, now);
    return left > 0 && left >= min_for;
}

const char *failure_reason_name(enum failure_reason reason)
{
    static const char *const names[N_FAILURE_REASONS] = {
        [REASON_SETTINGS] = "settings",
        [REASON_CONNECT] = "connect",
        [REASON_TIMEOUT] = "timeout",
        [REASON_TLS] = "tls",
        [REASON_CERTIFICATE] = "certificate",
        [REASON_RESPONSE_TOO_LARGE] = "response-too-large",
        [REASON_PROTOCOL] = "protocol",
        [REASON_RATE_LIMITED] = "rate-limited",
        [REASON_SERVER_ERROR] = "server-error",
        [REASON_BAD_RESPONSE] = "bad-response",
        [REASON_EXPIRED_ON_ARRIVAL] = "expired-on-arrival",
        [REASON_INVALID_KEYS] = "invalid-keys",
        [REASON_SUBSCRIPTION_KEY] = "subscription-key",
        [REASON_FORBIDDEN] = "forbidden",
        [REASON_WRONG_URL] = "wrong-url",
        [REASON_BAD_REQUEST] = "bad-request",
        [REASON_INTERNAL] = "internal",
    };
    return names[reason];
}

bool failure_blames_secret(const struct failure *f)
{
    return f->reason == REASON_INVALID_KEYS;
}

bool failure_blames_subscription_key(const struct failure *f)
{
    return f->reason == REASON_SUBSCRIPTION_KEY;
}
