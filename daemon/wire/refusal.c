/* SPDX-License-Identifier: MIT */
#include "wire/refusal.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/parse.h"
#include "wire/json_read.h"
#include "wire/redact.h"

/* Quoted words, the name of the upstream: together with our own words they fit FAILURE_MESSAGE_SIZE. */
#define WORDS_MAX     ((size_t) 180)
#define UPSTREAM_SIZE 61
/* A Retry-After of more is taken as this much. The back-off's own ceiling lies far below. */
#define RETRY_AFTER_MAX  (366 * USEC_PER_DAY)

#define HINT_ENVIRONMENT "are these keys for the other environment?"
#define HINT_URL         "is the URL right?"
#define HINT_REDIRECT    "redirects are not followed with credentials; is the URL right?"

struct verdict {
    enum failure_class class;
    enum failure_reason reason;
    const char *hint; /* or NULL */
};

/* The useful part of a body. */
struct quote {
    struct buffer error; /* the OAuth error word, or empty */
    struct buffer text;  /* secret: not redacted yet */
};

static void quote_done(struct quote *q)
{
    buffer_done(&q->error);
    buffer_done(&q->text);
}

#define QUOTE_INIT ((struct quote){BUFFER_INIT_SECRET(HTTP_BODY_MAX), BUFFER_INIT_SECRET(2 * HTTP_BODY_MAX)})

/* ---- bodies ---- */

static const char *skip_space(const struct http_answer *a, size_t *ret_size)
{
    const char *text = buffer_peek(&a->body), *end = text + a->body.size;
    while (text < end && strchr(" \t\r\n", *text) && *text)
        text++;
    *ret_size = (size_t) (end - text);
    return text;
}

bool refusal_is_page(const struct http_answer *a)
{
    size_t size;
    const char *text = skip_space(a, &size);
    return (size > 0 && *text == '<') || strcasestr(a->content_type, "html") ||
           strcasestr(a->content_type, "xml");
}

/* Puts "first: second", or the one that is there. False when neither is. */
static bool quote_pair(struct quote *q, const struct json_member *first, const struct json_member *second)
{
    if (first->kind == JSON_STRING && first->size > 0)
        json_append_string(&q->text, first);
    if (second->kind == JSON_STRING && second->size > 0) {
        if (q->text.size > 0)
            buffer_append_string(&q->text, ": ");
        json_append_string(&q->text, second);
    }
    return q->text.size > 0;
}

/* An answer with a token in it is never quoted, whatever else it says. Some gateways wrap all in "error":
 * {...}. */
static void quote_json(struct quote *q, const char *text, size_t size)
{
    enum { ERROR, DESCRIPTION, MESSAGE, TITLE, DETAIL, TOKEN };
    struct json_member m[] = {
        [ERROR] = {.name = "error"},     [DESCRIPTION] = {.name = "error_description"},
        [MESSAGE] = {.name = "message"}, [TITLE] = {.name = "title"},
        [DETAIL] = {.name = "detail"},   [TOKEN] = {.name = "access_token"},
    };
    const struct json_member none = {0};

    if (json_read_object(text, size, m, ARRAY_SIZE(m)) != JSON_READ || m[TOKEN].kind != JSON_ABSENT)
        return;
    if (m[ERROR].kind == JSON_OBJECT)
        quote_json(q, m[ERROR].text, m[ERROR].size);
    if (m[ERROR].kind == JSON_STRING)
        json_append_string(&q->error, &m[ERROR]);
    (void) (q->text.size > 0 || quote_pair(q, &m[ERROR], &m[DESCRIPTION]) ||
            quote_pair(q, &m[MESSAGE], &none) || quote_pair(q, &m[TITLE], &m[DETAIL]));
}

/* Text that is neither a page nor JSON, broken or not, is quoted as it is; that of a 200 could be a bare
 * token. */
