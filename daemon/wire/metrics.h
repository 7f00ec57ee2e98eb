/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The numbers in Prometheus text format 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats/).
 * A caller is shown the profiles it may see and no others: profile names can be told by nobody else's
 * metrics.
 */

#include "core/access.h"
#include "core/registry.h"
#include "wire/reply.h"

/* What keeps a user from another connection: host/server.h says what each is for. */
enum connection_limit {
    LIMIT_CONNECTIONS,          /* MaxConnections= */
    LIMIT_CONNECTIONS_PER_USER, /* MaxConnectionsPerUser= */
    LIMIT_CONNECTIONS_KEPT,     /* the last are for users who have few */
    N_LIMITS,
};

/* What is not a profile's: kept by the host, and by whoever answers requests and reloads. */
struct server_stats {
    uint64_t api_requests[N_STATS_CODES]; /* of requests that belong to no profile the caller may use */
    uint64_t n_connections;               /* open now */
    uint64_t n_refused_connections;       /* over a limit, ever */
    uint64_t n_limited[N_UID_CLASSES][N_LIMITS]; /* the same, by whose and which */
    uint64_t n_reloads;                          /* whose settings are, or were, in force */
    uint64_t n_reloads_refused;
};

/* Which profiles to show. */
typedef bool metrics_filter(void *userdata, const struct entry *e);

void metrics_write(struct buffer *out, const struct registry *r, const struct server_stats *server,
                   const char *version, const struct reply_time *t, metrics_filter *filter, void *userdata);
