/* SPDX-License-Identifier: MIT */
#include "api.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "bearerd-paths.h"

#define TYPE_JSON    "application/json"
#define TYPE_PROBLEM "application/problem+json"
#define TYPE_TEXT    "text/plain; charset=utf-8"
#define TYPE_METRICS "text/plain; version=0.0.4; charset=utf-8"

#define PROBLEM_MAX  ((size_t) 4096)
/* A token and, in a header set, a subscription key of the largest size a key file may have; escaped at worst.
 */
#define REPLY_MAX (2 * (TOKEN_VALUE_MAX + 65536) + 65536)
/* Lists grow with the number of profiles; one entry is under 2 KiB. */
#define LIST_MAX ((size_t) 256 << 20)

/* Denials logged at once, and one each so much later: a caller that knocks all day must not fill the journal.
 */
#define DENIAL_BURST        20
#define DENIAL_INTERVAL_FOR USEC_PER_SEC

/* ---- counting and building ---- */

static struct response *finish(struct api *a, const struct request *r, struct response *response)
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

static struct reply_time api_time(const struct api *a)
{
    struct reply_time t;

    a->read_time(a->userdata, &t);
    return t;
}

struct refusal {
    enum problem_kind kind;
    const char *name;            /* the profile as asked for, or NULL */
    const struct profile *known; /* for a caller that may know it, or NULL */
    usec_t retry_in;             /* Retry-After, rounded up; 0: none */
    const char *allow;           /* 405 */
};

/* Refuses with words. */
_printf_(4, 5) static struct response *refuse(struct api *a, struct request *r, const struct refusal *refusal,
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
    return finish(
        a, r,
        response_new(problem_kind_status(refusal->kind), TYPE_PROBLEM, &body, headers, ARRAY_SIZE(headers)));
}

#define REFUSAL(...) (&(struct refusal){__VA_ARGS__})

static struct response *answer_json(struct api *a, struct request *r, struct buffer *body)
{
    return finish(a, r, response_new(200, TYPE_JSON, body, NULL, 0));
}

/* ---- who may ---- */

static bool admits(const struct access_list *list, struct request *r)
{
    for (size_t i = 0; i < list->n_rules; i++) {
        if (list->rules[i].kind == ACCESS_GROUP)
            request_load_groups(r);
    }
    return access_list_admits(list, &r->peer);
}

static bool may_use(const struct entry *e, struct request *r)
{
    return admits(e->profile.allow, r);
}

static bool is_admin(const struct api *a, struct request *r)
{
    return admits(&a->settings->admin, r);
}

static void log_denial(struct api *a, const struct request *r, const char *profile, usec_t now)
{
    char uid[16], pid[16], more[48] = "";

    a->denial_debt_at = usec_max(a->denial_debt_at, now);
    if (a->denial_debt_at > usec_add(now, (DENIAL_BURST - 1) * DENIAL_INTERVAL_FOR)) {
        a->n_unlogged_denials++;
        return;
    }
    a->denial_debt_at = usec_add(a->denial_debt_at, DENIAL_INTERVAL_FOR);
    (void) snprintf(uid, sizeof(uid), "%u", r->peer.uid);
    (void) snprintf(pid, sizeof(pid), "%d", r->peer.pid);
    if (a->n_unlogged_denials > 0)
        (void) snprintf(more, sizeof(more), " (%" PRIu64 " more not logged)", a->n_unlogged_denials);
    a->n_unlogged_denials = 0;
    log_with(a->log, LOG_LEVEL_NOTICE, LOG_EVENT_ACCESS_DENIED,
             (FIELD("PROFILE", profile), FIELD("PEER_UID", uid), FIELD("PEER_PID", pid)),
             "%s: uid %s, pid %s is not admitted by any Allow= rule%s", profile, uid, pid, more);
}

/* The same answer for a profile that is not there and for one the caller may not use. */
static struct response *refuse_unknown(struct api *a, struct request *r)
{
    struct entry *e = r->entry;

    r->entry = NULL;
    if (e) {
        e->profile.stats.denied++;
        log_denial(a, r, e->profile.name, api_time(a).now);
    }
    return refuse(a, r, REFUSAL(.kind = PROBLEM_UNKNOWN_PROFILE, .name = r->route.profile),
                  "there is no profile of this name that this caller may use");
}

/* ---- tokens ---- */

static struct response *make_token_reply(const struct request *r, const struct reply_time *t)
{
    _cleanup_(buffer_done) struct buffer body = BUFFER_INIT_SECRET(REPLY_MAX);
    const struct profile *p = &r->entry->profile;
    char etag[32];

