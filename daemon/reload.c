/* SPDX-License-Identifier: MIT */
#include "reload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon.h"
#include "fetch.h"
#include "host/clock.h"
#include "report.h"
#include "restart.h"

void reload_init(struct reload *r, struct daemon *d, const struct settings_source *source)
{
    *r = (struct reload){.daemon = d, .source = *source};
}

static void forget_changes(struct reload *r)
{
    free(r->changes);
    r->changes = NULL;
    r->n_changes = 0;
    r->n_unchanged = 0;
}

/* All but the changes, to which a later reading of the same reload adds. */
static void forget_outcome(struct reload *r)
{
    problems_done(&r->problems);
    r->is_refused = false;
    r->error = 0;
}

bool reload_done(struct reload *r)
{
    if (!r->daemon)
        return true;
    r->worker = settings_worker_free(r->worker);
    if (r->worker)
        return false;
    forget_outcome(r);
    forget_changes(r);
    return true;
}

bool reload_is_reading(const struct reload *r)
{
    return r->worker != NULL;
}

/* ---- what it will do ---- */

/*
 * One of the `n_before` changes that an earlier reading of this same reload made, taken together with what a
 * later one does to the profile: what it comes to for who asked for both.
 */
static bool merge_change(struct reload *r, size_t n_before, const char *name,
                         const struct reload_change *change)
{
    for (size_t i = 0; i < n_before; i++) {
        struct reload_change *c = &r->changes[i];
        if (strcmp(c->name, name) != 0)
            continue;
        if (change->kind != RELOAD_CHANGED) {
            c->kind = change->kind;
            c->change = change->change;
        } else if (c->kind == RELOAD_CHANGED && change->change > c->change) {
            c->change = change->change;
        }
        return true;
    }
    return false;
}

static int add_change(struct reload *r, const char *name, struct reload_change change)
{
    struct reload_change *changes = reallocarray(r->changes, r->n_changes + 1, sizeof(*changes));

    if (!changes)
        return -ENOMEM;
    r->changes = changes;
    changes[r->n_changes] = change;
    memcpy(changes[r->n_changes].name, name, strnlen(name, PROFILE_NAME_MAX) + 1);
    r->n_changes++;
    return 0;
}

/* Keeps what the plan does, to be told. 0 or -ENOMEM. */
static int note_changes(struct reload *r, const struct registry_plan *plan)
{
    size_t n_before = r->n_changes;
    int k = 0;

    r->n_unchanged = 0;
    for (size_t i = 0; i < plan->n_profiles && k == 0; i++) {
        const struct entry_plan *p = &plan->profiles[i];
        const char *name = p->settings->name;
        const struct reload_change change = {.kind = p->is_new ? RELOAD_ADDED : RELOAD_CHANGED,
                                             .change = p->is_new ? CHANGE_NONE : p->change};
        if (merge_change(r, n_before, name, &change))
            continue;
        if (p->is_new || p->change != CHANGE_NONE)
            k = add_change(r, name, change);
        else
            r->n_unchanged++;
    }
    for (size_t i = 0; i < plan->n_removed && k == 0; i++) {
        const struct reload_change change = {.kind = RELOAD_REMOVED};
        const char *name = plan->removed[i]->profile.name;
        if (!merge_change(r, n_before, name, &change))
            k = add_change(r, name, change);
    }
    return k;
}

/* What is bound to the socket or to start-up stays, and is said to stay. */
static void warn_about_restart(struct reload *r, struct settings *new)
{
    const struct daemon_settings *a = &r->daemon->settings.daemon, *b = &new->daemon;
    const struct {
        const char *key;
        bool is_changed;
    } keys[] = {
        {"Socket",               strcmp(a->socket_path, b->socket_path) != 0},
        {"SocketMode",                      a->socket_mode != b->socket_mode                               },
        {"SocketGroup",                      strcmp(a->socket_group,b->socket_group) != 0},
        {"MaxConnections", a->max_connections != b->max_connections                      },
    };

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        if (keys[i].is_changed)
            problem_warning(&new->problems, NULL, 0,
                            "%s= has changed, and stays as it was until the daemon is restarted",
                            keys[i].key);
    }
}

/* ---- in force ---- */

