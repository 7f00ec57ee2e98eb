/* SPDX-License-Identifier: MIT */
#include "wire/basic.h"

#include <string.h>

#include "wire/base64.h"
#include "wire/form.h"

void basic_append(struct buffer *to, const char *client_id, const struct secret *client_secret,
                  bool is_form_encoded)
{
    _cleanup_(buffer_done) struct buffer pair = BUFFER_INIT_SECRET(to->max);
    void (*append)(struct buffer *, const void *, size_t) =
        is_form_encoded ? form_append_encoded : buffer_append;

    append(&pair, client_id, strlen(client_id));
    buffer_append_char(&pair, ':');
    append(&pair, secret_peek(client_secret), client_secret->size);
    base64_append(to, buffer_peek(&pair), pair.size);
    if (buffer_error(&pair) && !to->error)
        to->error = buffer_error(&pair);
}
