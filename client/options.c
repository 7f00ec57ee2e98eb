/* SPDX-License-Identifier: MIT */
#include "client/options.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <string.h>

#include "base/parse.h"
#include "base/problem.h"
#include "client/bearer.h"

#define BIT(verb) (1U << (verb))
#define ALL_VERBS (BIT(N_VERBS) - 1)

struct verb_spec {
    const char *name;
    const char *args; /* for the help */
    size_t n_min;     /* arguments */
    size_t n_max;
    const char *help;
};

/* clang-format off */
static const struct verb_spec verbs[N_VERBS] = {
    [VERB_TOKEN]   = {"token",   "PROFILE",    1, 1,        "print the access token"},
    [VERB_HEADERS] = {"headers", "PROFILE",    1, 1,        "print the headers of an API call, for curl -H @<(...)"},
    [VERB_STATUS]  = {"status",  "[PROFILE]",  0, 1,        "show how all profiles are doing, or all about one"},
    [VERB_WAIT]    = {"wait",    "PROFILE...", 1, SIZE_MAX, "wait until all of them have a usable token"},
    [VERB_REJECTED] = {"rejected", "PROFILE",  1, 1,        "say that the upstream refused the token, print another"},
    [VERB_REFRESH] = {"refresh", "PROFILE",    1, 1,        "fetch a new token now (for admins)"},
    [VERB_RELOAD]  = {"reload",  "",           0, 0,        "read settings and keys anew, all or nothing (for admins)"},
    [VERB_EXPLAIN] = {"explain", "PROFILE",    1, 1,        "show who may use it and why, and its last attempts (for admins)"},
    [VERB_CHECK]   = {"check",   "",           0, 0,        "read all settings and keys, print every problem, touch nothing"},
    [VERB_KEYS]    = {"keys",    "PROFILE [KIND]...", 1, SIZE_MAX, "ask for its keys without echo and store them, encrypted (for root)"},
    [VERB_HELP]    = {"help",    "",           0, SIZE_MAX, "print this text"},
};
/* clang-format on */

enum option_kind {
    OPTION_FLAG,     /* bool */
    OPTION_TEXT,     /* const char * */
    OPTION_DURATION, /* usec_t, at most `max` */
    OPTION_NUMBER,   /* uint64_t, 1 to `max` */
};

struct option_spec {
    const char *name;
    const char *value; /* for the help; NULL: takes none */
    enum option_kind kind;
    size_t offset; /* in struct options */
    unsigned verbs;
    usec_t max;
    const char *help;
};

#define AT(member) offsetof(struct options, member)
#define WAIT_VERBS (BIT(VERB_TOKEN) | BIT(VERB_REJECTED))
#define JSON_VERBS                                                                                           \
    (BIT(VERB_TOKEN) | BIT(VERB_HEADERS) | BIT(VERB_STATUS) | BIT(VERB_REJECTED) | BIT(VERB_RELOAD) |        \
     BIT(VERB_EXPLAIN))
#define LENGTH_MAX ((usec_t) INT64_MAX)
#define WAIT_MAX   (BEARER_WAIT_MAX * USEC_PER_SEC)
#define PID_MAX    INT32_MAX

/* clang-format off */
static const struct option_spec option_specs[] = {
    {"socket",  "PATH", OPTION_TEXT,     AT(socket_path), ALL_VERBS,       0,
     "the daemon's socket; else $BEARERD_SOCKET, else the usual one"},
    {"min-ttl", "D",    OPTION_DURATION, AT(min_ttl_for), BIT(VERB_TOKEN), LENGTH_MAX,
     "token: with at least this much life left"},
    {"wait",    "D",    OPTION_DURATION, AT(wait_for),    WAIT_VERBS,      WAIT_MAX,
     "token, rejected: how long to wait for a fetch, up to 60s; else 10s"},
    {"timeout", "D",    OPTION_DURATION, AT(timeout_for), BIT(VERB_WAIT),  LENGTH_MAX,
     "wait: when to give up; else after 60s"},
    {"config",  "FILE", OPTION_TEXT,     AT(config_file), BIT(VERB_CHECK), 0,
     "check: the main settings; else the usual ones"},
    {"fingerprint", "F", OPTION_TEXT,    AT(fingerprint), BIT(VERB_REJECTED), 0,
     "rejected: of the token that was refused; else the current one"},
    {"user",    "NAME", OPTION_TEXT,     AT(user),        BIT(VERB_EXPLAIN), 0,
     "explain: may this user (or uid) use it?"},
    {"pid",     "N",    OPTION_NUMBER,   AT(pid),         BIT(VERB_EXPLAIN), PID_MAX,
     "explain: may this process use it?"},
    {"json",    NULL,   OPTION_FLAG,     AT(is_json),     JSON_VERBS,      0,
     "the daemon's answer as it is (not of wait, refresh, check and keys)"},
    {"list",    NULL,   OPTION_FLAG,     AT(is_list),     BIT(VERB_KEYS),  0,
     "keys [PROFILE]: show which are stored, and where, never a value"},
    {"help",    NULL,   OPTION_FLAG,     AT(is_help),     ALL_VERBS,       0,
     "print this text"},
    {"version", NULL,   OPTION_FLAG,     AT(is_version),  ALL_VERBS,       0,
     "print the version"},
};
/* clang-format on */

