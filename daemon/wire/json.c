/* SPDX-License-Identifier: MIT */
#include "wire/json.h"

#include <inttypes.h>
#include <string.h>

/* Length of the well-formed UTF-8 sequence at `s` (RFC 3629 section 4), 0 when it is none. */
static size_t utf8_length(const unsigned char *s)
{
    static const struct {
        unsigned char first_min, first_max, second_min, second_max;
        size_t length;
    } forms[] = {
        {0x00, 0x7f, 0,    0,    1},
        {0xc2, 0xdf, 0x80, 0xbf, 2},
        {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3},
        {0xed, 0xed, 0x80, 0x9f, 3},
        {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4},
        {0xf1, 0xf3, 0x80, 0xbf, 4},
        {0xf4, 0xf4, 0x80, 0x8f, 4},
    };

    for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
        if (s[0] < forms[i].first_min || s[0] > forms[i].first_max)
            continue;
        if (forms[i].length > 1 && (s[1] < forms[i].second_min || s[1] > forms[i].second_max))
            return 0;
        for (size_t k = 2; k < forms[i].length; k++) {
            if (s[k] < 0x80 || s[k] > 0xbf)
                return 0;
        }
        return forms[i].length;
    }
    return 0;
}

/* One character that cannot stand as it is. Returns how many bytes of input it was. */
static size_t append_escaped(struct buffer *out, const unsigned char *s)
{
    static const char hex[] = "0123456789abcdef";

    if (*s == '"' || *s == '\\') {
        buffer_append(out, (char[]){'\\', (char) *s}, 2);
    } else if (*s < 0x20 || *s == 0x7f) {
        buffer_append(out, (char[]){'\\', 'u', '0', '0', hex[*s >> 4], hex[*s & 15]}, 6);
    } else {
        size_t length = utf8_length(s);
        buffer_append(out, length ? (const void *) s : "\xef\xbf\xbd", length ? length : 3);
        return length ? length : 1;
    }
    return 1;
}

static bool is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

static void append_string(struct buffer *out, const char *text)
{
    const unsigned char *s = (const unsigned char *) text;

    buffer_append_char(out, '"');
    while (*s) {
        size_t n = 0;
        while (is_plain(s[n]))
            n++;
        buffer_append(out, s, n);
        s += n;
        if (*s)
            s += append_escaped(out, s);
    }
    buffer_append_char(out, '"');
}

static void append_key(struct json *j, const char *key)
{
    if (j->needs_comma)
        buffer_append_char(j->out, ',');
    j->needs_comma = true;
    if (key) {
        append_string(j->out, key);
        buffer_append_char(j->out, ':');
    }
}

void json_open(struct json *j, const char *key, char bracket)
{
    append_key(j, key);
    buffer_append_char(j->out, bracket);
    j->needs_comma = false;
}

void json_close(struct json *j, char bracket)
{
    buffer_append_char(j->out, bracket);
    j->needs_comma = true;
}

void json_string(struct json *j, const char *key, const char *text)
{
    if (!text) {
        json_null(j, key);
        return;
    }
    append_key(j, key);
    append_string(j->out, text);
}

void json_u64(struct json *j, const char *key, uint64_t value)
{
    append_key(j, key);
    buffer_appendf(j->out, "%" PRIu64, value);
}

void json_boolean(struct json *j, const char *key, bool value)
{
    append_key(j, key);
    buffer_append_string(j->out, value ? "true" : "false");
}

void json_null(struct json *j, const char *key)
{
    append_key(j, key);
    buffer_append_string(j->out, "null");
}
