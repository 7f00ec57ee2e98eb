/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Reads wanted members out of one JSON object (RFC 8259), in place.
 *
 * A token response is a secret from the first byte. A library that builds a tree copies the token into
 * strings, doubled buffers and freed nodes of its own, where nobody can wipe it (above all when the text
 * breaks off half-way, or a name comes twice). Here nothing is copied or allocated: the whole text is
 * checked, and each wanted member is lent as a span of the caller's own locked buffer.
 *
 * Strict: the whole text must be one object and nothing else, valid UTF-8 without lone surrogates, nested at
 * most JSON_DEPTH_MAX deep; a wanted name that comes twice is refused, since readers differ in which one
 * counts.
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"

/* Answers nest two or three deep; the limit bounds the recursion. */
#define JSON_DEPTH_MAX 16

enum json_kind {
    JSON_ABSENT, /* the member did not come */
    JSON_OBJECT,
    JSON_ARRAY,
    JSON_STRING,
    JSON_NUMBER,
    JSON_TRUE,
    JSON_FALSE,
    JSON_NULL,
};

/* One wanted member. The span is borrowed from the text that was read. */
struct json_member {
    const char *name; /* set by the caller; ASCII */
    enum json_kind kind;
    const char *text; /* as written; of a string, what is between the quotes, escapes and all */
    size_t size;
};

enum json_outcome {
    JSON_READ,       /* an object; members that came have a kind */
    JSON_BROKEN,     /* not JSON, or too deep */
    JSON_NOT_OBJECT, /* JSON, but something else */
    JSON_DUPLICATE,  /* a wanted name came twice */
};

/* Checks all of `text` and fills in the members. On anything but JSON_READ, use none of them. */
enum json_outcome json_read_object(const char *text, size_t size, struct json_member *members,
                                   size_t n_members);

/* Appends the characters that a JSON_STRING stands for, as UTF-8 (U+0000 as a zero byte). Errors stick in the
 * buffer. */
void json_append_string(struct buffer *to, const struct json_member *string);
