/* SPDX-License-Identifier: MIT */
#include "wire/explain.h"

#include <stdio.h>

#define WHY_SIZE 512

/* One sentence that says it all. */
static void write_why(struct json *j, const struct profile *p, const struct explained_caller *c)
{
    bool needs_unit = access_list_has(p->allow, ACCESS_UNIT);
    char why[WHY_SIZE];

    if (c->rule)
        (void) snprintf(why, sizeof(why), "admitted by Allow=%s", c->rule->text);
    else if (p->allow->n_rules == 0)
        (void) snprintf(why, sizeof(why), "refused: the profile has no Allow=, so nobody may use it");
    else if (needs_unit && c->peer->pid == 0)
        (void) snprintf(why, sizeof(why),
                        "refused by its user and groups; a unit: rule could admit it, name a process to see");
    else if (needs_unit && c->unit_problem)
        (void) snprintf(why, sizeof(why), "refused: no rule names it, and its unit is not known: %s",
                        c->unit_problem);
    else
        (void) snprintf(why, sizeof(why), "refused: no rule of Allow= names its user%s",
                        needs_unit ? ", groups or unit" : " or groups");
    json_string(j, "why", why);
}

/* What was not asked about is null. */
static void write_id(struct json *j, const char *key, uint32_t id)
{
    if (id == UINT32_MAX)
        json_null(j, key);
    else
        json_u64(j, key, id);
}

static void write_caller(struct json *j, const struct profile *p, const struct explained_caller *c)
{
    if (!c) {
        json_null(j, "caller");
        return;
    }
    json_open(j, "caller", '{');
    write_id(j, "uid", c->peer->uid);
    write_id(j, "gid", c->peer->gid);
    if (c->peer->pid > 0)
        json_u64(j, "pid", (uint64_t) c->peer->pid);
    else
        json_null(j, "pid");
    json_string(j, "unit", c->peer->unit);
    json_string(j, "unit_problem", c->unit_problem);
    json_boolean(j, "admitted", c->rule != NULL);
    json_string(j, "rule", c->rule ? c->rule->text : NULL);
    json_boolean(j, "is_admin", c->is_admin);
    write_why(j, p, c);
    json_close(j, '}');
}

static void write_attempts(struct json *j, const struct profile *p, const struct reply_time *t)
{
    const struct attempt *attempt;

    json_open(j, "attempts", '[');
    for (size_t back = 0; (attempt = profile_attempt(p, back)); back++) {
        json_open(j, NULL, '{');
        reply_write_moment(j, "at", t, attempt->at);
        json_string(j, "outcome", attempt->is_token ? "token" : failure_reason_name(attempt->reason));
        if (attempt->http_status > 0)
            json_u64(j, "http_status", (uint64_t) attempt->http_status);
        else
            json_null(j, "http_status");
        json_close(j, '}');
    }
    json_close(j, ']');
}

void explain_write(struct buffer *out, const struct profile *p, const struct access_list *admin,
                   const struct explained_caller *caller, const struct reply_time *t)
{
    struct json j = {.out = out};

    json_open(&j, NULL, '{');
    reply_write_status(&j, "profile", p, t, true);
    reply_write_rules(&j, "allow", p->allow);
    reply_write_rules(&j, "admin", admin);
    write_caller(&j, p, caller);
    write_attempts(&j, p, t);
    reply_close(&j);
}
