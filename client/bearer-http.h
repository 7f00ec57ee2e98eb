/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * One HTTP exchange over the daemon's Unix socket, on libcurl. Knows nothing of tokens or JSON. Inside
 * libbearer only.
 *
 * Only plain HTTP/1.1 to that one socket: no proxy, redirect, cookie or .netrc, whatever the environment
 * says. Answers are bounded in size and in time.
 */

#include <stddef.h>

#include "base/buffer.h"
#include "client/bearer.h"

/* Two cleaned lines of a problem document at their longest. */
#define BEARER_MESSAGE_SIZE 2048
#define BEARER_TITLE_SIZE   256
/* More than the daemon takes. */
#define BEARER_PATH_MAX ((size_t) 65536)

struct bearer_error {
    enum bearer_result result;
    int os_errno;
    int http_status;
    int64_t retry_after; /* seconds, or BEARER_ABSENT */
    enum bearer_state state;
    char title[BEARER_TITLE_SIZE];
    char message[BEARER_MESSAGE_SIZE];
};

/* Fills `e` with a result and its message, and returns the result. Control characters become '?'. */
_printf_(3, 4) enum bearer_result
    bearer_error_set(struct bearer_error *e, enum bearer_result result, const char *format, ...);

struct bearer_request {
    const char *path;       /* with its query; "/v1/profiles"; at most BEARER_PATH_MAX */
    const char *media_type; /* wanted; a 200 of another one is a failure */
    bool is_post;           /* else a GET */
    const char *json;       /* the body of a POST, not secret; NULL: an empty one */
    size_t body_max;        /* bytes; a longer answer is a failure */
    long timeout_for;       /* seconds, for the whole exchange */
};

struct bearer_answer {
    int status;
    bool is_problem;     /* the body is application/problem+json */
    int64_t retry_after; /* seconds, or BEARER_ABSENT */
    struct buffer body;  /* wiped by bearer_answer_done(). Not in locked memory, which is shared state */
};

void bearer_answer_done(struct bearer_answer *a);

/* Keeps the connection for the next exchange. */
struct bearer_http;

/* 0, -EINVAL, -ENAMETOOLONG or -ENOMEM. */
int bearer_http_new(const char *socket_path, struct bearer_http **ret);
void bearer_http_free(struct bearer_http *h);
const char *bearer_http_socket_path(const struct bearer_http *h);

/*
 * Asks and reads the whole answer. BEARER_OK means that there is one, of any status; a 200 has the media type
 * asked for. `answer` is initialised here and is the caller's to end in any case.
 */
enum bearer_result bearer_http_exchange(struct bearer_http *h, const struct bearer_request *request,
                                        struct bearer_answer *answer, struct bearer_error *error);
