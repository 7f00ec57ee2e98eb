/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "host/journal.h"

#define TEXT_SIZE 8192
/* Far more than a terminal takes. */
#define PATIENCE_MSEC 5000

/* What the text ends with when it comes bit by bit; NULL: it comes at once. */
static const char *last_words;

/* What writes to a log that journal_init() made. */
typedef void writer(struct log *log);

/* Runs it with stderr at `fd`, whose other end is `read_fd`; what arrived there. */
static const char *capture(int fd, int read_fd, enum log_level max_level, writer *write_some)
{
    static char text[TEXT_SIZE];
    struct journal journal;
    struct log log;

    assert_int_equal(fflush(stderr), 0);
    int saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    assert_true(saved >= 0 && dup2(fd, STDERR_FILENO) >= 0);
    journal_init(&journal, &log, max_level);
    write_some(&log);
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    (void) close(saved);
    assert_int_equal(fcntl(read_fd, F_SETFL, O_NONBLOCK), 0);
    /* A pipe has it all at once; a terminal's other end gets it in its own time. */
    struct pollfd waiting = {.fd = read_fd, .events = POLLIN};
    size_t size = 0;
    ssize_t n;
    do {
        n = read(read_fd, text + size, sizeof(text) - 1 - size);
        size += n > 0 ? (size_t) n : 0;
        text[size] = '\0';
    } while (last_words && !strstr(text, last_words) && poll(&waiting, 1, PATIENCE_MSEC) > 0);
    return text;
}

/* The same through a pipe, as under a supervisor that is not systemd. */
static const char *capture_pipe(enum log_level max_level, writer *write_some)
{
    int fds[2];

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    const char *text = capture(fds[1], fds[0], max_level, write_some);
    (void) close(fds[0]);
    (void) close(fds[1]);
    return text;
}

static void write_each_level(struct log *log)
{
    log_error(log, "an error");
    log_warning(log, "a warning");
    log_notice(log, "a notice");
    log_info(log, "an info");
    log_debug(log, "a debug");
}

static void write_event(struct log *log)
{
    log_with(log, LOG_LEVEL_NOTICE, LOG_EVENT_ACCESS_DENIED,
             (FIELD("PROFILE", "shop"), FIELD("PEER_UID", "33")), "shop: not admitted");
}

static void write_two_lines(struct log *log)
{
    log_notice(log, "one\n<3>two\r\x1b[31m");
}

static void write_much(struct log *log)
{
    char text[5000];

    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    log_event(log, LOG_LEVEL_ERROR, LOG_EVENT_SETTINGS_PROBLEM, NULL, 0, "%s", text);
    log_error(log, "next");
}

/* Longer than log_event() lets any become. */
static void write_past_the_log(struct log *log)
{
    static char text[5000];

    memset(text, 'x', sizeof(text) - 1);
    log->write(log, &(struct log_entry){.level = LOG_LEVEL_ERROR, .message = text});
    log_error(log, "next");
}

static void a_pipe_gets_level_prefixes(void **state _unused_)
{
    assert_string_equal(capture_pipe(LOG_LEVEL_DEBUG, write_each_level),
                        "<3>an error\n<4>a warning\n<5>a notice\n<6>an info\n<7>a debug\n");
    assert_string_equal(capture_pipe(LOG_LEVEL_DEBUG, write_event), "<5>access-denied: shop: not admitted\n");
}

static void levels_above_the_set_one_are_dropped(void **state _unused_)
{
    assert_string_equal(capture_pipe(LOG_LEVEL_NOTICE, write_each_level),
                        "<3>an error\n<4>a warning\n<5>a notice\n");
    assert_string_equal(capture_pipe(LOG_LEVEL_ERROR, write_each_level), "<3>an error\n");
}