static void read_quote(const struct http_answer *a, struct quote *q)
{
    size_t size;
    const char *text = skip_space(a, &size);

    if (size == 0 || refusal_is_page(a))
        return;
    if (*text == '{' || *text == '[' || *text == '"' || strcasestr(a->content_type, "json"))
        quote_json(q, text, size);
    else if (a->status != 200 &&
             (a->content_type[0] == '\0' || strncasecmp(a->content_type, "text/", 5) == 0))
        buffer_append(&q->text, text, size);
}

/* The first line, without the full stop: Azure AD puts trace ids and times behind it. */
static size_t first_line_size(const struct buffer *text)
{
    size_t size = 0;
    while (size < text->size && text->data[size] != '\r' && text->data[size] != '\n')
        size++;
    while (size > 0 && (text->data[size - 1] == '.' || text->data[size - 1] == ' '))
        size--;
    return size;
}

static bool quote_contains(const struct quote *q, const char *words)
{
    return strcasestr(buffer_peek(&q->text), words) != NULL;
}

/* ---- messages ---- */

/* "vipps", or the host of the token URL. */
static void name_upstream(const struct profile_settings *s, char ret[static UPSTREAM_SIZE])
{
    if (s->provider != PROVIDER_OAUTH2) {
        (void) snprintf(ret, UPSTREAM_SIZE, "vipps");
        return;
    }
    const char *host = strstr(s->token_url, "://");
    host = host ? host + 3 : s->token_url;
    size_t size = strcspn(host, "/?#");
    const char *user = memrchr(host, '@', size);
    if (user) {
        size -= (size_t) (user + 1 - host);
        host = user + 1;
    }
    (void) snprintf(ret, UPSTREAM_SIZE, "%.*s", size < UPSTREAM_SIZE ? (int) size : UPSTREAM_SIZE - 1, host);
}

/* "vipps <what>: <words>; <hint>". Words that cannot be redacted for want of memory are left out. */
static void write_message(struct failure *f, const struct profile_settings *s, const char *what,
                          const struct buffer *words, const char *hint)
{
    _cleanup_(buffer_done) struct buffer line = BUFFER_INIT(WORDS_MAX);
    char upstream[UPSTREAM_SIZE];

    name_upstream(s, upstream);
    if (redact_append(&line, WORDS_MAX, s, buffer_peek(words), first_line_size(words)) < 0 ||
        buffer_error(&line))
        buffer_reset(&line);
    (void) snprintf(f->message, sizeof(f->message), "%s %s%s%s%s%s", upstream, what,
                    line.size > 0 ? ": " : "", buffer_peek(&line), hint ? "; " : "", hint ? hint : "");
}

void refusal_write_internal(const char *what, struct failure *ret)
{
    *ret = (struct failure){.class = FAILURE_TRANSIENT, .reason = REASON_INTERNAL};
    (void) snprintf(ret->message, sizeof(ret->message), "%s", what);
}

void refusal_write_bad_token(const struct profile_settings *s, const struct http_answer *a,
                             enum failure_reason reason, const char *what, struct failure *ret)
{
    _cleanup_(quote_done) struct quote q = QUOTE_INIT;
    char text[160];

    read_quote(a, &q);
    *ret = (struct failure){.class = FAILURE_TRANSIENT, .reason = reason, .http_status = a->status};
    (void) snprintf(text, sizeof(text), "answered %d %s", a->status, what);
    write_message(ret, s, text, &q.text, NULL);
}

/* ---- no answer ---- */

