/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Who was handed a token, and who was denied one, kept so that the log can tell it exactly without being
 * flooded. Pure bookkeeping: this reads no clock and writes no line, it says what is to be logged and when.
 *
 * A *caller* is a uid, a unit, an executable and a profile; many processes can be one caller. A caller's
 * first event is logged at once and opens its window of a minute. What follows in the window is only counted,
 * and told by one summary when the window ends, so that
 *
 *     logged one by one + all counts of the summaries = everything that happened
 *
 * holds at any moment that no window is open. With AUDIT_EVERY each handout is logged by itself, with
 * AUDIT_OFF none. Denials are told in every mode, and their number is limited further: of callers that come
 * to be denied, a burst of AUDIT_DENIAL_BURST and then one a second is named; the denials of all others are
 * in one common count. The same goes, with AUDIT_CALLERS_MAX, for handouts, and when memory is out. These are
 * the *others*.
 *
 * Cost. Unit and executable of a process take system calls to find, so a process that was looked up is
 * remembered until its caller's window ends. A handout to it is then a lookup by three numbers and an
 * addition:
 *
 *     const struct audit_key key = {AUDIT_HANDOUT, peer->uid, peer->process_id, entry};
 *     struct audit_record *record = audit_find(audit, &key, now);
 *     struct audit_caller caller;
 *     if (record) {
 *         caller = *audit_caller_peek(record);
 *     } else {
 *         caller = ...;                                       // system calls
 *         record = audit_open(audit, &key, &caller, now);
 *     }
 *     if (audit_count_handout(audit, record, &handout, now))
 *         ... LOG_EVENT_HANDOUT, from `caller` and `handout`
 *
 * behind `if (audit_has_handouts(audit))`; and once a turn in which audit_next_at() has come:
 *
 *     while ((summary = audit_pop_summary(audit, now)))
 *         ... LOG_EVENT_HANDOUTS or LOG_EVENT_DENIALS
 *
 * Fields of the log, all events: PEER_UID, PEER_UNIT, PEER_EXE, PROFILE (left out where not known, and of the
 * others); PEER_PID (of a summary: the last one's).
 *
 *     LOG_EVENT_HANDOUT         FINGERPRINT, GENERATION, HOW=cache|waited
 *     LOG_EVENT_HANDOUTS        FINGERPRINT, GENERATION (the last ones), N_CACHE, N_WAITED
 *     LOG_EVENT_ACCESS_DENIED   PROFILE_ASKED (the name asked for, as audit_name_print() makes it)
 *     LOG_EVENT_DENIALS         PROFILE_ASKED (the last one), N_DENIED
 *
 * Never a token. Moments are CLOCK_BOOTTIME in microseconds, handed in, and never go back.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/usec.h"
#include "core/settings.h"
#include "core/token.h"

/* A caller is told of at most twice in this time: when it begins, and when it is summed up. */
#define AUDIT_WINDOW_FOR USEC_PER_MIN
/* Callers and processes that are known at once: far more than the applications of a machine. */
#define AUDIT_CALLERS_MAX   4096
#define AUDIT_PROCESSES_MAX 4096
/* Enough to see who is knocking; at most a line a second, whoever wants to fill the journal. */
#define AUDIT_DENIAL_BURST        20
#define AUDIT_DENIAL_INTERVAL_FOR USEC_PER_SEC

enum audit_kind {
    AUDIT_HANDOUT,
    AUDIT_DENIAL,
    N_AUDIT_KINDS,
};

/* All strings are borrowed; NULL is "not known". */
struct audit_caller {
    uint32_t uid;
    const char *unit;
    const char *exe;
    const char *profile; /* the name; NULL for a denial of a name that no profile has */
};

/* What finds a caller again without looking at its process. */
struct audit_key {
    enum audit_kind kind;
    uint32_t uid;        /* as in the caller */
    uint64_t process_id; /* never another process's as long as the machine runs; 0: not known, never found */
    const void *profile; /* stands for the profile, see audit_forget_processes(); NULL: none */
};

struct audit_handout {
    int32_t pid;
    bool has_waited;         /* for a fetch; false: from the cache */
    uint64_t generation;     /* of the token */
    const char *fingerprint; /* of the token; borrowed */
};

struct audit_denial {
    int32_t pid;
    const char *asked; /* the name asked for, as it came; borrowed */
};

/* A name of at most PROFILE_NAME_MAX characters, and the NUL. */
#define AUDIT_NAME_SIZE (PROFILE_NAME_MAX + 1)

/* What happened in a window and was not logged one by one. */
struct audit_summary {
    enum audit_kind kind;
    bool is_of_others;          /* of callers that were not told apart: `caller` and what follows is empty */
    struct audit_caller caller; /* borrowed until the next call */
    int32_t pid;                /* the last one's */
    char fingerprint[FINGERPRINT_SIZE]; /* AUDIT_HANDOUT: of the last token */
    uint64_t generation;                /* AUDIT_HANDOUT: of the last token */
    char asked[AUDIT_NAME_SIZE];        /* AUDIT_DENIAL: the last name asked for, printable */
    uint64_t n_cache, n_waited;         /* AUDIT_HANDOUT */
    uint64_t n_denied;                  /* AUDIT_DENIAL */
    usec_t during_for;                  /* the length of the window */
};

struct audit;
struct audit_record;

/* 0 or -ENOMEM. */
_must_check_ int audit_new(struct audit **ret, enum audit_mode mode);

/* What was not popped is lost: audit_flush() and audit_pop_summary() go before. Takes NULL; returns NULL. */
struct audit *audit_free(struct audit *a);
DEFINE_CLEANUP(struct audit *, audit_free, audit_free)

/* Another Audit=. Ends all windows when it differs, so that what was counted under the old one is told. */
void audit_set_mode(struct audit *a, enum audit_mode mode, usec_t now);

/* False with AUDIT_OFF: handouts are then not to be looked up, opened or counted. */
bool audit_has_handouts(const struct audit *a);

/* The record of a process seen before in this window, or NULL. Borrowed until the next call but a count. */
struct audit_record *audit_find(struct audit *a, const struct audit_key *key, usec_t now);

/*
 * After audit_find() found none: the record of this caller, which may have been opened by another process, or
 * a new one. Copies the strings. Never NULL: the record of the others where there can be none of its own.
 * Borrowed until the next call but a count.
 */
struct audit_record *audit_open(struct audit *a, const struct audit_key *key,
                                const struct audit_caller *caller, usec_t now);

/* Whom the record is of; all empty for the others. Borrowed as long as the record. */
const struct audit_caller *audit_caller_peek(const struct audit_record *record);

/* Counts one event of the record. True: log it by itself, now, with the names that were looked up. */
bool audit_count_handout(struct audit *a, struct audit_record *record, const struct audit_handout *handout,
                         usec_t now);
bool audit_count_denial(struct audit *a, struct audit_record *record, const struct audit_denial *denial,
                        usec_t now);

/*
 * The pointers that stand for profiles are no longer valid (a reload): processes are looked up anew. Windows
 * and counts go on, also of profiles that are gone.
 */
void audit_forget_processes(struct audit *a);

/* When the next window ends; USEC_INFINITY when none is open, 0 when summaries are waiting to be popped. */
usec_t audit_next_at(const struct audit *a);

/* Ends all windows at once: at stop, before the last audit_pop_summary(). */
void audit_flush(struct audit *a, usec_t now);

/* The next summary that is due, or NULL. Borrowed until the next call. */
const struct audit_summary *audit_pop_summary(struct audit *a, usec_t now);

/* A name from outside, made fit for a log: printable ASCII, and dots where it was longer. Returns `buf`. */
const char *audit_name_print(const char *name, char buf[static AUDIT_NAME_SIZE]);
