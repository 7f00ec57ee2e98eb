/* SPDX-License-Identifier: MIT */
#include "api_fixture.h"

#include <json-c/json.h>
#include <stdlib.h>

struct fixture f;

static struct response *last_answer;

/* ---- in place of host/ ---- */

static void copy_header(struct response *r, const struct response_header *h)
{
    const struct {
        const char *name;
        char *to;
        size_t size;
    } known[] = {
        {"Allow",       r->allow,       sizeof(r->allow)      },
        {"Retry-After", r->retry_after, sizeof(r->retry_after)},
        {"ETag",        r->etag,        sizeof(r->etag)       },
    };

    if (!h->value)
        return;
    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        if (strcmp(known[i].name, h->name) == 0) {
            (void) snprintf(known[i].to, known[i].size, "%s", h->value);
            return;
        }
    }
    fail_msg("unexpected header %s", h->name);
}

struct response *response_new(unsigned status, const char *content_type, struct buffer *body_take,
                              const struct response_header *headers, size_t n_headers)
{
    if (f.has_no_memory || buffer_error(body_take) < 0) {
        buffer_done(body_take);
        return NULL;
    }
    struct response *r = calloc(1, sizeof(*r));
    assert_non_null(r);
    f.n_made++;
    *r = (struct response){.status = status, .n_references = 1, .is_secret = body_take->is_secret};
    (void) snprintf(r->content_type, sizeof(r->content_type), "%s", content_type);
    for (size_t i = 0; i < n_headers; i++)
        copy_header(r, &headers[i]);
    r->body = strndup(buffer_peek(body_take), body_take->size);
    assert_non_null(r->body);
    buffer_done(body_take);
    return r;
}

struct response *response_ref(struct response *r)
{
    r->n_references++;
    return r;
}

struct response *response_unref(struct response *r)
{
    if (r && --r->n_references == 0) {
        free(r->body);
        free(r);
    }
    return NULL;
}

unsigned response_status(const struct response *r)
{
    return r->status;
}

/* User 55 alone has supplementary groups. */
void request_load_groups(struct request *r)
{
    static const uint32_t groups[] = {400, 500, 600};

    f.n_groups_loads++;
    if (r->peer.uid == 55) {
        r->peer.groups = groups;
        r->peer.n_groups = ARRAY_SIZE(groups);
    }
}

/* ---- in place of the daemon ---- */

static void read_time(void *userdata, struct reply_time *ret)
{
    assert_ptr_equal(userdata, &f);
    *ret = (struct reply_time){.now = f.now, .wall_now = WALL_AT + f.now - BOOT_AT};
}

static bool is_healthy(void *userdata)
{
    assert_ptr_equal(userdata, &f);
    return !f.is_sick;
}

static void kick(void *userdata)
{
    assert_ptr_equal(userdata, &f);
    f.n_kicks++;
}

static void keep(struct log *log _unused_, const struct log_entry *entry)
{
    size_t n = 0;

    assert_int_equal(entry->event, LOG_EVENT_ACCESS_DENIED);
    assert_int_equal(entry->level, LOG_LEVEL_NOTICE);
    f.n_logged++;
    (void) snprintf(f.said, sizeof(f.said), "%s", entry->message);
    for (size_t i = 0; i < entry->n_fields; i++)
        n += (size_t) snprintf(f.fields + n, sizeof(f.fields) - n, "%s%s=%s", i ? " " : "",
                               entry->fields[i].name, entry->fields[i].value);
}

static struct log test_log = {.max_level = LOG_LEVEL_DEBUG, .write = keep};

static struct access_list one_rule(enum access_rule_kind kind, uint32_t id)
{
    struct access_list list = {.rules = calloc(1, sizeof(struct access_rule)), .n_rules = 1};

    assert_non_null(list.rules);
    list.rules[0] = (struct access_rule){.kind = kind, .id = id};
    return list;
}

static struct profile_settings make_settings(const char *name, const char *url, enum access_rule_kind kind,
                                             uint32_t id)
{
    return (struct profile_settings){
        .name = strdup(name),
        .token_url = strdup(url),
        .provider = PROVIDER_VIPPS,
        .refresh = {.at_percent = 50,
                    .retry_min_for = SEC(1),
                    .retry_max_for = SEC(60),
                    .timeout_for = SEC(15)},
        .allow = one_rule(kind, id),
    };
}

int api_set_up(void **state _unused_)
{
    f = (struct fixture){.now = BOOT_AT, .settings = {.admin = one_rule(ACCESS_USER, ADMIN)}};
    f.profiles[0] = make_settings("alpha", "https://one.example/token", ACCESS_USER, SHOP);
    f.profiles[1] = make_settings("group", "https://one.example/token", ACCESS_GROUP, 500);
    f.profiles[2] = make_settings("other", "https://two.example/token", ACCESS_USER, STRANGER);
    const struct unusable_profile broken = {
        .name = "broken", .message = "broken.conf:3: no such file", .allow = &f.profiles[0].allow};

    registry_init(&f.registry, 16, 1);
    assert_int_equal(registry_add(&f.registry, &f.profiles[0]), 0);
    assert_int_equal(registry_add_unusable(&f.registry, &broken, f.now), 0);
    assert_int_equal(registry_add(&f.registry, &f.profiles[1]), 0);
    assert_int_equal(registry_add(&f.registry, &f.profiles[2]), 0);
    f.api = (struct api){.registry = &f.registry,
                         .settings = &f.settings,
                         .stats = &f.stats,
                         .log = &test_log,
                         .read_time = read_time,
                         .is_healthy = is_healthy,
                         .kick = kick,
                         .userdata = &f};
    return 0;
}

