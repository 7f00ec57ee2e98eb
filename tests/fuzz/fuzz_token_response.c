/* SPDX-License-Identifier: MIT */
/*
 * Any answer to a token request, for libFuzzer: no crash, no leak of a key into the message, and a token only
 * if it can be used. The first bytes choose provider, status, outcome and headers; the rest is the body.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "wire/token_response.h"

#define SECRET   "Y8Kteew6GE3ZmeycEt6egg=="
#define NEXT     "q0Zb7Rj4XwTnV2sLd9PfMA=="
#define NOW      (1002 * USEC_PER_SEC)
#define WALL_NOW (1700000000 * USEC_PER_SEC)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static struct profile_settings make_settings(uint8_t choice)
{
    struct profile_settings s = {
        .provider = (enum provider)(choice % 3),
        .token_url = strdup("https://issuer.example/token"),
        .client_id = strdup("client"),
    };
    require(secret_set(&s.keys[KEY_CLIENT_SECRET], SECRET, strlen(SECRET)) == 0);
    require(secret_set(&s.keys[KEY_NEXT_CLIENT_SECRET], NEXT, strlen(NEXT)) == 0);
    return s;
}

/* Takes a header value from the front, if there is one. */
static void take_value(const uint8_t **data, size_t *size, char value[static HTTP_VALUE_SIZE])
{
    size_t n = *size > 0 ? **data % 48 : 0;
    if (n >= *size)
        return;
    memcpy(value, *data + 1, n);
    value[n] = '\0';
    *data += n + 1;
    *size -= n + 1;
}

static void require_no_piece(const char *message, const char *secret)
{
    for (size_t i = 0; i + 8 <= strlen(secret); i++) {
        char piece[9];
        (void) snprintf(piece, sizeof(piece), "%.8s", &secret[i]);
        require(!strcasestr(message, piece));
    }
}

static void check_failure(const struct failure *f)
{
    size_t length = strnlen(f->message, sizeof(f->message));
    require(length > 0 && length < sizeof(f->message));
    for (size_t i = 0; i < length; i++)
        require(f->message[i] >= 0x20 && f->message[i] < 0x7f);
    require_no_piece(f->message, SECRET);
    require_no_piece(f->message, NEXT);
    require(f->retry_after_for <= 366 * USEC_PER_DAY);
}

static void check_token(const struct token *t)
{
    require(t->value.size > 0 && t->value.size <= TOKEN_VALUE_MAX);
    for (size_t i = 0; i < t->value.size; i++)
        require(t->value.data[i] > 0x20 && t->value.data[i] < 0x7f);
    require(strcmp(t->type, "Bearer") == 0 && strlen(t->fingerprint) == FINGERPRINT_SIZE - 1);
    require(t->lifetime_for >= TOKEN_LIFETIME_MIN && t->lifetime_for <= TOKEN_LIFETIME_MAX);
    require(t->expires_at == t->sent_at + t->lifetime_for && t->expires_at > NOW);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int statuses[] = {200, 200, 200, 302, 400, 401, 403, 404, 429, 503, 0, -1};
    struct http_answer a = {.sent_at = 1000 * USEC_PER_SEC, .body = BUFFER_INIT_SECRET(HTTP_BODY_MAX)};
    struct token_response r;

    if (size < 3)
        return 0;
    struct profile_settings s = make_settings(data[0]);
    const struct key_choice choice = {.is_next_secret = data[0] & 0x80};
    a.status = statuses[data[1] % ARRAY_SIZE(statuses)];
    a.outcome = data[2] < 8 ? (enum http_outcome) data[2] : HTTP_ANSWERED;
    data += 3;
    size -= 3;
    take_value(&data, &size, a.retry_after);
    take_value(&data, &size, a.date);
    take_value(&data, &size, a.content_type);
    buffer_append(&a.body, data, size);

    const struct asked asked = {&s, choice, NOW, WALL_NOW};
    token_response_read(&asked, &a, &r);
    require(!a.body.data);
    if (r.is_token)
        check_token(&r.token);
    else
        check_failure(&r.failure);
    token_response_done(&r);
    http_answer_done(&a);
    profile_settings_done(&s);
    return 0;
}
