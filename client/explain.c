/* SPDX-License-Identifier: MIT */
#include "client/explain.h"

#include <inttypes.h>
#include <string.h>

#include "client/field.h"
#include "client/table.h"

/* Between the columns of the attempts. */
#define GAP ((size_t) 2)

/* One piece of a list on a line: "uid 33", with a comma where something is before it. */
static void append_piece(struct buffer *out, bool *is_first, const char *name, int64_t number)
{
    if (number < 0)
        return;
    buffer_appendf(out, "%s%s %" PRId64, *is_first ? "" : ", ", name, number);
    *is_first = false;
}

/* "www-data: uid 33, gid 33, groups 4 33, process 71" */
static void append_caller(struct buffer *out, const struct explained *about, const struct style *style)
{
    _cleanup_(buffer_done) struct buffer line = BUFFER_INIT(out->max);
    const struct bearer_caller *caller = about->caller;
    bool is_first = true;

    if (about->user) {
        buffer_append_string(&line, about->user);
        buffer_append_string(&line, ": ");
    }
    append_piece(&line, &is_first, "uid", caller->uid);
    append_piece(&line, &is_first, "gid", caller->gid);
    for (size_t i = 0; i < caller->n_groups; i++)
        if (i == 0)
            append_piece(&line, &is_first, "groups", caller->groups[i]);
        else
            buffer_appendf(&line, " %" PRIu32, caller->groups[i]);
    append_piece(&line, &is_first, "process", caller->pid);
    field_append_wrapped(out, "Caller", buffer_peek(&line), style);
}

static void append_verdict(struct buffer *out, const struct bearer_explanation *e, const struct style *style)
{
    const char *rule = bearer_explanation_rule(e), *problem = bearer_explanation_unit_problem(e);

    field_append_text(out, "Unit", bearer_explanation_unit(e), style);
    if (problem) {
        _cleanup_(buffer_done) struct buffer why = BUFFER_INIT(out->max);
        buffer_append_string(&why, "not known: ");
        buffer_append_string(&why, problem);
        field_append_wrapped(out, "Unit", buffer_peek(&why), style);
    }
    field_append_label(out, "May use it");
    buffer_append_string(out, bearer_explanation_is_admitted(e) ? "yes" : "no");
    if (bearer_explanation_is_admitted(e) && rule) {
        buffer_append_string(out, ", by the rule ");
        text_append_clean(out, rule, style->is_utf8);
    }
    buffer_append_char(out, '\n');
    field_append_wrapped(out, "Why", bearer_explanation_why(e), style);
    if (bearer_explanation_is_admin(e))
        field_append_wrapped(out, "Is admin",
                             "yes: may see the status and force a refresh; that gives no token", style);
}

static void append_rules(struct buffer *out, const struct bearer_explanation *e, const struct style *style)
{
    size_t n_allow = bearer_explanation_n_allow(e), n_admin = bearer_explanation_n_admin(e);

    if (n_allow == 0)
        field_append_text(out, "Allow", "nobody: there is no rule", style);
    for (size_t i = 0; i < n_allow; i++)
        field_append_text(out, i == 0 ? "Allow" : NULL, bearer_explanation_allow(e, i), style);
    for (size_t i = 0; i < n_admin; i++)
        field_append_text(out, i == 0 ? "Admin" : NULL, bearer_explanation_admin(e, i), style);
}

/* "2min ago  invalid-keys, HTTP 401" */
static void append_attempts(struct buffer *out, const struct bearer_explanation *e, int64_t now,
                            const struct style *style)
{
    size_t n = bearer_explanation_n_attempts(e), widest = 0;
    char moment[TEXT_SPAN_SIZE];

    for (size_t i = 0; i < n; i++) {
        const struct bearer_attempt *a = bearer_explanation_attempt_at(e, i);
        size_t width = strlen(text_moment(bearer_attempt_at(a), now, moment));
        widest = width > widest ? width : widest;
    }
    if (n == 0)
        field_append_text(out, "Attempts", "none yet", style);
    for (size_t i = 0; i < n; i++) {
        const struct bearer_attempt *a = bearer_explanation_attempt_at(e, i);
        int64_t http_status = bearer_attempt_http_status(a);

        field_append_label(out, i == 0 ? "Attempts" : NULL);
        buffer_appendf(out, "%-*s", (int) (widest + GAP), text_moment(bearer_attempt_at(a), now, moment));
        text_append_clean(out, bearer_attempt_outcome(a), style->is_utf8);
        if (http_status >= 0)
            buffer_appendf(out, ", HTTP %" PRId64, http_status);
        buffer_append_char(out, '\n');
    }
}

void explain_append(struct buffer *out, const struct bearer_explanation *e, const struct explained *about,
                    int64_t now, const struct style *style)
{
    const struct bearer_status *s = bearer_explanation_status(e);

    field_append_text(out, "Profile", bearer_status_name(s), style);
    field_append_text(out, "Description", bearer_status_description(s), style);
    if (about && bearer_explanation_has_caller(e)) {
        append_caller(out, about, style);
        append_verdict(out, e, style);
    }
    append_rules(out, e, style);
    detail_append_outlook(out, s, true, now, style);
    append_attempts(out, e, now, style);
}
