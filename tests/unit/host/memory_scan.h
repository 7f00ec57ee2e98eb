/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Looks for secrets in this process's own memory. The secrets searched for are canaries: 64 bytes that exist
 * in memory only where somebody copied them, never in this code, which keeps them encoded.
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/secret.h"

#define CANARY_SIZE 64

enum memory_kind {
    MEMORY_LOCKED, /* left out of core dumps, as base/locked marks its pages */
    MEMORY_OTHER,
};

/* Writes canary `n` (0 or 1) as a string of CANARY_SIZE printable characters. */
void canary_write(char *to, unsigned n);

/* `prefix` and the canary, with no copy left elsewhere. */
void canary_into_secret(struct secret *s, const char *prefix, unsigned n);

/* False under a sanitizer or valgrind, whose shadow memory cannot be walked through. */
bool memory_can_scan(void);

/* How many copies of at least a quarter of canary `n` lie in memory of this kind. */
size_t memory_count(unsigned n, enum memory_kind kind);
