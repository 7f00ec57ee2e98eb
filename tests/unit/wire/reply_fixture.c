/* SPDX-License-Identifier: MIT */
#include "reply_fixture.h"

static const struct refresh_policy exact_policy = {
    .at_percent = 50, .retry_min_for = AT(1), .retry_max_for = AT(60), .timeout_for = AT(15)};

struct profile_settings settings;
struct profile p;
usec_t now;

int reply_set_up(void **state _unused_)
{
    settings = fixture_vipps();
    settings.refresh = exact_policy;
    settings.is_preloaded = true;
    fixture_set(&settings.description, "Web shop, \"unit\" 123456");
    profile_init(&p, &settings);
    now = BOOT_AT;
    return 0;
}

int reply_tear_down(void **state _unused_)
{
    profile_done(&p);
    profile_settings_done(&settings);
    return 0;
}

struct reply_time both_clocks(void)
{
    return (struct reply_time){.now = now, .wall_now = WALL_AT + (now - BOOT_AT)};
}

/* ---- what happens to the profile ---- */

void step(enum event_kind kind, unsigned at)
{
    now = AT(at);
    (void) profile_step(&p, &(struct event){.kind = kind, .min_ttl_for = MIN_TTL_DEFAULT}, now);
}

void token_comes(const char *value, unsigned sent, unsigned at)
{
    _cleanup_(token_done) struct token t = {
        .sent_at = AT(sent), .lifetime_for = AT(3600), .expires_at = AT(sent + 3600)};

    assert_int_equal(secret_set(&t.value, value, strlen(value)), 0);
    (void) snprintf(t.type, sizeof(t.type), "Bearer");
    (void) snprintf(t.fingerprint, sizeof(t.fingerprint), "0123456789abcdef");
    now = AT(at);
    (void) profile_step(&p, &(struct event){.kind = EVENT_TOKEN, .token = &t}, now);
}

void fetch_fails(const struct failure *failure, unsigned at)
{
    now = AT(at);
    (void) profile_step(&p, &(struct event){.kind = EVENT_FAILURE, .failure = failure}, now);
}

const struct failure unreachable = {
    .class = FAILURE_TRANSIENT, .reason = REASON_CONNECT, .message = "vipps: Connection refused"};
const struct failure wrong_keys = {.class = FAILURE_PERMANENT,
                                   .reason = REASON_INVALID_KEYS,
                                   .http_status = 401,
                                   .message = "vipps answered 401: \"no\""};

/* ---- looking at bodies ---- */

struct json_object *parse(const char *text, size_t size)
{
    struct json_tokener *tokener = json_tokener_new();

    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    struct json_object *o = json_tokener_parse_ex(tokener, text, (int) size + 1);
    if (json_tokener_get_error(tokener) != json_tokener_success)
        fail_msg("no JSON: %s", text);
    json_tokener_free(tokener);
    return o;
}

void assert_json(const struct buffer *body, const char *expected)
{
    char wanted[2048];

    assert_int_equal(buffer_error(body), 0);
    assert_true(strlen(expected) < sizeof(wanted));
    for (size_t i = 0; i <= strlen(expected); i++)
        wanted[i] = expected[i] == '\'' ? '"' : expected[i];
    struct json_object *a = parse(buffer_peek(body), body->size), *b = parse(wanted, strlen(wanted));
    if (!json_object_equal(a, b))
        fail_msg("got\n%s\ninstead of\n%s", buffer_peek(body), wanted);
    json_object_put(a);
    json_object_put(b);
}
