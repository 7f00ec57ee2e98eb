/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "wire/route.h"

#define SEC(n)       ((n) *USEC_PER_SEC)
#define NAME_63      "a23456789012345678901234567890123456789012345678901234567890123"
#define NAME_64      NAME_63 "4"
#define TOKEN(end)   "/v1/profiles/shop/token" end
#define EXPLAIN(end) "/v1/profiles/shop/explain" end

static struct route parse(const char *target)
{
    struct route r;

    memset(&r, 0xa5, sizeof(r));
    route_parse(target, &r);
    return r;
}

static void each_path_has_its_endpoint(void **state _unused_)
{
    static const struct {
        const char *target;
        enum endpoint endpoint;
        const char *profile;
    } cases[] = {
        {"/v1/profiles",                   ENDPOINT_PROFILES, ""        },
        {"/v1/profiles/shop",              ENDPOINT_PROFILE,  "shop"    },
        {"/v1/profiles/shop/token",        ENDPOINT_TOKEN,    "shop"    },
        {"/v1/profiles/shop/headers",      ENDPOINT_HEADERS,  "shop"    },
        {"/v1/profiles/shop/refresh",      ENDPOINT_REFRESH,  "shop"    },
        {"/v1/profiles/shop/rejected",     ENDPOINT_REJECTED, "shop"    },
        {"/v1/profiles/shop/explain",      ENDPOINT_EXPLAIN,  "shop"    },
        {"/v1/reload",                     ENDPOINT_RELOAD,   ""        },
        {"/healthz",                       ENDPOINT_HEALTHZ,  ""        },
        {"/readyz",                        ENDPOINT_READYZ,   ""        },
        {"/metrics",                       ENDPOINT_METRICS,  ""        },
 /* Names that look like the words behind them. */
        {"/v1/profiles/token",             ENDPOINT_PROFILE,  "token"   },
        {"/v1/profiles/token/token",       ENDPOINT_TOKEN,    "token"   },
        {"/v1/profiles/refresh/token",     ENDPOINT_TOKEN,    "refresh" },
        {"/v1/profiles/reload",            ENDPOINT_PROFILE,  "reload"  },
        {"/v1/profiles/rejected/explain",  ENDPOINT_EXPLAIN,  "rejected"},
        {"/v1/profiles/a",                 ENDPOINT_PROFILE,  "a"       },
        {"/v1/profiles/0.a-b_c/token",     ENDPOINT_TOKEN,    "0.a-b_c" },
        {"/v1/profiles/" NAME_63,          ENDPOINT_PROFILE,  NAME_63   },
        {"/v1/profiles/" NAME_63 "/token", ENDPOINT_TOKEN,    NAME_63   },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct route r = parse(cases[i].target);
        assert_int_equal(r.endpoint, cases[i].endpoint);
        assert_false(r.is_bad);
        assert_string_equal(r.profile, cases[i].profile);
        assert_true(r.min_ttl_for == MIN_TTL_DEFAULT);
        assert_true(r.wait_for == SEC(10));
    }
}

/* Nothing is tidied up: a path that is nearly right is not there. */
static void other_paths_are_unknown(void **state _unused_)
{
    static const char *const targets[] = {
        "",
        "/",
        "*",
        "//",
        "?",
        "/?min_ttl=x",
        "/v1",
        "/v1/",
        "/v1/profile",
        "/v1/profiles/",
        "/v1/profiles//",
        "/v1/profiles//token",
        "/v1/profiles/shop/",
        "/v1/profiles/shop//token",
        "/v1/profiles/shop/token/",
        "/v1/profiles/shop/tokens",
        "/v1/profiles/shop/Token",
        "/v1/profiles/shop/reject",
        "/v1/profiles/shop/rejected/",
        "/v1/profiles/shop/reload",
        "/v1/profiles/explain/shop/",
        "/v1/reload/",
        "/v1/reload/shop",
        "/reload",
        "/v1/profiles/a/b/token",
        "/V1/profiles",
        "//v1/profiles",
        "/v1//profiles",
        "/v1/profiles/shop/token#x",
        "http://localhost/v1/profiles",
        "localhost:80",
        "/healthz/",
        "/healthz ",
        "/healthzz",
        "/health",
        "/%68ealthz",
        "/readyz/",
        "/metrics/",
        "/../healthz",
    };

    for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
        struct route r = parse(targets[i]);
        assert_int_equal(r.endpoint, ENDPOINT_UNKNOWN);
        assert_false(r.is_bad);
        assert_string_equal(r.profile, "");
    }
}

