/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Time as a number: microseconds, arithmetic that saturates instead of wrapping, and the text forms of a
 * moment.
 *
 * Nothing here reads a clock. A usec_t is either a moment (`_at`: microseconds on CLOCK_BOOTTIME unless a
 * comment says wall clock) or a length (`_for`). USEC_INFINITY is "never" as a moment and "without end" as a
 * length.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t usec_t;

#define USEC_PER_MSEC ((usec_t) 1000)
#define USEC_PER_SEC  ((usec_t) 1000000)
#define USEC_PER_MIN  (60 * USEC_PER_SEC)
#define USEC_PER_HOUR (60 * USEC_PER_MIN)
#define USEC_PER_DAY  (24 * USEC_PER_HOUR)
#define USEC_INFINITY UINT64_MAX

/* a + b, or USEC_INFINITY when the sum does not fit or either is infinite. */
usec_t usec_add(usec_t a, usec_t b);

/* a - b, or 0 when b is later; USEC_INFINITY stays USEC_INFINITY. */
usec_t usec_sub(usec_t a, usec_t b);

usec_t usec_min(usec_t a, usec_t b);
usec_t usec_max(usec_t a, usec_t b);

/* a * numerator / denominator without overflow in between; saturates. The denominator is not 0. */
usec_t usec_scale(usec_t a, uint64_t numerator, uint64_t denominator);

/* Room for usec_format_rfc3339(): "2026-01-31T23:59:59Z" and the NUL. */
#define RFC3339_SIZE 32

/* Writes a wall-clock moment as RFC 3339 UTC with whole seconds, rounded down. Returns `buf`. */
const char *usec_format_rfc3339(usec_t wall_at, char buf[static RFC3339_SIZE]);

/* Room for usec_format_span(): "14h 3min 7s". */
#define SPAN_SIZE 48

/* Writes a length for human eyes in at most two units ("1h 5min", "250ms"). Returns `buf`. */
const char *usec_format_span(usec_t span, char buf[static SPAN_SIZE]);

/*
 * An HTTP date in any of the three forms a recipient must accept (RFC 9110 section 5.6.7): IMF-fixdate, RFC
 * 850, asctime. On success stores the wall-clock moment and returns true.
 */
bool usec_parse_http_date(const char *text, usec_t *ret_wall_at);
