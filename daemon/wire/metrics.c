/* SPDX-License-Identifier: MIT */
#include "wire/metrics.h"

#include <inttypes.h>
#include <string.h>

struct writer {
    struct buffer *out;
    const struct registry *registry;
    const struct reply_time *t;
    metrics_filter *filter;
    void *userdata;
};

static void write_help(struct writer *w, const char *name, const char *type, const char *help)
{
    buffer_appendf(w->out, "# HELP bearerd_%s %s\n# TYPE bearerd_%s %s\n", name, help, name, type);
}

/* Profile names need no escaping: [a-z0-9._-]. */
typedef void write_samples(struct writer *w, const struct profile *p);

static void each_profile(struct writer *w, write_samples *write)
{
    for (size_t i = 0; i < w->registry->n_entries; i++) {
        const struct entry *e = w->registry->entries[i];
        if (w->filter(w->userdata, e))
            write(w, &e->profile);
    }
}

static void write_moment(struct writer *w, const char *name, const struct profile *p, usec_t at)
{
    usec_t wall_at = reply_wall_at(w->t, at);
    buffer_appendf(w->out, "bearerd_%s{profile=\"%s\"} %" PRIu64 ".%03" PRIu64 "\n", name, p->name,
                   wall_at / USEC_PER_SEC, wall_at % USEC_PER_SEC / USEC_PER_MSEC);
}

static void write_expiry(struct writer *w, const struct profile *p)
{
    if (token_is_set(&p->token))
        write_moment(w, "token_expiry_timestamp_seconds", p, p->token.expires_at);
}

static void write_next_refresh(struct writer *w, const struct profile *p)
{
    if (profile_next_attempt_at(p) != USEC_INFINITY)
        write_moment(w, "token_next_refresh_timestamp_seconds", p, profile_next_attempt_at(p));
}

static void write_state(struct writer *w, const struct profile *p)
{
    const char *state = profile_state_name(profile_state(p, w->t->now));

    for (size_t i = 0; i < N_PROFILE_STATE_NAMES; i++)
        buffer_appendf(w->out, "bearerd_profile_state{profile=\"%s\",state=\"%s\"} %d\n", p->name,
                       profile_state_names[i], strcmp(state, profile_state_names[i]) == 0);
}

static void write_upstream(struct writer *w, const struct profile *p)
{
    static const char format[] =
        "bearerd_upstream_requests_total{profile=\"%s\",outcome=\"%s\"} %" PRIu64 "\n";

    buffer_appendf(w->out, format, p->name, "ok", p->stats.upstream_ok);
    for (unsigned i = 0; i < N_FAILURE_REASONS; i++) {
        if (p->stats.upstream_failed[i] > 0)
            buffer_appendf(w->out, format, p->name, failure_reason_name((enum failure_reason) i),
                           (uint64_t) p->stats.upstream_failed[i]);
    }
}

static void write_codes(struct writer *w, const char *profile, const uint64_t counts[N_STATS_CODES])
{
    for (unsigned i = 0; i < N_STATS_CODES; i++) {
        if (counts[i] > 0)
            buffer_appendf(w->out, "bearerd_api_requests_total{profile=\"%s\",code=\"%u\"} %" PRIu64 "\n",
                           profile, stats_code_status((enum stats_code) i), counts[i]);
    }
}

static void write_requests(struct writer *w, const struct profile *p)
{
    write_codes(w, p->name, p->stats.api_requests);
}

static void write_denied(struct writer *w, const struct profile *p)
{
    buffer_appendf(w->out, "bearerd_denied_total{profile=\"%s\"} %" PRIu64 "\n", p->name, p->stats.denied);
}

static void write_reports(struct writer *w, const struct profile *p)
{
    static const char format[] =
        "bearerd_rejected_reports_total{profile=\"%s\",outcome=\"%s\"} %" PRIu64 "\n";

    buffer_appendf(w->out, format, p->name, "taken", p->stats.reports);
    buffer_appendf(w->out, format, p->name, "refused", p->stats.reports_refused);
}

static void write_key(struct writer *w, const struct profile *p, const char *kind, const char *key)
{
    if (key)
        buffer_appendf(w->out, "bearerd_key_in_use{profile=\"%s\",kind=\"%s\",key=\"%s\"} 1\n", p->name, kind,
                       key);
}

static void write_keys(struct writer *w, const struct profile *p)
{
    write_key(w, p, "client_secret", reply_client_secret_in_use(p));
    write_key(w, p, "subscription_key", reply_subscription_key_in_use(p));
}