#define N_OPTIONS ARRAY_SIZE(option_specs)
/* What getopt_long() returns for the first option; above every character. */
#define OPTION_BASE 256

int64_t options_seconds(usec_t length)
{
    return (int64_t) (length / USEC_PER_SEC + (length % USEC_PER_SEC > 0));
}

static int complain_unknown_option(const char *word, struct buffer *complaint)
{
    const char *names[N_OPTIONS];
    const char *begin = word + strspn(word, "-");

    for (size_t i = 0; i < N_OPTIONS; i++)
        names[i] = option_specs[i].name;
    const char *near = problem_suggest(begin, names, N_OPTIONS);
    buffer_appendf(complaint, "unknown option %s", word);
    if (near)
        buffer_appendf(complaint, "; did you mean --%s?", near);
    return -EINVAL;
}

static int complain_unknown_verb(const char *word, struct buffer *complaint)
{
    const char *names[N_VERBS];

    for (size_t i = 0; i < N_VERBS; i++)
        names[i] = verbs[i].name;
    const char *near = problem_suggest(word, names, N_VERBS);
    buffer_appendf(complaint, "unknown verb %s", word);
    if (near)
        buffer_appendf(complaint, "; did you mean %s?", near);
    return -EINVAL;
}

static int set_duration(const struct option_spec *spec, const char *value, usec_t *target,
                        struct buffer *complaint)
{
    char span[SPAN_SIZE];
    usec_t length = 0;

    int r = parse_duration(value, &length);
    if (r == 0 && length <= spec->max) {
        *target = length;
        return 0;
    }
    if (r == -EINVAL)
        buffer_appendf(complaint, "--%s=%s is not a length of time like 90, 30s or \"1min 30s\"", spec->name,
                       value);
    else
        buffer_appendf(complaint, "--%s=%s is too long: at most %s", spec->name, value,
                       usec_format_span(spec->max, span));
    return -EINVAL;
}

static int set_number(const struct option_spec *spec, const char *value, uint64_t *target,
                      struct buffer *complaint)
{
    uint64_t number = 0;

    if (parse_u64_max(value, spec->max, &number) == 0 && number > 0) {
        *target = number;
        return 0;
    }
    buffer_appendf(complaint, "--%s=%s is not a number from 1 to %" PRIu64, spec->name, value, spec->max);
    return -EINVAL;
}

static int set_option(const struct option_spec *spec, const char *value, struct options *options,
                      struct buffer *complaint)
{
    void *target = (char *) options + spec->offset;

    switch (spec->kind) {
    case OPTION_FLAG:
        *(bool *) target = true;
        return 0;
    case OPTION_TEXT:
        *(const char **) target = value;
        if (*value)
            return 0;
        buffer_appendf(complaint, "--%s= needs a value", spec->name);
        return -EINVAL;
    case OPTION_DURATION:
        return set_duration(spec, value, target, complaint);
    case OPTION_NUMBER:
        return set_number(spec, value, target, complaint);
    }
    return -EINVAL;
}

/* What getopt_long() refused: it left the name in optopt when it knew it, else the word behind optind. */
static int complain_option(int c, char **argv, struct buffer *complaint)
{
    if (optopt < OPTION_BASE || optopt >= OPTION_BASE + (int) N_OPTIONS)
        return complain_unknown_option(argv[optind - 1], complaint);
    const char *name = option_specs[optopt - OPTION_BASE].name;
    buffer_appendf(complaint, c == ':' ? "--%s needs a value" : "--%s takes no value", name);
    return -EINVAL;
}

