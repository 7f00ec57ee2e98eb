/* SPDX-License-Identifier: MIT */
#pragma once

/* One vipps profile, what happens to it, and a look at the bodies that are written of it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "wire/reply.h"
#include "wire_fixture.h"

#define BODY_MAX ((size_t) 65536)
/* 1000 s on CLOCK_BOOTTIME are 2026-01-31T12:00:00Z. */
#define BOOT_AT (1000 * USEC_PER_SEC)
#define WALL_AT (1769860800 * USEC_PER_SEC)
#define AT(n)   ((usec_t) (n) *USEC_PER_SEC)

/* Members of the answers about a token that was sent for at 1000 s. */
#define TOKEN_OF_1000                                                                                        \
    "'generation': 1, 'fingerprint': '0123456789abcdef', 'issued_at': '2026-01-31T12:00:00Z', "              \
    "'expires_at': '2026-01-31T13:00:00Z'"

extern struct profile_settings settings;
extern struct profile p;
extern usec_t now;
extern const struct failure unreachable, wrong_keys;

/* For cmocka. */
int reply_set_up(void **state);
int reply_tear_down(void **state);

struct reply_time both_clocks(void);

/* The profile steps at that second. */
void step(enum event_kind kind, unsigned at);

/* Its fetch ends at that second, with a token that was sent for at `sent` and lives for an hour, or not. */
void token_comes(const char *value, unsigned sent, unsigned at);
void fetch_fails(const struct failure *failure, unsigned at);

/* Strictly JSON; release with json_object_put(). */
struct json_object *parse(const char *text, size_t size);

/* The same members with the same types and values; `expected` is JSON with ' for ". */
void assert_json(const struct buffer *body, const char *expected);

#define TEST(name) cmocka_unit_test_setup_teardown(name, reply_set_up, reply_tear_down)
