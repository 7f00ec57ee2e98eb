/* SPDX-License-Identifier: MIT */
#include "wire/token_response.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>
#include <strings.h>

#include "base/parse.h"
#include "wire/json_read.h"

enum { ACCESS_TOKEN, TOKEN_TYPE, EXPIRES_IN, EXPIRES_ON, NOT_BEFORE, N_MEMBERS };

void token_response_done(struct token_response *r)
{
    if (!r)
        return;
    token_done(&r->token);
    *r = (struct token_response){0};
}

/*
 * The readers below return 0, -ENOMEM, or -EBADMSG with what is wrong in *ret_problem: words that go on after
 * "vipps answered 200 ".
 */
static int fail(const char *problem, const char **ret_problem)
{
    *ret_problem = problem;
    return -EBADMSG;
}

static int read_members(const struct http_answer *a, struct json_member *members, const char **ret_problem)
{
    if (a->body.size == 0)
        return fail("with an empty body", ret_problem);
    switch (json_read_object(buffer_peek(&a->body), a->body.size, members, N_MEMBERS)) {
    case JSON_READ:
        break;
    case JSON_BROKEN:
        return fail(refusal_is_page(a) ? "with an HTML page" : "with something that is not JSON",
                    ret_problem);
    case JSON_NOT_OBJECT:
        return fail("with JSON that is not an object", ret_problem);
    case JSON_DUPLICATE:
        return fail("with the same member twice", ret_problem);
    }
    return 0;
}

/* It goes into a header as it is: visible ASCII without the space (RFC 6749 appendix A.12, RFC 9110
 * section 5.5). */
static bool is_sendable(const struct buffer *value)
{
    for (size_t i = 0; i < value->size; i++) {
        if (value->data[i] < 0x21 || value->data[i] > 0x7e)
            return false;
    }
    return true;
}

static int take_value(const struct json_member *m, struct secret *ret, const char **ret_problem)
{
    _cleanup_(buffer_done) struct buffer value = BUFFER_INIT_SECRET(TOKEN_VALUE_MAX);

    if (m->kind == JSON_ABSENT)
        return fail("without an access_token", ret_problem);
    if (m->kind != JSON_STRING || m->size == 0)
        return fail("with an access_token that is empty or not a string", ret_problem);
    json_append_string(&value, m);
    if (buffer_error(&value) == -EMSGSIZE)
        return fail("with an access_token over 16 KiB", ret_problem);
    if (buffer_error(&value))
        return buffer_error(&value);
    if (!is_sendable(&value))
        return fail("with an access_token that cannot go into a header", ret_problem);
    return secret_set(ret, buffer_peek(&value), value.size);
}

/* Stored with the capital: some of Vipps' APIs refuse "bearer" (access-token API guide, 2023). */
static int take_type(const struct json_member *m, char ret[static TOKEN_TYPE_SIZE], const char **ret_problem)
{
    static const char bearer[] = "Bearer";
    _cleanup_(buffer_done) struct buffer value = BUFFER_INIT_SECRET(HTTP_BODY_MAX);

    if (m->kind != JSON_STRING)
        return fail("without a token_type", ret_problem);
    json_append_string(&value, m);
    if (buffer_error(&value))
        return buffer_error(&value);
    if (value.size != strlen(bearer) || strcasecmp(buffer_peek(&value), bearer) != 0)
        return fail("with a token_type other than Bearer, which cannot be used", ret_problem);
    memcpy(ret, bearer, sizeof(bearer));
    return 0;
}

