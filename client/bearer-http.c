/* SPDX-License-Identifier: MIT */
#include "client/bearer-http.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include <curl/curl.h>

#include "bearerd-paths.h"

/* The daemon sends a dozen short header lines. More than this is something else, or endless. */
#define HEADERS_MAX ((size_t) 65536)

struct bearer_http {
    CURL *curl;
    char *socket_path;
    /* of the exchange under way */
    const struct bearer_request *request;
    struct buffer *body;
    size_t n_header_bytes;
    bool is_too_large;
    int connect_errno;
};

DEFINE_CLEANUP(struct bearer_http *, bearer_http_free, bearer_http_free)
DEFINE_CLEANUP(struct curl_slist *, slist_free, curl_slist_free_all)

enum bearer_result bearer_error_set(struct bearer_error *e, enum bearer_result result, const char *format,
                                    ...)
{
    va_list args;

    e->result = result;
    va_start(args, format);
    int n = vsnprintf(e->message, sizeof(e->message), format, args);
    va_end(args);
    if (n >= (int) sizeof(e->message)) {
        static const char more[] = "...";
        memcpy(e->message + sizeof(e->message) - sizeof(more), more, sizeof(more));
    }
    for (char *p = e->message; *p; p++)
        if ((unsigned char) *p < ' ' || *p == 0x7f)
            *p = '?';
    return result;
}

void bearer_answer_done(struct bearer_answer *a)
{
    buffer_done(&a->body);
}

static size_t on_header(char *data, size_t one, size_t size, void *userdata)
{
    struct bearer_http *h = userdata;

    (void) data, (void) one;
    h->n_header_bytes += size;
    h->is_too_large = h->is_too_large || h->n_header_bytes > HEADERS_MAX;
    return h->is_too_large ? 0 : size;
}

static size_t on_body(char *data, size_t one, size_t size, void *userdata)
{
    struct bearer_http *h = userdata;

    (void) one;
    buffer_append(h->body, data, size);
    h->is_too_large = buffer_error(h->body) == -EMSGSIZE;
    return buffer_error(h->body) < 0 ? 0 : size;
}

/* What stays the same for all exchanges. */
static bool set_up(struct bearer_http *h)
{
    CURL *c = h->curl;

    return curl_easy_setopt(c, CURLOPT_UNIX_SOCKET_PATH, h->socket_path) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http") == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_PROXY, "") == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_NOPROXY, "*") == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_USERAGENT, "libbearer/" BEARERD_VERSION) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_HEADERDATA, h) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_WRITEDATA, h) == CURLE_OK;
}

int bearer_http_new(const char *socket_path, struct bearer_http **ret)
{
    _cleanup_(bearer_http_free_p) struct bearer_http *h = NULL;

    if (!*socket_path)
        return -EINVAL;
    if (strlen(socket_path) >= sizeof(((struct sockaddr_un *) NULL)->sun_path))
        return -ENAMETOOLONG;
    h = calloc(1, sizeof(*h));
    if (!h)
        return -ENOMEM;
    h->socket_path = strdup(socket_path);
    h->curl = curl_easy_init();
    if (!h->socket_path || !h->curl || !set_up(h))
        return -ENOMEM;
    *ret = TAKE_PTR(h);
    return 0;
}

void bearer_http_free(struct bearer_http *h)
{
    if (!h)
        return;
    curl_easy_cleanup(h->curl);
    free(h->socket_path);
    free(h);
}

const char *bearer_http_socket_path(const struct bearer_http *h)
{
    return h->socket_path;
}

/* What differs from one exchange to the next. The host of the URL is for the Host header alone. */
static bool set_request(struct bearer_http *h, const struct bearer_request *request,
                        struct curl_slist **ret_headers)
{
    _cleanup_(buffer_done) struct buffer url = BUFFER_INIT(BEARER_PATH_MAX + 32);
    char accept[64];
    CURL *c = h->curl;

