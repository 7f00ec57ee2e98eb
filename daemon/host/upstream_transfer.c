/* SPDX-License-Identifier: MIT */
#include "host/upstream_transfer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "host/clock.h"
#include "host/upstream_outcome.h"

/* A TCP and TLS handshake takes three round trips; where five seconds do not do, the network is not there. */
#define CONNECT_TIMEOUT (5 * USEC_PER_SEC)
/* All headers of an answer together, and their number: gateways send 2 KiB in 30 lines. */
#define HEADER_SIZE_MAX  ((size_t) 65536)
#define HEADER_LINES_MAX 256u

DEFINE_CLEANUP(CURLU *, curl_url, curl_url_cleanup)
DEFINE_CLEANUP(char *, curl_text, curl_free)

/* ---- what libcurl calls while the answer comes in ---- */

/* Header values that are looked at, and where they go. */
static const struct {
    const char *name;
    size_t offset;
} captured[] = {
    {"Retry-After:",  offsetof(struct http_answer, retry_after) },
    {"Date:",         offsetof(struct http_answer, date)        },
    {"Content-Type:", offsetof(struct http_answer, content_type)},
};

static void forget_captured(struct http_answer *a)
{
    for (size_t i = 0; i < ARRAY_SIZE(captured); i++)
        *((char *) a + captured[i].offset) = '\0';
}

/* Keeps a value without the blanks around it; what is too long or holds a control character counts as absent.
 */
static void keep_value(char *to, const char *value, size_t size)
{
    while (size > 0 && (*value == ' ' || *value == '\t')) {
        value++;
        size--;
    }
    while (size > 0 && strchr(" \t\r\n", value[size - 1]))
        size--;
    if (size >= HTTP_VALUE_SIZE)
        return;
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char) value[i] < ' ' || value[i] == 127)
            return;
    }
    memcpy(to, value, size);
    to[size] = '\0';
}

static void capture(struct http_answer *a, const char *line, size_t size)
{
    for (size_t i = 0; i < ARRAY_SIZE(captured); i++) {
        size_t name_size = strlen(captured[i].name);
        if (size >= name_size && strncasecmp(line, captured[i].name, name_size) == 0)
            keep_value((char *) a + captured[i].offset, line + name_size, size - name_size);
    }
}

/*
 * One header line. A status line begins a new answer (behind a 1xx, or on a second connection after the first
 * one was found dead); an empty line ends its headers, so that trailers are not taken for headers.
 */
static size_t on_header(char *line, size_t one, size_t size, void *userdata)
{
    struct transfer *t = userdata;

    t->header_size += size * one;
    t->n_header_lines++;
    if (t->header_size > HEADER_SIZE_MAX || t->n_header_lines > HEADER_LINES_MAX) {
        t->is_over_limit = true;
        return 0;
    }
    if (size >= 5 && strncmp(line, "HTTP/", 5) == 0) {
        forget_captured(&t->answer);
        t->is_in_headers = true;
    } else if (size == 0 || line[0] == '\r' || line[0] == '\n') {
        t->is_in_headers = false;
    } else if (t->is_in_headers) {
        capture(&t->answer, line, size);
    }
    return size;
}

static size_t on_body(char *data, size_t one, size_t size, void *userdata)
{
    struct transfer *t = userdata;

    buffer_append(&t->answer.body, data, size * one);
    t->is_over_limit = buffer_error(&t->answer.body) == -EMSGSIZE;
    t->is_out_of_memory = buffer_error(&t->answer.body) == -ENOMEM;
    return buffer_error(&t->answer.body) ? 0 : size;
}

/*
 * The connection stands (TLS and proxy included) and the first byte of the request is about to leave: the
 * latest moment that is surely not too late to count the token's life from, and on the clock it is counted on
 * (libcurl's own timings stop in a suspend). libcurl comes here again when a reused connection turned out to
 * be dead and it repeats the request on a new one; the dead one brought no answer, so the later moment is the
 * right one.
 */
