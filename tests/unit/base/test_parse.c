/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/parse.h"

/* One line of a table: what `text` comes to. `value` counts when `result` is 0; else nothing may be stored.
 */
struct row {
    const char *text;
    int result;
    uint64_t value;
};

#define UNTOUCHED UINT64_C(0xdeadbeef)

static void check_rows(const struct row *rows, size_t n_rows, int (*parse)(const char *text, uint64_t *ret))
{
    for (size_t i = 0; i < n_rows; i++) {
        uint64_t value = UNTOUCHED;
        int r = parse(rows[i].text, &value);
        if (r != rows[i].result || value != (r < 0 ? UNTOUCHED : rows[i].value))
            print_error("'%s' gave %d\n", rows[i].text, r);
        assert_int_equal(r, rows[i].result);
        assert_true(value == (r < 0 ? UNTOUCHED : rows[i].value));
    }
}

static void numbers(void **state _unused_)
{
    static const struct row rows[] = {
        {"0",                        0,       0         },
        {"7",                        0,       7         },
        {"10",                       0,       10        },
        {"18446744073709551615",     0,       UINT64_MAX},
        {"18446744073709551616",     -ERANGE, 0         },
        {"99999999999999999999999",  -ERANGE, 0         },
        {"99999999999999999999999x", -EINVAL, 0         },
        {"",                         -EINVAL, 0         },
        {"00",                       -EINVAL, 0         },
        {"01",                       -EINVAL, 0         },
        {"-1",                       -EINVAL, 0         },
        {"+1",                       -EINVAL, 0         },
        {" 1",                       -EINVAL, 0         },
        {"1 ",                       -EINVAL, 0         },
        {"1\n",                      -EINVAL, 0         },
        {"1.0",                      -EINVAL, 0         },
        {"0x10",                     -EINVAL, 0         },
        {"1e3",                      -EINVAL, 0         },
        {"\xd9\xa1",                 -EINVAL, 0         },
    };
    check_rows(rows, ARRAY_SIZE(rows), parse_u64);
}

static void numbers_with_a_maximum(void **state _unused_)
{
    uint64_t value = UNTOUCHED;

    assert_int_equal(parse_u64_max("61", 60, &value), -ERANGE);
    assert_int_equal(parse_u64_max("x", 60, &value), -EINVAL);
    assert_int_equal(parse_u64_max("99999999999999999999999", UINT64_MAX, &value), -ERANGE);
    assert_true(value == UNTOUCHED);
    assert_int_equal(parse_u64_max("60", 60, &value), 0);
    assert_true(value == 60);
    assert_int_equal(parse_u64_max("0", 0, &value), 0);
    assert_true(value == 0);
}

static void durations_of_every_unit(void **state _unused_)
{
    static const struct {
        const char *names;
        usec_t length;
    } units[] = {
        {"us usec",              1                     },
        {"ms msec",              1000                  },
        {"s sec second seconds", 1000000               },
        {"m min minute minutes", 60000000              },
        {"h hr hour hours",      UINT64_C(3600000000)  },
        {"d day days",           UINT64_C(86400000000) },
        {"w week weeks",         UINT64_C(604800000000)},
    };

    for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
        const char *p = units[i].names;
        char name[16], text[40];
        int n;
        for (; sscanf(p, "%15s%n", name, &n) == 1; p += n) {
            usec_t value = 0;
            (void) snprintf(text, sizeof(text), "3%s", name);
            assert_int_equal(parse_duration(text, &value), 0);
            assert_true(value == 3 * units[i].length);
            (void) snprintf(text, sizeof(text), "3 %s 1us ", name);
            assert_int_equal(parse_duration(text, &value), 0);
            assert_true(value == 3 * units[i].length + 1);
        }
    }
}

static void durations(void **state _unused_)
{
    static const struct row rows[] = {
        {"90",                           0,       90000000            },
        {"0",                            0,       0                   },
        {"90s",                          0,       90000000            },
        {"  90 s  ",                     0,       90000000            },
        {"1h 30min",                     0,       UINT64_C(5400000000)},
        {"5min20s",                      0,       320000000           },
        {"5 min 20 s",                   0,       320000000           },
        {"1.5h",                         0,       UINT64_C(5400000000)},
        {"0.5",                          0,       500000              },
        {"0.000001s",                    0,       1                   },
        {"0.0000010s",                   0,       1                   },
        {"0.25ms",                       0,       250                 },
        {"0.1min",                       0,       6000000             },
        {"18446744073709551614us",       0,       UINT64_MAX - 1      },
        {"18446744073709551615us",       -ERANGE, 0                   },
        {"18446744073709551616us",       -ERANGE, 0                   },
        {"18446744073709551614us 1us",   -ERANGE, 0                   },
        {"18446744073709551615",         -ERANGE, 0                   },
        {"40000000w",                    -ERANGE, 0                   },
        {"30500568w 7d",                 -ERANGE, 0                   },
        {"99999999999999999999 parsecs", -EINVAL, 0                   },
 /* Finer than a microsecond: nothing is rounded. */
        {"0.0000001s",                   -EINVAL, 0                   },
        {"1.0000001",                    -EINVAL, 0                   },
        {"0.5us",                        -EINVAL, 0                   },
        {"0.0001ms",                     -EINVAL, 0                   },
        {"0.3333333333h",                -EINVAL, 0                   },
        {"",                             -EINVAL, 0                   },
        {" ",                            -EINVAL, 0                   },
        {"s",                            -EINVAL, 0                   },
        {"-1s",                          -EINVAL, 0                   },
        {"+1s",                          -EINVAL, 0                   },
        {"1.",                           -EINVAL, 0                   },
        {"1.s",                          -EINVAL, 0                   },
        {".5s",                          -EINVAL, 0                   },
        {"1.5.5s",                       -EINVAL, 0                   },
        {"1,5s",                         -EINVAL, 0                   },
        {"1S",                           -EINVAL, 0                   },
        {"1M",                           -EINVAL, 0                   },
        {"1month",                       -EINVAL, 0                   },
        {"1y",                           -EINVAL, 0                   },
        {"1mi",                          -EINVAL, 0                   },
        {"1minu",                        -EINVAL, 0                   },
        {"1e3s",                         -EINVAL, 0                   },
        {"0x10s",                        -EINVAL, 0                   },
        {"infinity",                     -EINVAL, 0                   },
        {"5min,",                        -EINVAL, 0                   },
        {"5min foo",                     -EINVAL, 0                   },
        {"1s\n",                         -EINVAL, 0                   },
    };
    check_rows(rows, ARRAY_SIZE(rows), parse_duration);
}

