/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A settings file read through a table: one row a key, with its parser, its place in a struct, its limits,
 * its default and the words that say what is allowed. What is the same for all keys is done here, once:
 * unknown sections and keys and what was probably meant, keys in the wrong section, scalars set twice, lists
 * that append, empty values that reset, secrets that have no place in a settings file. What a value means is
 * in config/values.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/problem.h"
#include "config/source.h"

enum setting_flags {
    /* May be repeated: appends. */
    SETTING_LIST = 1 << 0,
    /* An inline secret: refused whatever its value, in any section; the parser says what to do instead. */
    SETTING_SECRET = 1 << 1,
};

/* What a parser knows besides the value. */
struct setting_context {
    const struct setting *setting;
    const char *key;  /* as written; differs from setting->key in a section of free keys */
    const char *file; /* NULL for the default of a setting */
    unsigned line;
    const struct name_resolver *resolver;
    struct problems *problems;
};

/*
 * Reads `value` into `target`; with a value of NULL, releases what is there and leaves it not set. Returns 0,
 * -ENOMEM, -EINVAL (nothing stored; table_read() then says "KEY= must be ALLOWED"), or -EBADMSG (nothing
 * stored, and the parser has said why in `problems`). A list parser may have stored a part when it returns
 * -EBADMSG.
 */
struct setting {
    const char *section;
    const char *key; /* NULL: any key of this section; the parser handles repetition and resets by itself */
    int (*parse)(const struct setting_context *context, const char *value, void *target);
    size_t offset; /* of the target in the object */
    unsigned flags;
    unsigned tags;        /* free for the owner of the table */
    uint64_t min, max;    /* for the parsers that have limits; both allowed */
    const char *fallback; /* the default as text, or NULL: not set */
    const char *allowed;  /* behind "must be" */
};

struct setting_table {
    const struct setting *rows; /* in the order in which sections and keys are to be named */
    size_t n_rows;
};

/* The most rows of a table, for lists of names on the stack. */
#define SETTING_ROWS_MAX 64

/* What was seen of one row; an array beside the table, zeroed by the caller. */
struct setting_state {
    unsigned line;   /* where it is set (for a list: first set), right or wrong; 0: not set, or reset */
    bool is_touched; /* it stood in the file, be it only to reset it */
    bool is_bad;     /* a value was refused */
};

/*
 * Puts in the defaults, then reads the text. Returns 0, -EINVAL (problems were recorded; what was refused
 * stands as not set, everything else is filled in) or -ENOMEM. The caller releases the object in every case.
 */
_must_check_ int table_read(const struct setting_table *table, const struct settings_text *source,
                            struct problems *problems, struct setting_state *states, void *object);

/* The index of a row, for its state. The row must exist. */
size_t table_find(const struct setting_table *table, const char *section, const char *key);