static int on_request(void *userdata, char *remote _unused_, char *local _unused_, int remote_port _unused_,
                      int local_port _unused_)
{
    struct transfer *t = userdata;

    t->answer.sent_at = clock_boottime();
    t->is_sending = true;
    return CURL_PREREQFUNC_OK;
}

/* Makes the socket as libcurl would, and remembers why it could not, which libcurl does not. */
static curl_socket_t on_socket(void *userdata, curlsocktype purpose _unused_, struct curl_sockaddr *address)
{
    struct transfer *t = userdata;

    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    if (fd < 0)
        t->socket_error = errno;
    return fd < 0 ? CURL_SOCKET_BAD : fd;
}

/* ---- building the handle ---- */

/* The same for every exchange. */
static const struct {
    CURLoption option;
    long value;
} fixed[] = {
    {CURLOPT_POST,                     1                      },
 /* One request on a connection at a time, so HTTP/2 has nothing to give but 100 KiB more memory. */
    {CURLOPT_HTTP_VERSION,             CURL_HTTP_VERSION_1_1  },
    {CURLOPT_HTTP09_ALLOWED,           0                      },
 /* Credentials do not follow a redirect: a 3xx is an answer like any other. */
    {CURLOPT_FOLLOWLOCATION,           0                      },
    {CURLOPT_DISALLOW_USERNAME_IN_URL, 1                      },
    {CURLOPT_NETRC,                    CURL_NETRC_IGNORED     },
    {CURLOPT_HTTP_CONTENT_DECODING,    0                      },
    {CURLOPT_SSLVERSION,               CURL_SSLVERSION_TLSv1_2},
    {CURLOPT_SSL_VERIFYPEER,           1                      },
    {CURLOPT_SSL_VERIFYHOST,           2                      },
 /* Connections are reused; the resumption secrets of closed ones are not worth keeping in memory. */
    {CURLOPT_SSL_SESSIONID_CACHE,      0                      },
 /* What we say is for the upstream, and what a proxy says is not its answer. */
    {CURLOPT_HEADEROPT,                CURLHEADER_SEPARATE    },
    {CURLOPT_SUPPRESS_CONNECT_HEADERS, 1                      },
    {CURLOPT_TCP_KEEPALIVE,            1                      },
    {CURLOPT_NOSIGNAL,                 1                      },
 /* Leave a resolver thread that hangs behind; without this, ending the exchange joins it
  (lib/asyn-thread.c). */
    {CURLOPT_QUICK_EXIT,               1                      },
 /* A declared length over the limit is refused before a byte of the body is read; the smallest upload
  buffer. */
    {CURLOPT_MAXFILESIZE,              (long) HTTP_BODY_MAX   },
    {CURLOPT_UPLOAD_BUFFERSIZE,        16384                  },
};

static CURLcode set_fixed(struct transfer *t, const struct exchange_params *p _unused_)
{
    CURLcode code = CURLE_OK;

    for (size_t i = 0; i < ARRAY_SIZE(fixed) && code == CURLE_OK; i++)
        code = curl_easy_setopt(t->easy, fixed[i].option, fixed[i].value);
    return code;
}

/* setopt for several in a row: the first failure is the result. */
#define SET(code, easy, option, value)                                                                       \
    do {                                                                                                     \
        if (*(code) == CURLE_OK)                                                                             \
            *(code) = curl_easy_setopt((easy), (option), (value));                                           \
    } while (0)

static CURLcode set_callbacks(struct transfer *t, const struct exchange_params *p _unused_)
{
    CURLcode code = CURLE_OK;

    SET(&code, t->easy, CURLOPT_ERRORBUFFER, t->error);
    SET(&code, t->easy, CURLOPT_HEADERFUNCTION, on_header);
    SET(&code, t->easy, CURLOPT_HEADERDATA, t);
    SET(&code, t->easy, CURLOPT_WRITEFUNCTION, on_body);
    SET(&code, t->easy, CURLOPT_WRITEDATA, t);
    SET(&code, t->easy, CURLOPT_OPENSOCKETFUNCTION, on_socket);
    SET(&code, t->easy, CURLOPT_OPENSOCKETDATA, t);
    SET(&code, t->easy, CURLOPT_PREREQFUNCTION, on_request);
    SET(&code, t->easy, CURLOPT_PREREQDATA, t);
    return code;
}

