/* SPDX-License-Identifier: MIT */
#include "wire/json_read.h"

#include <stdint.h>
#include <string.h>

struct reader {
    const char *at;
    const char *end;
    unsigned depth;
    bool is_duplicate; /* a wanted member came twice */
};

static bool read_value(struct reader *r, struct json_member *value);

static void skip_space(struct reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r'))
        r->at++;
}

static bool take(struct reader *r, char c)
{
    if (r->at == r->end || *r->at != c)
        return false;
    r->at++;
    return true;
}

static bool take_word(struct reader *r, const char *word)
{
    size_t length = strlen(word);
    if ((size_t) (r->end - r->at) < length || memcmp(r->at, word, length) != 0)
        return false;
    r->at += length;
    return true;
}

/* ---- characters ---- */

/* One character of UTF-8 (RFC 3629): no overlong form, no surrogate, nothing above U+10FFFF. */
static bool take_utf8(struct reader *r, uint32_t *ret)
{
    static const uint32_t smallest[] = {0, 0x80, 0x800, 0x10000};
    unsigned char lead = (unsigned char) *r->at;
    size_t n_more = lead < 0x80       ? 0
                    : lead >> 5 == 6  ? 1
                    : lead >> 4 == 14 ? 2
                    : lead >> 3 == 30 ? 3
                                      : SIZE_MAX;

    if (n_more == SIZE_MAX || (size_t) (r->end - r->at) <= n_more)
        return false;
    uint32_t c = n_more == 0 ? lead : lead & (0x3fU >> n_more);
    for (size_t i = 1; i <= n_more; i++) {
        unsigned char next = (unsigned char) r->at[i];
        if (next >> 6 != 2)
            return false;
        c = c << 6 | (next & 0x3fU);
    }
    if (c < smallest[n_more] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        return false;
    r->at += n_more + 1;
    *ret = c;
    return true;
}

static bool take_hex4(struct reader *r, uint32_t *ret)
{
    uint32_t value = 0;

    if (r->end - r->at < 4)
        return false;
    for (size_t i = 0; i < 4; i++) {
        char c = r->at[i];
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned) (c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned) (c - 'a') + 10
                         : c >= 'A' && c <= 'F' ? (unsigned) (c - 'A') + 10
                                                : 16;
        if (digit > 15)
            return false;
        value = value << 4 | digit;
    }
    r->at += 4;
    *ret = value;
    return true;
}

/* What follows a backslash; a character beyond U+FFFF is written as two \u escapes. */
static bool take_escape(struct reader *r, uint32_t *ret)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    uint32_t high, low;

    if (r->at == r->end || *r->at == '\0')
        return false;
    char c = *r->at++;
    if (c != 'u') {
        const char *name = strchr(names, c);
        if (!name)
            return false;
        *ret = (unsigned char) values[name - names];
        return true;
    }
    if (!take_hex4(r, &high) || (high >= 0xdc00 && high <= 0xdfff))
        return false;
    if (high < 0xd800 || high > 0xdbff) {
        *ret = high;
        return true;
    }
    if (!take_word(r, "\\u") || !take_hex4(r, &low) || low < 0xdc00 || low > 0xdfff)
        return false;
    *ret = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
    return true;
}

/* One character inside a string. */
static bool take_character(struct reader *r, uint32_t *ret)
{
    if (r->at == r->end || (unsigned char) *r->at < 0x20)
        return false;
    return take(r, '\\') ? take_escape(r, ret) : take_utf8(r, ret);
}

static void append_utf8(struct buffer *to, uint32_t c)
{
    size_t n_more = c < 0x80 ? 0 : c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const unsigned char leads[] = {0x00, 0xc0, 0xe0, 0xf0};

    buffer_append_char(to, (char) (leads[n_more] | c >> (6 * n_more)));
    for (size_t i = n_more; i-- > 0;)
        buffer_append_char(to, (char) (0x80 | (c >> (6 * i) & 0x3f)));
}

void json_append_string(struct buffer *to, const struct json_member *string)
{
    struct reader r = {.at = string->text, .end = string->text + string->size};
    uint32_t c;

    while (r.at < r.end && take_character(&r, &c))
        append_utf8(to, c);
}

/* ---- values ---- */

static bool read_string(struct reader *r, struct json_member *value)
{
    uint32_t ignored;

    if (!take(r, '"'))
        return false;
    const char *start = r->at;
    while (r->at < r->end && *r->at != '"') {
        if (!take_character(r, &ignored))
            return false;
    }
    *value = (struct json_member){
        .name = value->name, .kind = JSON_STRING, .text = start, .size = (size_t) (r->at - start)};
    return take(r, '"');
}

