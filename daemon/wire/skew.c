/* SPDX-License-Identifier: MIT */
#include "wire/skew.h"

#include <string.h>

#include "base/parse.h"
#include "wire/base64.h"

/* The year 9999; a larger number is not a time in seconds. */
#define EPOCH_MAX UINT64_C(253402300799)
/* The claims of a token of TOKEN_VALUE_MAX. */
#define CLAIMS_MAX ((size_t) 16384)

enum direction {
    EITHER_WAY,
    ONLY_AHEAD, /* of our clock */
    ONLY_BEHIND,
};

static void compare(struct clock_skew *skew, const char *source, usec_t theirs, usec_t ours,
                    enum direction direction)
{
    bool is_ahead = theirs > ours;
    usec_t size = is_ahead ? theirs - ours : ours - theirs;

    if (skew->is_seen || size <= SKEW_MIN || size > INT64_MAX)
        return;
    if ((direction == ONLY_AHEAD && !is_ahead) || (direction == ONLY_BEHIND && is_ahead))
        return;
    *skew = (struct clock_skew){
        .is_seen = true, .usec = is_ahead ? (int64_t) size : -(int64_t) size, .source = source};
}

/* Epoch seconds as a number or a string of digits. */
static bool read_epoch(const struct json_member *m, usec_t *ret_wall_at)
{
    char text[24];
    uint64_t seconds;

    if ((m->kind != JSON_NUMBER && m->kind != JSON_STRING) || m->size >= sizeof(text))
        return false;
    memcpy(text, m->text, m->size);
    text[m->size] = '\0';
    if (parse_u64_max(text, EPOCH_MAX, &seconds) < 0)
        return false;
    *ret_wall_at = seconds * USEC_PER_SEC;
    return true;
}

void skew_check_date(struct clock_skew *skew, const struct http_answer *a, usec_t wall_now)
{
    usec_t date;

    if (usec_parse_http_date(a->date, &date))
        compare(skew, "Date", date, wall_now, EITHER_WAY);
}

void skew_check_members(struct clock_skew *skew, const struct json_member *expires_on,
                        const struct json_member *not_before, usec_t wall_now, usec_t lifetime_for)
{
    usec_t wall_at;

    if (read_epoch(expires_on, &wall_at))
        compare(skew, expires_on->name, wall_at, usec_add(wall_now, lifetime_for), EITHER_WAY);
    if (read_epoch(not_before, &wall_at))
        compare(skew, not_before->name, wall_at, wall_now, ONLY_AHEAD);
}

/* Appends the claims when the token has the three parts of a JWT and the second is what it should be. */
static bool decode_claims(struct buffer *to, const struct secret *token)
{
    const char *text = secret_peek(token), *end = text + token->size;
    const char *first = memchr(text, '.', token->size);
    const char *second = first ? memchr(first + 1, '.', (size_t) (end - first - 1)) : NULL;

    if (!second)
        return false;
    return base64url_append_decoded(to, first + 1, (size_t) (second - first - 1)) == 0 && !buffer_error(to);
}

void skew_check_token(struct clock_skew *skew, const struct secret *token, usec_t wall_now,
                      usec_t lifetime_for)
{
    _cleanup_(buffer_done) struct buffer claims = BUFFER_INIT_SECRET(CLAIMS_MAX);
    struct json_member times[] = {{.name = "exp"}, {.name = "nbf"}, {.name = "iat"}};
    usec_t wall_at;

    if (!decode_claims(&claims, token) ||
        json_read_object(buffer_peek(&claims), claims.size, times, ARRAY_SIZE(times)) != JSON_READ)
        return;
    if (read_epoch(&times[0], &wall_at))
        compare(skew, "JWT exp", wall_at, usec_add(wall_now, lifetime_for), ONLY_BEHIND);
    if (read_epoch(&times[1], &wall_at))
        compare(skew, "JWT nbf", wall_at, wall_now, ONLY_AHEAD);
    if (read_epoch(&times[2], &wall_at))
        compare(skew, "JWT iat", wall_at, wall_now, ONLY_AHEAD);
}