static void names_are_percent_decoded_once(void **state _unused_)
{
    static const struct {
        const char *name;
        const char *decoded;
    } cases[] = {
        {"sh%6Fp",       "shop"     },
        {"%73%68%6f%70", "shop"     },
        {"a%2fb",        "a/b"      },
        {"%2E%2e",       ".."       },
        {"%2573hop",     "%73hop"   },
        {"a+b",          "a+b"      },
        {"%20",          " "        },
        {"%c3%a6",       "\xc3\xa6" },
        {"%ff",          "\xff"     },
        {"..",           ".."       },
        {"a%7eb",        "a~b"      },
        {"a%3fmin_ttl",  "a?min_ttl"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char target[128];
        (void) snprintf(target, sizeof(target), "/v1/profiles/%s/token", cases[i].name);
        struct route r = parse(target);
        assert_int_equal(r.endpoint, ENDPOINT_TOKEN);
        assert_false(r.is_bad);
        assert_string_equal(r.profile, cases[i].decoded);
    }
}

static void unreadable_names_are_refused(void **state _unused_)
{
    static const char *const names[] = {
        "%",   "a%",  "a%4",     "%zz", "%4g", "%g4", "%-1",    "% 1",
        "%0x", "%00", "shop%00", "%0a", "%1f", "%7f", "a\x01z", "\x7f",
    };

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        char target[128];
        (void) snprintf(target, sizeof(target), "/v1/profiles/%s", names[i]);
        struct route r = parse(target);
        assert_int_equal(r.endpoint, ENDPOINT_PROFILE);
        assert_true(r.is_bad);
        assert_non_null(strstr(r.problem, "name"));
    }
}

/* A name is never cut to one that exists. */
static void a_name_too_long_is_no_profile_at_all(void **state _unused_)
{
    static const char *const targets[] = {
        "/v1/profiles/" NAME_64,
        "/v1/profiles/" NAME_64 "/token",
        "/v1/profiles/" NAME_63 "%34/headers",
        "/v1/profiles/" NAME_64 NAME_64 NAME_64,
    };

    for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
        struct route r = parse(targets[i]);
        assert_false(r.is_bad);
        assert_string_equal(r.profile, "?");
    }
    /* Encoded three times as long, but one that fits. */
    char target[256] = "/v1/profiles/";
    for (size_t i = 0; i < 63; i++)
        memcpy(target + strlen(target), "%61", 4);
    assert_int_equal(strlen(parse(target).profile), 63);
}

static void parameters_are_read(void **state _unused_)
{
    static const struct {
        const char *target;
        usec_t min_ttl_for;
        usec_t wait_for;
    } cases[] = {
        {TOKEN("?"),                                 MIN_TTL_DEFAULT,          SEC(10)},
        {TOKEN("?wait=0"),                           MIN_TTL_DEFAULT,          0      },
        {TOKEN("?wait=60"),                          MIN_TTL_DEFAULT,          SEC(60)},
        {TOKEN("?wait=%36%30"),                      MIN_TTL_DEFAULT,          SEC(60)},
        {TOKEN("?min_ttl=0"),                        0,                        SEC(10)},
        {TOKEN("?min_ttl=100000000"),                SEC(UINT64_C(100000000)), SEC(10)},
        {TOKEN("?min_ttl=90&wait=5"),                SEC(90),                  SEC(5) },
        {TOKEN("?wait=5&min_ttl=90"),                SEC(90),                  SEC(5) },
        {"/v1/profiles/a/headers?wait=1",            MIN_TTL_DEFAULT,          SEC(1) },
        {"/v1/profiles/a/rejected?wait=1&min_ttl=2", SEC(2),                   SEC(1) },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct route r = parse(cases[i].target);
        assert_false(r.is_bad);
        assert_true(r.min_ttl_for == cases[i].min_ttl_for);
        assert_true(r.wait_for == cases[i].wait_for);
    }
}

