/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/metrics.h"
#include "wire_fixture.h"

#define TEXT_MAX      ((size_t) 65536)
#define SEC(n)        ((usec_t) (n) *USEC_PER_SEC)
#define NAME_MAX_SIZE 128

static struct profile_settings shop, tenant;
static struct registry registry;
static struct server_stats server;
static struct buffer out;
static usec_t now;

static int set_up(void **state _unused_)
{
    static const struct access_list nobody = {0};
    const struct refresh_policy policy = {
        .at_percent = 50, .retry_min_for = SEC(1), .retry_max_for = SEC(60), .timeout_for = SEC(15)};

    shop = fixture_vipps();
    tenant = fixture_oauth2();
    fixture_set(&tenant.name, "te-n.ant_1");
    shop.refresh = tenant.refresh = policy;
    shop.is_preloaded = tenant.is_preloaded = true;
    server = (struct server_stats){0};
    out = BUFFER_INIT(TEXT_MAX);
    registry_init(&registry, 16, 1);
    assert_int_equal(
        registry_add_unusable(&registry,
                              &(struct unusable_profile){.name = "broken", .message = "no", .allow = &nobody},
                              SEC(900)),
        0);
    assert_int_equal(registry_add(&registry, &shop), 0);
    assert_int_equal(registry_add(&registry, &tenant), 0);
    now = SEC(1000);
    registry_start(&registry, now);
    return 0;
}

static int tear_down(void **state _unused_)
{
    buffer_done(&out);
    registry_done(&registry);
    profile_settings_done(&shop);
    profile_settings_done(&tenant);
    return 0;
}

static struct entry *entry_of(const char *name)
{
    struct entry *e = registry_find(&registry, name);
    assert_non_null(e);
    return e;
}

/* The fetches of `shop` (a token of an hour) and the other (503) end after 40 ms. */
static void fetches_end(void)
{
    _cleanup_(token_done) struct token t = {
        .sent_at = now, .lifetime_for = SEC(3600), .expires_at = now + SEC(3600)};
    const struct failure failure = {
        .class = FAILURE_TRANSIENT, .reason = REASON_SERVER_ERROR, .http_status = 503};

    assert_int_equal(secret_set(&t.value, "the-secret-value", 16), 0);
    while (registry_pop_fetch(&registry, now))
        ;
    now += 40 * USEC_PER_MSEC;
    registry_end_fetch(&registry, entry_of("shop"), &t, NULL, true, now);
    registry_end_fetch(&registry, entry_of("te-n.ant_1"), NULL, &failure, true, now);
}

static bool show_all(void *userdata _unused_, const struct entry *e _unused_)
{
    return true;
}

static bool show_one(void *userdata, const struct entry *e)
{
    return strcmp(e->profile.name, userdata) == 0;
}

static const char *write_metrics(metrics_filter *filter, void *userdata)
{
    const struct reply_time t = {.now = now, .wall_now = now + SEC(1700000000)};

    buffer_reset(&out);
    metrics_write(&out, &registry, &server, "1.2.3", &t, filter, userdata);
    assert_int_equal(buffer_error(&out), 0);
    return buffer_peek(&out);
}

static void assert_has_line(const char *line)
{
    char wanted[256];

    (void) snprintf(wanted, sizeof(wanted), "\n%s\n", line);
    if (!strstr(buffer_peek(&out), wanted))
        fail_msg("no line %s in\n%s", line, buffer_peek(&out));
}

/* ---- a reader of the format, as strict as the strictest ---- */

struct reader {
    const char *at;
    char seen[64][NAME_MAX_SIZE]; /* families, in order */
    size_t n_seen;
    char family[NAME_MAX_SIZE]; /* the one being read */
    char type[16];
};

static size_t name_length(const char *text)
{
    size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_:0123456789");
    assert_true(n > 0 && n < NAME_MAX_SIZE && !(text[0] >= '0' && text[0] <= '9'));
    return n;
}

/* Takes exactly this text. */
static void take(struct reader *r, const char *text)
{
    if (strncmp(r->at, text, strlen(text)) != 0)
        fail_msg("expected \"%s\" at: %.80s", text, r->at);
    r->at += strlen(text);
}

static void take_name(struct reader *r, char name[static NAME_MAX_SIZE])
{
    size_t n = name_length(r->at);
    memcpy(name, r->at, n);
    name[n] = '\0';
    r->at += n;
}

