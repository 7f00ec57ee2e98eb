/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * An explanation as a human likes to read it: first whether the caller may and why, then the rules, how the
 * token stands, and what the last attempts said. Pure.
 */

#include "client/bearer.h"
#include "client/text.h"

/* Whom it was asked about. */
struct explained {
    const char *user; /* the name, or NULL where the uid has none */
    const struct bearer_caller *caller;
};

/* `about` is NULL when it was asked about nobody. */
void explain_append(struct buffer *out, const struct bearer_explanation *e, const struct explained *about,
                    int64_t now, const struct style *style);
