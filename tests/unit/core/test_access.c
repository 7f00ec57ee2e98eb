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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_list_admits_nobody),
        cmocka_unit_test(any_admits_everybody),
        cmocka_unit_test(a_user_rule_names_one_user),
        cmocka_unit_test(a_group_rule_names_primary_and_supplementary_members),
        cmocka_unit_test(only_the_groups_counted_count),
        cmocka_unit_test(one_rule_of_several_is_enough),
    };
    return cmocka_run_group_tests_name("access", tests, NULL, NULL);
}
