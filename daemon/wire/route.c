/* SPDX-License-Identifier: MIT */
#include "wire/route.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"
#include "wire/json_read.h"

/* Which query parameters an endpoint takes. */
enum parameters {
    TAKES_NONE,
    TAKES_WAIT,    /* min_ttl, wait */
    TAKES_SUBJECT, /* uid, gid, groups, pid */
};

static const struct {
    const char *path; /* "*" stands for the profile's name */
    enum endpoint endpoint;
    enum method method;
    enum parameters parameters;
} endpoints[] = {
    {"/v1/profiles/*/token",    ENDPOINT_TOKEN,    METHOD_GET,  TAKES_WAIT   },
    {"/v1/profiles/*/headers",  ENDPOINT_HEADERS,  METHOD_GET,  TAKES_WAIT   },
    {"/v1/profiles/*/rejected", ENDPOINT_REJECTED, METHOD_POST, TAKES_WAIT   },
    {"/v1/profiles/*/refresh",  ENDPOINT_REFRESH,  METHOD_POST, TAKES_NONE   },
    {"/v1/profiles/*/explain",  ENDPOINT_EXPLAIN,  METHOD_GET,  TAKES_SUBJECT},
    {"/v1/profiles/*",          ENDPOINT_PROFILE,  METHOD_GET,  TAKES_NONE   },
    {"/v1/profiles",            ENDPOINT_PROFILES, METHOD_GET,  TAKES_NONE   },
    {"/v1/reload",              ENDPOINT_RELOAD,   METHOD_POST, TAKES_NONE   },
    {"/healthz",                ENDPOINT_HEALTHZ,  METHOD_GET,  TAKES_NONE   },
    {"/readyz",                 ENDPOINT_READYZ,   METHOD_GET,  TAKES_NONE   },
    {"/metrics",                ENDPOINT_METRICS,  METHOD_GET,  TAKES_NONE   },
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
    r->has_wait = true;
}

static bool parse_number(struct route *r, const char *name, const char *value, uint32_t *ret)
{
    uint64_t number;

    if (parse_u64_max(value, UINT32_MAX - 1, &number) < 0) {
        route_refuse(r, "%s must be a number, as the kernel knows it", name);
        return false;
    }
    *ret = (uint32_t) number;
    return true;
}

static void parse_uid(struct route *r, const char *value)
{
    r->subject.has_uid = parse_number(r, "uid", value, &r->subject.uid);
}

static void parse_gid(struct route *r, const char *value)
{
    r->subject.has_gid = parse_number(r, "gid", value, &r->subject.gid);
}

static void parse_pid(struct route *r, const char *value)
{
    uint64_t pid;

    if (parse_u64_max(value, INT32_MAX, &pid) < 0 || pid == 0) {
        route_refuse(r, "pid must be the number of a process");
        return;
    }
    r->subject.pid = (int32_t) pid;
    r->subject.has_pid = true;
}

/* Numbers with commas between. */
static void parse_groups(struct route *r, const char *value)
{
    struct route_subject *s = &r->subject;
    char number[16];

    while (*value) {
        size_t size = strcspn(value, ",");
        if (s->n_groups == ROUTE_GROUPS_MAX) {
            route_refuse(r, "groups may have %d numbers", ROUTE_GROUPS_MAX);
            return;
        }
        (void) snprintf(number, sizeof(number), "%.*s", (int) (size < 15 ? size : 15), value);
        if (!parse_number(r, "groups", number, &s->groups[s->n_groups]))
            return;
        s->n_groups++;
        value += size;
        if (*value == ',' && *++value == '\0')
            route_refuse(r, "groups ends with a comma");
    }
}

static const struct {
    const char *name;
    enum parameters kind;
    void (*parse)(struct route *r, const char *value);
} parameters[] = {
    {"min_ttl", TAKES_WAIT,    parse_min_ttl},
    {"wait",    TAKES_WAIT,    parse_wait   },
    {"uid",     TAKES_SUBJECT, parse_uid    },
    {"gid",     TAKES_SUBJECT, parse_gid    },
    {"groups",  TAKES_SUBJECT, parse_groups },
    {"pid",     TAKES_SUBJECT, parse_pid    },
};

/* The longest value: groups= with all its numbers. */
#define VALUE_SIZE (ROUTE_GROUPS_MAX * 11 + 1)

static const char *known_parameters(enum parameters kind)
{
    return kind == TAKES_SUBJECT ? "uid, gid, groups and pid" : "min_ttl and wait";
}

/* One "name=value" of the query. `seen` has a bit for each parameter that came before. */
static void parse_parameter(struct route *r, const char *text, size_t length, enum parameters kind,
                            unsigned *seen)
{
    const char *equals = memchr(text, '=', length);
    size_t name_length = equals ? (size_t) (equals - text) : length;
    char value[VALUE_SIZE];

    for (size_t i = 0; i < ARRAY_SIZE(parameters); i++) {
        if (parameters[i].kind != kind || strlen(parameters[i].name) != name_length ||
            memcmp(parameters[i].name, text, name_length) != 0)
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
    route_refuse(r, "unknown query parameter; known are %s", known_parameters(kind));
}

static void parse_query(struct route *r, const char *query, enum parameters kind)
{
    unsigned seen = 0;

    if (*query && kind == TAKES_NONE) {
        route_refuse(r, "this request takes no query parameters");
        return;
    }
    while (*query) {
        size_t length = strcspn(query, "&");
        parse_parameter(r, query, length, kind, &seen);
        query += length;
        if (*query == '&' && *++query == '\0')
            route_refuse(r, "the query ends with an empty parameter; known are %s", known_parameters(kind));
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
        parse_query(ret, query, endpoints[i].parameters);
        return;
    }
}

/* ---- what else a request can bring ---- */

const char *route_read_rejection(const char *body, size_t size, char ret[static FINGERPRINT_SIZE])
{
    struct json_member m[] = {{.name = "fingerprint"}};
    static const char problem[] = "the body must be {\"fingerprint\": \"...\"} with the 16 hex digits that "
                                  "/token told";

    if (size == 0 || json_read_object(body, size, m, ARRAY_SIZE(m)) != JSON_READ ||
        m[0].kind != JSON_STRING || m[0].size != FINGERPRINT_SIZE - 1)
        return problem;
    for (size_t i = 0; i < FINGERPRINT_SIZE - 1; i++) {
        int digit = hex_digit(m[0].text[i]);
        if (digit < 0)
            return problem;
        ret[i] = "0123456789abcdef"[digit];
    }
    ret[FINGERPRINT_SIZE - 1] = '\0';
    return NULL;
}

bool route_names_generation(const char *if_none_match, uint64_t generation)
{
    char wanted[32];
    const char *at = if_none_match;

    int length = snprintf(wanted, sizeof(wanted), "\"g%" PRIu64 "\"", generation);
    while (*(at += strspn(at, " \t,"))) {
        size_t size = strcspn(at, ",");
        const char *tag = strncmp(at, "W/", 2) == 0 ? at + 2 : at;
        size_t tag_size = size - (size_t) (tag - at);
        while (tag_size > 0 && (tag[tag_size - 1] == ' ' || tag[tag_size - 1] == '\t'))
            tag_size--;
        if ((tag_size == 1 && *tag == '*') ||
            (tag_size == (size_t) length && memcmp(tag, wanted, tag_size) == 0))
            return true;
        at += size;
    }
    return false;
}
