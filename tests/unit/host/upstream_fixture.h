/* SPDX-License-Identifier: MIT */
#pragma once

/* What the tests of host/upstream share: a loop with an upstream on it, and one exchange as a function call.
 */

#include <stdbool.h>
#include <stddef.h>
#include <systemd/sd-event.h>

#include "host/upstream.h"
#include "server_child.h"
#include "wire/http.h"

/* One exchange as the tests see it. Zero it first; done with outcome_done(). */
struct outcome {
    struct http_answer answer; /* moved out of the exchange */
    struct exchange *exchange; /* while in flight */
    unsigned n_done;           /* how often `done` was called */
    void (*then)(void *userdata);
    void *userdata;
};

struct fixture {
    sd_event *event;
    struct upstream *upstream;
    struct http_request request;
    struct server server;
    bool has_server;
    unsigned n_turns; /* of the loop, so far */
};

int fixture_setup(void **state);
int fixture_teardown(void **state);

void fixture_serve(struct fixture *f, const struct server_tls *tls, server_script script);
void fixture_add_header(struct fixture *f, const char *line);

/* Records the answer. */
void outcome_note(void *userdata, struct http_answer *answer);
void outcome_done(struct outcome *o);

/* Starts one exchange with the fixture's request; `p` may be NULL (5 s, system CAs). */
void fixture_start(struct fixture *f, const struct exchange_params *p, struct outcome *o);

/* Turns the loop until it is done; fails the test after some seconds. */
void fixture_wait(struct fixture *f, const struct outcome *o);

/* Both, with `p` or NULL. */
void fixture_exchange(struct fixture *f, const struct exchange_params *p, struct outcome *o);
