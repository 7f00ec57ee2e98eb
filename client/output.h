/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Where bearerctl's words go: tokens and answers to standard output, everything else to standard error, and
 * an exit status that scripts can rely on. No token ever passes through stdio, which would keep a copy.
 */

#include "base/buffer.h"
#include "client/bearer.h"
#include "client/text.h"

/* What bearerctl exits with. */
enum exit_status {
    EXIT_DONE = 0,
    EXIT_REFUSED = 1,     /* refused, or failed upstream; also: the answer could not be written */
    EXIT_USAGE = 2,       /* the command line makes no sense */
    EXIT_UNREACHABLE = 3, /* no daemon there, or what is there is not bearerd */
    EXIT_TIMED_OUT = 4,
};

/* Prints "bearerctl: ..." and a newline on standard error. Never with a token among the arguments. */
_printf_(1, 2) void output_error(const char *format, ...);

/* The same without "bearerctl: ", for a line that begins with a place or is a summary. */
_printf_(1, 2) void output_note(const char *format, ...);

/* Writes the text, and a newline where it does not end in one, to standard output. The exit status; says what
 * failed. */
enum exit_status output_line(const char *text);

/* Writes what was rendered to standard output; a buffer that failed is an error, too. */
enum exit_status output_buffer(const struct buffer *b);

/* Says why the last call of the handle failed, and what to do about it. `profile` may be NULL. The exit
 * status. */
enum exit_status output_failure(const struct bearer *b, const char *profile);

/* What to do about a daemon that cannot be reached for this errno, or NULL. */
const char *output_hint(int os_errno);

/* How to draw on standard output: looks at the terminal, the locale, $COLUMNS, $NO_COLOR and $TERM. */
struct style output_style(void);
