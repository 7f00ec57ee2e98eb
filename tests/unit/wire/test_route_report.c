/* SPDX-License-Identifier: MIT */
/* What else than its target a request can bring: a report, a tag. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "wire/route.h"

#define FINGERPRINT "0123456789abcdef"

static void a_report_names_a_fingerprint(void **state _unused_)
{
    static const char *const bodies[] = {
        "{\"fingerprint\":\"" FINGERPRINT "\"}",
        " {\n\t\"fingerprint\" : \"" FINGERPRINT "\" } \n",
        "{\"fingerprint\":\"0123456789ABCDEF\"}",
        /* What a later client may say besides is no error today. */
        "{\"reason\":\"401\",\"fingerprint\":\"" FINGERPRINT "\",\"more\":[{}]}",
    };

    for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
        char fingerprint[FINGERPRINT_SIZE] = "";
        assert_null(route_read_rejection(bodies[i], strlen(bodies[i]), fingerprint));
        assert_string_equal(fingerprint, FINGERPRINT);
    }
}

static void other_reports_are_refused(void **state _unused_)
{
    static const char *const bodies[] = {
        "",
        "{",
        "{}",
        "[\"" FINGERPRINT "\"]",
        "{\"fingerprint\":\"0123456789abcde\"}",
        "{\"fingerprint\":\"" FINGERPRINT "0\"}",
        "{\"fingerprint\":\"0123456789abcdeg\"}",
        "{\"fingerprint\":\"0123456789abcde \"}",
        "{\"fingerprint\":1234567890123456}",
        "{\"fingerprint\":true}",
        "{\"fingerprint\":\"" FINGERPRINT "\"}x",
        "{\"fingerprint\":\"" FINGERPRINT "\",}",
    };

    for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
        char fingerprint[FINGERPRINT_SIZE];
        const char *problem = route_read_rejection(bodies[i], strlen(bodies[i]), fingerprint);
        if (!problem)
            fail_msg("taken: %s", bodies[i]);
        assert_non_null(strstr(problem, "16 hex digits"));
    }
    /* The size counts, not a NUL. */
    char fingerprint[FINGERPRINT_SIZE];
    assert_non_null(route_read_rejection(bodies[1], 0, fingerprint));
    assert_non_null(route_read_rejection("{\"fingerprint\":\"" FINGERPRINT "\"}\0", 36, fingerprint));
}

static void a_tag_is_found_in_its_header(void **state _unused_)
{
    static const struct {
        const char *value;
        bool is_named;
    } cases[] = {
        {"\"g7\"",                   true },
        {"  \"g7\"  ",               true },
        {"W/\"g7\"",                 true },
        {"\"a\",\"g7\"",             true },
        {"\"a\" , W/\"g7\" , \"b\"", true },
        {",,\"g7\",",                true },
        {"*",                        true },
        {" * ",                      true },
        {"",                         false},
        {",",                        false},
        {"W/",                       false},
        {"g7",                       false},
        {"\"g7",                     false},
        {"g7\"",                     false},
        {"\"g70\"",                  false},
        {"\"g07\"",                  false},
        {"\"G7\"",                   false},
        {"w/\"g7\"",                 false},
        {"W/W/\"g7\"",               false},
        {"\"g7\" \"a\"",             false},
        {"**",                       false},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        if (route_names_generation(cases[i].value, 7) != cases[i].is_named)
            fail_msg("%s", cases[i].value);
    }
    assert_true(route_names_generation("\"g18446744073709551615\"", UINT64_MAX));
    assert_true(route_names_generation("\"g0\"", 0));
    assert_false(route_names_generation("\"g7\"", 8));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_report_names_a_fingerprint),
        cmocka_unit_test(other_reports_are_refused),
        cmocka_unit_test(a_tag_is_found_in_its_header),
    };
    return cmocka_run_group_tests_name("route, report", tests, NULL, NULL);
}
