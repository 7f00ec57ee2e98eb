/* SPDX-License-Identifier: MIT */
#include "report.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bearerd-paths.h"

#define STATUS_SIZE 256
/* Names of failing profiles in the STATUS line; the others are counted. */
#define STATUS_NAMES_MAX 3

void report_problem(struct log *log, const struct problem *p)
{
    bool is_error = p->severity == PROBLEM_ERROR;

    log_with(log, is_error ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING, LOG_EVENT_SETTINGS_PROBLEM,
             (FIELD("PLACE", p->place)), "%s%s%s: %s", p->place, *p->place ? ": " : "",
             is_error ? "error" : "warning", p->message);
}

static void log_token(struct daemon *d, const struct entry *e, enum log_level level, enum log_event_id event,
                      const char *verb)
{
    const struct profile *p = &e->profile;
    usec_t now = daemon_time(d).now;
    char left[SPAN_SIZE], next[SPAN_SIZE];

    log_with(d->log, level, event, (FIELD("PROFILE", p->name), FIELD("FINGERPRINT", p->token.fingerprint)),
             "%s: %s generation %" PRIu64 " (%s), good for %s, next refresh in %s", p->name, verb,
             p->generation, p->token.fingerprint,
             usec_format_span(token_left_for(&p->token, now) / USEC_PER_SEC * USEC_PER_SEC, left),
             usec_format_span(usec_sub(profile_next_attempt_at(p), now), next));
}

static void log_failure(struct daemon *d, const struct entry *e, enum log_level level,
                        enum log_event_id event, const char *verb)
{
    const struct profile *p = &e->profile;
    usec_t now = daemon_time(d).now;
    char status[16] = "", next[SPAN_SIZE], left[SPAN_SIZE + 32] = "no usable token";

    if (p->failure.http_status > 0)
        (void) snprintf(status, sizeof(status), "%d", p->failure.http_status);
    if (profile_is_usable_for(p, MIN_TTL_DEFAULT, now)) {
        char span[SPAN_SIZE];
        usec_t left_for = token_left_for(&p->token, now) / USEC_PER_SEC * USEC_PER_SEC;
        (void) snprintf(left, sizeof(left), "the current token is good for %s",
                        usec_format_span(left_for, span));
    }
    log_with(d->log, level, event,
             (FIELD("PROFILE", p->name), FIELD("REASON", failure_reason_name(p->failure.reason)),
              FIELD("HTTP_STATUS", status)),
             "%s: %s (%s, failure %u in a row): %s; %s; next attempt %s%s", p->name, verb,
             failure_reason_name(p->failure.reason), p->n_failures, p->failure.message, left,
             p->is_fetching ? "under way" : "in ",
             p->is_fetching ? "" : usec_format_span(usec_sub(profile_next_attempt_at(p), now), next));
}

/* Which keys work now, when they are others than before. */
static void log_keys(struct daemon *d, const struct entry *e)
{
    const struct profile *p = &e->profile;
    const struct profile_settings *s = p->settings;
    const char *secret = p->token_choice.is_next_secret ? "next" : "current";
    const char *subscription = p->token_choice.is_secondary_subscription ? "secondary" : "primary";
    bool is_odd = p->token_choice.is_next_secret || p->token_choice.is_secondary_subscription;
    char text[160] = "";

    if (profile_settings_has_next_secret(s))
        (void) snprintf(text, sizeof(text), "the %s client secret", secret);
    if (profile_settings_has_secondary(s))
        (void) snprintf(text + strlen(text), sizeof(text) - strlen(text), "%sthe %s subscription key",
                        *text ? " and " : "", subscription);
    log_with(
        d->log, is_odd ? LOG_LEVEL_WARNING : LOG_LEVEL_NOTICE, LOG_EVENT_KEY_FALLBACK,
        (FIELD("PROFILE", p->name), FIELD("CLIENT_SECRET", secret), FIELD("SUBSCRIPTION_KEY", subscription)),
        "%s: works with %s from now on%s", p->name, text,
        is_odd ? "; the preferred key was refused, or is being replaced" : "");
}

static void log_idle(struct daemon *d, const struct entry *e)
{
    char span[SPAN_SIZE];

    log_with(d->log, LOG_LEVEL_INFO, LOG_EVENT_IDLE, (FIELD("PROFILE", e->profile.name)),
             "%s: idle, nobody has asked for %s (IdleAfter=); the next request wakes it", e->profile.name,
             usec_format_span(e->profile.settings->idle_after_for, span));
}

