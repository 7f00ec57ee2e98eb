/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * An upstream request and its answer as plain data: built and read by wire/, carried by host/upstream.
 * Neither knows a socket or libcurl.
 */

#include <stddef.h>

#include "base/buffer.h"
#include "base/secret.h"
#include "base/usec.h"

/* The most that is read of an answer; a token response is under 4 KiB. */
#define HTTP_BODY_MAX ((size_t) 65536)
/* Room for one header value that is looked at (Retry-After, Date, Content-Type); a longer one is taken as
 * absent. */
#define HTTP_VALUE_SIZE 128

/* More than any provider needs: 8 of the protocol and the operator's own. */
#define HTTP_HEADERS_MAX 32

/* A POST. Everything that can hold a key is a secret. */
struct http_request {
    const char *url;                         /* borrowed from the settings */
    struct secret headers[HTTP_HEADERS_MAX]; /* "Name: value" each, no line end; Content-Type among them */
    size_t n_headers;
    struct secret body; /* not set: no body, sent as Content-Length: 0 */
};

void http_request_done(struct http_request *r);

/* How the exchange ended, before anybody looks at what was answered. */
enum http_outcome {
    HTTP_ANSWERED,      /* a whole answer is here */
    HTTP_NOT_CONNECTED, /* no DNS, refused, unreachable, reset or closed before an answer */
    HTTP_TIMED_OUT,     /* not whole within the time given */
    HTTP_TLS_FAILED,    /* handshake or record layer */
    HTTP_CERTIFICATE,   /* the server's certificate does not verify */
    HTTP_TOO_LARGE,     /* body over HTTP_BODY_MAX, or headers without end */
    HTTP_GARBLED,       /* not HTTP, or cut off in the middle */
    HTTP_NOT_SENT,      /* this machine's fault: memory, descriptors, an unusable key or CA file */
};

struct http_answer {
    enum http_outcome outcome;
    usec_t sent_at;                    /* CLOCK_BOOTTIME; no later than the first byte of the request left */
    int status;                        /* of an HTTP_ANSWERED, else 0 */
    char retry_after[HTTP_VALUE_SIZE]; /* header values as they came; "" when absent */
    char date[HTTP_VALUE_SIZE];
    char content_type[HTTP_VALUE_SIZE];
    struct buffer body; /* secret; wiped by http_answer_done() */
    char detail[160];   /* what the transport says of a failure ("Connection refused"), printable */
};

void http_answer_done(struct http_answer *a);
