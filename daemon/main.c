/* SPDX-License-Identifier: MIT */

/*
 * bearerd: holds API keys, keeps access tokens fresh, hands them to local processes. This file reads the
 * command line and the settings; daemon.c runs. The map (each layer calls only those below it):
 *
 *   main.c              argv, settings, run
 *   daemon.c            owns every object; start, loop, stop
 *   api.c api_access.c api_views.c   what each request of the API comes to; who may; states
 *   fetch.c reload.c    one upstream request; settings read anew
 *   restart.c           what goes on over a restart
 *   report.c report_audit.c          what people are told
 *
 *   host/               the outside, one file for each thing out there
 *     server connection response users   HTTP over the Unix socket: libmicrohttpd
 *     server_sockets passed_fds          several sockets; what the service manager passes
 *     upstream upstream_transfer upstream_outcome  requests to issuers: libcurl
 *     wiping_allocator system_ca         what libcurl and OpenSSL are given
 *     listen                             the socket file
 *     peer caller pid_watch              who connects: the process, and whether it is still that one
 *     unit_finder cgroup_tree proc       the unit of a process
 *     settings_load settings_worker files keys key_proof user_names check  settings and keys from the disk
 *     supervisor journal                 systemd: notify and watchdog; the log
 *     state_store state_memory           what outlives the process, in the service manager's keeping
 *     clock random process               the clocks, random bytes, process limits
 *
 *   wire/               bytes <-> core types
 *     grant assertion basic form base64 pem        token requests
 *     token_response refusal redact skew json_read what comes back
 *     route reply explain json metrics http        the API
 *     state_record state_region                    what outlives the process
 *
 *   config/             settings texts -> structs, through tables
 *     ini table values url access_list
 *     daemon_settings profile_settings profile_check profile_headers
 *
 *   core/               decisions, without clock, descriptor or library
 *     profile profile_steps profile_reload profile_keys   the state machine; which key
 *     policy reports saved                                when to ask; budgets; what outlives the process
 *     registry registry_waiters registry_reload schedule  all profiles, their waiters; new settings; turns
 *     token settings access unit pid_reuse audit stats
 *
 *   base/               libc only
 *     secret locked buffer   bytes that must not leak
 *     list heap usec parse problem log cleanup
 */

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bearerd-paths.h"
#include "daemon.h"
#include "host/check.h"
#include "host/clock.h"
#include "host/journal.h"
#include "host/process.h"
#include "report.h"

/* Exit statuses of the contract; 78 is EX_CONFIG of sysexits.h, as systemd shows it. */
enum {
    EXIT_USAGE = 2,
    EXIT_CONFIG = 78,
};

struct arguments {
    const char *config;
    const char *socket;
    enum log_level log_level;
    bool is_check;
};

static void print_help(void)
{
    (void) printf(
        "bearerd [OPTIONS]\n\n"
        "Holds API keys and hands out access tokens over a Unix socket.\n\n"
        "  --config FILE      main settings (default: %s)\n"
        "  --socket PATH      listen there instead of at Socket=\n"
        "  --check            read all settings and keys, print every problem, and exit\n"
        "  --log-level LEVEL  error, warning, notice, info (default) or debug\n"
        "  --version\n"
        "  --help\n\n"
        "Exit status: 0 ended by SIGTERM or SIGINT, 1 failed, 2 usage, 78 settings or keys unusable\n"
        "(--check: problems found).\n",
        BEARERD_CONFIG_FILE);
}