/* libcurl's milliseconds, rounded up; 0 would mean its own default. */
static long to_milliseconds(usec_t span)
{
    usec_t ms = usec_add(span, USEC_PER_MSEC - 1) / USEC_PER_MSEC;

    return (long) usec_max(usec_min(ms, INT_MAX), 1);
}

static CURLcode set_timeouts(struct transfer *t, const struct exchange_params *p)
{
    CURLcode code = CURLE_OK;

    SET(&code, t->easy, CURLOPT_TIMEOUT_MS, to_milliseconds(p->timeout_for));
    SET(&code, t->easy, CURLOPT_CONNECTTIMEOUT_MS,
        to_milliseconds(usec_min(CONNECT_TIMEOUT, p->timeout_for)));
    return code;
}

/* 127.0.0.0/8, ::1, and "localhost", which libcurl itself resolves to these without asking anybody. */
static bool is_loopback(const char *host)
{
    struct in_addr address;

    if (strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0)
        return true;
    return inet_pton(AF_INET, host, &address) == 1 && ntohl(address.s_addr) >> 24 == IN_LOOPBACKNET;
}

/* The host decides whether plain HTTP will do, and whether a proxy could reach it: its 127.0.0.1 is not ours.
 */
static CURLcode set_url(struct transfer *t, const struct exchange_params *p)
{
    _cleanup_(curl_url_p) CURLU *url = curl_url();
    _cleanup_(curl_text_p) char *host = NULL;
    CURLcode code = CURLE_OK;

    if (!url)
        return CURLE_OUT_OF_MEMORY;
    if (curl_url_set(url, CURLUPART_URL, p->request->url, CURLU_DISALLOW_USER) != CURLUE_OK ||
        curl_url_get(url, CURLUPART_HOST, &host, 0) != CURLUE_OK)
        return CURLE_URL_MALFORMAT;
    SET(&code, t->easy, CURLOPT_URL, p->request->url);
    SET(&code, t->easy, CURLOPT_PROTOCOLS_STR, is_loopback(host) ? "https,http" : "https");
    if (is_loopback(host))
        SET(&code, t->easy, CURLOPT_PROXY, "");
    return code;
}

static CURLcode add_header(struct transfer *t, const char *line)
{
    struct curl_slist *longer = curl_slist_append(t->headers, line);

    if (!longer)
        return CURLE_OUT_OF_MEMORY;
    t->headers = longer;
    return CURLE_OK;
}

/* No line end gets into a header: settings and wire see to it, this is where it would become a request of its
 * own. */
static bool is_one_line(const struct secret *s)
{
    const char *text = secret_peek(s);

    return !memchr(text, '\r', s->size) && !memchr(text, '\n', s->size) && !memchr(text, '\0', s->size);
}

static CURLcode set_headers(struct transfer *t, const struct exchange_params *p)
{
    /* "Name:" keeps libcurl from sending one of its own. */
    CURLcode code = add_header(t, "Expect:");

    if (code == CURLE_OK && !secret_is_set(&p->request->body))
        code = add_header(t, "Content-Type:");
    for (size_t i = 0; i < p->request->n_headers && code == CURLE_OK; i++) {
        const struct secret *header = &p->request->headers[i];
        code = is_one_line(header) ? add_header(t, secret_peek(header)) : CURLE_BAD_FUNCTION_ARGUMENT;
    }
    SET(&code, t->easy, CURLOPT_HTTPHEADER, t->headers);
    return code;
}

/* The body is not copied: libcurl reads it from where it lies locked. Without one, that is Content-Length: 0.
 */