static void bad_parameters_are_refused_with_words(void **state _unused_)
{
    static const struct {
        const char *target;
        const char *problem;
    } cases[] = {
        {TOKEN("?wait=61"),                                        "wait must be a whole number of seconds from 0 to 60"},
        {TOKEN("?wait=-1"),                                        "wait must be"                                       },
        {TOKEN("?wait=+5"),                                        "wait must be"                                       },
        {TOKEN("?wait=5s"),                                        "wait must be"                                       },
        {TOKEN("?wait=1.5"),                                       "wait must be"                                       },
        {TOKEN("?wait=05"),                                        "wait must be"                                       },
        {TOKEN("?wait=%205"),                                      "wait must be"                                       },
        {TOKEN("?wait="),                                          "wait must be"                                       },
        {TOKEN("?wait=18446744073709551616"),                      "wait must be"                                       },
        {TOKEN("?wait=00000000000000000000000000000000000000005"), "wait must be"                                       },
        {TOKEN("?min_ttl="),                                       "min_ttl must be a whole number of seconds"          },
        {TOKEN("?min_ttl=100000001"),                              "min_ttl must be"                                    },
        {TOKEN("?min_ttl=18446744073709551615"),                   "min_ttl must be"                                    },
        {TOKEN("?min_ttl=0x10"),                                   "min_ttl must be"                                    },
        {TOKEN("?min_ttl"),                                        "min_ttl has no readable value"                      },
        {TOKEN("?wait=%zz"),                                       "wait has no readable value"                         },
        {TOKEN("?wait=%00"),                                       "wait has no readable value"                         },
        {TOKEN("?wait=5&wait=5"),                                  "wait is given twice"                                },
        {TOKEN("?wait=5&min_ttl=1&wait=5"),                        "wait is given twice"                                },
        {TOKEN("?wait=5;min_ttl=1"),                               "wait must be"                                       },
        {TOKEN("?Wait=5"),                                         "unknown query parameter"                            },
        {TOKEN("?minttl=5"),                                       "unknown query parameter"                            },
        {TOKEN("?min_ttl_=5"),                                     "unknown query parameter"                            },
        {TOKEN("?min_tt=5"),                                       "unknown query parameter"                            },
        {TOKEN("?%77ait=5"),                                       "unknown query parameter"                            },
        {TOKEN("?=5"),                                             "unknown query parameter"                            },
        {TOKEN("?&"),                                              "unknown query parameter"                            },
        {TOKEN("?&&"),                                             "unknown query parameter"                            },
        {TOKEN("?wait=5&"),                                        "ends with an empty parameter"                       },
        {TOKEN("?wait=5&&min_ttl=5"),                              "unknown query parameter"                            },
        {TOKEN("?wait=5?min_ttl=5"),                               "wait must be"                                       },
        {"/v1/profiles/shop?wait=5",                               "takes no query parameters"                          },
        {"/v1/profiles/shop/refresh?wait=5",                       "takes no query parameters"                          },
        {"/v1/profiles?x",                                         "takes no query parameters"                          },
        {"/healthz?wait=5",                                        "takes no query parameters"                          },
        {"/readyz?&",                                              "takes no query parameters"                          },
        {"/metrics?a=b",                                           "takes no query parameters"                          },
        {"/v1/reload?wait=5",                                      "takes no query parameters"                          },
        {TOKEN("?uid=5"),                                          "known are min_ttl and wait"                         },
        {EXPLAIN("?wait=5"),                                       "known are uid, gid, groups and pid"                 },
        {EXPLAIN("?user=www-data"),                                "known are uid, gid, groups and pid"                 },
        {EXPLAIN("?uid=www-data"),                                 "uid must be a number, as the kernel knows it"       },
        {EXPLAIN("?uid=-1"),                                       "uid must be a number"                               },
        {EXPLAIN("?uid="),                                         "uid must be a number"                               },
        {EXPLAIN("?uid=4294967295"),                               "uid must be a number"                               },
        {EXPLAIN("?uid=1&uid=1"),                                  "uid is given twice"                                 },
        {EXPLAIN("?gid=4294967296"),                               "gid must be a number"                               },
        {EXPLAIN("?gid"),                                          "gid has no readable value"                          },
        {EXPLAIN("?pid=0"),                                        "pid must be the number of a process"                },
        {EXPLAIN("?pid=-5"),                                       "pid must be the number of a process"                },
        {EXPLAIN("?pid=2147483648"),                               "pid must be the number of a process"                },
        {EXPLAIN("?groups=1,,2"),                                  "groups must be a number"                            },
        {EXPLAIN("?groups=,1"),                                    "groups must be a number"                            },
        {EXPLAIN("?groups=1,"),                                    "groups ends with a comma"                           },
        {EXPLAIN("?groups=1,x"),                                   "groups must be a number"                            },
        {EXPLAIN("?groups=1 2"),                                   "groups must be a number"                            },
        {EXPLAIN("?groups=00000000000000000000000000000001"),      "groups must be a number"                            },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct route r = parse(cases[i].target);
        if (!r.is_bad || !strstr(r.problem, cases[i].problem))
            fail_msg("%s: %s", cases[i].target, r.is_bad ? r.problem : "taken");
        assert_int_not_equal(r.endpoint, ENDPOINT_UNKNOWN);
    }
}

/* With If-None-Match it makes the difference between a question and a long poll. */
static void whether_wait_was_given_is_known(void **state _unused_)
{
    assert_true(parse(TOKEN("?wait=10")).has_wait);
    assert_true(parse(TOKEN("?min_ttl=5&wait=0")).has_wait);
    assert_false(parse(TOKEN("?min_ttl=5")).has_wait);
    assert_false(parse(TOKEN("")).has_wait);
}

