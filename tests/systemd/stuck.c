/* SPDX-License-Identifier: MIT */

/*
 * Wedges, for LD_PRELOAD, in a daemon whose loop turns on (test_watchdog.py). While the file STUCK_TRANSFERS
 * is there, libcurl's timers are lost: transfers neither begin nor end, not even by a time-out. While
 * STUCK_TIMERS is there, so are those that the daemon sets for what is due.
 */

#include <curl/curl.h>
#include <dlfcn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <systemd/sd-event.h>
#include <time.h>
#include <unistd.h>

#undef curl_multi_setopt
CURLMcode curl_multi_setopt(CURLM *multi, CURLMoption option, ...);

static curl_multi_timer_callback arm;

static int arm_unless_stuck(CURLM *multi, long timeout_ms, void *userdata)
{
    return access(STUCK_TRANSFERS, F_OK) == 0 ? 0 : arm(multi, timeout_ms, userdata);
}

CURLMcode curl_multi_setopt(CURLM *multi, CURLMoption option, ...)
{
    CURLMcode (*next)(CURLM *, CURLMoption, ...) = dlsym(RTLD_NEXT, "curl_multi_setopt");
    va_list arguments;

    /* Each option's value is a pointer, or a long, which is passed like one. */
    va_start(arguments, option);
    void *value = va_arg(arguments, void *);
    va_end(arguments);
    if (option != CURLMOPT_TIMERFUNCTION || !value)
        return next(multi, option, value);
    arm = (curl_multi_timer_callback) value;
    return next(multi, option, arm_unless_stuck);
}

/* Not the watchdog's: that has another clock, and libsystemd calls here for it. */
int sd_event_source_set_time(sd_event_source *source, uint64_t at)
{
    int (*next)(sd_event_source *, uint64_t) = dlsym(RTLD_NEXT, "sd_event_source_set_time");
    clockid_t clock = CLOCK_MONOTONIC;

    (void) sd_event_source_get_time_clock(source, &clock);
    bool is_lost = clock == CLOCK_BOOTTIME && access(STUCK_TIMERS, F_OK) == 0;
    return next(source, is_lost ? UINT64_MAX : at);
}
