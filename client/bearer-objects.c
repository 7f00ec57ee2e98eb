/* SPDX-License-Identifier: MIT */
#include "client/bearer-objects.h"

#include <errno.h>
#include <string.h>

#include "client/bearer-json.h"

/* More lines than the daemon can send: its own and 32 of the operator's fit well. */
#define HEADER_LINES_MAX 128

/* ---- token ---- */

struct bearer_token {
    struct buffer text;
    struct json_object *json; /* what the members below point into */
    const char *value;
    const char *type;
    const char *fingerprint;
    int64_t expires_in;
    int64_t expires_at;
};

static const struct bearer_field token_fields[] = {
    {"access_token", BEARER_FIELD_TEXT,   true,  offsetof(struct bearer_token, value)      },
    {"token_type",   BEARER_FIELD_TEXT,   false, offsetof(struct bearer_token, type)       },
    {"fingerprint",  BEARER_FIELD_TEXT,   false, offsetof(struct bearer_token, fingerprint)},
    {"expires_in",   BEARER_FIELD_NUMBER, true,  offsetof(struct bearer_token, expires_in) },
    {"expires_at",   BEARER_FIELD_MOMENT, false, offsetof(struct bearer_token, expires_at) },
};

DEFINE_CLEANUP(struct bearer_token *, bearer_token_free, bearer_token_free)

void bearer_token_free(struct bearer_token *t)
{
    if (!t)
        return;
    bearer_json_free_secret(t->json);
    buffer_done(&t->text);
    free(t);
}

/* VSCHAR of RFC 6749 appendix A.12: whatever else may be in a token could end a header line. */
static bool is_token(const char *value)
{
    const char *p = value;

    while (*p >= ' ' && *p <= '~')
        p++;
    return p > value && !*p;
}

int bearer_token_parse(struct buffer *body_take, struct bearer_token **ret)
{
    _cleanup_(bearer_token_free_p) struct bearer_token *t = calloc(1, sizeof(*t));

    if (!t)
        return -ENOMEM;
    int r = bearer_json_parse(buffer_peek(body_take), body_take->size, true, &t->json);
    if (r == 0)
        r = bearer_json_read(t->json, token_fields, ARRAY_SIZE(token_fields), t);
    if (r == 0 && !is_token(t->value))
        r = -EBADMSG;
    if (r < 0)
        return r;
    bearer_body_take(&t->text, body_take);
    *ret = TAKE_PTR(t);
    return 0;
}

const char *bearer_token_value(const struct bearer_token *t)
{
    return t->value;
}

const char *bearer_token_type(const struct bearer_token *t)
{
    return t->type;
}

int64_t bearer_token_expires_in(const struct bearer_token *t)
{
    return t->expires_in;
}

int64_t bearer_token_expires_at(const struct bearer_token *t)
{
    return t->expires_at;
}

const char *bearer_token_fingerprint(const struct bearer_token *t)
{
    return t->fingerprint;
}

const char *bearer_token_json(const struct bearer_token *t)
{
    return buffer_peek(&t->text);
}

/* ---- header set ---- */

struct bearer_headers {
    struct buffer text; /* as lines: with a NUL for each newline */
    size_t n_lines;
    const char *lines[HEADER_LINES_MAX];
    bool is_json;
};

DEFINE_CLEANUP(struct bearer_headers *, bearer_headers_free, bearer_headers_free)

void bearer_headers_free(struct bearer_headers *h)
{
    if (!h)
        return;
    buffer_done(&h->text);
    free(h);
}

/* "Name: value", where nothing can start another line or end the text early. */
static bool is_header_line(const char *line, size_t size)
{
    const char *colon = memchr(line, ':', size);

    if (!colon || colon == line)
        return false;
    for (size_t i = 0; i < size; i++)
        if ((unsigned char) line[i] < ' ' || line[i] == 0x7f)
            return false;
    return true;
}

/* An answer that was cut off lacks its last newline, and is refused. */
static int split_lines(struct bearer_headers *h, char *text, size_t size)
{
    if (size == 0)
        return -EBADMSG;
    for (char *line = text, *end = NULL; line < text + size; line = end + 1) {
        end = memchr(line, '\n', (size_t) (text + size - line));
        if (!end || h->n_lines == HEADER_LINES_MAX || !is_header_line(line, (size_t) (end - line)))
            return -EBADMSG;
        h->lines[h->n_lines++] = line;
    }
    for (size_t i = 0; i < h->n_lines; i++)
        *strchr(h->lines[i], '\n') = '\0';
    return 0;
}

/* An object of texts, and only looked at: it is for passing on as it came. */
static int check_json_headers(const char *text, size_t size)
{
    struct json_object *object = NULL;

    int r = bearer_json_parse(text, size, true, &object);
    if (r < 0)
        return r;
    r = json_object_object_length(object) > 0 ? 0 : -EBADMSG;
    json_object_object_foreach(object, name, value)
    {
        (void) name;
        if (!json_object_is_type(value, json_type_string))
            r = -EBADMSG;
    }
    bearer_json_free_secret(object);
    return r;
}

int bearer_headers_parse(struct buffer *body_take, enum bearer_headers_format format,
                         struct bearer_headers **ret)
{
    _cleanup_(bearer_headers_free_p) struct bearer_headers *h = calloc(1, sizeof(*h));

    if (!h)
        return -ENOMEM;
    h->is_json = format == BEARER_HEADERS_JSON;
    int r = h->is_json ? check_json_headers(buffer_peek(body_take), body_take->size)
                       : split_lines(h, body_take->data, body_take->size);
    if (r < 0)
        return r;
    bearer_body_take(&h->text, body_take);
    *ret = TAKE_PTR(h);
    return 0;
}

size_t bearer_headers_n_lines(const struct bearer_headers *h)
{
    return h->n_lines;
}

const char *bearer_headers_line(const struct bearer_headers *h, size_t i)
{
    return i < h->n_lines ? h->lines[i] : NULL;
}

const char *bearer_headers_json(const struct bearer_headers *h)
{
    return h->is_json ? buffer_peek(&h->text) : NULL;
}