static int take_lifetime(const struct json_member *m, usec_t *ret, const char **ret_problem)
{
    char digits[24];
    uint64_t seconds;

    if (m->kind == JSON_ABSENT)
        return fail("without expires_in", ret_problem);
    if ((m->kind != JSON_NUMBER && m->kind != JSON_STRING) || m->size >= sizeof(digits))
        return fail("with an expires_in that is not whole seconds", ret_problem);
    memcpy(digits, m->text, m->size);
    digits[m->size] = '\0';
    int r = parse_u64(digits, &seconds);
    if (r == -EINVAL)
        return fail("with an expires_in that is not whole seconds", ret_problem);
    if (r == -ERANGE || seconds < TOKEN_LIFETIME_MIN / USEC_PER_SEC ||
        seconds > TOKEN_LIFETIME_MAX / USEC_PER_SEC)
        return fail("with an expires_in outside 1 second to 400 days", ret_problem);
    *ret = seconds * USEC_PER_SEC;
    return 0;
}

static int take_fingerprint(const struct secret *value, char ret[static FINGERPRINT_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char hash[EVP_MAX_MD_SIZE];

    if (EVP_Digest(secret_peek(value), value->size, hash, NULL, EVP_sha256(), NULL) != 1)
        return -ENOMEM;
    for (size_t i = 0; i < (FINGERPRINT_SIZE - 1) / 2; i++) {
        ret[2 * i] = digits[hash[i] >> 4];
        ret[2 * i + 1] = digits[hash[i] & 15];
    }
    ret[FINGERPRINT_SIZE - 1] = '\0';
    return 0;
}

/* Everything of the token but its moments. On failure *ret may be filled in part: token_done() it. */
static int take_token(const struct json_member *members, struct token *ret, const char **ret_problem)
{
    int r = take_value(&members[ACCESS_TOKEN], &ret->value, ret_problem);
    if (r < 0)
        return r;
    r = take_type(&members[TOKEN_TYPE], ret->type, ret_problem);
    if (r < 0)
        return r;
    r = take_lifetime(&members[EXPIRES_IN], &ret->lifetime_for, ret_problem);
    if (r < 0)
        return r;
    return take_fingerprint(&ret->value, ret->fingerprint);
}

static void read_success(const struct asked *asked, const struct http_answer *a, struct token_response *ret)
{
    struct json_member members[N_MEMBERS] = {
        [ACCESS_TOKEN] = {.name = "access_token"}, [TOKEN_TYPE] = {.name = "token_type"},
        [EXPIRES_IN] = {.name = "expires_in"},     [EXPIRES_ON] = {.name = "expires_on"},
        [NOT_BEFORE] = {.name = "not_before"},
    };
    _cleanup_(token_done) struct token token = {0};
    enum failure_reason reason = REASON_BAD_RESPONSE;
    const char *problem = NULL;

    int r = read_members(a, members, &problem);
    if (r == 0)
        r = take_token(members, &token, &problem);
    if (r == 0) {
        token.sent_at = a->sent_at;
        token.expires_at = usec_add(a->sent_at, token.lifetime_for);
        skew_check_members(&ret->skew, &members[EXPIRES_ON], &members[NOT_BEFORE], asked->wall_now,
                           token.lifetime_for);
        skew_check_token(&ret->skew, &token.value, asked->wall_now, token.lifetime_for);
    }
    if (r == 0 && token.expires_at <= asked->now) {
        reason = REASON_EXPIRED_ON_ARRIVAL;
        r = fail("with a token whose life was over when it came", &problem);
    }
    if (r == -ENOMEM) {
        refusal_write_internal("out of memory while reading the token", &ret->failure);
    } else if (r < 0) {
        refusal_write_bad_token(asked->settings, a, reason, problem, &ret->failure);
    } else {
        ret->is_token = true;
        token_move(&ret->token, &token);
    }
}

void token_response_read(const struct asked *asked, struct http_answer *a, struct token_response *ret)
{
    *ret = (struct token_response){0};
    if (a->outcome == HTTP_ANSWERED)
        skew_check_date(&ret->skew, a, asked->wall_now);
    if (a->outcome == HTTP_ANSWERED && a->status == 200)
        read_success(asked, a, ret);
    else
        refusal_read(asked, a, &ret->failure);
    buffer_done(&a->body);
}
