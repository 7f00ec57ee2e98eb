/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Statuses as a human likes to read them: a table of all profiles, or one profile in full. Pure: rows and a
 * moment in, text out.
 */

#include "base/buffer.h"
#include "client/bearer.h"
#include "client/text.h"

/* One profile in the table. The texts are borrowed and are cleaned when they are written. */
struct table_row {
    const char *profile;
    const char *state_name;
    enum bearer_state state; /* picks the colour */
    int64_t left;            /* seconds; negative: no token */
    int64_t lifetime;        /* seconds; 0: not known, and then without a bar */
    int64_t next_refresh_at; /* seconds since 1970, or negative */
    const char *error;       /* the last error, or NULL */
    int64_t error_at;        /* likewise a moment, or negative */
};

/*
 * Appends the table with a line of headings. Where a last error does not fit beside its row, it stands below
 * it, wrapped. Where even the rest is too wide, the bars are left out.
 */
void table_append(struct buffer *out, const struct table_row *rows, size_t n_rows, int64_t now,
                  const struct style *style);

/* The row of a status; borrows its texts. */
struct table_row table_row_from_status(const struct bearer_status *s);

/* Appends everything about one profile, a line each. For admins, with the rules of Allow=. */
void detail_append(struct buffer *out, const struct bearer_status *s, int64_t now, const struct style *style);

/* Appends how a token stands and what comes next: state, time left, moments, failures, keys in use, last
 * error. Of the keys all, or, unless `has_all_keys`, only when they are not the preferred ones. */
void detail_append_outlook(struct buffer *out, const struct bearer_status *s, bool has_all_keys, int64_t now,
                           const struct style *style);

/* Appends a state in its colour, padded with spaces to `width` columns. */
void state_append(struct buffer *out, const struct table_row *row, size_t width, const struct style *style);

/* Appends "█████░░░░░ 53min" padded with spaces to `width` columns; "-" without a token. */
void left_append(struct buffer *out, const struct table_row *row, bool has_bar, size_t width,
                 const struct style *style);
