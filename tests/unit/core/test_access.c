/* SPDX-License-Identifier: MIT */
#include "fixtures.h"

#include "core/access.h"

#define ADMITS(list, who) access_list_admits(&(list), &(who))
#define LIST(...)                                                                                            \
    {                                                                                                        \
        .rules = (struct access_rule[]){__VA_ARGS__},                                                        \
        .n_rules = sizeof((struct access_rule[]){__VA_ARGS__}) / sizeof(struct access_rule)                  \
    }

static const uint32_t groups[] = {100, 200, 300};
static const struct peer root = {.uid = 0, .gid = 0};
static const struct peer www = {
    .uid = 33, .gid = 33, .pid = 7, .groups = groups, .n_groups = ARRAY_SIZE(groups)};

static void an_empty_list_admits_nobody(void **state _unused_)
{
    const struct access_list empty = {0};

    assert_false(ADMITS(empty, root));
    assert_false(ADMITS(empty, www));
}

static void any_admits_everybody(void **state _unused_)
{
    const struct access_list list = LIST({.kind = ACCESS_ANY});

    assert_true(ADMITS(list, root));
    assert_true(ADMITS(list, www));
}

static void a_user_rule_names_one_user(void **state _unused_)
{
    const struct access_list list = LIST({.kind = ACCESS_USER, .id = 33});
    const struct peer group_only = {.uid = 34, .gid = 33};

    assert_true(ADMITS(list, www));
    assert_false(ADMITS(list, root));
    assert_false(ADMITS(list, group_only));
}

static void a_group_rule_names_primary_and_supplementary_members(void **state _unused_)
{
    static const uint32_t ids[] = {33, 100, 200, 300};

    for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
        const struct access_list list = LIST({.kind = ACCESS_GROUP, .id = ids[i]});
        assert_true(ADMITS(list, www));
        assert_false(ADMITS(list, root));
    }
    const struct access_list other = LIST({.kind = ACCESS_GROUP, .id = 7});
    assert_false(ADMITS(other, www));
    /* A user id is not a group id. */
    const struct peer user_seven = {.uid = 7, .gid = 1};
    assert_false(ADMITS(other, user_seven));
}

/* Borrowed groups beyond n_groups are somebody else's memory. */
static void only_the_groups_counted_count(void **state _unused_)
{
    const struct access_list list = LIST({.kind = ACCESS_GROUP, .id = 300});
    struct peer fewer = www;

    fewer.n_groups = 2;
    assert_false(ADMITS(list, fewer));
}

static void one_rule_of_several_is_enough(void **state _unused_)
{
    const struct access_list list = LIST({.kind = ACCESS_USER, .id = 1}, {.kind = ACCESS_GROUP, .id = 2},
                                         {.kind = ACCESS_USER, .id = 33});

    assert_true(ADMITS(list, www));
    assert_false(ADMITS(list, root));
}

static void a_unit_rule_names_units(void **state _unused_)
{
    static const struct {
        const char *pattern, *unit;
        bool is_named;
    } pairs[] = {
        {"shop.service",    "shop.service",    true },
        {"shop.service",    "shop2.service",   false},
        {"shop.service",    "xshop.service",   false},
        {"shop-*.service",  "shop-a.service",  true },
        {"shop-*.service",  "shop.service",    false},
        {"shop@*.service",  "shop@1.service",  true },
        {"sh[oa]p.service", "shap.service",    true },
        {"sh[!o]p.service", "shop.service",    false},
 /* A backslash is one: unit names have them. */
        {"a\\x2db.service", "a\\x2db.service", true },
        {"a\\x2d*.service", "a\\x2db.service", true },
        {"a\\x2db.service", "ax2db.service",   false},
        {"a*.service",      "a\\x2db.service", true },
    };

    for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
        const struct access_list list = LIST({.kind = ACCESS_UNIT, .unit = pairs[i].pattern});
        const struct peer peer = {.uid = 0, .unit = pairs[i].unit};
        if (ADMITS(list, peer) != pairs[i].is_named)
            fail_msg("%s, %s", pairs[i].pattern, pairs[i].unit);
    }
    /* Who is in none, or nobody knows in which. */
    const struct access_list all = LIST({.kind = ACCESS_UNIT, .unit = "*"});
    assert_false(ADMITS(all, root));
}

static void users_are_of_classes(void **state _unused_)
{
    static const struct {
        uint32_t uid;
        const char *name;
    } samples[] = {
        {0,          "root"   },
        {1,          "system" },
        {999,        "system" },
        {1000,       "user"   },
        {61183,      "user"   },
        {61184,      "dynamic"},
        {65519,      "dynamic"},
        {65520,      "user"   },
        {65534,      "user"   },
        {4294967294, "user"   },
    };

    for (size_t i = 0; i < ARRAY_SIZE(samples); i++)
        assert_string_equal(uid_class_name(uid_class_of(samples[i].uid)), samples[i].name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_list_admits_nobody),
        cmocka_unit_test(any_admits_everybody),
        cmocka_unit_test(a_user_rule_names_one_user),
        cmocka_unit_test(a_group_rule_names_primary_and_supplementary_members),
        cmocka_unit_test(only_the_groups_counted_count),
        cmocka_unit_test(one_rule_of_several_is_enough),
        cmocka_unit_test(a_unit_rule_names_units),
        cmocka_unit_test(users_are_of_classes),
    };
    return cmocka_run_group_tests_name("access", tests, NULL, NULL);
}
