/* SPDX-License-Identifier: MIT */
#include "host/upstream.h"

#include <curl/curl.h>
#include <errno.h>
#include <malloc.h>
#include <openssl/evp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/list.h"
#include "host/clock.h"
#include "host/system_ca.h"
#include "host/upstream_outcome.h"
#include "host/upstream_transfer.h"
#include "host/wiping_allocator.h"

/* Idle connections kept, each some 40 KiB: enough for the upstreams of one installation, usually one or two
 * hosts. */
#define IDLE_CONNECTIONS_MAX 4L
/* How late libcurl's timer may be. Its shortest one is a happy-eyeballs delay of 200 ms. */
#define TIMER_ACCURACY USEC_PER_MSEC

struct upstream {
    CURLM *multi;
    sd_event *event;
    struct log *log;
    sd_event_source *timer;  /* libcurl's; off while it wants none */
    sd_event_source *report; /* defer; on while `ended` has something that no turn will come round to */
    struct list in_flight;   /* of struct exchange: in `multi` */
    struct list ended;       /* of struct exchange: answer complete, `done` not yet called */
    bool is_system_ca_hashed;
};

struct exchange {
    struct list item; /* in in_flight or ended; alone while `done` runs */
    struct upstream *upstream;
    struct transfer transfer;
    exchange_done done;
    void *userdata;
    int watch_error; /* a socket of it could not be watched: 0 or -errno */
    bool is_in_multi;
    bool is_reporting; /* `done` runs */
};

/* ---- the process ---- */

int upstream_init_process(void)
{
    static bool is_done;

    if (is_done)
        return 0;
    /* A resolver thread would get a malloc arena of its own, 100 KiB and more that is never given back. */
    (void) mallopt(M_ARENA_MAX, 1);
    /* libcurl leaves SIGPIPE alone under CURLOPT_NOSIGNAL, and OpenSSL writes where the peer may have hung
     * up. */
    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        return -errno;
    int r = wiping_allocator_install();
    if (r < 0)
        return r;
    /* Another TLS library under libcurl would not use the allocators just installed. */
    const char *tls = curl_version_info(CURLVERSION_NOW)->ssl_version;
    if (!tls || strncmp(tls, "OpenSSL/", strlen("OpenSSL/")) != 0)
        return -EOPNOTSUPP;
    /* libcrypto (3.0) sets itself up at the first use, and does not survive running out of memory in that. */
    unsigned char digest[EVP_MAX_MD_SIZE];
    if (EVP_Digest("", 0, digest, NULL, EVP_sha256(), NULL) != 1)
        return -ENOMEM;
    is_done = true;
    return 0;
}

/* ---- the life of an exchange ---- */

static struct exchange *exchange_free(struct exchange *x)
{
    list_remove(&x->item);
    if (x->is_in_multi)
        (void) curl_multi_remove_handle(x->upstream->multi, x->transfer.easy);
    transfer_done(&x->transfer);
    free(x);
    return NULL;
}

/* The answer is complete: out of libcurl's hands, and in line for `done`. */
static void exchange_end(struct exchange *x)
{
    if (x->is_in_multi)
        (void) curl_multi_remove_handle(x->upstream->multi, x->transfer.easy);
    x->is_in_multi = false;
    list_remove(&x->item);
    list_append(&x->upstream->ended, &x->item);
}

static void exchange_fail(struct exchange *x, const char *detail)
{
    transfer_fail(&x->transfer, detail);
    exchange_end(x);
}

static void exchange_report(struct exchange *x)
{
    x->is_reporting = true;
    x->done(x->userdata, &x->transfer.answer);
    (void) exchange_free(x);
}

/* ---- one turn ---- */

/* What libcurl says has ended. */
static void collect_ended(struct upstream *u)
{
    int n_left;

    for (CURLMsg *m = curl_multi_info_read(u->multi, &n_left); m;
         m = curl_multi_info_read(u->multi, &n_left)) {
        struct exchange *x = NULL;
        CURLcode result = m->data.result;
        if (m->msg != CURLMSG_DONE ||
            curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **) &x) != CURLE_OK)
            continue;
        transfer_finish(&x->transfer, result);
        exchange_end(x); /* `m` is gone with this */
    }
}

/* What libcurl cannot know about: nobody would tell it when the socket becomes ready. */
static void collect_unwatched(struct upstream *u)
{
    list_foreach_safe(i, &u->in_flight)
    {
        struct exchange *x = container_of(i, struct exchange, item);
        if (x->watch_error < 0)
            exchange_fail(x, strerror(-x->watch_error));
    }
}

