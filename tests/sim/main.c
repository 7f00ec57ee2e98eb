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

static const char *const count_names[N_SIM_COUNTS] = {
    [N_TOKENS] = "tokens",
    [N_FAILURES] = "failures",
    [N_LATE_TOKENS] = "tokens that came too late",
    [N_CALLS] = "calls",
    [N_FORCED] = "forced refreshes",
    [N_EDGES] = "calls at an edge",
    [N_HANG_UPS] = "hang-ups",
    [N_DEMANDS] = "demands",
    [N_SUSPENDS] = "suspends",
    [N_IDLE_TURNS] = "idle timers",
    [N_REVOCATIONS] = "revocations",
    [N_REPORTS_TAKEN] = "reports taken",
    [N_REPORTS_SPACED] = "reports taken and spaced",
    [N_REPORTS_JOINED] = "reports that joined",
    [N_REPORTS_BACKED_OFF] = "reports in a back-off",
    [N_REPORTS_REFUSED] = "reports over the budget",
    [N_REPORTS_STALE] = "stale reports",
    [N_POLLS] = "polls",
    [N_POLLS_SERVED] = "polls served",
    [N_POLLS_OVER_FAILURES] = "polls that waited through a failure",
    [N_SECONDARY_SAVED] = "saved by the secondary key",
    [N_NEXT_SECRET_SAVED] = "saved by the next secret",
    [N_CURRENT_SECRET_SAVED] = "saved by the current secret",
    [N_THREE_REQUESTS] = "attempts of three requests",
    [N_PROBES_REFUSED] = "probes refused",
    [N_PROBES_FAILED] = "probes that told nothing",
    [N_PROBES_RESTORED] = "probes that restored",
    [N_BOTH_KEYS_DEAD] = "both keys refused",
    [N_RELOADS] = "reloads",
    [N_RELOADS_DROPPED] = "reloads dropped",
    [N_CHANGES_NONE] = "unchanged over a reload",
    [N_CHANGES_POLICY] = "policy changes",
    [N_CHANGES_KEYS] = "key changes",
    [N_CHANGES_IDENTITY] = "identity changes",
    [N_REMOVED] = "removed",
    [N_ADDED] = "added",
    [N_ADDED_AGAIN] = "added again",
    [N_REPAIRED] = "repaired",
    [N_KEPT_OVER_KEYS] = "tokens kept over a key change",
    [N_ABORTED_IN_FLIGHT] = "requests called off",
    [N_ABORTED_QUEUED] = "queued fetches called off",
    [N_STARTS_CALLED_OFF] = "starts called off",
    [N_CHANGED_IN_FLIGHT] = "reloads during a request",
    [N_RELOADS_IN_BACK_OFF] = "reloads during a back-off",
    [N_PROOFS_GIVEN] = "proofs given",
    [N_PROOFS_BY_FALLBACK] = "proofs by the other key",
    [N_PROOFS_FAILED] = "proofs failed",
    [N_IDLED] = "gone idle",
    [N_SUSPENDED_ASLEEP] = "suspended while asleep",
    [N_WOKEN] = "woken without a token",
    [N_WOKEN_WITH_TOKEN] = "woken with a token",
    [N_RESTARTS] = "restarts",
    [N_TOKENS_RESTORED] = "tokens that went on",
    [N_TOKENS_LEFT_BEHIND] = "tokens of old keys left behind",
    [N_RESTARTS_IN_BACK_OFF] = "restarts in a back-off",
    [N_QUEUED_AGAIN] = "queued again",
    [N_INTERRUPTED] = "answers lost",
    [N_HELD] = "distances after lost answers",
};

static const char *const answer_names[N_ANSWERS] = {
    [ANSWER_NONE] = "waited",         [ANSWER_TOKEN] = "token",       [ANSWER_FAILED] = "failed",
    [ANSWER_TIMED_OUT] = "timed out", [ANSWER_TOO_LONG] = "too long", [ANSWER_UNCHANGED] = "unchanged",
    [ANSWER_TOO_OFTEN] = "too often", [ANSWER_GONE] = "gone",         [ANSWER_PROVEN] = "proven",
    [ANSWER_STOPPING] = "stopping",
};

/* A simulation in which something never happened proves nothing about it. */
static bool has_seen_all(const struct sim_counters *c)
{
    bool has_all = true;

    for (size_t i = 0; i < N_SIM_COUNTS; i++) {
        if (c->seen[i] == 0)
            fprintf(stderr, "bearerd-sim: never seen: %s\n", count_names[i]);
        has_all = has_all && c->seen[i] > 0;
    }
    for (size_t i = 0; i < N_ANSWERS; i++) {
        if (c->answers[i] == 0)
            fprintf(stderr, "bearerd-sim: never answered: %s\n", answer_names[i]);
        has_all = has_all && c->answers[i] > 0;
    }
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
    printf("%" PRIu64 " turns, %" PRIu64 " requests", c->turns, c->requests);
    for (size_t i = 0; i < N_SIM_COUNTS; i++)
        printf(", %" PRIu64 " %s", c->seen[i], count_names[i]);
    printf("\nanswers:");
    for (size_t i = 0; i < N_ANSWERS; i++)
        printf("%s %" PRIu64 " %s", i > 0 ? "," : "", c->answers[i], answer_names[i]);
    printf("\n");
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
                  : o == 'p' ? read_number(optarg, SIM_PROFILES_MAX - 1, &n_profiles) && n_profiles > 0
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
