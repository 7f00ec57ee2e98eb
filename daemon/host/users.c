/* SPDX-License-Identifier: MIT */
#include "host/users.h"

#include <search.h>
#include <stdlib.h>

#include "base/cleanup.h"

static int user_compare(const void *a, const void *b)
{
    uint32_t x = ((const struct user *) a)->uid, y = ((const struct user *) b)->uid;
    return (x > y) - (x < y);
}

struct user *users_get(struct users *users, uint32_t uid)
{
    struct user **found = tfind(&(struct user){.uid = uid}, &users->tree, user_compare);
    if (found)
        return *found;
    _cleanup_free_ struct user *u = calloc(1, sizeof(*u));
    if (!u)
        return NULL;
    u->uid = uid;
    if (!tsearch(u, &users->tree, user_compare))
        return NULL;
    return TAKE_PTR(u);
}

void users_put(struct users *users, struct user *user)
{
    if (user->n_connections > 0)
        return;
    (void) tdelete(user, &users->tree, user_compare);
    free(user);
}
