/* SPDX-License-Identifier: MIT */
#include "client/bearer-json.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <time.h>

#include "client/bearer.h"

/* An answer is an object of objects at most; a list is one level more. */
#define DEPTH_MAX 8

DEFINE_CLEANUP(struct json_tokener *, tokener_free, json_tokener_free)

/*
 * Runs a JSON string of as many bytes as the answer through the tokener. Before the answer, this makes its
 * scratch buffer large enough never to move and leave a copy behind; after it, it overwrites what the answer
 * left there. json-c offers no other way to reach that buffer.
 */
static int tokener_scrub(struct json_tokener *tokener, size_t size)
{
    _cleanup_free_ char *filler = malloc(size + 3);
    _cleanup_(bearer_json_free_p) struct json_object *string = NULL;

    if (!filler)
        return -ENOMEM;
    memset(filler, 'x', size + 2);
    filler[0] = filler[size + 1] = '"';
    filler[size + 2] = '\0';
    json_tokener_reset(tokener);
    string = json_tokener_parse_ex(tokener, filler, (int) size + 3);
    json_tokener_reset(tokener);
    return string ? 0 : -ENOMEM;
}

int bearer_json_parse(const char *text, size_t size, bool is_secret, struct json_object **ret)
{
    _cleanup_(tokener_free_p) struct json_tokener *tokener = json_tokener_new_ex(DEPTH_MAX);
    _cleanup_(bearer_json_free_p) struct json_object *object = NULL;

    if (!tokener)
        return -ENOMEM;
    if (size > INT_MAX - 3)
        return -EBADMSG;
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    if (is_secret && tokener_scrub(tokener, size) < 0)
        return -ENOMEM;

    object = json_tokener_parse_ex(tokener, text, (int) size);
    bool is_whole = json_tokener_get_error(tokener) == json_tokener_success;
    if (is_secret && tokener_scrub(tokener, size) < 0) {
        bearer_json_free_secret(TAKE_PTR(object));
        return -ENOMEM;
    }
    if (!is_whole || !json_object_is_type(object, json_type_object)) {
        if (is_secret)
            bearer_json_free_secret(TAKE_PTR(object));
        return -EBADMSG;
    }
    *ret = TAKE_PTR(object);
    return 0;
}

/* Digits at fixed places; strptime() would also take spaces, signs and short numbers. */
int bearer_moment_parse(const char *text, int64_t *ret)
{
    static const char form[] = "dddd-dd-ddTdd:dd:ddZ";
    struct tm tm = {0};

    if (strlen(text) != sizeof(form) - 1)
        return -EBADMSG;
    for (size_t i = 0; i < sizeof(form) - 1; i++)
        if (form[i] == 'd' ? text[i] < '0' || text[i] > '9' : text[i] != form[i])
            return -EBADMSG;
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    if (!end || *end)
        return -EBADMSG;
    *ret = timegm(&tm);
    return 0;
}

static int read_text(struct json_object *value, const char **ret)
{
    if (!json_object_is_type(value, json_type_string))
        return -EBADMSG;
    const char *text = json_object_get_string(value);
    if (strlen(text) != (size_t) json_object_get_string_len(value))
        return -EBADMSG;
    *ret = text;
    return 0;
}

static int read_number(struct json_object *value, int64_t *ret)
{
    if (!json_object_is_type(value, json_type_int) || json_object_get_int64(value) < 0)
        return -EBADMSG;
    *ret = json_object_get_int64(value);
    return 0;
}

static int read_moment(struct json_object *value, int64_t *ret)
{
    const char *text = NULL;

    int r = read_text(value, &text);
    return r < 0 ? r : bearer_moment_parse(text, ret);
}

static int read_bool(struct json_object *value, bool *ret)
{
    if (!json_object_is_type(value, json_type_boolean))
        return -EBADMSG;
    *ret = json_object_get_boolean(value);
    return 0;
}

