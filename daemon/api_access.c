/* SPDX-License-Identifier: MIT */
#include "api_inside.h"
#include "report.h"

/* Who may ask, and what is told of it. */

#define PROGRAM_SIZE 256

/*
 * Cheap rules first: groups and unit of the caller are looked up only where nothing else admits it. The unit
 * is looked up anew for each request, since a process can leave it.
 */
static const struct access_rule *find_rule(const struct access_list *list, struct request *r)
{
    r->peer.unit = NULL;
    r->unit_problem = NULL;
    if (access_list_has(list, ACCESS_GROUP))
        request_load_groups(r);
    const struct access_rule *rule = access_list_find(list, &r->peer);
    if (rule || !access_list_has(list, ACCESS_UNIT))
        return rule;
    request_load_unit(r);
    return access_list_find(list, &r->peer);
}

bool api_may_use(const struct entry *e, struct request *r)
{
    return find_rule(e->profile.allow, r) != NULL;
}

bool api_is_admin(const struct api *a, struct request *r)
{
    return find_rule(&a->settings->admin, r) != NULL;
}

/* ---- the audit ---- */

/* Who it is, for the log: this takes system calls. */
static struct audit_caller load_caller(struct request *r, char program[static PROGRAM_SIZE])
{
    request_load_unit(r);
    return (struct audit_caller){
        .uid = r->peer.uid,
        .unit = r->peer.unit,
        .exe = request_load_program(r, program, PROGRAM_SIZE),
        /* Its name also where a reload has taken it away since. */
        .profile = r->entry || r->handout.is_pending ? r->route.profile : NULL,
    };
}

/* The record of the caller, looked up by its process where that is known already. */
static struct audit_record *open_record(struct api *a, struct request *r, enum audit_kind kind,
                                        struct audit_caller *ret, char program[static PROGRAM_SIZE])
{
    const struct audit_key key = {kind, r->peer.uid, request_process_id(r), r->entry};
    usec_t now = api_time(a).now;

    struct audit_record *record = audit_find(a->audit, &key, now);
    if (record) {
        *ret = *audit_caller_peek(record);
        return record;
    }
    *ret = load_caller(r, program);
    record = audit_open(a->audit, &key, ret, now);
    a->kick_audit(a->userdata);
    return record;
}

void api_tell_handout(struct api *a, struct request *r)
{
    const struct handout *h = &r->handout;
    struct audit_caller caller;
    char program[PROGRAM_SIZE];

    if (!audit_has_handouts(a->audit))
        return;
    r->entry = registry_find(a->registry, r->route.profile);
    struct audit_record *record = open_record(a, r, AUDIT_HANDOUT, &caller, program);
    const struct audit_handout handout = {.pid = r->peer.pid,
                                          .has_waited = h->has_waited,
                                          .generation = h->generation,
                                          .fingerprint = h->fingerprint};
    if (audit_count_handout(a->audit, record, &handout, api_time(a).now))
        report_handout(a->log, &caller, &handout);
}

/* Why the unit is not known matters where a rule asks for one. */
static const char *unit_problem(const struct request *r)
{
    return r->entry && access_list_has(r->entry->profile.allow, ACCESS_UNIT) ? r->unit_problem : NULL;
}

struct response *api_refuse_unknown(struct api *a, struct request *r)
{
    const struct audit_denial denial = {.pid = r->peer.pid, .asked = r->route.profile};
    struct audit_caller caller;
    char program[PROGRAM_SIZE];

    if (r->entry)
        r->entry->profile.stats.denied++;
    struct audit_record *record = open_record(a, r, AUDIT_DENIAL, &caller, program);
    if (audit_count_denial(a->audit, record, &denial, api_time(a).now))
        report_denial(a->log, &caller, &denial, unit_problem(r));
    /* From here on both are alike: the answer, and where it is counted. */
    r->entry = NULL;
    return api_refuse(a, r, REFUSAL(.kind = PROBLEM_UNKNOWN_PROFILE, .name = r->route.profile),
                      "there is no profile of this name that this caller may use");
}

static enum report_outcome outcome_of(const struct profile *p, enum answer answer)
{
    if (answer == ANSWER_TOO_OFTEN)
        return REPORT_OVER_BUDGET;
    return answer == ANSWER_FAILED && p->n_failures > 0 ? REPORT_IN_BACKOFF : REPORT_TAKEN;
}

/* A thousand callers that report the same token are one event, and who reports it all day is another. */
void api_note_rejection(struct api *a, struct request *r, const char *fingerprint, enum answer answer)
{
    enum report_outcome outcome = outcome_of(&r->entry->profile, answer);
    uint64_t *told = outcome == REPORT_OVER_BUDGET ? &r->entry->told_over_budget : &r->entry->told_reported;
    char program[PROGRAM_SIZE];

    /* Of a token that is not the current one any more there is nothing to tell. */
    if (r->waiter.kind != WAIT_FOR_NEWER || answer == ANSWER_STOPPING || *told == r->waiter.generation)
        return;
    *told = r->waiter.generation;
    const struct audit_caller caller = load_caller(r, program);
    report_rejection(a->log, &caller, r->peer.pid, fingerprint, outcome);
}
