/* SPDX-License-Identifier: MIT */
#include "client/text.h"

#include <stdio.h>
#include <string.h>

#include "base/usec.h"

/* The bytes of UTF-8 that continue a character. */
static bool is_continuation(char c)
{
    return ((unsigned char) c & 0xc0) == 0x80;
}

static size_t characters(const char *text, size_t size)
{
    size_t n = 0;

    for (size_t i = 0; i < size; i++)
        n += !is_continuation(text[i]);
    return n;
}

size_t text_width(const char *text)
{
    return characters(text, strlen(text));
}

/* U+0080 to U+009F in UTF-8: some terminals obey them as they do ESC sequences. */
static bool is_c1_control(const char *text)
{
    return (unsigned char) text[0] == 0xc2 && (unsigned char) text[1] >= 0x80 &&
           (unsigned char) text[1] < 0xa0;
}

void text_append_clean(struct buffer *out, const char *text, bool is_utf8)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char) *text;

        if (c >= 0x80 && is_utf8 && !is_c1_control(text))
            buffer_append_char(out, *text);
        else if (c >= ' ' && c < 0x7f)
            buffer_append_char(out, *text);
        else if (!is_continuation(*text))
            buffer_append_char(out, '?');
        if (is_c1_control(text))
            text++;
    }
}

void text_append_repeated(struct buffer *out, const char *text, size_t n)
{
    for (; n > 0; n--)
        buffer_append_string(out, text);
}

void text_append_wrapped(struct buffer *out, const char *text, size_t indent, const struct style *style)
{
    _cleanup_(buffer_done) struct buffer clean = BUFFER_INIT(out->max);
    size_t column = 0;

    text_append_clean(&clean, text, style->is_utf8);
    if (buffer_error(&clean) < 0)
        out->error = buffer_error(&clean);

    const char *word = buffer_peek(&clean);
    while (*(word += strspn(word, " "))) {
        size_t size = strcspn(word, " ");
        size_t width = characters(word, size);
        bool is_fitting = style->width == 0 || column + 1 + width <= style->width;

        if (column > 0 && is_fitting) {
            buffer_append_char(out, ' ');
            column += 1 + width;
        } else {
            if (column > 0)
                buffer_append_char(out, '\n');
            text_append_repeated(out, " ", indent);
            column = indent + width;
        }
        buffer_append(out, word, size);
        word += size;
    }
    buffer_append_char(out, '\n');
}

const char *text_span(int64_t seconds, char buf[static TEXT_SPAN_SIZE])
{
    _Static_assert(TEXT_SPAN_SIZE >= SPAN_SIZE, "usec_format_span() writes here");
    /* Seconds beside minutes, or minutes beside days, are noise: they would change at every look. */
    int64_t finest = seconds >= 24 * 3600 ? 3600 : seconds >= 60 ? 60 : 1;

    if (seconds < 0)
        seconds = 0;
    return usec_format_span((usec_t) (seconds - seconds % finest) * USEC_PER_SEC, buf);
}

const char *text_moment(int64_t at, int64_t now, char buf[static TEXT_SPAN_SIZE])
{
    char span[TEXT_SPAN_SIZE];

    if (at < 0)
        (void) snprintf(buf, TEXT_SPAN_SIZE, "-");
    else if (at == now)
        (void) snprintf(buf, TEXT_SPAN_SIZE, "now");
    else if (at > now)
        (void) snprintf(buf, TEXT_SPAN_SIZE, "in %.40s", text_span(at - now, span));
    else
        (void) snprintf(buf, TEXT_SPAN_SIZE, "%.40s ago", text_span(now - at, span));
    return buf;
}

void bar_append(struct buffer *out, int64_t left, int64_t lifetime, bool is_utf8)
{
    size_t filled = 0;

    if (left >= lifetime)
        filled = BAR_WIDTH;
    else if (left > 0)
        filled = 1 + (size_t) usec_scale((usec_t) left, BAR_WIDTH - 1, (usec_t) lifetime);
    text_append_repeated(out, is_utf8 ? "█" : "#", filled);
    text_append_repeated(out, is_utf8 ? "░" : "-", BAR_WIDTH - filled);
}
