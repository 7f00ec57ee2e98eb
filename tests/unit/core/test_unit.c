/* SPDX-License-Identifier: MIT */
#include "fixtures.h"

#include "core/unit.h"

#define LONG_248                                                                                             \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
    "aa"                                                                                                     \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
    "aa"                                                                                                     \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

struct sample {
    const char *text;
    enum unit_answer answer;
    const char *unit;
};

static void check(enum unit_answer (*find)(const char *text, char *ret), const struct sample *s)
{
    char unit[UNIT_NAME_SIZE] = "untouched";
    enum unit_answer answer = find(s->text, unit);

    if (answer != s->answer || strcmp(unit, s->unit ? s->unit : "untouched") != 0)
        fail_msg("%s: %s, unit \"%s\"", s->text, answer == UNIT_KNOWN ? "known" : unit_answer_text(answer),
                 unit);
}

static void the_path_names_a_system_unit(void **state _unused_)
{
    static const struct sample samples[] = {
        {"/system.slice/shop.service",                                           UNIT_KNOWN, "shop.service"        },
        {"/system.slice/shop.service/workers/1",                                 UNIT_KNOWN, "shop.service"        },
        {"/system.slice/shop.service/x.service",                                 UNIT_KNOWN, "shop.service"        },
        {"/shop.service",                                                        UNIT_KNOWN, "shop.service"        },
        {"/custom.slice/custom-a.slice/shop.service",                            UNIT_KNOWN, "shop.service"        },
        {"/system.slice/system-shop.slice/shop@1.service",                       UNIT_KNOWN, "shop@1.service"      },
        {"/system.slice/system-shop.slice/shop@a\\x2db.service",                 UNIT_KNOWN, "shop@a\\x2db.service"},
        {"/user.slice/user-1000.slice/session-3.scope",                          UNIT_KNOWN, "session-3.scope"     },
        {"/init.scope",                                                          UNIT_KNOWN, "init.scope"          },
 /* What a user's own manager runs belongs to that manager. */
        {"/user.slice/user-1000.slice/user@1000.service/app.slice/shop.service", UNIT_KNOWN,
         "user@1000.service"                                                                                       },
        {"/user.slice/user-1000.slice/user@1000.service/shop.service",           UNIT_KNOWN, "user@1000.service"   },
 /* A name that looks like one of cgroupfs' own files. */
        {"/system.slice/_cgroup.service",                                        UNIT_KNOWN, "cgroup.service"      },
        {"/_system.slice/__x.service",                                           UNIT_KNOWN, "_x.service"          },
    };

    for (size_t i = 0; i < ARRAY_SIZE(samples); i++)
        check(unit_of_cgroup_path, &samples[i]);
}

static void whatever_else_names_none(void **state _unused_)
{
    static const struct sample samples[] = {
        {"/",                                      UNIT_NONE,    NULL          },
        {"",                                       UNIT_NONE,    NULL          },
        {"shop.service",                           UNIT_NONE,    NULL          },
        {"//shop.service",                         UNIT_NONE,    NULL          },
        {"/system.slice",                          UNIT_NONE,    NULL          },
        {"/system.slice/",                         UNIT_NONE,    NULL          },
        {"/docker/4d5c/system.slice/a.service",    UNIT_NONE,    NULL          },
        {"/lxc.payload.c1/system.slice/a.service", UNIT_NONE,    NULL          },
        {"/system.slice/dev-sda.mount",            UNIT_NONE,    NULL          },
        {"/system.slice/.service",                 UNIT_NONE,    NULL          },
        {"/system.slice/_.service",                UNIT_NONE,    NULL          },
        {"/system.slice/shop@.service",            UNIT_NONE,    NULL          },
        {"/system.slice/@1.service",               UNIT_NONE,    NULL          },
        {"/system.slice/shop.service (deleted)",   UNIT_NONE,    NULL          },
        {"/system.slice/shop.service/1 (deleted)", UNIT_NONE,    NULL          },
        {"/system.slice/sh op.service",            UNIT_NONE,    NULL          },
        {"/system.slice/sh\xc3\xb8p.service",      UNIT_NONE,    NULL          },
        {"/.slice/shop.service",                   UNIT_NONE,    NULL          },
        {"/a b.slice/shop.service",                UNIT_NONE,    NULL          },
        {"/shop.service/..",                       UNIT_KNOWN,   "shop.service"},
        {"/..",                                    UNIT_OUTSIDE, NULL          },
        {"/../../system.slice/shop.service",       UNIT_OUTSIDE, NULL          },
        {"/../shop.service",                       UNIT_OUTSIDE, NULL          },
        {"/system.slice/../shop.service",          UNIT_OUTSIDE, NULL          },
    };

    for (size_t i = 0; i < ARRAY_SIZE(samples); i++)
        check(unit_of_cgroup_path, &samples[i]);
}

