/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <time.h>

#include "base/usec.h"
#include "client/summary.h"
#include "client/verbs.h"

/* As long as the longest answer that is read: a summary is shorter than its JSON. */
#define SUMMARY_MAX ((size_t) 64 * 1024 * 1024)
/* " until 23:59 UTC (in 399d 23h)" */
#define UNTIL_SIZE (TEXT_SPAN_SIZE + 32)

/* As `check` prints them. */
static void print_problems(const struct bearer_reload_report *report)
{
    for (size_t i = 0; i < bearer_reload_n_problems(report); i++) {
        const struct bearer_problem *p = bearer_reload_problem_at(report, i);
        const char *place = bearer_problem_place(p);
        output_note("%s%s%s: %s", place, *place ? ": " : "",
                    bearer_problem_is_warning(p) ? "warning" : "error", bearer_problem_message(p));
    }
}

/* " until 12:30 UTC (in 30min)", or nothing where it is not known. */
static const char *format_until(int64_t at, int64_t now, char buf[static UNTIL_SIZE])
{
    char relative[TEXT_SPAN_SIZE], clock[sizeof("23:59")];
    const time_t seconds = at;
    struct tm tm = {0};

    buf[0] = '\0';
    if (at >= 0 && gmtime_r(&seconds, &tm) && strftime(clock, sizeof(clock), "%H:%M", &tm) > 0)
        (void) snprintf(buf, UNTIL_SIZE, " until %s UTC (%s)", clock, text_moment(at, now, relative));
    return buf;
}

/* What callers live on now that the new keys do not work: the one thing to know before going back to bed. */
static void tell_outlook(struct bearer *b, const char *profile)
{
    _cleanup_(bearer_status_free_p) struct bearer_status *s = NULL;
    char until[UNTIL_SIZE];

    if (bearer_get_status(b, profile, &s) != BEARER_OK)
        return;
    if (bearer_status_is_usable(s))
        output_error("%s: the old token stays in use%s", profile,
                     format_until(bearer_status_expires_at(s), time(NULL), until));
    else
        output_error("%s: there is no usable token", profile);
}

static void tell_failed_keys(struct bearer *b, const struct bearer_change *c)
{
    const char *profile = bearer_change_profile(c), *message = bearer_change_message(c);

    output_error("%s: the new settings are in force, but its new keys brought no token: %s", profile,
                 message ? message : "no reason is known");
    tell_outlook(b, profile);
}

/* Says which keys brought no token, or none yet. How many brought none. */
static size_t tell_proofs(struct bearer *b, const struct bearer_reload_report *report, bool is_quiet)
{
    size_t n_failed = 0;

    for (size_t i = 0; i < bearer_reload_n_changes(report); i++) {
        const struct bearer_change *c = bearer_reload_change_at(report, i);
        const char *profile = bearer_change_profile(c);

        switch (bearer_change_proof(c)) {
        case BEARER_PROOF_FAILED:
            n_failed++;
            if (!is_quiet)
                tell_failed_keys(b, c);
            break;
        case BEARER_PROOF_FALLBACK:
            n_failed++;
            if (!is_quiet)
                output_error("%s: the new settings are in force, but %s; see: bearerctl status %s", profile,
                             bearer_change_message(c) ? bearer_change_message(c) : "a key was refused",
                             profile);
            break;
        case BEARER_PROOF_PENDING:
            if (!is_quiet)
                output_error("%s: its new keys are not proven yet; see: bearerctl status %s", profile,
                             profile);
            break;
        case BEARER_PROOF_NONE:
        case BEARER_PROOF_PROVEN:
            break;
        }
    }
    return n_failed;
}

static void print_summary(const struct bearer_reload_report *report)
{
    _cleanup_(buffer_done) struct buffer line = BUFFER_INIT(SUMMARY_MAX);

    summary_append(&line, report);
    if (bearer_reload_is_in_force(report))
        output_note("%s", buffer_peek(&line));
    else
        output_error("%s", buffer_peek(&line));
}

/* With --json the answer says it all, and nothing is said beside it. */
enum exit_status verb_reload(const struct options *options)
{
    _cleanup_(bearer_free_p) struct bearer *b = NULL;
    _cleanup_(bearer_reload_report_free_p) struct bearer_reload_report *report = NULL;

    enum exit_status status = verb_open(options, &b);
    if (status != EXIT_DONE)
        return status;
    if (bearer_reload(b, &report) != BEARER_OK)
        return output_failure(b, NULL);

    if (options->is_json) {
        status = output_line(bearer_reload_json(report));
    } else {
        print_problems(report);
        print_summary(report);
    }
    size_t n_failed = tell_proofs(b, report, options->is_json);
    if (status != EXIT_DONE)
        return status;
    return bearer_reload_is_in_force(report) && n_failed == 0 ? EXIT_DONE : EXIT_REFUSED;
}
