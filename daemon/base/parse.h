/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Strict parsing of the small value forms: what is not wholly and exactly of the form is refused; nothing is
 * clamped, rounded or skipped. Every function returns 0, -EINVAL (not of this form) or -ERANGE (of the form,
 * too large) and leaves *ret untouched on failure.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/usec.h"

/* Decimal digits only: no sign, space, or leading zero before another digit. */
int parse_u64(const char *text, uint64_t *ret);

/* As parse_u64(), and at most `max`. */
int parse_u64_max(const char *text, uint64_t max, uint64_t *ret);

/*
 * A length of time as in systemd.time(7): terms of a number (a fraction is allowed) and a unit, spaces
 * between and behind optional: "90", "90s", "1.5h", "5min 20s". No unit means seconds. Units: us usec, ms
 * msec, s sec second seconds, m min minute minutes, h hr hour hours, d day days, w week weeks. "infinity" is
 * not accepted: no setting here can be without end.
 */
int parse_duration(const char *text, usec_t *ret);

/* A size in bytes with an optional K, M or G (powers of 1024): "64K". */
int parse_size(const char *text, uint64_t *ret);

/* "50%": 0 to 100, whole numbers. */
int parse_percent(const char *text, unsigned *ret);

/* yes/no, true/false, on/off, y/n, t/f, 1/0, in any case: the words of systemd. */
int parse_bool(const char *text, bool *ret);

/* An octal file mode, at most 07777: "0660". */
int parse_mode(const char *text, unsigned *ret);