static void an_entry_is_one_line(void **state _unused_)
{
    assert_string_equal(capture_pipe(LOG_LEVEL_DEBUG, write_two_lines), "<5>one?<3>two??[31m\n");
    const char *text = capture_pipe(LOG_LEVEL_DEBUG, write_much);
    const char *end = strchr(text, '\n');
    assert_non_null(end);
    assert_int_equal(strncmp(text, "<3>settings-problem: xxxx", 25), 0);
    assert_int_equal(strncmp(end - 4, "x...", 4), 0);
    assert_string_equal(end + 1, "<3>next\n");
    end = strchr(capture_pipe(LOG_LEVEL_DEBUG, write_past_the_log), '\n');
    assert_non_null(end);
    assert_string_equal(end + 1, "<3>next\n");
}

static void a_terminal_gets_words(void **state _unused_)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

    if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0) {
        print_message("skipped: there are no pseudo-terminals here\n");
        skip();
    }
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(slave >= 0);
    last_words = "debug: a debug\r\n";
    assert_string_equal(capture(slave, master, LOG_LEVEL_DEBUG, write_each_level),
                        "error: an error\r\nwarning: a warning\r\na notice\r\nan info\r\ndebug: a debug\r\n");
    last_words = NULL;
    (void) close(slave);
    (void) close(master);
}

/* Under systemd: when $JOURNAL_STREAM names what stderr is, entries go to the journal and nothing to stderr.
 */
static void the_journals_own_stream_gets_no_lines(void **state _unused_)
{
    static const char line[] = "<5>access-denied: shop: not admitted\n";
    static const char *const others[] = {"", "1:2", "x", "1", ":"};
    char stream[64];
    struct stat st;
    int fds[2];

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(fstat(fds[1], &st), 0);
    (void) snprintf(stream, sizeof(stream), "%lu:%lu", (unsigned long) st.st_dev, (unsigned long) st.st_ino);
    assert_int_equal(setenv("JOURNAL_STREAM", stream, 1), 0);
    assert_string_equal(capture(fds[1], fds[0], LOG_LEVEL_DEBUG, write_event), "");
    /* Redirected somewhere else, it is not the journal any more. */
    assert_string_equal(capture_pipe(LOG_LEVEL_DEBUG, write_event), line);
    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        assert_int_equal(setenv("JOURNAL_STREAM", others[i], 1), 0);
        assert_string_equal(capture(fds[1], fds[0], LOG_LEVEL_DEBUG, write_event), line);
    }
    assert_int_equal(unsetenv("JOURNAL_STREAM"), 0);
    (void) close(fds[0]);
    (void) close(fds[1]);
}

/* The log is not worth dying for. */
static void a_closed_stderr_does_no_harm(void **state _unused_)
{
    int fds[2];

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    if (full < 0) {
        print_message("skipped: there is no /dev/full here\n");
        skip();
    }
    assert_string_equal(capture(full, fds[0], LOG_LEVEL_DEBUG, write_each_level), "");
    (void) close(full);
    (void) close(fds[0]);
    (void) close(fds[1]);
}

static void levels_have_names(void **state _unused_)
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
    static const char *const others[] = {"", "Debug", "debug ", "warn", "err", "7", "trace"};
    enum log_level level = LOG_LEVEL_INFO;

    for (size_t i = 0; i < ARRAY_SIZE(others); i++)
        assert_int_equal(journal_parse_level(others[i], &level), -EINVAL);
    assert_int_equal(level, LOG_LEVEL_INFO);
    for (size_t i = 0; i < ARRAY_SIZE(levels); i++) {
        assert_int_equal(journal_parse_level(levels[i].name, &level), 0);
        assert_int_equal(level, levels[i].level);
    }
}

static int forget_journal(void **state _unused_)
{
    return unsetenv("JOURNAL_STREAM");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pipe_gets_level_prefixes),
        cmocka_unit_test(levels_above_the_set_one_are_dropped),
        cmocka_unit_test(an_entry_is_one_line),
        cmocka_unit_test(a_terminal_gets_words),
        cmocka_unit_test(the_journals_own_stream_gets_no_lines),
        cmocka_unit_test(a_closed_stderr_does_no_harm),
        cmocka_unit_test(levels_have_names),
    };
    return cmocka_run_group_tests_name("journal", tests, forget_journal, NULL);
}
