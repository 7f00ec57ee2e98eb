/* SPDX-License-Identifier: MIT */
#include "trace.h"

#include <inttypes.h>
#include <stdio.h>

void trace_add(struct trace *t, struct trace_entry entry)
{
    t->entries[t->n++ % TRACE_SIZE] = entry;
}

void trace_print(const struct trace *t, usec_t now)
{
    for (uint64_t i = t->n > TRACE_SIZE ? t->n - TRACE_SIZE : 0; i < t->n; i++) {
        const struct trace_entry *e = &t->entries[i % TRACE_SIZE];
        fprintf(stderr, "  %17.6f s  %-12s %-24s %" PRIu64 " %" PRIu64 "\n",
                -(double) (now - e->at) / (double) USEC_PER_SEC, e->name ? e->name : "", e->what, e->a, e->b);
    }
}
