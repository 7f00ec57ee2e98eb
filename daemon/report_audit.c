/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>

#include "report.h"

/* What the log is told of callers: tokens handed out, refused, reported; and of reloads. */

#define WHO_SIZE    400
#define NUMBER_SIZE 24

/* "uid 33, pid 4711 of shop.service (/usr/bin/php)", as far as it is known. */
static const char *print_who(const struct audit_caller *c, int32_t pid, char buf[static WHO_SIZE])
{
    char process[32] = "";

    if (pid > 0)
        (void) snprintf(process, sizeof(process), ", pid %d", pid);
    (void) snprintf(buf, WHO_SIZE, "uid %u%s%s%s%s%s%s", c->uid, process, c->unit ? " of " : "",
                    c->unit ? c->unit : "", c->exe ? " (" : "", c->exe ? c->exe : "", c->exe ? ")" : "");
    return buf;
}

/* A number as a field; "" for one that is not known. */
static const char *print_number(uint64_t number, bool is_known, char buf[static NUMBER_SIZE])
{
    buf[0] = '\0';
    if (is_known)
        (void) snprintf(buf, NUMBER_SIZE, "%" PRIu64, number);
    return buf;
}

void report_handout(struct log *log, const struct audit_caller *caller, const struct audit_handout *handout)
{
    char who[WHO_SIZE], uid[NUMBER_SIZE], pid[NUMBER_SIZE], generation[NUMBER_SIZE];
    const char *how = handout->has_waited ? "waited" : "cache";

    log_with(log, LOG_LEVEL_INFO, LOG_EVENT_HANDOUT,
             (FIELD("PROFILE", caller->profile), FIELD("FINGERPRINT", handout->fingerprint),
              FIELD("GENERATION", print_number(handout->generation, true, generation)), FIELD("HOW", how),
              FIELD("PEER_UID", print_number(caller->uid, true, uid)),
              FIELD("PEER_PID", print_number((uint64_t) handout->pid, handout->pid > 0, pid)),
              FIELD("PEER_UNIT", caller->unit), FIELD("PEER_EXE", caller->exe)),
             "%s: generation %" PRIu64 " (%s) handed to %s, from the %s",
             caller->profile ? caller->profile : "?", handout->generation, handout->fingerprint,
             print_who(caller, handout->pid, who), handout->has_waited ? "upstream" : "cache");
}

void report_denial(struct log *log, const struct audit_caller *caller, const struct audit_denial *denial,
                   const char *unit_problem)
{
    char who[WHO_SIZE], uid[NUMBER_SIZE], pid[NUMBER_SIZE], asked[AUDIT_NAME_SIZE];

    (void) audit_name_print(denial->asked, asked);
    log_with(log, LOG_LEVEL_NOTICE, LOG_EVENT_ACCESS_DENIED,
             (FIELD("PROFILE", caller->profile), FIELD("PROFILE_ASKED", asked),
              FIELD("PEER_UID", print_number(caller->uid, true, uid)),
              FIELD("PEER_PID", print_number((uint64_t) denial->pid, denial->pid > 0, pid)),
              FIELD("PEER_UNIT", caller->unit), FIELD("PEER_EXE", caller->exe)),
             caller->profile ? "%s: %s is not admitted by any Allow= rule%s%s"
                             : "%s: %s asked for a profile "
                               "that is not there%s%s",
             asked, print_who(caller, denial->pid, who), unit_problem ? "; its unit is not known: " : "",
             unit_problem ? unit_problem : "");
}

static void report_handouts(struct log *log, const struct audit_summary *s)
{
    char who[WHO_SIZE], uid[NUMBER_SIZE], pid[NUMBER_SIZE], generation[NUMBER_SIZE], cache[NUMBER_SIZE],
        waited[NUMBER_SIZE], span[SPAN_SIZE];

    log_with(log, LOG_LEVEL_INFO, LOG_EVENT_HANDOUTS,
             (FIELD("PROFILE", s->caller.profile), FIELD("FINGERPRINT", s->fingerprint),
              FIELD("GENERATION", print_number(s->generation, s->generation > 0, generation)),
              FIELD("PEER_UID", print_number(s->caller.uid, !s->is_of_others, uid)),
              FIELD("PEER_PID", print_number((uint64_t) s->pid, s->pid > 0, pid)),
              FIELD("PEER_UNIT", s->caller.unit), FIELD("PEER_EXE", s->caller.exe),
              FIELD("N_CACHE", print_number(s->n_cache, true, cache)),
              FIELD("N_WAITED", print_number(s->n_waited, true, waited))),
             "%s%s%" PRIu64 " more token%s handed to %s within %s: %" PRIu64 " from the cache, %" PRIu64
             " after waiting",
             s->caller.profile ? s->caller.profile : "", s->caller.profile ? ": " : "",
             s->n_cache + s->n_waited, s->n_cache + s->n_waited == 1 ? "" : "s",
             s->is_of_others ? "other callers" : print_who(&s->caller, s->pid, who),
             usec_format_span(s->during_for, span), s->n_cache, s->n_waited);
}

