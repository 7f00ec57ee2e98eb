/* SPDX-License-Identifier: MIT */
#include "api_inside.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TYPE_JSON    "application/json"
#define TYPE_PROBLEM "application/problem+json"
#define TYPE_TEXT    "text/plain; charset=utf-8"

#define PROBLEM_MAX  ((size_t) 4096)
/* A token and, in a header set, a subscription key of the largest size a key file may have; escaped at worst.
 */
#define REPLY_MAX (2 * (TOKEN_VALUE_MAX + 65536) + 65536)
/* What a reload did to each of a large number of profiles. */
#define RELOAD_MAX ((size_t) 64 << 20)
#define ETAG_SIZE  32

/* ---- counting and building ---- */

struct response *api_count(struct api *a, const struct request *r, struct response *response)
{
    if (response) {
        enum stats_code code = stats_code_of(response_status(response));
        if (r->entry)
            r->entry->profile.stats.api_requests[code]++;
        else
            a->stats->api_requests[code]++;
    }
    return response;
}

struct reply_time api_time(const struct api *a)
{
    struct reply_time t;

    a->read_time(a->userdata, &t);
    return t;
}

/* Refuses with words. */
struct response *api_refuse(struct api *a, struct request *r, const struct refusal *refusal,
                            const char *format, ...)
{
    _cleanup_(buffer_done) struct buffer body = BUFFER_INIT(PROBLEM_MAX);
    struct reply_time t = api_time(a);
    char detail[512], retry[32];
    va_list args;

    va_start(args, format);
    (void) vsnprintf(detail, sizeof(detail), format, args);
    va_end(args);
    (void) snprintf(retry, sizeof(retry), "%" PRIu64,
                    usec_add(refusal->retry_in, USEC_PER_SEC - 1) / USEC_PER_SEC);
    const struct response_header headers[] = {
        {"Allow",       refusal->allow                      },
        {"Retry-After", refusal->retry_in > 0 ? retry : NULL},
    };
    reply_write_problem(&body, refusal->kind, detail, refusal->name, refusal->known, &t);
    return api_count(
        a, r,
        response_new(problem_kind_status(refusal->kind), TYPE_PROBLEM, &body, headers, ARRAY_SIZE(headers)));
}

struct response *api_answer_json(struct api *a, struct request *r, struct buffer *body)
{
    return api_count(a, r, response_new(200, TYPE_JSON, body, NULL, 0));
}

/* ---- tokens ---- */

/* The form that was asked for. A report of a rejected token is answered as /token is. */
static enum reply_form form_of(const struct request *r)
{
    if (r->route.endpoint != ENDPOINT_HEADERS)
        return FORM_TOKEN;
    return r->accepts_text ? FORM_HEADERS_TEXT : FORM_HEADERS_JSON;
}

static void write_etag(const struct profile *p, char ret[static ETAG_SIZE])
{
    (void) snprintf(ret, ETAG_SIZE, "\"g%" PRIu64 "\"", p->generation);
}

static struct response *make_token_reply(const struct profile *p, enum reply_form form,
                                         const struct reply_time *t)
{
    _cleanup_(buffer_done) struct buffer body = BUFFER_INIT_SECRET(REPLY_MAX);
    char etag[ETAG_SIZE];

    write_etag(p, etag);
    const struct response_header headers[] = {
        {"ETag", etag}
    };
    if (form == FORM_TOKEN)
        reply_write_token(&body, p, t);
    else if (form == FORM_HEADERS_TEXT)
        reply_write_headers_text(&body, p);
    else
        reply_write_headers_json(&body, p);
    return response_new(200, form == FORM_HEADERS_TEXT ? TYPE_TEXT : TYPE_JSON, &body, headers,
                        ARRAY_SIZE(headers));
}

/* The caller has the current one. */
static struct response *answer_unchanged(struct api *a, struct request *r)
{
    _cleanup_(buffer_done) struct buffer none = BUFFER_INIT(1);
    char etag[ETAG_SIZE];
    const struct response_header headers[] = {
        {"ETag", etag}
    };

    write_etag(&r->entry->profile, etag);
    return api_count(a, r, response_new(304, NULL, &none, headers, ARRAY_SIZE(headers)));
}

static void cached_reply_drop(struct cached_reply *c)
{
    (void) response_unref(c->response);
    *c = (struct cached_reply){0};
}

void api_forget(struct api *a)
{
    for (size_t i = 0; i < API_CACHE_SLOTS; i++)
        cached_reply_drop(&a->cache[i]);
}

void api_done(struct api *a)
{
    api_forget(a);
}