    (void) snprintf(etag, sizeof(etag), "\"g%" PRIu64 "\"", p->generation);
    const struct response_header headers[] = {
        {"ETag", etag}
    };
    if (r->route.endpoint == ENDPOINT_TOKEN)
        reply_write_token(&body, p, t);
    else if (r->accepts_text)
        reply_write_headers_text(&body, p);
    else
        reply_write_headers_json(&body, p);
    return response_new(200, r->route.endpoint == ENDPOINT_HEADERS && r->accepts_text ? TYPE_TEXT : TYPE_JSON,
                        &body, headers, ARRAY_SIZE(headers));
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

/* The current token, in the form asked for: from the cache where the same second has one. */
static struct response *answer_token(struct api *a, struct request *r)
{
    const struct profile *p = &r->entry->profile;
    struct reply_time t = api_time(a);
    struct cached_reply wanted = {
        .entry = r->entry,
        .endpoint = r->route.endpoint,
        .is_text = r->route.endpoint == ENDPOINT_HEADERS && r->accepts_text,
        .generation = p->generation,
        .left_for = token_left_for(&p->token, t.now) / USEC_PER_SEC,
    };
    size_t slot =
        ((uintptr_t) r->entry / sizeof(struct entry) + 2 * (size_t) wanted.endpoint + wanted.is_text) %
        API_CACHE_SLOTS;
    struct cached_reply *c = &a->cache[slot];

    if (c->entry != wanted.entry || c->endpoint != wanted.endpoint || c->is_text != wanted.is_text ||
        c->generation != wanted.generation || c->left_for != wanted.left_for) {
        cached_reply_drop(c);
        wanted.response = make_token_reply(r, &t);
        if (!wanted.response)
            return refuse(a, r, REFUSAL(.kind = PROBLEM_INTERNAL, .name = p->name),
                          "the answer could not be made: out of memory");
        *c = wanted;
    }
    return finish(a, r, response_ref(c->response));
}

static struct response *answer_status(struct api *a, struct request *r)
{
    _cleanup_(buffer_done) struct buffer body = BUFFER_INIT(PROBLEM_MAX);
    struct reply_time t = api_time(a);

    reply_write_status(&(struct json){.out = &body}, NULL, &r->entry->profile, &t);
    buffer_append_char(&body, '\n');
    return answer_json(a, r, &body);
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
        return refuse(a, r, &refusal, "%s", p->failure.message);
    if (is_in_flight)
        return refuse(a, r, &refusal, "the upstream has not answered yet; the request to it goes on");
    return refuse(a, r, &refusal, "there is no usable token at the moment");
}

static struct response *refuse_too_long(struct api *a, struct request *r)
{
    const struct profile *p = &r->entry->profile;

    return refuse(a, r, REFUSAL(.kind = PROBLEM_MIN_TTL_TOO_LONG, .name = p->name, .known = p),
                  "min_ttl=%" PRIu64 " is more than a token of this issuer has left even when it is new: "
                  "the current one was granted for %" PRIu64 " s",
                  r->route.min_ttl_for / USEC_PER_SEC, p->token.lifetime_for / USEC_PER_SEC);
}

static struct response *answer_as(struct api *a, struct request *r, enum answer answer)
{
    switch (answer) {
    case ANSWER_NONE:
        return NULL;
    case ANSWER_TOKEN:
        return r->route.endpoint == ENDPOINT_REFRESH ? answer_status(a, r) : answer_token(a, r);
    case ANSWER_FAILED:
        return refuse_failed(a, r, false);
    case ANSWER_TIMED_OUT:
        return refuse_failed(a, r, true);
    case ANSWER_TOO_LONG:
        return refuse_too_long(a, r);
    case ANSWER_STOPPING:
        return refuse(a, r,
                      REFUSAL(.kind = PROBLEM_STOPPING, .name = r->route.profile, .retry_in = USEC_PER_SEC),
                      "the daemon is going down or restarting; ask again");
    }
    return NULL;
}

/* NULL, and the request waits; or its answer. */
static struct response *ask_registry(struct api *a, struct request *r, enum waiter_kind kind, usec_t wait_for)
{
    waiter_init(&r->waiter);
    r->waiter.kind = kind;
    r->waiter.min_ttl_for = r->route.min_ttl_for;
    enum answer answer = registry_request(a->registry, r->entry, &r->waiter, wait_for, api_time(a).now);
    if (answer != ANSWER_TOKEN)
        a->kick(a->userdata);
    r->is_waiting = answer == ANSWER_NONE;
    return answer_as(a, r, answer);
}

struct response *api_finish(struct api *a, struct request *r)
{
    return answer_as(a, r, r->waiter.answer);
}

void api_hang_up(void *userdata, struct request *r)
{
    struct api *a = userdata;
    registry_cancel(a->registry, &r->waiter);
}

/* ---- endpoints ---- */

static struct response *handle_token(struct api *a, struct request *r)
{
    if (!r->entry || !may_use(r->entry, r))
        return refuse_unknown(a, r);
    return ask_registry(a, r, WAIT_FOR_TOKEN, r->route.wait_for);
}

static struct response *handle_profile(struct api *a, struct request *r)
{
    if (!r->entry || (!may_use(r->entry, r) && !is_admin(a, r)))
        return refuse_unknown(a, r);
    return answer_status(a, r);
}

static struct response *handle_refresh(struct api *a, struct request *r)
{
    bool may_refresh = is_admin(a, r);