/* libcurl itself is broken (memory): what is in flight would hang for ever, as its time-outs are libcurl's
 * too. */
static void fail_all(struct upstream *u, CURLMcode code)
{
    log_error(u->log, "libcurl failed, ending all upstream requests in flight: %s",
              curl_multi_strerror(code));
    list_foreach_safe(i, &u->in_flight)
        exchange_fail(container_of(i, struct exchange, item), curl_multi_strerror(code));
}

/* Calls `done` for all that has ended; in there, exchanges of either list may be started and cancelled. */
static void report_ended(struct upstream *u)
{
    bool has_reported = false;

    for (struct list *i = list_pop(&u->ended); i; i = list_pop(&u->ended)) {
        exchange_report(container_of(i, struct exchange, item));
        has_reported = true;
    }
    /* The end of a burst: a handshake's garbage (0.3 MiB) would otherwise stay resident until the next one.
     */
    if (has_reported && list_is_empty(&u->in_flight))
        (void) malloc_trim(0);
}

/* Something happened to `fd`, or time passed (CURL_SOCKET_TIMEOUT). */
static void upstream_turn(struct upstream *u, curl_socket_t fd)
{
    int n_running;

    /* 0: libcurl finds out by itself what is ready, and so tells an error from a hang-up. */
    CURLMcode code = curl_multi_socket_action(u->multi, fd, 0, &n_running);
    collect_ended(u);
    collect_unwatched(u);
    if (code != CURLM_OK)
        fail_all(u, code);
    report_ended(u);
}

/* ---- sources on the loop ---- */

static int on_socket_ready(sd_event_source *s _unused_, int fd, uint32_t events _unused_, void *userdata)
{
    upstream_turn(userdata, fd);
    return 0;
}

static int on_timer(sd_event_source *s _unused_, uint64_t at _unused_, void *userdata)
{
    upstream_turn(userdata, CURL_SOCKET_TIMEOUT);
    return 0;
}

static int on_report(sd_event_source *s _unused_, void *userdata)
{
    report_ended(userdata);
    return 0;
}

/*
 * libcurl wants `fd` watched differently, or not at all. The source is always made anew: a number that was
 * closed and handed out again can then never be confused with what epoll knew it as. libcurl says
 * CURL_POLL_REMOVE before it closes. Answering with an error would break the multi handle for good, so a
 * failure is noted and ends the exchange.
 */
static int on_watch(CURL *easy, curl_socket_t fd, int what, void *userdata, void *assigned)
{
    static const uint32_t events[] = {
        [CURL_POLL_IN] = EPOLLIN,
        [CURL_POLL_OUT] = EPOLLOUT,
        [CURL_POLL_INOUT] = EPOLLIN | EPOLLOUT,
    };
    struct upstream *u = userdata;
    struct exchange *x = NULL;
    sd_event_source *source = NULL;

    (void) sd_event_source_disable_unref(assigned);
    if (what == CURL_POLL_REMOVE)
        return 0;
    int r = sd_event_add_io(u->event, &source, fd, what < (int) ARRAY_SIZE(events) ? events[what] : 0,
                            on_socket_ready, u);
    (void) curl_multi_assign(u->multi, fd, source);
    if (r < 0 && curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **) &x) == CURLE_OK && x)
        x->watch_error = r;
    return 0;
}

