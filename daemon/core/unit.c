/* SPDX-License-Identifier: MIT */
#include "core/unit.h"

#include <stddef.h>
#include <string.h>

#include "base/cleanup.h"

#define DIGITS         "0123456789"
#define LETTERS        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define NAME_CHARS     DIGITS LETTERS ":-_.\\@"
#define PATTERN_CHARS  NAME_CHARS "*?[]!^"
#define DELETED_SUFFIX " (deleted)"

/* A part of a text that does not end with a NUL. */
struct span {
    const char *data;
    size_t size;
};

const char *unit_answer_text(enum unit_answer answer)
{
    static const char *const texts[] = {
        [UNIT_KNOWN] = NULL,
        [UNIT_NONE] = "its process runs in no system unit",
        [UNIT_OUTSIDE] = "its process is in a cgroup outside the daemon's cgroup namespace",
        [UNIT_CONTRADICTED] = "the cgroup hierarchies disagree about its unit",
        [UNIT_NO_PID] = "its process is not in the daemon's pid namespace",
        [UNIT_GONE] = "the process that connected has ended",
        [UNIT_DOUBTFUL] = "its process id may have been used anew since it connected; a new connection helps",
        [UNIT_HIDDEN] = "the cgroup of its process cannot be found",
        [UNIT_BUSY] = "too many searches for the cgroups of this user's processes",
    };
    return texts[answer];
}

/* ---- names ---- */

static bool span_ends_in(struct span s, const char *suffix)
{
    size_t size = strlen(suffix);
    return s.size > size && memcmp(s.data + s.size - size, suffix, size) == 0;
}

static bool span_is(struct span s, const char *text)
{
    return s.size == strlen(text) && memcmp(s.data, text, s.size) == 0;
}

/* A name that systemd would give a unit: one with an instance where there is an "@". */
static bool is_unit_name(struct span s)
{
    const char *at = memchr(s.data, '@', s.size), *dot = memrchr(s.data, '.', s.size);

    if (s.size >= UNIT_NAME_SIZE || !dot || dot == s.data || at == s.data || (at && at + 1 == dot))
        return false;
    for (size_t i = 0; i < s.size; i++) {
        if (s.data[i] == '\0' || !strchr(NAME_CHARS, s.data[i]))
            return false;
    }
    return true;
}

static bool is_slice(struct span s)
{
    return span_ends_in(s, ".slice") && is_unit_name(s);
}

/* Of the kinds that a rule can name and that hold processes for long. */
static bool is_service_or_scope(struct span s)
{
    return (span_ends_in(s, ".service") || span_ends_in(s, ".scope")) && is_unit_name(s);
}

bool unit_is_slice(const char *name)
{
    return is_slice((struct span){name, strlen(name)});
}

/* ---- paths ---- */

/* Takes the next component off the path, without the "_" that systemd may have put before it. */
static struct span take_component(struct span *path)
{
    struct span component = {.data = path->data + 1};
    const char *end = memchr(component.data, '/', path->size - 1);

    component.size = end ? (size_t) (end - component.data) : path->size - 1;
    path->data += component.size + 1;
    path->size -= component.size + 1;
    if (component.size > 0 && component.data[0] == '_') {
        component.data++;
        component.size--;
    }
    return component;
}

static enum unit_answer unit_of_span(struct span path, char ret[static UNIT_NAME_SIZE])
{
    if (span_ends_in(path, DELETED_SUFFIX))
        return UNIT_NONE;
    while (path.size > 0 && path.data[0] == '/') {
        struct span component = take_component(&path);
        if (span_is(component, ".."))
            return UNIT_OUTSIDE;
        if (is_slice(component))
            continue;
        if (!is_service_or_scope(component))
            return UNIT_NONE;
        memcpy(ret, component.data, component.size);
        ret[component.size] = '\0';
        return UNIT_KNOWN;
    }
    return UNIT_NONE;
}

enum unit_answer unit_of_cgroup_path(const char *path, char ret[static UNIT_NAME_SIZE])
{
    return unit_of_span((struct span){path, strlen(path)}, ret);
}

/* ---- /proc/PID/cgroup: lines of ID:CONTROLLERS:PATH ---- */

/* The path in the line of these controllers; without data when there is no such line. */
static struct span find_path(const char *text, const char *controllers)
{
    size_t size = strlen(controllers);

    for (const char *line = text; *line;) {
        const char *end = strchrnul(line, '\n');
        const char *at = line + strspn(line, DIGITS);
        if (*at == ':' && strncmp(at + 1, controllers, size) == 0 && at[1 + size] == ':')
            return (struct span){at + size + 2, (size_t) (end - at) - size - 2};
        line = *end ? end + 1 : end;
    }
    return (struct span){0};
}

enum unit_answer unit_of_cgroup_text(const char *text, char ret[static UNIT_NAME_SIZE])
{
    struct span unified = find_path(text, ""), legacy = find_path(text, "name=systemd");
    bool has_unified = unified.data && !span_is(unified, "/");
    bool has_legacy = legacy.data && !span_is(legacy, "/");
    char name[UNIT_NAME_SIZE], other[UNIT_NAME_SIZE];

    if (!has_unified && !has_legacy)
        return UNIT_NONE;
    enum unit_answer answer = unit_of_span(has_unified ? unified : legacy, name);
    if (answer != UNIT_KNOWN)
        return answer;
    if (has_unified && has_legacy && (unit_of_span(legacy, other) != UNIT_KNOWN || strcmp(name, other) != 0))
        return UNIT_CONTRADICTED;
    memcpy(ret, name, sizeof(name));
    return UNIT_KNOWN;
}

/* ---- rules ---- */

const char *unit_pattern_problem(const char *pattern)
{
    struct span name = {pattern, strlen(pattern)};

    if (name.size == 0)
        return "has a unit: without a name; write unit:NAME.service";
    if (strchr(pattern, '/'))
        return "has a unit: with a slash; it takes the name of a system unit, not a path: unit:NAME.service";
    if (!span_ends_in(name, ".service") && !span_ends_in(name, ".scope"))
        return "has a unit: that does not end in .service or .scope; write unit:NAME.service";
    if (name.size >= UNIT_NAME_SIZE)
        return "has a unit: that is longer than the 255 characters of a unit name";
    if (strspn(pattern, PATTERN_CHARS) != name.size)
        return "has a unit: with a character that no unit name has; systemd-escape(1) writes it as \\xNN";
    if (strstr(pattern, "@.service") || strstr(pattern, "@.scope"))
        return "has a unit: that is a template, which never runs; for all its instances write "
               "unit:NAME@*.service";
    return NULL;
}
