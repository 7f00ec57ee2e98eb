/* SPDX-License-Identifier: MIT */
#include "api_fixture.h"

#include <errno.h>
#include <inttypes.h>
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
    (void) snprintf(r->content_type, sizeof(r->content_type), "%s", content_type ? content_type : "");
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

void request_load_unit(struct request *r)
{
    f.n_unit_loads++;
    r->peer.unit = f.unit;
    r->unit_problem = f.unit ? NULL : f.unit_problem;
}

uint64_t request_process_id(struct request *r)
{
    return f.has_no_process_id ? 0 : (uint64_t) r->peer.pid;
}

const char *request_load_program(struct request *r _unused_, char *buffer, size_t size)
{
    if (!f.program)
        return NULL;
    (void) snprintf(buffer, size, "%s", f.program);
    return buffer;
}

int server_find_unit(struct server *s _unused_, int32_t pid _unused_, char *ret, size_t size,
                     const char **ret_problem)
{
    if (!f.unit) {
        *ret_problem = f.unit_problem;
        return -ENXIO;
    }
    (void) snprintf(ret, size, "%s", f.unit);
    return 0;
}

/* ---- in place of the daemon ---- */

bool reload_start(struct reload *r)
{
    assert_ptr_equal(r, &f.reload);
    if (f.is_stopping)
        return false;
    f.n_reloads++;
    if (!f.is_reading)
        registry_hold_proofs(&f.registry);
    f.is_reading = true;
    return true;
}

bool reload_is_reading(const struct reload *r _unused_)
{
    return f.is_reading;
}

unsigned reload_write_outcome(const struct reload *r _unused_, struct buffer *out)
{
    buffer_append_string(out, f.outcome);
    return f.outcome_status;
}

void end_reload(void)
{
    f.is_reading = false;
    registry_release_proofs(&f.registry);
}

struct reply_time daemon_time(struct daemon *d _unused_)
{
    return (struct reply_time){.now = f.now, .wall_now = WALL_AT + f.now - BOOT_AT};
}

