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

/* Warns, at most once an hour, that the issuer's clock and ours disagree. */
void report_skew(struct daemon *d, const struct entry *e, const struct clock_skew *skew);

/* READY=1, once, and the event "started". */
void report_ready(struct daemon *d);

/* Tells the service manager how things stand. */
void report_status(struct daemon *d);