static void sizes(void **state _unused_)
{
    static const struct row rows[] = {
        {"0",                        0,       0                             },
        {"512",                      0,       512                           },
        {"64K",                      0,       65536                         },
        {"1M",                       0,       1048576                       },
        {"2G",                       0,       UINT64_C(2147483648)          },
        {"18446744073709551615",     0,       UINT64_MAX                    },
        {"18014398509481983K",       0,       UINT64_C(18446744073709550592)},
        {"18014398509481984K",       -ERANGE, 0                             },
        {"17179869184G",             -ERANGE, 0                             },
        {"99999999999999999999999K", -ERANGE, 0                             },
        {"99999999999999999999999Q", -EINVAL, 0                             },
        {"",                         -EINVAL, 0                             },
        {"K",                        -EINVAL, 0                             },
        {"64k",                      -EINVAL, 0                             },
        {"64KB",                     -EINVAL, 0                             },
        {"64 K",                     -EINVAL, 0                             },
        {"1T",                       -EINVAL, 0                             },
        {"1.5K",                     -EINVAL, 0                             },
        {"-1",                       -EINVAL, 0                             },
    };
    check_rows(rows, ARRAY_SIZE(rows), parse_size);
}

static int parse_percent_u64(const char *text, uint64_t *ret)
{
    unsigned value = (unsigned) *ret;
    int r = parse_percent(text, &value);
    *ret = value;
    return r;
}

static void percentages(void **state _unused_)
{
    static const struct row rows[] = {
        {"0%",                       0,       0  },
        {"50%",                      0,       50 },
        {"100%",                     0,       100},
        {"101%",                     -ERANGE, 0  },
        {"4294967297%",              -ERANGE, 0  },
        {"99999999999999999999999%", -ERANGE, 0  },
        {"99999999999999999999999",  -EINVAL, 0  },
        {"",                         -EINVAL, 0  },
        {"%",                        -EINVAL, 0  },
        {"50",                       -EINVAL, 0  },
        {"50 %",                     -EINVAL, 0  },
        {"50%%",                     -EINVAL, 0  },
        {"5.5%",                     -EINVAL, 0  },
        {"-5%",                      -EINVAL, 0  },
    };
    check_rows(rows, ARRAY_SIZE(rows), parse_percent_u64);
}

static int parse_mode_u64(const char *text, uint64_t *ret)
{
    unsigned value = (unsigned) *ret;
    int r = parse_mode(text, &value);
    *ret = value;
    return r;
}

static void modes(void **state _unused_)
{
    static const struct row rows[] = {
        {"0660",                     0,       0660 },
        {"660",                      0,       0660 },
        {"0",                        0,       0    },
        {"07777",                    0,       07777},
        {"10000",                    -ERANGE, 0    },
        {"77777",                    -ERANGE, 0    },
        {"777777777777777777777777", -ERANGE, 0    },
        {"",                         -EINVAL, 0    },
        {"0o660",                    -EINVAL, 0    },
        {"0680",                     -EINVAL, 0    },
        {"u=rw",                     -EINVAL, 0    },
        {"-660",                     -EINVAL, 0    },
        {"660 ",                     -EINVAL, 0    },
    };
    check_rows(rows, ARRAY_SIZE(rows), parse_mode_u64);
}

static void booleans(void **state _unused_)
{
    static const char *const yes[] = {"yes", "true", "on", "y", "t", "1", "YES", "True", "oN", "Y", "T"};
    static const char *const no[] = {"no", "false", "off", "n", "f", "0", "NO", "False", "oFF", "N", "F"};
    static const char *const bad[] = {"", " yes", "yes ", "ye", "yess", "2", "00", "01", "enable", "-1"};
    bool value;

    for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
        value = false;
        assert_int_equal(parse_bool(yes[i], &value), 0);
        assert_true(value);
        assert_int_equal(parse_bool(no[i], &value), 0);
        assert_false(value);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        value = true;
        assert_int_equal(parse_bool(bad[i], &value), -EINVAL);
        assert_true(value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers),   cmocka_unit_test(numbers_with_a_maximum),
        cmocka_unit_test(durations), cmocka_unit_test(durations_of_every_unit),
        cmocka_unit_test(sizes),     cmocka_unit_test(percentages),
        cmocka_unit_test(modes),     cmocka_unit_test(booleans),
    };
    return cmocka_run_group_tests_name("parse", tests, NULL, NULL);
}
