/* SPDX-License-Identifier: MIT */
#pragma once

/* The last things that happened, kept cheaply and printed only when a promise is broken. */

#include <stddef.h>

#include "base/usec.h"

#define TRACE_SIZE 60

struct trace_entry {
    usec_t at;
    const char *what;
    const char *name; /* of the profile; borrowed */
    uint64_t a, b;    /* whatever helps */
};

struct trace {
    struct trace_entry entries[TRACE_SIZE];
    uint64_t n; /* ever added */
};

void trace_add(struct trace *t, struct trace_entry entry);

/* Oldest first, moments relative to `now`, to stderr. */
void trace_print(const struct trace *t, usec_t now);
