/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/heap.h"

#define N_NODES 200

/* xorshift64: any fixed sequence does. */
static uint64_t draw(uint64_t *seed, uint64_t below)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed % below;
}

static size_t count_tree(const struct heap_node *node, const struct heap_node *above)
{
    size_t n = 0;

    for (const struct heap_node *prev = above; node; prev = node, node = node->next) {
        assert_true(node->is_queued);
        assert_ptr_equal(node->prev, prev);
        assert_true(!above || node->at >= above->at);
        n += 1 + count_tree(node->child, node);
    }
    return n;
}

/* The heap against the truth: which nodes are in it, at which moment. */
static void assert_matches(const struct heap *h, const struct heap_node *nodes, const usec_t *model)
{
    usec_t smallest = USEC_INFINITY;
    size_t n = 0;

    for (size_t i = 0; i < N_NODES; i++) {
        assert_true(nodes[i].is_queued == (model[i] != USEC_INFINITY));
        assert_true(!nodes[i].is_queued || nodes[i].at == model[i]);
        n += nodes[i].is_queued;
        smallest = usec_min(smallest, model[i]);
    }
    assert_true(heap_next_at(h) == smallest);
    assert_true((heap_peek(h) == NULL) == (n == 0));
    assert_true(!heap_peek(h) || heap_peek(h)->at == smallest);
    assert_int_equal(count_tree(h->root, NULL), n);
}

/* `spread` small: many equal keys. */
static void run_random_operations(uint64_t seed, uint64_t spread)
{
    struct heap h = {0};
    struct heap_node nodes[N_NODES] = {0};
    usec_t model[N_NODES];

    for (size_t i = 0; i < N_NODES; i++)
        model[i] = USEC_INFINITY;
    for (unsigned step = 0; step < 5000; step++) {
        size_t i = draw(&seed, N_NODES);
        switch (draw(&seed, 8)) {
        case 0: /* from the middle */
            heap_remove(&h, &nodes[i]);
            model[i] = USEC_INFINITY;
            break;
        case 1: /* from the top */
            if (!heap_peek(&h))
                break;
            i = (size_t) (heap_peek(&h) - nodes);
            heap_remove(&h, &nodes[i]);
            model[i] = USEC_INFINITY;
            break;
        case 2: /* by moving it to never */
            heap_set(&h, &nodes[i], USEC_INFINITY);
            model[i] = USEC_INFINITY;
            break;
        default:
            model[i] = draw(&seed, spread);
            heap_set(&h, &nodes[i], model[i]);
            break;
        }
        assert_matches(&h, nodes, model);
    }
}

static void random_operations_match_a_model(void **state _unused_)
{
    run_random_operations(1, 1000000);
    run_random_operations(2, 50);
    run_random_operations(3, 2);
    run_random_operations(4, 1);
}

static void pops_in_order(void **state _unused_)
{
    struct heap h = {0};
    struct heap_node nodes[N_NODES] = {0};
    uint64_t seed = 7;
    usec_t last = 0;
    size_t n = 0;

    for (size_t i = 0; i < N_NODES; i++)
        heap_set(&h, &nodes[i], draw(&seed, 60));
    for (struct heap_node *top; (top = heap_peek(&h)); n++) {
        assert_true(top->at >= last);
        last = top->at;
        heap_remove(&h, top);
        assert_false(top->is_queued);
    }
    assert_int_equal(n, N_NODES);
    assert_true(heap_next_at(&h) == USEC_INFINITY);
}

static void moves_a_queued_node(void **state _unused_)
{
    struct heap h = {0};
    struct heap_node a = {0}, b = {0};

    heap_set(&h, &a, 10);
    heap_set(&h, &b, 20);
    heap_set(&h, &b, 5);
    assert_ptr_equal(heap_peek(&h), &b);
    heap_set(&h, &b, 5);
    assert_ptr_equal(heap_peek(&h), &b);
    heap_set(&h, &b, 30);
    assert_ptr_equal(heap_peek(&h), &a);
    heap_set(&h, &a, USEC_INFINITY);
    assert_ptr_equal(heap_peek(&h), &b);
    heap_set(&h, &a, 0);
    assert_true(heap_next_at(&h) == 0);
}

static void removing_what_is_not_in_does_nothing(void **state _unused_)
{
    struct heap h = {0};
    struct heap_node a = {0}, b = {0};

    heap_remove(&h, &a);
    heap_set(&h, &a, 1);
    heap_remove(&h, &b);
    heap_set(&h, &b, USEC_INFINITY);
    assert_false(b.is_queued);
    assert_ptr_equal(heap_peek(&h), &a);
    heap_remove(&h, &a);
    heap_remove(&h, &a);
    assert_null(heap_peek(&h));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_operations_match_a_model),
        cmocka_unit_test(pops_in_order),
        cmocka_unit_test(moves_a_queued_node),
        cmocka_unit_test(removing_what_is_not_in_does_nothing),
    };
    return cmocka_run_group_tests_name("heap", tests, NULL, NULL);
}