static void read_time(void *userdata, struct reply_time *ret)
{
    assert_ptr_equal(userdata, &f);
    *ret = daemon_time(NULL);
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

static void kick_audit(void *userdata)
{
    assert_ptr_equal(userdata, &f);
    f.n_audit_kicks++;
}

static void keep(struct log *log _unused_, const struct log_entry *entry)
{
    size_t n = 0;

    f.n_logged++;
    f.n_events[entry->event]++;
    f.level = entry->level;
    (void) snprintf(f.said, sizeof(f.said), "%s", entry->message);
    f.fields[0] = '\0';
    for (size_t i = 0; i < entry->n_fields; i++) {
        const struct log_field *field = &entry->fields[i];
        if (field->value && *field->value)
            n += (size_t) snprintf(f.fields + n, sizeof(f.fields) - n, "%s%s=%s", n ? " " : "", field->name,
                                   field->value);
    }
    /* Whatever is logged, no token is. */
    assert_null(strstr(f.said, "token-of"));
    assert_null(strstr(f.fields, "token-of"));
}

static struct log test_log = {.max_level = LOG_LEVEL_DEBUG, .write = keep};

void set_rule(struct access_list *list, enum access_rule_kind kind, uint32_t id, const char *text)
{
    char *copy = strdup(text), *colon = strchr(copy, ':');

    access_list_done(list);
    *list = (struct access_list){.rules = calloc(1, sizeof(struct access_rule)), .n_rules = 1};
    assert_non_null(list->rules);
    list->rules[0] = (struct access_rule){
        .kind = kind, .id = id, .text = copy, .unit = kind == ACCESS_UNIT ? colon + 1 : NULL};
}

void set_audit(enum audit_mode mode)
{
    audit_set_mode(f.audit, mode, f.now);
}

static struct profile_settings *make_settings(const char *name, const char *url)
{
    struct profile_settings *s = calloc(1, sizeof(*s));

    assert_non_null(s);
    *s = (struct profile_settings){
        .name = strdup(name),
        .token_url = strdup(url),
        .client_id = strdup("id"),
        .provider = PROVIDER_VIPPS,
        .refresh = {.at_percent = 50,
                    .retry_min_for = SEC(1),
                    .retry_max_for = SEC(60),
                    .timeout_for = SEC(15)},
        .is_preloaded = true,
        .idle_after_for = SEC(3600),
    };
    return s;
}

static void make_profiles(void)
{
    f.profiles[0] = make_settings("alpha", "https://one.example/token");
    f.profiles[1] = make_settings("group", "https://one.example/token");
    f.profiles[2] = make_settings("other", "https://two.example/token");
    set_rule(&f.profiles[0]->allow, ACCESS_USER, SHOP, "user:33");
    set_rule(&f.profiles[1]->allow, ACCESS_GROUP, 500, "group:500");
    set_rule(&f.profiles[2]->allow, ACCESS_USER, STRANGER, "user:44");
}

static struct profile_settings *copy_settings(const struct profile_settings *s)
{
    struct profile_settings *copy = make_settings(s->name, s->token_url);

    set_rule(&copy->allow, s->allow.rules[0].kind, s->allow.rules[0].id, s->allow.rules[0].text);
    return copy;
}

int api_set_up(void **state _unused_)
{
    f = (struct fixture){.now = BOOT_AT, .unit_problem = "it runs in no unit"};
    set_rule(&f.settings.admin, ACCESS_USER, ADMIN, "user:root");
    make_profiles();
    const struct unusable_profile broken = {
        .name = "broken", .message = "broken.conf:3: no such file", .allow = &f.profiles[0]->allow};

    registry_init(&f.registry, 16, 1);
    assert_int_equal(registry_add(&f.registry, f.profiles[0]), 0);
    assert_int_equal(registry_add_unusable(&f.registry, &broken, f.now), 0);
    assert_int_equal(registry_add(&f.registry, f.profiles[1]), 0);
    assert_int_equal(registry_add(&f.registry, f.profiles[2]), 0);
    assert_int_equal(audit_new(&f.audit, AUDIT_SUMMARY), 0);
    f.api = (struct api){.registry = &f.registry,
                         .settings = &f.settings,
                         .stats = &f.stats,
                         .audit = f.audit,
                         .reload = &f.reload,
                         .log = &test_log,
                         .read_time = read_time,
                         .is_healthy = is_healthy,
                         .kick = kick,
                         .kick_audit = kick_audit,
                         .userdata = &f};
    return 0;
}

int api_tear_down(void **state _unused_)
{
    last_answer = response_unref(last_answer);
    api_done(&f.api);
    (void) audit_free(f.audit);
    registry_done(&f.registry);
    for (size_t i = 0; i < ARRAY_SIZE(f.profiles); i++)
        profile_settings_free(f.profiles[i]);
    daemon_settings_done(&f.settings);
    return 0;
}

/* As reload.c does it. */
void reload_without(const char *name)
{
    _cleanup_(registry_plan_done) struct registry_plan plan = {0};
    struct profile_settings *new[ARRAY_SIZE(f.profiles)];
    size_t n = 0;

    for (size_t i = 0; i < ARRAY_SIZE(f.profiles); i++) {
        if (!name || strcmp(f.profiles[i]->name, name) != 0)
            new[n++] = copy_settings(f.profiles[i]);
    }
    assert_int_equal(registry_plan(&f.registry, new, n, &plan), 0);
    api_forget(&f.api);
    audit_forget_processes(f.audit);
    registry_apply(&f.registry, &plan, 16, f.now);
    for (size_t i = 0; i < n; i++)
        profile_settings_free(new[i]);
}

void tell_summaries(void)
{
    struct daemon d = {.log = &test_log, .audit = f.audit};
    report_audit(&d);
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

const char *fingerprint_of(const char *value)
{
    static char text[FINGERPRINT_SIZE];
    uint64_t hash = 0xcbf29ce484222325;

    for (; *value; value++)
        hash = (hash ^ (unsigned char) *value) * 0x100000001b3;
    (void) snprintf(text, sizeof(text), "%016" PRIx64, hash);
    return text;
}

void end_with_token(const char *name, const char *value, usec_t lifetime_for)
{
    _cleanup_(token_done) struct token t = {
        .sent_at = f.now, .lifetime_for = lifetime_for, .expires_at = f.now + lifetime_for};

    assert_int_equal(secret_set(&t.value, value, strlen(value)), 0);
    (void) snprintf(t.type, sizeof(t.type), "Bearer");
    (void) snprintf(t.fingerprint, sizeof(t.fingerprint), "%s", fingerprint_of(value));
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

struct request make_post(uint32_t uid, const char *target, const char *body)
{
    struct request r = make_request(uid, "POST", target);

    r.body = (struct buffer) BUFFER_INIT(REQUEST_BODY_MAX);
    buffer_append_string(&r.body, body);
    return r;
}

/* It is on its way, as the server says. */
static const struct response *keep_answer(struct request *r, struct response *answer)
{
    if (answer)
        api_answered(&f.api, r);
    (void) response_unref(last_answer);
    last_answer = answer;
    return answer;
}

const struct response *ask_with(struct request *r)
{
    waiter_init(&r->waiter);
    struct response *answer = api_handle(&f.api, r);
    buffer_done(&r->body);
    return keep_answer(r, answer);
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
    return keep_answer(r, api_finish(&f.api, r));
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