static void read_no_answer(const struct profile_settings *s, const struct http_answer *a, struct failure *ret)
{
    static const struct {
        struct verdict verdict;
        const char *what;
    } outcomes[] = {
        [HTTP_ANSWERED] = {{FAILURE_TRANSIENT, REASON_PROTOCOL, NULL},           "answered"                },
        [HTTP_NOT_CONNECTED] = {{FAILURE_TRANSIENT, REASON_CONNECT, NULL},            "cannot be reached"       },
        [HTTP_TIMED_OUT] = {{FAILURE_TRANSIENT, REASON_TIMEOUT, NULL},            "did not answer in time"  },
        [HTTP_TLS_FAILED] = {{FAILURE_TRANSIENT, REASON_TLS, NULL},                "failed the TLS handshake"},
        [HTTP_CERTIFICATE] = {{FAILURE_PERMANENT, REASON_CERTIFICATE, NULL},
                           "has a certificate that does not verify"                                        },
        [HTTP_TOO_LARGE] = {{FAILURE_TRANSIENT, REASON_RESPONSE_TOO_LARGE, NULL},
                           "answered with more than 64 KiB"                                                },
        [HTTP_GARBLED] = {{FAILURE_TRANSIENT, REASON_PROTOCOL, NULL},
                           "answered with something that is not whole HTTP"                                },
        [HTTP_NOT_SENT] = {{FAILURE_TRANSIENT, REASON_INTERNAL, NULL},
                           "was not asked, for a fault of this machine"                                    },
    };
    _cleanup_(buffer_done) struct buffer detail = BUFFER_INIT_SECRET(sizeof(a->detail));

    buffer_append_string(&detail, a->detail);
    *ret = (struct failure){.class = outcomes[a->outcome].verdict.class,
                            .reason = outcomes[a->outcome].verdict.reason};
    write_message(ret, s, outcomes[a->outcome].what, &detail, NULL);
}

/* ---- answers ---- */

/* The first that fits. */
static struct verdict verdict_of_status(int status)
{
    static const struct {
        int first, last;
        struct verdict verdict;
    } statuses[] = {
        {300, 399,     {FAILURE_PERMANENT, REASON_WRONG_URL, HINT_REDIRECT}},
        {400, 400,     {FAILURE_PERMANENT, REASON_BAD_REQUEST, NULL}       },
        {401, 401,     {FAILURE_PERMANENT, REASON_INVALID_KEYS, NULL}      },
        {403, 403,     {FAILURE_PERMANENT, REASON_FORBIDDEN, NULL}         },
        {404, 405,     {FAILURE_PERMANENT, REASON_WRONG_URL, HINT_URL}     },
        {408, 408,     {FAILURE_TRANSIENT, REASON_SERVER_ERROR, NULL}      },
        {425, 425,     {FAILURE_TRANSIENT, REASON_SERVER_ERROR, NULL}      },
        {429, 429,     {FAILURE_TRANSIENT, REASON_RATE_LIMITED, NULL}      },
        {400, 499,     {FAILURE_PERMANENT, REASON_BAD_REQUEST, NULL}       },
        {500, 599,     {FAILURE_TRANSIENT, REASON_SERVER_ERROR, NULL}      },
        {0,   INT_MAX, {FAILURE_TRANSIENT, REASON_BAD_RESPONSE, NULL}      },
    };
    size_t i = 0;
    while (i < ARRAY_SIZE(statuses) - 1 && (status < statuses[i].first || status > statuses[i].last))
        i++;
    return statuses[i].verdict;
}

/*
 * What the body of a 400 or 401 adds. temporarily_unavailable and server_error are words of the authorization
 * endpoint, where they stand for 503 and 500 (RFC 6749 section 4.1.2.1); an issuer that says them in a 400
 * means just that.
 */
static void refine(struct verdict *v, const struct quote *q)
{
    static const struct {
        const char *error;
        struct verdict verdict;
    } errors[] = {
        {"invalid_client",          {FAILURE_PERMANENT, REASON_INVALID_KEYS, NULL}},
        {"unauthorized_client",     {FAILURE_PERMANENT, REASON_INVALID_KEYS, NULL}},
        {"temporarily_unavailable", {FAILURE_TRANSIENT, REASON_SERVER_ERROR, NULL}},
        {"server_error",            {FAILURE_TRANSIENT, REASON_SERVER_ERROR, NULL}},
    };

    for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
        if (strcmp(buffer_peek(&q->error), errors[i].error) == 0)
            *v = errors[i].verdict;
    }
    /* AADSTS70001, 700016, 7000215, 7000222: id unknown there, secret wrong or over. */
    if (quote_contains(q, "AADSTS7000"))
        *v = (struct verdict){FAILURE_PERMANENT, REASON_INVALID_KEYS, NULL};
}

