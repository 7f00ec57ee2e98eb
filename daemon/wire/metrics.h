/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The numbers in Prometheus text format 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats/).
 * A caller is shown the profiles it may see and no others: profile names can be told by nobody else's
 * metrics.
 */

#include "core/registry.h"
#include "wire/reply.h"

/* What is not a profile's: kept by the host. */
struct server_stats {
    uint64_t api_requests[N_STATS_CODES]; /* of requests that belong to no profile the caller may use */
    uint64_t n_connections;               /* open now */
    uint64_t n_refused_connections;       /* over a limit, ever */
};

/* Which profiles to show. */
typedef bool metrics_filter(void *userdata, const struct entry *e);

void metrics_write(struct buffer *out, const struct registry *r, const struct server_stats *server,
                   const char *version, const struct reply_time *t, metrics_filter *filter, void *userdata);
