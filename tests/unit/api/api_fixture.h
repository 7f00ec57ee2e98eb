/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The API over a registry of four profiles, asked by whoever the test wants:
 *
 *     alpha    for user 33                       at https://one.example
 *     broken   for user 33, settings unusable
 *     group    for group 500                     at https://one.example
 *     other    for user 44                       at https://two.example
 *
 * User 0 is the admin, and is in no Allow=. What else there is outside is in struct fixture: the unit and
 * program of every process, a reload that reads until the test ends it, and the log.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "api.h"
#include "daemon.h"
#include "report.h"

#define SEC(n) ((usec_t) (n) *USEC_PER_SEC)
/* Where stories begin; on the wall clock it is 2026-01-31T12:00:00Z. */
#define BOOT_AT SEC(1000)
#define WALL_AT SEC(1769860800)

enum {
    ADMIN = 0,
    SHOP = 33,
    STRANGER = 44,
};

/* An answer as api.c makes it. */
struct response {
    unsigned status;
    size_t n_references;
    char *body;
    bool is_secret;
    char content_type[64]; /* "": none */
    char allow[32];        /* headers; "" when absent */
    char retry_after[32];
    char etag[32];
};

struct fixture {
    struct daemon_settings settings;
    struct profile_settings *profiles[3]; /* alpha, group, other; borrowed from the registry */
    struct registry registry;
    struct audit *audit;
    struct reload reload;
    struct server_stats stats;
    struct api api;
    usec_t now;
    bool is_sick;
    bool has_no_memory; /* response_new() fails */
    unsigned n_kicks;
    unsigned n_audit_kicks;
    unsigned n_made;         /* answers, not counting references */
    unsigned n_groups_loads; /* request_load_groups() */
    unsigned n_unit_loads;   /* request_load_unit() */
    const char *unit;        /* of every process, or NULL and: */
    const char *unit_problem;
    const char *program;    /* of every process, or NULL */
    bool has_no_process_id; /* request_process_id() */
    /* A reload: from reload_start() until the test calls end_reload(). */
    bool is_reading;
    bool is_stopping;   /* reload_start() reads nothing any more */
    unsigned n_reloads; /* reload_start() */
    unsigned outcome_status;
    const char *outcome; /* reload_write_outcome() */
    /* The log. */
    unsigned n_logged;
    unsigned n_events[N_LOG_EVENTS];
    /* Of the last entry: */
    enum log_level level;
    char said[512];
    char fields[512]; /* "PROFILE=alpha PEER_UID=44 ...", without those that are empty */
};

extern struct fixture f;

/* For cmocka. */
int api_set_up(void **state);
int api_tear_down(void **state);

struct entry *entry_of(const char *name);

/* What a test changes before the first request. */
void set_rule(struct access_list *list, enum access_rule_kind kind, uint32_t id, const char *text);
void set_audit(enum audit_mode mode);

/* The fetch of a profile that was started ends: with a token sent for at `now` that lives for that long, or
 * not. */
void end_with_token(const char *name, const char *value, usec_t lifetime_for);
void end_with_failure(const char *name, enum failure_class class, const char *message);

/* Starts all profiles and gives each usable one a token of an hour. */
void all_fresh(void);

/* Hands the fetches out, as the daemon does after a kick; how many there were. */
unsigned pop_fetches(void);

/* The fingerprint of a token with this value. Borrowed until the next call. */
const char *fingerprint_of(const char *value);

/* A reload puts settings in force that lack this profile (NULL: none), and all of whose rules are those of
 * f.profiles now. */
void reload_without(const char *name);

/* The reading of a reload ends. */
void end_reload(void);

/* Logs the summaries that are due. */
void tell_summaries(void);

/* A request of a user, as the server reads it. */
struct request make_request(uint32_t uid, const char *method, const char *target);

/* The same with a body, which is released by ask_with(). */
struct request make_post(uint32_t uid, const char *target, const char *body);

/* Asks, and gives the answer: borrowed until the next ask; NULL when the request waits. */
const struct response *ask(uint32_t uid, const char *method, const char *target);

/* The same for a request made elsewhere. */
const struct response *ask_with(struct request *r);

/* The answer to a request that waited and came out of the registry. */
const struct response *finish_waiting(struct request *r);

/* Asserts the status, and application/problem+json with this type; `type` NULL: application/json. */
void assert_answer(const struct response *answer, unsigned status, const char *type);

/* A member of the body as text; "" when it is not there. Borrowed until the next call. */
const char *member(const struct response *answer, const char *name);
