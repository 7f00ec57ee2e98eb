/* SPDX-License-Identifier: MIT */
#include "wire/state.h"

#include <errno.h>
#include <openssl/sha.h>
#include <string.h>

/* ---- identity ---- */

/* Every part with its length in front, so that no two sets of parts give the same bytes. */
static void add_part(struct buffer *b, const void *data, size_t size)
{
    uint64_t length = size;

    buffer_append(b, &length, sizeof(length));
    if (size > 0)
        buffer_append(b, data, size);
}

static void add_text(struct buffer *b, const char *text)
{
    add_part(b, text ? text : "", text ? strlen(text) : 0);
}

int state_identity(const struct profile_settings *s, uint8_t ret[static SAVED_DIGEST_SIZE])
{
    _cleanup_(buffer_done) struct buffer all = BUFFER_INIT_SECRET((size_t) 1 << 20);
    const uint64_t words[] = {s->provider, s->client_auth, s->signing_algorithm, s->n_resources,
                              s->n_headers};

    add_part(&all, words, sizeof(words));
    add_text(&all, s->token_url);
    add_text(&all, s->client_id);
    add_text(&all, s->scope);
    add_text(&all, s->audience);
    add_text(&all, s->signing_key_id);
    add_text(&all, s->ca_file);
    for (size_t i = 0; i < s->n_resources; i++)
        add_text(&all, s->resources[i]);
    for (size_t i = 0; i < s->n_headers; i++) {
        add_text(&all, s->headers[i].name);
        add_text(&all, s->headers[i].value);
    }
    for (size_t i = 0; i < N_KEY_KINDS; i++)
        add_part(&all, secret_peek(&s->keys[i]), s->keys[i].size);
    add_part(&all, secret_peek(&s->tls_certificate), s->tls_certificate.size);
    if (buffer_error(&all) < 0)
        return buffer_error(&all);
    return SHA256((const unsigned char *) all.data, all.size, ret) ? 0 : -ENOMEM;
}

/* ---- members of a record ---- */

enum member_kind {
    MEMBER_NUMBER, /* as it lies in memory */
    MEMBER_FLAG,   /* a bool: 0 or 1, and nothing else */
    MEMBER_TEXT,   /* printable, ends in its place; zeros behind it */
    MEMBER_BYTES,
};

struct member {
    enum member_kind kind;
    size_t offset, size;
};

#define MEMBER(type, name)                                                                                   \
    {                                                                                                        \
        MEMBER_##type, offsetof(struct saved_profile, name), sizeof(((struct saved_profile *) 0)->name)      \
    }

/* One after the other, without gaps; the token's value follows. Changed in any way: a new STATE_VERSION. */
static const struct member members[] = {
    MEMBER(TEXT, name),
    MEMBER(BYTES, identity),
    MEMBER(TEXT, token.type),
    MEMBER(TEXT, token.fingerprint),
    MEMBER(NUMBER, token.sent_at),
    MEMBER(NUMBER, token.lifetime_for),
    MEMBER(NUMBER, token.expires_at),
    MEMBER(NUMBER, generation),
    MEMBER(NUMBER, generation_floor),
    MEMBER(NUMBER, arrived_at),
    MEMBER(NUMBER, refresh_at),
    MEMBER(NUMBER, used_at),
    MEMBER(NUMBER, failed_at),
    MEMBER(NUMBER, probe_at),
    MEMBER(NUMBER, demand_debt_at),
    MEMBER(NUMBER, reports.debt_at),
    MEMBER(NUMBER, reports.reporters[0].uid),
    MEMBER(NUMBER, reports.reporters[0].debt_at),
    MEMBER(NUMBER, reports.reporters[1].uid),
    MEMBER(NUMBER, reports.reporters[1].debt_at),
    MEMBER(NUMBER, reports.reporters[2].uid),
    MEMBER(NUMBER, reports.reporters[2].debt_at),
    MEMBER(NUMBER, reports.reporters[3].uid),
    MEMBER(NUMBER, reports.reporters[3].debt_at),
    MEMBER(FLAG, reports.is_refusal_told),
    MEMBER(FLAG, was_fetching),
    MEMBER(FLAG, was_sent),
    MEMBER(FLAG, is_idle),
    MEMBER(NUMBER, n_failures),
    MEMBER(NUMBER, n_interrupted),
    MEMBER(FLAG, has_failed_ever),
    MEMBER(NUMBER, failure.class),
    MEMBER(NUMBER, failure.reason),
    MEMBER(NUMBER, failure.http_status),
    MEMBER(NUMBER, failure.retry_after_for),
    MEMBER(TEXT, failure.message),
    MEMBER(FLAG, choice.is_next_secret),
    MEMBER(FLAG, choice.is_secondary_subscription),
    MEMBER(FLAG, token_choice.is_next_secret),
    MEMBER(FLAG, token_choice.is_secondary_subscription),
    MEMBER(FLAG, noted_choice.is_next_secret),
    MEMBER(FLAG, noted_choice.is_secondary_subscription),
};

