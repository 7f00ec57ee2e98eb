/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * An intrusive doubly linked ring. The object embeds a `struct list`; a head is a `struct list` of its own
 * that points at itself when the list is empty. No memory is ever allocated, so nothing here can fail.
 */

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next;
    struct list *prev;
};

#define LIST_INIT(name)                                                                                      \
    {                                                                                                        \
        &(name), &(name)                                                                                     \
    }

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}

/* True for an empty head, and for an element that is in no list (initialised or removed). */
static inline bool list_is_empty(const struct list *l)
{
    return l->next == l;
}

static inline void list_append(struct list *head, struct list *item)
{
    item->prev = head->prev;
    item->next = head;
    head->prev->next = item;
    head->prev = item;
}

/* Removes an element; removing one that is in no list does nothing. */
static inline void list_remove(struct list *item)
{
    item->prev->next = item->next;
    item->next->prev = item->prev;
    list_init(item);
}

/* Removes and returns the first element, or NULL when empty. */
static inline struct list *list_pop(struct list *head)
{
    if (list_is_empty(head))
        return NULL;
    struct list *first = head->next;
    list_remove(first);
    return first;
}

#define list_foreach(i, head) for (struct list *i = (head)->next; i != (head); i = i->next)

/* The same where the body may remove (or free) the element it is given. */
#define list_foreach_safe(i, head)                                                                           \
    for (struct list *i = (head)->next, *i##_next = i->next; i != (head); i = i##_next, i##_next = i->next)
