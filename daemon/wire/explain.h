/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The body of /explain: who may use a profile and why or why not, when it asks next, how the last attempts
 * ended. For admins.
 */

#include "core/access.h"
#include "wire/reply.h"

/* About whom, where somebody was asked about. All borrowed. */
struct explained_caller {
    const struct peer *peer;        /* pid 0: no process was named; uid or gid UINT32_MAX: likewise */
    const char *unit_problem;       /* why peer->unit is not known, or NULL */
    const struct access_rule *rule; /* that admits it, or NULL */
    bool is_admin;
};

/* `caller` NULL: nobody. */
void explain_write(struct buffer *out, const struct profile *p, const struct access_list *admin,
                   const struct explained_caller *caller, const struct reply_time *t);
