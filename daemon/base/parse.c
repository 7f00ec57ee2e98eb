/* SPDX-License-Identifier: MIT */
#include "base/parse.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"

/*
 * Reads digits at *text, moves *text behind them. -EINVAL when there are none. A number that is too large is
 * still read to its end: only a text that is of the form throughout is -ERANGE, so that is the caller's to
 * say.
 */
static int take_digits(const char **text, uint64_t *ret, bool *ret_fits)
{
    uint64_t value = 0;
    const char *p = *text;
    bool fits = true;

    if (*p < '0' || *p > '9')
        return -EINVAL;
    for (; *p >= '0' && *p <= '9'; p++) {
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t) (*p - '0'), &value))
            fits = false;
    }
    *text = p;
    *ret = value;
    *ret_fits = fits;
    return 0;
}

int parse_u64(const char *text, uint64_t *ret)
{
    uint64_t value;
    bool fits;

    if (text[0] == '0' && text[1] != '\0')
        return -EINVAL;
    int r = take_digits(&text, &value, &fits);
    if (r < 0)
        return r;
    if (*text)
        return -EINVAL;
    if (!fits)
        return -ERANGE;
    *ret = value;
    return 0;
}

int parse_u64_max(const char *text, uint64_t max, uint64_t *ret)
{
    uint64_t value;
    int r = parse_u64(text, &value);
    if (r < 0)
        return r;
    if (value > max)
        return -ERANGE;
    *ret = value;
    return 0;
}

static int take_unit(const char **text, usec_t *ret)
{
    static const struct {
        const char *name;
        usec_t length;
    } units[] = {
        {"us",      1               },
        {"usec",    1               },
        {"ms",      USEC_PER_MSEC   },
        {"msec",    USEC_PER_MSEC   },
        {"s",       USEC_PER_SEC    },
        {"sec",     USEC_PER_SEC    },
        {"second",  USEC_PER_SEC    },
        {"seconds", USEC_PER_SEC    },
        {"m",       USEC_PER_MIN    },
        {"min",     USEC_PER_MIN    },
        {"minute",  USEC_PER_MIN    },
        {"minutes", USEC_PER_MIN    },
        {"h",       USEC_PER_HOUR   },
        {"hr",      USEC_PER_HOUR   },
        {"hour",    USEC_PER_HOUR   },
        {"hours",   USEC_PER_HOUR   },
        {"d",       USEC_PER_DAY    },
        {"day",     USEC_PER_DAY    },
        {"days",    USEC_PER_DAY    },
        {"w",       7 * USEC_PER_DAY},
        {"week",    7 * USEC_PER_DAY},
        {"weeks",   7 * USEC_PER_DAY},
    };
    size_t length = strspn(*text, "abcdefghijklmnopqrstuvwxyz");

    if (length == 0) {
        *ret = USEC_PER_SEC;
        return 0;
    }
    for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
        if (strlen(units[i].name) == length && strncmp(units[i].name, *text, length) == 0) {
            *text += length;
            *ret = units[i].length;
            return 0;
        }
    }
    return -EINVAL;
}

/* The digits behind a decimal point, as a fraction. */
static int take_fraction(const char **text, uint64_t *ret_numerator, uint64_t *ret_denominator)
{
    uint64_t numerator = 0, denominator = 1;
    const char *p = *text;

    *ret_numerator = 0;
    *ret_denominator = 1;
    if (*p != '.')
        return 0;
    p++;
    if (*p < '0' || *p > '9')
        return -EINVAL;
    for (; *p >= '0' && *p <= '9'; p++) {
        if (denominator >= 1000000000)
            return -EINVAL;
        numerator = numerator * 10 + (uint64_t) (*p - '0');
        denominator *= 10;
    }
    *text = p;
    *ret_numerator = numerator;
    *ret_denominator = denominator;
    return 0;
}

/* One term ("1.5h") and the spaces behind it. */
static int take_term(const char **text, usec_t *ret, bool *ret_fits)
{
    uint64_t whole, numerator, denominator;
    usec_t unit;

    int r = take_digits(text, &whole, ret_fits);
    if (r < 0)
        return r;
    r = take_fraction(text, &numerator, &denominator);
    if (r < 0)
        return r;
    *text += strspn(*text, " \t");
    r = take_unit(text, &unit);
    if (r < 0)
        return r;
    *text += strspn(*text, " \t");
    /* Finer than a microsecond: nothing is rounded. */
    if ((unsigned __int128) unit * numerator % denominator != 0)
        return -EINVAL;
    if (__builtin_mul_overflow(whole, unit, ret) ||
        __builtin_add_overflow(*ret, usec_scale(unit, numerator, denominator), ret))
        *ret_fits = false;
    return 0;
}

int parse_duration(const char *text, usec_t *ret)
{
    const char *p = text + strspn(text, " \t");
    usec_t total = 0;
    bool fits = true;

    do {
        usec_t term;
        bool term_fits;
        int r = take_term(&p, &term, &term_fits);
        if (r < 0)
            return r;
        if (!term_fits || __builtin_add_overflow(total, term, &total) || total == USEC_INFINITY)
            fits = false;
    } while (*p);
    if (!fits)
        return -ERANGE;
    *ret = total;
    return 0;
}

int parse_size(const char *text, uint64_t *ret)
{
    uint64_t value;
    bool fits;
    int r = take_digits(&text, &value, &fits);
    if (r < 0)
        return r;

    unsigned shift = *text == 'K' ? 10 : *text == 'M' ? 20 : *text == 'G' ? 30 : 0;
    if (shift)
        text++;
    if (*text)
        return -EINVAL;
    if (!fits || value > UINT64_MAX >> shift)
        return -ERANGE;
    *ret = value << shift;
    return 0;
}

int parse_percent(const char *text, unsigned *ret)
{
    uint64_t value;
    bool fits;
    int r = take_digits(&text, &value, &fits);
    if (r < 0)
        return r;
    if (strcmp(text, "%") != 0)
        return -EINVAL;
    if (!fits || value > 100)
        return -ERANGE;
    *ret = (unsigned) value;
    return 0;
}

int parse_bool(const char *text, bool *ret)
{
    static const char *const yes[] = {"yes", "true", "on", "y", "t", "1"};
    static const char *const no[] = {"no", "false", "off", "n", "f", "0"};

    for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
        if (strcasecmp(text, yes[i]) == 0 || strcasecmp(text, no[i]) == 0) {
            *ret = strcasecmp(text, yes[i]) == 0;
            return 0;
        }
    }
    return -EINVAL;
}

int parse_mode(const char *text, unsigned *ret)
{
    size_t length = strspn(text, "01234567");
    unsigned value = 0;

    if (length == 0 || text[length] != '\0')
        return -EINVAL;
    if (length > 5)
        return -ERANGE;
    for (size_t i = 0; i < length; i++)
        value = value * 8 + (unsigned) (text[i] - '0');
    if (value > 07777)
        return -ERANGE;
    *ret = value;
    return 0;
}
