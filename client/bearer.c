/* SPDX-License-Identifier: MIT */
#include "client/bearer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "bearerd-paths.h"
#include "client/bearer-http.h"
#include "client/bearer-objects.h"

/* A token of 16 KiB and its JSON, twice over. */
#define TOKEN_MAX ((size_t) 65536)
/* More rules than a settings file holds. */
#define STATUS_MAX ((size_t) 4 * 1024 * 1024)
/* 10,000 profiles, each with rules, a description and a last error of full length. */
#define LIST_MAX ((size_t) 64 * 1024 * 1024)

/* The daemon's own default for wait=, which the time-out must allow for. */
#define WAIT_DEFAULT     10
#define MARGIN_DEFAULT   5
#define MARGIN_MAX       3600

#define NAME_MAX_SIZE    63
#define FINGERPRINT_SIZE 16

struct bearer {
    struct bearer_http *http;
    int wait_for;        /* seconds, or BEARER_DEFAULT */
    int64_t min_ttl_for; /* seconds, or BEARER_DEFAULT */
    int margin_for;      /* seconds */
    struct bearer_error error;
};

DEFINE_CLEANUP(struct bearer *, bearer_free, bearer_free)

/* ---- the handle ---- */

int bearer_new(const char *socket_path, struct bearer **ret)
{
    _cleanup_(bearer_free_p) struct bearer *b = calloc(1, sizeof(*b));

    if (!b)
        return -ENOMEM;
    if (!socket_path) {
        /* Not in a set-user-ID program: its caller does not choose whom it talks to. */
        socket_path = secure_getenv("BEARERD_SOCKET");
        if (!socket_path || !*socket_path)
            socket_path = BEARERD_SOCKET_PATH;
    }
    b->wait_for = BEARER_DEFAULT;
    b->min_ttl_for = BEARER_DEFAULT;
    b->margin_for = MARGIN_DEFAULT;
    int r = bearer_http_new(socket_path, &b->http);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(b);
    return 0;
}

void bearer_free(struct bearer *b)
{
    if (!b)
        return;
    bearer_http_free(b->http);
    free(b);
}

const char *bearer_socket_path(const struct bearer *b)
{
    return bearer_http_socket_path(b->http);
}

int bearer_set_wait(struct bearer *b, int seconds)
{
    if (seconds != BEARER_DEFAULT && (seconds < 0 || seconds > BEARER_WAIT_MAX))
        return -ERANGE;
    b->wait_for = seconds;
    return 0;
}

int bearer_set_min_ttl(struct bearer *b, int64_t seconds)
{
    if (seconds != BEARER_DEFAULT && seconds < 0)
        return -ERANGE;
    b->min_ttl_for = seconds;
    return 0;
}

int bearer_set_margin(struct bearer *b, int seconds)
{
    if (seconds < 1 || seconds > MARGIN_MAX)
        return -ERANGE;
    b->margin_for = seconds;
    return 0;
}

/* ---- calls ---- */

