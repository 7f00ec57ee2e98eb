/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Whether a URL is one that keys may be sent to. A strict reader of RFC 3986 for the http and https schemes:
 * what two parsers could read in two ways (a name with a password, a host of odd characters) is refused, so
 * that what was checked here is what libcurl later connects to.
 */

#include <stdbool.h>
#include <stddef.h>

/* No issuer's URL is longer, and every proxy and server takes this much. */
#define URL_MAX ((size_t) 2048)

/* What the URL may have besides scheme, host, port and path. */
enum url_parts {
    URL_BASE, /* nothing: a path will be put behind it */
    URL_FULL, /* a query (RFC 6749 section 3.2 allows one in a token endpoint) */
};

/*
 * NULL when `text` is fine: https, or http to a loopback host (127.0.0.0/8, [::1], localhost); no user
 * information, no fragment. Else what is wrong, to be put behind the name of the setting ("must not ..."). A
 * static string: the URL is not part of it, since it may hold a password.
 */
const char *url_find_problem(const char *text, enum url_parts parts);

/* The same for a path to be put behind a base URL: begins with one slash, has no query and no fragment. */
const char *url_find_path_problem(const char *path);

/* True for an https URL. */
bool url_is_https(const char *text);
