/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Events for the log, and the sink they go to. A log line is an event with fields, not a text: the sink
 * (host/journal) writes it to the journal or to stderr. The log is an object handed around, so a test can
 * listen in.
 *
 * Never among the fields or in the message, at any level: a token, a secret, a subscription key, a response
 * body.
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"

/* syslog(3) severities, so that they go to the journal as they are. */
enum log_level {
    LOG_LEVEL_ERROR = 3,
    LOG_LEVEL_WARNING = 4,
    LOG_LEVEL_NOTICE = 5,
    LOG_LEVEL_INFO = 6,
    LOG_LEVEL_DEBUG = 7,
};

/* What happened, for EVENT= and MESSAGE_ID=. LOG_EVENT_NONE is a plain line. */
enum log_event_id {
    LOG_EVENT_NONE,
    LOG_EVENT_STARTED,
    LOG_EVENT_STOPPING,
    LOG_EVENT_TOKEN_FETCHED,
    LOG_EVENT_REFRESH_FAILED,
    LOG_EVENT_PROFILE_FAILED,
    LOG_EVENT_RECOVERED,
    LOG_EVENT_ACCESS_DENIED,
    LOG_EVENT_CLOCK_SKEW,
    LOG_EVENT_CLIENT_DROPPED,
    LOG_EVENT_SETTINGS_PROBLEM,
    LOG_EVENT_KEY_FALLBACK,
    LOG_EVENT_SETTINGS_RELOADED,
    LOG_EVENT_RELOAD_REFUSED,
    LOG_EVENT_HANDOUT,
    LOG_EVENT_HANDOUTS, /* how many followed a LOG_EVENT_HANDOUT */
    LOG_EVENT_DENIALS,  /* how many followed a LOG_EVENT_ACCESS_DENIED, or were not told one by one */
    LOG_EVENT_REJECTED,
    LOG_EVENT_IDLE,
    N_LOG_EVENTS,
};

/* The EVENT= word ("token-fetched"); "" for LOG_EVENT_NONE. */
const char *log_event_name(enum log_event_id id);

/* The MESSAGE_ID= (32 hex digits, documented in the man page for `journalctl MESSAGE_ID=`); "" where it has
 * none. */
const char *log_event_message_id(enum log_event_id id);

/* One journal field; a NULL or empty value is left out. */
struct log_field {
    const char *name;
    const char *value;
};

struct log_entry {
    enum log_level level;
    enum log_event_id event;
    const struct log_field *fields;
    size_t n_fields;
    const char *message; /* one line */
};

struct log {
    enum log_level max_level; /* entries above are dropped before they are formatted */
    void (*write)(struct log *log, const struct log_entry *entry);
    void *userdata;
};

/* Formats and writes one entry. `log` may be NULL (a silent test). Control characters become '?' in the
 * message. */
_printf_(6, 7) void log_event(struct log *log, enum log_level level, enum log_event_id event,
                              const struct log_field *fields, size_t n_fields, const char *format, ...);

/* log_event() with the fields as a list in parentheses: log_with(log, LEVEL, EVENT, (FIELD("PROFILE", name)),
 * "..."). */
#define FIELD(n, v)                                                                                          \
    {                                                                                                        \
        .name = (n), .value = (v)                                                                            \
    }
#define LOG_FIELDS_(...) __VA_ARGS__
#define log_with(log, level, event, fieldlist, ...)                                                          \
    do {                                                                                                     \
        const struct log_field log_fields_[] = {LOG_FIELDS_ fieldlist};                                      \
        log_event((log), (level), (event), log_fields_, ARRAY_SIZE(log_fields_), __VA_ARGS__);               \
    } while (0)

#define log_error(log, ...)   log_event((log), LOG_LEVEL_ERROR, LOG_EVENT_NONE, NULL, 0, __VA_ARGS__)
#define log_warning(log, ...) log_event((log), LOG_LEVEL_WARNING, LOG_EVENT_NONE, NULL, 0, __VA_ARGS__)
#define log_notice(log, ...)  log_event((log), LOG_LEVEL_NOTICE, LOG_EVENT_NONE, NULL, 0, __VA_ARGS__)
#define log_info(log, ...)    log_event((log), LOG_LEVEL_INFO, LOG_EVENT_NONE, NULL, 0, __VA_ARGS__)
#define log_debug(log, ...)   log_event((log), LOG_LEVEL_DEBUG, LOG_EVENT_NONE, NULL, 0, __VA_ARGS__)
