/* SPDX-License-Identifier: MIT */
#include "wire/redact.h"

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "wire/base64.h"
#include "wire/basic.h"
#include "wire/form.h"

/* What is looked at: several times what is shown, so that a key can only be cut where nothing is shown any
 * more. */
#define TEXT_MAX ((size_t) 1024)
/* A key of 64 KiB in three bytes a character. */
#define FORM_MAX ((size_t) 256 * 1024)
/* The shortest piece of a key taken for one: 4 characters, as in "ending 4f2a", still tell nobody anything.
 */
#define PIECE_MIN ((size_t) 6)
/* From here on a piece of a key is taken out even where it reads like a word; the longest word let through.
 */
#define WORD_MAX ((size_t) 16)
/* The shortest run that is suspicious by its looks alone. */
#define RUN_MIN ((size_t) 20)
/* Segments of a run that need not be words: "v1" in a path. */
#define ODD_SEGMENTS_MAX 2
#define ODD_SEGMENT_SIZE 2

static const char mark[] = "[redacted]";

struct words {
    const char *text;
    size_t size;
    bool is_hidden[TEXT_MAX];
};

static bool is_letter(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool is_alphanumeric(char c)
{
    return is_letter(c) || (c >= '0' && c <= '9');
}

/* What encoded secrets are made of: base64, base64url, the dots of a JWT, and %XX, \uXXXX and &#XX; escapes.
 */
static bool is_run(char c)
{
    return is_alphanumeric(c) || (c != '\0' && strchr("+/=-_.~%\\&#;", c));
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char) (c - 'A' + 'a') : c;
}

/* Letters in one case, with or without a capital at the front. */
static bool is_word(const char *text, size_t size)
{
    if (size > WORD_MAX)
        return false;
    for (size_t i = 0; i < size; i++) {
        bool is_upper = lower(text[i]) != text[i], is_second_upper = size > 1 && lower(text[1]) != text[1];
        if (!is_letter(text[i]) || (i > 0 && is_upper != is_second_upper))
            return false;
    }
    return size < 2 || lower(text[0]) != text[0] || lower(text[1]) == text[1];
}

/* Plain words with something between them, and at most so many short things that are none. */
static bool is_wordy(const char *text, size_t size, size_t n_odd_max)
{
    size_t n_odd = 0;

    for (size_t i = 0, length; i < size; i += length + 1) {
        length = 0;
        while (i + length < size && is_alphanumeric(text[i + length]))
            length++;
        if (is_word(text + i, length))
            continue;
        if (length > ODD_SEGMENT_SIZE || ++n_odd > n_odd_max)
            return false;
    }
    return true;
}

/* 8-4-4-4-12 hex digits, a full stop behind it or not. */
static bool is_guid(const char *text, size_t size)
{
    static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

    while (size > 0 && (text[size - 1] == '.' || text[size - 1] == ';'))
        size--;
    if (size != sizeof(form) - 1)
        return false;
    for (size_t i = 0; i < size; i++) {
        if (form[i] == 'x' ? !isxdigit((unsigned char) text[i]) : text[i] != '-')
            return false;
    }
    return true;
}

static void hide(struct words *w, size_t at, size_t size)
{
    size_t end = at + size;

    while (at > 0 && is_run(w->text[at - 1]))
        at--;
    while (end < w->size && is_run(w->text[end]))
        end++;
    memset(w->is_hidden + at, true, end - at);
}

/* ---- our own keys ---- */

static size_t common_length(const char *a, size_t size_a, const char *b, size_t size_b)
{
    size_t length = 0;
    while (length < size_a && length < size_b && lower(a[length]) == lower(b[length]))
        length++;
    return length;
}

static bool is_piece(const char *text, const char *key, size_t length, size_t key_size)
{
    if (length == key_size)
        return true;
    if (length < PIECE_MIN)
        return false;
    return length >= WORD_MAX || !is_wordy(text, length, 0) || !is_wordy(key, length, 0);
}

/* Hides every piece of `key`. The sizes are bounded, and this runs once for a failed request. */
static void hide_key(struct words *w, const char *key, size_t key_size)
{
    for (size_t i = 0; i < w->size && key_size > 0; i++) {
        size_t longest = 0;
        for (size_t j = 0; j < key_size; j++) {
            size_t length = common_length(w->text + i, w->size - i, key + j, key_size - j);
            if (length > longest && is_piece(w->text + i, key + j, length, key_size))
                longest = length;
        }
        if (longest > 0)
            hide(w, i, longest);
    }
}

/* PEM: each line on its own, without those that say what it is. */
static void hide_lines(struct words *w, const struct secret *key)
{
    const char *text = secret_peek(key), *end = text + key->size;

    while (text < end) {
        const char *newline = memchr(text, '\n', (size_t) (end - text));
        const char *line_end = newline ? newline : end;
        size_t size = (size_t) (line_end - text);
        if (size > 0 && (size < 5 || memcmp(text, "-----", 5) != 0))
            hide_key(w, text, text[size - 1] == '\r' ? size - 1 : size);
        text = newline ? newline + 1 : end;
    }
}

