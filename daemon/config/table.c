/* SPDX-License-Identifier: MIT */
#include "config/table.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "config/ini.h"

/* With more errors than this in one file, the rest would bury the first ones; the log says that there are
 * more. */
#define ERRORS_MAX 200

struct reader {
    const struct setting_table *table;
    const struct settings_text *source;
    struct problems *problems;
    struct setting_state *states;
    void *object;
    bool is_section_known;
};

static const struct setting *find_row(const struct setting_table *table, const char *section, const char *key)
{
    for (size_t i = 0; i < table->n_rows; i++) {
        const struct setting *row = &table->rows[i];
        if (row->key && strcmp(row->key, key) == 0 && (!section || strcmp(row->section, section) == 0))
            return row;
    }
    return NULL;
}

/* The row of a section that takes any key, or NULL. */
static const struct setting *find_free_row(const struct setting_table *table, const char *section)
{
    for (size_t i = 0; i < table->n_rows; i++) {
        if (!table->rows[i].key && strcmp(table->rows[i].section, section) == 0)
            return &table->rows[i];
    }
    return NULL;
}

/* An inline secret is one in any section and in any case of letters. */
static const struct setting *find_secret_row(const struct setting_table *table, const char *key)
{
    for (size_t i = 0; i < table->n_rows; i++) {
        if ((table->rows[i].flags & SETTING_SECRET) && strcasecmp(table->rows[i].key, key) == 0)
            return &table->rows[i];
    }
    return NULL;
}

size_t table_find(const struct setting_table *table, const char *section, const char *key)
{
    const struct setting *row = find_row(table, section, key);
    assert(row);
    return (size_t) (row - table->rows);
}

static const char *suggest_key(const struct setting_table *table, const char *section, const char *key)
{
    const char *names[SETTING_ROWS_MAX];
    size_t n = 0;

    for (size_t i = 0; i < table->n_rows; i++) {
        const struct setting *row = &table->rows[i];
        if (row->key && !(row->flags & SETTING_SECRET) && (!section || strcmp(row->section, section) == 0))
            names[n++] = row->key;
    }
    return problem_suggest(key, names, n);
}

static size_t list_sections(const struct setting_table *table, const char *ret_names[SETTING_ROWS_MAX])
{
    size_t n = 0;

    for (size_t i = 0; i < table->n_rows; i++) {
        if (n == 0 || strcmp(ret_names[n - 1], table->rows[i].section) != 0)
            ret_names[n++] = table->rows[i].section;
    }
    return n;
}

static void read_section(struct reader *r, const struct ini_item *item)
{
    const char *names[SETTING_ROWS_MAX];
    size_t n = list_sections(r->table, names);

    r->is_section_known = false;
    for (size_t i = 0; i < n && !r->is_section_known; i++)
        r->is_section_known = strcmp(names[i], item->section) == 0;
    if (r->is_section_known)
        return;

    const char *meant = problem_suggest(item->section, names, n);
    if (meant)
        problem_error(r->problems, r->source->file, item->line, "unknown section [%s]; did you mean [%s]?",
                      item->section, meant);
    else
        problem_error(r->problems, r->source->file, item->line, "unknown section [%s]", item->section);
}

/*
 * Whether an unknown key may be shown. A base64 secret pasted on a line of its own ends in `=` and so reads
 * as a key; the names of settings are words.
 */