static void write_durations(struct writer *w)
{
    const struct histogram *h = &w->registry->durations;
    uint64_t count = 0;

    write_help(w, "upstream_request_duration_seconds", "histogram", "How long upstream token requests took.");
    for (size_t i = 0; i < N_STATS_BUCKETS; i++) {
        count += h->counts[i];
        buffer_appendf(w->out, "bearerd_upstream_request_duration_seconds_bucket{le=\"%g\"} %" PRIu64 "\n",
                       (double) stats_bucket_bounds[i] / (double) USEC_PER_SEC, count);
    }
    count += h->counts[N_STATS_BUCKETS];
    buffer_appendf(w->out,
                   "bearerd_upstream_request_duration_seconds_bucket{le=\"+Inf\"} %" PRIu64 "\n"
                   "bearerd_upstream_request_duration_seconds_sum %.6f\n"
                   "bearerd_upstream_request_duration_seconds_count %" PRIu64 "\n",
                   count, (double) h->sum_for / (double) USEC_PER_SEC, count);
}

static void write_limited(struct writer *w, const struct server_stats *server)
{
    static const char *const limits[N_LIMITS] = {
        [LIMIT_CONNECTIONS] = "connections",
        [LIMIT_CONNECTIONS_PER_USER] = "connections-per-user",
        [LIMIT_CONNECTIONS_KEPT] = "connections-kept",
    };

    write_help(w, "limited_total", "counter", "Refused connections by class of the user and limit.");
    for (unsigned i = 0; i < N_UID_CLASSES; i++) {
        for (unsigned k = 0; k < N_LIMITS; k++)
            buffer_appendf(w->out, "bearerd_limited_total{class=\"%s\",limit=\"%s\"} %" PRIu64 "\n",
                           uid_class_name((enum uid_class) i), limits[k], server->n_limited[i][k]);
    }
}

static void write_server(struct writer *w, const struct server_stats *server)
{
    write_help(w, "connections", "gauge", "Open connections on the socket.");
    buffer_appendf(w->out, "bearerd_connections %" PRIu64 "\n", server->n_connections);
    write_help(w, "connections_refused_total", "counter", "Connections refused because a limit was reached.");
    buffer_appendf(w->out, "bearerd_connections_refused_total %" PRIu64 "\n", server->n_refused_connections);
    write_limited(w, server);
    write_help(w, "reloads_total", "counter", "Reloads of the settings by what came of them.");
    buffer_appendf(w->out,
                   "bearerd_reloads_total{outcome=\"reloaded\"} %" PRIu64 "\n"
                   "bearerd_reloads_total{outcome=\"refused\"} %" PRIu64 "\n",
                   server->n_reloads, server->n_reloads_refused);
    write_help(w, "waiters", "gauge", "Requests that wait for a token.");
    buffer_appendf(w->out, "bearerd_waiters %zu\n", w->registry->n_waiters);
}

void metrics_write(struct buffer *out, const struct registry *r, const struct server_stats *server,
                   const char *version, const struct reply_time *t, metrics_filter *filter, void *userdata)
{
    static const struct {
        const char *name, *type, *help;
        write_samples *write;
    } families[] = {
        {"token_expiry_timestamp_seconds",       "gauge",   "When the current token expires.",                   write_expiry  },
        {"token_next_refresh_timestamp_seconds", "gauge",   "When the next upstream request is planned.",
         write_next_refresh                                                                                                    },
        {"profile_state",                        "gauge",   "1 for the state the profile is in.",                write_state   },
        {"upstream_requests_total",              "counter", "Upstream token requests by how they ended.",        write_upstream},
        {"rejected_reports_total",               "counter",
         "Reports that the upstream refused the token; refused: over the budget.",                               write_reports },
        {"key_in_use",                           "gauge",   "1 for the keys that the token was asked for with.", write_keys    },
        {"denied_total",                         "counter", "Requests of callers that no rule admits.",          write_denied  },
        {"api_requests_total",                   "counter", "Answered API requests; no profile: the others.",    write_requests},
    };
    struct writer w = {.out = out, .registry = r, .t = t, .filter = filter, .userdata = userdata};

    write_help(&w, "build_info", "gauge", "Which bearerd this is.");
    buffer_appendf(out, "bearerd_build_info{version=\"%s\"} 1\n", version);
    for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
        write_help(&w, families[i].name, families[i].type, families[i].help);
        each_profile(&w, families[i].write);
    }
    /* The last family goes on with what belongs to no profile. */
    write_codes(&w, "", server->api_requests);
    write_durations(&w);
    write_server(&w, server);
}
