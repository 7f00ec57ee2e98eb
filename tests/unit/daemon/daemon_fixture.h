/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A daemon of two profiles without its outside. What would read settings, notify the service manager and
 * serve is made up here: it notes what it is told, and does what the test wants.
 *
 *     alpha   preloaded, for user 33      beta   preloaded, for user 44
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "daemon.h"
#include "report.h"

#define SEC(n)  ((usec_t) (n) *USEC_PER_SEC)
#define BOOT_AT SEC(1000)
/* 2026-01-31T12:00:00Z */
#define WALL_AT SEC(1769860800)

struct world {
    struct daemon d;
    struct log log;
    usec_t now;
    /* The reader of settings. */
    unsigned n_readings;
    int start_error; /* settings_worker_start() fails with it */
    bool hangs;      /* settings_worker_free() gives the worker back */
    struct settings_source source;
    /* The outside. */
    char told[256]; /* what the service manager was told: "RELOADING READY[status] " */
    bool is_ready;
    char status[512];
    struct server_stats stats;
    struct server_limits limits;
    bool has_unit_rules;
    unsigned n_pumps, n_kicks, n_forgotten, n_aborted, n_states_forgotten;
    bool has_no_memory; /* reallocarray() */
    /* The log. */
    unsigned n_logged;
    char text[4096];  /* "LEVEL EVENT: message\n", all of them */
    char fields[512]; /* of the last entry, without those that are empty */
};

extern struct world w;

/* For cmocka. */
int daemon_set_up(void **state);
int daemon_tear_down(void **state);

/* A profile as it was before any reload. Change what the test is about. */
struct profile_settings *make_profile(const char *name, uint32_t uid);

/* Settings with the defaults, and these profiles (taken, sorted by name, NULL at the end). */
struct settings make_settings(struct profile_settings *first_take, ...);

/* The same settings as the daemon was started with. */
struct settings make_same(void);

/* The reading that was started ends with these settings, which are taken; or with -errno. */
void end_reading(struct settings settings_take);
void fail_reading(int error);

/* Starts a reload, and ends it with these settings. */
void reload_with(struct settings settings_take);

/* All profiles have a token of an hour. */
void all_fresh(void);
void end_with_token(const char *name);
void end_with_failure(const char *name, enum failure_class class, const char *message);

struct entry *entry_of(const char *name);

/* Asserts that the log has this. */
void assert_logged(const char *text);
