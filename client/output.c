/* SPDX-License-Identifier: MIT */
#include "client/output.h"

#include <errno.h>
#include <langinfo.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

#include "base/parse.h"

/* Wider than any screen; a larger $COLUMNS is a mistake. */
#define COLUMNS_MAX 10000
/* More than any message here, but not more than memory has: an argument of the command line may be quoted. */
#define MESSAGE_MAX ((size_t) 4 * 1024 * 1024)

_printf_(2, 0) static void print_line(const char *prefix, const char *format, va_list args)
{
    _cleanup_(buffer_done) struct buffer line = BUFFER_INIT(MESSAGE_MAX);
    char *text = NULL;

    if (vasprintf(&text, format, args) < 0)
        return;
    text_append_clean(&line, text, !strcmp(nl_langinfo(CODESET), "UTF-8"));
    free(text);
    if (buffer_error(&line) < 0)
        return;
    (void) fprintf(stderr, "%s%s\n", prefix, buffer_peek(&line));
}

void output_error(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    print_line("bearerctl: ", format, args);
    va_end(args);
}

void output_note(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    print_line("", format, args);
    va_end(args);
}

/* writev() until all is out. 0 or -errno; EPIPE among them, for SIGPIPE is ignored. */
static int write_all(struct iovec *parts, size_t n_parts)
{
    while (n_parts > 0) {
        ssize_t n = writev(STDOUT_FILENO, parts, (int) n_parts);
        if (n < 0 && errno != EINTR)
            return -errno;
        for (; n > 0 && n_parts > 0 && (size_t) n >= parts->iov_len; parts++, n_parts--)
            n -= (ssize_t) parts->iov_len;
        for (; n_parts > 0 && parts->iov_len == 0; parts++)
            n_parts--;
        if (n > 0) {
            parts->iov_base = (char *) parts->iov_base + n;
            parts->iov_len -= (size_t) n;
        }
    }
    return 0;
}

static enum exit_status write_failed(int r)
{
    output_error("cannot write to standard output: %s", strerror(-r));
    return EXIT_REFUSED;
}

enum exit_status output_line(const char *text)
{
    size_t size = strlen(text);
    bool has_end = size > 0 && text[size - 1] == '\n';
    char newline = '\n';
    struct iovec parts[] = {
        {.iov_base = (void *) (uintptr_t) text, .iov_len = size           },
        {.iov_base = &newline,                  .iov_len = has_end ? 0 : 1},
    };

    int r = write_all(parts, ARRAY_SIZE(parts));
    return r < 0 ? write_failed(r) : EXIT_DONE;
}

enum exit_status output_buffer(const struct buffer *b)
{
    struct iovec part = {.iov_base = (void *) (uintptr_t) buffer_peek(b), .iov_len = b->size};

    int r = buffer_error(b);
    if (r == 0 && b->size > 0)
        r = write_all(&part, 1);
    return r < 0 ? write_failed(r) : EXIT_DONE;
}

const char *output_hint(int os_errno)
{
    /* systemd hangs up (ECONNRESET) when it cannot start the daemon. */
    static const struct {
        int os_errno;
        const char *hint;
    } hints[] = {
        {ENOENT,       "is bearerd running? Look at: systemctl status bearerd"                       },
        {ECONNREFUSED, "is bearerd running? Look at: systemctl status bearerd"                       },
        {ECONNRESET,   "is bearerd running? Look at: systemctl status bearerd"                       },
        {EACCES,       "you are not in group bearerd; ask an administrator: usermod -aG bearerd NAME"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(hints); i++)
        if (hints[i].os_errno == os_errno)
            return hints[i].hint;
    return NULL;
}

enum exit_status output_failure(const struct bearer *b, const char *profile)
{
    const struct bearer_error *e = bearer_peek_error(b);
    const char *hint = output_hint(bearer_error_errno(e));

    if (profile)
        output_error("%s: %s", profile, bearer_error_message(e));
    else
        output_error("%s", bearer_error_message(e));
    if (hint)
        output_error("%s", hint);

    switch (bearer_error_result(e)) {
    case BEARER_OK:
        return EXIT_DONE;
    case BEARER_REFUSED:
    case BEARER_FAILED:
    case BEARER_INTERNAL:
        return EXIT_REFUSED;
    case BEARER_INVALID:
        return EXIT_USAGE;
    case BEARER_UNREACHABLE:
    case BEARER_PROTOCOL:
        return EXIT_UNREACHABLE;
    case BEARER_TIMED_OUT:
        return EXIT_TIMED_OUT;
    }
    return EXIT_REFUSED;
}

/* $COLUMNS, else what the terminal says, else 0: as wide as it takes. */
static unsigned terminal_width(void)
{
    const char *columns = getenv("COLUMNS");
    struct winsize size = {0};
    uint64_t width = 0;

    if (columns && parse_u64_max(columns, COLUMNS_MAX, &width) == 0 && width > 0)
        return (unsigned) width;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
        return size.ws_col;
    return 0;
}

struct style output_style(void)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

    return (struct style){
        .width = terminal_width(),
        .is_utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8"),
        .has_colour = isatty(STDOUT_FILENO) && !(no_color && *no_color) && term && strcmp(term, "dumb") != 0,
    };
}
