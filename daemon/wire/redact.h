/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Words of an upstream, made fit for a log and for callers: one line of printable ASCII with everything that
 * is or may be a secret replaced by "[redacted]". Upstreams do echo what they were sent ("invalid key
 * 'abc...'"), and gateways quote whole requests. Rather a useful word lost than a key let through.
 *
 * What is taken out:
 *
 * - Any of the profile's keys, in any case, as it is, form-encoded or base64, and the value of HTTP Basic. A
 *   piece of six characters is enough ("key abc123..."), unless it is a plain word that a made-up key shares
 *   with the sentence ("secret"). The unbroken run around it goes too, however the rest is escaped.
 *
 * - Anything that looks like a JWT.
 *
 * - An unbroken run of 20 characters of the alphabets of base64, hex and escapes, unless it is a GUID (ids of
 *   clients and traces help, and are not secret) or made of plain words ("unauthorized_client", a path).
 *
 * Words with control characters other than tab and line ends are no words, and nothing of them is shown.
 */

#include <stddef.h>

#include "base/buffer.h"
#include "core/settings.h"

/* Appends at most `max` bytes; "..." shows that there was more. 0 or -ENOMEM (nothing appended). */
int redact_append(struct buffer *to, size_t max, const struct profile_settings *s, const char *text,
                  size_t size);
