/* SPDX-License-Identifier: MIT */
#include "upstream_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host/clock.h"

#define PATIENCE (20 * USEC_PER_SEC)

int fixture_setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    assert_int_equal(upstream_init_process(), 0);
    assert_int_equal(sd_event_new(&f->event), 0);
    assert_int_equal(upstream_new(&f->upstream, f->event, NULL), 0);
    *state = f;
    return 0;
}

int fixture_teardown(void **state)
{
    struct fixture *f = *state;

    (void) upstream_free(f->upstream);
    (void) sd_event_unref(f->event);
    http_request_done(&f->request);
    if (f->has_server)
        server_stop(&f->server);
    free(f);
    return 0;
}

void fixture_serve(struct fixture *f, const struct server_tls *tls, server_script script)
{
    server_start(&f->server, tls, script);
    f->has_server = true;
    f->request.url = f->server.url;
}

void fixture_add_header(struct fixture *f, const char *line)
{
    assert_int_equal(secret_set(&f->request.headers[f->request.n_headers], line, strlen(line)), 0);
    f->request.n_headers++;
}

void outcome_note(void *userdata, struct http_answer *answer)
{
    struct outcome *o = userdata;

    o->n_done++;
    o->answer = *answer;
    answer->body = BUFFER_INIT_SECRET(0);
    if (o->then)
        o->then(o->userdata);
    o->exchange = NULL;
}

void outcome_done(struct outcome *o)
{
    http_answer_done(&o->answer);
    *o = (struct outcome){0};
}

void fixture_start(struct fixture *f, const struct exchange_params *p, struct outcome *o)
{
    struct exchange_params params = p ? *p : (struct exchange_params){.timeout_for = 5 * USEC_PER_SEC};

    if (!params.request)
        params.request = &f->request;
    assert_int_equal(exchange_start(f->upstream, &params, outcome_note, o, &o->exchange), 0);
    assert_int_equal(o->n_done, 0); /* never from within exchange_start() */
}

void fixture_wait(struct fixture *f, const struct outcome *o)
{
    usec_t give_up_at = usec_add(clock_monotonic(), PATIENCE);

    while (o->n_done == 0) {
        assert_true(clock_monotonic() < give_up_at);
        assert_true(sd_event_run(f->event, PATIENCE) >= 0);
        f->n_turns++;
    }
    assert_int_equal(o->n_done, 1);
}

void fixture_exchange(struct fixture *f, const struct exchange_params *p, struct outcome *o)
{
    fixture_start(f, p, o);
    fixture_wait(f, o);
}
