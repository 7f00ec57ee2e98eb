/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/list.h"

struct item {
    int number;
    struct list link;
};

static void assert_order(struct list *head, const int *numbers, size_t n)
{
    size_t k = 0;
    list_foreach(i, head)
    {
        assert_true(k < n);
        assert_int_equal(container_of(i, struct item, link)->number, numbers[k++]);
        assert_ptr_equal(i->next->prev, i);
    }
    assert_int_equal(k, n);
}

static void starts_empty(void **state _unused_)
{
    struct list head = LIST_INIT(head), other;

    list_init(&other);
    assert_true(list_is_empty(&head));
    assert_true(list_is_empty(&other));
    assert_null(list_pop(&head));
}

static void keeps_the_order_of_arrival(void **state _unused_)
{
    struct list head = LIST_INIT(head);
    struct item items[4];

    for (int i = 0; i < 4; i++) {
        items[i].number = i;
        list_append(&head, &items[i].link);
        assert_false(list_is_empty(&items[i].link));
    }
    assert_order(&head, (int[]){0, 1, 2, 3}, 4);
    for (int i = 0; i < 4; i++)
        assert_ptr_equal(list_pop(&head), &items[i].link);
    assert_true(list_is_empty(&head));
}

static void removes_from_anywhere_and_twice(void **state _unused_)
{
    struct list head = LIST_INIT(head);
    struct item items[5];

    for (int i = 0; i < 5; i++) {
        items[i].number = i;
        list_append(&head, &items[i].link);
    }
    list_remove(&items[2].link);
    assert_true(list_is_empty(&items[2].link));
    list_remove(&items[2].link);
    assert_order(&head, (int[]){0, 1, 3, 4}, 4);
    list_remove(&items[0].link);
    list_remove(&items[4].link);
    assert_order(&head, (int[]){1, 3}, 2);
    list_append(&head, &items[2].link);
    assert_order(&head, (int[]){1, 3, 2}, 3);
}

static void the_body_may_remove_its_element(void **state _unused_)
{
    struct list head = LIST_INIT(head);
    struct item items[6];

    for (int i = 0; i < 6; i++) {
        items[i].number = i;
        list_append(&head, &items[i].link);
    }
    list_foreach_safe(i, &head)
    {
        if (container_of(i, struct item, link)->number % 2 == 0)
            list_remove(i);
    }
    assert_order(&head, (int[]){1, 3, 5}, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_empty),
        cmocka_unit_test(keeps_the_order_of_arrival),
        cmocka_unit_test(removes_from_anywhere_and_twice),
        cmocka_unit_test(the_body_may_remove_its_element),
    };
    return cmocka_run_group_tests_name("list", tests, NULL, NULL);
}
