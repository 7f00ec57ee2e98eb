/* SPDX-License-Identifier: MIT */
#include "wire/grant.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "bearerd-paths.h"
#include "wire/basic.h"
#include "wire/form.h"

/* More than servers take; only an odd key file comes near. */
#define LINE_MAX_SIZE ((size_t) 65536)
#define BODY_MAX_SIZE ((size_t) 131072)

static const char assertion_type[] = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/* A request in the making. After the first error every step does nothing, as in a struct buffer. */
struct draft {
    const struct profile_settings *settings;
    const struct grant_inputs *inputs;
    struct http_request request;
    struct buffer form;
    const char *problem;
    int error;
};

static void draft_done(struct draft *d)
{
    http_request_done(&d->request);
    buffer_done(&d->form);
}

static void fail(struct draft *d, int error, const char *problem)
{
    if (d->error)
        return;
    d->error = error;
    d->problem = problem;
}

static void fail_buffer(struct draft *d, int error, const char *problem)
{
    if (error == -ENOMEM)
        fail(d, -ENOMEM, "out of memory");
    else if (error < 0)
        fail(d, -EBADMSG, problem);
}

/* ---- headers ---- */

/* A line break in a key (a file with two lines) would become a header of its own. */
static bool is_one_line(const struct buffer *line)
{
    for (size_t i = 0; i < line->size; i++) {
        unsigned char c = (unsigned char) line->data[i];
        if ((c < ' ' && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

static void add_line(struct draft *d, const struct buffer *line)
{
    fail_buffer(d, buffer_error(line), "a header is too long");
    if (!d->error && !is_one_line(line))
        fail(d, -EBADMSG, "a key or header holds a line break or another control character");
    if (!d->error && d->request.n_headers == HTTP_HEADERS_MAX)
        fail(d, -EBADMSG, "too many headers");
    if (d->error)
        return;
    fail_buffer(d, secret_set(&d->request.headers[d->request.n_headers], buffer_peek(line), line->size), "");
    if (!d->error)
        d->request.n_headers++;
}

static void add_header(struct draft *d, const char *name, const char *value, size_t size)
{
    _cleanup_(buffer_done) struct buffer line = BUFFER_INIT_SECRET(LINE_MAX_SIZE);

    buffer_append_string(&line, name);
    buffer_append_string(&line, ": ");
    buffer_append(&line, value, size);
    add_line(d, &line);
}

static void add_text_header(struct draft *d, const char *name, const char *value)
{
    add_header(d, name, value, strlen(value));
}

/* Passes the key on; fails the draft when it is not set. */
static const struct secret *need(struct draft *d, const struct secret *key, const char *problem)
{
    if (!secret_is_set(key))
        fail(d, -EBADMSG, problem);
    return key;
}

/* check_choice() has seen to it that the second of two keys is there where it is chosen. */
static const struct secret *need_client_secret(struct draft *d)
{
    return need(d, profile_settings_client_secret(d->settings, d->inputs->choice),
                "the client secret is missing");
}

static const struct secret *need_subscription_key(struct draft *d)
{
    return need(d, profile_settings_subscription_key(d->settings, d->inputs->choice),
                "the subscription key is missing");
}

static void check_choice(struct draft *d)
{
    if (d->inputs->choice.is_next_secret && !profile_settings_has_next_secret(d->settings))
        fail(d, -EBADMSG, "the next client secret is missing");
    if (d->inputs->choice.is_secondary_subscription && !profile_settings_has_secondary(d->settings))
        fail(d, -EBADMSG, "the secondary subscription key is missing");
}

static void add_key_header(struct draft *d, const char *name, const struct secret *key)
{
    add_header(d, name, secret_peek(key), key->size);
}

static void add_basic(struct draft *d, bool is_form_encoded)
{
    _cleanup_(buffer_done) struct buffer line = BUFFER_INIT_SECRET(LINE_MAX_SIZE);

    buffer_append_string(&line, "Authorization: Basic ");
    basic_append(&line, d->settings->client_id, need_client_secret(d), is_form_encoded);
    add_line(d, &line);
}

/* ---- the form ---- */

static void add_field(struct draft *d, const char *name, const char *value)
{
    if (value)
        form_append_field(&d->form, name, value, strlen(value));
}

static void add_assertion(struct draft *d)
{
    _cleanup_(buffer_done) struct buffer jwt = BUFFER_INIT_SECRET(BODY_MAX_SIZE);
    const char *problem = "the client assertion is too long";

    (void) need(d, &d->settings->keys[KEY_SIGNING], "the signing key is missing");
    if (d->error)
        return;
    int r = assertion_append(&jwt, d->settings, d->inputs->wall_now, d->inputs->random, &problem);
    fail_buffer(d, r, problem);
    add_field(d, "client_assertion_type", assertion_type);
    form_append_field(&d->form, "client_assertion", buffer_peek(&jwt), jwt.size);
}

static void add_post_secret(struct draft *d)
{
    const struct secret *key = need_client_secret(d);
    form_append_field(&d->form, "client_secret", secret_peek(key), key->size);
}

static void add_oauth2_auth(struct draft *d)
{
    const char *client_id = d->settings->client_id;

    switch (d->settings->client_auth) {
    case CLIENT_AUTH_BASIC:
        add_basic(d, true);
        return;
    case CLIENT_AUTH_POST:
        add_field(d, "client_id", client_id);
        add_post_secret(d);
        return;
    case CLIENT_AUTH_PRIVATE_KEY_JWT:
        /* Optional beside an assertion (RFC 7521 section 4.2), but some issuers look the client up by it. */
        add_field(d, "client_id", client_id);
        add_assertion(d);
        return;
    case CLIENT_AUTH_TLS:
        add_field(d, "client_id", client_id);
        return;
    }
}

static void take_form(struct draft *d)
{
    add_text_header(d, "Content-Type", "application/x-www-form-urlencoded");
    fail_buffer(d, buffer_error(&d->form), "the request is too long");
    if (!d->error)
        fail_buffer(d, secret_set(&d->request.body, buffer_peek(&d->form), d->form.size), "");
}

/* ---- the dialects ---- */

static void draft_vipps(struct draft *d)
{
    add_text_header(d, "client_id", d->settings->client_id);
    add_key_header(d, "client_secret", need_client_secret(d));
    add_key_header(d, "Ocp-Apim-Subscription-Key", need_subscription_key(d));
}

static void draft_vipps_oauth(struct draft *d)
{
    /* Plain: Vipps documents base64(client_id:client_secret), and the '=' and '/' of its secrets sent encoded
     * fail. */
    add_basic(d, false);
    add_field(d, "grant_type", "client_credentials");
    take_form(d);
}

static void draft_oauth2(struct draft *d)
{
    const struct profile_settings *s = d->settings;

    add_field(d, "grant_type", "client_credentials");
    add_oauth2_auth(d);
    add_field(d, "scope", s->scope);
    add_field(d, "audience", s->audience);
    for (size_t i = 0; i < s->n_resources; i++)
        add_field(d, "resource", s->resources[i]);
    take_form(d);
}

static void draft_credentials(struct draft *d)
{
    switch (d->settings->provider) {
    case PROVIDER_VIPPS:
        draft_vipps(d);
        return;
    case PROVIDER_VIPPS_OAUTH:
        draft_vipps_oauth(d);
        return;
    case PROVIDER_OAUTH2:
        draft_oauth2(d);
        return;
    }
}

/* True when the operator has set this header: it is then not ours to add. */
static bool has_header(const struct profile_settings *s, const char *name)
{
    for (size_t i = 0; i < s->n_headers; i++) {
        if (strcasecmp(s->headers[i].name, name) == 0)
            return true;
    }
    return false;
}

int grant_build(const struct profile_settings *s, const struct grant_inputs *in, struct http_request *ret,
                const char **ret_problem)
{
    _cleanup_(draft_done) struct draft d = {
        .settings = s,
        .inputs = in,
        .request = {.url = s->token_url},
        .form = BUFFER_INIT_SECRET(BODY_MAX_SIZE),
    };

    check_choice(&d);
    add_text_header(&d, "Accept", "application/json");
    if (!has_header(s, "User-Agent"))
        add_text_header(&d, "User-Agent", "bearerd/" BEARERD_VERSION);
    draft_credentials(&d);
    for (size_t i = 0; i < s->n_headers; i++)
        add_text_header(&d, s->headers[i].name, s->headers[i].value);
    if (d.error) {
        *ret_problem = d.problem;
        return d.error;
    }
    *ret = d.request;
    d.request = (struct http_request){0};
    return 0;
}
