/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * application/x-www-form-urlencoded, as RFC 6749 appendix B wants it for token requests: UTF-8 bytes as they
 * are, letters, digits and "*-._" plain, a space as '+', everything else as %XX.
 */

#include <stddef.h>

#include "base/buffer.h"

/* Appends `data` encoded. Errors stick in the buffer. */
void form_append_encoded(struct buffer *to, const void *data, size_t size);

/* Appends "name=value", both encoded, behind an '&' when it is not the first. */
void form_append_field(struct buffer *to, const char *name, const char *value, size_t value_size);
