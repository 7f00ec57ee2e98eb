/* SPDX-License-Identifier: MIT */
#include "memory_scan.h"
#include "../valgrind.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PIECE_SIZE (CANARY_SIZE / 4)

/* The canary's i-th character; computed, so that no array of them lies anywhere. */
static char canary_at(unsigned n, size_t i)
{
    return (char) ('A' + (i * 7 + i * i * 3 + n * 11 + (i >> 2)) % 26);
}

void canary_write(char *to, unsigned n)
{
    for (size_t i = 0; i < CANARY_SIZE; i++)
        to[i] = canary_at(n, i);
    to[CANARY_SIZE] = '\0';
}

void canary_into_secret(struct secret *s, const char *prefix, unsigned n)
{
    char text[256];

    memcpy(text, prefix, strlen(prefix));
    canary_write(text + strlen(prefix), n);
    assert_int_equal(secret_set(s, text, strlen(text)), 0);
    explicit_bzero(text, sizeof(text));
}

bool memory_can_scan(void)
{
#if defined(__SANITIZE_ADDRESS__)
    return false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
    return false;
#endif
#endif
    return !is_under_valgrind();
}

/* Any quarter of the canary counts: half a secret left behind is one, too. */
static bool is_piece(const volatile char *at, unsigned n)
{
    for (size_t piece = 0; piece < CANARY_SIZE; piece += PIECE_SIZE) {
        size_t i = 0;
        while (i < PIECE_SIZE && at[i] == canary_at(n, piece + i))
            i++;
        if (i == PIECE_SIZE)
            return true;
    }
    return false;
}

struct mapping {
    uintptr_t start, end;
    size_t rss_kb;
    bool is_dontdump;
    bool is_writable;
};

static size_t count_in(const struct mapping *m, unsigned n)
{
    size_t count = 0;

    for (uintptr_t at = m->start; at + PIECE_SIZE <= m->end; at++) {
        if (!is_piece((const volatile char *) at, n))
            continue;
        count++;
        at += PIECE_SIZE - 1;
    }
    return count;
}

size_t memory_count(unsigned n, enum memory_kind kind)
{
    FILE *f = fopen("/proc/self/smaps", "re");
    struct mapping m = {0};
    char line[512], flags[8];
    uintptr_t start, end;
    size_t count = 0;

    assert_non_null(f);
    while (fgets(line, sizeof(line), f)) {
        if (sscanf(line, "%lx-%lx %4s", &start, &end, flags) == 3) {
            m = (struct mapping){.start = start, .end = end, .is_writable = strncmp(flags, "rw", 2) == 0};
        } else if (sscanf(line, "Rss: %zu kB", &m.rss_kb) == 1) {
            continue;
        } else if (strncmp(line, "VmFlags:", 8) == 0) {
            m.is_dontdump = strstr(line, " dd") != NULL;
            if (m.is_writable && m.rss_kb > 0 && m.is_dontdump == (kind == MEMORY_LOCKED))
                count += count_in(&m, n);
        }
    }
    (void) fclose(f);
    return count;
}
