/* SPDX-License-Identifier: MIT */
#include "base/secret.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/locked.h"

int secret_set(struct secret *s, const void *data, size_t size)
{
    if (size == SIZE_MAX)
        return -ENOMEM;
    char *copy = locked_alloc(size + 1);
    if (!copy)
        return -ENOMEM;
    if (size > 0)
        memcpy(copy, data, size);
    copy[size] = '\0';
    secret_done(s);
    *s = (struct secret){.data = copy, .size = size};
    return 0;
}

void secret_done(struct secret *s)
{
    if (!s || !s->data)
        return;
    locked_free(s->data, s->size + 1);
    *s = SECRET_INIT;
}

void secret_move(struct secret *to, struct secret *from)
{
    if (to == from)
        return;
    secret_done(to);
    *to = *from;
    *from = SECRET_INIT;
}

bool secret_is_set(const struct secret *s)
{
    return s->data != NULL;
}

const char *secret_peek(const struct secret *s)
{
    return s->data ? s->data : "";
}

bool secret_equal(const struct secret *a, const struct secret *b)
{
    if (!a->data || !b->data || a->size != b->size)
        return false;
    unsigned char difference = 0;
    for (size_t i = 0; i < a->size; i++)
        difference |= (unsigned char) a->data[i] ^ (unsigned char) b->data[i];
    return difference == 0;
}
