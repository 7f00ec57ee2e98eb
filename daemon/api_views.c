/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "api_inside.h"
#include "bearerd-paths.h"
#include "wire/explain.h"

/* What people and machines ask about: states, explanations, health, metrics. */

#define TYPE_METRICS "text/plain; version=0.0.4; charset=utf-8"

/* Lists grow with the number of profiles; one entry is under 2 KiB, and its rules. */
#define LIST_MAX ((size_t) 256 << 20)
/* Of one profile: Allow= is read from a file of limited size. */
#define STATUS_MAX ((size_t) 4 << 20)
#define UNIT_SIZE  256
/* Names in the answer of /readyz; the others are counted, so that it stays a line. */
#define READY_NAMES_MAX 4

/* ---- states ---- */

struct response *api_answer_status(struct api *a, struct request *r)
{
    _cleanup_(buffer_done) struct buffer body = BUFFER_INIT(STATUS_MAX);
    struct reply_time t = api_time(a);

    reply_write_status(&(struct json){.out = &body}, NULL, &r->entry->profile, &t, api_is_admin(a, r));
    buffer_append_char(&body, '\n');
    return api_answer_json(a, r, &body);
}

struct response *api_handle_profile(struct api *a, struct request *r)
{
    if (!r->entry || (!api_may_use(r->entry, r) && !api_is_admin(a, r)))
        return api_refuse_unknown(a, r);
    return api_answer_status(a, r);
}

struct response *api_handle_profiles(struct api *a, struct request *r)
{
    _cleanup_(buffer_done) struct buffer body = BUFFER_INIT(LIST_MAX);
    struct reply_time t = api_time(a);
    struct json j = {.out = &body};
    bool sees_all = api_is_admin(a, r);

    json_open(&j, NULL, '{');
    json_open(&j, "profiles", '[');
    for (size_t i = 0; i < a->registry->n_entries; i++) {
        if (sees_all || api_may_use(a->registry->entries[i], r))
            reply_write_status(&j, NULL, &a->registry->entries[i]->profile, &t, sees_all);
    }
    json_close(&j, ']');
    json_close(&j, '}');
    buffer_append_char(&body, '\n');
    return api_answer_json(a, r, &body);
}

/* ---- explanations ---- */

/*
 * The caller that the query names. What it leaves out is nobody's: a uid or gid that no rule can name. The
 * unit is looked up here, as it would be for a request of that process.
 */
static void read_subject(const struct route_subject *s, struct peer *ret)
{
    *ret = (struct peer){
        .uid = s->has_uid ? s->uid : UINT32_MAX,
        .gid = s->has_gid ? s->gid : UINT32_MAX,
        .pid = s->has_pid ? s->pid : 0,
        .groups = s->groups,
        .n_groups = s->n_groups,
    };
}

struct response *api_handle_explain(struct api *a, struct request *r)
{
    _cleanup_(buffer_done) struct buffer body = BUFFER_INIT(STATUS_MAX);
    const struct route_subject *subject = &r->route.subject;
    struct explained_caller caller = {0};
    struct reply_time t = api_time(a);
    bool has_subject = subject->has_uid || subject->has_gid || subject->has_pid || subject->n_groups > 0;
    char unit[UNIT_SIZE];
    struct peer peer;

    if (!api_is_admin(a, r)) {
        if (!r->entry || !api_may_use(r->entry, r))
            return api_refuse_unknown(a, r);
        return api_refuse(
            a, r, REFUSAL(.kind = PROBLEM_FORBIDDEN, .name = r->route.profile, .known = &r->entry->profile),
            "only admins (Admin= in bearerd.conf) are told who may use a profile");
    }
    if (!r->entry)
        return api_refuse_unknown(a, r);
    read_subject(subject, &peer);
    if (subject->has_pid &&
        server_find_unit(a->server, subject->pid, unit, sizeof(unit), &caller.unit_problem) == 0)
        peer.unit = unit;
    caller.peer = &peer;
    caller.rule = access_list_find(r->entry->profile.allow, &peer);
    caller.is_admin = access_list_admits(&a->settings->admin, &peer);
    explain_write(&body, &r->entry->profile, &a->settings->admin, has_subject ? &caller : NULL, &t);
    return api_answer_json(a, r, &body);
}

/* ---- health ---- */

struct response *api_handle_healthz(struct api *a, struct request *r)
{
    _cleanup_(buffer_done) struct buffer body = BUFFER_INIT(64);

    if (!a->is_healthy(a->userdata))
        return api_refuse(a, r, REFUSAL(.kind = PROBLEM_UNHEALTHY, .retry_in = USEC_PER_SEC),
                          "a deadline was missed: the daemon is overloaded or stuck");
    buffer_append_string(&body, "{\"status\":\"ok\"}\n");
    return api_answer_json(a, r, &body);
}

struct response *api_handle_readyz(struct api *a, struct request *r)
{
    _cleanup_(buffer_done) struct buffer body = BUFFER_INIT(64);
    char names[READY_NAMES_MAX * (PROFILE_NAME_MAX + 16)] = "", rest[32] = "";
    size_t n_missing = 0;
    usec_t now = api_time(a).now;

    for (size_t i = 0; i < a->registry->n_entries; i++) {
        const struct profile *p = &a->registry->entries[i]->profile;
        if ((p->settings && !p->settings->is_preloaded) || profile_is_usable_for(p, MIN_TTL_DEFAULT, now))
            continue;
        size_t length = strlen(names);
        if (n_missing++ < READY_NAMES_MAX)
            (void) snprintf(names + length, sizeof(names) - length, "%s%s (%s)", length ? ", " : ": ",
                            p->name, profile_state_name(profile_state(p, now)));
    }
    if (n_missing > READY_NAMES_MAX)
        (void) snprintf(rest, sizeof(rest), " and %zu more", n_missing - READY_NAMES_MAX);
    bool is_admin = api_is_admin(a, r);
    if (n_missing > 0)
        return api_refuse(a, r, REFUSAL(.kind = PROBLEM_NOT_READY, .retry_in = USEC_PER_SEC),
                          "%zu of %zu profiles have no usable token%s%s", n_missing, a->registry->n_entries,
                          is_admin ? names : "", is_admin ? rest : "");
    buffer_append_string(&body, "{\"status\":\"ready\"}\n");
    return api_answer_json(a, r, &body);
}

/* ---- metrics ---- */

struct viewer {
    struct request *request;
    bool sees_all;
};

static bool viewer_sees(void *userdata, const struct entry *e)
{
    struct viewer *v = userdata;
    return v->sees_all || api_may_use(e, v->request);
}

struct response *api_handle_metrics(struct api *a, struct request *r)
{
    _cleanup_(buffer_done) struct buffer body = BUFFER_INIT(LIST_MAX);
    struct viewer viewer = {.request = r, .sees_all = api_is_admin(a, r)};
    struct reply_time t = api_time(a);

    metrics_write(&body, a->registry, a->stats, BEARERD_VERSION, &t, viewer_sees, &viewer);
    return api_count(a, r, response_new(200, TYPE_METRICS, &body, NULL, 0));
}
