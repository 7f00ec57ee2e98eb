/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Writing JSON into a buffer. Not json-c, because most of what is written here holds a token: its copies
 * cannot be kept in locked memory or wiped. Reading is wire/json_read.
 *
 * A writer appends members with a leading comma where one is needed; nesting is the caller's by
 * json_open/json_close.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"

struct json {
    struct buffer *out; /* borrowed */
    bool needs_comma;
};

/* '{' or '[', and '}' or ']'. `key` NULL: no name (the top, or an array's element). */
void json_open(struct json *j, const char *key, char bracket);
void json_close(struct json *j, char bracket);

/* "key": "text", escaped (RFC 8259 section 7); text NULL: null. Bytes that are not UTF-8 become U+FFFD. */
void json_string(struct json *j, const char *key, const char *text);
void json_u64(struct json *j, const char *key, uint64_t value);
void json_boolean(struct json *j, const char *key, bool value);
void json_null(struct json *j, const char *key);