static void a_name_is_as_long_as_it_may_be(void **state _unused_)
{
    const struct sample fits = {"/" LONG_248 ".scope", UNIT_KNOWN, LONG_248 ".scope"},
                        longest = {"/x" LONG_248 ".scope", UNIT_KNOWN, "x" LONG_248 ".scope"},
                        too_long = {"/x" LONG_248 ".service", UNIT_NONE, NULL};

    assert_int_equal(strlen(longest.unit), UNIT_NAME_SIZE - 1);
    check(unit_of_cgroup_path, &fits);
    check(unit_of_cgroup_path, &longest);
    check(unit_of_cgroup_path, &too_long);
}

static void the_file_names_it_in_the_line_of_systemd(void **state _unused_)
{
    static const struct sample samples[] = {
        {"0::/system.slice/shop.service\n",                                        UNIT_KNOWN,        "shop.service" },
        {"0::/system.slice/shop.service",                                          UNIT_KNOWN,        "shop.service" },
        {"0::/\n",                                                                 UNIT_NONE,         NULL           },
        {"",                                                                       UNIT_NONE,         NULL           },
        {"0::/../shop.service\n",                                                  UNIT_OUTSIDE,      NULL           },
 /* The old layout; other hierarchies are others' affair. */
        {"4:memory:/other.service\n1:name=systemd:/system.slice/shop.service\n",   UNIT_KNOWN,        "shop.service" },
        {"4:memory:/other.service\n2:cpu,cpuacct:/other.service\n",                UNIT_NONE,         NULL           },
        {"1:name=systemd:/system.slice/shop.service\n0::/\n",                      UNIT_KNOWN,        "shop.service" },
        {"1:name=systemdx:/a.service\n",                                           UNIT_NONE,         NULL           },
        {"1:name=elogind:/a.service\n",                                            UNIT_NONE,         NULL           },
 /* Hybrid: both alike, or in doubt. */
        {"1:name=systemd:/system.slice/a.service\n0::/system.slice/a.service\n",   UNIT_KNOWN,        "a.service"    },
        {"1:name=systemd:/system.slice/a.service\n0::/system.slice/a.service/1\n", UNIT_KNOWN,        "a.service"    },
        {"1:name=systemd:/\n0::/system.slice/a.service\n",                         UNIT_KNOWN,        "a.service"    },
        {"1:name=systemd:/b.service\n0::/a.service\n",                             UNIT_CONTRADICTED, NULL           },
        {"1:name=systemd:/elsewhere\n0::/a.service\n",                             UNIT_CONTRADICTED, NULL           },
        {"1:name=systemd:/a.service\n0::/elsewhere\n",                             UNIT_NONE,         NULL           },
 /* A colon in a name ends nothing. */
        {"0::/system.slice/a:1::.service\n",                                       UNIT_KNOWN,        "a:1::.service"},
        {"3:memory:/x\n\n0::/a.service\n",                                         UNIT_KNOWN,        "a.service"    },
        {"0:/a.service\n",                                                         UNIT_NONE,         NULL           },
    };

    for (size_t i = 0; i < ARRAY_SIZE(samples); i++)
        check(unit_of_cgroup_text, &samples[i]);
}

static void each_reason_has_words(void **state _unused_)
{
    assert_null(unit_answer_text(UNIT_KNOWN));
    for (int i = UNIT_NONE; i <= UNIT_BUSY; i++)
        assert_non_null(unit_answer_text((enum unit_answer) i));
}

static void a_rule_names_services_and_scopes(void **state _unused_)
{
    static const char *const good[] = {
        "shop.service",  "shop-*.service", "shop@*.service",  "shop@1.service",  "sh?p.service",  "*.scope",
        "[a-c].service", "[!a].scope",     "a\\x2db.service", "session-*.scope", "a:b_c.service",
    };
    static const struct {
        const char *pattern, *words;
    } bad[] = {
        {"",                       "without a name"     },
        {"shop",                   "does not end"       },
        {"*",                      "does not end"       },
        {"shop.socket",            "does not end"       },
        {"shop.service*",          "does not end"       },
        {".service",               "does not end"       },
        {"system.slice/a.service", "slash"              },
        {"/a.service",             "slash"              },
        {"sh\xc3\xb8p.service",    "systemd-escape"     },
        {"a,b.service",            "systemd-escape"     },
        {"shop@.service",          "unit:NAME@*.service"},
        {"x" LONG_248 ".service",  "longer than"        },
    };

    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        if (unit_pattern_problem(good[i]))
            fail_msg("%s: %s", good[i], unit_pattern_problem(good[i]));
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        const char *problem = unit_pattern_problem(bad[i].pattern);
        if (!problem || !strstr(problem, bad[i].words))
            fail_msg("%s: %s", bad[i].pattern, problem ? problem : "no problem");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_path_names_a_system_unit),
        cmocka_unit_test(whatever_else_names_none),
        cmocka_unit_test(a_name_is_as_long_as_it_may_be),
        cmocka_unit_test(the_file_names_it_in_the_line_of_systemd),
        cmocka_unit_test(each_reason_has_words),
        cmocka_unit_test(a_rule_names_services_and_scopes),
    };
    return cmocka_run_group_tests_name("unit", tests, NULL, NULL);
}