/* The values of start-up that go on, put into the new settings: they are what the daemon runs with. */
static void keep_start_up(struct daemon_settings *old, struct daemon_settings *new)
{
    char *path = new->socket_path, *group = new->socket_group;

    new->socket_path = old->socket_path;
    new->socket_group = old->socket_group;
    new->socket_mode = old->socket_mode;
    new->max_connections = old->max_connections;
    new->is_socket_group_set = old->is_socket_group_set;
    old->socket_path = path;
    old->socket_group = group;
}

static void apply(struct reload *r, struct registry_plan *plan, struct settings *new)
{
    struct daemon *d = r->daemon;
    usec_t now = daemon_time(d).now;

    fetches_abort(d, plan);
    /* The cache and the audit know profiles by the address of their entry. */
    api_forget(&d->api);
    audit_forget_processes(d->audit);
    keep_start_up(&d->settings.daemon, &new->daemon);
    for (size_t i = 0; i < plan->n_removed; i++)
        restart_forget(d, plan->removed[i]);
    registry_apply(&d->registry, plan, new->daemon.concurrent_fetches, now);

    struct settings old = d->settings;
    d->settings = *new;
    *new = old;
    const struct server_limits limits = {d->settings.daemon.max_connections,
                                         d->settings.daemon.max_connections_per_user};
    server_set_limits(d->server, &limits);
    server_set_unit_rules(d->server, settings_have_unit_rules(&d->settings));
    audit_set_mode(d->audit, d->settings.daemon.audit, now);
    /* What was counted in another mode is told now. */
    report_audit(d);
}

/* 0, or -ENOMEM: then nothing has changed. */
static int try_apply(struct reload *r, struct settings *new)
{
    _cleanup_(registry_plan_done) struct registry_plan plan = {0};

    int k = registry_plan(&r->daemon->registry, new->profiles, new->n_profiles, &plan);
    if (k == 0)
        k = note_changes(r, &plan);
    if (k < 0) {
        forget_changes(r);
        return k;
    }
    apply(r, &plan, new);
    return 0;
}

static void refuse(struct reload *r, int error)
{
    struct daemon *d = r->daemon;

    r->is_refused = true;
    r->error = error;
    server_get_stats(d->server)->n_reloads_refused++;
    log_with(d->log, LOG_LEVEL_ERROR, LOG_EVENT_RELOAD_REFUSED,
             (FIELD("REASON", error ? "machine" : "settings")),
             "the new settings were refused, the old ones stay in force: %s%s",
             error ? strerror(-error) : "see the errors above",
             error ? "" : "; `bearerctl check` tells them again");
}

static void take_settings(struct reload *r, int result, struct settings *new)
{
    struct daemon *d = r->daemon;

    forget_outcome(r);
    if (result == 0 && new->problems.n_errors == 0)
        warn_about_restart(r, new);
    for (size_t i = 0; result == 0 && i < new->problems.n_items; i++)
        report_problem(d->log, &new->problems.items[i]);
    if (result == 0 && new->problems.n_errors == 0)
        result = try_apply(r, new);
    else if (result == 0)
        r->is_refused = true;
    if (result < 0 || r->is_refused) {
        /* `new` holds what was read. */
        refuse(r, result);
        r->problems = new->problems;
        new->problems = (struct problems){0};
        return;
    }
    /* `new` holds the old settings by now. */
    r->problems = d->settings.problems;
    d->settings.problems = (struct problems){0};
    server_get_stats(d->server)->n_reloads++;
    report_reload(d, r);
}

/* ---- the way ---- */

static void start_reading(struct reload *r);

/* Nothing is being read any more, whatever came of it. */
static void end(struct reload *r)
{
    struct daemon *d = r->daemon;

    registry_release_proofs(&d->registry);
    report_status(d);
    supervisor_reloaded(d->supervisor);
    daemon_kick(d);
}

static void on_read(void *userdata, int result, struct settings *settings_take)
{
    struct reload *r = userdata;
    _cleanup_(settings_done) struct settings new = *settings_take;

    *settings_take = (struct settings){0};
    r->worker = settings_worker_free(r->worker);
    if (r->daemon->is_stopping)
        return;
    /* Whoever has an answer gets it first: it may be about a profile that goes now. */
    daemon_pump(r->daemon);
    take_settings(r, result, &new);
    if (r->is_wanted_again)
        start_reading(r);
    else
        end(r);
    /* Also between two readings: what the first has begun is not held up by the second. */
    daemon_kick(r->daemon);
}