_Static_assert(REPORTERS_MAX == 4, "a member for each of them");
_Static_assert(sizeof(bool) == 1, "a flag is a byte");

size_t state_record_size(void)
{
    size_t size = 0;

    for (size_t i = 0; i < ARRAY_SIZE(members); i++)
        size += members[i].size;
    return size;
}

/* What lies behind the end of a text stays behind. */
static void write_text(struct buffer *out, const char *text, size_t size)
{
    static const char zeros[FAILURE_MESSAGE_SIZE];
    size_t length = strnlen(text, size - 1);

    buffer_append(out, text, length);
    buffer_append(out, zeros, size - length);
}

void state_write_record(struct buffer *out, const struct saved_profile *saved)
{
    for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
        const struct member *m = &members[i];
        const char *at = (const char *) saved + m->offset;
        if (m->kind == MEMBER_TEXT)
            write_text(out, at, m->size);
        else
            buffer_append(out, at, m->size);
    }
    if (token_is_set(&saved->token))
        buffer_append(out, secret_peek(&saved->token.value), saved->token.value.size);
}

/* ---- reading ---- */

/* Text that ends in its place, without control characters: it may come to stand in a header or a log line. */
static bool is_text(const char *text, size_t size)
{
    size_t length = strnlen(text, size);

    for (size_t i = 0; i < length; i++) {
        if ((unsigned char) text[i] < ' ' || text[i] == '\x7f')
            return false;
    }
    return length < size;
}

static bool is_good(const struct member *m, const char *bytes)
{
    switch (m->kind) {
    case MEMBER_FLAG:
        return bytes[0] == 0 || bytes[0] == 1;
    case MEMBER_TEXT:
        return is_text(bytes, m->size);
    case MEMBER_NUMBER:
    case MEMBER_BYTES:
        break;
    }
    return true;
}

/* What can go into a header (wire/token_response takes nothing else). */
static bool is_sendable(const char *value, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (value[i] < 0x21 || value[i] > 0x7e)
            return false;
    }
    return true;
}

/* What a token and its life always are (core/token.h). */
static bool is_token_sane(const struct token *t, const char *value, size_t value_size)
{
    return value_size <= TOKEN_VALUE_MAX && is_sendable(value, value_size) && t->type[0] != '\0' &&
           strspn(t->fingerprint, "0123456789abcdef") == FINGERPRINT_SIZE - 1 &&
           t->lifetime_for >= TOKEN_LIFETIME_MIN && t->lifetime_for <= TOKEN_LIFETIME_MAX &&
           t->expires_at == usec_add(t->sent_at, t->lifetime_for);
}

/* What a record of our own always is: the checksum says that it is one, this that it is sane. Moments are
 * for profile_restore() to judge, who has a clock to compare them with. */
static bool is_sane(const struct saved_profile *s)
{
    return s->name[0] != '\0' && s->generation < UINT64_MAX / 2 && s->generation_floor < UINT64_MAX / 2 &&
           (unsigned) s->failure.reason < N_FAILURE_REASONS &&
           (s->failure.class == FAILURE_TRANSIENT || s->failure.class == FAILURE_PERMANENT) &&
           (s->has_failed_ever || s->n_failures == 0);
}

int state_read_record(const char *bytes, size_t size, struct saved_profile *ret)
{
    struct saved_profile saved = {0};
    size_t at = 0;

    if (size < state_record_size())
        return -EBADMSG;
    for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
        if (!is_good(&members[i], bytes + at))
            return -EBADMSG;
        memcpy((char *) &saved + members[i].offset, bytes + at, members[i].size);
        at += members[i].size;
    }
    if (!is_sane(&saved) || (at < size && !is_token_sane(&saved.token, bytes + at, size - at)))
        return -EBADMSG;
    if (at < size && secret_set(&saved.token.value, bytes + at, size - at) < 0)
        return -ENOMEM;
    *ret = saved;
    return 0;
}