    buffer_append_string(&url, "http://localhost");
    buffer_append_string(&url, request->path);
    if (buffer_error(&url) < 0 ||
        snprintf(accept, sizeof(accept), "Accept: %s", request->media_type) >= (int) sizeof(accept))
        return false;
    /* libcurl would call every body a form, an empty one, too. */
    struct curl_slist *headers =
        curl_slist_append(NULL, request->json ? "Content-Type: application/json" : "Content-Type:");
    *ret_headers = headers;
    if (!headers || !curl_slist_append(headers, accept))
        return false;
    return curl_easy_setopt(c, CURLOPT_URL, buffer_peek(&url)) == CURLE_OK && /* is copied */
           curl_easy_setopt(c, CURLOPT_POSTFIELDS, request->json ? request->json : "") == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_POST, request->is_post ? 1L : 0L) == CURLE_OK && /* 0: back to GET */
           curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers) == CURLE_OK;
}

static int64_t now_msec(void)
{
    struct timespec now = {0};

    (void) clock_gettime(CLOCK_BOOTTIME, &now); /* cannot fail: the clock exists, the pointer is good */
    return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/*
 * Why libcurl could not connect, as errno; 0 when one can by now. It does not tell itself: it connects
 * without blocking, and takes the EAGAIN of a Unix socket whose queue is full for "in progress". A blocking
 * connect() waits for a place in the queue, for SO_SNDTIMEO at most (unix(7)). The connection cannot be
 * handed on: libcurl 7.88 connects once more even when CURLOPT_SOCKOPTFUNCTION says that it need not.
 */
static int await_place(const char *socket_path, int64_t msec)
{
    const struct timeval patience = {.tv_sec = msec / 1000, .tv_usec = msec % 1000 * 1000};
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    memcpy(address.sun_path, socket_path, strlen(socket_path) + 1); /* bearer_http_new() saw that it fits */
    _cleanup_fd_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0)
        return errno;
    int r = 0;
    do
        r = connect(fd, (struct sockaddr *) &address, sizeof(address));
    while (r < 0 && errno == EINTR);
    return r < 0 ? errno : 0;
}

/* One exchange, within request->timeout_for whatever it takes to get a connection. */
static CURLcode perform(struct bearer_http *h)
{
    int64_t deadline_at = now_msec() + h->request->timeout_for * 1000;

    for (int64_t left = h->request->timeout_for * 1000; left > 0; left = deadline_at - now_msec()) {
        if (curl_easy_setopt(h->curl, CURLOPT_TIMEOUT_MS, (long) left) != CURLE_OK)
            return CURLE_OUT_OF_MEMORY;
        CURLcode code = curl_easy_perform(h->curl);
        left = deadline_at - now_msec();
        if (code != CURLE_COULDNT_CONNECT)
            return code;
        if (left <= 0)
            break;
        h->connect_errno = await_place(h->socket_path, left);
        if (h->connect_errno != 0)
            return code;
    }
    return CURLE_OPERATION_TIMEDOUT;
}

/* A connection that could not be made: why, await_place() knows. */
static enum bearer_result fail_connect(const struct bearer_http *h, struct bearer_error *error)
{
    static const int own_fault[] = {EMFILE, ENFILE, ENOBUFS, ENOMEM};

    error->os_errno = h->connect_errno;
    if (h->connect_errno == EAGAIN)
        return bearer_error_set(error, BEARER_TIMED_OUT,
                                "%s: the daemon takes no connections: its queue is full", h->socket_path);
    for (size_t i = 0; i < ARRAY_SIZE(own_fault); i++)
        if (h->connect_errno == own_fault[i])
            return bearer_error_set(error, BEARER_INTERNAL, "no socket: %s",
                                    strerrordesc_np(h->connect_errno));
    const char *why = strerrordesc_np(h->connect_errno);
    return bearer_error_set(error, BEARER_UNREACHABLE, "cannot connect to %s: %s", h->socket_path,
                            why ? why : "unknown error");
}