/* An array whose members are all texts, or all objects. */
static int read_array(struct json_object *value, enum json_type type, struct json_object **ret)
{
    const char *text = NULL;

    if (!json_object_is_type(value, json_type_array))
        return -EBADMSG;
    for (size_t i = 0; i < json_object_array_length(value); i++) {
        struct json_object *item = json_object_array_get_idx(value, i);
        if (!json_object_is_type(item, type) || (type == json_type_string && read_text(item, &text) < 0))
            return -EBADMSG;
    }
    *ret = value;
    return 0;
}

static int read_object(struct json_object *value, struct json_object **ret)
{
    if (!json_object_is_type(value, json_type_object))
        return -EBADMSG;
    *ret = value;
    return 0;
}

static int read_field(struct json_object *object, const struct bearer_field *field, void *target)
{
    struct json_object *value = NULL;
    void *at = (char *) target + field->offset;
    bool is_there = json_object_object_get_ex(object, field->name, &value) && value;

    if (!is_there && field->is_required)
        return -EBADMSG;
    switch (field->kind) {
    case BEARER_FIELD_TEXT:
        *(const char **) at = NULL;
        return is_there ? read_text(value, at) : 0;
    case BEARER_FIELD_NUMBER:
        *(int64_t *) at = BEARER_ABSENT;
        return is_there ? read_number(value, at) : 0;
    case BEARER_FIELD_MOMENT:
        *(int64_t *) at = BEARER_ABSENT;
        return is_there ? read_moment(value, at) : 0;
    case BEARER_FIELD_BOOL:
        return is_there ? read_bool(value, at) : 0;
    case BEARER_FIELD_TEXTS:
        *(struct json_object **) at = NULL;
        return is_there ? read_array(value, json_type_string, at) : 0;
    case BEARER_FIELD_LIST:
        *(struct json_object **) at = NULL;
        return is_there ? read_array(value, json_type_object, at) : 0;
    case BEARER_FIELD_OBJECT:
        *(struct json_object **) at = NULL;
        return is_there ? read_object(value, at) : 0;
    }
    return -EBADMSG;
}

int bearer_json_read(struct json_object *object, const struct bearer_field *fields, size_t n_fields,
                     void *target)
{
    for (size_t i = 0; i < n_fields; i++) {
        int r = read_field(object, &fields[i], target);
        if (r < 0)
            return r;
    }
    return 0;
}

size_t bearer_json_texts_size(struct json_object *texts)
{
    return texts ? json_object_array_length(texts) : 0;
}

const char *bearer_json_texts_at(struct json_object *texts, size_t i)
{
    if (i >= bearer_json_texts_size(texts))
        return NULL;
    return json_object_get_string(json_object_array_get_idx(texts, i));
}

int bearer_json_read_list(struct json_object *list, const struct bearer_field *fields, size_t n_fields,
                          size_t size, void **ret, size_t *ret_n)
{
    size_t n = list ? json_object_array_length(list) : 0;
    _cleanup_free_ char *items = n > 0 ? calloc(n, size) : NULL;

    if (n > 0 && !items)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        int r = bearer_json_read(json_object_array_get_idx(list, i), fields, n_fields, items + i * size);
        if (r < 0)
            return r;
    }
    *ret = TAKE_PTR(items);
    *ret_n = n;
    return 0;
}

void bearer_json_free(struct json_object *object)
{
    (void) json_object_put(object);
}

void bearer_json_free_secret(struct json_object *object)
{
    if (json_object_is_type(object, json_type_object)) {
        json_object_object_foreach(object, name, value)
        {
            (void) name;
            /* The string object's own bytes; const only against careless users. */
            if (json_object_is_type(value, json_type_string))
                explicit_bzero((void *) (uintptr_t) json_object_get_string(value),
                               (size_t) json_object_get_string_len(value));
        }
    }
    (void) json_object_put(object);
}
