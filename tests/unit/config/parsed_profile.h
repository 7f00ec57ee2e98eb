/* SPDX-License-Identifier: MIT */
#pragma once

/* What the tests of profile settings share: texts to begin with, and a profile parsed in one line. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config_fixture.h"

/* Five lines; what a test adds begins at line 6. */
#define VIPPS       "[Profile]\nProvider=vipps\nEnvironment=test\n[Keys]\nClientID=abc\n"
#define VIPPS_LINES 5
#define OAUTH2      "[Profile]\nProvider=oauth2\nTokenURL=https://issuer.example/t\n[Keys]\nClientID=abc\n"

/* A profile as it was read, with all that was said of it. */
struct parsed {
    struct profile_settings s;
    struct profile_notes notes;
    struct problems problems;
};

static inline void parsed_done(struct parsed *p)
{
    profile_settings_done(&p->s);
    problems_done(&p->problems);
}

/* Parses a profile and expects this result; prints the problems when it is another. */
static inline struct parsed parse(const char *text, int expected)
{
    struct parsed p = {0};
    int r = fixture_parse_profile(text, &p.problems, &p.s, &p.notes);
    if (r != expected)
        (void) has_error(&p.problems, "", "");
    assert_int_equal(r, expected);
    return p;
}
