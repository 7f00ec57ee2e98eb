/* SPDX-License-Identifier: MIT */
#include "fetch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/random.h"
#include "report.h"
#include "wire/grant.h"
#include "wire/token_response.h"

/* How late a time-out may be before the daemon counts as stuck. */
#define LATE_FOR (5 * USEC_PER_SEC)

struct fetch {
    struct daemon *daemon;
    struct entry *entry;
    struct profile_settings *settings; /* a reference: a reload may replace the entry's while this is out */
    struct key_choice choice;          /* the keys that were sent */
    struct http_request request;
    struct exchange *exchange; /* NULL once it has ended */
    struct list link;
    usec_t late_at; /* CLOCK_MONOTONIC, like libcurl's time-outs: a suspend is nobody's delay */
};

static void fetch_free(struct fetch *f)
{
    exchange_cancel(f->exchange);
    list_remove(&f->link);
    http_request_done(&f->request);
    profile_settings_free(f->settings);
    free(f);
}
DEFINE_CLEANUP(struct fetch *, fetch_free, fetch_free)

/* Hands the outcome to the registry: a token, or else a failure. */
static void end(struct daemon *d, struct entry *e, struct token *token, const struct failure *failure,
                bool has_answered)
{
    registry_end_fetch(&d->registry, e, token, failure, has_answered, daemon_time(d).now);
    (void) sd_event_source_set_enabled(d->kick, SD_EVENT_ONESHOT);
}

static void on_done(void *userdata, struct http_answer *answer)
{
    _cleanup_(fetch_free_p) struct fetch *f = userdata;
    _cleanup_(token_response_done) struct token_response response = {0};
    struct daemon *d = f->daemon;
    struct reply_time t = daemon_time(d);
    bool has_answered = answer->outcome != HTTP_TIMED_OUT;

    f->exchange = NULL;
    const struct asked asked = {f->settings, f->choice, t.now, t.wall_now};
    token_response_read(&asked, answer, &response);
    if (response.skew.is_seen)
        report_skew(d, f->entry, &response.skew);
    end(d, f->entry, response.is_token ? &response.token : NULL, &response.failure, has_answered);
}

/* Builds and sends; 0, or -errno with the failure filled in. */
static int start(struct daemon *d, struct fetch *f, struct failure *ret_failure)
{
    const struct profile_settings *s = f->settings;
    struct grant_inputs inputs = {.choice = f->choice, .wall_now = daemon_time(d).wall_now};
    const char *problem = "out of memory";

    *ret_failure = (struct failure){.class = FAILURE_TRANSIENT, .reason = REASON_INTERNAL};
    int r = random_fill(inputs.random, sizeof(inputs.random));
    if (r < 0)
        problem = "no random bytes from the kernel";
    else
        r = grant_build(s, &inputs, &f->request, &problem);
    if (r >= 0) {
        const struct exchange_params params = {
            .request = &f->request,
            .timeout_for = s->refresh.timeout_for,
            .ca_file = s->ca_file,
            .tls_certificate = &s->tls_certificate,
            .tls_key = &s->keys[KEY_TLS],
        };
        r = exchange_start(d->upstream, &params, on_done, f, &f->exchange);
    }
    if (r < 0)
        (void) snprintf(ret_failure->message, sizeof(ret_failure->message),
                        "the request could not be sent: %s", problem);
    return r;
}

void fetch_start(struct daemon *d, struct entry *e)
{
    _cleanup_(fetch_free_p) struct fetch *f = calloc(1, sizeof(*f));
    struct failure failure = {
        .class = FAILURE_TRANSIENT, .reason = REASON_INTERNAL, .message = "out of memory"};

    if (!f) {
        end(d, e, NULL, &failure, true);
        return;
    }
    f->daemon = d;
    f->entry = e;
    f->settings = profile_settings_ref(e->settings);
    f->choice = e->profile.choice;
    list_init(&f->link);
    f->late_at = usec_add(daemon_monotonic(d), usec_add(e->settings->refresh.timeout_for, LATE_FOR));
    if (start(d, f, &failure) < 0) {
        end(d, e, NULL, &failure, true);
        return;
    }
    list_append(&d->fetches, &f->link);
    (void) TAKE_PTR(f);
}

bool fetches_are_in_time(const struct daemon *d, usec_t now)
{
    list_foreach(i, &d->fetches)
    {
        if (container_of(i, struct fetch, link)->late_at < daemon_monotonic(d))
            return false;
    }
    return usec_add(registry_next_at(&d->registry), LATE_FOR) >= now;
}

void fetches_abort(struct daemon *d, const struct registry_plan *plan)
{
    list_foreach_safe(i, &d->fetches)
    {
        struct fetch *f = container_of(i, struct fetch, link);
        if (!registry_plan_aborts(plan, f->entry))
            continue;
        registry_abort_fetch(&d->registry, f->entry);
        fetch_free(f);
    }
}

void fetches_cancel(struct daemon *d)
{
    list_foreach_safe(i, &d->fetches) fetch_free(container_of(i, struct fetch, link));
}
