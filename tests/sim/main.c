/* SPDX-License-Identifier: MIT */
/*
 * bearerd-sim [--seed N] [--days D] [--profiles P] [--runs R]
 *
 * Runs R simulations of D days with P profiles, from the seeds N, N + 1, ... Exit status 0 when every promise
 * held, 1 with the broken one, 2 for usage. Without --seed the seed is $BEARERD_SIM_SEED, or 1.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/parse.h"
#include "sim.h"

static const struct option options[] = {
    {"seed",             required_argument, NULL, 's'},
    {"days",              required_argument, NULL, 'd'},
    {"profiles",                  required_argument, NULL, 'p'},
    {"runs",required_argument, NULL, 'r'},
    {0              },
};

/* Runs of fewer days may miss something by chance. */
#define DAYS_TO_SEE_ALL 500

static void add_counters(struct sim_counters *sum, const struct sim_counters *c)
{
    uint64_t *to = (uint64_t *) sum;
    const uint64_t *from = (const uint64_t *) c;

    for (size_t i = 0; i < sizeof(*sum) / sizeof(*to); i++)
        to[i] += from[i];
}

/* A simulation in which something never happened proves nothing about it. */
static bool has_seen_all(const struct sim_counters *c)
{
    bool has_all = c->tokens && c->failures && c->suspends && c->demands && c->forced && c->hang_ups &&
                   c->late_tokens && c->edges && c->idle_turns;

    for (size_t i = 0; i < sizeof(c->answers) / sizeof(c->answers[0]); i++)
        has_all = has_all && c->answers[i] > 0;
    for (size_t i = 0; i < N_BEHAVIOURS; i++)
        has_all = has_all && c->behaviours[i] > 0;
    return has_all;
}

static bool is_spread(const char *what, const struct sim_spread *spread)
{
    double mean = (double) spread->sum / (double) spread->n;

    if (mean > 450 && mean < 550)
        return true;
    fprintf(stderr, "bearerd-sim: %s are not spread over their windows: mean %.0f of 1000\n", what, mean);
    return false;
}

static void print_counters(const struct sim_counters *c)
{
    printf("%" PRIu64 " turns, %" PRIu64 " requests (%" PRIu64 " tokens, %" PRIu64 " failures, %" PRIu64
           " too late), %" PRIu64 " calls (%" PRIu64 " forced, %" PRIu64 " at an edge, %" PRIu64
           " hung up), %" PRIu64 " demands, %" PRIu64 " suspends, %" PRIu64 " idle timers\n",
           c->turns, c->requests, c->tokens, c->failures, c->late_tokens, c->calls, c->forced, c->edges,
           c->hang_ups, c->demands, c->suspends, c->idle_turns);
    printf("answers: %" PRIu64 " waited, %" PRIu64 " token, %" PRIu64 " failed, %" PRIu64
           " timed out, %" PRIu64 " too long, %" PRIu64 " stopping\n",
           c->answers[ANSWER_NONE], c->answers[ANSWER_TOKEN], c->answers[ANSWER_FAILED],
           c->answers[ANSWER_TIMED_OUT], c->answers[ANSWER_TOO_LONG], c->answers[ANSWER_STOPPING]);
}

static bool read_number(const char *text, uint64_t max, uint64_t *ret)
{
    if (parse_u64_max(text, max, ret) == 0)
        return true;
    fprintf(stderr, "bearerd-sim: '%s' is not a number up to %" PRIu64 "\n", text, max);
    return false;
}

int main(int argc, char **argv)
{
    static struct sim sim;
    struct sim_counters sum = {0};
    uint64_t seed = 1, days = 300, n_profiles = 8, n_runs = 1;
    const char *seed_text = getenv("BEARERD_SIM_SEED");
    bool is_good = !seed_text || read_number(seed_text, UINT64_MAX, &seed);

    for (int o; is_good && (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        is_good = o == 's'   ? read_number(optarg, UINT64_MAX, &seed)
                  : o == 'd' ? read_number(optarg, 1000000, &days)
                  : o == 'p' ? read_number(optarg, SIM_PROFILES_MAX, &n_profiles) && n_profiles > 0
                  : o == 'r' ? read_number(optarg, 1000000, &n_runs)
                             : false;
    }
    if (!is_good || optind != argc) {
        fprintf(stderr, "usage: bearerd-sim [--seed N] [--days D] [--profiles P] [--runs R]\n");
        return 2;
    }
    for (uint64_t i = 0; i < n_runs; i++) {
        sim_init(&sim, seed + i, (unsigned) days, n_profiles);
        sim_run(&sim);
        sim_done(&sim);
        add_counters(&sum, &sim.counters);
    }
    printf("seeds %" PRIu64 " to %" PRIu64 ", %" PRIu64 " days each with %" PRIu64
           " profiles: all promises held\n",
           seed, seed + n_runs - 1, days, n_profiles);
    print_counters(&sum);
    if (n_runs > 1 && days * n_runs >= DAYS_TO_SEE_ALL && !has_seen_all(&sum)) {
        fprintf(stderr, "bearerd-sim: something never happened in all these runs: they prove too little\n");
        return 1;
    }
    /* Fewer draws than a thousand have a mean of their own. */
    if (sum.retries.n > 1000 && !is_spread("retries", &sum.retries))
        return 1;
    if (sum.refreshes.n > 1000 && !is_spread("refreshes", &sum.refreshes))
        return 1;
    return 0;
}
