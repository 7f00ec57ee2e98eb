/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What is wrong with settings and keys, collected so that one run tells all of it. Each problem names its
 * place
 * (`file:line:`) and says what to do. No message ever holds a secret; callers see to that.
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"

enum problem_severity {
    PROBLEM_WARNING, /* odd, but usable: printed, fails nothing */
    PROBLEM_ERROR,   /* what it belongs to cannot be used */
};

struct problem {
    enum problem_severity severity;
    char *place;   /* "/etc/bearerd/profiles.d/shop.conf:7", or without a line, or "" */
    char *message; /* one line, no newline at the end */
};

struct problems {
    struct problem *items; /* in the order found */
    size_t n_items;
    size_t n_errors;
    bool is_incomplete; /* memory ran out: there was at least one more (counted in n_errors) */
};

/* Records one problem. `file` may be NULL (no place), `line` 0 (no line). */
_printf_(5, 6) void problem_add(struct problems *p, enum problem_severity severity, const char *file,
                                unsigned line, const char *format, ...);

#define problem_error(p, file, line, ...)   problem_add((p), PROBLEM_ERROR, (file), (line), __VA_ARGS__)
#define problem_warning(p, file, line, ...) problem_add((p), PROBLEM_WARNING, (file), (line), __VA_ARGS__)

void problems_done(struct problems *p);

/* The name in `names` that was probably meant by `word` (edit distance), or NULL when none is near. Borrowed.
 */
const char *problem_suggest(const char *word, const char *const *names, size_t n_names);
