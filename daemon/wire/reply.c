/* SPDX-License-Identifier: MIT */
#include "wire/reply.h"

#include <stdlib.h>
#include <string.h>

usec_t reply_wall_at(const struct reply_time *t, usec_t at)
{
    if (at == USEC_INFINITY)
        return USEC_INFINITY;
    return at >= t->now ? usec_add(t->wall_now, at - t->now) : usec_sub(t->wall_now, t->now - at);
}

void reply_write_moment(struct json *j, const char *key, const struct reply_time *t, usec_t at)
{
    char text[RFC3339_SIZE];

    if (at == USEC_INFINITY)
        json_null(j, key);
    else
        json_string(j, key, usec_format_rfc3339(reply_wall_at(t, at), text));
}

static void write_last_error(struct json *j, const struct profile *p, const struct reply_time *t)
{
    if (!p->has_failed_ever) {
        json_null(j, "last_error");
        return;
    }
    json_open(j, "last_error", '{');
    reply_write_moment(j, "at", t, p->failed_at);
    json_string(j, "reason", failure_reason_name(p->failure.reason));
    if (p->failure.http_status > 0)
        json_u64(j, "http_status", (uint64_t) p->failure.http_status);
    else
        json_null(j, "http_status");
    json_string(j, "message", p->failure.message);
    json_close(j, '}');
}

void reply_write_rules(struct json *j, const char *key, const struct access_list *list)
{
    json_open(j, key, '[');
    for (size_t i = 0; i < list->n_rules; i++)
        json_string(j, NULL, list->rules[i].text);
    json_close(j, ']');
}

static struct key_choice choice_in_use(const struct profile *p)
{
    return token_is_set(&p->token) ? p->token_choice : p->choice;
}

const char *reply_client_secret_in_use(const struct profile *p)
{
    if (!p->settings || !secret_is_set(&p->settings->keys[KEY_CLIENT_SECRET]))
        return NULL;
    return choice_in_use(p).is_next_secret ? "next" : "current";
}

const char *reply_subscription_key_in_use(const struct profile *p)
{
    if (!p->settings || !secret_is_set(&p->settings->keys[KEY_SUBSCRIPTION]))
        return NULL;
    return choice_in_use(p).is_secondary_subscription ? "secondary" : "primary";
}

void reply_write_status(struct json *j, const char *key, const struct profile *p, const struct reply_time *t,
                        bool shows_rules)
{
    bool has_token = token_is_set(&p->token) && p->token.expires_at > t->now;

    json_open(j, key, '{');
    json_string(j, "name", p->name);
    json_string(j, "description", p->description);
    json_string(j, "provider", p->provider);
    json_string(j, "state", profile_state_name(profile_state(p, t->now)));
    json_u64(j, "generation", p->generation);
    reply_write_moment(j, "issued_at", t, has_token ? p->token.sent_at : USEC_INFINITY);
    reply_write_moment(j, "expires_at", t, has_token ? p->token.expires_at : USEC_INFINITY);
    if (has_token)
        json_u64(j, "expires_in", token_left_for(&p->token, t->now) / USEC_PER_SEC);
    else
        json_null(j, "expires_in");
    reply_write_moment(j, "next_refresh_at", t, profile_next_attempt_at(p));
    json_string(j, "fingerprint", has_token ? p->token.fingerprint : NULL);
    json_u64(j, "consecutive_failures", p->n_failures);
    write_last_error(j, p, t);
    json_string(j, "client_secret", reply_client_secret_in_use(p));
    json_string(j, "subscription_key", reply_subscription_key_in_use(p));
    if (p->settings)
        json_boolean(j, "preload", p->settings->is_preloaded);
    else
        json_null(j, "preload");
    if (shows_rules)
        reply_write_rules(j, "allow", p->allow);
    json_close(j, '}');
}

void reply_write_token(struct buffer *out, const struct profile *p, const struct reply_time *t)
{
    struct json j = {.out = out};

    json_open(&j, NULL, '{');
    json_string(&j, "access_token", secret_peek(&p->token.value));
    json_string(&j, "token_type", p->token.type);
    json_u64(&j, "expires_in", token_left_for(&p->token, t->now) / USEC_PER_SEC);
    reply_write_moment(&j, "expires_at", t, p->token.expires_at);
    reply_write_moment(&j, "issued_at", t, p->token.sent_at);
    reply_write_moment(&j, "next_refresh_at", t, profile_next_attempt_at(p));
    json_u64(&j, "generation", p->generation);
    json_string(&j, "fingerprint", p->token.fingerprint);
    json_string(&j, "profile", p->name);
    json_close(&j, '}');
    buffer_append_char(out, '\n');
}

/* ---- header sets ---- */

/* Where the header set goes: one form each for JSON and text. */
typedef void write_header(void *out, const char *name, const char *prefix, const char *value);

/* What the token came with goes out with it, whatever was set since and has not proven itself. */
static const struct profile_settings *settings_of_token(const struct profile *p)
{
    return p->token_settings ? p->token_settings : p->settings;
}

/* The key that API calls need: that of old key sets, else the one that was good when the token was asked for.
 */
static const struct secret *api_subscription_key(const struct profile *p)
{
    const struct profile_settings *s = settings_of_token(p);

    if (secret_is_set(&s->keys[KEY_API_SUBSCRIPTION]))
        return &s->keys[KEY_API_SUBSCRIPTION];
    return profile_settings_subscription_key(s, p->token_choice);
}

