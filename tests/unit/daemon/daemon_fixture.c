/* SPDX-License-Identifier: MIT */
#include "daemon_fixture.h"

#include <errno.h>
#include <stdlib.h>

#include "fetch.h"
#include "host/clock.h"
#include "restart.h"

struct world w;

/* ---- the reader of settings ---- */

struct settings_worker {
    settings_worker_done *done;
    void *userdata;
};

static struct settings_worker *worker;

int settings_worker_start(struct settings_worker **ret, sd_event *event _unused_,
                          const struct settings_source *source, settings_worker_done *done, void *userdata)
{
    if (w.start_error < 0)
        return w.start_error;
    assert_null(worker);
    worker = calloc(1, sizeof(*worker));
    assert_non_null(worker);
    *worker = (struct settings_worker){.done = done, .userdata = userdata};
    w.source = *source;
    w.n_readings++;
    *ret = worker;
    return 0;
}

struct settings_worker *settings_worker_free(struct settings_worker *one)
{
    if (!one || w.hangs)
        return one;
    assert_ptr_equal(one, worker);
    worker = NULL;
    free(one);
    return NULL;
}

void end_reading(struct settings settings_take)
{
    _cleanup_(settings_done) struct settings s = settings_take;

    assert_non_null(worker);
    worker->done(worker->userdata, 0, &s);
}

void fail_reading(int error)
{
    struct settings none = {0};

    assert_non_null(worker);
    worker->done(worker->userdata, error, &none);
}

void reload_with(struct settings settings_take)
{
    reload_start(&w.d.reload);
    end_reading(settings_take);
}

void settings_done(struct settings *s)
{
    daemon_settings_done(&s->daemon);
    for (size_t i = 0; i < s->n_profiles; i++)
        profile_settings_free(s->profiles[i]);
    free(s->profiles);
    problems_done(&s->problems);
    *s = (struct settings){0};
}

bool settings_have_unit_rules(const struct settings *s)
{
    bool has_any = false;

    for (size_t i = 0; i < s->n_profiles; i++)
        has_any = has_any || access_list_has(&s->profiles[i]->allow, ACCESS_UNIT);
    return has_any;
}

void *__real_reallocarray(void *p, size_t n, size_t size);
void *__wrap_reallocarray(void *p, size_t n, size_t size);

void *__wrap_reallocarray(void *p, size_t n, size_t size)
{
    return w.has_no_memory ? NULL : __real_reallocarray(p, n, size);
}

/* ---- the service manager ---- */

static void tell(const char *what, const char *status)
{
    size_t n = strlen(w.told);

    (void) snprintf(w.told + n, sizeof(w.told) - n, "%s%s%s ", what, status ? ": " : "",
                    status ? status : "");
}

void supervisor_reloading(struct supervisor *s _unused_)
{
    tell("RELOADING", NULL);
}

void supervisor_reloaded(struct supervisor *s _unused_)
{
    tell("RELOADED", NULL);
}

void supervisor_ready(struct supervisor *s _unused_)
{
    w.is_ready = true;
    tell("READY", NULL);
}

bool supervisor_is_ready(const struct supervisor *s _unused_)
{
    return w.is_ready;
}

void supervisor_status(struct supervisor *s _unused_, const char *status)
{
    (void) snprintf(w.status, sizeof(w.status), "%s", status);
}

/* ---- the rest of the outside ---- */

struct server_stats *server_get_stats(struct server *s _unused_)
{
    return &w.stats;
}

void server_set_limits(struct server *s _unused_, const struct server_limits *limits)
{
    w.limits = *limits;
}

void server_set_unit_rules(struct server *s _unused_, bool has_unit_rules)
{
    w.has_unit_rules = has_unit_rules;
}

usec_t clock_wall(void)
{
    return daemon_time(&w.d).wall_now;
}

struct reply_time daemon_time(struct daemon *d _unused_)
{
    return (struct reply_time){.now = w.now, .wall_now = WALL_AT + w.now - BOOT_AT};
}

void daemon_kick(struct daemon *d _unused_)
{
    w.n_kicks++;
}

void daemon_pump(struct daemon *d _unused_)
{
    w.n_pumps++;
}

/* Both are to be called while the entries of the old settings are still there. */
void api_forget(struct api *a _unused_)
{
    w.n_forgotten++;
    assert_non_null(registry_find(&w.d.registry, "alpha"));
}

void restart_forget(struct daemon *d, struct entry *e)
{
    assert_ptr_equal(registry_find(&d->registry, e->profile.name), e);
    w.n_states_forgotten++;
}

void fetches_abort(struct daemon *d, const struct registry_plan *plan)
{
    for (size_t i = 0; i < d->registry.n_entries; i++) {
        struct entry *e = d->registry.entries[i];
        if (!e->is_in_flight || !registry_plan_aborts(plan, e))
            continue;
        registry_abort_fetch(&d->registry, e);
        w.n_aborted++;
    }
}

