/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A byte string that must not leak: a key or a token. It lies in locked memory (base/locked.h), is wiped
 * whole when it is replaced or done, is compared in constant time, and there is on purpose no way to print
 * it. Where bytes must go out (a request header, an answer), secret_peek() lends them to the one function
 * that writes them.
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"

struct secret {
    char *data;  /* NUL behind the last byte; NULL when not set */
    size_t size; /* without that NUL */
};

#define SECRET_INIT ((struct secret){0})

/* Copies `size` bytes in. 0, or -ENOMEM (the old value stays). The caller still owns (and wipes) its own
 * copy. */
_must_check_ int secret_set(struct secret *s, const void *data, size_t size);

/* Wipes and releases; the secret is then not set. Takes NULL. */
void secret_done(struct secret *s);

/* Moves the value of `from` into `to`, whose old value is wiped; `from` is then not set. */
void secret_move(struct secret *to, struct secret *from);

/* True when a value is set. An empty value counts as set. */
bool secret_is_set(const struct secret *s);

/* The bytes, NUL-terminated; "" when not set. Borrowed until the secret is changed. */
const char *secret_peek(const struct secret *s);

/* True for the same bytes; takes a time that depends on the sizes alone. Two that are not set are not equal.
 */
bool secret_equal(const struct secret *a, const struct secret *b);
