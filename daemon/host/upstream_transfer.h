/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * One request and its answer in libcurl's terms: an easy handle with every option set, and the callbacks
 * that take the answer in under its limits. What libcurl's result means is for host/upstream_outcome to say.
 * Neither knows the loop or who asked; only host/upstream.c uses them.
 *
 * The handle lives for one exchange alone, since its buffers hold pieces of the answer; with it gone (and
 * wiped, host/wiping_allocator) nothing of the exchange is left but what the caller took. A connection
 * that stays for the next exchange keeps no record: libcurl sets SSL_MODE_RELEASE_BUFFERS (7.88, openssl.c).
 */

#include <curl/curl.h>
#include <stdbool.h>

#include "host/upstream.h"
#include "wire/http.h"

struct transfer {
    CURL *easy;                  /* NULL before transfer_init() and when that failed early */
    struct curl_slist *headers;  /* the request's, until transfer_done() */
    struct http_answer answer;   /* filled while it comes in; completed by host/upstream_outcome */
    size_t header_size;          /* bytes of all header lines so far, of interim answers too */
    unsigned n_header_lines;     /* and how many */
    bool is_in_headers;          /* behind a status line and not yet at the body: not in the trailers */
    bool is_sending;             /* the connection was there and the request began to go out */
    bool is_over_limit;          /* one of our callbacks ended it: too large */
    bool is_out_of_memory;       /* or could not keep it */
    int socket_error;            /* why the last socket could not be made, as an errno; or 0 */
    char error[CURL_ERROR_SIZE]; /* libcurl's words */
};

/*
 * Builds the handle. 0, or a negative errno: then `answer` is complete with HTTP_NOT_SENT and words. Either
 * way the transfer must not move in memory until transfer_done().
 */
int transfer_init(struct transfer *t, const struct exchange_params *p, bool is_system_ca_hashed);

/* Wipes and releases all of it. The handle must not be in a multi handle any more. */
void transfer_done(struct transfer *t);
