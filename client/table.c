/* SPDX-License-Identifier: MIT */
#include "client/table.h"

#include <string.h>

/* Between two columns. */
#define GAP ((size_t) 2)
/* Of an error that stands below its row. */
#define INDENT       ((size_t) 4)

#define COLOUR_RESET "\033[0m"

enum column {
    COLUMN_PROFILE,
    COLUMN_STATE,
    COLUMN_LEFT,
    COLUMN_NEXT,
    N_COLUMNS, /* the last error follows, as wide as it is */
};

static const char *const headings[N_COLUMNS + 1] = {
    [COLUMN_PROFILE] = "PROFILE",   [COLUMN_STATE] = "STATE",   [COLUMN_LEFT] = "LEFT",
    [COLUMN_NEXT] = "NEXT REFRESH", [N_COLUMNS] = "LAST ERROR",
};

struct layout {
    size_t widths[N_COLUMNS];
    bool has_bar;
};

static const char *state_colour(enum bearer_state state)
{
    switch (state) {
    case BEARER_STATE_FRESH:
    case BEARER_STATE_REFRESHING:
        return "\033[32m"; /* green */
    case BEARER_STATE_STALE:
    case BEARER_STATE_FETCHING:
        return "\033[33m"; /* yellow */
    case BEARER_STATE_FAILED:
        return "\033[1;31m"; /* bold red */
    case BEARER_STATE_EMPTY:
    case BEARER_STATE_IDLE:
    case BEARER_STATE_UNKNOWN:
        return NULL;
    }
    return NULL;
}

static void pad(struct buffer *out, size_t from, size_t to)
{
    text_append_repeated(out, " ", to > from ? to - from : 0);
}

void state_append(struct buffer *out, const struct table_row *row, size_t width, const struct style *style)
{
    const char *colour = style->has_colour ? state_colour(row->state) : NULL;

    if (colour)
        buffer_append_string(out, colour);
    text_append_clean(out, row->state_name, style->is_utf8);
    if (colour)
        buffer_append_string(out, COLOUR_RESET);
    pad(out, text_width(row->state_name), width);
}

static size_t left_width(const struct table_row *row, bool has_bar)
{
    char span[TEXT_SPAN_SIZE];

    if (row->left < 0)
        return 1;
    return strlen(text_span(row->left, span)) + (has_bar && row->lifetime > 0 ? BAR_WIDTH + 1 : 0);
}

void left_append(struct buffer *out, const struct table_row *row, bool has_bar, size_t width,
                 const struct style *style)
{
    char span[TEXT_SPAN_SIZE];

    if (row->left >= 0 && has_bar && row->lifetime > 0) {
        bar_append(out, row->left, row->lifetime, style->is_utf8);
        buffer_append_char(out, ' ');
    }
    buffer_append_string(out, row->left < 0 ? "-" : text_span(row->left, span));
    pad(out, left_width(row, has_bar), width);
}

static void widen(size_t *width, size_t to)
{
    if (*width < to)
        *width = to;
}

static struct layout measure(const struct table_row *rows, size_t n_rows, int64_t now, bool has_bar)
{
    struct layout layout = {.has_bar = has_bar};
    char next[TEXT_SPAN_SIZE];

    for (size_t i = 0; i < N_COLUMNS; i++)
        layout.widths[i] = strlen(headings[i]);
    for (size_t i = 0; i < n_rows; i++) {
        widen(&layout.widths[COLUMN_PROFILE], text_width(rows[i].profile));
        widen(&layout.widths[COLUMN_STATE], text_width(rows[i].state_name));
        widen(&layout.widths[COLUMN_LEFT], left_width(&rows[i], has_bar));
        widen(&layout.widths[COLUMN_NEXT], strlen(text_moment(rows[i].next_refresh_at, now, next)));
    }
    return layout;
}

/* Where the last error begins. */
static size_t error_column(const struct layout *layout)
{
    size_t column = 0;

    for (size_t i = 0; i < N_COLUMNS; i++)
        column += layout->widths[i] + GAP;
    return column;
}

static void append_headings(struct buffer *out, const struct layout *layout, const struct style *style)
{
    for (size_t i = 0; i < N_COLUMNS; i++) {
        buffer_append_string(out, headings[i]);
        if (i + 1 < N_COLUMNS)
            pad(out, strlen(headings[i]), layout->widths[i] + GAP);
    }
    if (style->width == 0 || error_column(layout) + strlen(headings[N_COLUMNS]) <= style->width) {
        pad(out, strlen(headings[COLUMN_NEXT]), layout->widths[COLUMN_NEXT] + GAP);
        buffer_append_string(out, headings[N_COLUMNS]);
    }
    buffer_append_char(out, '\n');
}

/* "2min ago: what was said", beside the row or below it. `used` is where the row ends. */
static void append_error(struct buffer *out, const struct table_row *row, size_t used,
                         const struct layout *layout, int64_t now, const struct style *style)
{
    _cleanup_(buffer_done) struct buffer text = BUFFER_INIT(out->max);
    char age[TEXT_SPAN_SIZE];

    if (row->error && row->error_at >= 0) {
        buffer_append_string(&text, text_moment(row->error_at, now, age));
        buffer_append_string(&text, ": ");
    }
    if (row->error)
        buffer_append_string(&text, row->error);
    size_t width = text_width(buffer_peek(&text));
    if (width > 0 && (style->width == 0 || error_column(layout) + width <= style->width)) {
        pad(out, used, error_column(layout));
        text_append_clean(out, buffer_peek(&text), style->is_utf8);
        width = 0;
    }
    buffer_append_char(out, '\n');
    if (width > 0)
        text_append_wrapped(out, buffer_peek(&text), INDENT, style);
}

static void append_row(struct buffer *out, const struct table_row *row, const struct layout *layout,
                       int64_t now, const struct style *style)
{
    char next[TEXT_SPAN_SIZE];

    text_append_clean(out, row->profile, style->is_utf8);
    pad(out, text_width(row->profile), layout->widths[COLUMN_PROFILE] + GAP);
    state_append(out, row, layout->widths[COLUMN_STATE] + GAP, style);
    left_append(out, row, layout->has_bar, layout->widths[COLUMN_LEFT] + GAP, style);
    buffer_append_string(out, text_moment(row->next_refresh_at, now, next));
    size_t used = error_column(layout) - layout->widths[COLUMN_NEXT] - GAP + strlen(next);
    append_error(out, row, used, layout, now, style);
}

void table_append(struct buffer *out, const struct table_row *rows, size_t n_rows, int64_t now,
                  const struct style *style)
{
    struct layout layout = measure(rows, n_rows, now, true);

    if (style->width > 0 && error_column(&layout) - GAP > style->width)
        layout = measure(rows, n_rows, now, false);
    append_headings(out, &layout, style);
    for (size_t i = 0; i < n_rows; i++)
        append_row(out, &rows[i], &layout, now, style);
}
