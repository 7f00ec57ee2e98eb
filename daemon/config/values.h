/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The value forms of the settings files, as parsers for the rows of a table (config/table.h says what a
 * parser returns and does). No message holds the value it is about: it may be a secret in the wrong place.
 * Names of users and groups are the exception.
 */

#include <stdbool.h>

#include "config/table.h"
#include "core/settings.h"

/* ---- text: the target is a char *, owned ---- */

/* UTF-8 without control characters; at most `max` bytes where that is not 0. */
int value_text(const struct setting_context *context, const char *value, void *target);

/* Printable ASCII, space included; at most `max` bytes where that is not 0. */
int value_ascii(const struct setting_context *context, const char *value, void *target);

/* RFC 6749 section 3.3: scope tokens with single spaces between. */
int value_scope(const struct setting_context *context, const char *value, void *target);

/* An absolute path to a file, of at most `max` bytes. */
int value_path(const struct setting_context *context, const char *value, void *target);

/* The name or number of a group; whether it exists is found out where it is used. */
int value_group(const struct setting_context *context, const char *value, void *target);

/* URLs that keys may be sent to (config/url.h): whole, as a base, or the path behind a base. */
int value_url(const struct setting_context *context, const char *value, void *target);
int value_base_url(const struct setting_context *context, const char *value, void *target);
int value_url_path(const struct setting_context *context, const char *value, void *target);

/* ---- numbers, between `min` and `max` of the row ---- */

int value_duration(const struct setting_context *context, const char *value, void *target); /* usec_t */
int value_percent(const struct setting_context *context, const char *value, void *target);  /* unsigned */
int value_count(const struct setting_context *context, const char *value, void *target);    /* uint64_t */
int value_mode(const struct setting_context *context, const char *value, void *target);     /* unsigned */

/* ---- the rest ---- */

int value_bool(const struct setting_context *context, const char *value, void *target); /* bool */

/* The index of `value` in `words` as an unsigned, for the parser of an enum. */
int value_choose(const char *value, const char *const *words, size_t n_words, unsigned *target);

/* struct access_list: words of user:NAME|UID, group:NAME|GID, unit:NAME.service and any, appended. */
int value_access(const struct setting_context *context, const char *value, void *target);

/* ClientSecret= and its like: refuses, and says where the secret belongs. The target is not looked at. */
int value_secret(const struct setting_context *context, const char *value, void *target);

/* Printable ASCII through and through. */
bool text_is_ascii(const char *text);