/* Sets each option, and notes in `seen` which there were. */
static int read_options(int argc, char **argv, struct options *options, bool seen[static N_OPTIONS],
                        struct buffer *complaint)
{
    struct option table[N_OPTIONS + 1] = {0};
    int c = 0;

    for (size_t i = 0; i < N_OPTIONS; i++)
        table[i] = (struct option){.name = option_specs[i].name,
                                   .has_arg = option_specs[i].value ? required_argument : no_argument,
                                   .val = OPTION_BASE + (int) i};
    optind = 0; /* GNU: start over */
    opterr = 0;
    while ((c = getopt_long(argc, argv, ":h", table, NULL)) >= 0) {
        if (c == 'h') {
            options->is_help = true;
            continue;
        }
        if (c < OPTION_BASE)
            return complain_option(c, argv, complaint);
        seen[c - OPTION_BASE] = true;
        int r = set_option(&option_specs[c - OPTION_BASE], optarg, options, complaint);
        if (r < 0)
            return r;
    }
    return 0;
}

static int read_verb(const char *word, enum verb *ret, struct buffer *complaint)
{
    for (size_t i = 0; i < N_VERBS; i++)
        if (!strcmp(verbs[i].name, word)) {
            *ret = (enum verb) i;
            return 0;
        }
    return complain_unknown_verb(word, complaint);
}

/* An option of another verb would do nothing, and its user would not know. */
static int check_combination(const struct options *options, const bool seen[static N_OPTIONS],
                             struct buffer *complaint)
{
    const struct verb_spec *verb = &verbs[options->verb];
    const size_t n_min = options->is_list ? 0 : verb->n_min, n_max = options->is_list ? 1 : verb->n_max;

    for (size_t i = 0; i < N_OPTIONS; i++)
        if (seen[i] && !(option_specs[i].verbs & BIT(options->verb))) {
            buffer_appendf(complaint, "--%s does not go with %s", option_specs[i].name, verb->name);
            return -EINVAL;
        }
    if (options->n_args < n_min) {
        buffer_appendf(complaint, "%s needs the name of a profile", verb->name);
        return -EINVAL;
    }
    if (options->n_args > n_max) {
        buffer_appendf(complaint, "%s: one argument too many: %s", verb->name, options->args[n_max]);
        return -EINVAL;
    }
    return 0;
}

int options_parse(int argc, char **argv, struct options *ret, struct buffer *complaint)
{
    struct options options = {
        .min_ttl_for = USEC_INFINITY, .wait_for = USEC_INFINITY, .timeout_for = USEC_INFINITY};
    bool seen[N_OPTIONS] = {0};

    int r = read_options(argc, argv, &options, seen, complaint);
    if (r < 0)
        return r;
    if (!options.is_help && !options.is_version) {
        if (optind >= argc) {
            buffer_append_string(complaint, "which verb? See bearerctl --help");
            return -EINVAL;
        }
        r = read_verb(argv[optind], &options.verb, complaint);
        if (r < 0)
            return r;
        options.args = argv + optind + 1;
        options.n_args = (size_t) (argc - optind - 1);
        r = check_combination(&options, seen, complaint);
        if (r < 0)
            return r;
        options.is_help = options.verb == VERB_HELP;
    }
    *ret = options;
    return 0;
}

void options_print_help(FILE *out)
{
    (void) fprintf(out, "Usage: bearerctl [--socket PATH] VERB ...\n\n"
                        "Asks bearerd for access tokens and for how it is doing.\n\nVerbs:\n");
    for (size_t i = 0; i < N_VERBS; i++)
        (void) fprintf(out, "  %-9s%-17s %s\n", verbs[i].name, verbs[i].args, verbs[i].help);
    (void) fprintf(out, "\nOptions, anywhere on the line:\n");
    for (size_t i = 0; i < N_OPTIONS; i++)
        (void) fprintf(out, "  --%-12s%-6s %s\n", option_specs[i].name,
                       option_specs[i].value ? option_specs[i].value : "", option_specs[i].help);
    (void) fprintf(
        out, "\nD is a length of time: 90, 30s, 5min.\n\n"
             "Exit status: 0 done, 1 refused or failed upstream (check, reload: problems found), 2 usage,\n"
             "3 the daemon cannot be reached, 4 timed out.\n");
}