static bool is_printable_key(const struct ini_item *item)
{
    size_t size = strlen(item->key);
    bool is_word =
        strspn(item->key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == size;
    bool has_digit = strpbrk(item->key, "0123456789") != NULL;

    return is_word && item->value[0] != '=' && size <= (has_digit ? 16 : 40);
}

static void report_unknown(struct reader *r, const struct ini_item *item)
{
    const char *file = r->source->file, *section = item->section;
    const char *shown = is_printable_key(item) ? item->key : "(not shown)";
    const struct setting *elsewhere = find_row(r->table, NULL, item->key);
    const char *meant = suggest_key(r->table, section, item->key);

    if (elsewhere) {
        problem_error(r->problems, file, item->line, "%s= belongs in [%s], not in [%s]", item->key,
                      elsewhere->section, section);
        return;
    }
    if (meant) {
        problem_error(r->problems, file, item->line, "unknown key %s= in [%s]; did you mean %s=?", shown,
                      section, meant);
        return;
    }
    meant = suggest_key(r->table, NULL, item->key);
    if (meant)
        problem_error(r->problems, file, item->line, "unknown key %s= in [%s]; did you mean %s= of [%s]?",
                      shown, section, meant, find_row(r->table, NULL, meant)->section);
    else
        problem_error(r->problems, file, item->line, "unknown key %s= in [%s]", shown, section);
}

static void *target_of(const struct reader *r, const struct setting *row)
{
    return (char *) r->object + row->offset;
}

/* The value of a row before the file is read, and again when an empty value resets it. */
static int reset_row(const struct reader *r, const struct setting *row)
{
    const struct setting_context context = {
        .setting = row, .key = row->key, .resolver = r->source->resolver, .problems = r->problems};
    int error = row->parse(&context, NULL, target_of(r, row));
    /* The default of a list is what an empty list is not: resetting it leaves nothing. */
    bool is_emptied = (row->flags & SETTING_LIST) && r->states[row - r->table->rows].is_touched;

    if (error < 0 || !row->fallback || is_emptied)
        return error;
    return row->parse(&context, row->fallback, target_of(r, row));
}

static void warn_about_quotes(const struct reader *r, const struct ini_item *item)
{
    size_t size = strlen(item->value);
    char first = item->value[0];

    if (size >= 2 && (first == '"' || first == '\'') && item->value[size - 1] == first)
        problem_warning(r->problems, r->source->file, item->line,
                        "%s=: the quotes are taken as part of the value; leave them out", item->key);
}

/* A value that is there, for a row that may take one now. */
static int read_value(const struct reader *r, const struct setting *row, const struct ini_item *item)
{
    struct setting_state *state = &r->states[row - r->table->rows];
    const struct setting_context context = {.setting = row,
                                            .key = item->key,
                                            .file = r->source->file,
                                            .line = item->line,
                                            .resolver = r->source->resolver,
                                            .problems = r->problems};
    int error = row->parse(&context, item->value, target_of(r, row));

    if (error == -EINVAL)
        problem_error(r->problems, r->source->file, item->line, "%s= must be %s", item->key, row->allowed);
    if (error == -EINVAL || error == -EBADMSG) {
        state->is_bad = true;
        return row->key && !(row->flags & SETTING_LIST) ? row->parse(&context, NULL, target_of(r, row)) : 0;
    }
    if (error == 0)
        warn_about_quotes(r, item);
    return error;
}

static int read_known(struct reader *r, const struct setting *row, const struct ini_item *item)
{
    struct setting_state *state = &r->states[row - r->table->rows];
    bool is_list = row->flags & SETTING_LIST, is_first = !state->is_touched;

    state->is_touched = true;
    if (item->value[0] == '\0') {
        state->line = 0;
        return reset_row(r, row);
    }
    if (state->line && !is_list) {
        problem_error(r->problems, r->source->file, item->line, "%s= is set twice; first in line %u",
                      row->key, state->line);
        return 0;
    }
    if (!state->line)
        state->line = item->line;
    /* What is listed takes the place of the default. */
    int error = is_list && is_first ? reset_row(r, row) : 0;
    return error < 0 ? error : read_value(r, row, item);
}

static int read_key(struct reader *r, const struct ini_item *item)
{
    const struct setting *row = find_secret_row(r->table, item->key);
    if (row)
        return read_value(r, row, item);
    row = find_row(r->table, item->section, item->key);
    if (row)
        return read_known(r, row, item);

    row = find_free_row(r->table, item->section);
    if (!row) {
        report_unknown(r, item);
        return 0;
    }
    const struct setting *elsewhere = find_row(r->table, NULL, item->key);
    if (elsewhere)
        problem_warning(r->problems, r->source->file, item->line,
                        "%s= is taken as a name of [%s]; the setting of that name belongs in [%s]", item->key,
                        item->section, elsewhere->section);
    return read_value(r, row, item);
}

static int read_items(struct reader *r, const struct ini *ini, size_t n_errors_before)
{
    for (size_t i = 0; i < ini->n_items; i++) {
        const struct ini_item *item = &ini->items[i];
        int error = 0;
        if (!item->key)
            read_section(r, item);
        else if (r->is_section_known)
            error = read_key(r, item);
        if (error < 0)
            return error;
        if (r->problems->n_errors - n_errors_before >= ERRORS_MAX) {
            problem_error(r->problems, r->source->file, item->line,
                          "too many errors: the rest of this file was not read");
            return 0;
        }
    }
    return 0;
}

int table_read(const struct setting_table *table, const struct settings_text *source,
               struct problems *problems, struct setting_state *states, void *object)
{
    _cleanup_(ini_done) struct ini ini = {0};
    struct reader reader = {
        .table = table, .source = source, .problems = problems, .states = states, .object = object};
    size_t n_errors_before = problems->n_errors;

    assert(table->n_rows <= SETTING_ROWS_MAX);
    for (size_t i = 0; i < table->n_rows; i++) {
        int r = table->rows[i].key ? reset_row(&reader, &table->rows[i]) : 0;
        if (r < 0)
            return r;
    }
    int r = ini_parse(source->text, source->size, source->file, problems, &ini);
    if (r < 0)
        return r;
    r = read_items(&reader, &ini, n_errors_before);
    if (r < 0)
        return r;
    return problems->n_errors > n_errors_before ? -EINVAL : 0;
}