/* Told once the answer has gone out: finding out who the caller is takes longer than the answer itself. */
static void note_handout(struct request *r, bool has_waited)
{
    const struct profile *p = &r->entry->profile;

    r->handout = (struct handout){
        .is_pending = r->method != REQUEST_HEAD, .has_waited = has_waited, .generation = p->generation};
    memcpy(r->handout.fingerprint, p->token.fingerprint, sizeof(r->handout.fingerprint));
}

void api_answered(void *userdata, struct request *r)
{
    if (!r->handout.is_pending)
        return;
    api_tell_handout(userdata, r);
    r->handout.is_pending = false;
}

/* The current token, in the form asked for: from the cache where the same second has one. */
static struct response *answer_token(struct api *a, struct request *r, bool has_waited)
{
    const struct profile *p = &r->entry->profile;
    struct reply_time t = api_time(a);
    struct cached_reply wanted = {
        .entry = r->entry,
        .form = form_of(r),
        .generation = p->generation,
        .left_for = token_left_for(&p->token, t.now) / USEC_PER_SEC,
        .next_at = profile_next_attempt_at(p),
    };
    size_t slot = ((uintptr_t) r->entry / sizeof(struct entry) + (size_t) wanted.form) % API_CACHE_SLOTS;
    struct cached_reply *c = &a->cache[slot];

    if (c->entry != wanted.entry || c->form != wanted.form || c->generation != wanted.generation ||
        c->left_for != wanted.left_for || c->next_at != wanted.next_at) {
        cached_reply_drop(c);
        wanted.response = make_token_reply(p, wanted.form, &t);
        if (!wanted.response)
            return api_refuse(a, r, REFUSAL(.kind = PROBLEM_INTERNAL, .name = p->name),
                              "the answer could not be made: out of memory");
        *c = wanted;
    }
    note_handout(r, has_waited);
    return api_count(a, r, response_ref(c->response));
}

/* When it makes sense to ask again: with the next attempt, and never at once. */
static usec_t retry_in(const struct entry *e, usec_t now)
{
    usec_t in = entry_retry_in(e, now);
    return in == USEC_INFINITY ? USEC_PER_MIN : usec_max(in, USEC_PER_SEC);
}

static struct response *refuse_failed(struct api *a, struct request *r, bool is_in_flight)
{
    const struct profile *p = &r->entry->profile;
    struct refusal refusal = {
        .kind = r->route.endpoint == ENDPOINT_REFRESH ? PROBLEM_REFRESH_FAILED : PROBLEM_NO_USABLE_TOKEN,
        .name = p->name,
        .known = p,
        .retry_in = retry_in(r->entry, api_time(a).now),
    };

    if (p->n_failures > 0)
        return api_refuse(a, r, &refusal, "%s", p->failure.message);
    if (is_in_flight)
        return api_refuse(a, r, &refusal, "the upstream has not answered yet; the request to it goes on");
    if (r->waiter.kind == WAIT_FOR_NEWER)
        return api_refuse(a, r, &refusal,
                          "a new token is asked for as soon as the pause between two requests is over; until "
                          "then /token goes on giving the one that was reported");
    return api_refuse(a, r, &refusal, "there is no usable token at the moment");
}

static struct response *refuse_too_long(struct api *a, struct request *r)
{
    const struct profile *p = &r->entry->profile;

    return api_refuse(a, r, REFUSAL(.kind = PROBLEM_MIN_TTL_TOO_LONG, .name = p->name, .known = p),
                      "min_ttl=%" PRIu64 " is more than a token of this issuer has left even when it is new: "
                      "the current one was granted for %" PRIu64 " s",
                      r->route.min_ttl_for / USEC_PER_SEC, p->token.lifetime_for / USEC_PER_SEC);
}

static struct response *refuse_too_often(struct api *a, struct request *r)
{
    const struct profile *p = &r->entry->profile;
    usec_t in = usec_sub(r->waiter.allowed_at, api_time(a).now);
    char span[SPAN_SIZE];

    return api_refuse(
        a, r,
        REFUSAL(.kind = PROBLEM_REJECTED_TOO_OFTEN, .name = p->name, .known = p, .retry_in = usec_max(in, 1)),
        "too many tokens of this profile have been reported as rejected; the next report is taken in %s, "
        "and until then /token goes on giving the current token",
        usec_format_span(usec_add(in, USEC_PER_SEC - 1) / USEC_PER_SEC * USEC_PER_SEC, span));
}

static struct response *refuse_stopping(struct api *a, struct request *r)
{
    const char *name = r->route.profile[0] ? r->route.profile : NULL;

    return api_refuse(a, r, REFUSAL(.kind = PROBLEM_STOPPING, .name = name, .retry_in = USEC_PER_SEC),
                      "the daemon is going down or restarting; ask again");
}

