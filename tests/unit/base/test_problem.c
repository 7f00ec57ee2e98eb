/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/problem.h"

static void problems_keep_their_order_and_place(void **state _unused_)
{
    _cleanup_(problems_done) struct problems p = {0};

    problem_error(&p, "/etc/a.conf", 7, "unknown key %s", "Tiemout");
    problem_warning(&p, "/etc/a.conf", 0, "odd");
    problem_error(&p, NULL, 3, "nothing usable");
    assert_int_equal(p.n_items, 3);
    assert_int_equal(p.n_errors, 2);
    assert_false(p.is_incomplete);
    assert_string_equal(p.items[0].place, "/etc/a.conf:7");
    assert_string_equal(p.items[0].message, "unknown key Tiemout");
    assert_int_equal(p.items[0].severity, PROBLEM_ERROR);
    assert_string_equal(p.items[1].place, "/etc/a.conf");
    assert_int_equal(p.items[1].severity, PROBLEM_WARNING);
    assert_string_equal(p.items[2].place, "");
}

static void done_empties_and_may_be_repeated(void **state _unused_)
{
    struct problems p = {0};

    problems_done(NULL);
    problems_done(&p);
    for (unsigned i = 0; i < 100; i++)
        problem_error(&p, "f", i, "problem %u", i);
    assert_int_equal(p.n_errors, 100);
    assert_string_equal(p.items[99].place, "f:99");
    problems_done(&p);
    assert_int_equal(p.n_items, 0);
    assert_int_equal(p.n_errors, 0);
    problems_done(&p);
}

static void near_misses_are_suggested(void **state _unused_)
{
    static const char *const names[] = {"Timeout", "RetryMin", "RetryMax",
                                        "At",      "Jitter",   "ClientSecretFile"};
    static const struct {
        const char *word, *meant;
    } cases[] = {
        {"Tiemout",                                                        "Timeout"         },
        {"timeout",                                                        "Timeout"         },
        {"TIMEOUT",                                                        "Timeout"         },
        {"Timeou",                                                         "Timeout"         },
        {"RetryMim",                                                       "RetryMin"        },
        {"RetryMa",                                                        "RetryMax"        },
        {"ClientSecret",                                                   "ClientSecretFile"},
        {"ClientSecretFlie",                                               "ClientSecretFile"},
        {"Jiter",                                                          "Jitter"          },
        {"At",                                                             "At"              },
        {"Colour",                                                         NULL              },
        {"",                                                               NULL              },
        {"Xy",                                                             NULL              },
        {"ThisIsSomethingElseAltogetherThatNobodyEverMeant",               NULL              },
        {"ThisIsSomethingElseAltogetherThatNobodyEverMeantAndLongerStill", NULL              },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const char *meant = problem_suggest(cases[i].word, names, ARRAY_SIZE(names));
        if (!cases[i].meant)
            assert_null(meant);
        else
            assert_string_equal(meant, cases[i].meant);
    }
}

static void the_nearest_wins_and_the_first_of_equals(void **state _unused_)
{
    static const char *const names[] = {"RetryMax", "RetryMin", "RetryMid"};

    assert_string_equal(problem_suggest("RetryMin", names, 3), "RetryMin");
    assert_string_equal(problem_suggest("RetryMi", names, 3), "RetryMin");
    assert_null(problem_suggest("RetryMin", names, 0));
}

static void names_of_any_length_do_no_harm(void **state _unused_)
{
    static const char long_name[] =
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    static const char *const names[] = {long_name, "", "Key"};

    assert_string_equal(problem_suggest("Kye", names, 3), "Key");
    assert_null(problem_suggest(long_name, names, 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(problems_keep_their_order_and_place),
        cmocka_unit_test(done_empties_and_may_be_repeated),
        cmocka_unit_test(near_misses_are_suggested),
        cmocka_unit_test(the_nearest_wins_and_the_first_of_equals),
        cmocka_unit_test(names_of_any_length_do_no_harm),
    };
    return cmocka_run_group_tests_name("problem", tests, NULL, NULL);
}