/* Test and production have separate keys, and mixing them is the commonest mistake. */
static const char *hint_about_keys(const struct profile_settings *s, const struct verdict *v,
                                   const struct quote *q)
{
    if (v->reason != REASON_INVALID_KEYS && v->reason != REASON_SUBSCRIPTION_KEY)
        return v->hint;
    if (s->provider != PROVIDER_OAUTH2 || quote_contains(q, "not found in the directory") ||
        quote_contains(q, "AADSTS70001"))
        return HINT_ENVIRONMENT;
    return v->hint;
}

/*
 * True when the gateway in front of Vipps refuses the subscription key and nothing else ("Access denied due
 * to invalid subscription key", "... missing subscription key"; Azure API Management, "Unauthorized errors
 * (401) while invoking APIs", 2023). Words that speak of the client as well ("check client_secret and
 * subscription key") blame no key in particular.
 */
static bool blames_subscription_key(const struct quote *q)
{
    return quote_contains(q, "subscription key") && !quote_contains(q, "client");
}

/* " to the next client secret": which of two keys was refused, or "" where there is but one, or none is to
 * blame. */
static const char *name_key(const struct asked *asked, const struct failure *f)
{
    if (failure_blames_secret(f) && profile_settings_has_next_secret(asked->settings))
        return asked->choice.is_next_secret ? " to the next client secret" : " to the current client secret";
    if (failure_blames_subscription_key(f) && profile_settings_has_secondary(asked->settings))
        return asked->choice.is_secondary_subscription ? " to the secondary subscription key"
                                                       : " to the primary subscription key";
    return "";
}

/* Seconds or an HTTP date (RFC 9110 section 10.2.3); what is neither, or lies behind, is 0. */
static usec_t read_retry_after(const struct http_answer *a, usec_t wall_now)
{
    const char *text = a->retry_after;
    uint64_t seconds;
    usec_t wall_at, date;

    int r = parse_u64(text, &seconds);
    if (r == -ERANGE)
        return RETRY_AFTER_MAX;
    if (r == 0)
        return usec_min(usec_scale(USEC_PER_SEC, seconds, 1), RETRY_AFTER_MAX);
    if (!usec_parse_http_date(text, &wall_at))
        return 0;
    if (!usec_parse_http_date(a->date, &date))
        date = wall_now;
    return usec_min(usec_sub(wall_at, date), RETRY_AFTER_MAX);
}

void refusal_read(const struct asked *asked, const struct http_answer *a, struct failure *ret)
{
    const struct profile_settings *s = asked->settings;
    _cleanup_(quote_done) struct quote q = QUOTE_INIT;
    char what[80];

    if (a->outcome != HTTP_ANSWERED) {
        read_no_answer(s, a, ret);
        return;
    }
    read_quote(a, &q);
    struct verdict v = verdict_of_status(a->status);
    if (a->status == 400 || a->status == 401)
        refine(&v, &q);
    if (a->status == 401 && blames_subscription_key(&q))
        v = (struct verdict){FAILURE_PERMANENT, REASON_SUBSCRIPTION_KEY, NULL};

    *ret = (struct failure){
        .class = v.class,
        .reason = v.reason,
        .http_status = a->status,
        .retry_after_for = read_retry_after(a, asked->wall_now),
    };
    (void) snprintf(what, sizeof(what), "answered %d%s%s", a->status, name_key(asked, ret),
                    refusal_is_page(a) ? " with an HTML page" : "");
    write_message(ret, s, what, &q.text, hint_about_keys(s, &v, &q));
}
