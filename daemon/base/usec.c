/* SPDX-License-Identifier: MIT */
#include "base/usec.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

usec_t usec_add(usec_t a, usec_t b)
{
    return b > USEC_INFINITY - a ? USEC_INFINITY : a + b;
}

usec_t usec_sub(usec_t a, usec_t b)
{
    if (a == USEC_INFINITY)
        return USEC_INFINITY;
    return b > a ? 0 : a - b;
}

usec_t usec_min(usec_t a, usec_t b)
{
    return a < b ? a : b;
}

usec_t usec_max(usec_t a, usec_t b)
{
    return a > b ? a : b;
}

usec_t usec_scale(usec_t a, uint64_t numerator, uint64_t denominator)
{
    if (a == USEC_INFINITY)
        return USEC_INFINITY;
    unsigned __int128 product = (unsigned __int128) a * numerator / denominator;
    return product >= USEC_INFINITY ? USEC_INFINITY : (usec_t) product;
}

const char *usec_format_rfc3339(usec_t wall_at, char buf[static RFC3339_SIZE])
{
    time_t seconds = (time_t) (wall_at / USEC_PER_SEC);
    struct tm tm;

    /* gmtime_r fails only for years beyond int; such a moment is shown as the last one that can be written.
     */
    if (!gmtime_r(&seconds, &tm) || tm.tm_year + 1900 > 9999 ||
        strftime(buf, RFC3339_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        memcpy(buf, "9999-12-31T23:59:59Z", sizeof("9999-12-31T23:59:59Z"));
    return buf;
}

const char *usec_format_span(usec_t span, char buf[static SPAN_SIZE])
{
    static const struct {
        const char *name;
        usec_t length;
    } units[] = {
        {"d",   USEC_PER_DAY },
        {"h",   USEC_PER_HOUR},
        {"min", USEC_PER_MIN },
        {"s",   USEC_PER_SEC },
        {"ms",  USEC_PER_MSEC},
        {"us",  1            },
    };
    const size_t n_units = sizeof(units) / sizeof(units[0]);

    if (span == USEC_INFINITY || span == 0)
        return memcpy(buf, span ? "infinity" : "0s", span ? 9 : 3);

    size_t first = 0;
    while (first < n_units - 1 && span < units[first].length)
        first++;
    usec_t rest = span % units[first].length;
    int n = snprintf(buf, SPAN_SIZE, "%" PRIu64 "%s", span / units[first].length, units[first].name);
    /* The second unit helps with hours and minutes; behind seconds it is noise. */
    if (first < 3 && rest >= units[first + 1].length)
        (void) snprintf(buf + n, SPAN_SIZE - (size_t) n, " %" PRIu64 "%s", rest / units[first + 1].length,
                        units[first + 1].name);
    return buf;
}

bool usec_parse_http_date(const char *text, usec_t *ret_wall_at)
{
    static const char *const formats[] = {
        "%a, %d %b %Y %H:%M:%S GMT",
        "%A, %d-%b-%y %H:%M:%S GMT",
        "%a %b %e %H:%M:%S %Y",
    };

    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        struct tm tm = {0};
        const char *end = strptime(text, formats[i], &tm);
        if (!end || *end)
            continue;
        time_t seconds = timegm(&tm);
        if (seconds < 0)
            return false;
        *ret_wall_at = (usec_t) seconds * USEC_PER_SEC;
        return true;
    }
    return false;
}
