/* SPDX-License-Identifier: MIT */
#include "base/problem.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Words longer than this are not near misses of any key. */
#define SUGGEST_WORD_MAX 48

void problem_add(struct problems *p, enum problem_severity severity, const char *file, unsigned line,
                 const char *format, ...)
{
    _cleanup_free_ char *place = NULL, *message = NULL;
    va_list args;

    if (severity == PROBLEM_ERROR)
        p->n_errors++;

    int r = !file  ? asprintf(&place, "%s", "")
            : line ? asprintf(&place, "%s:%u", file, line)
                   : asprintf(&place, "%s", file);
    if (r < 0)
        place = NULL;
    va_start(args, format);
    if (vasprintf(&message, format, args) < 0)
        message = NULL;
    va_end(args);

    struct problem *items = reallocarray(p->items, p->n_items + 1, sizeof(*items));
    if (items)
        p->items = items;
    if (!items || !place || !message) {
        p->is_incomplete = true;
        return;
    }
    p->items[p->n_items++] =
        (struct problem){.severity = severity, .place = TAKE_PTR(place), .message = TAKE_PTR(message)};
}

void problems_done(struct problems *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->n_items; i++) {
        free(p->items[i].place);
        free(p->items[i].message);
    }
    free(p->items);
    *p = (struct problems){0};
}

/* Levenshtein distance without regard to case, by the usual single row. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t row[SUGGEST_WORD_MAX + 1], length_b = strlen(b);

    for (size_t j = 0; j <= length_b; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= length_b; j++) {
            size_t above = row[j];
            bool is_same = tolower((unsigned char) a[i - 1]) == tolower((unsigned char) b[j - 1]);
            size_t best = diagonal + (is_same ? 0 : 1);
            best = above + 1 < best ? above + 1 : best;
            row[j] = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            diagonal = above;
        }
    }
    return row[length_b];
}

const char *problem_suggest(const char *word, const char *const *names, size_t n_names)
{
    const char *nearest = NULL;
    size_t length = strlen(word), nearest_distance = 1 + length / 3;

    if (length == 0 || length > SUGGEST_WORD_MAX)
        return NULL;
    for (size_t i = 0; i < n_names; i++) {
        if (strlen(names[i]) > SUGGEST_WORD_MAX)
            continue;
        size_t distance = edit_distance(word, names[i]);
        if (distance <= nearest_distance && (!nearest || distance < nearest_distance)) {
            nearest = names[i];
            nearest_distance = distance;
        }
    }
    return nearest;
}