int api_tear_down(void **state _unused_)
{
    last_answer = response_unref(last_answer);
    api_done(&f.api);
    registry_done(&f.registry);
    for (size_t i = 0; i < ARRAY_SIZE(f.profiles); i++)
        profile_settings_done(&f.profiles[i]);
    daemon_settings_done(&f.settings);
    return 0;
}

struct entry *entry_of(const char *name)
{
    struct entry *e = registry_find(&f.registry, name);

    assert_non_null(e);
    return e;
}

unsigned pop_fetches(void)
{
    unsigned n = 0;

    while (registry_pop_fetch(&f.registry, f.now))
        n++;
    return n;
}

/* What the pump does with notes. */
static void forget_after_notes(void)
{
    enum note note;

    while (registry_pop_note(&f.registry, &note))
        api_forget(&f.api);
}

void end_with_token(const char *name, const char *value, usec_t lifetime_for)
{
    _cleanup_(token_done) struct token t = {
        .sent_at = f.now, .lifetime_for = lifetime_for, .expires_at = f.now + lifetime_for};

    assert_int_equal(secret_set(&t.value, value, strlen(value)), 0);
    (void) snprintf(t.type, sizeof(t.type), "Bearer");
    (void) snprintf(t.fingerprint, sizeof(t.fingerprint), "0123456789abcdef");
    registry_end_fetch(&f.registry, entry_of(name), &t, NULL, true, f.now);
    forget_after_notes();
}

void end_with_failure(const char *name, enum failure_class class, const char *message)
{
    struct failure failure = {.class = class, .reason = REASON_SERVER_ERROR, .http_status = 503};

    (void) snprintf(failure.message, sizeof(failure.message), "%s", message);
    registry_end_fetch(&f.registry, entry_of(name), NULL, &failure, true, f.now);
    forget_after_notes();
}

void all_fresh(void)
{
    registry_start(&f.registry, f.now);
    assert_int_equal(pop_fetches(), 3);
    end_with_token("alpha", "token-of-alpha", SEC(3600));
    end_with_token("group", "token-of-group", SEC(3600));
    end_with_token("other", "token-of-other", SEC(3600));
}

struct request make_request(uint32_t uid, const char *method, const char *target)
{
    struct request r = {
        .peer = {.uid = uid, .gid = uid, .pid = 7},
          .method = REQUEST_OTHER
    };

    if (strcmp(method, "GET") == 0)
        r.method = REQUEST_GET;
    if (strcmp(method, "HEAD") == 0)
        r.method = REQUEST_HEAD;
    if (strcmp(method, "POST") == 0)
        r.method = REQUEST_POST;
    route_parse(target, &r.route);
    return r;
}

static const struct response *keep_answer(struct response *answer)
{
    (void) response_unref(last_answer);
    last_answer = answer;
    return answer;
}

const struct response *ask_with(struct request *r)
{
    waiter_init(&r->waiter);
    return keep_answer(api_handle(&f.api, r));
}

const struct response *ask(uint32_t uid, const char *method, const char *target)
{
    struct request r = make_request(uid, method, target);
    const struct response *answer = ask_with(&r);

    /* One that waits must outlive this call: make_request() and ask_with() are for that. */
    assert_non_null(answer);
    assert_false(r.is_waiting);
    return answer;
}

const struct response *finish_waiting(struct request *r)
{
    struct waiter *w = registry_pop_answer(&f.registry);

    assert_ptr_equal(w, &r->waiter);
    return keep_answer(api_finish(&f.api, r));
}

const char *member(const struct response *answer, const char *name)
{
    static char text[512];
    struct json_object *o = json_tokener_parse(answer->body);
    struct json_object *value = json_object_object_get(o, name);

    (void) snprintf(text, sizeof(text), "%s", value ? json_object_get_string(value) : "");
    json_object_put(o);
    return text;
}

void assert_answer(const struct response *answer, unsigned status, const char *type)
{
    char urn[64];

    assert_non_null(answer);
    if (answer->status != status)
        fail_msg("status %u: %s", answer->status, answer->body);
    assert_string_equal(answer->content_type, type ? "application/problem+json" : "application/json");
    assert_int_equal(answer->body[strlen(answer->body) - 1], '\n');
    if (!type)
        return;
    (void) snprintf(urn, sizeof(urn), "urn:bearerd:problem:%s", type);
    assert_string_equal(member(answer, "type"), urn);
    (void) snprintf(urn, sizeof(urn), "%u", status);
    assert_string_equal(member(answer, "status"), urn);
    assert_true(strlen(member(answer, "detail")) > 0);
}