static bool skip_digits(struct reader *r)
{
    const char *start = r->at;
    while (r->at < r->end && *r->at >= '0' && *r->at <= '9')
        r->at++;
    return r->at > start;
}

static bool skip_number(struct reader *r)
{
    (void) take(r, '-');
    if (!take(r, '0') && !skip_digits(r))
        return false;
    if (take(r, '.') && !skip_digits(r))
        return false;
    if (take(r, 'e') || take(r, 'E')) {
        if (!take(r, '+'))
            (void) take(r, '-');
        return skip_digits(r);
    }
    return true;
}

static bool skip_array(struct reader *r)
{
    struct json_member ignored = {0};

    skip_space(r);
    if (take(r, ']'))
        return true;
    do {
        if (!read_value(r, &ignored))
            return false;
        skip_space(r);
    } while (take(r, ','));
    return take(r, ']');
}

static bool has_name(const struct json_member *string, const char *name)
{
    struct reader r = {.at = string->text, .end = string->text + string->size};
    uint32_t c;

    for (; r.at < r.end && take_character(&r, &c); name++) {
        if (*name == '\0' || c != (unsigned char) *name)
            return false;
    }
    return *name == '\0';
}

static struct json_member *find_member(const struct json_member *name, struct json_member *members,
                                       size_t n_members)
{
    for (size_t i = 0; i < n_members; i++) {
        if (has_name(name, members[i].name))
            return &members[i];
    }
    return NULL;
}

/* The members of an object whose '{' was taken. */
static bool read_members(struct reader *r, struct json_member *members, size_t n_members)
{
    skip_space(r);
    if (take(r, '}'))
        return true;
    do {
        struct json_member name = {0}, ignored = {0};
        skip_space(r);
        if (!read_string(r, &name))
            return false;
        skip_space(r);
        if (!take(r, ':'))
            return false;
        struct json_member *member = find_member(&name, members, n_members);
        r->is_duplicate = r->is_duplicate || (member && member->kind != JSON_ABSENT);
        if (!read_value(r, member ? member : &ignored))
            return false;
        skip_space(r);
    } while (take(r, ','));
    return take(r, '}');
}

/* An array or an object inside; only these nest. */
static bool skip_nested(struct reader *r)
{
    bool is_array = *r->at == '[';

    if (r->depth == JSON_DEPTH_MAX)
        return false;
    r->at++;
    r->depth++;
    if (is_array ? !skip_array(r) : !read_members(r, NULL, 0))
        return false;
    r->depth--;
    return true;
}

static bool read_value(struct reader *r, struct json_member *value)
{
    static const struct {
        char first;
        enum json_kind kind;
        const char *word;
    } forms[] = {
        {'{', JSON_OBJECT, NULL   },
        {'[', JSON_ARRAY,  NULL   },
        {'t', JSON_TRUE,   "true" },
        {'f', JSON_FALSE,  "false"},
        {'n', JSON_NULL,   "null" },
    };

    skip_space(r);
    if (r->at == r->end)
        return false;
    if (*r->at == '"')
        return read_string(r, value);
    const char *start = r->at;
    size_t i = 0;
    while (i < ARRAY_SIZE(forms) && forms[i].first != *start)
        i++;
    enum json_kind kind = i < ARRAY_SIZE(forms) ? forms[i].kind : JSON_NUMBER;
    if (kind == JSON_NUMBER     ? !skip_number(r)
        : forms[i].word != NULL ? !take_word(r, forms[i].word)
                                : !skip_nested(r))
        return false;
    *value = (struct json_member){
        .name = value->name, .kind = kind, .text = start, .size = (size_t) (r->at - start)};
    return true;
}

enum json_outcome json_read_object(const char *text, size_t size, struct json_member *members,
                                   size_t n_members)
{
    struct reader r = {.at = text, .end = text + size, .depth = 1};
    struct json_member ignored = {0};

    for (size_t i = 0; i < n_members; i++)
        members[i] = (struct json_member){.name = members[i].name};
    skip_space(&r);
    bool is_object = take(&r, '{');
    if (is_object ? !read_members(&r, members, n_members) : !read_value(&r, &ignored))
        return JSON_BROKEN;
    skip_space(&r);
    if (r.at != r.end)
        return JSON_BROKEN;
    return !is_object ? JSON_NOT_OBJECT : r.is_duplicate ? JSON_DUPLICATE : JSON_READ;
}
