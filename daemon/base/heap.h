/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A priority queue of moments: the smallest `at` is on top. An intrusive pairing heap: the object embeds a
 * `struct heap_node`, so nothing is allocated and no operation can fail, which matters because a deadline
 * that could not be queued for want of memory would be a caller that is never answered.
 *
 * Insertion and looking at the top are O(1), removal is O(log n) amortised. Equal moments come in no promised
 * order.
 */

#include <stdbool.h>

#include "base/usec.h"

struct heap_node {
    usec_t at;               /* the key; change it only through heap_set() */
    struct heap_node *child; /* first child */
    struct heap_node *next;  /* next sibling */
    struct heap_node *prev;  /* previous sibling, or the parent for a first child */
    bool is_queued;
};

struct heap {
    struct heap_node *root;
};

/* Puts the node at `at`: inserts it, or moves it when it is queued already. USEC_INFINITY takes it out. */
void heap_set(struct heap *h, struct heap_node *node, usec_t at);

/* Takes the node out; does nothing when it is not in. */
void heap_remove(struct heap *h, struct heap_node *node);

/* The node with the smallest `at`, still queued; NULL when empty. Borrowed. */
struct heap_node *heap_peek(const struct heap *h);

/* When the top is due: its `at`, or USEC_INFINITY when empty. */
usec_t heap_next_at(const struct heap *h);
