/* SPDX-License-Identifier: MIT */
#include "daemon.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/locked.h"
#include "fetch.h"
#include "host/clock.h"
#include "host/process.h"
#include "host/random.h"
#include "report.h"
#include "restart.h"

/* What is due is done before requests of the same turn are answered. */
#define PRIORITY_TIMER (SD_EVENT_PRIORITY_NORMAL - 30)
/* How exact deadlines are; also what the kernel may use to wake once for several. */
#define TIMER_ACCURACY (10 * USEC_PER_MSEC)
#define AUDIT_ACCURACY (2 * USEC_PER_SEC)
/* On SIGTERM: for upstream answers that are on their way ... */
#define FINISH_FOR USEC_PER_SEC
/* ... and then for clients that are slow to take their last answer. */
#define GRACE_FOR (5 * USEC_PER_SEC)
/* The shown wall clock follows CLOCK_REALTIME when it is off by more: steps, not the drift between two
 * clocks. */
#define WALL_TOLERANCE ((int64_t) USEC_PER_SEC / 2)

struct reply_time daemon_time(struct daemon *d)
{
    uint64_t now = 0;

    (void) sd_event_now(d->event, CLOCK_BOOTTIME, &now);
    int64_t offset = (int64_t) clock_wall() - (int64_t) clock_boottime();
    if (llabs(offset - d->wall_offset) > WALL_TOLERANCE)
        d->wall_offset = offset;
    return (struct reply_time){.now = now, .wall_now = (usec_t) ((int64_t) now + d->wall_offset)};
}

usec_t daemon_monotonic(const struct daemon *d)
{
    uint64_t now = 0;

    (void) sd_event_now(d->event, CLOCK_MONOTONIC, &now);
    return now;
}

/* ---- the pump ---- */

static void stop_serving(struct daemon *d);

