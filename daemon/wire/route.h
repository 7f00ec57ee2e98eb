/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The request target of the API, as bytes, turned into what is asked for. Strict: what is not understood
 * wholly is an error, so that a typing error in a parameter cannot silently mean the default.
 */

#include <stdbool.h>

#include "core/profile.h"

enum endpoint {
    ENDPOINT_UNKNOWN, /* 404 */
    ENDPOINT_PROFILES,
    ENDPOINT_PROFILE,
    ENDPOINT_TOKEN,
    ENDPOINT_HEADERS,
    ENDPOINT_REFRESH,
    ENDPOINT_REJECTED,
    ENDPOINT_EXPLAIN,
    ENDPOINT_RELOAD,
    ENDPOINT_HEALTHZ,
    ENDPOINT_READYZ,
    ENDPOINT_METRICS,
    N_ENDPOINTS,
};

enum method {
    METHOD_GET, /* and HEAD, which is answered alike without the body (RFC 9110 section 9.3.2) */
    METHOD_POST,
};

/* wait=: 0 to 60 s, 10 s when absent. */
#define WAIT_DEFAULT (10 * USEC_PER_SEC)
#define WAIT_MAX     (60 * USEC_PER_SEC)
/* min_ttl=: beyond any token's life (TOKEN_LIFETIME_MAX); a larger number is a mistake in units. */
#define MIN_TTL_MAX_SECONDS UINT64_C(100000000)

/* Of groups=: a user is seldom in more than a few. */
#define ROUTE_GROUPS_MAX 64

/* The query of /explain: about whom. Numbers, as the kernel knows them. */
struct route_subject {
    bool has_uid, has_gid, has_pid;
    uint32_t uid, gid;
    int32_t pid;
    uint32_t groups[ROUTE_GROUPS_MAX];
    size_t n_groups;
};

struct route {
    enum endpoint endpoint;
    bool is_bad; /* 400: see `problem` */
    char profile[PROFILE_NAME_MAX +
                 1];    /* as asked for, percent-decoded; a name no profile can have is never found */
    usec_t min_ttl_for; /* or MIN_TTL_DEFAULT */
    usec_t wait_for;
    bool has_wait; /* wait= was given: with If-None-Match, a long poll */
    struct route_subject subject;
    char problem[160]; /* what is wrong, for the `detail` */
};

/* Reads a raw request target ("/v1/profiles/shop/token?wait=5"). Always gives a route. */
void route_parse(const char *target, struct route *ret);

/* Room for FINGERPRINT_SIZE; reads the body of /rejected, {"fingerprint": "16 hex digits"}. NULL when it is
 * that, else what is wrong with it. */
const char *route_read_rejection(const char *body, size_t size, char ret[static FINGERPRINT_SIZE]);

/* True when the field value of an If-None-Match (RFC 9110 section 13.1.2, compared weakly) names the entity
 * tag of this generation, or is "*". What is not understood names nothing. */
bool route_names_generation(const char *if_none_match, uint64_t generation);

/* The method an endpoint takes, and the Allow header that says so. */
enum method endpoint_method(enum endpoint endpoint);
const char *endpoint_allow(enum endpoint endpoint);
