/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * "Label: value" lines, as systemctl shows them: labels right-aligned before the colon, values one below the
 * other. Pure; texts are cleaned as they are written.
 */

#include "client/text.h"

/* Where values begin. */
#define FIELD_INDENT ((size_t) 14)

/* The label alone, for a caller that writes the value and the newline; NULL: a further line of the same. */
void field_append_label(struct buffer *out, const char *label);

/* A line, or none when there is no value. */
void field_append_text(struct buffer *out, const char *label, const char *value, const struct style *style);

/* The same of a long text: its words go on below where they do not fit. */
void field_append_wrapped(struct buffer *out, const char *label, const char *value,
                          const struct style *style);

/* "2026-01-31T23:59:59Z (in 53min)", or no line when it is absent (negative). */
void field_append_moment(struct buffer *out, const char *label, int64_t at, int64_t now);

/* The number and what is behind it, or no line when it is absent (negative). */
void field_append_number(struct buffer *out, const char *label, int64_t number, const char *unit);
