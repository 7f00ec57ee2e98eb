/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What the tests of core/audit share: an application as the API sees it, asking in the way that the header of
 * core/audit shows, and an allocator that fails when it is told to (the linker puts it before the real one).
 */

#include <stdbool.h>
#include <stddef.h>

#include "core/audit.h"

#define T0     (3 * USEC_PER_DAY)
#define SEC(n) ((usec_t) (n) *USEC_PER_SEC)

extern bool is_memory_out;
extern size_t n_blocks; /* taken from the allocator */

extern struct audit *audit;
extern usec_t now;         /* T0 at the begin of each test */
extern size_t n_looked_up; /* unit and executable of a process */

/* What stands for the profiles "shop" and "stock". */
extern const int shop, stock;

struct app {
    uint32_t uid;
    uint64_t process_id; /* the pid, too */
    const char *unit;
    const char *exe;
    const char *profile;
    const void *profile_key;
};

struct app shop_app(uint64_t process_id);

/* One event each; true: it is to be logged by itself. */
bool hand_out_as(const struct app *app, bool has_waited, uint64_t generation);
bool hand_out(const struct app *app);
bool deny(const struct app *app, const char *asked);

/* One handout each to `n` callers; every other one has waited. Returns how many are logged by themselves. */
uint64_t hand_out_to_many(unsigned n);

const struct audit_summary *pop(void);

int fixture_set_up(void **state);
int fixture_tear_down(void **state);
