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
 * User 0 is the admin, and is in no Allow=.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "api.h"

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
    char content_type[64];
    char allow[32]; /* headers; "" when absent */
    char retry_after[32];
    char etag[32];
};

struct fixture {
    struct daemon_settings settings;
    struct profile_settings profiles[3];
    struct registry registry;
    struct server_stats stats;
    struct api api;
    usec_t now;
    bool is_sick;
    bool has_no_memory; /* response_new() fails */
    unsigned n_kicks;
    unsigned n_made;         /* answers, not counting references */
    unsigned n_groups_loads; /* request_load_groups() */
    /* The log. */
    unsigned n_logged;
    char said[512];
    char fields[256]; /* "PROFILE=alpha PEER_UID=44 ..." of the last entry */
};

extern struct fixture f;

/* For cmocka. */
int api_set_up(void **state);
int api_tear_down(void **state);

struct entry *entry_of(const char *name);

/* The fetch of a profile that was started ends: with a token sent for at `now` that lives for that long, or
 * not. */
void end_with_token(const char *name, const char *value, usec_t lifetime_for);
void end_with_failure(const char *name, enum failure_class class, const char *message);

/* Starts all profiles and gives each usable one a token of an hour. */
void all_fresh(void);

/* Hands the fetches out, as the daemon does after a kick; how many there were. */
unsigned pop_fetches(void);

/* A request of a user, as the server reads it. */
struct request make_request(uint32_t uid, const char *method, const char *target);

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
