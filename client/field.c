/* SPDX-License-Identifier: MIT */
#include "client/field.h"

#include <inttypes.h>

#include "base/usec.h"

void field_append_label(struct buffer *out, const char *label)
{
    buffer_appendf(out, "%*s%s", (int) FIELD_INDENT - 2, label ? label : "", label ? ": " : "  ");
}

void field_append_text(struct buffer *out, const char *label, const char *value, const struct style *style)
{
    if (!value)
        return;
    field_append_label(out, label);
    text_append_clean(out, value, style->is_utf8);
    buffer_append_char(out, '\n');
}

void field_append_wrapped(struct buffer *out, const char *label, const char *value, const struct style *style)
{
    _cleanup_(buffer_done) struct buffer lines = BUFFER_INIT(out->max);

    if (!value)
        return;
    text_append_wrapped(&lines, value, FIELD_INDENT, style);
    field_append_label(out, label);
    buffer_append_string(out, lines.size > FIELD_INDENT ? buffer_peek(&lines) + FIELD_INDENT : "\n");
}

void field_append_moment(struct buffer *out, const char *label, int64_t at, int64_t now)
{
    char absolute[RFC3339_SIZE], relative[TEXT_SPAN_SIZE];

    if (at < 0)
        return;
    field_append_label(out, label);
    buffer_appendf(out, "%s (%s)\n", usec_format_rfc3339((usec_t) at * USEC_PER_SEC, absolute),
                   text_moment(at, now, relative));
}

void field_append_number(struct buffer *out, const char *label, int64_t number, const char *unit)
{
    if (number < 0)
        return;
    field_append_label(out, label);
    buffer_appendf(out, "%" PRId64 "%s\n", number, unit);
}
