/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A growing byte buffer with a hard maximum, always wiped when it grows or ends. Where it holds tokens or
 * keys
 * (`is_secret`), it lies in locked memory.
 *
 * Errors stick: after the first failure (-EMSGSIZE: over the maximum, -ENOMEM) every append does nothing, so
 * a writer appends piece by piece and asks buffer_error() once at the end. A buffer that failed holds a
 * cut-off text: use none of it.
 */

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"

struct buffer {
    char *data;      /* NUL behind the last byte once anything was appended; may be NULL when empty */
    size_t size;     /* bytes in use, without that NUL */
    size_t capacity; /* bytes asked for at `data` */
    size_t max;      /* the most `size` may become */
    bool is_secret;  /* in locked memory */
    int error;       /* 0, or the first failure as -errno */
};

#define BUFFER_INIT(maximum)        ((struct buffer){.max = (maximum)})
#define BUFFER_INIT_SECRET(maximum) ((struct buffer){.max = (maximum), .is_secret = true})

/* Wipes and releases; the buffer is then empty, with its maximum, and without error. Takes NULL. */
void buffer_done(struct buffer *b);

/* Wipes what is in use and starts over, keeping the memory. Clears the error. */
void buffer_reset(struct buffer *b);

void buffer_append(struct buffer *b, const void *data, size_t size);
void buffer_append_string(struct buffer *b, const char *text);
void buffer_append_char(struct buffer *b, char c);

/* Formats straight into the buffer. Never with a secret among the arguments: stdio keeps copies. */
_printf_(2, 3) void buffer_appendf(struct buffer *b, const char *format, ...);

/* 0, -EMSGSIZE or -ENOMEM: the first failure since the last init, reset or done. */
int buffer_error(const struct buffer *b);

/* The text, NUL-terminated; "" when empty. Borrowed until the next change. */
const char *buffer_peek(const struct buffer *b);

/* Releases a block taken out of a buffer by hand (data and capacity), as buffer_done() would. */
void buffer_free_block(char *data, size_t capacity, bool is_secret);