/* "# HELP name text" and "# TYPE name type" begin a family that was not there before. */
static void read_head(struct reader *r)
{
    char name[NAME_MAX_SIZE];

    take(r, "# HELP ");
    take_name(r, r->family);
    take(r, " ");
    assert_true(strcspn(r->at, "\n") > 5);
    assert_true(strcspn(r->at, "\\") > strcspn(r->at, "\n"));
    r->at += strcspn(r->at, "\n");
    take(r, "\n# TYPE ");
    take_name(r, name);
    assert_string_equal(name, r->family);
    take(r, " ");
    take_name(r, name);
    (void) snprintf(r->type, sizeof(r->type), "%.15s", name);
    assert_true(strcmp(name, "gauge") == 0 || strcmp(name, "counter") == 0 || strcmp(name, "histogram") == 0);
    take(r, "\n");
    for (size_t i = 0; i < r->n_seen; i++)
        assert_string_not_equal(r->seen[i], r->family);
    assert_true(r->n_seen < 64);
    memcpy(r->seen[r->n_seen++], r->family, sizeof(r->family));
    assert_int_equal(strncmp(r->family, "bearerd_", 8), 0);
    /* The convention that tools check: a counter is a _total, nothing else is. */
    const char *total = strstr(r->family, "_total");
    assert_int_equal(strcmp(r->type, "counter") == 0, total && strcmp(total, "_total") == 0);
}

static void read_labels(struct reader *r)
{
    char name[NAME_MAX_SIZE];

    take(r, "{");
    do {
        take_name(r, name);
        take(r, "=\"");
        assert_int_not_equal(r->at[strcspn(r->at, "\"\\\n")], '\\');
        r->at += strcspn(r->at, "\"");
        take(r, "\"");
    } while (*r->at == ',' && r->at++);
    take(r, "}");
}

/* One sample; it belongs to the family that was opened last. */
static void read_sample(struct reader *r)
{
    char name[NAME_MAX_SIZE], *end;

    take_name(r, name);
    if (strcmp(r->type, "histogram") == 0) {
        char *suffix = name + strlen(r->family);
        assert_int_equal(strncmp(name, r->family, strlen(r->family)), 0);
        assert_true(strcmp(suffix, "_bucket") == 0 || strcmp(suffix, "_sum") == 0 ||
                    strcmp(suffix, "_count") == 0);
    } else {
        assert_string_equal(name, r->family);
    }
    if (*r->at == '{')
        read_labels(r);
    take(r, " ");
    double value = strtod(r->at, &end);
    assert_true(end > r->at && value >= 0);
    r->at = end;
    take(r, "\n");
}

static size_t read_all(const char *text)
{
    struct reader r = {.at = text};

    while (*r.at) {
        if (*r.at == '#')
            read_head(&r);
        else
            read_sample(&r);
    }
    return r.n_seen;
}

/* ---- stories ---- */

static void the_text_is_strictly_prometheus(void **state _unused_)
{
    size_t n = read_all(write_metrics(show_all, NULL));

    fetches_end();
    for (size_t i = 0; i < N_STATS_CODES; i++)
        server.api_requests[i] = entry_of("shop")->profile.stats.api_requests[i] = UINT64_MAX;
    for (size_t i = 0; i < N_FAILURE_REASONS; i++)
        entry_of("broken")->profile.stats.upstream_failed[i] = 7;
    assert_int_equal(read_all(write_metrics(show_all, NULL)), n);
    assert_int_equal(n, 15);
    /* The families stay when there is nothing to show. */
    assert_int_equal(read_all(write_metrics(show_one, (char[]){"nobody"})), n);
}

