/* SPDX-License-Identifier: MIT */
#include "host/upstream_outcome.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"

/* ---- words ---- */

/* Printable ASCII, runs of anything else as one space: OpenSSL's words come in lines. */
static void set_detail(struct transfer *t, const char *text)
{
    char *detail = t->answer.detail;
    size_t n = 0;

    for (; *text && n + 1 < sizeof(t->answer.detail); text++) {
        bool is_plain = *text > ' ' && *text < 127;
        if (is_plain || (n > 0 && detail[n - 1] != ' '))
            detail[n++] = is_plain ? *text : ' ';
    }
    while (n > 0 && detail[n - 1] == ' ')
        n--;
    detail[n] = '\0';
}

/* Drops what came in of the answer: a failure has no status, headers or body. */
static void fail_with(struct transfer *t, enum http_outcome outcome, const char *detail)
{
    usec_t sent_at = t->answer.sent_at;

    http_answer_done(&t->answer);
    t->answer.outcome = outcome;
    t->answer.sent_at = sent_at;
    set_detail(t, detail);
}

void transfer_fail(struct transfer *t, const char *detail)
{
    fail_with(t, HTTP_NOT_SENT, detail);
}

/* ---- what a result means ---- */

/* What is not here has its cause on this machine: memory, a key or CA file, an option misused. */
static const struct {
    CURLcode code;
    enum http_outcome outcome;
} outcomes[] = {
    {CURLE_OK,                       HTTP_ANSWERED     },
    {CURLE_COULDNT_RESOLVE_PROXY,    HTTP_NOT_CONNECTED},
    {CURLE_COULDNT_RESOLVE_HOST,     HTTP_NOT_CONNECTED},
    {CURLE_COULDNT_CONNECT,          HTTP_NOT_CONNECTED},
    {CURLE_PROXY,                    HTTP_NOT_CONNECTED},
    {CURLE_SEND_ERROR,               HTTP_NOT_CONNECTED},
    {CURLE_RECV_ERROR,               HTTP_NOT_CONNECTED},
    {CURLE_GOT_NOTHING,              HTTP_NOT_CONNECTED},
    {CURLE_OPERATION_TIMEDOUT,       HTTP_TIMED_OUT    },
    {CURLE_SSL_CONNECT_ERROR,        HTTP_TLS_FAILED   },
    {CURLE_SSL_CLIENTCERT,           HTTP_TLS_FAILED   },
    {CURLE_PEER_FAILED_VERIFICATION, HTTP_CERTIFICATE  },
    {CURLE_SSL_ISSUER_ERROR,         HTTP_CERTIFICATE  },
    {CURLE_SSL_INVALIDCERTSTATUS,    HTTP_CERTIFICATE  },
    {CURLE_FILESIZE_EXCEEDED,        HTTP_TOO_LARGE    },
    {CURLE_PARTIAL_FILE,             HTTP_GARBLED      },
    {CURLE_WEIRD_SERVER_REPLY,       HTTP_GARBLED      },
    {CURLE_BAD_CONTENT_ENCODING,     HTTP_GARBLED      },
};

/* Out of descriptors or kernel memory: no upstream is to blame, and asking another one would fail as well. */
static bool is_local_errno(long error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

/* Why there is no connection, as an errno; 0 when nobody said. */
static long os_error(const struct transfer *t)
{
    long error = 0;

    (void) curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &error);
    return is_local_errno(t->socket_error) || error == 0 ? t->socket_error : error;
}

/* What the same code means at different points of the exchange. */
static enum http_outcome outcome_of(const struct transfer *t, CURLcode code)
{
    if (t->is_over_limit)
        return HTTP_TOO_LARGE;
    if (t->is_out_of_memory)
        return HTTP_NOT_SENT;
    /* A header line over 100 KiB is refused with the code of a failed allocation. */
    if (code == CURLE_OUT_OF_MEMORY && t->is_sending)
        return HTTP_TOO_LARGE;
    /* The code for "this is HTTP/0.9", else for a scheme that is not allowed. */
    if (code == CURLE_UNSUPPORTED_PROTOCOL && t->is_sending)
        return HTTP_GARBLED;
    if (code == CURLE_RECV_ERROR && t->n_header_lines > 0)
        return HTTP_GARBLED;
    /* TLS 1.3: a server that dislikes the client certificate says so after the handshake. */
    if ((code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR) && strstr(t->error, " alert "))
        return HTTP_TLS_FAILED;
    if (code == CURLE_COULDNT_CONNECT && is_local_errno(os_error(t)))
        return HTTP_NOT_SENT;
    for (size_t i = 0; i < ARRAY_SIZE(outcomes); i++) {
        if (outcomes[i].code == code)
            return outcomes[i].outcome;
    }
    return HTTP_NOT_SENT;
}

/* libcurl's words, or better ones where they would mislead. */
static void describe(const struct transfer *t, CURLcode code, enum http_outcome outcome, char *text,
                     size_t size)
{
    long status = 0;

    (void) curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    if (outcome == HTTP_TOO_LARGE) {
        (void) snprintf(text, size, "the answer (HTTP status %ld) is larger than %zu KiB", status,
                        HTTP_BODY_MAX / 1024);
    } else if (t->is_out_of_memory) {
        (void) snprintf(text, size, "out of memory");
    } else if (code == CURLE_COULDNT_CONNECT && os_error(t) != 0) {
        /* libcurl only says that it could not; the reason comes first, in case a long host name is cut. */
        (void) snprintf(text, size, "%s (%s)", strerror((int) os_error(t)), t->error);
    } else {
        (void) snprintf(text, size, "%s", t->error[0] ? t->error : curl_easy_strerror(code));
    }
}

void transfer_finish(struct transfer *t, CURLcode result)
{
    enum http_outcome outcome = outcome_of(t, result);
    char detail[CURL_ERROR_SIZE + 128];
    long status = 0;

    if (outcome != HTTP_ANSWERED) {
        describe(t, result, outcome, detail, sizeof(detail));
        fail_with(t, outcome, detail);
        return;
    }
    (void) curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    t->answer.outcome = HTTP_ANSWERED;
    t->answer.status = (int) status;
}
