/* SPDX-License-Identifier: MIT */
#include "wire/route.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"

static const struct {
    const char *path; /* "*" stands for the profile's name */
    enum endpoint endpoint;
    enum method method;
    bool has_parameters; /* min_ttl, wait */
} endpoints[] = {
    {"/v1/profiles/*/token",   ENDPOINT_TOKEN,    METHOD_GET,  true },
    {"/v1/profiles/*/headers", ENDPOINT_HEADERS,  METHOD_GET,  true },
    {"/v1/profiles/*/refresh", ENDPOINT_REFRESH,  METHOD_POST, false},
    {"/v1/profiles/*",         ENDPOINT_PROFILE,  METHOD_GET,  false},
    {"/v1/profiles",           ENDPOINT_PROFILES, METHOD_GET,  false},
    {"/healthz",               ENDPOINT_HEALTHZ,  METHOD_GET,  false},
    {"/readyz",                ENDPOINT_READYZ,   METHOD_GET,  false},
    {"/metrics",               ENDPOINT_METRICS,  METHOD_GET,  false},
};

enum method endpoint_method(enum endpoint endpoint)
{
    for (size_t i = 0; i < ARRAY_SIZE(endpoints); i++) {
        if (endpoints[i].endpoint == endpoint)
            return endpoints[i].method;
    }
    return METHOD_GET;
}

const char *endpoint_allow(enum endpoint endpoint)
{
    switch (endpoint_method(endpoint)) {
    case METHOD_GET:
        return "GET, HEAD";
    case METHOD_POST:
        return "POST";
    }
    return "";
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/*
 * Percent-decodes `length` bytes into `ret` (of `size`). False when the encoding is broken or holds a control
 * character. What does not fit makes the result "?", a name that no profile has.
 */
static bool decode(const char *text, size_t length, char *ret, size_t size)
{
    size_t n = 0;

    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (c == '%') {
            int high = i + 2 < length ? hex_digit(text[i + 1]) : -1;
            int low = i + 2 < length ? hex_digit(text[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            c = (char) (high * 16 + low);
            i += 2;
        }
        if ((unsigned char) c < 0x20 || c == 0x7f)
            return false;
        if (n + 1 < size)
            ret[n] = c;
        n++;
    }
    if (n + 1 > size) {
        (void) snprintf(ret, size, "?");
        return true;
    }
    ret[n] = '\0';
    return true;
}

/* Matches a path against a pattern; *ret_name is where the "*" stood. */
static bool path_matches(const char *path, size_t length, const char *pattern, const char **ret_name,
                         size_t *ret_size)
{
    const char *star = strchr(pattern, '*');
    if (!star)
        return strlen(pattern) == length && memcmp(path, pattern, length) == 0;

    size_t before = (size_t) (star - pattern), after = strlen(star + 1);
    if (length <= before + after || memcmp(path, pattern, before) != 0 ||
        memcmp(path + length - after, star + 1, after) != 0)
        return false;
    *ret_name = path + before;
    *ret_size = length - before - after;
    return memchr(*ret_name, '/', *ret_size) == NULL;
}

_printf_(2, 3) static void route_refuse(struct route *r, const char *format, ...)
{
    va_list args;

    if (r->is_bad)
        return;
    r->is_bad = true;
    va_start(args, format);
    (void) vsnprintf(r->problem, sizeof(r->problem), format, args);
    va_end(args);
}

static void parse_min_ttl(struct route *r, const char *value)
{
    uint64_t seconds;

    if (parse_u64_max(value, MIN_TTL_MAX_SECONDS, &seconds) < 0)
        route_refuse(r, "min_ttl must be a whole number of seconds");
    else
        r->min_ttl_for = seconds * USEC_PER_SEC;
}

static void parse_wait(struct route *r, const char *value)
{
    uint64_t seconds;

    if (parse_u64_max(value, WAIT_MAX / USEC_PER_SEC, &seconds) < 0)
        route_refuse(r, "wait must be a whole number of seconds from 0 to %u",
                     (unsigned) (WAIT_MAX / USEC_PER_SEC));
    else
        r->wait_for = seconds * USEC_PER_SEC;
}

static const struct {
    const char *name;
    void (*parse)(struct route *r, const char *value);
} parameters[] = {
    {"min_ttl", parse_min_ttl},
    {"wait",    parse_wait   },
};

/* One "name=value" of the query. `seen` has a bit for each parameter that came before. */
static void parse_parameter(struct route *r, const char *text, size_t length, unsigned *seen)
{
    const char *equals = memchr(text, '=', length);
    size_t name_length = equals ? (size_t) (equals - text) : length;
    char value[32];

    for (size_t i = 0; i < ARRAY_SIZE(parameters); i++) {
        if (strlen(parameters[i].name) != name_length || memcmp(parameters[i].name, text, name_length) != 0)
            continue;
        if (*seen & (1u << i))
            route_refuse(r, "%s is given twice", parameters[i].name);
        else if (!equals || !decode(equals + 1, length - name_length - 1, value, sizeof(value)))
            route_refuse(r, "%s has no readable value", parameters[i].name);
        else
            parameters[i].parse(r, value);
        *seen |= 1u << i;
        return;
    }
    route_refuse(r, "unknown query parameter; known are min_ttl and wait");
}

static void parse_query(struct route *r, const char *query, bool has_parameters)
{
    unsigned seen = 0;

    if (*query && !has_parameters) {
        route_refuse(r, "this request takes no query parameters");
        return;
    }
    while (*query) {
        size_t length = strcspn(query, "&");
        parse_parameter(r, query, length, &seen);
        query += length;
        if (*query == '&' && *++query == '\0')
            route_refuse(r, "the query ends with an empty parameter; known are min_ttl and wait");
    }
}

void route_parse(const char *target, struct route *ret)
{
    size_t length = strcspn(target, "?");
    const char *query = target[length] ? target + length + 1 : target + length;

    *ret = (struct route){
        .endpoint = ENDPOINT_UNKNOWN, .min_ttl_for = MIN_TTL_DEFAULT, .wait_for = WAIT_DEFAULT};
    for (size_t i = 0; i < ARRAY_SIZE(endpoints); i++) {
        const char *name = NULL;
        size_t name_size = 0;
        if (!path_matches(target, length, endpoints[i].path, &name, &name_size))
            continue;
        ret->endpoint = endpoints[i].endpoint;
        if (name && !decode(name, name_size, ret->profile, sizeof(ret->profile)))
            route_refuse(ret, "the profile's name in the path is not readable");
        parse_query(ret, query, endpoints[i].has_parameters);
        return;
    }
}