static void a_profile_shows_its_token_and_state(void **state _unused_)
{
    fetches_end();
    (void) write_metrics(show_all, NULL);
    assert_has_line("bearerd_token_expiry_timestamp_seconds{profile=\"shop\"} 1700004600.000");
    assert_has_line("bearerd_token_next_refresh_timestamp_seconds{profile=\"shop\"} 1700002800.000");
    assert_has_line("bearerd_profile_state{profile=\"shop\",state=\"fresh\"} 1");
    assert_has_line("bearerd_profile_state{profile=\"shop\",state=\"empty\"} 0");
    assert_has_line("bearerd_profile_state{profile=\"te-n.ant_1\",state=\"failed\"} 1");
    assert_has_line("bearerd_profile_state{profile=\"te-n.ant_1\",state=\"fresh\"} 0");
    assert_has_line("bearerd_profile_state{profile=\"broken\",state=\"failed\"} 1");
    assert_has_line("bearerd_upstream_requests_total{profile=\"shop\",outcome=\"ok\"} 1");
    assert_has_line("bearerd_upstream_requests_total{profile=\"te-n.ant_1\",outcome=\"ok\"} 0");
    assert_has_line("bearerd_upstream_requests_total{profile=\"te-n.ant_1\",outcome=\"server-error\"} 1");
    assert_has_line("bearerd_build_info{version=\"1.2.3\"} 1");
    /* Without a token there is nothing that expires: no sample is better than a zero that sets off alarms. */
    assert_null(strstr(buffer_peek(&out), "expiry_timestamp_seconds{profile=\"te-n.ant_1\"}"));
    assert_null(strstr(buffer_peek(&out), "expiry_timestamp_seconds{profile=\"broken\"}"));
    assert_null(strstr(buffer_peek(&out), "refresh_timestamp_seconds{profile=\"broken\"}"));
    assert_null(strstr(buffer_peek(&out), "the-secret-value"));
}

/* Exactly one state is 1. */
static void the_states_of_a_profile_add_up_to_one(void **state _unused_)
{
    for (int round = 0; round < 2; round++) {
        size_t n_ones = 0, n_lines = 0;
        for (const char *line = write_metrics(show_all, NULL); *line; line += strcspn(line, "\n") + 1) {
            if (strncmp(line, "bearerd_profile_state{", 22) != 0)
                continue;
            n_lines++;
            n_ones += line[strcspn(line, "\n") - 1] == '1';
        }
        assert_int_equal(n_ones, 3);
        assert_int_equal(n_lines, 3 * N_PROFILE_STATE_NAMES);
        if (round == 0)
            fetches_end();
    }
}

static void requests_are_counted_by_profile_and_code(void **state _unused_)
{
    entry_of("shop")->profile.stats.api_requests[STATS_200] = 12;
    entry_of("shop")->profile.stats.denied = 3;
    server.api_requests[STATS_404] = 4;
    server.n_connections = 5;
    server.n_refused_connections = 6;
    server.n_limited[UID_CLASS_USER][LIMIT_CONNECTIONS_PER_USER] = 4;
    server.n_limited[UID_CLASS_DYNAMIC][LIMIT_CONNECTIONS_KEPT] = 2;
    (void) write_metrics(show_all, NULL);
    assert_has_line("bearerd_api_requests_total{profile=\"shop\",code=\"200\"} 12");
    assert_has_line("bearerd_api_requests_total{profile=\"\",code=\"404\"} 4");
    assert_has_line("bearerd_denied_total{profile=\"shop\"} 3");
    assert_has_line("bearerd_denied_total{profile=\"broken\"} 0");
    assert_has_line("bearerd_connections 5");
    assert_has_line("bearerd_connections_refused_total 6");
    assert_has_line("bearerd_limited_total{class=\"user\",limit=\"connections-per-user\"} 4");
    assert_has_line("bearerd_limited_total{class=\"dynamic\",limit=\"connections-kept\"} 2");
    assert_has_line("bearerd_limited_total{class=\"root\",limit=\"connections\"} 0");
    assert_has_line("bearerd_waiters 0");
}

static void the_histogram_is_cumulative(void **state _unused_)
{
    static const char *const lines[] = {
        "_bucket{le=\"0.005\"} 2", "_bucket{le=\"0.01\"} 2",
        "_bucket{le=\"0.025\"} 2", "_bucket{le=\"0.05\"} 3",
        "_bucket{le=\"0.1\"} 3",   "_bucket{le=\"0.25\"} 3",
        "_bucket{le=\"0.5\"} 3",   "_bucket{le=\"1\"} 3",
        "_bucket{le=\"2.5\"} 4",   "_bucket{le=\"5\"} 4",
        "_bucket{le=\"15\"} 4",    "_bucket{le=\"+Inf\"} 5",
        "_sum 102.545001",         "_count 5",
    };

    histogram_observe(&registry.durations, 1);
    histogram_observe(&registry.durations, 5 * USEC_PER_MSEC);
    histogram_observe(&registry.durations, 40 * USEC_PER_MSEC);
    histogram_observe(&registry.durations, 2500 * USEC_PER_MSEC);
    histogram_observe(&registry.durations, SEC(100));
    const char *at = write_metrics(show_all, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        char line[128];
        (void) snprintf(line, sizeof(line), "\nbearerd_upstream_request_duration_seconds%s\n", lines[i]);
        at = strstr(at, line);
        if (!at)
            fail_msg("no %s, or not in its place", lines[i]);
        at += strlen(line) - 1;
    }
}