static struct response *answer_as(struct api *a, struct request *r, enum answer answer, bool has_waited)
{
    switch (answer) {
    case ANSWER_NONE:
        return NULL;
    case ANSWER_TOKEN:
        return r->route.endpoint == ENDPOINT_REFRESH ? api_answer_status(a, r)
                                                     : answer_token(a, r, has_waited);
    case ANSWER_FAILED:
        return refuse_failed(a, r, false);
    case ANSWER_TIMED_OUT:
        return refuse_failed(a, r, true);
    case ANSWER_TOO_LONG:
        return refuse_too_long(a, r);
    case ANSWER_UNCHANGED:
        return answer_unchanged(a, r);
    case ANSWER_TOO_OFTEN:
        return refuse_too_often(a, r);
    case ANSWER_STOPPING:
        return refuse_stopping(a, r);
    case ANSWER_GONE:
    case ANSWER_PROVEN:
        break; /* answered by api_finish() */
    }
    return NULL;
}

/* What the registry says, or NULL: the request waits. */
static struct response *take_answer(struct api *a, struct request *r, enum answer answer)
{
    /* A caller who waits has moved the next deadline; one who is served may have woken an idle profile. */
    if (answer != ANSWER_TOKEN || registry_has_work(a->registry))
        a->kick(a->userdata);
    r->is_waiting = answer == ANSWER_NONE;
    return answer_as(a, r, answer, false);
}

static void begin_waiter(struct request *r, enum waiter_kind kind)
{
    waiter_init(&r->waiter);
    r->waiter.kind = kind;
    r->waiter.min_ttl_for = r->route.min_ttl_for;
}

static struct response *answer_reload(struct api *a, struct request *r, enum answer answer)
{
    _cleanup_(buffer_done) struct buffer body = BUFFER_INIT(RELOAD_MAX);

    if (answer == ANSWER_STOPPING)
        return refuse_stopping(a, r);
    if (reload_is_reading(a->reload))
        return api_refuse(a, r, REFUSAL(.kind = PROBLEM_RELOAD_TIMED_OUT, .retry_in = USEC_PER_SEC),
                          "the settings are still being read; the log will say what comes of it");
    unsigned status = reload_write_outcome(a->reload, &body);
    return api_count(a, r, response_new(status, status == 200 ? TYPE_JSON : TYPE_PROBLEM, &body, NULL, 0));
}

/*
 * The rules of this moment decide, not those of when the request came: a reload may have taken the profile
 * away from who waits for its token, or have freed the entry of then.
 */
struct response *api_finish(struct api *a, struct request *r)
{
    enum answer answer = r->waiter.answer;

    if (r->route.endpoint == ENDPOINT_RELOAD)
        return answer_reload(a, r, answer);
    r->entry = answer == ANSWER_GONE ? NULL : registry_find(a->registry, r->route.profile);
    if (!r->entry ||
        (!api_may_use(r->entry, r) && !(r->route.endpoint == ENDPOINT_REFRESH && api_is_admin(a, r))))
        return api_refuse_unknown(a, r);
    return answer_as(a, r, answer, true);
}

void api_hang_up(void *userdata, struct request *r)
{
    struct api *a = userdata;
    registry_cancel(a->registry, &r->waiter);
}

/* ---- endpoints ---- */

/*
 * True when the caller has the current token and waits for the next one, or asks whether there is a next one.
 * Who does not say how long it waits is told at once that there is none, but only while its token is good:
 * with one that is not it wants another, as any caller.
 */
static bool is_poll(const struct request *r, usec_t now)
{
    const struct profile *p = &r->entry->profile;

    return r->if_none_match && route_names_generation(r->if_none_match, p->generation) &&
           (r->route.has_wait || profile_is_usable_for(p, r->route.min_ttl_for, now));
}

static struct response *handle_token(struct api *a, struct request *r)
{
    usec_t now = api_time(a).now;

    if (!r->entry || !api_may_use(r->entry, r))
        return api_refuse_unknown(a, r);
    begin_waiter(r, WAIT_FOR_TOKEN);
    if (!is_poll(r, now))
        return take_answer(a, r, registry_request(a->registry, r->entry, &r->waiter, r->route.wait_for, now));
    r->waiter.generation = r->entry->profile.generation;
    return take_answer(
        a, r,
        registry_poll(a->registry, r->entry, &r->waiter, r->route.has_wait ? r->route.wait_for : 0, now));
}

static struct response *handle_rejected(struct api *a, struct request *r)
{
    char fingerprint[FINGERPRINT_SIZE];

