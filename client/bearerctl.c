/* SPDX-License-Identifier: MIT */

/*
 * bearerctl: bearerd's command line. The map:
 *
 *   bearerctl.c                  main: what runs which verb
 *   options                      the tables of verbs and options, the help
 *   verb-token verb-status       what the verbs do; -token has headers, rejected and refresh, too
 *   verb-wait verb-reload
 *   verb-explain verb-check
 *   verb-keys                    keys: what is asked for, stored, and said at the end
 *     keys-ask keys-list         getting them; showing which there are
 *     terminal                   a question without echo
 *     key-store creds            folders and files; systemd-creds(1)
 *     key-places key-rows        where a key may lie, and what that means (pure)
 *   output                       standard output and error, exit status, hints
 *   identity                     users and processes as the numbers that rules are about
 *   text field table detail      how answers look (pure): statuses,
 *   explain summary              explanations, reports of a reload
 *   bearer                       the client library, all of it: bearer.h is its whole interface
 *     bearer-http                one exchange over the socket (libcurl)
 *     bearer-json                strict reading of JSON through tables (json-c)
 *     bearer-objects -status     answers to objects
 *     -reload -explain -problem
 */

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "bearerd-paths.h"
#include "client/options.h"
#include "client/output.h"
#include "client/verbs.h"

/* Of a complaint, which may quote the command line. */
#define COMPLAINT_MAX ((size_t) 4 * 1024 * 1024)

static enum exit_status print_help(const struct options *options)
{
    (void) options;
    options_print_help(stdout);
    return EXIT_DONE;
}

static enum exit_status (*const runs[N_VERBS])(const struct options *options) = {
    [VERB_TOKEN] = verb_token,   [VERB_HEADERS] = verb_headers,   [VERB_STATUS] = verb_status,
    [VERB_WAIT] = verb_wait,     [VERB_REJECTED] = verb_rejected, [VERB_REFRESH] = verb_refresh,
    [VERB_RELOAD] = verb_reload, [VERB_EXPLAIN] = verb_explain,   [VERB_CHECK] = verb_check,
    [VERB_KEYS] = verb_keys,     [VERB_HELP] = print_help,
};

/*
 * Where a standard descriptor is closed, the next socket would take its number, and a token meant for
 * standard output go there. Read-only, so that writing to one still fails.
 */
static bool fill_standard_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDONLY) != fd)
            return false;
    return true;
}

static enum exit_status run(const struct options *options)
{
    if (options->is_help)
        return print_help(options);
    if (options->is_version) {
        (void) printf("bearerctl %s\n", BEARERD_VERSION);
        return EXIT_DONE;
    }
    return runs[options->verb](options);
}

int main(int argc, char **argv)
{
    _cleanup_(buffer_done) struct buffer complaint = BUFFER_INIT(COMPLAINT_MAX);
    struct options options = {0};

    if (!fill_standard_descriptors())
        return EXIT_REFUSED;
    (void) setlocale(LC_CTYPE, "");
    (void) signal(SIGPIPE, SIG_IGN); /* a reader that went away is a write that fails, and is said */
    (void) signal(SIGCHLD, SIG_DFL); /* who inherits that it is ignored learns of no child how it ended */
    if (options_parse(argc, argv, &options, &complaint) < 0) {
        output_error("%s", buffer_peek(&complaint));
        return EXIT_USAGE;
    }
    enum exit_status status = run(&options);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        output_error("cannot write to standard output: %s", strerror(errno));
        return status == EXIT_DONE ? EXIT_REFUSED : status;
    }
    return (int) status;
}
