/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * base64 and base64url (RFC 4648 sections 4 and 5), straight into a buffer. Written out here because what is
 * encoded is a key or a token: no copy exists besides the caller's and the buffer's.
 */

#include <stddef.h>

#include "base/buffer.h"

/* Appends base64 with padding. Errors stick in the buffer. */
void base64_append(struct buffer *to, const void *data, size_t size);

/* Appends base64url without padding, as JWTs have it (RFC 7515 section 2). */
void base64url_append(struct buffer *to, const void *data, size_t size);

/*
 * Appends what `text` decodes to. 0, or -EINVAL when it is not unpadded base64url to the last bit; then some
 * bytes may have been appended. A full buffer is not reported here but sticks in it.
 */
int base64url_append_decoded(struct buffer *to, const char *text, size_t size);