    if (!r->entry || !api_may_use(r->entry, r))
        return api_refuse_unknown(a, r);
    const char *problem = route_read_rejection(buffer_peek(&r->body), r->body.size, fingerprint);
    if (problem)
        return api_refuse(a, r, REFUSAL(.kind = PROBLEM_BAD_REQUEST, .name = r->route.profile), "%s",
                          problem);
    const struct rejection rejection = {
        .fingerprint = fingerprint, .uid = r->peer.uid, .wait_for = r->route.wait_for};
    begin_waiter(r, WAIT_FOR_NEWER);
    enum answer answer = registry_reject(a->registry, r->entry, &r->waiter, &rejection, api_time(a).now);
    api_note_rejection(a, r, fingerprint, answer);
    return take_answer(a, r, answer);
}

/* Any number of them end with the same reading, which begins after the last of them came. */
static struct response *handle_reload(struct api *a, struct request *r)
{
    if (!api_is_admin(a, r))
        return api_refuse(a, r, REFUSAL(.kind = PROBLEM_FORBIDDEN),
                          "only admins (Admin= in bearerd.conf) may reload the settings");
    begin_waiter(r, WAIT_FOR_PROOFS);
    /* The registry may still wait for upstreams: it would say that nothing is to be proven. */
    if (!reload_start(a->reload))
        return refuse_stopping(a, r);
    enum answer answer = registry_await_proofs(a->registry, &r->waiter, WAIT_MAX, api_time(a).now);
    a->kick(a->userdata);
    r->is_waiting = answer == ANSWER_NONE;
    return r->is_waiting ? NULL : answer_reload(a, r, answer);
}

static struct response *handle_refresh(struct api *a, struct request *r)
{
    bool may_refresh = api_is_admin(a, r);

    if (!r->entry || (!may_refresh && !api_may_use(r->entry, r)))
        return api_refuse_unknown(a, r);
    if (!may_refresh)
        return api_refuse(
            a, r, REFUSAL(.kind = PROBLEM_FORBIDDEN, .name = r->route.profile, .known = &r->entry->profile),
            "only admins (Admin= in bearerd.conf) may force a refresh");
    /* An attempt ends within Timeout=; waiting for a slot can take longer than anybody wants to wait. */
    begin_waiter(r, WAIT_FOR_OUTCOME);
    return take_answer(a, r, registry_request(a->registry, r->entry, &r->waiter, WAIT_MAX, api_time(a).now));
}

static struct response *handle_unknown(struct api *a, struct request *r)
{
    return api_refuse(a, r, REFUSAL(.kind = PROBLEM_NOT_FOUND), "there is nothing at this path");
}

typedef struct response *handler(struct api *a, struct request *r);

static handler *const handlers[N_ENDPOINTS] = {
    [ENDPOINT_UNKNOWN] = handle_unknown,     [ENDPOINT_PROFILES] = api_handle_profiles,
    [ENDPOINT_PROFILE] = api_handle_profile, [ENDPOINT_TOKEN] = handle_token,
    [ENDPOINT_HEADERS] = handle_token,       [ENDPOINT_REFRESH] = handle_refresh,
    [ENDPOINT_REJECTED] = handle_rejected,   [ENDPOINT_EXPLAIN] = api_handle_explain,
    [ENDPOINT_RELOAD] = handle_reload,       [ENDPOINT_HEALTHZ] = api_handle_healthz,
    [ENDPOINT_READYZ] = api_handle_readyz,   [ENDPOINT_METRICS] = api_handle_metrics,
};

static bool is_method_right(const struct request *r)
{
    switch (endpoint_method(r->route.endpoint)) {
    case METHOD_GET:
        return r->method == REQUEST_GET || r->method == REQUEST_HEAD;
    case METHOD_POST:
        return r->method == REQUEST_POST;
    }
    return false;
}

struct response *api_handle(void *userdata, struct request *r)
{
    struct api *a = userdata;

    r->entry = NULL;
    if (r->route.endpoint == ENDPOINT_UNKNOWN)
        return handle_unknown(a, r);
    if (!is_method_right(r))
        return api_refuse(
            a, r, REFUSAL(.kind = PROBLEM_METHOD_NOT_ALLOWED, .allow = endpoint_allow(r->route.endpoint)),
            "this path takes %s", endpoint_allow(r->route.endpoint));
    if (r->is_body_too_large)
        return api_refuse(a, r, REFUSAL(.kind = PROBLEM_BODY_TOO_LARGE), "a request body may have %zu bytes",
                          REQUEST_BODY_MAX);
    if (r->route.is_bad)
        return api_refuse(a, r, REFUSAL(.kind = PROBLEM_BAD_REQUEST), "%s", r->route.problem);
    if (r->route.profile[0])
        r->entry = registry_find(a->registry, r->route.profile);
    return handlers[r->route.endpoint](a, r);
}
