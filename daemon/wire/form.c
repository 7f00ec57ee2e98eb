/* SPDX-License-Identifier: MIT */
#include "wire/form.h"

#include <stdbool.h>
#include <string.h>

/* Not isalnum(): that one looks at the locale. */
static bool is_plain(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '*' ||
           c == '-' || c == '.' || c == '_';
}

void form_append_encoded(struct buffer *to, const void *data, size_t size)
{
    const char *text = data;
    static const char digits[] = "0123456789ABCDEF";

    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char) text[i];
        if (is_plain(text[i])) {
            buffer_append_char(to, text[i]);
        } else if (c == ' ') {
            buffer_append_char(to, '+');
        } else {
            buffer_append_char(to, '%');
            buffer_append_char(to, digits[c >> 4]);
            buffer_append_char(to, digits[c & 15]);
        }
    }
}

void form_append_field(struct buffer *to, const char *name, const char *value, size_t value_size)
{
    if (to->size > 0)
        buffer_append_char(to, '&');
    form_append_encoded(to, name, strlen(name));
    buffer_append_char(to, '=');
    form_append_encoded(to, value, value_size);
}