static void arm_timer(struct daemon *d)
{
    usec_t next_at = registry_next_at(&d->registry);

    (void) sd_event_source_set_time(d->timer, next_at);
    (void) sd_event_source_set_enabled(d->timer, next_at == USEC_INFINITY ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
}

void daemon_pump(struct daemon *d)
{
    bool has_changed = false;
    struct entry *e;
    struct waiter *w;
    enum note note;

    while ((e = registry_pop_fetch(&d->registry, daemon_time(d).now)))
        fetch_start(d, e);
    while ((e = registry_pop_note(&d->registry, &note))) {
        report_note(d, e, note);
        has_changed = true;
    }
    if (has_changed) {
        api_forget(&d->api);
        report_status(d);
    }
    restart_save(d);
    if (d->registry.n_starting == 0)
        report_ready(d);
    while ((w = registry_pop_answer(&d->registry))) {
        struct request *r = container_of(w, struct request, waiter);
        server_answer(r, api_finish(&d->api, r));
    }
    arm_timer(d);
    if (d->is_finishing && list_is_empty(&d->fetches))
        stop_serving(d);
}

static int on_timer(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata)
{
    struct daemon *d = userdata;

    api_forget(&d->api);
    registry_advance(&d->registry, daemon_time(d).now);
    daemon_pump(d);
    return 0;
}

static int on_kick(sd_event_source *source _unused_, void *userdata)
{
    daemon_pump(userdata);
    return 0;
}

void daemon_kick(struct daemon *d)
{
    (void) sd_event_source_set_enabled(d->kick, SD_EVENT_ONESHOT);
}

static void kick(void *userdata)
{
    daemon_kick(userdata);
}

/* ---- the audit ---- */

static void arm_audit_timer(struct daemon *d)
{
    usec_t next_at = audit_next_at(d->audit);

    (void) sd_event_source_set_time(d->audit_timer, next_at);
    (void) sd_event_source_set_enabled(d->audit_timer,
                                       next_at == USEC_INFINITY ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
}

static int on_audit_timer(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata)
{
    struct daemon *d = userdata;

    report_audit(d);
    arm_audit_timer(d);
    return 0;
}

static void kick_audit(void *userdata)
{
    arm_audit_timer(userdata);
}

static void read_time(void *userdata, struct reply_time *ret)
{
    *ret = daemon_time(userdata);
}

static bool is_healthy(void *userdata)
{
    struct daemon *d = userdata;
    return fetches_are_in_time(d, daemon_time(d).now);
}

/* ---- start ---- */

static int on_hangup(sd_event_source *source _unused_, const struct signalfd_siginfo *info _unused_,
                     void *userdata)
{
    struct daemon *d = userdata;

    (void) reload_start(&d->reload);
    return 0;
}

static int on_ready_time(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata)
{
    report_ready(userdata);
    return 0;
}

static void on_drained(void *userdata)
{
    struct daemon *d = userdata;

    restart_save_all(d);
    (void) sd_event_exit(d->event, EXIT_SUCCESS);
}

static void stop_serving(struct daemon *d)
{
    d->is_finishing = false;
    (void) sd_event_source_set_enabled(d->finish_timer, SD_EVENT_OFF);
    server_stop(d->server, GRACE_FOR, on_drained, d);
    registry_stop(&d->registry, daemon_time(d).now);
    daemon_pump(d);
}

static int on_finish_time(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata)
{
    stop_serving(userdata);
    return 0;
}

/* Whether anybody is to have what the upstream is about to answer: a caller now, or the next process. */
static bool is_worth_finishing(const struct daemon *d)
{
    return !list_is_empty(&d->fetches) && (d->registry.n_waiters > 0 || state_store_is_used(d->state));
}

/*
 * Requests to upstreams that are out may end first, for a moment: their callers get a token and no refusal,
 * and the next process need not ask again. All is served meanwhile. A second signal is for people who do not
 * want to wait.
 */
static int on_signal(sd_event_source *source _unused_, const struct signalfd_siginfo *info, void *userdata)
{
    struct daemon *d = userdata;

    if (d->is_finishing)
        stop_serving(d);
    if (d->is_stopping)
        return 0;
    d->is_stopping = true;
    log_with(d->log, LOG_LEVEL_NOTICE, LOG_EVENT_STOPPING,
             (FIELD("SIGNAL", strsignal((int) info->ssi_signo))),
             "stopping on %s, with %zu waiting request%s to be answered first",
             strsignal((int) info->ssi_signo), d->registry.n_waiters, d->registry.n_waiters == 1 ? "" : "s");
    supervisor_stopping(d->supervisor);
    d->is_finishing = is_worth_finishing(d) &&
                      sd_event_add_time_relative(d->event, &d->finish_timer, CLOCK_MONOTONIC, FINISH_FOR,
                                                 TIMER_ACCURACY, on_finish_time, d) >= 0;
    if (!d->is_finishing)
        stop_serving(d);
    return 0;
}

/* Merges the usable and the unusable profiles, both sorted, into the registry. */
static int fill_registry(struct daemon *d)
{
    const struct settings *s = &d->settings;
    usec_t now = daemon_time(d).now;
    size_t i = 0, k = 0;

    while (i < s->n_profiles || k < s->n_failed) {
        int r;
        if (k == s->n_failed || (i < s->n_profiles && strcmp(s->profiles[i]->name, s->failed[k].name) < 0)) {
            r = registry_add(&d->registry, s->profiles[i++]);
        } else {
            const struct failed_profile *f = &s->failed[k++];
            const struct unusable_profile u = {
                .name = f->name,
                .description = f->description,
                .provider = f->is_provider_known ? provider_name(f->provider) : NULL,
                .message = f->reason,
                .allow = &f->allow,
            };
            r = registry_add_unusable(&d->registry, &u, now);
            log_with(d->log, LOG_LEVEL_ERROR, LOG_EVENT_PROFILE_FAILED,
                     (FIELD("PROFILE", f->name), FIELD("REASON", "settings")),
                     "%s: cannot be used until its settings are repaired: %s", f->name, f->reason);
        }
        if (r < 0)
            return r;
    }
    return 0;
}

static int start_registry(struct daemon *d)
{
    uint64_t seed;

    int r = random_fill(&seed, sizeof(seed));
    if (r < 0)
        return r;
    registry_init(&d->registry, d->settings.daemon.concurrent_fetches, seed);
    return fill_registry(d);
}

/* Those that the service manager passed, or else our own. */
static int open_sockets(struct daemon *d, struct listeners *ret)
{
    struct listeners l = {0};
    int fd;

    while (l.n_items < SERVER_SOCKETS_MAX && (fd = passed_fds_take_socket(&d->passed)) >= 0)
        l.items[l.n_items++] = (struct listener){.fd = fd, .is_inherited = true};
    if (l.n_items == 0) {
        int r = listen_socket_open(&d->socket, &d->settings.daemon, d->log);
        if (r < 0)
            return r;
        l.items[l.n_items++] = (struct listener){.fd = TAKE_FD(d->socket.fd)};
    }
    passed_fds_refuse(&d->passed, d->supervisor, d->log);
    passed_fds_done(&d->passed);
    *ret = l;
    return 0;
}

static int start_server(struct daemon *d)
{
    const struct daemon_settings *s = &d->settings.daemon;
    const struct server_limits limits = {s->max_connections, s->max_connections_per_user};
    const struct server_handler handler = {
        .handle = api_handle, .hang_up = api_hang_up, .answered = api_answered, .userdata = &d->api};

    struct listeners listeners;

    int r = open_sockets(d, &listeners);
    if (r < 0)
        return r;
    r = server_new(&d->server, d->event, &listeners, &limits, &handler, d->log);
    if (r < 0)
        return r;
    server_set_unit_rules(d->server, settings_have_unit_rules(&d->settings));
    d->api = (struct api){
        .registry = &d->registry,
        .settings = s,
        .server = d->server,
        .stats = server_get_stats(d->server),
        .audit = d->audit,
        .reload = &d->reload,
        .log = d->log,
        .read_time = read_time,
        .is_healthy = is_healthy,
        .kick = kick,
        .kick_audit = kick_audit,
        .userdata = d,
    };
    return 0;
}

static int add_sources(struct daemon *d)
{
    static const int signals[] = {SIGTERM, SIGINT};
    int r =
        sd_event_add_time(d->event, &d->timer, CLOCK_BOOTTIME, USEC_INFINITY, TIMER_ACCURACY, on_timer, d);

    if (r >= 0)
        r = sd_event_source_set_priority(d->timer, PRIORITY_TIMER);
    if (r >= 0)
        r = sd_event_add_defer(d->event, &d->kick, on_kick, d);
    if (r >= 0)
        r = sd_event_source_set_priority(d->kick, PRIORITY_TIMER);
    /* Summaries can wait for something else to wake the machine. */
    if (r >= 0)
        r = sd_event_add_time(d->event, &d->audit_timer, CLOCK_BOOTTIME, USEC_INFINITY, AUDIT_ACCURACY,
                              on_audit_timer, d);
    for (size_t i = 0; i < ARRAY_SIZE(signals) && r >= 0; i++)
        r = sd_event_add_signal(d->event, &d->signals[i], signals[i], on_signal, d);
    if (r >= 0)
        r = sd_event_add_signal(d->event, &d->signals[2], SIGHUP, on_hangup, d);
    return r < 0 ? r : 0;
}

/* READY once each preloaded profile has answered one way or the other, or the longest Timeout= has passed. */
static int start_profiles(struct daemon *d)
{
    usec_t longest_for = 0, now = daemon_time(d).now;

    for (size_t i = 0; i < d->settings.n_profiles; i++) {
        if (d->settings.profiles[i]->is_preloaded)
            longest_for = usec_max(longest_for, d->settings.profiles[i]->refresh.timeout_for);
    }
    supervisor_extend_start(d->supervisor, usec_add(longest_for, 30 * USEC_PER_SEC));
    int r = sd_event_add_time(d->event, &d->ready_timer, CLOCK_BOOTTIME, usec_add(now, longest_for),
                              TIMER_ACCURACY, on_ready_time, d);
    if (r < 0)
        return r;
    registry_start(&d->registry, now);
    daemon_pump(d);
    return 0;
}

static void warn_about_memory(struct daemon *d)
{
    struct locked_stat stat = locked_memory_stat();

    if (stat.unlocked > 0)
        log_warning(d->log,
                    "%zu of %zu bytes of key memory could not be locked and might be swapped out: raise "
                    "LimitMEMLOCK= "
                    "of the unit, or set MemorySwapMax=0",
                    stat.unlocked, stat.mapped);
}

static int start(struct daemon *d)
{
    const struct daemon_settings *s = &d->settings.daemon;

    int r = sd_event_new(&d->event);
    if (r < 0)
        return r;
    r = process_raise_limits(
        server_files_per_connection() * s->max_connections + 4 * s->concurrent_fetches + 64, d->log);
    if (r < 0)
        return r;
    warn_about_memory(d);
    r = supervisor_new(&d->supervisor, d->event, is_healthy, d);
    if (r >= 0)
        r = start_registry(d);
    if (r >= 0)
        r = restart_begin(d);
    if (r >= 0)
        r = audit_new(&d->audit, s->audit);
    if (r >= 0)
        r = upstream_new(&d->upstream, d->event, d->log);
    if (r >= 0)
        r = add_sources(d);
    if (r >= 0)
        r = start_server(d);
    if (r >= 0)
        r = start_profiles(d);
    return r;
}

/* In the order of use: whoever calls back goes before what it calls. */
static void daemon_done(struct daemon *d)
{
    if (!reload_done(&d->reload)) {
        listen_socket_done(&d->socket);
        _exit(d->is_stopping ? EXIT_SUCCESS : EXIT_FAILURE);
    }
    fetches_cancel(d);
    (void) server_free(d->server);
    /* The last answers have ended with their connections. */
    if (d->audit)
        report_audit_rest(d);
    api_done(&d->api);
    (void) audit_free(d->audit);
    (void) upstream_free(d->upstream);
    (void) state_store_free(d->state);
    (void) supervisor_free(d->supervisor);
    sd_event_source *sources[] = {d->timer,       d->kick,       d->ready_timer,
                                  d->signals[0],  d->signals[1], d->signals[2],
                                  d->audit_timer, d->save_timer, d->finish_timer};
    for (size_t i = 0; i < ARRAY_SIZE(sources); i++)
        (void) sd_event_source_disable_unref(sources[i]);
    (void) sd_event_unref(d->event);
    registry_done(&d->registry);
    passed_fds_done(&d->passed);
    listen_socket_done(&d->socket);
    settings_done(&d->settings);
}

int daemon_run(struct settings *settings_take, struct passed_fds *passed_take,
               const struct settings_source *source, struct log *log)
{
    _cleanup_(daemon_done) struct daemon d = {
        .log = log, .settings = *settings_take, .socket = LISTEN_SOCKET_INIT};

    *settings_take = (struct settings){0};
    d.passed = *passed_take;
    *passed_take = (struct passed_fds){0};
    list_init(&d.fetches);
    reload_init(&d.reload, &d, source);
    int r = start(&d);
    if (r < 0) {
        log_error(log, "cannot start: %s", strerror(-r));
        return EXIT_FAILURE;
    }
    r = sd_event_loop(d.event);
    if (r < 0) {
        log_error(log, "the event loop failed: %s", strerror(-r));
        return EXIT_FAILURE;
    }
    return r;
}
