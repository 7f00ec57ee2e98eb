/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/usec.h"
#include "client/table.h"

/* The labels stand right-aligned before a colon, as systemctl's do. */
#define LABEL_WIDTH 12

/* "2026-01-31T23:59:59Z (in 53min)" */
#define MOMENT_SIZE (RFC3339_SIZE + TEXT_SPAN_SIZE + 4)

struct table_row table_row_from_status(const struct bearer_status *s)
{
    int64_t issued_at = bearer_status_issued_at(s), expires_at = bearer_status_expires_at(s);
    bool has_lifetime = issued_at >= 0 && expires_at > issued_at;

    return (struct table_row){
        .profile = bearer_status_name(s),
        .state_name = bearer_status_state_name(s),
        .state = bearer_status_state(s),
        .left = bearer_status_expires_in(s),
        .lifetime = has_lifetime ? expires_at - issued_at : 0,
        .next_refresh_at = bearer_status_next_refresh_at(s),
        .error =
            bearer_status_error_message(s) ? bearer_status_error_message(s) : bearer_status_error_reason(s),
        .error_at = bearer_status_error_at(s),
    };
}

static void append_label(struct buffer *out, const char *label)
{
    buffer_appendf(out, "%*s: ", LABEL_WIDTH, label);
}

/* A line, or none when there is no value. */
static void append_text(struct buffer *out, const char *label, const char *value, const struct style *style)
{
    if (!value)
        return;
    append_label(out, label);
    text_append_clean(out, value, style->is_utf8);
    buffer_append_char(out, '\n');
}

static void append_moment(struct buffer *out, const char *label, int64_t at, int64_t now)
{
    char absolute[RFC3339_SIZE], relative[TEXT_SPAN_SIZE];

    if (at < 0)
        return;
    append_label(out, label);
    buffer_appendf(out, "%s (%s)\n", usec_format_rfc3339((usec_t) at * USEC_PER_SEC, absolute),
                   text_moment(at, now, relative));
}

static void append_number(struct buffer *out, const char *label, int64_t number, const char *unit)
{
    if (number < 0)
        return;
    append_label(out, label);
    buffer_appendf(out, "%" PRId64 "%s\n", number, unit);
}

/* The words of the last error begin behind the label and go on below it, so that all of them are seen. */
static void append_last_error(struct buffer *out, const struct table_row *row, const struct style *style)
{
    _cleanup_(buffer_done) struct buffer lines = BUFFER_INIT(out->max);
    size_t indent = LABEL_WIDTH + 2;

    if (!row->error)
        return;
    text_append_wrapped(&lines, row->error, indent, style);
    append_label(out, "Last error");
    buffer_append_string(out, lines.size > indent ? buffer_peek(&lines) + indent : "\n");
}

void detail_append(struct buffer *out, const struct bearer_status *s, int64_t now, const struct style *style)
{
    const struct table_row row = table_row_from_status(s);

    append_text(out, "Profile", row.profile, style);
    append_text(out, "Description", bearer_status_description(s), style);
    append_text(out, "Provider", bearer_status_provider(s), style);
    append_label(out, "State");
    state_append(out, &row, 0, style);
    buffer_append_char(out, '\n');
    append_label(out, "Left");
    left_append(out, &row, true, 0, style);
    buffer_append_char(out, '\n');
    append_moment(out, "Issued", bearer_status_issued_at(s), now);
    append_moment(out, "Expires", bearer_status_expires_at(s), now);
    append_moment(out, "Next refresh", row.next_refresh_at, now);
    append_text(out, "Fingerprint", bearer_status_fingerprint(s), style);
    append_number(out, "Generation", bearer_status_generation(s), "");
    append_number(out, "Failures", bearer_status_consecutive_failures(s), " in a row");
    append_last_error(out, &row, style);
    append_text(out, "Reason", bearer_status_error_reason(s), style);
    append_number(out, "HTTP status", bearer_status_error_http_status(s), "");
    append_moment(out, "Failed", row.error_at, now);
}