static void start_reading(struct reload *r)
{
    r->is_wanted_again = false;
    r->source.wall_now = clock_wall();
    int k = settings_worker_start(&r->worker, r->daemon->event, &r->source, on_read, r);
    if (k == 0)
        return;
    struct settings none = {0};
    take_settings(r, k, &none);
    end(r);
}

bool reload_start(struct reload *r)
{
    if (r->daemon->is_stopping)
        return false;
    if (r->worker) {
        r->is_wanted_again = true;
        return true;
    }
    forget_changes(r);
    registry_hold_proofs(&r->daemon->registry);
    supervisor_reloading(r->daemon->supervisor);
    start_reading(r);
    return true;
}

/* ---- the outcome, told ---- */

static void write_problems(const struct reload *r, struct json *j)
{
    json_open(j, "problems", '[');
    for (size_t i = 0; i < r->problems.n_items; i++) {
        const struct problem *p = &r->problems.items[i];
        json_open(j, NULL, '{');
        json_string(j, "place", p->place);
        json_string(j, "severity", p->severity == PROBLEM_ERROR ? "error" : "warning");
        json_string(j, "message", p->message);
        json_close(j, '}');
    }
    json_close(j, ']');
}

static void write_names(const struct reload *r, struct json *j, const char *key, enum reload_kind kind)
{
    json_open(j, key, '[');
    for (size_t i = 0; i < r->n_changes; i++) {
        if (r->changes[i].kind == kind)
            json_string(j, NULL, r->changes[i].name);
    }
    json_close(j, ']');
}

static const char *proof_name(enum proof proof)
{
    switch (proof) {
    case PROOF_NONE:
        return NULL;
    case PROOF_PENDING:
        return "pending";
    case PROOF_GIVEN:
        return "proven";
    case PROOF_FALLBACK:
        return "fallback";
    case PROOF_FAILED:
        return "failed";
    }
    return NULL;
}

static const char *proof_message(const struct entry *e, enum proof proof)
{
    if (proof == PROOF_FAILED)
        return e->profile.failure.message;
    if (proof != PROOF_FALLBACK)
        return NULL;
    return e->profile.has_tried_secrets ? "one of the two client secrets was refused, the other works"
                                        : "one of the two subscription keys was refused, the other works";
}

/* A changed profile, or a new one: also its keys are new, and are to bring a token. */
static void write_change(const struct reload *r, struct json *j, const struct reload_change *c)
{
    const struct entry *e = registry_find(&r->daemon->registry, c->name);
    enum proof proof = e ? e->proof : PROOF_NONE;

    json_open(j, NULL, '{');
    json_string(j, "profile", c->name);
    json_string(j, "change", c->kind == RELOAD_ADDED ? "added" : settings_change_name(c->change));
    json_string(j, "proof", proof_name(proof));
    json_string(j, "message", proof_message(e, proof));
    json_close(j, '}');
}

static void write_reloaded(const struct reload *r, struct json *j)
{
    json_open(j, NULL, '{');
    json_string(j, "outcome", "reloaded");
    write_names(r, j, "added", RELOAD_ADDED);
    write_names(r, j, "removed", RELOAD_REMOVED);
    json_open(j, "changed", '[');
    for (size_t i = 0; i < r->n_changes; i++) {
        if (r->changes[i].kind != RELOAD_REMOVED)
            write_change(r, j, &r->changes[i]);
    }
    json_close(j, ']');
    json_u64(j, "unchanged", r->n_unchanged);
}

unsigned reload_write_outcome(const struct reload *r, struct buffer *out)
{
    struct json j = {.out = out};

    if (r->is_refused)
        reply_open_problem(&j, PROBLEM_RELOAD_REFUSED,
                           r->error ? strerror(-r->error)
                                    : "the new settings have errors; the old ones stay in force, entire");
    else
        write_reloaded(r, &j);
    write_problems(r, &j);
    reply_close(&j);
    return r->is_refused ? problem_kind_status(PROBLEM_RELOAD_REFUSED) : 200;
}
