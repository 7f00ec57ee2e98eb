/* SPDX-License-Identifier: MIT */
#include "wire/base64.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define ALPHABET_COMMON "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

static const char alphabet[] = ALPHABET_COMMON "+/";
static const char url_alphabet[] = ALPHABET_COMMON "-_";

static void append(struct buffer *to, const unsigned char *data, size_t size, const char *digits,
                   bool is_padded)
{
    for (size_t i = 0; i < size; i += 3) {
        size_t n = size - i < 3 ? size - i : 3;
        uint32_t group = (uint32_t) data[i] << 16;
        group |= n > 1 ? (uint32_t) data[i + 1] << 8 : 0;
        group |= n > 2 ? (uint32_t) data[i + 2] : 0;
        for (size_t j = 0; j <= n; j++)
            buffer_append_char(to, digits[group >> (18 - 6 * j) & 63]);
        for (size_t j = n; is_padded && j < 3; j++)
            buffer_append_char(to, '=');
    }
}

void base64_append(struct buffer *to, const void *data, size_t size)
{
    append(to, data, size, alphabet, true);
}

void base64url_append(struct buffer *to, const void *data, size_t size)
{
    append(to, data, size, url_alphabet, false);
}

int base64url_append_decoded(struct buffer *to, const char *text, size_t size)
{
    uint32_t bits = 0;
    unsigned n_bits = 0;

    if (size % 4 == 1)
        return -EINVAL;
    for (size_t i = 0; i < size; i++) {
        const char *digit = text[i] ? strchr(url_alphabet, text[i]) : NULL;
        if (!digit)
            return -EINVAL;
        bits = bits << 6 | (uint32_t) (digit - url_alphabet);
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            buffer_append_char(to, (char) (bits >> n_bits & 0xff));
        }
    }
    /* Bits left over must be zero, or two texts would stand for the same bytes (RFC 4648 section 3.5). */
    return (bits & ((1U << n_bits) - 1)) == 0 ? 0 : -EINVAL;
}