/* Returns -1 to go on, or the exit status. */
static int parse_arguments(struct arguments *a, int argc, char **argv)
{
    enum { OPTION_CONFIG = 256, OPTION_SOCKET, OPTION_CHECK, OPTION_LOG_LEVEL, OPTION_VERSION, OPTION_HELP };
    static const struct option options[] = {
        {"config",           required_argument, NULL, OPTION_CONFIG},
        {"socket",              required_argument, NULL, OPTION_SOCKET},
        {"check",                  no_argument, NULL, OPTION_CHECK},
        {"log-level",required_argument, NULL, OPTION_LOG_LEVEL},
        {"version",     no_argument, NULL, OPTION_VERSION},
        {"help",            no_argument, NULL, OPTION_HELP},
        {0             },
    };
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
        switch (c) {
        case OPTION_CONFIG:
            a->config = optarg;
            break;
        case OPTION_SOCKET:
            a->socket = optarg;
            break;
        case OPTION_CHECK:
            a->is_check = true;
            break;
        case OPTION_LOG_LEVEL:
            if (journal_parse_level(optarg, &a->log_level) < 0) {
                (void) fprintf(stderr, "bearerd: --log-level takes error, warning, notice, info or debug\n");
                return EXIT_USAGE;
            }
            break;
        case OPTION_VERSION:
            (void) puts("bearerd " BEARERD_VERSION);
            return EXIT_SUCCESS;
        case OPTION_HELP:
            print_help();
            return EXIT_SUCCESS;
        default:
            (void) fprintf(stderr, "Try bearerd --help.\n");
            return EXIT_USAGE;
        }
    }
    if (optind < argc) {
        (void) fprintf(stderr, "bearerd: takes no arguments, only options; try bearerd --help\n");
        return EXIT_USAGE;
    }
    return -1;
}

static int check(const struct arguments *a)
{
    size_t n_errors = 0;

    int r = check_settings(a->config, stderr, &n_errors);
    if (r < 0) {
        (void) fprintf(stderr, "bearerd: %s\n", strerror(-r));
        return EXIT_FAILURE;
    }
    return n_errors > 0 ? EXIT_CONFIG : EXIT_SUCCESS;
}

/* Reads everything and says every problem. Returns -1 to go on, or the exit status. */
static int load_settings(const struct settings_source *source, struct log *log, struct settings *ret)
{
    int r = settings_load(source, ret);
    if (r < 0) {
        log_error(log, "cannot read the settings: %s", strerror(-r));
        return EXIT_FAILURE;
    }
    for (size_t i = 0; i < ret->problems.n_items; i++)
        report_problem(log, &ret->problems.items[i]);
    if (ret->is_daemon_usable && ret->n_profiles > 0)
        return -1;
    log_error(log, "%s; `bearerctl check` tells the same again",
              ret->is_daemon_usable ? "not one profile can be used" : "the main settings cannot be used");
    return EXIT_CONFIG;
}

/* Signals come through the loop, and must be blocked before any thread of libcurl's resolver starts. */
static int block_signals(void)
{
    sigset_t set;

    (void) sigemptyset(&set);
    (void) sigaddset(&set, SIGTERM);
    (void) sigaddset(&set, SIGINT);
    (void) sigaddset(&set, SIGHUP);
    return sigprocmask(SIG_BLOCK, &set, NULL) < 0 ? -errno : 0;
}

int main(int argc, char **argv)
{
    _cleanup_(settings_done) struct settings settings = {0};
    struct passed_fds passed = {0};
    struct arguments a = {.log_level = LOG_LEVEL_INFO};
    struct journal journal;
    struct log log;

    int r = parse_arguments(&a, argc, argv);
    if (r >= 0)
        return r;
    r = process_fill_standard_fds();
    if (r >= 0)
        r = block_signals();
    /* Before anything is read, so that no key is ever in memory that is not wiped or could be dumped. */
    if (r >= 0)
        r = upstream_init_process();
    if (r >= 0)
        r = process_protect();
    journal_init(&journal, &log, a.log_level);
    if (r < 0) {
        log_error(&log, "cannot set up the process: %s", strerror(-r));
        return EXIT_FAILURE;
    }
    if (a.is_check)
        return check(&a);
    r = passed_fds_read(&passed);
    if (r < 0) {
        log_error(&log, "cannot take the descriptors that the service manager passed: %s", strerror(-r));
        return EXIT_FAILURE;
    }
    const struct settings_source source = {
        .config_path = a.config,
        .socket_path = a.socket,
        .credentials_directory = getenv("CREDENTIALS_DIRECTORY"),
        .daemon_uid = geteuid(),
        .wall_now = clock_wall(),
    };
    r = load_settings(&source, &log, &settings);
    if (r >= 0) {
        passed_fds_done(&passed);
        return r;
    }
    return daemon_run(&settings, &passed, &source, &log);
}