static CURLcode set_body(struct transfer *t, const struct exchange_params *p)
{
    CURLcode code = CURLE_OK;

    SET(&code, t->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) p->request->body.size);
    SET(&code, t->easy, CURLOPT_POSTFIELDS, secret_peek(&p->request->body));
    return code;
}

/*
 * A connection with a client certificate is neither taken from nor left in the pool: its TLS context holds
 * the private key, outside locked memory, for as long as it lives. For all others libcurl compares CA file,
 * CA directory and client certificate before it reuses a connection (Curl_ssl_config_matches()), so profiles
 * never share one across trust.
 */
static CURLcode set_client_certificate(struct transfer *t, const struct exchange_params *p)
{
    CURLcode code = CURLE_OK;

    if (!p->tls_key || !secret_is_set(p->tls_key) || !p->tls_certificate)
        return CURLE_OK;
    struct curl_blob certificate = {.data = p->tls_certificate->data, .len = p->tls_certificate->size};
    struct curl_blob key = {.data = p->tls_key->data, .len = p->tls_key->size};
    certificate.flags = key.flags = CURL_BLOB_NOCOPY;
    SET(&code, t->easy, CURLOPT_SSLCERT_BLOB, &certificate);
    SET(&code, t->easy, CURLOPT_SSLKEY_BLOB, &key);
    /* For an encrypted key libcurl would take NULL as the pass phrase and crash; "" makes it an error. */
    SET(&code, t->easy, CURLOPT_KEYPASSWD, "");
    SET(&code, t->easy, CURLOPT_FRESH_CONNECT, 1L);
    SET(&code, t->easy, CURLOPT_FORBID_REUSE, 1L);
    return code;
}

/*
 * Which CAs to trust. libcurl keeps the last parsed bundle (CURLOPT_CA_CACHE_TIMEOUT): for the system's, an
 * hour shared by all connections; a profile's own file is small and read anew each time, so a replaced one
 * counts at once.
 */
static CURLcode set_trust(struct transfer *t, const char *ca_file, bool is_system_ca_hashed)
{
    CURLcode code = CURLE_OK;

    if (ca_file) {
        SET(&code, t->easy, CURLOPT_CAINFO, ca_file);
        SET(&code, t->easy, CURLOPT_CAPATH, NULL);
        SET(&code, t->easy, CURLOPT_CA_CACHE_TIMEOUT, 0L);
    } else if (is_system_ca_hashed) {
        SET(&code, t->easy, CURLOPT_CAINFO, NULL);
    } else {
        SET(&code, t->easy, CURLOPT_CAPATH, NULL);
        SET(&code, t->easy, CURLOPT_CA_CACHE_TIMEOUT, 3600L);
    }
    return code;
}

int transfer_init(struct transfer *t, const struct exchange_params *p, bool is_system_ca_hashed)
{
    CURLcode (*const steps[])(struct transfer *, const struct exchange_params *) = {
        set_callbacks, set_fixed, set_timeouts, set_url, set_headers, set_body, set_client_certificate,
    };

    *t = (struct transfer){.easy = curl_easy_init()};
    t->answer.body = BUFFER_INIT_SECRET(HTTP_BODY_MAX);
    t->answer.sent_at = clock_boottime();
    CURLcode code = t->easy ? CURLE_OK : CURLE_OUT_OF_MEMORY;
    for (size_t i = 0; i < ARRAY_SIZE(steps) && code == CURLE_OK; i++)
        code = steps[i](t, p);
    if (code == CURLE_OK)
        code = set_trust(t, p->ca_file, is_system_ca_hashed);
    if (code == CURLE_OK)
        return 0;
    transfer_fail(t, t->error[0] ? t->error : curl_easy_strerror(code));
    return code == CURLE_OUT_OF_MEMORY ? -ENOMEM : -EINVAL;
}

void transfer_done(struct transfer *t)
{
    if (t->easy)
        curl_easy_cleanup(t->easy);
    curl_slist_free_all(t->headers);
    http_answer_done(&t->answer);
    *t = (struct transfer){0};
}
