/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What the tests of core share: settings with exact moments (no jitter), tokens and failures in one line
 * each, and the includes that cmocka wants in front of its own. Everything is static, each test program is
 * one file.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "core/profile.h"

/* Where stories begin: some days after the machine was started. */
#define T0     (3 * USEC_PER_DAY + 12345678)

#define SEC(n) ((usec_t) ((n) * (double) USEC_PER_SEC))

/* The defaults of [Refresh], without jitter. */
#define EXACT_POLICY                                                                                         \
    ((struct refresh_policy){.at_percent = 50,                                                               \
                             .jitter_percent = 0,                                                            \
                             .retry_min_for = USEC_PER_SEC,                                                  \
                             .retry_max_for = 60 * USEC_PER_SEC,                                             \
                             .timeout_for = 15 * USEC_PER_SEC})

/* Settings of a profile with that, which is fetched at start. */
#define EXACT_SETTINGS .refresh = EXACT_POLICY, .is_preloaded = true, .idle_after_for = USEC_PER_HOUR

static inline void set_key(struct profile_settings *s, enum key_kind kind, const char *text)
{
    secret_done(&s->keys[kind]);
    assert_int_equal(secret_set(&s->keys[kind], text, strlen(text)), 0);
}

static inline struct token make_token(const char *text, usec_t sent_at, usec_t lifetime_for)
{
    struct token t = {.sent_at = sent_at, .lifetime_for = lifetime_for, .expires_at = sent_at + lifetime_for};

    assert_int_equal(secret_set(&t.value, text, strlen(text)), 0);
    (void) snprintf(t.type, sizeof(t.type), "Bearer");
    (void) snprintf(t.fingerprint, sizeof(t.fingerprint), "%016zx", strlen(text));
    return t;
}

#define UNAVAILABLE                                                                                          \
    ((struct failure){                                                                                       \
        .class = FAILURE_TRANSIENT, .reason = REASON_SERVER_ERROR, .http_status = 503, .message = "503"})
#define WRONG_KEYS                                                                                           \
    ((struct failure){                                                                                       \
        .class = FAILURE_PERMANENT, .reason = REASON_INVALID_KEYS, .http_status = 401, .message = "401"})
#define RATE_LIMITED(seconds)                                                                                \
    ((struct failure){.class = FAILURE_TRANSIENT,                                                            \
                      .reason = REASON_RATE_LIMITED,                                                         \
                      .http_status = 429,                                                                    \
                      .retry_after_for = (seconds) *USEC_PER_SEC,                                            \
                      .message = "429"})
#define BLAMES_SUBSCRIPTION                                                                                  \
    ((struct failure){.class = FAILURE_PERMANENT,                                                            \
                      .reason = REASON_SUBSCRIPTION_KEY,                                                     \
                      .http_status = 401,                                                                    \
                      .message = "401"})
#define BLAMES_SECRET WRONG_KEYS
