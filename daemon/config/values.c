/* SPDX-License-Identifier: MIT */
#include "config/values.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/parse.h"
#include "config/url.h"

bool text_is_ascii(const char *text)
{
    for (; *text; text++) {
        if (*text < 0x20 || *text > 0x7e)
            return false;
    }
    return true;
}

/* Puts a copy of `value` in the place of the string at `target`. */
static int store_text(const char *value, void *target)
{
    char **text = target;
    char *copy = value ? strdup(value) : NULL;

    if (value && !copy)
        return -ENOMEM;
    free(*text);
    *text = copy;
    return 0;
}

static bool is_too_long(const struct setting_context *context, const char *value)
{
    return context->setting->max > 0 && strlen(value) > context->setting->max;
}

int value_text(const struct setting_context *context, const char *value, void *target)
{
    /* The one control character that comes through config/ini. */
    if (value && (strchr(value, '\t') || is_too_long(context, value)))
        return -EINVAL;
    return store_text(value, target);
}

int value_ascii(const struct setting_context *context, const char *value, void *target)
{
    if (value && (!text_is_ascii(value) || is_too_long(context, value)))
        return -EINVAL;
    return store_text(value, target);
}

int value_scope(const struct setting_context *context, const char *value, void *target)
{
    if (value && (strpbrk(value, "\"\\") || strstr(value, "  ")))
        return -EINVAL;
    return value_ascii(context, value, target);
}

int value_path(const struct setting_context *context, const char *value, void *target)
{
    if (value && (value[0] != '/' || value[strlen(value) - 1] == '/'))
        return -EINVAL;
    return value_text(context, value, target);
}

int value_group(const struct setting_context *context, const char *value, void *target)
{
    if (value && strpbrk(value, " :,/"))
        return -EINVAL;
    return value_ascii(context, value, target);
}

static int store_url(const struct setting_context *context, const char *value, void *target,
                     const char *problem)
{
    if (problem) {
        problem_error(context->problems, context->file, context->line, "%s= %s", context->key, problem);
        return -EBADMSG;
    }
    return store_text(value, target);
}

int value_url(const struct setting_context *context, const char *value, void *target)
{
    return store_url(context, value, target, value ? url_find_problem(value, URL_FULL) : NULL);
}

int value_base_url(const struct setting_context *context, const char *value, void *target)
{
    return store_url(context, value, target, value ? url_find_problem(value, URL_BASE) : NULL);
}

int value_url_path(const struct setting_context *context, const char *value, void *target)
{
    return store_url(context, value, target, value ? url_find_path_problem(value) : NULL);
}

static bool is_in_range(const struct setting_context *context, uint64_t n)
{
    return n >= context->setting->min && n <= context->setting->max;
}

int value_duration(const struct setting_context *context, const char *value, void *target)
{
    usec_t n = 0;

    if (value && (parse_duration(value, &n) < 0 || !is_in_range(context, n)))
        return -EINVAL;
    *(usec_t *) target = n;
    return 0;
}

int value_percent(const struct setting_context *context, const char *value, void *target)
{
    unsigned n = 0;

    if (value && (parse_percent(value, &n) < 0 || !is_in_range(context, n)))
        return -EINVAL;
    *(unsigned *) target = n;
    return 0;
}

int value_count(const struct setting_context *context, const char *value, void *target)
{
    uint64_t n = 0;

    if (value && (parse_u64(value, &n) < 0 || !is_in_range(context, n)))
        return -EINVAL;
    *(uint64_t *) target = n;
    return 0;
}

int value_mode(const struct setting_context *context, const char *value, void *target)
{
    unsigned n = 0;

    if (value && (parse_mode(value, &n) < 0 || !is_in_range(context, n)))
        return -EINVAL;
    *(unsigned *) target = n;
    return 0;
}

int value_bool(const struct setting_context *context, const char *value, void *target)
{
    bool is_true = false;

    (void) context;
    if (value && parse_bool(value, &is_true) < 0)
        return -EINVAL;
    *(bool *) target = is_true;
    return 0;
}

int value_choose(const char *value, const char *const *words, size_t n_words, unsigned *target)
{
    if (!value) {
        *target = 0;
        return 0;
    }
    for (size_t i = 0; i < n_words; i++) {
        if (strcmp(words[i], value) == 0) {
            *target = (unsigned) i;
            return 0;
        }
    }
    return -EINVAL;
}

int value_secret(const struct setting_context *context, const char *value, void *target)
{
    const char *credential = "...";

    (void) target;
    if (!value)
        return 0;
    for (enum key_kind kind = 0; kind < N_KEY_KINDS; kind++) {
        if (strcmp(key_kind_setting(kind), context->setting->key) == 0)
            credential = key_kind_credential(kind);
    }
    problem_error(
        context->problems, context->file, context->line,
        "%s= would put a secret into a settings file, where too many can read it: put it into a file of "
        "its own (of the daemon's user, mode 0600) and name that with %sFile=, or pass it as the credential "
        "NAME.%s",
        context->setting->key, context->setting->key, credential);
    return -EBADMSG;
}
