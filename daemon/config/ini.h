/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The syntax of systemd's own `.conf` files (systemd.syntax(7), version 252): sections, `Key=value`, comment
 * lines, continued lines. It knows no section and no key; config/table does.
 *
 * Stricter than systemd in one way: a line that is not understood is an error, never skipped with a warning.
 *
 *  - White space (space, tab) at both ends of a line and around the first `=` does not count.
 *  - A line whose first character is # or ; is a comment, also between continued lines. Behind a value there
 * are no comments: `At=50% # half` is the value "50% # half".
 *  - A backslash at the very end of a line joins the next one, with a space in its place; two backslashes do
 * not.
 *  - Lines end in LF or CRLF. A UTF-8 byte order mark at the start of the file is skipped.
 */

#include <stddef.h>

#include "base/problem.h"

/* One line, with its continuation lines: longer than any list of names needs to be, short enough to be looked
 * at. */
#define INI_LINE_MAX ((size_t) 16384)

/* Strings are UTF-8 without control characters (a tab may stand inside a value); they live as long as the
 * struct ini. */
struct ini_item {
    const char *section;
    const char *key; /* NULL: the line is the header of `section` itself */
    const char *value;
    unsigned line; /* the first one, where continued */
};

struct ini {
    struct ini_item *items; /* in the order of the file */
    size_t n_items;
    char *text; /* all strings; wiped in the end, since a key may have been written where it should not */
    size_t text_size;
};

/*
 * Reads `size` bytes. Every line that is not understood is recorded in `problems` and left out of the items.
 * The text of such a line is never part of the message: it may be a key that was pasted into the wrong place.
 * Returns 0 (with problems or without) or -ENOMEM; *ret is set when 0 is returned.
 */
_must_check_ int ini_parse(const char *text, size_t size, const char *file, struct problems *problems,
                           struct ini *ret);

/* Wipes and releases. Takes NULL. */
void ini_done(struct ini *ini);