static void a_subject_is_read(void **state _unused_)
{
    struct route r = parse(EXPLAIN("?uid=33&gid=34&groups=1,2,4294967294&pid=2147483647"));

    assert_false(r.is_bad);
    assert_true(r.subject.has_uid && r.subject.has_gid && r.subject.has_pid);
    assert_int_equal(r.subject.uid, 33);
    assert_int_equal(r.subject.gid, 34);
    assert_int_equal(r.subject.pid, INT32_MAX);
    assert_int_equal(r.subject.n_groups, 3);
    assert_int_equal(r.subject.groups[0], 1);
    assert_true(r.subject.groups[2] == UINT32_MAX - 1);
    r = parse(EXPLAIN("?groups=%31%2c2"));
    assert_false(r.is_bad || r.subject.has_uid || r.subject.has_gid || r.subject.has_pid);
    assert_int_equal(r.subject.n_groups, 2);
    r = parse(EXPLAIN("?uid=0&groups="));
    assert_false(r.is_bad || !r.subject.has_uid || r.subject.n_groups > 0);
    r = parse(EXPLAIN(""));
    assert_false(r.is_bad || r.subject.has_uid || r.subject.has_gid || r.subject.has_pid);
}

/* Of the longest numbers that there are. */
static void groups_have_a_limit(void **state _unused_)
{
    char target[2048] = EXPLAIN("?groups=");

    for (size_t i = 0; i < ROUTE_GROUPS_MAX; i++)
        (void) snprintf(target + strlen(target), sizeof(target) - strlen(target), "%s4294967294",
                        i ? "," : "");
    struct route r = parse(target);
    assert_false(r.is_bad);
    assert_int_equal(r.subject.n_groups, ROUTE_GROUPS_MAX);
    (void) snprintf(target + strlen(target), sizeof(target) - strlen(target), ",1");
    r = parse(target);
    assert_true(r.is_bad);
    assert_non_null(strstr(r.problem, "groups"));
    (void) snprintf(target, sizeof(target), "%s", EXPLAIN("?groups=1"));
    for (size_t i = 1; i <= ROUTE_GROUPS_MAX; i++)
        (void) snprintf(target + strlen(target), sizeof(target) - strlen(target), ",1");
    assert_string_equal(parse(target).problem, "groups may have 64 numbers");
}

static void the_first_problem_is_the_one_told(void **state _unused_)
{
    struct route r = parse("/v1/profiles/%zz/token?wait=61&what");

    assert_true(r.is_bad);
    assert_non_null(strstr(r.problem, "name in the path"));
    r = parse(TOKEN("?wait=61&what"));
    assert_non_null(strstr(r.problem, "wait must be"));
}

static void a_lone_question_mark_asks_nothing(void **state _unused_)
{
    static const char *const targets[] = {"/healthz?", "/v1/profiles?", "/v1/profiles/shop?", "/metrics?"};

    for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
        struct route r = parse(targets[i]);
        assert_int_not_equal(r.endpoint, ENDPOINT_UNKNOWN);
        assert_false(r.is_bad);
    }
}

static void what_changes_something_is_posted(void **state _unused_)
{
    for (enum endpoint e = ENDPOINT_UNKNOWN; e < N_ENDPOINTS; e++) {
        bool is_post = e == ENDPOINT_REFRESH || e == ENDPOINT_REJECTED || e == ENDPOINT_RELOAD;
        assert_int_equal(endpoint_method(e), is_post ? METHOD_POST : METHOD_GET);
        assert_string_equal(endpoint_allow(e), is_post ? "POST" : "GET, HEAD");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_path_has_its_endpoint),
        cmocka_unit_test(other_paths_are_unknown),
        cmocka_unit_test(names_are_percent_decoded_once),
        cmocka_unit_test(unreadable_names_are_refused),
        cmocka_unit_test(a_name_too_long_is_no_profile_at_all),
        cmocka_unit_test(parameters_are_read),
        cmocka_unit_test(bad_parameters_are_refused_with_words),
        cmocka_unit_test(the_first_problem_is_the_one_told),
        cmocka_unit_test(a_lone_question_mark_asks_nothing),
        cmocka_unit_test(whether_wait_was_given_is_known),
        cmocka_unit_test(a_subject_is_read),
        cmocka_unit_test(groups_have_a_limit),
        cmocka_unit_test(what_changes_something_is_posted),
    };
    return cmocka_run_group_tests_name("route", tests, NULL, NULL);
}
