/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Carries requests to upstreams and brings the answers back: libcurl's multi interface on the sd-event loop.
 * It knows HTTP and TLS, nothing of tokens: what an answer means is wire/'s and core/'s to say.
 *
 * Nothing here blocks: name lookups run in libcurl's resolver threads, which are left behind, not waited for,
 * when an exchange ends before its lookup does. Signals that the loop handles must therefore be blocked
 * before the first exchange, as sd-event asks for anyway. While no exchange is in flight there is no timer
 * and no watched descriptor; up to a handful of idle connections are kept, and are looked at when the next
 * exchange could use one.
 *
 * Limits of an exchange: HTTPS (plain HTTP to a loopback host only), TLS 1.2 or later, certificate and name
 * always verified; no redirect, cookie, netrc or content decoding; a body of HTTP_BODY_MAX at most. A proxy
 * is taken from the usual environment variables (never for a loopback host) and sees a CONNECT without our
 * headers.
 */

#include <systemd/sd-event.h>

#include "base/log.h"
#include "base/secret.h"
#include "base/usec.h"
#include "wire/http.h"

/* All of it; one for the daemon. */
struct upstream;

/* One request on its way. */
struct exchange;

struct exchange_params {
    const struct http_request
        *request;        /* borrowed until the exchange ends: headers are copied, url and body not */
    usec_t timeout_for;  /* the whole exchange: lookup, connection, answer */
    const char *ca_file; /* PEM file of the CAs to trust, instead of the system's; or NULL */
    const struct secret
        *tls_certificate;         /* PEM, with tls_key; NULL or not set: none. Borrowed as the request */
    const struct secret *tls_key; /* PEM, not encrypted */
};

/*
 * The exchange ended. `answer` is lent for this call: its body may be moved out, what is left is wiped
 * afterwards. The exchange is gone: forget the pointer. Exchanges may be started and cancelled from within;
 * upstream_free() may not be called.
 */
typedef void (*exchange_done)(void *userdata, struct http_answer *answer);

/*
 * To be called first in main(), before anything else uses OpenSSL: gives libcurl and OpenSSL allocators that
 * wipe what they free, and sets up both, for the whole life of the process. SIGPIPE is ignored from then on.
 * 0; -EBUSY when OpenSSL had allocated before; -EOPNOTSUPP when this libcurl is not built on OpenSSL;
 * -ENOMEM. Calling again is fine.
 */
_must_check_ int upstream_init_process(void);

/*
 * A new, idle upstream on `event`, of which it keeps a reference. `log` is borrowed and may be NULL. 0 or
 * -errno. Looks once at the system's CA certificates to choose how to read them (see host/system_ca.h).
 */
_must_check_ int upstream_new(struct upstream **ret, sd_event *event, struct log *log);

/* Cancels every exchange without telling anybody, closes the connections. Takes NULL; returns NULL. */
struct upstream *upstream_free(struct upstream *u);
DEFINE_CLEANUP(struct upstream *, upstream_free, upstream_free)

/*
 * Sends the request. `done` is called once, from the loop, never from within this function; also for what is
 * wrong from the start (an unusable URL, key or CA file: HTTP_NOT_SENT). 0, or -ENOMEM: then nothing was
 * started and `done` is not called. `*ret` (may be NULL) is valid until `done` is called or the exchange is
 * cancelled.
 */
_must_check_ int exchange_start(struct upstream *u, const struct exchange_params *p, exchange_done done,
                                void *userdata, struct exchange **ret);

/* Ends the exchange; `done` is not called any more. Takes NULL. Does nothing from within its own `done`. */
void exchange_cancel(struct exchange *x);
