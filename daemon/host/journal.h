/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Where the log goes: the journal with its fields when stderr is the journal's stream (sd-daemon's
 * $JOURNAL_STREAM), else stderr, one line an event, with the `<N>` level prefix of sd-daemon(3) only where
 * stderr is no terminal.
 *
 * Nobody who does not read the log stops the daemon: what cannot be written at once is lost to the log. The
 * journal gets a line with how many entries those were as soon as it reads again.
 */

#include "base/log.h"

/* Lives as long as the log that writes to it. */
struct journal {
    unsigned long n_lost; /* entries since the journal last read */
};

/* Makes `log` write there, by way of `j`. It needs no end: it holds nothing open. */
void journal_init(struct journal *j, struct log *log, enum log_level max_level);

/* "error", "warning", "notice", "info", "debug". 0 or -EINVAL. */
_must_check_ int journal_parse_level(const char *text, enum log_level *ret);