/* libcurl's relative milliseconds become a moment of the clock that it reckons with; -1 means no timer. */
static int on_timeout_wanted(CURLM *multi _unused_, long timeout_ms, void *userdata)
{
    struct upstream *u = userdata;

    if (timeout_ms >= 0)
        (void) sd_event_source_set_time(u->timer,
                                        usec_add(clock_monotonic(), (usec_t) timeout_ms * USEC_PER_MSEC));
    (void) sd_event_source_set_enabled(u->timer, timeout_ms >= 0 ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
    return 0;
}

/* ---- from outside ---- */

static int upstream_init_sources(struct upstream *u)
{
    int r = sd_event_add_time(u->event, &u->timer, CLOCK_MONOTONIC, 0, TIMER_ACCURACY, on_timer, u);
    if (r < 0)
        return r;
    r = sd_event_source_set_enabled(u->timer, SD_EVENT_OFF);
    if (r < 0)
        return r;
    r = sd_event_add_defer(u->event, &u->report, on_report, u);
    if (r < 0)
        return r;
    r = sd_event_source_set_enabled(u->report, SD_EVENT_OFF);
    if (r < 0)
        return r;
    (void) sd_event_source_set_description(u->timer, "upstream-timer");
    (void) sd_event_source_set_description(u->report, "upstream-report");
    return 0;
}

static int upstream_init_multi(struct upstream *u)
{
    u->multi = curl_multi_init();
    if (!u->multi)
        return -ENOMEM;
    if (curl_multi_setopt(u->multi, CURLMOPT_SOCKETFUNCTION, on_watch) != CURLM_OK ||
        curl_multi_setopt(u->multi, CURLMOPT_SOCKETDATA, u) != CURLM_OK ||
        curl_multi_setopt(u->multi, CURLMOPT_TIMERFUNCTION, on_timeout_wanted) != CURLM_OK ||
        curl_multi_setopt(u->multi, CURLMOPT_TIMERDATA, u) != CURLM_OK ||
        curl_multi_setopt(u->multi, CURLMOPT_MAXCONNECTS, IDLE_CONNECTIONS_MAX) != CURLM_OK)
        return -EINVAL;
    return 0;
}

/* Where this libcurl was built to look for the system's certificates. */
static bool is_default_ca_hashed(void)
{
    CURL *easy = curl_easy_init();
    char *bundle = NULL, *directory = NULL;

    if (!easy)
        return false;
    (void) curl_easy_getinfo(easy, CURLINFO_CAINFO, &bundle);
    (void) curl_easy_getinfo(easy, CURLINFO_CAPATH, &directory);
    bool is_hashed = system_ca_is_hashed(bundle, directory);
    curl_easy_cleanup(easy);
    return is_hashed;
}

int upstream_new(struct upstream **ret, sd_event *event, struct log *log)
{
    _cleanup_(upstream_free_p) struct upstream *u = calloc(1, sizeof(*u));

    if (!u)
        return -ENOMEM;
    u->event = sd_event_ref(event);
    u->log = log;
    list_init(&u->in_flight);
    list_init(&u->ended);
    int r = upstream_init_sources(u);
    if (r < 0)
        return r;
    r = upstream_init_multi(u);
    if (r < 0)
        return r;
    u->is_system_ca_hashed = is_default_ca_hashed();
    log_debug(log, "reading the system's CA certificates %s",
              u->is_system_ca_hashed ? "one by one from the hashed directory" : "from the bundle");
    *ret = TAKE_PTR(u);
    return 0;
}

struct upstream *upstream_free(struct upstream *u)
{
    if (!u)
        return NULL;
    list_foreach_safe(i, &u->in_flight)(void) exchange_free(container_of(i, struct exchange, item));
    list_foreach_safe(j, &u->ended)(void) exchange_free(container_of(j, struct exchange, item));
    if (u->multi)
        (void) curl_multi_cleanup(u->multi);
    (void) sd_event_source_disable_unref(u->timer);
    (void) sd_event_source_disable_unref(u->report);
    (void) sd_event_unref(u->event);
    free(u);
    return NULL;
}

int exchange_start(struct upstream *u, const struct exchange_params *p, exchange_done done, void *userdata,
                   struct exchange **ret)
{
    struct exchange *x = calloc(1, sizeof(*x));

    if (!x)
        return -ENOMEM;
    x->upstream = u;
    x->done = done;
    x->userdata = userdata;
    list_init(&x->item);
    CURLMcode code = CURLM_OK;
    if (transfer_init(&x->transfer, p, u->is_system_ca_hashed) < 0) {
        exchange_end(x);
    } else if (curl_easy_setopt(x->transfer.easy, CURLOPT_PRIVATE, x) != CURLE_OK ||
               (code = curl_multi_add_handle(u->multi, x->transfer.easy)) != CURLM_OK) {
        exchange_fail(x, curl_multi_strerror(code));
    } else {
        x->is_in_multi = true;
        list_append(&u->in_flight, &x->item);
    }
    /* Nothing of libcurl's will come by for those that ended here. */
    if (!list_is_empty(&u->ended))
        (void) sd_event_source_set_enabled(u->report, SD_EVENT_ONESHOT);
    if (ret)
        *ret = x;
    return 0;
}

void exchange_cancel(struct exchange *x)
{
    if (!x || x->is_reporting)
        return;
    (void) exchange_free(x);
}