static enum bearer_result fail(const struct bearer_http *h, CURLcode code, struct bearer_error *error)
{
    static const struct {
        CURLcode code;
        enum bearer_result result;
        const char *message;
    } causes[] = {
        {CURLE_OPERATION_TIMEDOUT, BEARER_TIMED_OUT,   "the daemon did not answer in time"          },
        {CURLE_GOT_NOTHING,        BEARER_UNREACHABLE, "the daemon hung up without an answer"       },
        {CURLE_SEND_ERROR,         BEARER_UNREACHABLE, "the daemon hung up during the request"      },
        {CURLE_RECV_ERROR,         BEARER_UNREACHABLE, "the daemon hung up without an answer"       },
        {CURLE_PARTIAL_FILE,       BEARER_UNREACHABLE, "the daemon hung up in midst of an answer"   },
        {CURLE_OUT_OF_MEMORY,      BEARER_PROTOCOL,    "a header line without end, or out of memory"},
    };

    if (code == CURLE_COULDNT_CONNECT)
        return fail_connect(h, error);
    if (buffer_error(h->body) == -ENOMEM)
        return bearer_error_set(error, BEARER_INTERNAL, "out of memory");
    if (h->is_too_large)
        return bearer_error_set(error, BEARER_PROTOCOL, "%s: the answer is larger than any of bearerd's",
                                h->socket_path);
    for (size_t i = 0; i < ARRAY_SIZE(causes); i++) {
        if (causes[i].code != code)
            continue;
        error->os_errno = causes[i].result == BEARER_UNREACHABLE ? ECONNRESET : 0;
        return bearer_error_set(error, causes[i].result, "%s: %s", h->socket_path, causes[i].message);
    }
    return bearer_error_set(error, BEARER_PROTOCOL, "%s: the answer is not bearerd's (%s)", h->socket_path,
                            curl_easy_strerror(code));
}

/* True when a Content-Type names this media type, with or without parameters. */
static bool is_media_type(const char *content_type, const char *media_type)
{
    size_t size = strlen(media_type);

    if (!content_type || strncasecmp(content_type, media_type, size) != 0)
        return false;
    return strchr("; \t", content_type[size]) != NULL; /* the NUL is found, too */
}

static enum bearer_result finish(struct bearer_http *h, struct bearer_answer *answer,
                                 struct bearer_error *error)
{
    long status = 0;
    curl_off_t retry_after = 0;
    char *content_type = NULL;

    (void) curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &status);
    (void) curl_easy_getinfo(h->curl, CURLINFO_RETRY_AFTER, &retry_after);
    (void) curl_easy_getinfo(h->curl, CURLINFO_CONTENT_TYPE, &content_type);
    answer->status = (int) status;
    answer->retry_after = retry_after > 0 ? retry_after : BEARER_ABSENT;
    answer->is_problem = is_media_type(content_type, "application/problem+json");
    if (status == 200 && !is_media_type(content_type, h->request->media_type))
        return bearer_error_set(error, BEARER_PROTOCOL, "%s: the answer is not bearerd's (no %s)",
                                h->socket_path, h->request->media_type);
    return BEARER_OK;
}

enum bearer_result bearer_http_exchange(struct bearer_http *h, const struct bearer_request *request,
                                        struct bearer_answer *answer, struct bearer_error *error)
{
    _cleanup_(slist_free_p) struct curl_slist *headers = NULL;

    *answer = (struct bearer_answer){.retry_after = BEARER_ABSENT, .body = BUFFER_INIT(request->body_max)};
    h->request = request;
    h->body = &answer->body;
    h->n_header_bytes = 0;
    h->is_too_large = false;
    h->connect_errno = 0;

    enum bearer_result result = BEARER_INTERNAL;
    if (!set_request(h, request, &headers)) {
        result = bearer_error_set(error, BEARER_INTERNAL, "out of memory");
    } else {
        CURLcode code = perform(h);
        result = code == CURLE_OK ? finish(h, answer, error) : fail(h, code, error);
    }
    (void) curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, NULL);
    h->request = NULL;
    h->body = NULL;
    return result;
}