static int hide_encoded(struct words *w, const struct secret *key)
{
    _cleanup_(buffer_done) struct buffer form = BUFFER_INIT_SECRET(FORM_MAX);
    _cleanup_(buffer_done) struct buffer base64 = BUFFER_INIT_SECRET(FORM_MAX);

    form_append_encoded(&form, secret_peek(key), key->size);
    base64_append(&base64, secret_peek(key), key->size);
    if (buffer_error(&form) || buffer_error(&base64))
        return -ENOMEM;
    hide_key(w, buffer_peek(&form), form.size);
    hide_key(w, buffer_peek(&base64), base64.size);
    return 0;
}

/* The value of HTTP Basic with one of the client secrets. */
static int hide_basic(struct words *w, const struct profile_settings *s, const struct secret *client_secret,
                      bool is_form_encoded)
{
    _cleanup_(buffer_done) struct buffer basic = BUFFER_INIT_SECRET(2 * FORM_MAX);

    if (!s->client_id || !secret_is_set(client_secret))
        return 0;
    basic_append(&basic, s->client_id, client_secret, is_form_encoded);
    if (buffer_error(&basic))
        return -ENOMEM;
    hide_key(w, buffer_peek(&basic), basic.size);
    return 0;
}

/* All of them, whichever the request was made with: an answer can come late, or quote another request. */
static int hide_keys(struct words *w, const struct profile_settings *s)
{
    static const enum key_kind secrets[] = {KEY_CLIENT_SECRET, KEY_NEXT_CLIENT_SECRET};
    int r = 0;

    for (size_t kind = 0; kind < N_KEY_KINDS; kind++) {
        if (!secret_is_set(&s->keys[kind]))
            continue;
        hide_lines(w, &s->keys[kind]);
        r = hide_encoded(w, &s->keys[kind]);
        if (r < 0)
            return r;
    }
    for (size_t i = 0; i < 2 * ARRAY_SIZE(secrets) && r == 0; i++)
        r = hide_basic(w, s, &s->keys[secrets[i / 2]], i % 2 == 1);
    return r;
}

/* ---- what looks like somebody's key ---- */

static bool has_jwt(const char *run, size_t size)
{
    const char *start = memmem(run, size, "eyJ", 3);
    return start && (size_t) (run + size - start) >= 8;
}

static void hide_suspicious(struct words *w)
{
    for (size_t i = 0, length; i < w->size; i += length + 1) {
        const char *run = w->text + i;
        length = 0;
        while (i + length < w->size && is_run(run[length]))
            length++;
        if (has_jwt(run, length) ||
            (length >= RUN_MIN && !is_guid(run, length) && !is_wordy(run, length, ODD_SEGMENTS_MAX)))
            hide(w, i, length);
    }
}

/* ---- the line that is left ---- */

/* UTF-16, for one, would show a key letter by letter. */
static bool has_controls(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char) text[i];
        if (c == 0x7f || (c < ' ' && c != '\t' && c != '\n' && c != '\r'))
            return true;
    }
    return false;
}

static void append_visible(struct buffer *to, const struct words *w)
{
    bool is_gap = false;

    for (size_t i = 0; i < w->size; i++) {
        unsigned char c = (unsigned char) w->text[i];
        if (w->is_hidden[i] && i > 0 && w->is_hidden[i - 1])
            continue;
        if (!w->is_hidden[i] && (c <= ' ' || c == 0x7f)) {
            is_gap = true;
            continue;
        }
        if (is_gap && to->size > 0)
            buffer_append_char(to, ' ');
        is_gap = false;
        if (w->is_hidden[i])
            buffer_append_string(to, mark);
        else if (c < 0x80)
            buffer_append_char(to, (char) c);
        else if (i == 0 || (unsigned char) w->text[i - 1] < 0x80) /* one for a stretch; never none */
            buffer_append_char(to, '?');
    }
}

int redact_append(struct buffer *to, size_t max, const struct profile_settings *s, const char *text,
                  size_t size)
{
    static const char dots[] = "...";
    struct words w = {.text = text, .size = size};
    bool is_cut = size > TEXT_MAX;

    if (has_controls(text, size))
        return 0;
    if (is_cut) {
        w.size = TEXT_MAX;
        while (w.size > 0 && is_run(text[w.size - 1]))
            w.size--;
    }
    int r = hide_keys(&w, s);
    if (r < 0)
        return r;
    hide_suspicious(&w);

    _cleanup_(buffer_done) struct buffer line = BUFFER_INIT(TEXT_MAX * sizeof(mark));
    append_visible(&line, &w);
    if (buffer_error(&line))
        return -ENOMEM;
    is_cut = is_cut || line.size > max;
    size_t shown = line.size > max - strlen(dots) && is_cut ? max - strlen(dots) : line.size;
    buffer_append(to, buffer_peek(&line), shown);
    if (is_cut)
        buffer_append_string(to, dots);
    return 0;
}
