/* SPDX-License-Identifier: MIT */
#include "host/supervisor.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#define STATUS_SIZE 512

struct supervisor {
    sd_event_source *watchdog;
    usec_t ping_for;
    supervisor_health *is_healthy;
    void *userdata;
    bool is_ready;
    char status[STATUS_SIZE];
};

/* sd_notify() with the variable kept, since it is used again; failures have nobody to be told to. */
_printf_(1, 2) static void notify(const char *format, ...)
{
    char text[STATUS_SIZE + 64];
    va_list args;

    va_start(args, format);
    (void) vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    (void) sd_notify(0, text);
}

static int on_watchdog(sd_event_source *source, uint64_t usec _unused_, void *userdata)
{
    struct supervisor *s = userdata;

    if (s->is_healthy(s->userdata))
        notify("WATCHDOG=1");
    int r = sd_event_source_set_time_relative(source, s->ping_for);
    if (r >= 0)
        r = sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
    return r;
}

int supervisor_new(struct supervisor **ret, sd_event *event, supervisor_health *is_healthy, void *userdata)
{
    _cleanup_(supervisor_free_p) struct supervisor *s = calloc(1, sizeof(*s));
    uint64_t watchdog_for = 0;

    if (!s)
        return -ENOMEM;
    s->is_healthy = is_healthy;
    s->userdata = userdata;
    int r = sd_watchdog_enabled(1, &watchdog_for);
    if (r > 0) {
        /* Half of the time, as sd_watchdog_enabled(3) advises; CLOCK_MONOTONIC, as the manager counts. */
        s->ping_for = watchdog_for / 2;
        r = sd_event_add_time_relative(event, &s->watchdog, CLOCK_MONOTONIC, s->ping_for, s->ping_for / 4,
                                       on_watchdog, s);
        if (r < 0)
            return r;
    }
    *ret = TAKE_PTR(s);
    return 0;
}

struct supervisor *supervisor_free(struct supervisor *s)
{
    if (!s)
        return NULL;
    (void) sd_event_source_disable_unref(s->watchdog);
    free(s);
    return NULL;
}

void supervisor_extend_start(struct supervisor *s _unused_, usec_t by)
{
    notify("EXTEND_TIMEOUT_USEC=%" PRIu64, by);
}

void supervisor_ready(struct supervisor *s)
{
    if (s->is_ready)
        return;
    s->is_ready = true;
    notify("READY=1");
}

void supervisor_status(struct supervisor *s, const char *status)
{
    if (strncmp(s->status, status, sizeof(s->status) - 1) == 0)
        return;
    (void) snprintf(s->status, sizeof(s->status), "%s", status);
    notify("STATUS=%s", s->status);
}

void supervisor_stopping(struct supervisor *s)
{
    (void) snprintf(s->status, sizeof(s->status), "Stopping: answering the last requests");
    notify("STOPPING=1\nSTATUS=%s", s->status);
}

bool supervisor_is_ready(const struct supervisor *s)
{
    return s->is_ready;
}
