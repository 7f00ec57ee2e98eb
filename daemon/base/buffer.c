/* SPDX-License-Identifier: MIT */
#include "base/buffer.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/locked.h"

#define CAPACITY_MIN ((size_t) 128)

void buffer_free_block(char *data, size_t capacity, bool is_secret)
{
    if (!data)
        return;
    if (is_secret) {
        locked_free(data, capacity);
        return;
    }
    explicit_bzero(data, capacity);
    free(data);
}

void buffer_done(struct buffer *b)
{
    if (!b)
        return;
    buffer_free_block(b->data, b->capacity, b->is_secret);
    *b = (struct buffer){.max = b->max, .is_secret = b->is_secret};
}

void buffer_reset(struct buffer *b)
{
    if (b->data)
        explicit_bzero(b->data, b->size + 1);
    b->size = 0;
    b->error = 0;
}

/* Makes room for `more` bytes and the NUL; false (and the error set) when that cannot be. */
static bool buffer_reserve(struct buffer *b, size_t more)
{
    if (b->error)
        return false;
    if (more > b->max || b->size > b->max - more) {
        b->error = -EMSGSIZE;
        return false;
    }
    /* Beyond this the doubling below would wrap; no machine has that much. */
    if (more > SIZE_MAX / 4 || b->size > SIZE_MAX / 4) {
        b->error = -ENOMEM;
        return false;
    }
    size_t needed = b->size + more + 1;
    if (needed <= b->capacity)
        return true;

    size_t capacity = b->capacity > CAPACITY_MIN ? b->capacity : CAPACITY_MIN;
    while (capacity < needed)
        capacity *= 2;
    if (capacity - 1 > b->max)
        capacity = b->max + 1;
    if (b->is_secret)
        capacity = locked_usable_size(capacity);
    char *data = b->is_secret ? locked_alloc(capacity) : malloc(capacity);
    if (!data) {
        b->error = -ENOMEM;
        return false;
    }
    if (b->size > 0)
        memcpy(data, b->data, b->size);
    data[b->size] = '\0';
    buffer_free_block(b->data, b->capacity, b->is_secret);
    b->data = data;
    b->capacity = capacity;
    return true;
}

void buffer_append(struct buffer *b, const void *data, size_t size)
{
    if (!buffer_reserve(b, size))
        return;
    if (size > 0)
        memcpy(b->data + b->size, data, size);
    b->size += size;
    b->data[b->size] = '\0';
}

void buffer_append_string(struct buffer *b, const char *text)
{
    buffer_append(b, text, strlen(text));
}

void buffer_append_char(struct buffer *b, char c)
{
    buffer_append(b, &c, 1);
}

void buffer_appendf(struct buffer *b, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    /* What stdio refuses to format is over INT_MAX, or not text: a hole in the middle must not go out. */
    if (n < 0 && !b->error)
        b->error = -EMSGSIZE;
    if (n < 0 || !buffer_reserve(b, (size_t) n))
        return;
    va_start(args, format);
    (void) vsnprintf(b->data + b->size, (size_t) n + 1, format, args);
    va_end(args);
    b->size += (size_t) n;
}

int buffer_error(const struct buffer *b)
{
    return b->error;
}

const char *buffer_peek(const struct buffer *b)
{
    return b->data ? b->data : "";
}
