/* SPDX-License-Identifier: MIT */
#include "host/journal.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>

/* The fields name their place themselves where it matters; file and line of this function would say nothing.
 */
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

/* Own fields of an entry, beside MESSAGE, PRIORITY, EVENT, MESSAGE_ID and SYSLOG_IDENTIFIER. */
#define FIELDS_MAX 16
#define LINE_SIZE  1400

/* Where sd_journal_sendv() sends to ("JOURNAL NATIVE PROTOCOL" of systemd). */
#define JOURNAL_SOCKET "/run/systemd/journal/socket"

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

/*
 * False while systemd-journald is there and its queue is full: sd_journal_sendv() would wait for room, as
 * long as that takes. Asked with a new socket for each entry, since one that stays connected would not notice
 * that journald has another socket now; entries are few.
 */
static bool journal_has_room(void)
{
    static const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = JOURNAL_SOCKET};
    _cleanup_fd_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0 || connect(fd, (const struct sockaddr *) &address, sizeof(address)) < 0)
        return true; /* Nobody is there who could make us wait. */
    return poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, 0) == 1;
}

static void send_entry(const struct log_entry *entry)
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

static void write_journal(struct log *log, const struct log_entry *entry)
{
    struct journal *j = log->userdata;
    char text[80];

    if (j->n_lost > 0 && journal_has_room()) {
        (void) snprintf(text, sizeof(text), "%lu entries before this are lost: the journal did not take them",
                        j->n_lost);
        send_entry(&(struct log_entry){.level = LOG_LEVEL_WARNING, .message = text});
        j->n_lost = 0;
    }
    if (journal_has_room())
        send_entry(entry);
    else
        j->n_lost++;
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

void journal_init(struct journal *j, struct log *log, enum log_level max_level)
{
    *j = (struct journal){0};
    *log = (struct log){
        .max_level = max_level,
        .write = stderr_is_journal()     ? write_journal
                 : isatty(STDERR_FILENO) ? write_terminal
                                         : write_stderr,
        .userdata = j,
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