static void report_denials(struct log *log, const struct audit_summary *s)
{
    char who[WHO_SIZE], uid[NUMBER_SIZE], pid[NUMBER_SIZE], denied[NUMBER_SIZE], span[SPAN_SIZE];

    log_with(log, LOG_LEVEL_NOTICE, LOG_EVENT_DENIALS,
             (FIELD("PROFILE", s->caller.profile), FIELD("PROFILE_ASKED", s->asked),
              FIELD("PEER_UID", print_number(s->caller.uid, !s->is_of_others, uid)),
              FIELD("PEER_PID", print_number((uint64_t) s->pid, s->pid > 0, pid)),
              FIELD("PEER_UNIT", s->caller.unit), FIELD("PEER_EXE", s->caller.exe),
              FIELD("N_DENIED", print_number(s->n_denied, true, denied))),
             "%s%s%" PRIu64 " more request%s of %s denied within %s",
             s->caller.profile ? s->caller.profile : "", s->caller.profile ? ": " : "", s->n_denied,
             s->n_denied == 1 ? "" : "s",
             s->is_of_others ? "other callers" : print_who(&s->caller, s->pid, who),
             usec_format_span(s->during_for, span));
}

void report_audit(struct daemon *d)
{
    usec_t now = daemon_time(d).now;
    const struct audit_summary *s;

    while ((s = audit_pop_summary(d->audit, now))) {
        switch (s->kind) {
        case AUDIT_HANDOUT:
            report_handouts(d->log, s);
            break;
        case AUDIT_DENIAL:
            report_denials(d->log, s);
            break;
        case N_AUDIT_KINDS:
            break;
        }
    }
}

void report_audit_rest(struct daemon *d)
{
    audit_flush(d->audit, daemon_time(d).now);
    report_audit(d);
}

void report_rejection(struct log *log, const struct audit_caller *caller, int32_t pid,
                      const char *fingerprint, enum report_outcome outcome)
{
    static const struct {
        enum log_level level;
        const char *words;
    } outcomes[N_REPORT_OUTCOMES] = {
        [REPORT_TAKEN] = {LOG_LEVEL_WARNING, "a new one is asked for"                         },
        [REPORT_IN_BACKOFF] = {LOG_LEVEL_WARNING, "the attempts to get a new one fail"             },
        [REPORT_OVER_BUDGET] = {LOG_LEVEL_NOTICE,  "too many have been reported, so nothing is done"},
    };
    char who[WHO_SIZE], uid[NUMBER_SIZE], pid_text[NUMBER_SIZE];

    log_with(log, outcomes[outcome].level, LOG_EVENT_REJECTED,
             (FIELD("PROFILE", caller->profile), FIELD("FINGERPRINT", fingerprint),
              FIELD("PEER_UID", print_number(caller->uid, true, uid)),
              FIELD("PEER_PID", print_number((uint64_t) pid, pid > 0, pid_text)),
              FIELD("PEER_UNIT", caller->unit), FIELD("PEER_EXE", caller->exe)),
             "%s: %s says that the upstream refused the current token (%s); %s", caller->profile,
             print_who(caller, pid, who), fingerprint, outcomes[outcome].words);
}

void report_reload(struct daemon *d, const struct reload *r)
{
    size_t n[N_RELOAD_KINDS] = {0};
    char added[NUMBER_SIZE], removed[NUMBER_SIZE], changed[NUMBER_SIZE];

    for (size_t i = 0; i < r->n_changes; i++)
        n[r->changes[i].kind]++;
    log_with(d->log, LOG_LEVEL_NOTICE, LOG_EVENT_SETTINGS_RELOADED,
             (FIELD("N_ADDED", print_number(n[RELOAD_ADDED], true, added)),
              FIELD("N_REMOVED", print_number(n[RELOAD_REMOVED], true, removed)),
              FIELD("N_CHANGED", print_number(n[RELOAD_CHANGED], true, changed))),
             "settings reloaded: profiles added: %s, removed: %s, changed: %s, as before: %zu", added,
             removed, changed, r->n_unchanged);
}
