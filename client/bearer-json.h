/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * From the bytes of an answer to C values: JSON that is read strictly, through tables. Inside libbearer only.
 *
 * The bytes belong to the caller. What is read out points into the JSON tree, which the caller puts with
 * bearer_json_free() or, where it held a token, bearer_json_free_secret().
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <json-c/json.h>

#include "base/cleanup.h"

enum bearer_field_kind {
    BEARER_FIELD_TEXT,   /* const char *; NULL when absent; refused with a NUL inside */
    BEARER_FIELD_NUMBER, /* int64_t; BEARER_ABSENT when absent; a whole number, 0 or more */
    BEARER_FIELD_MOMENT, /* int64_t; RFC 3339 UTC with whole seconds, as seconds since 1970 */
    BEARER_FIELD_BOOL,   /* bool; when absent left as it was, so that the caller sets what is usual */
    BEARER_FIELD_TEXTS,  /* struct json_object *: an array of texts, for bearer_json_texts_*(); or NULL */
    BEARER_FIELD_OBJECT, /* struct json_object *: an object, to be read by another table; or NULL */
    BEARER_FIELD_LIST,   /* struct json_object *: an array of objects, likewise; or NULL */
};

/* One member of a JSON object, and where in a struct its value goes. JSON null is the same as not there. */
struct bearer_field {
    const char *name;
    enum bearer_field_kind kind;
    bool is_required;
    size_t offset;
};

/*
 * Parses `size` bytes that must be one JSON object in UTF-8 and nothing else. Returns 0, -EBADMSG (anything
 * else) or -ENOMEM. With `is_secret` the parser's own copies of strings are overwritten before they are
 * freed.
 */
int bearer_json_parse(const char *text, size_t size, bool is_secret, struct json_object **ret);

/* Fills the members of the struct at `target` from an object. 0 or -EBADMSG: then they are half filled. */
int bearer_json_read(struct json_object *object, const struct bearer_field *fields, size_t n_fields,
                     void *target);

/* How many texts there are in one that was read as BEARER_FIELD_TEXTS, which may be NULL; and the i-th, NULL
 * behind the last. */
size_t bearer_json_texts_size(struct json_object *texts);
const char *bearer_json_texts_at(struct json_object *texts, size_t i);

/*
 * Makes an array of C structs, `size` bytes each, of what was read as BEARER_FIELD_LIST, which may be NULL:
 * then *ret is NULL and *ret_n 0. `*ret` is to be freed. Returns 0, -EBADMSG or -ENOMEM.
 */
int bearer_json_read_list(struct json_object *list, const struct bearer_field *fields, size_t n_fields,
                          size_t size, void **ret, size_t *ret_n);

/* "2026-01-31T23:59:59Z" and no other form. 0 or -EBADMSG. */
int bearer_moment_parse(const char *text, int64_t *ret);

void bearer_json_free(struct json_object *object);

/* Overwrites the strings right below the object, then frees it. */
void bearer_json_free_secret(struct json_object *object);

DEFINE_CLEANUP(struct json_object *, bearer_json_free, bearer_json_free)
