/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What people are told: the log events of profiles, the STATUS line, READY.
 */

#include "daemon.h"
#include "wire/skew.h"

/* Logs a problem of the settings with its severity. */
void report_problem(struct log *log, const struct problem *p);

/* Logs what the registry noted about a profile. */
void report_note(struct daemon *d, const struct entry *e, enum note note);

/* The audit: a handout, a denial (`unit_problem`: why the caller's unit is not known, or NULL). */
void report_handout(struct log *log, const struct audit_caller *caller, const struct audit_handout *handout);
void report_denial(struct log *log, const struct audit_caller *caller, const struct audit_denial *denial,
                   const char *unit_problem);

/* The summaries that are due; and, at the end, all. */
void report_audit(struct daemon *d);
void report_audit_rest(struct daemon *d);

/* What a report of a rejected token came to. */
enum report_outcome {
    REPORT_TAKEN,
    REPORT_IN_BACKOFF, /* the attempts to get a new one fail */
    REPORT_OVER_BUDGET,
    N_REPORT_OUTCOMES,
};

/* A caller reported the current token as rejected. */
void report_rejection(struct log *log, const struct audit_caller *caller, int32_t pid,
                      const char *fingerprint, enum report_outcome outcome);

/* The new settings are in force. */
void report_reload(struct daemon *d, const struct reload *r);

/* Warns, at most once an hour, that the issuer's clock and ours disagree. */
void report_skew(struct daemon *d, const struct entry *e, const struct clock_skew *skew);

/* READY=1, once, and the event "started". */
void report_ready(struct daemon *d);

/* Tells the service manager how things stand. */
void report_status(struct daemon *d);
