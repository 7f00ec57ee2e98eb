/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/usec.h"

static void arithmetic_saturates(void **state _unused_)
{
    assert_true(usec_add(2, 3) == 5);
    assert_true(usec_add(USEC_INFINITY, 0) == USEC_INFINITY);
    assert_true(usec_add(0, USEC_INFINITY) == USEC_INFINITY);
    assert_true(usec_add(USEC_INFINITY, USEC_INFINITY) == USEC_INFINITY);
    assert_true(usec_add(USEC_INFINITY - 1, 1) == USEC_INFINITY);
    assert_true(usec_add(USEC_INFINITY - 1, 2) == USEC_INFINITY);
    assert_true(usec_add(USEC_INFINITY - 2, 1) == USEC_INFINITY - 1);

    assert_true(usec_sub(5, 3) == 2);
    assert_true(usec_sub(3, 5) == 0);
    assert_true(usec_sub(3, USEC_INFINITY) == 0);
    assert_true(usec_sub(USEC_INFINITY, 3) == USEC_INFINITY);
    assert_true(usec_sub(USEC_INFINITY, USEC_INFINITY) == USEC_INFINITY);

    assert_true(usec_min(1, 2) == 1 && usec_min(2, 1) == 1 && usec_min(USEC_INFINITY, 1) == 1);
    assert_true(usec_max(1, 2) == 2 && usec_max(2, 1) == 2 && usec_max(USEC_INFINITY, 1) == USEC_INFINITY);
}

static void scale_does_not_overflow(void **state _unused_)
{
    assert_true(usec_scale(100, 50, 100) == 50);
    assert_true(usec_scale(7, 1, 2) == 3);
    assert_true(usec_scale(0, UINT64_MAX, 1) == 0);
    assert_true(usec_scale(USEC_INFINITY, 0, 1) == USEC_INFINITY);
    assert_true(usec_scale(USEC_INFINITY - 1, 99, 100) == UINT64_C(18262276632972456097));
    assert_true(usec_scale(USEC_INFINITY - 1, UINT64_MAX, UINT64_MAX) == USEC_INFINITY - 1);
    assert_true(usec_scale(USEC_INFINITY - 1, 2, 1) == USEC_INFINITY);
    assert_true(usec_scale(1, UINT64_MAX, 1) == USEC_INFINITY);
    assert_true(usec_scale(400 * USEC_PER_DAY, 100, 100) == 400 * USEC_PER_DAY);
}

static void rfc3339_is_utc_and_rounds_down(void **state _unused_)
{
    static const struct {
        usec_t at;
        const char *text;
    } cases[] = {
        {0,                                  "1970-01-01T00:00:00Z"},
        {999999,                             "1970-01-01T00:00:00Z"},
        {1709164799 * USEC_PER_SEC + 999999, "2024-02-28T23:59:59Z"},
        {1709164800 * USEC_PER_SEC,          "2024-02-29T00:00:00Z"},
        {4102444800 * USEC_PER_SEC,          "2100-01-01T00:00:00Z"},
        {253402300799 * USEC_PER_SEC,        "9999-12-31T23:59:59Z"},
        {253402300800 * USEC_PER_SEC,        "9999-12-31T23:59:59Z"},
        {USEC_INFINITY,                      "9999-12-31T23:59:59Z"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char buf[RFC3339_SIZE];
        assert_ptr_equal(usec_format_rfc3339(cases[i].at, buf), buf);
        assert_string_equal(buf, cases[i].text);
    }
}

static void spans_are_short(void **state _unused_)
{
    static const struct {
        usec_t span;
        const char *text;
    } cases[] = {
        {0,                                                   "0s"           },
        {1,                                                   "1us"          },
        {999,                                                 "999us"        },
        {1000,                                                "1ms"          },
        {1999,                                                "1ms"          },
        {250 * USEC_PER_MSEC,                                 "250ms"        },
        {USEC_PER_SEC,                                        "1s"           },
        {USEC_PER_SEC + 500 * USEC_PER_MSEC,                  "1s"           },
        {USEC_PER_MIN,                                        "1min"         },
        {65 * USEC_PER_SEC,                                   "1min 5s"      },
        {USEC_PER_HOUR + 5 * USEC_PER_MIN + 7 * USEC_PER_SEC, "1h 5min"      },
        {USEC_PER_HOUR + 7 * USEC_PER_SEC,                    "1h"           },
        {400 * USEC_PER_DAY + 3 * USEC_PER_HOUR,              "400d 3h"      },
        {USEC_INFINITY - 1,                                   "213503982d 8h"},
        {USEC_INFINITY,                                       "infinity"     },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char buf[SPAN_SIZE];
        assert_ptr_equal(usec_format_span(cases[i].span, buf), buf);
        assert_string_equal(buf, cases[i].text);
    }
}

static void http_dates_have_three_forms(void **state _unused_)
{
    static const char *const same[] = {
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
    };
    static const char *const bad[] = {
        "",
        "0",
        "120",
        "Sun, 06 Nov 1994",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 CET",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        "Sun, 06 Nov 1994 08:49:37 GMT, again",
        "Sun, 46 Nov 1994 08:49:37 GMT",
        "1994-11-06T08:49:37Z",
        "Thu, 01 Jan 1960 00:00:00 GMT",
    };

    for (size_t i = 0; i < ARRAY_SIZE(same); i++) {
        usec_t at = 0;
        assert_true(usec_parse_http_date(same[i], &at));
        assert_true(at == 784111777 * USEC_PER_SEC);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        usec_t at = 42;
        assert_false(usec_parse_http_date(bad[i], &at));
        assert_true(at == 42);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arithmetic_saturates),           cmocka_unit_test(scale_does_not_overflow),
        cmocka_unit_test(rfc3339_is_utc_and_rounds_down), cmocka_unit_test(spans_are_short),
        cmocka_unit_test(http_dates_have_three_forms),
    };
    return cmocka_run_group_tests_name("usec", tests, NULL, NULL);
}
