/* SPDX-License-Identifier: MIT */
#include "client/key-rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Between two columns. */
#define GAP ((size_t) 2)

enum column {
    COLUMN_PROFILE,
    COLUMN_KIND,
    COLUMN_WHERE,
    COLUMN_AGE,
    COLUMN_STATE,
    N_COLUMNS,
};

static const char *const headings[N_COLUMNS] = {
    [COLUMN_PROFILE] = "PROFILE", [COLUMN_KIND] = "KEY",    [COLUMN_WHERE] = "WHERE",
    [COLUMN_AGE] = "STORED",      [COLUMN_STATE] = "STATE",
};

static void row_done(struct key_row *row)
{
    free(row->profile);
    free(row->where);
    free(row->state);
}

void key_rows_done(struct key_rows *rows)
{
    for (size_t i = 0; i < rows->n_items; i++)
        row_done(&rows->items[i]);
    free(rows->items);
    *rows = (struct key_rows){0};
}

/* ---- facts to rows ---- */

_printf_(5, 6) static void add(struct key_rows *rows, const struct key_facts *f, const char *where,
                               int64_t at, const char *format, ...)
{
    struct key_row row = {.profile = strdup(f->profile), .kind = f->kind, .where = strdup(where), .at = at};
    va_list args;

    struct key_row *items = reallocarray(rows->items, rows->n_items + 1, sizeof(*items));
    if (items)
        rows->items = items;
    va_start(args, format);
    if (vasprintf(&row.state, format, args) < 0)
        row.state = NULL;
    va_end(args);
    if (items && row.profile && row.where && row.state) {
        rows->items[rows->n_items++] = row;
        return;
    }
    rows->is_incomplete = true;
    row_done(&row);
}

/* Why nothing reads this key, wherever it lies; NULL: something does. */
static const char *why_unwanted(const struct key_facts *f)
{
    if (!f->has_profile)
        return "not used: there are no settings for this profile";
    if (!f->has_provider)
        return "unknown: the settings do not say which provider: bearerctl check";
    return f->is_wanted ? NULL : "not used: this provider has no use for it";
}

static void add_named_file(struct key_rows *rows, const struct key_facts *f)
{
    const char *unwanted = why_unwanted(f);

    add(rows, f, f->file, f->file_at, "%s",
        f->file_at == KEY_ABSENT ? "missing"
        : unwanted               ? unwanted
                                 : "ok");
}

static void add_credential(struct key_rows *rows, const struct key_facts *f)
{
    const char *unwanted = why_unwanted(f);

    if (unwanted || !f->file)
        add(rows, f, "credential", f->passed_at, "%s", unwanted ? unwanted : "ok");
    else
        add(rows, f, "credential", f->passed_at, "not used: %sFile= goes first", f->setting);
}

static void add_encrypted(struct key_rows *rows, const struct key_facts *f)
{
    const char *unwanted = why_unwanted(f);

    if (f->decryption == KEY_DAMAGED)
        add(rows, f, "encrypted", f->encrypted_at,
            "cannot be decrypted here: bearerctl keys %s %s stores it anew", f->profile, f->kind);
    else if (unwanted)
        add(rows, f, "encrypted", f->encrypted_at, "%s", unwanted);
    else if (f->file)
        add(rows, f, "encrypted", f->encrypted_at, "not used: %sFile= goes first", f->setting);
    else if (f->passed_at != KEY_ABSENT)
        add(rows, f, "encrypted", f->encrypted_at, "not used: the credential goes first");
    else if (!f->is_read)
        add(rows, f, "encrypted", f->encrypted_at, "not read yet: systemctl restart bearerd");
    else if (f->decryption == KEY_UNTRIED)
        add(rows, f, "encrypted", f->encrypted_at, "in use; not tried anew: there is no systemd-creds here");
    else
        add(rows, f, "encrypted", f->encrypted_at, "ok");
}

static void add_plain(struct key_rows *rows, const struct key_facts *f)
{
    const char *unwanted = why_unwanted(f);

    if (unwanted)
        add(rows, f, f->plain, f->plain_at, "%s", unwanted);
    else if (f->file)
        add(rows, f, f->plain, f->plain_at, "not used: %sFile= names another", f->setting);
    else
        add(rows, f, f->plain, f->plain_at, "not used: no %sFile= names it", f->setting);
}

void key_rows_add(struct key_rows *rows, const struct key_facts *f)
{
    bool is_plain_named = f->file && strcmp(f->file, f->plain) == 0;

    if (f->file)
        add_named_file(rows, f);
    if (f->passed_at != KEY_ABSENT)
        add_credential(rows, f);
    if (f->encrypted_at != KEY_ABSENT)
        add_encrypted(rows, f);
    else if (f->loaded_at != KEY_ABSENT)
        add(rows, f, "credential", f->loaded_at, "no longer stored: systemctl restart bearerd forgets it");
    if (f->plain_at != KEY_ABSENT && !is_plain_named)
        add_plain(rows, f);
    if (f->is_required && !f->file && f->passed_at == KEY_ABSENT && f->encrypted_at == KEY_ABSENT)
        add(rows, f, "-", KEY_ABSENT, "missing: bearerctl keys %s", f->profile);
}

/* ---- rows to text ---- */

static const char *cell(const struct key_row *row, enum column column, int64_t now,
                        char age[static TEXT_SPAN_SIZE])
{
    switch (column) {
    case COLUMN_PROFILE:
        return row->profile;
    case COLUMN_KIND:
        return row->kind;
    case COLUMN_WHERE:
        return row->where;
    case COLUMN_AGE:
        return text_moment(row->at, now, age);
    case COLUMN_STATE:
        return row->state;
    case N_COLUMNS:
        break;
    }
    return "";
}

/* A cell, with spaces behind it unless it is the last one. */
static void append_cell(struct buffer *out, const char *text, size_t width, const struct style *style)
{
    size_t used = text_width(text);

    text_append_clean(out, text, style->is_utf8);
    text_append_repeated(out, " ", width > used ? width - used : 0);
}

void key_rows_append(struct buffer *out, const struct key_rows *rows, int64_t now, const struct style *style)
{
    size_t widths[N_COLUMNS];
    char age[TEXT_SPAN_SIZE];

    for (size_t c = 0; c < N_COLUMNS; c++) {
        widths[c] = strlen(headings[c]);
        for (size_t i = 0; i < rows->n_items; i++) {
            size_t width = text_width(cell(&rows->items[i], (enum column) c, now, age));
            widths[c] = width > widths[c] ? width : widths[c];
        }
        widths[c] = c + 1 < N_COLUMNS ? widths[c] + GAP : 0;
        append_cell(out, headings[c], widths[c], style);
    }
    buffer_append_char(out, '\n');
    for (size_t i = 0; i < rows->n_items; i++) {
        for (size_t c = 0; c < N_COLUMNS; c++)
            append_cell(out, cell(&rows->items[i], (enum column) c, now, age), widths[c], style);
        buffer_append_char(out, '\n');
    }
}