    if (!r->entry || (!may_refresh && !may_use(r->entry, r)))
        return refuse_unknown(a, r);
    if (!may_refresh)
        return refuse(
            a, r, REFUSAL(.kind = PROBLEM_FORBIDDEN, .name = r->route.profile, .known = &r->entry->profile),
            "only admins (Admin= in bearerd.conf) may force a refresh");
    /* An attempt ends within Timeout=; waiting for a slot can take longer than anybody wants to wait. */
    return ask_registry(a, r, WAIT_FOR_OUTCOME, WAIT_MAX);
}

static struct response *handle_profiles(struct api *a, struct request *r)
{
    _cleanup_(buffer_done) struct buffer body = BUFFER_INIT(LIST_MAX);
    struct reply_time t = api_time(a);
    struct json j = {.out = &body};
    bool sees_all = is_admin(a, r);

    json_open(&j, NULL, '{');
    json_open(&j, "profiles", '[');
    for (size_t i = 0; i < a->registry->n_entries; i++) {
        if (sees_all || may_use(a->registry->entries[i], r))
            reply_write_status(&j, NULL, &a->registry->entries[i]->profile, &t);
    }
    json_close(&j, ']');
    json_close(&j, '}');
    buffer_append_char(&body, '\n');
    return answer_json(a, r, &body);
}

static struct response *handle_healthz(struct api *a, struct request *r)
{
    _cleanup_(buffer_done) struct buffer body = BUFFER_INIT(64);

    if (!a->is_healthy(a->userdata))
        return refuse(a, r, REFUSAL(.kind = PROBLEM_UNHEALTHY, .retry_in = USEC_PER_SEC),
                      "a deadline was missed: the daemon is overloaded or stuck");
    buffer_append_string(&body, "{\"status\":\"ok\"}\n");
    return answer_json(a, r, &body);
}

static struct response *handle_readyz(struct api *a, struct request *r)
{
    _cleanup_(buffer_done) struct buffer body = BUFFER_INIT(64);
    char names[384] = "";
    size_t n_missing = 0;
    usec_t now = api_time(a).now;

    for (size_t i = 0; i < a->registry->n_entries; i++) {
        const struct profile *p = &a->registry->entries[i]->profile;
        if (profile_is_usable_for(p, MIN_TTL_DEFAULT, now))
            continue;
        size_t length = strlen(names);
        n_missing++;
        (void) snprintf(names + length, sizeof(names) - length, "%s%s (%s)", length ? ", " : ": ", p->name,
                        profile_state_name(profile_state(p, now)));
    }
    if (n_missing > 0)
        return refuse(a, r, REFUSAL(.kind = PROBLEM_NOT_READY, .retry_in = USEC_PER_SEC),
                      "%zu of %zu profiles have no usable token%s", n_missing, a->registry->n_entries,
                      is_admin(a, r) ? names : "");
    buffer_append_string(&body, "{\"status\":\"ready\"}\n");
    return answer_json(a, r, &body);
}

struct viewer {
    struct request *request;
    bool sees_all;
};

static bool viewer_sees(void *userdata, const struct entry *e)
{
    struct viewer *v = userdata;
    return v->sees_all || may_use(e, v->request);
}

static struct response *handle_metrics(struct api *a, struct request *r)
{
    _cleanup_(buffer_done) struct buffer body = BUFFER_INIT(LIST_MAX);
    struct viewer viewer = {.request = r, .sees_all = is_admin(a, r)};
    struct reply_time t = api_time(a);

    metrics_write(&body, a->registry, a->stats, BEARERD_VERSION, &t, viewer_sees, &viewer);
    return finish(a, r, response_new(200, TYPE_METRICS, &body, NULL, 0));
}

static struct response *handle_unknown(struct api *a, struct request *r)
{
    return refuse(a, r, REFUSAL(.kind = PROBLEM_NOT_FOUND), "there is nothing at this path");
}

typedef struct response *handler(struct api *a, struct request *r);

static handler *const handlers[N_ENDPOINTS] = {
    [ENDPOINT_UNKNOWN] = handle_unknown, [ENDPOINT_PROFILES] = handle_profiles,
    [ENDPOINT_PROFILE] = handle_profile, [ENDPOINT_TOKEN] = handle_token,
    [ENDPOINT_HEADERS] = handle_token,   [ENDPOINT_REFRESH] = handle_refresh,
    [ENDPOINT_HEALTHZ] = handle_healthz, [ENDPOINT_READYZ] = handle_readyz,
    [ENDPOINT_METRICS] = handle_metrics,
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
        return refuse(a, r,
                      REFUSAL(.kind = PROBLEM_METHOD_NOT_ALLOWED, .allow = endpoint_allow(r->route.endpoint)),
                      "this path takes %s", endpoint_allow(r->route.endpoint));
    if (r->is_body_too_large)
        return refuse(a, r, REFUSAL(.kind = PROBLEM_BODY_TOO_LARGE), "a request body may have %zu bytes",
                      REQUEST_BODY_MAX);
    if (r->route.is_bad)
        return refuse(a, r, REFUSAL(.kind = PROBLEM_BAD_REQUEST), "%s", r->route.problem);
    if (r->route.profile[0])
        r->entry = registry_find(a->registry, r->route.profile);
    return handlers[r->route.endpoint](a, r);
}
