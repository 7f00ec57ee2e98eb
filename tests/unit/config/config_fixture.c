/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "config_fixture.h"

static int fake_user(void *userdata, const char *name, uint32_t *ret)
{
    (void) userdata;
    if (strcmp(name, "broken") == 0)
        return -EIO;
    if (strcmp(name, "www-data") != 0 && strcmp(name, "root") != 0)
        return -ENOENT;
    *ret = strcmp(name, "root") == 0 ? 0 : 33;
    return 0;
}

static int fake_group(void *userdata, const char *name, uint32_t *ret)
{
    (void) userdata;
    if (strcmp(name, "shop") != 0)
        return -ENOENT;
    *ret = 1001;
    return 0;
}

const struct name_resolver fixture_resolver = {.user = fake_user, .group = fake_group};

int fixture_parse_daemon(const char *text, struct problems *problems, struct daemon_settings *ret)
{
    const struct settings_text source = {"bearerd.conf", text, strlen(text), &fixture_resolver};
    return daemon_settings_parse(&source, problems, ret);
}

int fixture_parse_profile(const char *text, struct problems *problems, struct profile_settings *ret,
                          struct profile_notes *ret_notes)
{
    const struct settings_text source = {"shop.conf", text, strlen(text), &fixture_resolver};
    return profile_settings_parse(&source, "shop", problems, ret, ret_notes);
}

bool fixture_has_problem(const struct problems *problems, enum problem_severity severity, const char *place,
                         const char *fragment)
{
    for (size_t i = 0; i < problems->n_items; i++) {
        const struct problem *p = &problems->items[i];
        if (p->severity == severity && strcmp(p->place, place) == 0 && strstr(p->message, fragment))
            return true;
    }
    for (size_t i = 0; i < problems->n_items; i++)
        print_message("found: %s: %s\n", problems->items[i].place, problems->items[i].message);
    return false;
}

bool fixture_never_says(const struct problems *problems, const char *word)
{
    for (size_t i = 0; i < problems->n_items; i++) {
        if (strstr(problems->items[i].place, word) || strstr(problems->items[i].message, word))
            return false;
    }
    return true;
}

static void expect_one_error(const struct problems *problems, const char *file, unsigned line,
                             const char *fragment)
{
    char place[64];

    (void) snprintf(place, sizeof(place), line ? "%s:%u" : "%s", file, line);
    assert_true(has_error(problems, place, fragment));
    assert_int_equal(problems->n_errors, 1);
}

void expect_profile_error(const char *text, unsigned line, const char *fragment)
{
    _cleanup_(problems_done) struct problems problems = {0};
    _cleanup_(profile_settings_done) struct profile_settings settings = {0};
    struct profile_notes notes;

    assert_int_equal(fixture_parse_profile(text, &problems, &settings, &notes), -EINVAL);
    expect_one_error(&problems, "shop.conf", line, fragment);
}

void expect_daemon_error(const char *text, unsigned line, const char *fragment)
{
    _cleanup_(problems_done) struct problems problems = {0};
    _cleanup_(daemon_settings_done) struct daemon_settings settings = {0};

    assert_int_equal(fixture_parse_daemon(text, &problems, &settings), -EINVAL);
    expect_one_error(&problems, "bearerd.conf", line, fragment);
}
