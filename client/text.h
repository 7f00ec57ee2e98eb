/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Words and bars for a terminal: pure text into a buffer, whatever the terminal. What comes from outside is
 * cleaned, so that no answer can move the cursor or change a title. Nothing is cut off: what does not fit
 * goes on a line below.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"

struct style {
    unsigned width;  /* columns; 0: no limit, for a pipe or a file */
    bool is_utf8;    /* what the locale can show; else ASCII */
    bool has_colour; /* ANSI sequences are wanted */
};

/* Room for text_span(): "399d 23h". */
#define TEXT_SPAN_SIZE 48

/* Columns that the text takes: its characters; double-width ones are not expected here. */
size_t text_width(const char *text);

/* Appends without control characters, and without anything but ASCII unless `is_utf8`: '?' stands instead. */
void text_append_clean(struct buffer *out, const char *text, bool is_utf8);

/* Appends n times. */
void text_append_repeated(struct buffer *out, const char *text, size_t n);

/*
 * Appends the text cleaned, in lines of at most style->width columns that each begin with `indent` spaces and
 * end in a newline. Breaks at spaces only: a word that is too long alone stays whole.
 */
void text_append_wrapped(struct buffer *out, const char *text, size_t indent, const struct style *style);

/* Seconds for human eyes, in at most two units and none finer than needed: "42s", "53min", "5h 12min". */
const char *text_span(int64_t seconds, char buf[static TEXT_SPAN_SIZE]);

/* A moment seen from now: "in 23min", "5h ago", "now". `at` may be absent (negative): "-". */
const char *text_moment(int64_t at, int64_t now, char buf[static TEXT_SPAN_SIZE]);

/* Columns of a bar. */
#define BAR_WIDTH ((size_t) 10)

/* How much of a lifetime is left, as a bar: never empty while anything is left, full only when nothing is
 * gone. */
void bar_append(struct buffer *out, int64_t left, int64_t lifetime, bool is_utf8);
