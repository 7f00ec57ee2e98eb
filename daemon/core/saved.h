/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What of a profile outlives the daemon: its token, how it was got, and everything that holds back the next
 * request to the upstream (back-off, budgets), so that a restart neither costs a request nor gives one away.
 *
 * All moments are CLOCK_BOOTTIME and mean the same to the next process of the same boot, and to no other.
 *
 * A request in flight is lost with the process: nobody knows whether its answer came. It is asked for again
 * after a distance that grows with each time this happens in a row, so that a daemon that dies of an answer
 * cannot become a flood. One that only waited for a slot was never sent, and costs no distance.
 *
 * What is read back is not trusted further than it must be: whatever moments it names, none can keep a
 * profile silent for longer than a life of this process could have.
 */

#include "core/profile.h"

#define SAVED_DIGEST_SIZE 32

struct saved_profile {
    char name[PROFILE_NAME_MAX + 1];
    uint8_t identity[SAVED_DIGEST_SIZE]; /* of settings and keys: the owner's to fill in and to compare */
    struct token token; /* may be not set; never one of other keys than the settings have now */
    uint64_t generation;
    uint64_t generation_floor; /* the registry's, of profiles that are gone: the owner's to fill in */
    usec_t arrived_at, refresh_at, used_at, failed_at, probe_at;
    usec_t demand_debt_at;
    struct reports reports;
    bool was_fetching; /* a request was in flight, or waited for a slot */
    bool was_sent;     /* it was in flight, or an earlier one of its attempt: the owner's to fill in */
    bool is_idle;
    unsigned n_failures;
    unsigned n_interrupted; /* requests in a row whose answer nobody saw */
    struct failure failure; /* while has_failed_ever */
    bool has_failed_ever;
    struct key_choice choice, token_choice, noted_choice;
};

/*
 * Copies what is to be kept (all but what is the owner's to fill in). -ENOMEM for the token. Release with
 * saved_profile_done().
 *
 * A token that was got with keys which a reload has replaced since stays behind: the next process has the new
 * keys alone, and would hand them out with it as if they had proven themselves.
 */
_must_check_ int profile_save(const struct profile *p, struct saved_profile *ret);

/*
 * Into a profile that was just initialised and not started, with the same settings and keys: goes on where
 * the other process ended. The token is moved out of `saved`. A token that has run out meanwhile is dropped.
 */
void profile_restore(struct profile *p, struct saved_profile *saved, usec_t now, uint64_t random);

/* With other settings or keys: nothing is taken over but the number that must not be told twice. */
void profile_restore_generation(struct profile *p, const struct saved_profile *saved);

/* Wipes. Takes NULL. */
void saved_profile_done(struct saved_profile *saved);
