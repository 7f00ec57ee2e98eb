/* SPDX-License-Identifier: MIT */
#include "base/heap.h"

#include <stddef.h>

/* Joins two trees; the one with the later root becomes the first child of the other. Either may be NULL. */
static struct heap_node *meld(struct heap_node *a, struct heap_node *b)
{
    if (!a)
        return b;
    if (!b)
        return a;
    if (b->at < a->at) {
        struct heap_node *t = a;
        a = b;
        b = t;
    }
    b->prev = a;
    b->next = a->child;
    if (a->child)
        a->child->prev = b;
    a->child = b;
    return a;
}

/* Joins a list of siblings in pairs from the left, then the pairs from the right: what makes removal O(log
 * n). */
static struct heap_node *meld_siblings(struct heap_node *first)
{
    struct heap_node *pairs = NULL, *root = NULL;

    while (first) {
        struct heap_node *a = first, *b = a->next;
        first = b ? b->next : NULL;
        a->next = a->prev = NULL;
        if (b)
            b->next = b->prev = NULL;
        a = meld(a, b);
        a->next = pairs;
        pairs = a;
    }
    while (pairs) {
        struct heap_node *rest = pairs->next;
        pairs->next = NULL;
        root = meld(root, pairs);
        pairs = rest;
    }
    return root;
}

void heap_remove(struct heap *h, struct heap_node *node)
{
    if (!node->is_queued)
        return;

    struct heap_node *below = meld_siblings(node->child);
    if (node == h->root) {
        h->root = below;
    } else {
        if (node->prev->child == node)
            node->prev->child = node->next;
        else
            node->prev->next = node->next;
        if (node->next)
            node->next->prev = node->prev;
        h->root = meld(h->root, below);
    }
    if (h->root)
        h->root->prev = h->root->next = NULL;
    *node = (struct heap_node){.at = node->at};
}

void heap_set(struct heap *h, struct heap_node *node, usec_t at)
{
    if (node->is_queued && node->at == at)
        return;
    heap_remove(h, node);
    node->at = at;
    if (at == USEC_INFINITY)
        return;
    node->is_queued = true;
    h->root = meld(h->root, node);
    h->root->prev = h->root->next = NULL;
}

struct heap_node *heap_peek(const struct heap *h)
{
    return h->root;
}

usec_t heap_next_at(const struct heap *h)
{
    return h->root ? h->root->at : USEC_INFINITY;
}