/* [a-z0-9][a-z0-9._-]{0,62}: a name that is safe in a path as it is. */
static bool is_profile_name(const char *name)
{
    static const char first[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    static const char rest[] = "abcdefghijklmnopqrstuvwxyz0123456789._-";

    return name && strspn(name, first) > 0 && strspn(name, rest) == strlen(name) &&
           strlen(name) <= NAME_MAX_SIZE;
}

/* Forgets the last call, and writes "/v1/profiles/NAME" and what follows; fails on what is not the name of a
 * profile. */
static enum bearer_result make_path(struct bearer *b, const char *profile, const char *end,
                                    struct buffer *path)
{
    b->error = (struct bearer_error){.retry_after = BEARER_ABSENT};
    if (!is_profile_name(profile))
        return bearer_error_set(
            &b->error, BEARER_INVALID,
            "not the name of a profile: up to %d of a-z 0-9 . _ -, first a letter or digit", NAME_MAX_SIZE);
    buffer_appendf(path, "/v1/profiles/%s%s", profile, end);
    return BEARER_OK;
}

/* Appends one parameter of the query, unless it is not given. */
static void add_parameter(struct buffer *path, const char *name, int64_t value)
{
    if (value >= 0)
        buffer_appendf(path, "%c%s=%" PRId64, strchr(buffer_peek(path), '?') ? '&' : '?', name, value);
}

/* The path with what was set on the handle as its query. */
static enum bearer_result make_waiting_path(struct bearer *b, const char *profile, const char *end,
                                            struct buffer *path)
{
    enum bearer_result result = make_path(b, profile, end, path);

    if (result != BEARER_OK)
        return result;
    add_parameter(path, "min_ttl", b->min_ttl_for);
    add_parameter(path, "wait", b->wait_for);
    return BEARER_OK;
}

static long waiting_timeout(const struct bearer *b)
{
    return (b->wait_for == BEARER_DEFAULT ? WAIT_DEFAULT : b->wait_for) + b->margin_for;
}

/* One exchange that must end in a 200. Its path may still have failed to be written. */
static enum bearer_result ask(struct bearer *b, const struct bearer_request *request,
                              const struct buffer *path, struct bearer_answer *answer)
{
    struct bearer_request whole = *request;

    if (buffer_error(path) == -EMSGSIZE)
        return bearer_error_set(&b->error, BEARER_INVALID, "more than fits into a request");
    if (buffer_error(path) < 0)
        return bearer_error_set(&b->error, BEARER_INTERNAL, "out of memory");
    whole.path = buffer_peek(path);
    if (!whole.media_type)
        whole.media_type = "application/json";
    enum bearer_result result = bearer_http_exchange(b->http, &whole, answer, &b->error);
    if (result != BEARER_OK)
        return result;
    return answer->status == 200 ? BEARER_OK : bearer_problem_read(answer, &b->error);
}

/* What became of reading an answer: 0, -EBADMSG or -ENOMEM. */
static enum bearer_result parsed(struct bearer *b, int r)
{
    if (r == -ENOMEM)
        return bearer_error_set(&b->error, BEARER_INTERNAL, "out of memory");
    if (r < 0)
        return bearer_error_set(&b->error, BEARER_PROTOCOL,
                                "%s: the answer is not bearerd's (it makes no sense)", bearer_socket_path(b));
    b->error = (struct bearer_error){.retry_after = BEARER_ABSENT};
    return BEARER_OK;
}

enum bearer_result bearer_get_token(struct bearer *b, const char *profile, struct bearer_token **ret)
{
    _cleanup_(bearer_answer_done) struct bearer_answer answer = {0};
    _cleanup_(buffer_done) struct buffer path = BUFFER_INIT(BEARER_PATH_MAX);
    const struct bearer_request request = {.body_max = TOKEN_MAX, .timeout_for = waiting_timeout(b)};

    enum bearer_result result = make_waiting_path(b, profile, "/token", &path);
    if (result == BEARER_OK)
        result = ask(b, &request, &path, &answer);
    return result == BEARER_OK ? parsed(b, bearer_token_parse(&answer.body, ret)) : result;
}

enum bearer_result bearer_get_headers(struct bearer *b, const char *profile,
                                      enum bearer_headers_format format, struct bearer_headers **ret)
{
    _cleanup_(bearer_answer_done) struct bearer_answer answer = {0};
    _cleanup_(buffer_done) struct buffer path = BUFFER_INIT(BEARER_PATH_MAX);
    const struct bearer_request request = {.media_type = format == BEARER_HEADERS_LINES ? "text/plain" : NULL,
                                           .body_max = TOKEN_MAX,
                                           .timeout_for = waiting_timeout(b)};

    enum bearer_result result = make_waiting_path(b, profile, "/headers", &path);
    if (result == BEARER_OK)
        result = ask(b, &request, &path, &answer);
    return result == BEARER_OK ? parsed(b, bearer_headers_parse(&answer.body, format, ret)) : result;
}

enum bearer_result bearer_get_status(struct bearer *b, const char *profile, struct bearer_status **ret)
{
    _cleanup_(bearer_answer_done) struct bearer_answer answer = {0};
    _cleanup_(buffer_done) struct buffer path = BUFFER_INIT(BEARER_PATH_MAX);
    const struct bearer_request request = {.body_max = STATUS_MAX, .timeout_for = b->margin_for};

    enum bearer_result result = make_path(b, profile, "", &path);
    if (result == BEARER_OK)
        result = ask(b, &request, &path, &answer);
    return result == BEARER_OK ? parsed(b, bearer_status_parse(&answer.body, ret)) : result;
}

enum bearer_result bearer_list(struct bearer *b, struct bearer_status_list **ret)
{
    _cleanup_(bearer_answer_done) struct bearer_answer answer = {0};
    _cleanup_(buffer_done) struct buffer path = BUFFER_INIT(BEARER_PATH_MAX);
    const struct bearer_request request = {.body_max = LIST_MAX, .timeout_for = b->margin_for};

    b->error = (struct bearer_error){.retry_after = BEARER_ABSENT};
    buffer_append_string(&path, "/v1/profiles");
    enum bearer_result result = ask(b, &request, &path, &answer);
    return result == BEARER_OK ? parsed(b, bearer_status_list_parse(&answer.body, ret)) : result;
}

enum bearer_result bearer_refresh(struct bearer *b, const char *profile, struct bearer_status **ret)
{
    _cleanup_(bearer_answer_done) struct bearer_answer answer = {0};
    _cleanup_(buffer_done) struct buffer path = BUFFER_INIT(BEARER_PATH_MAX);
    const struct bearer_request request = {
        .is_post = true, .body_max = STATUS_MAX, .timeout_for = BEARER_WAIT_MAX + b->margin_for};

    enum bearer_result result = make_path(b, profile, "/refresh", &path);
    if (result == BEARER_OK)
        result = ask(b, &request, &path, &answer);
    return result == BEARER_OK ? parsed(b, bearer_status_parse(&answer.body, ret)) : result;
}

/* Writes a fingerprint as the daemon does. False for what is none. */
static bool copy_fingerprint(const char *fingerprint, char lower[static FINGERPRINT_SIZE + 1])
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";

    if (!fingerprint || strlen(fingerprint) != FINGERPRINT_SIZE)
        return false;
    for (size_t i = 0; i < FINGERPRINT_SIZE; i++) {
        const char *digit = strchr(digits, fingerprint[i]);
        if (!digit)
            return false;
        lower[i] = digits[(digit - digits) % 16];
    }
    lower[FINGERPRINT_SIZE] = '\0';
    return true;
}