void report_note(struct daemon *d, const struct entry *e, enum note note)
{
    if (e->has_changed_keys && (note == NOTE_FETCHED || note == NOTE_RECOVERED))
        log_keys(d, e);
    switch (note) {
    case NOTE_NONE:
        return;
    case NOTE_FETCHED:
        log_token(d, e, LOG_LEVEL_INFO, LOG_EVENT_TOKEN_FETCHED, "token");
        return;
    case NOTE_RECOVERED:
        log_token(d, e, LOG_LEVEL_NOTICE, LOG_EVENT_RECOVERED, "recovered with token");
        return;
    case NOTE_REFRESH_FAILED:
        log_failure(d, e, LOG_LEVEL_WARNING, LOG_EVENT_REFRESH_FAILED, "refresh failed");
        return;
    case NOTE_FAILED:
        log_failure(d, e, LOG_LEVEL_ERROR, LOG_EVENT_PROFILE_FAILED, "no token");
        return;
    case NOTE_EXPIRED:
        log_failure(d, e, LOG_LEVEL_ERROR, LOG_EVENT_PROFILE_FAILED,
                    "the token has run out while refreshes fail");
        return;
    case NOTE_IDLE:
        log_idle(d, e);
        return;
    }
}

void report_skew(struct daemon *d, const struct entry *e, const struct clock_skew *skew)
{
    usec_t now = daemon_time(d).now;
    char span[SPAN_SIZE];

    if (d->skew_logged_at != 0 && now < usec_add(d->skew_logged_at, USEC_PER_HOUR))
        return;
    d->skew_logged_at = now;
    log_with(
        d->log, LOG_LEVEL_WARNING, LOG_EVENT_CLOCK_SKEW, (FIELD("PROFILE", e->profile.name)),
        "%s: the issuer's clock (%s) is %s %s this machine's; tokens are not affected, but check the time "
        "synchronisation",
        e->profile.name, skew->source,
        usec_format_span((usec_t) (skew->usec < 0 ? -skew->usec : skew->usec) / USEC_PER_SEC * USEC_PER_SEC,
                         span),
        skew->usec < 0 ? "behind" : "ahead of");
}

struct summary {
    size_t n_usable, n_idle;
    usec_t next_at;
    const struct profile *next;
    size_t n_failing;
    char failing[STATUS_SIZE / 2];
};

static void summarize(const struct daemon *d, usec_t now, struct summary *ret)
{
    *ret = (struct summary){.next_at = USEC_INFINITY};
    for (size_t i = 0; i < d->registry.n_entries; i++) {
        const struct profile *p = &d->registry.entries[i]->profile;
        bool is_idle = p->is_idle || (p->settings && !p->settings->is_preloaded && p->n_failures == 0);
        if (profile_is_usable_for(p, MIN_TTL_DEFAULT, now))
            ret->n_usable++;
        else if (is_idle)
            ret->n_idle++;
        if (profile_next_attempt_at(p) < ret->next_at) {
            ret->next_at = profile_next_attempt_at(p);
            ret->next = p;
        }
        if (p->n_failures == 0 || p->is_idle)
            continue;
        size_t length = strlen(ret->failing);
        if (ret->n_failing++ < STATUS_NAMES_MAX)
            (void) snprintf(ret->failing + length, sizeof(ret->failing) - length, "%s%s (%s)",
                            length ? ", " : "", p->name, failure_reason_name(p->failure.reason));
    }
}

void report_status(struct daemon *d)
{
    struct reply_time t = daemon_time(d);
    char status[3 * STATUS_SIZE], next[STATUS_SIZE] = "", failing[STATUS_SIZE] = "", idle[40] = "",
                                  moment[RFC3339_SIZE];
    struct summary s;

    /* The last one says that it stops. */
    if (d->is_stopping)
        return;
    summarize(d, t.now, &s);
    if (s.next)
        (void) snprintf(next, sizeof(next), "; next: %s at %s", s.next->name,
                        usec_format_rfc3339(reply_wall_at(&t, s.next_at), moment));
    if (s.n_failing > STATUS_NAMES_MAX)
        (void) snprintf(failing, sizeof(failing), "; failing: %s and %zu more", s.failing,
                        s.n_failing - STATUS_NAMES_MAX);
    else if (s.n_failing > 0)
        (void) snprintf(failing, sizeof(failing), "; failing: %s", s.failing);
    if (s.n_idle > 0)
        (void) snprintf(idle, sizeof(idle), ", %zu not in use", s.n_idle);
    (void) snprintf(status, sizeof(status), "%zu of %zu profiles usable%s%s%s%s", s.n_usable,
                    d->registry.n_entries, idle, next, failing,
                    d->reload.is_refused ? "; the last reload was refused" : "");
    supervisor_status(d->supervisor, status);
}

void report_ready(struct daemon *d)
{
    if (supervisor_is_ready(d->supervisor) || d->is_stopping)
        return;
    report_status(d);
    supervisor_ready(d->supervisor);
    const char *socket = d->socket.path ? d->socket.path : "the service manager's socket";
    log_with(d->log, LOG_LEVEL_NOTICE, LOG_EVENT_STARTED, (FIELD("SOCKET", d->socket.path)),
             "bearerd %s serves %zu profile%s on %s", BEARERD_VERSION, d->registry.n_entries,
             d->registry.n_entries == 1 ? "" : "s", socket);
}
