/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A message is for one line on a terminal; what is longer is cut by an ellipsis, the fields stay whole. */
#define MESSAGE_SIZE 1024

static const struct {
    const char *name;
    const char *message_id;
} events[N_LOG_EVENTS] = {
  /* Made once with uuidgen; they never change, because people filter by them. */
    [LOG_EVENT_NONE] = {"",                  ""                                },
    [LOG_EVENT_STARTED] = {"started",           "e9d956a1e8cd4f3992d54494134c320b"},
    [LOG_EVENT_STOPPING] = {"stopping",          ""                                },
    [LOG_EVENT_TOKEN_FETCHED] = {"token-fetched",     "340b34b5a8c04222bde818d799f78b1c"},
    [LOG_EVENT_REFRESH_FAILED] = {"refresh-failed",    "1c6aaea05fbb4bea975853c9d66271aa"},
    [LOG_EVENT_PROFILE_FAILED] = {"profile-failed",    "05b8137ccd2343c18a0bc3447c53d1d0"},
    [LOG_EVENT_RECOVERED] = {"recovered",         "579b217c44424bfdafd91fd8fa7abfd6"},
    [LOG_EVENT_ACCESS_DENIED] = {"access-denied",     "197530dcd2f84ce791f344d35a79ba2e"},
    [LOG_EVENT_CLOCK_SKEW] = {"clock-skew",        ""                                },
    [LOG_EVENT_CLIENT_DROPPED] = {"client-dropped",    ""                                },
    [LOG_EVENT_SETTINGS_PROBLEM] = {"settings-problem",  ""                                },
    [LOG_EVENT_KEY_FALLBACK] = {"key-fallback",      "1d273b4f7e234868a6acb0811608cb17"},
    [LOG_EVENT_SETTINGS_RELOADED] = {"settings-reloaded", "2e1f4218924f4f2f9edfaffef0f6a624"},
    [LOG_EVENT_RELOAD_REFUSED] = {"reload-refused",    "420a3b51582d4c2eacc21045b835b6b9"},
    [LOG_EVENT_HANDOUT] = {"token-handout",     "b467bf62e990465c82db3f02f5fd7455"},
    [LOG_EVENT_HANDOUTS] = {"token-handouts",    ""                                },
    [LOG_EVENT_DENIALS] = {"access-denials",    ""                                },
    [LOG_EVENT_REJECTED] = {"token-rejected",    ""                                },
    [LOG_EVENT_IDLE] = {"profile-idle",      ""                                },
};

const char *log_event_name(enum log_event_id id)
{
    return events[id].name;
}

const char *log_event_message_id(enum log_event_id id)
{
    return events[id].message_id;
}

/* U+0080 to U+009F as UTF-8: controls too, and U+009B begins an escape sequence on some terminals. */
static bool is_c1_control(const char *text)
{
    unsigned char second = (unsigned char) text[1];
    return (unsigned char) text[0] == 0xc2 && second >= 0x80 && second < 0xa0;
}

/* An upstream's words can end up here: no control character reaches a terminal or fakes a second line. */
static void make_printable(char *text)
{
    for (; *text; text++) {
        if (is_c1_control(text))
            text[0] = text[1] = '?';
        else if ((unsigned char) *text < ' ' || *text == 127)
            *text = '?';
    }
}

/* Ends a cut-off message in dots, without half a UTF-8 character: journalctl would show the whole as a blob.
 */
static void end_in_dots(char *message, size_t size)
{
    size_t at = size - sizeof("...");

    while (at > 0 && ((unsigned char) message[at] & 0xc0) == 0x80)
        at--;
    memcpy(message + at, "...", sizeof("..."));
}

void log_event(struct log *log, enum log_level level, enum log_event_id event, const struct log_field *fields,
               size_t n_fields, const char *format, ...)
{
    char message[MESSAGE_SIZE];
    va_list args;

    if (!log || level > log->max_level)
        return;
    va_start(args, format);
    int n = vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    if (n < 0)
        return;
    if ((size_t) n >= sizeof(message))
        end_in_dots(message, sizeof(message));
    make_printable(message);
    log->write(
        log, &(struct log_entry){
                 .level = level, .event = event, .fields = fields, .n_fields = n_fields, .message = message});
}