enum bearer_result bearer_report_rejected(struct bearer *b, const char *profile, const char *fingerprint,
                                          struct bearer_token **ret)
{
    _cleanup_(bearer_answer_done) struct bearer_answer answer = {0};
    _cleanup_(buffer_done) struct buffer path = BUFFER_INIT(BEARER_PATH_MAX);
    char lower[FINGERPRINT_SIZE + 1], body[64];

    enum bearer_result result = make_waiting_path(b, profile, "/rejected", &path);
    if (result != BEARER_OK)
        return result;
    if (!copy_fingerprint(fingerprint, lower))
        return bearer_error_set(&b->error, BEARER_INVALID, "not the fingerprint of a token: %d hex digits",
                                FINGERPRINT_SIZE);
    (void) snprintf(body, sizeof(body), "{\"fingerprint\":\"%s\"}", lower);
    const struct bearer_request request = {
        .is_post = true, .json = body, .body_max = TOKEN_MAX, .timeout_for = waiting_timeout(b)};
    result = ask(b, &request, &path, &answer);
    return result == BEARER_OK ? parsed(b, bearer_token_parse(&answer.body, ret)) : result;
}

enum bearer_result bearer_reload(struct bearer *b, struct bearer_reload_report **ret)
{
    _cleanup_(bearer_answer_done) struct bearer_answer answer = {0};
    _cleanup_(buffer_done) struct buffer path = BUFFER_INIT(BEARER_PATH_MAX);
    const struct bearer_request request = {
        .is_post = true, .body_max = LIST_MAX, .timeout_for = BEARER_WAIT_MAX + b->margin_for};

    b->error = (struct bearer_error){.retry_after = BEARER_ABSENT};
    buffer_append_string(&path, "/v1/reload");
    enum bearer_result result = ask(b, &request, &path, &answer);
    bool is_refused = result == BEARER_REFUSED && bearer_problem_is_reload_refused(&answer);
    return result == BEARER_OK || is_refused ? parsed(b, bearer_reload_parse(&answer.body, is_refused, ret))
                                             : result;
}

/* "uid=33&gid=33&groups=4,33&pid=71": of it what is known. */
static void add_caller(struct buffer *path, const struct bearer_caller *caller)
{
    add_parameter(path, "uid", caller->uid);
    add_parameter(path, "gid", caller->gid);
    add_parameter(path, "pid", caller->pid);
    for (size_t i = 0; i < caller->n_groups; i++)
        if (i == 0)
            add_parameter(path, "groups", caller->groups[i]);
        else
            buffer_appendf(path, ",%" PRIu32, caller->groups[i]);
}

enum bearer_result bearer_explain(struct bearer *b, const char *profile, const struct bearer_caller *caller,
                                  struct bearer_explanation **ret)
{
    _cleanup_(bearer_answer_done) struct bearer_answer answer = {0};
    _cleanup_(buffer_done) struct buffer path = BUFFER_INIT(BEARER_PATH_MAX);
    const struct bearer_request request = {.body_max = STATUS_MAX, .timeout_for = b->margin_for};

    enum bearer_result result = make_path(b, profile, "/explain", &path);
    if (result == BEARER_OK && caller)
        add_caller(&path, caller);
    if (result == BEARER_OK)
        result = ask(b, &request, &path, &answer);
    return result == BEARER_OK ? parsed(b, bearer_explanation_parse(&answer.body, ret)) : result;
}

/* ---- errors ---- */

const struct bearer_error *bearer_peek_error(const struct bearer *b)
{
    return &b->error;
}

enum bearer_result bearer_error_result(const struct bearer_error *e)
{
    return e->result;
}

const char *bearer_error_message(const struct bearer_error *e)
{
    return e->message;
}

const char *bearer_error_title(const struct bearer_error *e)
{
    return e->title[0] ? e->title : NULL;
}

int bearer_error_http_status(const struct bearer_error *e)
{
    return e->http_status;
}

enum bearer_state bearer_error_state(const struct bearer_error *e)
{
    return e->state;
}

int64_t bearer_error_retry_after(const struct bearer_error *e)
{
    return e->retry_after;
}

int bearer_error_errno(const struct bearer_error *e)
{
    return e->os_errno;
}