static void keep(struct log *log _unused_, const struct log_entry *entry)
{
    size_t n = strlen(w.text), size = 0;

    w.n_logged++;
    (void) snprintf(w.text + n, sizeof(w.text) - n, "%d %s: %s\n", (int) entry->level,
                    log_event_name(entry->event), entry->message);
    w.fields[0] = '\0';
    for (size_t i = 0; i < entry->n_fields; i++) {
        const struct log_field *field = &entry->fields[i];
        if (field->value && *field->value)
            size += (size_t) snprintf(w.fields + size, sizeof(w.fields) - size, "%s%s=%s", size ? " " : "",
                                      field->name, field->value);
    }
}

void assert_logged(const char *text)
{
    if (!strstr(w.text, text))
        fail_msg("no \"%s\" in\n%s", text, w.text);
}

/* ---- settings ---- */

struct profile_settings *make_profile(const char *name, uint32_t uid)
{
    struct profile_settings *s = calloc(1, sizeof(*s));
    char text[32];

    assert_non_null(s);
    (void) snprintf(text, sizeof(text), "user:%u", uid);
    *s = (struct profile_settings){
        .name = strdup(name),
        .provider = PROVIDER_VIPPS,
        .token_url = strdup("https://one.example/token"),
        .client_id = strdup("id"),
        .refresh = {.at_percent = 50,
                    .retry_min_for = SEC(1),
                    .retry_max_for = SEC(60),
                    .timeout_for = SEC(15)},
        .is_preloaded = true,
        .idle_after_for = SEC(3600),
        .allow = {.rules = calloc(1,                sizeof(struct access_rule)),     .n_rules = 1},
    };
    assert_non_null(s->allow.rules);
    s->allow.rules[0] = (struct access_rule){.kind = ACCESS_USER, .id = uid, .text = strdup(text)};
    assert_int_equal(secret_set(&s->keys[KEY_CLIENT_SECRET], "the-secret", 10), 0);
    assert_int_equal(secret_set(&s->keys[KEY_SUBSCRIPTION], "the-key", 7), 0);
    return s;
}

struct settings make_settings(struct profile_settings *first_take, ...)
{
    struct settings s = {
        .daemon = {.socket_path = strdup("/run/bearerd/bearerd.sock"),
                   .socket_mode = 0660,
                   .socket_group = strdup("bearerd"),
                   .concurrent_fetches = 16,
                   .max_connections = 4096,
                   .max_connections_per_user = 1024,
                   .audit = AUDIT_SUMMARY},
        .is_daemon_usable = true,
        .profiles = calloc(8, sizeof(struct profile_settings *)),
    };
    va_list args;

    assert_non_null(s.profiles);
    va_start(args, first_take);
    for (struct profile_settings *p = first_take; p; p = va_arg(args, struct profile_settings *))
        s.profiles[s.n_profiles++] = p;
    va_end(args);
    return s;
}

struct settings make_same(void)
{
    return make_settings(make_profile("alpha", 33), make_profile("beta", 44), NULL);
}

/* ---- the whole ---- */

int daemon_set_up(void **state _unused_)
{
    static const struct settings_source source = {.config_path = "/etc/bearerd/bearerd.conf"};

    w = (struct world){
        .now = BOOT_AT, .log = {.max_level = LOG_LEVEL_DEBUG, .write = keep}
    };
    w.d.log = &w.log;
    w.d.settings = make_same();
    w.d.socket.path = strdup("/run/bearerd/bearerd.sock");
    registry_init(&w.d.registry, 16, 1);
    for (size_t i = 0; i < w.d.settings.n_profiles; i++)
        assert_int_equal(registry_add(&w.d.registry, w.d.settings.profiles[i]), 0);
    assert_int_equal(audit_new(&w.d.audit, AUDIT_SUMMARY), 0);
    reload_init(&w.d.reload, &w.d, &source);
    return 0;
}

int daemon_tear_down(void **state _unused_)
{
    w.hangs = false;
    assert_true(reload_done(&w.d.reload));
    (void) audit_free(w.d.audit);
    registry_done(&w.d.registry);
    settings_done(&w.d.settings);
    free(w.d.socket.path);
    return 0;
}

struct entry *entry_of(const char *name)
{
    struct entry *e = registry_find(&w.d.registry, name);

    assert_non_null(e);
    return e;
}

void end_with_token(const char *name)
{
    _cleanup_(token_done) struct token t = {
        .sent_at = w.now, .lifetime_for = SEC(3600), .expires_at = w.now + SEC(3600)};

    assert_int_equal(secret_set(&t.value, "the-token", 9), 0);
    (void) snprintf(t.type, sizeof(t.type), "Bearer");
    (void) snprintf(t.fingerprint, sizeof(t.fingerprint), "0123456789abcdef");
    registry_end_fetch(&w.d.registry, entry_of(name), &t, NULL, true, w.now);
}

void end_with_failure(const char *name, enum failure_class class, const char *message)
{
    struct failure failure = {.class = class, .reason = REASON_INVALID_KEYS, .http_status = 401};

    (void) snprintf(failure.message, sizeof(failure.message), "%s", message);
    registry_end_fetch(&w.d.registry, entry_of(name), NULL, &failure, true, w.now);
}

void all_fresh(void)
{
    registry_start(&w.d.registry, w.now);
    for (size_t i = 0; i < w.d.registry.n_entries; i++) {
        struct entry *e = registry_pop_fetch(&w.d.registry, w.now);
        assert_non_null(e);
        end_with_token(e->profile.name);
    }
}