static void reports_and_reloads_are_counted_by_what_came_of_them(void **state _unused_)
{
    entry_of("shop")->profile.stats.reports = 3;
    entry_of("shop")->profile.stats.reports_refused = 7;
    server.n_reloads = 2;
    server.n_reloads_refused = 1;
    (void) write_metrics(show_all, NULL);
    assert_has_line("bearerd_rejected_reports_total{profile=\"shop\",outcome=\"taken\"} 3");
    assert_has_line("bearerd_rejected_reports_total{profile=\"shop\",outcome=\"refused\"} 7");
    assert_has_line("bearerd_rejected_reports_total{profile=\"broken\",outcome=\"taken\"} 0");
    assert_has_line("bearerd_reloads_total{outcome=\"reloaded\"} 2");
    assert_has_line("bearerd_reloads_total{outcome=\"refused\"} 1");
}

/* For the alert "we live on the second key": exactly one sample for each kind that there is. */
static void the_keys_in_use_are_shown_by_their_names(void **state _unused_)
{
    fixture_add_second_keys(&shop);
    fetches_end();
    (void) write_metrics(show_all, NULL);
    assert_has_line("bearerd_key_in_use{profile=\"shop\",kind=\"client_secret\",key=\"current\"} 1");
    assert_has_line("bearerd_key_in_use{profile=\"shop\",kind=\"subscription_key\",key=\"primary\"} 1");
    assert_has_line("bearerd_key_in_use{profile=\"te-n.ant_1\",kind=\"client_secret\",key=\"current\"} 1");
    assert_null(strstr(buffer_peek(&out), "{profile=\"te-n.ant_1\",kind=\"subscription_key\""));
    assert_null(strstr(buffer_peek(&out), "key_in_use{profile=\"broken\""));
    entry_of("shop")->profile.token_choice =
        (struct key_choice){.is_next_secret = true, .is_secondary_subscription = true};
    (void) write_metrics(show_all, NULL);
    assert_has_line("bearerd_key_in_use{profile=\"shop\",kind=\"client_secret\",key=\"next\"} 1");
    assert_has_line("bearerd_key_in_use{profile=\"shop\",kind=\"subscription_key\",key=\"secondary\"} 1");
    assert_null(strstr(buffer_peek(&out), "key=\"primary\""));
    /* By their names, and never by what they are. */
    assert_null(strstr(buffer_peek(&out), FIXTURE_SECRET));
    assert_null(strstr(buffer_peek(&out), FIXTURE_SECONDARY_KEY));
}

/* A name that the caller may not know is nowhere, in no family. */
static void the_filter_hides_profiles(void **state _unused_)
{
    fetches_end();
    entry_of("te-n.ant_1")->profile.stats.api_requests[STATS_200] = 1;
    entry_of("te-n.ant_1")->profile.stats.denied = 1;
    entry_of("te-n.ant_1")->profile.stats.reports = 1;
    (void) write_metrics(show_one, (char[]){"shop"});
    assert_non_null(strstr(buffer_peek(&out), "\"shop\""));
    assert_null(strstr(buffer_peek(&out), "te-n.ant_1"));
    assert_null(strstr(buffer_peek(&out), "broken"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_text_is_strictly_prometheus),
        TEST(a_profile_shows_its_token_and_state),
        TEST(the_states_of_a_profile_add_up_to_one),
        TEST(requests_are_counted_by_profile_and_code),
        TEST(reports_and_reloads_are_counted_by_what_came_of_them),
        TEST(the_keys_in_use_are_shown_by_their_names),
        TEST(the_histogram_is_cumulative),
        TEST(the_filter_hides_profiles),
    };
    return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
