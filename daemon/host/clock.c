/* SPDX-License-Identifier: MIT */
#include "host/clock.h"

#include <time.h>

/* clock_gettime() fails for an unknown clock or a bad pointer alone; neither can be here. */
static usec_t clock_read(clockid_t id)
{
    struct timespec t = {0};

    (void) clock_gettime(id, &t);
    return (usec_t) t.tv_sec * USEC_PER_SEC + (usec_t) t.tv_nsec / 1000;
}

usec_t clock_boottime(void)
{
    return clock_read(CLOCK_BOOTTIME);
}

usec_t clock_wall(void)
{
    return clock_read(CLOCK_REALTIME);
}

usec_t clock_monotonic(void)
{
    return clock_read(CLOCK_MONOTONIC);
}
