/* SPDX-License-Identifier: MIT */
#pragma once

/* A state store with the manager that keeps its memory, and lives of the process it is in. */

#include "manager_fixture.h"

#include "host/state_store.h"

#define N_MAX 300

extern struct manager m;
extern struct state_store *s;

/* A profile as the daemon has it. */
struct kept_profile {
    uint64_t generation; /* 0: there is none */
    size_t slot;
};
extern struct kept_profile profiles[N_MAX];

/* A process begins with what the manager has; all that is kept comes to stand in `profiles`. It ends. */
void begin(size_t n_expected);
void end(void);
void restart(void);

int set_up(void **state);
int tear_down(void **state);

/* Its token says which generation it is, and is as long as wanted. */
int save_token(size_t i, uint64_t generation, size_t token_size);
void save(size_t i, uint64_t generation);

/* How often a text is in all the memory that the manager keeps. */
size_t count_kept(const char *text);

/* All bytes of such memory. */
char *map_kept(int fd, size_t *ret_size);

/* The manager keeps this one, too. */
void put(int fd, const char *name);

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