static void each_header(const struct profile *p, write_header *write, void *out)
{
    const struct profile_settings *s = settings_of_token(p);
    const struct secret *key = api_subscription_key(p);

    write(out, "Authorization", p->token.type, secret_peek(&p->token.value));
    /* The old name is the one on the wire; tokens of request 2 go without a key (vipps-protocol). */
    if (s->provider == PROVIDER_VIPPS && secret_is_set(key))
        write(out, "Ocp-Apim-Subscription-Key", NULL, secret_peek(key));
    for (size_t i = 0; i < s->n_headers; i++)
        write(out, s->headers[i].name, NULL, s->headers[i].value);
}

static void write_header_json(void *out, const char *name, const char *prefix, const char *value)
{
    struct json *j = out;
    struct buffer both = BUFFER_INIT_SECRET(TOKEN_VALUE_MAX + TOKEN_TYPE_SIZE + 1);

    if (!prefix) {
        json_string(j, name, value);
        return;
    }
    buffer_append_string(&both, prefix);
    buffer_append_char(&both, ' ');
    buffer_append_string(&both, value);
    json_string(j, name, buffer_peek(&both));
    if (buffer_error(&both) < 0)
        j->out->error = buffer_error(&both);
    buffer_done(&both);
}

void reply_write_headers_json(struct buffer *out, const struct profile *p)
{
    struct json j = {.out = out};

    json_open(&j, NULL, '{');
    each_header(p, write_header_json, &j);
    json_close(&j, '}');
    buffer_append_char(out, '\n');
}

static void write_header_text(void *out, const char *name, const char *prefix, const char *value)
{
    buffer_append_string(out, name);
    buffer_append_string(out, ": ");
    if (prefix) {
        buffer_append_string(out, prefix);
        buffer_append_char(out, ' ');
    }
    buffer_append_string(out, value);
    buffer_append_char(out, '\n');
}

void reply_write_headers_text(struct buffer *out, const struct profile *p)
{
    each_header(p, write_header_text, out);
}

/* ---- problems ---- */

static const struct {
    unsigned status;
    const char *type;
    const char *title;
} problem_kinds[N_PROBLEM_KINDS] = {
    [PROBLEM_BAD_REQUEST] = {400, "bad-request",          "Bad request"                         },
    [PROBLEM_FORBIDDEN] = {403, "forbidden",            "Not allowed"                         },
    [PROBLEM_NOT_FOUND] = {404, "not-found",            "Not found"                           },
    [PROBLEM_UNKNOWN_PROFILE] = {404, "unknown-profile",      "Unknown profile"                     },
    [PROBLEM_METHOD_NOT_ALLOWED] = {405, "method-not-allowed",   "Method not allowed"                  },
    [PROBLEM_MIN_TTL_TOO_LONG] = {409, "min-ttl-too-long",     "min_ttl is longer than a token lives"},
    [PROBLEM_BODY_TOO_LARGE] = {413, "body-too-large",       "Request body too large"              },
    [PROBLEM_TOO_MANY_CONNECTIONS] = {429, "too-many-connections", "Too many connections"                },
    [PROBLEM_REJECTED_TOO_OFTEN] = {429, "rejected-too-often",   "Too many tokens reported as rejected"},
    [PROBLEM_RELOAD_REFUSED] = {409, "reload-refused",       "The new settings were refused"       },
    [PROBLEM_RELOAD_TIMED_OUT] = {503, "reload-timed-out",     "The reload goes on"                  },
    [PROBLEM_NO_USABLE_TOKEN] = {503, "no-usable-token",      "No usable token"                     },
    [PROBLEM_REFRESH_FAILED] = {503, "refresh-failed",       "The refresh failed"                  },
    [PROBLEM_NOT_READY] = {503, "not-ready",            "Not ready"                           },
    [PROBLEM_UNHEALTHY] = {503, "unhealthy",            "Unhealthy"                           },
    [PROBLEM_STOPPING] = {503, "stopping",             "The daemon is stopping"              },
    [PROBLEM_INTERNAL] = {500, "internal",             "Internal error"                      },
};

unsigned problem_kind_status(enum problem_kind kind)
{
    return problem_kinds[kind].status;
}

void reply_open_problem(struct json *j, enum problem_kind kind, const char *detail)
{
    json_open(j, NULL, '{');
    /* A URN, not a web address: the meaning is documented with the API, and nobody can be sent anywhere by
     * it. */
    buffer_appendf(j->out, "\"type\":\"urn:bearerd:problem:%s\"", problem_kinds[kind].type);
    j->needs_comma = true;
    json_string(j, "title", problem_kinds[kind].title);
    json_u64(j, "status", problem_kinds[kind].status);
    json_string(j, "detail", detail);
}

void reply_close(struct json *j)
{
    json_close(j, '}');
    buffer_append_char(j->out, '\n');
}

void reply_write_problem(struct buffer *out, enum problem_kind kind, const char *detail, const char *name,
                         const struct profile *p, const struct reply_time *t)
{
    struct json j = {.out = out};

    reply_open_problem(&j, kind, detail);
    if (name)
        json_string(&j, "profile", name);
    if (p) {
        json_string(&j, "state", profile_state_name(profile_state(p, t->now)));
        write_last_error(&j, p, t);
    }
    reply_close(&j);
}
