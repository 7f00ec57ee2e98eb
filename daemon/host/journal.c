/* SPDX-License-Identifier: MIT */
#include "host/journal.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>

/* The fields name their place themselves where it matters; file and line of this function would say nothing.
 */
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

/* Own fields of an entry, beside MESSAGE, PRIORITY, EVENT, MESSAGE_ID and SYSLOG_IDENTIFIER. */
#define FIELDS_MAX 16
#define LINE_SIZE  1400

/* True when stderr is the stream systemd-journald gave us: the test that sd-daemon(3) describes for
 * $JOURNAL_STREAM. */
static bool stderr_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    uint64_t device, inode;
    struct stat st;

    return stream && sscanf(stream, "%" SCNu64 ":%" SCNu64, &device, &inode) == 2 &&
           fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

static void free_fields(char *(*texts)[FIELDS_MAX + 5])
{
    for (size_t i = 0; i < ARRAY_SIZE(*texts); i++)
        free((*texts)[i]);
}

static void write_journal(struct log *log _unused_, const struct log_entry *entry)
{
    _cleanup_(free_fields) char *texts[FIELDS_MAX + 5] = {0};
    struct iovec fields[FIELDS_MAX + 5];
    char level[2] = {(char) ('0' + (int) entry->level), '\0'};
    const struct log_field fixed[] = {
        FIELD("MESSAGE", entry->message),
        FIELD("PRIORITY", level),
        FIELD("SYSLOG_IDENTIFIER", "bearerd"),
        FIELD("EVENT", log_event_name(entry->event)),
        FIELD("MESSAGE_ID", log_event_message_id(entry->event)),
    };
    int n = 0;

    for (size_t i = 0; i < ARRAY_SIZE(fixed) + entry->n_fields && n < (int) ARRAY_SIZE(fields); i++) {
        const struct log_field *f = i < ARRAY_SIZE(fixed) ? &fixed[i] : &entry->fields[i - ARRAY_SIZE(fixed)];
        if (!f->value || !*f->value)
            continue;
        int size = asprintf(&texts[n], "%s=%s", f->name, f->value);
        if (size < 0) {
            texts[n] = NULL;
            continue;
        }
        fields[n] = (struct iovec){.iov_base = texts[n], .iov_len = (size_t) size};
        n++;
    }
    (void) sd_journal_sendv(fields, n);
}

static void write_line(const struct log_entry *entry, const char *prefix)
{
    char line[LINE_SIZE];
    const char *event = log_event_name(entry->event);

    int n = snprintf(line, sizeof(line), "%s%s%s%s\n", prefix, event, *event ? ": " : "", entry->message);
    if (n < 0)
        return;
    size_t size = (size_t) n < sizeof(line) ? (size_t) n : sizeof(line) - 1;
    line[size - 1] = '\n';
    /* A reader that has stopped must not stop the loop: what it does not take at once is lost to it. */
    if (poll(&(struct pollfd){.fd = STDERR_FILENO, .events = POLLOUT}, 1, 0) != 1)
        return;
    /* One write a line, so that lines of several writers to one stream do not mix. */
    if (write(STDERR_FILENO, line, size) < 0)
        return;
}

static void write_stderr(struct log *log _unused_, const struct log_entry *entry)
{
    char prefix[8];

    (void) snprintf(prefix, sizeof(prefix), "<%d>", (int) entry->level);
    write_line(entry, prefix);
}

static void write_terminal(struct log *log _unused_, const struct log_entry *entry)
{
    static const char *const names[] = {
        [LOG_LEVEL_ERROR] = "error: ", [LOG_LEVEL_WARNING] = "warning: ", [LOG_LEVEL_NOTICE] = "",
        [LOG_LEVEL_INFO] = "",         [LOG_LEVEL_DEBUG] = "debug: ",
    };
    write_line(entry, names[entry->level]);
}

void journal_init(struct log *log, enum log_level max_level)
{
    *log = (struct log){
        .max_level = max_level,
        .write = stderr_is_journal()     ? write_journal
                 : isatty(STDERR_FILENO) ? write_terminal
                                         : write_stderr,
    };
}

int journal_parse_level(const char *text, enum log_level *ret)
{
    static const struct {
        const char *name;
        enum log_level level;
    } levels[] = {
        {"error",   LOG_LEVEL_ERROR  },
        {"warning", LOG_LEVEL_WARNING},
        {"notice",  LOG_LEVEL_NOTICE },
        {"info",    LOG_LEVEL_INFO   },
        {"debug",   LOG_LEVEL_DEBUG  },
    };

    for (size_t i = 0; i < ARRAY_SIZE(levels); i++) {
        if (strcmp(text, levels[i].name) == 0) {
            *ret = levels[i].level;
            return 0;
        }
    }
    return -EINVAL;
}
