/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What each request of the API comes to: who may ask, which answer. It turns a request (host/server) into a
 * question to the registry (core) and what the registry says into a body (wire); it reads no clock and
 * touches no descriptor.
 *
 *   api.c         the way of a request; tokens and header sets
 *   api_access.c  who may, and what the log is told about it
 *   api_views.c   states, explanations, health, metrics
 *
 * Cached answers: the body of /token changes once a second at most, so it is kept, whole, for the callers of
 * the same second. Everything kept is dropped by api_forget() whenever something happened to any token.
 */

#include "core/audit.h"
#include "core/registry.h"
#include "host/server.h"
#include "reload.h"
#include "wire/reply.h"

#define API_CACHE_SLOTS 64

enum reply_form {
    FORM_TOKEN,
    FORM_HEADERS_JSON,
    FORM_HEADERS_TEXT,
};

struct cached_reply {
    const struct entry *entry; /* NULL: free */
    enum reply_form form;
    uint64_t generation;
    usec_t left_for; /* whole seconds */
    usec_t next_at;  /* a report or a refresh moves it */
    struct response *response;
};

struct api {
    struct registry *registry;              /* borrowed */
    const struct daemon_settings *settings; /* borrowed */
    struct server *server;                  /* borrowed */
    struct server_stats *stats;             /* borrowed */
    struct audit *audit;                    /* borrowed */
    struct reload *reload;                  /* borrowed */
    struct log *log;                        /* borrowed */
    void (*read_time)(void *userdata, struct reply_time *ret);
    bool (*is_healthy)(void *userdata);
    void (*kick)(void *userdata);       /* the registry has something to do, once the loop turns */
    void (*kick_audit)(void *userdata); /* the audit's next summary may have come nearer */
    void *userdata;
    struct cached_reply cache[API_CACHE_SLOTS];
};

/* Wipes what is cached. */
void api_done(struct api *a);

/* Drops the cached answers, as after a fetch or an expiry. */
void api_forget(struct api *a);

/* The server's handler (struct server_handler); userdata is the struct api. */
struct response *api_handle(void *userdata, struct request *r);
void api_hang_up(void *userdata, struct request *r);

void api_answered(void *userdata, struct request *r);

/* A waiter came out of the registry: the answer to its request. NULL when memory is out. */
struct response *api_finish(struct api *a, struct request *r);
