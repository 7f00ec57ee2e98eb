/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Where the log goes: the journal with its fields when stderr is the journal's stream (sd-daemon's
 * $JOURNAL_STREAM), else stderr, one line an event, with the `<N>` level prefix of sd-daemon(3) only where
 * stderr is no terminal.
 */

#include "base/log.h"

/* Makes `log` write there. It needs no end: it owns nothing. */
void journal_init(struct log *log, enum log_level max_level);

/* "error", "warning", "notice", "info", "debug". 0 or -EINVAL. */
_must_check_ int journal_parse_level(const char *text, enum log_level *ret);
